//! A switch takes the first of its cases that holds.

use super::*;

fn switch(cases: Value, more: Value) -> Value {
    with(json!({ "type": "switch", "id": "which", "outputVar": "way", "cases": cases }), more)
}

fn by_size() -> Value {
    let cases = json!([
        { "when": "input.n > 100", "then": "large" },
        { "when": "input.n > 10", "then": ["middle", "more"] },
        { "when": "input.n > 1", "then": [agent("inner"), told("inner2", "{{ inner_out }}")] },
    ]);
    json!({ "steps": [
        switch(cases, json!({ "default": "small" })),
        agent("large"),
        agent("middle"),
        agent("more"),
        agent("small"),
        agent("last"),
    ] })
}

#[test]
fn the_first_case_that_holds_is_taken_and_its_place_is_the_result() {
    let taken = |n: u32| {
        let (called, bench) = Bench::start(by_size(), json!({ "n": n })).finish(fine);
        assert_eq!(bench.status(), RunStatus::Success);
        (called, bench.var("way"))
    };
    assert_eq!(taken(101), (["large", "last"].map(str::to_owned).to_vec(), json!(0)));
    assert_eq!(taken(50), (["middle", "more", "last"].map(str::to_owned).to_vec(), json!(1)));
    assert_eq!(taken(5), (["inner", "inner2", "last"].map(str::to_owned).to_vec(), json!(2)));
    assert_eq!(taken(0), (["small", "last"].map(str::to_owned).to_vec(), Value::Null));
}

#[test]
fn a_switch_without_the_chosen_way_goes_on() {
    let definition = json!({ "steps": [
        switch(json!([{ "when": "input.skip" }, { "when": "true", "then": "extra" }]), json!({})),
        agent("extra"),
        agent("last"),
    ] });
    assert_eq!(Bench::start(definition.clone(), json!({ "skip": true })).finish(fine).0, ["last"]);
    assert_eq!(Bench::start(definition, json!({ "skip": false })).finish(fine).0, ["extra", "last"]);
    let definition =
        json!({ "steps": [switch(json!([{ "when": "false", "then": [agent("a")] }]), json!({})), agent("last")] });
    assert_eq!(Bench::start(definition, json!({})).finish(fine).0, ["last"]);
}

#[test]
fn a_default_may_be_a_block() {
    let definition = json!({ "steps": [
        switch(json!([{ "when": "false" }]), json!({ "default": [agent("inner")] })),
        told("last", "{{ inner_out }}"),
    ] });
    let (called, bench) = Bench::start(definition, json!({})).finish(fine);
    assert_eq!(called, ["inner", "last"]);
    assert_eq!(bench.var("inner_out"), json!("inner 1"));
}

#[test]
fn a_case_may_jump_back() {
    let definition = json!({ "steps": [
        { "type": "set", "id": "count", "vars": { "n": "n + 1" } },
        switch(json!([{ "when": "n < 4", "then": "count" }]), json!({})),
        told("last", "{{ n }}"),
    ] });
    let bench = Bench::start(definition, json!({ "n": 0 }));
    assert_eq!(bench.told(), ["4"]);
    assert_eq!((bench.visits("count"), bench.visits("which")), (4, 4));
}

#[test]
fn cases_are_asked_in_order_and_none_after_the_first_that_holds() {
    let cases = json!([{ "when": "true", "then": "a" }, { "when": "nobody", "then": "b" }]);
    let definition = json!({ "steps": [switch(cases, json!({})), agent("a"), agent("b")] });
    assert_eq!(Bench::start(definition, json!({})).finish(fine).0, ["a"]);
}

#[test]
fn a_case_that_cannot_be_judged_fails_the_switch() {
    let definition = json!({ "steps": [
        switch(json!([{ "when": "nobody", "then": "a" }]), json!({ "onError": "last" })),
        agent("a"),
        told("last", "{{ error.code }} {{ errors.which.stepId }}"),
    ] });
    assert_eq!(Bench::start(definition, json!({})).told(), ["expr.unknown_variable which"]);
}

#[test]
fn a_block_that_fails_fails_its_switch_where_on_error_is_asked() {
    let definition = json!({ "steps": [
        switch(json!([{ "when": "true", "then": [agent("inner"), agent("never")] }]), json!({ "onError": "continue" })),
        told("last", "{{ way }} {{ errors.which.code }} {{ errors.which.stepId }}"),
    ] });
    let mut bench = Bench::start(definition, json!({}));
    bench.answer("inner", Err(refused()));
    assert_eq!(bench.told(), ["null agent.refused inner"]);
}
