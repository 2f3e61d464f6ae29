//! Branches and iterations that run side by side.

use super::*;

#[test]
fn branches_are_owed_at_the_same_time_and_their_results_are_named() {
    let definition = json!({ "steps": [
        { "type": "parallel", "id": "both", "outputVar": "results", "steps": [agent("a"), [agent("b"), agent("c")]] },
        with(agent("last"), json!({ "message": "{{ results.a }} {{ c_out }}" })),
    ] });
    let mut bench = Bench::start(definition, json!({}));
    assert_eq!(bench.open(), ["a", "b"]);
    bench.answer("b", Ok(json!("B")));
    assert_eq!(bench.open(), ["a", "c"]);
    bench.answer("a", Ok(json!("A")));
    bench.answer("c", Ok(json!("C")));
    assert_eq!(bench.open(), ["last"]);
    assert_eq!(bench.var("results"), json!({ "a": "A", "b": "C" }));
    assert_eq!(*bench.state.calls()[0].input, json!({ "message": "A C" }));
}

#[test]
fn a_branch_does_not_see_what_another_one_sets() {
    let definition = json!({ "steps": [{ "type": "parallel", "id": "both", "steps": [
        agent("a"),
        [agent("b"), with(agent("c"), json!({ "message": "{{ a_out }}" }))],
    ] }] });
    let mut bench = Bench::start(definition, json!({}));
    bench.answer("a", Ok(json!("A")));
    bench.answer("b", Ok(json!("B")));
    assert_eq!(bench.state.error().unwrap().code, "expr.unknown_variable");
}

#[test]
fn a_branch_does_not_see_the_errors_of_another_one_and_what_follows_sees_both() {
    let tolerant = |id: &str| with(agent(id), json!({ "onError": "continue" }));
    let definition = json!({ "steps": [
        { "type": "parallel", "id": "both", "steps": [
            tolerant("a"),
            [tolerant("b"), with(agent("c"), json!({ "message": "{{ errors.a.code }}|{{ errors.b.code }}" }))],
        ] },
        with(agent("last"), json!({ "message": "{{ errors.a.code }}|{{ errors.b.code }}" })),
    ] });
    let mut bench = Bench::start(definition, json!({}));
    bench.answer("a", Err(refused()));
    bench.answer("b", Err(refused()));
    assert_eq!(*bench.state.calls()[0].input, json!({ "message": "|agent.refused" }));
    bench.answer("c", Ok(json!("C")));
    assert_eq!(*bench.state.calls()[0].input, json!({ "message": "agent.refused|agent.refused" }));
}

#[test]
fn max_concurrency_bounds_the_branches_under_way() {
    let definition = json!({ "steps": [
        { "type": "parallel", "id": "three", "maxConcurrency": 2, "steps": [agent("a"), agent("b"), agent("c")] },
    ] });
    let mut bench = Bench::start(definition, json!({}));
    assert_eq!(bench.open(), ["a", "b"]);
    bench.answer("b", Ok(json!(1)));
    assert_eq!(bench.open(), ["a", "c"]);
}

#[test]
fn the_first_failure_ends_a_group_and_lets_the_other_branches_go() {
    let definition = json!({ "steps": [{ "type": "parallel", "id": "both", "steps": [agent("a"), agent("b")] }] });
    let mut bench = Bench::start(definition, json!({}));
    let late = bench.state.calls().into_iter().find(|call| call.visit.step == "b").unwrap();
    bench.answer("a", Err(refused()));
    assert_eq!(bench.open(), [""; 0]);
    assert_eq!(bench.state.error().unwrap().step_id.as_deref(), Some("a"));
    assert!(!bench.state.is_open(&late.visit), "an answer that comes later is nobody's");
}

#[test]
fn a_group_that_waits_for_all_fails_after_the_last() {
    let definition = json!({ "steps": [
        { "type": "parallel", "id": "both", "onFailure": "waitAll", "onError": "continue", "steps": [agent("a"), agent("b")] },
        agent("last"),
    ] });
    let mut bench = Bench::start(definition, json!({}));
    bench.answer("a", Err(refused()));
    assert_eq!(bench.open(), ["b"]);
    bench.answer("b", Ok(json!("B")));
    assert_eq!(bench.open(), ["last"]);
    assert_eq!(bench.var("b_out"), json!("B"));
}

#[test]
fn groups_nest() {
    let inner = json!({ "type": "parallel", "id": "inner", "steps": [agent("a"), agent("b")] });
    let definition = json!({ "steps": [{ "type": "parallel", "id": "outer", "outputVar": "all", "steps": [[inner, agent("c")], agent("d")] }] });
    let (called, bench) = Bench::start(definition, json!({})).finish(fine);
    assert_eq!(called, ["a", "b", "c", "d"]);
    assert_eq!(bench.var("all"), json!({ "inner": "c 1", "d": "d 1" }));
}

fn each(more: Value, steps: Value) -> Value {
    with(json!({ "type": "forEach", "id": "each", "items": "input.list", "outputVar": "all", "steps": steps }), more)
}

fn over(list: Value, more: Value) -> Bench {
    let definition = json!({ "steps": [each(more, json!([told("a", "{{ item }} {{ index }}")])), agent("last")] });
    Bench::start(definition, json!({ "list": list }))
}

#[test]
fn each_item_is_gone_through_one_after_the_other() {
    let mut bench = over(json!(["x", "y"]), json!({}));
    assert_eq!(bench.told(), ["x 0"]);
    bench.answer("a", Ok(json!("X")));
    assert_eq!(bench.told(), ["y 1"]);
    bench.answer("a", Ok(json!("Y")));
    assert_eq!((bench.var("all"), bench.open()), (json!(["X", "Y"]), vec!["last".to_owned()]));
}

#[test]
fn results_and_variables_come_in_the_order_of_the_items_and_not_of_their_ends() {
    let mut bench = over(json!([1, 2, 3]), json!({ "maxConcurrency": 3 }));
    assert_eq!(bench.told(), ["1 0", "2 1", "3 2"]);
    for told in ["3 2", "1 0", "2 1"] {
        bench.answer_told(told, Ok(json!(format!("answer to {told}"))));
    }
    assert_eq!(bench.var("all"), json!(["answer to 1 0", "answer to 2 1", "answer to 3 2"]));
    assert_eq!(bench.var("a_out"), json!("answer to 3 2"), "the last item's, though it ended first");
}

#[test]
fn an_iteration_sees_what_was_set_before_and_by_itself_and_not_by_others() {
    let body = json!([
        told("a", "{{ x }}"),
        { "type": "set", "id": "keep", "vars": { "x": "a_out" } },
        told("b", "{{ x }}"),
    ]);
    let definition = json!({ "steps": [each(json!({}), body), told("last", "{{ x }}")] });
    let mut bench = Bench::start(definition, json!({ "list": [1, 2], "x": "outside" }));
    for answer in ["one", "two"] {
        assert_eq!(bench.told(), ["outside"]);
        bench.answer("a", Ok(json!(answer)));
        assert_eq!(bench.told(), [answer]);
        bench.answer("b", Ok(json!("")));
    }
    assert_eq!(bench.told(), ["two"]);
}

#[test]
fn an_item_may_have_a_name_of_its_own_and_is_gone_after_the_end() {
    let body = json!([told("a", "{{ order.id }}")]);
    let definition = json!({ "steps": [each(json!({ "as": "order" }), body), told("last", "{{ order }}")] });
    let mut bench = Bench::start(definition, json!({ "list": [{ "id": 5 }] }));
    assert_eq!(bench.told(), ["5"]);
    bench.answer("a", Ok(json!(1)));
    assert_eq!(bench.code(), "expr.unknown_variable");
}

#[test]
fn iterations_under_way_are_bounded() {
    let mut bench = over(json!([1, 2, 3, 4]), json!({ "maxConcurrency": 2 }));
    assert_eq!(bench.told(), ["1 0", "2 1"]);
    bench.answer_told("2 1", Ok(json!(1)));
    assert_eq!(bench.told(), ["1 0", "3 2"]);
}

#[test]
fn no_items_give_no_results() {
    let bench = over(json!([]), json!({}));
    assert_eq!((bench.var("all"), bench.open()), (json!([]), vec!["last".to_owned()]));
    assert_eq!(bench.entries("each"), ["step.started", "step.succeeded"]);
}

#[test]
fn items_that_are_no_array_are_a_type_error() {
    for items in [json!("text"), json!({ "a": 1 }), json!(3), Value::Null] {
        let bench = over(items.clone(), json!({}));
        assert_eq!(bench.code(), "expr.type", "{items}");
    }
}

#[test]
fn more_items_than_a_for_each_takes_are_a_fault_of_the_step() {
    let many = |count: usize| Value::Array(vec![json!(0); count]);
    assert_eq!(over(many(10_001), json!({})).code(), "expr.limit");
    assert_eq!(over(many(10_000), json!({})).status(), RunStatus::Running);
}

#[test]
fn the_first_failure_ends_a_for_each_and_begins_no_other_item() {
    let mut bench = over(json!([1, 2, 3, 4]), json!({ "maxConcurrency": 2, "onError": "continue" }));
    let late = bench.call("a");
    bench.answer_told("2 1", Err(refused()));
    assert_eq!(bench.open(), ["last"]);
    assert_eq!((bench.var("all"), bench.visits("a")), (Value::Null, 2));
    assert!(!bench.wants(late));
}

#[test]
fn a_for_each_that_waits_for_all_goes_through_all_and_fails_with_the_first_failure() {
    let mut bench = over(json!([1, 2, 3]), json!({ "onFailure": "waitAll" }));
    bench.answer("a", Ok(json!(1)));
    bench.answer("a", Err(CallError::permanent("first", "1")));
    assert_eq!(bench.told(), ["3 2"]);
    bench.answer("a", Err(CallError::permanent("second", "2")));
    assert_eq!((bench.code(), bench.visits("a")), ("first", 3));
}

#[test]
fn an_iteration_whose_last_step_failed_and_may_gives_null() {
    let body = json!([agent("a"), with(agent("b"), json!({ "onError": "continue" }))]);
    let mut bench = Bench::start(json!({ "steps": [each(json!({}), body)] }), json!({ "list": [1] }));
    bench.answer("a", Ok(json!("A")));
    bench.answer("b", Err(refused()));
    assert_eq!(bench.var("all"), json!([null]));
}

#[test]
fn an_iteration_that_skips_all_its_steps_gives_null() {
    let body = json!([with(agent("a"), json!({ "when": "item > 1" }))]);
    let definition = json!({ "steps": [each(json!({}), body)] });
    let (_, bench) = Bench::start(definition, json!({ "list": [1, 2] })).finish(fine);
    assert_eq!(bench.var("all"), json!([null, "a 2"]));
}

#[test]
fn for_each_steps_nest_and_the_inner_item_hides_the_outer_one() {
    let inner =
        json!({ "type": "forEach", "id": "inner", "items": "item", "steps": [told("a", "{{ item }} {{ index }}")] });
    let definition = json!({ "steps": [each(json!({ "maxConcurrency": 2 }), json!([inner]))] });
    let bench = Bench::start(definition, json!({ "list": [["x", "y"], ["z"]] }));
    assert_eq!(bench.told(), ["x 0", "z 0"]);
    let (_, bench) = bench.finish(|call| Ok(call.input["message"].clone()));
    assert_eq!(bench.var("all"), json!([["x 0", "y 1"], ["z 0"]]));
}

#[test]
fn conditions_and_loops_inside_iterations_keep_apart() {
    let body = json!([
        { "type": "condition", "id": "odd", "expr": "item is odd", "then": [told("a", "odd {{ item }}")] },
        { "type": "loop", "id": "twice", "while": "iteration < 2", "maxIterations": 5, "steps": [told("b", "{{ item }}.{{ iteration }}")] },
    ]);
    let definition = json!({ "steps": [each(json!({ "maxConcurrency": 3 }), body)] });
    let mut bench = Bench::start(definition, json!({ "list": [1, 2, 3] }));
    assert_eq!(bench.told(), ["odd 1", "2.1", "odd 3"]);
    bench.answer_told("odd 3", Ok(json!("")));
    bench.answer_told("2.1", Ok(json!("")));
    assert_eq!(bench.told(), ["odd 1", "2.2", "3.1"]);
    let (_, bench) = bench.finish(fine);
    assert_eq!(bench.var("all"), json!([2, 2, 2]));
}

#[test]
fn as_many_items_as_a_for_each_takes_are_gone_through() {
    let each = json!({ "type": "forEach", "id": "each", "items": "input.list", "maxConcurrency": 1000, "outputVar": "all",
                       "steps": [{ "type": "set", "id": "s", "vars": { "x": "item + 1" } }] });
    let workflow = bench::workflow(&json!({ "maxSteps": 100_000, "steps": [each] }));
    let mut state = State::new(workflow, facts());
    let input = std::sync::Arc::new(json!({ "list": (0..10_000).collect::<Vec<_>>() }));
    state.apply(&Event::RunStarted { input, plugins: Vec::new() });
    while !state.decide(&bench::TEMPLATES, facts().started_at).is_empty() {}
    assert_eq!(state.status(), RunStatus::Success);
    assert_eq!(*state.variables()["x"], json!(10_000));
    assert_eq!(state.variables()["all"].as_array().unwrap().len(), 10_000);
}
