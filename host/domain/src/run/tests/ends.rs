//! Steps that end the run, and steps that are skipped.

use super::*;

fn nested_in(kind: &str, step: Value) -> Value {
    let step = with(step, json!({ "when": "true" }));
    let inner = json!([step, agent("never")]);
    let around = match kind {
        "parallel" => {
            json!({ "type": "parallel", "steps": [[agent("first"), { "type": "set", "id": "s", "vars": {} }], inner] })
        }
        "forEach" => json!({ "type": "forEach", "items": "[1, 2]", "maxConcurrency": 2, "steps": inner }),
        "loop" => json!({ "type": "loop", "while": "true", "maxIterations": 3, "steps": inner }),
        "condition" => json!({ "type": "condition", "expr": "true", "then": inner }),
        _ => json!({ "type": "switch", "cases": [{ "when": "false" }], "default": inner }),
    };
    let around = with(around, json!({ "id": "around", "onError": "continue" }));
    json!({ "steps": [around, agent("last")], "output": { "x": "input.x" } })
}

const KINDS: [&str; 5] = ["parallel", "forEach", "loop", "condition", "switch"];

#[test]
fn a_return_ends_the_run_well_from_anywhere() {
    for kind in KINDS {
        let step = json!({ "type": "return", "id": "end", "output": { "y": "input.x + 1" } });
        let bench = Bench::start(nested_in(kind, step), json!({ "x": 1 }));
        assert_eq!((bench.status(), bench.state.output()), (RunStatus::Success, json!({ "y": 2 })), "{kind}");
        assert_eq!(bench.open(), [""; 0]);
        assert_eq!(bench.entries("end"), ["step.succeeded"]);
    }
}

#[test]
fn a_return_without_an_output_gives_the_definitions() {
    let bench = Bench::start(nested_in("loop", json!({ "type": "return", "id": "end" })), json!({ "x": 1 }));
    assert_eq!(bench.state.output(), json!({ "x": 1 }));
}

#[test]
fn a_return_whose_output_cannot_be_computed_fails_as_any_step() {
    let definition = json!({ "steps": [
        { "type": "return", "id": "end", "output": { "y": "nobody" }, "onError": "continue" },
        told("last", "{{ errors.end.code }}"),
    ] });
    assert_eq!(Bench::start(definition, json!({})).told(), ["expr.unknown_variable"]);
}

#[test]
fn a_fail_ends_the_run_badly_from_anywhere_whatever_the_steps_around_it_would_go_on_from() {
    for kind in KINDS {
        let step = json!({ "type": "fail", "id": "end", "message": "x is {{ input.x }}", "code": "my.own" });
        let bench = Bench::start(nested_in(kind, step), json!({ "x": 1 }));
        let error = bench.state.error().unwrap();
        assert_eq!(
            (error.code.as_str(), error.message.as_str(), error.step_id.as_deref()),
            ("my.own", "x is 1", Some("end"))
        );
        assert_eq!((bench.status(), bench.open()), (RunStatus::Failed, vec![]), "{kind}");
        assert_eq!(bench.journal.last().unwrap().kind(), "run.failed");
    }
}

#[test]
fn a_fail_has_a_code_of_its_own_or_that_of_a_failed_run() {
    let bench = Bench::start(json!({ "steps": [{ "type": "fail", "id": "end", "message": "no" }] }), json!({}));
    assert_eq!(bench.code(), "run.failed");
}

#[test]
fn any_step_whose_when_does_not_hold_is_skipped_and_recorded_and_nothing_else() {
    let steps = [
        json!({ "type": "agent", "agentId": "a", "message": "{{ nobody }}" }),
        json!({ "type": "tool", "toolName": "t", "params": { "a": "{{ nobody }}" } }),
        json!({ "type": "condition", "expr": "nobody", "then": [agent("x")] }),
        json!({ "type": "condition", "expr": "?", "evaluator": "cel", "then": [agent("x")] }),
        json!({ "type": "switch", "cases": [{ "when": "nobody" }] }),
        json!({ "type": "parallel", "steps": [agent("x"), agent("y")] }),
        json!({ "type": "forEach", "items": "nobody", "steps": [agent("x")] }),
        json!({ "type": "loop", "while": "nobody", "maxIterations": 2, "steps": [agent("x")] }),
        json!({ "type": "set", "vars": { "x": "nobody" } }),
        json!({ "type": "wait", "duration": "1h" }),
        json!({ "type": "wait", "event": "go" }),
        json!({ "type": "approval", "message": "?" }),
        json!({ "type": "workflow", "workflowId": facts().workflow_id }),
        json!({ "type": "return" }),
        json!({ "type": "fail", "message": "no" }),
    ];
    for step in steps {
        let definition =
            json!({ "steps": [with(step.clone(), json!({ "id": "it", "when": "input.go" })), agent("last")] });
        let bench = Bench::start(definition, json!({}));
        assert_eq!((bench.entries("it"), bench.open()), (vec!["step.skipped"], vec!["last".to_owned()]), "{step}");
    }
}

#[test]
fn a_skipped_step_leaves_its_variable_and_goes_where_its_next_says() {
    let definition = json!({ "steps": [
        with(agent("a"), json!({ "when": "false", "next": "c" })),
        with(agent("b"), json!({ "next": "d" })),
        with(told("c", "{{ a_out }}"), json!({ "onError": "b" })),
        agent("d"),
    ] });
    assert_eq!(Bench::start(definition, json!({ "a_out": "before" })).told(), ["before"]);
}
