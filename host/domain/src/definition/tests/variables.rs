//! Which variables a step sees, and which it may set.

use super::*;

fn told(id: &str, message: &str) -> Value {
    json!({ "type": "agent", "id": id, "agentId": "a", "message": message })
}

/// The places that read variables which nothing can have set, with an input that is described and has `x`.
fn unset(steps: Value) -> Vec<String> {
    let input = json!({ "type": "object", "properties": { "x": {} } });
    warnings(&json!({ "inputSchema": input, "steps": steps })).into_iter().map(|(pointer, _)| pointer).collect()
}

fn contested(branches: Value) -> Vec<(String, String)> {
    faults_of(json!({ "type": "parallel", "id": "p", "steps": branches }))
}

#[test]
fn what_a_set_step_sets_is_seen_after_it_and_not_by_itself() {
    let set = json!({ "type": "set", "id": "s", "vars": { "a": "x", "b": "a" } });
    assert_eq!(unset(json!([set, told("t", "{{ a }} {{ b }}")])), ["/steps/0/vars/b"]);
}

#[test]
fn what_is_set_inside_is_seen_after_it() {
    let set = json!([{ "type": "set", "id": "s", "vars": { "a": "1" } }]);
    let around = [
        json!({ "type": "parallel", "id": "n", "steps": [set] }),
        json!({ "type": "forEach", "id": "n", "items": "[]", "steps": set }),
        json!({ "type": "loop", "id": "n", "while": "x", "maxIterations": 1, "steps": set }),
        json!({ "type": "condition", "id": "n", "expr": "x", "then": set }),
        json!({ "type": "switch", "id": "n", "cases": [{ "when": "x", "then": set }] }),
        json!({ "type": "switch", "id": "n", "cases": [{ "when": "x" }], "default": set }),
    ];
    for step in around {
        assert_eq!(unset(json!([step, told("t", "{{ a }}")])), [""; 0], "{step}");
    }
}

#[test]
fn an_item_is_seen_inside_its_for_each_by_its_name_and_nowhere_else() {
    let each = json!({ "type": "forEach", "id": "e", "items": "x", "as": "order",
                       "steps": [told("a", "{{ order.id }} {{ index }} {{ other }}")] });
    assert_eq!(unset(json!([each, told("t", "{{ order }}")])), ["/steps/0/steps/0/message", "/steps/1/message"]);
}

#[test]
fn a_pass_sees_what_the_one_before_it_set_and_so_does_the_test() {
    let body = json!([told("a", "{{ last }} {{ iteration }}"), { "type": "set", "id": "s", "vars": { "last": "1" } }]);
    let again =
        json!({ "type": "loop", "id": "l", "until": "last == 3 and nobody", "maxIterations": 2, "steps": body });
    assert_eq!(unset(json!([again])), ["/steps/0/until"]);
}

#[test]
fn a_jump_back_lets_earlier_steps_see_what_later_ones_set() {
    let back = json!({ "type": "switch", "id": "s", "cases": [{ "when": "x", "then": "a" }] });
    let set = json!({ "type": "set", "id": "later", "vars": { "b": "1" } });
    assert_eq!(unset(json!([told("a", "{{ b }}"), set.clone(), back])), [""; 0]);
    assert_eq!(unset(json!([told("a", "{{ b }}"), set])), ["/steps/0/message"]);
}

#[test]
fn every_place_that_reads_is_judged() {
    let steps = json!([
        { "type": "switch", "id": "s", "cases": [{ "when": "u1", "then": [told("a", "m")] }] },
        { "type": "wait", "id": "w", "event": "go", "match": "event.x == u2" },
        { "type": "wait", "id": "d", "duration": "{{ u3 }}" },
        { "type": "approval", "id": "ap", "message": "{{ u4 }}" },
        { "type": "workflow", "id": "wf", "workflowId": "wf_00000000000070008000000000000001", "input": { "a": "{{ u5 }}" } },
        { "type": "forEach", "id": "e", "items": "u6", "steps": [told("b", "m")], "when": "u7" },
        { "type": "return", "id": "r", "output": { "a": "u8" }, "when": "x" },
        { "type": "fail", "id": "f", "message": "{{ u9 }}" },
    ]);
    assert_eq!(
        unset(steps),
        [
            "/steps/0/cases/0/when",
            "/steps/1/match",
            "/steps/2/duration",
            "/steps/3/message",
            "/steps/4/input/a",
            "/steps/5/items",
            "/steps/5/when",
            "/steps/6/output/a",
            "/steps/7/message",
        ]
    );
}

#[test]
fn branches_that_set_one_variable_are_a_fault_however_they_set_it() {
    let set = |id: &str| json!({ "type": "set", "id": id, "vars": { "same": "1" } });
    let write = |id: &str| json!({ "type": "wait", "id": id, "duration": "1s", "outputVar": "same" });
    let fault = pairs([("/steps/0/steps/1", "definition.contested_variable")]);
    assert_eq!(contested(json!([set("a"), set("b")])), fault);
    assert_eq!(contested(json!([set("a"), write("b")])), fault);
    let deep = json!({ "type": "loop", "id": "l", "while": "x", "maxIterations": 1, "steps": [
        { "type": "switch", "id": "s", "cases": [{ "when": "x" }], "default": [set("b")] },
    ] });
    assert_eq!(contested(json!([set("a"), deep])), fault);
    assert_eq!(contested(json!([[set("a"), write("b")], agent("c")])), [], "one branch may set it twice");
}

#[test]
fn items_may_set_one_variable_since_their_order_says_whose_stays() {
    let set = json!({ "type": "set", "id": "s", "vars": { "same": "item" } });
    let each = json!({ "type": "forEach", "id": "e", "items": "[1]", "maxConcurrency": 5, "steps": [set] });
    assert_eq!(faults_of(each), []);
}

#[test]
fn the_name_of_an_item_is_a_name_that_is_free() {
    for name in ["index", "secrets", "a-b", ""] {
        let each = json!({ "type": "forEach", "id": "e", "items": "[1]", "as": name, "steps": [agent("a")] });
        assert_eq!(faults_of(each), pairs([("/steps/0/as", "definition.variable_name")]), "{name}");
    }
}
