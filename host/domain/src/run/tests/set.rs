//! A set step gives variables values.

use super::*;

fn set(vars: Value) -> Value {
    json!({ "type": "set", "id": "assign", "vars": vars, "outputVar": "all" })
}

fn after(vars: Value, input: Value) -> Bench {
    Bench::start(json!({ "steps": [set(vars)] }), input)
}

#[test]
fn every_value_sees_what_was_set_before_and_none_of_the_others() {
    let bench = after(json!({ "a": "b", "b": "a" }), json!({ "a": 1, "b": 2 }));
    assert_eq!((bench.var("a"), bench.var("b")), (json!(2), json!(1)));
    assert_eq!(bench.var("all"), json!({ "a": 2, "b": 1 }));
    assert_eq!(after(json!({ "a": "1", "b": "a" }), json!({})).code(), "expr.unknown_variable");
}

#[test]
fn values_keep_their_types_and_templates_are_rendered() {
    let vars = json!({
        "number": "input.n + 1",
        "list": "[input.n, 'two']",
        "object": "{'k': input.n}",
        "sole": "{{ input.list }}",
        "text": "n is {{ input.n }}",
        "deep": { "a": ["{{ input.n }}", 7], "b": null },
        "plain": true,
    });
    let bench = after(vars, json!({ "n": 1, "list": [1, 2] }));
    assert_eq!(
        bench.var("all"),
        json!({
            "number": 2, "list": [1, "two"], "object": { "k": 1 }, "sole": [1, 2], "text": "n is 1",
            "deep": { "a": [1, 7], "b": null }, "plain": true,
        })
    );
    assert_eq!(bench.var("deep"), json!({ "a": [1, 7], "b": null }));
}

#[test]
fn a_set_step_is_one_entry() {
    let bench = after(json!({ "a": "1" }), json!({}));
    assert_eq!(bench.entries("assign"), ["step.succeeded"]);
    assert_eq!(bench.status(), RunStatus::Success);
}

#[test]
fn a_value_that_cannot_be_computed_fails_the_step_with_its_name() {
    let bench = after(json!({ "fine": "1", "broken": "nobody" }), json!({}));
    assert!(bench.state.error().unwrap().message.starts_with("`vars.broken`"), "{:?}", bench.state.error());
    assert_eq!(bench.var("fine"), Value::Null);
}
