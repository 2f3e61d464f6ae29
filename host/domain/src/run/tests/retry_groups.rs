//! A retry inside groups, loops and blocks: what has ended well there is not made again.

use super::*;

/// Fails the run at `b`, retries it, and says what is called then.
fn called_after_a_retry(definition: Value) -> Vec<String> {
    let (_, mut bench) = Bench::start(definition, json!({})).finish(|call| match call.visit.step.as_str() {
        "b" => Err(refused()),
        _ => fine(call),
    });
    assert_eq!(bench.code(), "agent.refused");
    bench.retry();
    let (called, bench) = bench.finish(fine);
    assert_eq!(bench.status(), RunStatus::Success);
    called
}

#[test]
fn finished_branches_are_not_called_again() {
    let group =
        json!({ "type": "parallel", "id": "p", "onFailure": "waitAll", "steps": [agent("a"), agent("b"), agent("c")] });
    assert_eq!(called_after_a_retry(json!({ "steps": [group, agent("last")] })), ["b", "last"]);
}

#[test]
fn a_branch_goes_on_from_its_own_failed_step() {
    let group = json!({ "type": "parallel", "id": "p", "steps": [[agent("a"), agent("b"), agent("c")]] });
    assert_eq!(called_after_a_retry(json!({ "steps": [agent("first"), group] })), ["b", "c"]);
}

#[test]
fn a_branch_in_flight_when_its_group_failed_fast_is_owed_again_as_it_was() {
    let definition = json!({ "steps": [{ "type": "parallel", "id": "p", "outputVar": "all", "steps": [agent("a"), [agent("c"), agent("d")]] }] });
    let mut bench = Bench::start(definition, json!({}));
    bench.answer("c", Ok(json!("C")));
    let before = bench.call("d");
    bench.answer("a", Err(refused()));
    bench.retry();
    assert_eq!(bench.open(), ["a", "d"]);
    assert_eq!((bench.call("a").visit.number, bench.call("d").visit), (2, before.visit));
    let (_, bench) = bench.finish(fine);
    assert_eq!(bench.var("all"), json!({ "a": "a 2", "c": "d 1" }));
}

#[test]
fn finished_items_keep_their_results_and_what_they_set() {
    let body = json!([told("b", "{{ item }}")]);
    let each = json!({ "type": "forEach", "id": "each", "items": "[1, 2, 3]", "outputVar": "all", "steps": body });
    let mut bench = Bench::start(json!({ "steps": [each] }), json!({}));
    bench.answer("b", Ok(json!("one")));
    bench.answer("b", Err(refused()));
    bench.retry();
    assert_eq!(bench.told(), ["2"]);
    bench.answer("b", Ok(json!("two")));
    bench.answer("b", Ok(json!("three")));
    assert_eq!(bench.var("all"), json!(["one", "two", "three"]));
}

#[test]
fn items_that_failed_go_on_when_there_is_room_for_them() {
    let each = json!({ "type": "forEach", "id": "each", "items": "[1, 2, 3, 4, 5]", "maxConcurrency": 2,
                       "onFailure": "waitAll", "outputVar": "all", "steps": [told("b", "{{ item }}")] });
    let (_, mut bench) = Bench::start(json!({ "steps": [each] }), json!({}))
        .finish(|call| if call.input["message"] == "3" { Ok(json!("ok")) } else { Err(refused()) });
    bench.retry();
    assert_eq!(bench.told(), ["1", "2"]);
    bench.answer_told("2", Ok(json!("second")));
    assert_eq!(bench.told(), ["1", "4"]);
    bench.answer_told("1", Err(refused()));
    bench.answer_told("4", Ok(json!("fourth")));
    bench.answer_told("5", Ok(json!("fifth")));
    assert_eq!(bench.status(), RunStatus::Failed, "one has failed again");
    bench.retry();
    assert_eq!(bench.told(), ["1"]);
    bench.answer_told("1", Ok(json!("first")));
    assert_eq!(bench.var("all"), json!(["first", "second", "ok", "fourth", "fifth"]));
}

#[test]
fn items_that_wait_for_their_turn_to_go_on_survive_another_end_of_the_run() {
    let each = json!({ "type": "forEach", "id": "each", "items": "[1, 2, 3]", "onFailure": "waitAll", "outputVar": "all",
                       "steps": [{ "type": "condition", "id": "c", "expr": "true", "then": [told("b", "{{ item }}")] }] });
    let (_, mut bench) = Bench::start(json!({ "steps": [each] }), json!({})).finish(|_| Err(refused()));
    bench.retry();
    bench.cancel();
    bench.retry();
    assert_eq!(bench.told(), ["1"]);
    let (called, bench) = bench.finish(fine);
    assert_eq!((called.len(), bench.status(), bench.visits("c")), (3, RunStatus::Success, 3));
}

#[test]
fn a_run_that_ended_between_a_failure_and_the_end_of_its_group_goes_on_from_the_failure() {
    let group = json!({ "type": "parallel", "id": "p", "onFailure": "waitAll", "outputVar": "all", "steps": [agent("a"), agent("b"), agent("c")] });
    let mut bench = Bench::start(json!({ "steps": [group] }), json!({}));
    bench.answer("a", Err(refused()));
    bench.answer("b", Ok(json!("B")));
    bench.write(bench.state.time_out());
    bench.retry();
    assert_eq!(bench.open(), ["a", "c"]);
    bench.answer("c", Ok(json!("C")));
    assert_eq!(bench.status(), RunStatus::Running);
    bench.answer("a", Ok(json!("A")));
    assert_eq!(bench.var("all"), json!({ "a": "A", "b": "B", "c": "C" }));
}

#[test]
fn a_loop_goes_on_in_the_pass_that_failed() {
    let body = json!([told("a", "{{ iteration }}"), told("b", "{{ iteration }}")]);
    let again = json!({ "type": "loop", "id": "again", "while": "true", "maxIterations": 2, "steps": body, "outputVar": "passes" });
    let mut bench = Bench::start(json!({ "steps": [again] }), json!({}));
    for step in ["a", "b", "a"] {
        bench.answer(step, Ok(json!(1)));
    }
    bench.answer("b", Err(refused()));
    bench.retry();
    assert_eq!((bench.open(), bench.told()), (vec!["b".to_owned()], vec!["2".to_owned()]));
    bench.answer("b", Ok(json!(1)));
    assert_eq!((bench.var("passes"), bench.visits("again")), (json!(2), 1));
}

#[test]
fn a_run_that_ended_between_a_failed_pass_and_the_end_of_its_loop_goes_on_in_that_pass() {
    let again = json!({ "type": "loop", "id": "again", "while": "true", "maxIterations": 2, "steps": [agent("b")], "outputVar": "passes" });
    let mut bench = Bench::start(json!({ "steps": [again] }), json!({}));
    bench.pause();
    bench.answer("b", Err(refused()));
    bench.cancel();
    bench.retry();
    assert_eq!(bench.open(), ["b"]);
    let (called, bench) = bench.finish(fine);
    assert_eq!((called, bench.var("passes")), (vec!["b".to_owned(), "b".to_owned()], json!(2)));
}

#[test]
fn a_test_of_a_loop_that_could_not_be_judged_is_judged_again() {
    let again = json!({ "type": "loop", "id": "again", "until": "ready", "maxIterations": 3, "steps": [agent("a")] });
    let mut bench = Bench::start(json!({ "steps": [again] }), json!({}));
    bench.answer("a", Ok(json!(1)));
    assert_eq!(bench.code(), "expr.unknown_variable");
    bench.retry_with(None, json!({ "ready": true }));
    assert_eq!((bench.status(), bench.visits("a")), (RunStatus::Success, 1));
}

#[test]
fn blocks_go_on_from_inside_and_their_condition_is_not_judged_again() {
    let block = json!({ "type": "condition", "id": "c", "expr": "true", "then": [agent("a"), agent("b"), agent("d")] });
    assert_eq!(called_after_a_retry(json!({ "steps": [block.clone(), agent("last")] })), ["b", "d", "last"]);
    let switch = json!({ "type": "switch", "id": "s", "cases": [{ "when": "true", "then": [block] }] });
    assert_eq!(called_after_a_retry(json!({ "steps": [switch, agent("last")] })), ["b", "d", "last"]);
}

#[test]
fn a_retry_finds_its_way_through_every_kind_of_nesting() {
    let block = json!({ "type": "condition", "id": "c", "expr": "true", "then": [agent("a"), agent("b")] });
    let again = json!({ "type": "loop", "id": "l", "until": "true", "maxIterations": 3, "steps": [block, agent("d")] });
    let each = json!({ "type": "forEach", "id": "e", "items": "[1, 2]", "steps": [again] });
    let group = json!({ "type": "parallel", "id": "p", "onFailure": "waitAll", "steps": [each, agent("other")] });
    let called = called_after_a_retry(json!({ "steps": [agent("first"), group, agent("last")] }));
    assert_eq!(called, ["b", "d", "a", "b", "d", "last"]);
}

#[test]
fn a_group_whose_time_was_up_goes_on_with_as_much_time_as_at_first() {
    let group = json!({ "type": "parallel", "id": "p", "timeout": "1m", "steps": [agent("a"), agent("b")] });
    let mut bench = Bench::start(json!({ "steps": [group] }), json!({}));
    bench.answer("a", Ok(json!(1)));
    bench.pass(60 * SECOND);
    assert_eq!(bench.code(), "step.timeout");
    bench.pass(600 * SECOND);
    bench.retry();
    assert_eq!((bench.open(), bench.state.next_wake()), (vec!["b".to_owned()], Some(bench.now + 60 * SECOND)));
}

#[test]
fn chosen_steps_that_have_not_run_yet_run_after_the_one_that_failed() {
    let definition = json!({ "steps": [
        { "type": "condition", "id": "c", "expr": "true", "then": ["b", "x", "y"] },
        agent("x"), agent("b"), agent("y"), agent("last"),
    ] });
    assert_eq!(called_after_a_retry(definition), ["b", "x", "y", "last"]);
}
