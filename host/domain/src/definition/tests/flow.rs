//! Where control can go.

use super::*;

fn with(mut step: Value, more: Value) -> Value {
    step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    step
}

fn unreachable(steps: Value) -> Vec<String> {
    let found = faults(&json!({ "steps": steps }));
    assert!(found.iter().all(|(_, code)| code == "definition.unreachable"), "{found:?}");
    found.into_iter().map(|(pointer, _)| pointer).collect()
}

#[test]
fn nothing_leads_past_a_return_or_a_fail() {
    let ends = [json!({ "type": "return", "id": "end" }), json!({ "type": "fail", "id": "end", "message": "no" })];
    for end in ends {
        assert_eq!(unreachable(json!([end, agent("never")])), ["/steps/1"]);
        assert_eq!(unreachable(json!([with(end.clone(), json!({ "when": "x" })), agent("maybe")])), [""; 0]);
        assert_eq!(unreachable(json!([with(end, json!({ "next": "a" })), agent("a")])), ["/steps/1"]);
    }
}

#[test]
fn a_return_may_fail_and_go_on_and_a_fail_may_not() {
    let end = json!({ "type": "return", "id": "end", "output": { "a": "x" } });
    assert_eq!(unreachable(json!([with(end.clone(), json!({ "onError": "continue" })), agent("a")])), [""; 0]);
    assert_eq!(unreachable(json!([with(end, json!({ "onError": "b" })), agent("a"), agent("b")])), ["/steps/1"]);
    let fail = json!({ "type": "fail", "id": "end", "message": "no" });
    assert_eq!(unreachable(json!([with(fail.clone(), json!({ "onError": "continue" })), agent("a")])), ["/steps/1"]);
    assert_eq!(unreachable(json!([with(fail, json!({ "onError": "a" })), agent("a")])), ["/steps/1"]);
}

#[test]
fn reachability_is_judged_in_every_list() {
    let inner = json!([{ "type": "return", "id": "end" }, agent("never")]);
    let around = [
        (json!({ "type": "parallel", "steps": [inner] }), "/steps/0/steps/0/1"),
        (json!({ "type": "forEach", "items": "[]", "steps": inner }), "/steps/0/steps/1"),
        (json!({ "type": "loop", "while": "x", "maxIterations": 1, "steps": inner }), "/steps/0/steps/1"),
        (json!({ "type": "condition", "expr": "x", "else": inner }), "/steps/0/else/1"),
        (json!({ "type": "switch", "cases": [{ "when": "x", "then": inner }] }), "/steps/0/cases/0/then/1"),
        (json!({ "type": "switch", "cases": [{ "when": "x" }], "default": inner }), "/steps/0/default/1"),
    ];
    for (step, place) in around {
        assert_eq!(unreachable(json!([with(step, json!({ "id": "around" }))])), [place]);
    }
}

#[test]
fn the_ways_of_a_switch_are_branch_steps() {
    let switch = json!({ "type": "switch", "id": "s", "default": "c",
                         "cases": [{ "when": "x", "then": "a" }, { "when": "y", "then": ["b", "a"] }] });
    let definition = json!({ "steps": [switch, agent("a"), agent("b"), agent("c"), agent("d")] });
    let workflow = checked(&definition).unwrap().workflow;
    let branch: Vec<_> =
        workflow.steps.iter().filter(|step| step.is_branch_step).map(|step| step.id.as_str()).collect();
    assert_eq!(branch, ["a", "b", "c"]);
    assert_eq!(workflow.successor(0), workflow.step_index("d"));
}

#[test]
fn a_switch_that_always_chooses_leads_to_nothing_else() {
    let switch = json!({ "type": "switch", "id": "s", "cases": [{ "when": "x", "then": "a" }], "default": "b" });
    let steps = |more: Value| json!([with(switch.clone(), more), with(agent("a"), json!({ "next": "b" })), agent("b")]);
    assert_eq!(unreachable(steps(json!({}))), [""; 0]);
    let last = |more: Value| {
        json!([
            with(switch.clone(), more),
            with(agent("a"), json!({ "next": "end" })),
            with(agent("b"), json!({ "next": "end" })),
            agent("between"),
            agent("end"),
        ])
    };
    assert_eq!(unreachable(last(json!({}))), ["/steps/3"]);
    assert_eq!(unreachable(last(json!({ "when": "x" }))), [""; 0]);
    assert_eq!(unreachable(last(json!({ "onError": "continue" }))), [""; 0]);
}

#[test]
fn no_jump_leaves_its_list_and_every_name_is_a_step() {
    let inside = json!([
        with(agent("a"), json!({ "next": "outside" })),
        with(agent("b"), json!({ "onError": "outside" })),
        { "type": "switch", "id": "s", "cases": [{ "when": "x", "then": ["a", "outside"] }], "default": "nobody" },
    ]);
    let around = json!({ "type": "forEach", "id": "e", "items": "[]", "steps": inside, "next": "a" });
    let mut found = faults(&json!({ "steps": [around, agent("outside")] }));
    found.sort();
    let mut expected = pairs([
        ("/steps/0/next", "definition.jump_out"),
        ("/steps/0/steps/0/next", "definition.jump_out"),
        ("/steps/0/steps/1/onError", "definition.jump_out"),
        ("/steps/0/steps/2/cases/0/then/1", "definition.jump_out"),
        ("/steps/0/steps/2/default", "definition.unknown_step"),
    ]);
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn a_jump_backwards_makes_no_branch_step() {
    let back = json!({ "type": "switch", "id": "s", "cases": [{ "when": "x", "then": "a" }] });
    let workflow = checked(&json!({ "steps": [agent("a"), back, agent("b")] })).unwrap().workflow;
    assert!(workflow.steps.iter().all(|step| !step.is_branch_step));
}

#[test]
fn nested_steps_count_towards_the_bounds() {
    let many: Vec<_> = (0..STEPS_MAX).map(|n| agent(&format!("s{n}"))).collect();
    let codes = |definition: Value| -> Vec<String> { faults(&definition).into_iter().map(|(_, code)| code).collect() };
    let each = json!({ "type": "forEach", "id": "e", "items": "[]", "steps": many });
    assert_eq!(codes(json!({ "steps": [each] })), ["definition.too_large"]);
    let mut nested = agent("deep");
    for level in 0..=NESTING_MAX {
        nested = match level % 3 {
            0 => {
                json!({ "type": "loop", "id": format!("n{level}"), "while": "x", "maxIterations": 1, "steps": [nested] })
            }
            1 => json!({ "type": "switch", "id": format!("n{level}"), "cases": [{ "when": "x", "then": [nested] }] }),
            _ => json!({ "type": "forEach", "id": format!("n{level}"), "items": "[]", "steps": [nested] }),
        };
    }
    assert!(codes(json!({ "steps": [nested] })).contains(&"definition.too_large".to_owned()));
}
