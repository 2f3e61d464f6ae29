//! A retry may go over to another version of the definition.

use super::*;

fn failed_at_b(definition: &Value) -> Bench {
    let (_, bench) =
        Bench::start(definition.clone(), json!({ "topic": "tea" })).finish(|call| match call.visit.step.as_str() {
            "b" => Err(refused()),
            _ => fine(call),
        });
    assert_eq!(bench.code(), "agent.refused");
    bench
}

/// Retries with a version, and says which steps are called then.
fn called_with(mut bench: Bench, definition: &Value) -> Vec<String> {
    bench.know(2, definition);
    assert_eq!(bench.state.can_follow(&bench::workflow(definition)), Ok(()));
    bench.retry_with(Some(2), json!({}));
    let (called, bench) = bench.finish(fine);
    assert_eq!(bench.status(), RunStatus::Success);
    called
}

fn why_not(bench: &Bench, definition: &Value) -> String {
    bench.state.can_follow(&bench::workflow(definition)).unwrap_err().to_string()
}

#[test]
fn a_version_whose_failed_step_was_mended_is_followed_from_there() {
    let mut bench = failed_at_b(&json!({ "steps": [agent("a"), agent("b")] }));
    let mended = json!({ "steps": [agent("new"), agent("a"), told("b", "mended {{ a_out }}"), agent("c")] });
    bench.know(2, &mended);
    bench.retry_with(Some(2), json!({}));
    assert_eq!(bench.told(), ["mended a 1"]);
    assert_eq!(bench.finish(fine).0, ["b", "c"]);
}

#[test]
fn a_failed_step_may_have_become_one_of_another_type() {
    let bench = failed_at_b(&json!({ "steps": [agent("b"), agent("c")] }));
    let mended = json!({ "steps": [{ "type": "set", "id": "b", "vars": { "b_out": "1" } }, agent("c")] });
    assert_eq!(called_with(bench, &mended), ["c"]);
}

#[test]
fn nested_places_are_found_again_wherever_they_stand_now() {
    let inner = |mended: bool| {
        let b = if mended { told("b", "{{ item }}") } else { agent("b") };
        json!({ "type": "forEach", "id": "e", "items": "[1, 2, 3]", "onFailure": "waitAll", "steps": [agent("a"), b] })
    };
    let group = |steps: Value| json!({ "type": "parallel", "id": "p", "onFailure": "waitAll", "steps": steps });
    let bench = failed_at_b(&json!({ "steps": [group(json!([inner(false), agent("x")]))] }));
    let mended = json!({ "steps": [with(agent("new"), json!({ "when": "false" })), group(json!([inner(true), agent("x")])), agent("last")] });
    assert_eq!(called_with(bench, &mended), ["b", "b", "b", "last"]);
}

#[test]
fn steps_that_wait_for_their_turn_are_found_again() {
    let choice = json!({ "type": "condition", "id": "c", "expr": "true", "then": ["b", "x"] });
    let bench = failed_at_b(&json!({ "steps": [choice.clone(), agent("b"), agent("x"), agent("last")] }));
    let mended = json!({ "steps": [agent("new"), choice.clone(), agent("x"), agent("b"), agent("last")] });
    assert_eq!(called_with(bench, &mended), ["b", "x", "last"]);

    let bench = failed_at_b(&json!({ "steps": [choice, agent("b"), agent("x"), agent("last")] }));
    assert_eq!(
        why_not(&bench, &json!({ "steps": [agent("b"), agent("last")] })),
        "the run stands at `b`, which that version does not lead on from in the same order"
    );
    let elsewhere = json!({ "steps": [agent("b"), { "type": "parallel", "id": "p", "steps": [agent("x")] }] });
    assert!(why_not(&bench, &elsewhere).ends_with("does not lead on from in the same order"));
}

#[test]
fn a_version_without_the_place_where_the_run_stands_is_not_followed() {
    let group = |steps: Value| json!({ "steps": [{ "type": "parallel", "id": "p", "steps": steps }] });
    let bench = failed_at_b(&group(json!([[agent("a"), agent("b")], agent("x")])));
    let why = |definition: Value| why_not(&bench, &definition);
    assert_eq!(why(json!({ "steps": [agent("b")] })), "the run stands at `p`, which that version does not have");
    assert!(why(group(json!([agent("a"), agent("x")]))).contains("`b`, which that version does not have"));
    assert!(why(group(json!([agent("b"), agent("x")]))).contains("has with other branches"));
    assert!(why(group(json!([[agent("a"), agent("b")], agent("x"), agent("y")]))).contains("has with other branches"));
    let out = json!({ "steps": [
        { "type": "parallel", "id": "p", "steps": [agent("a"), agent("x")] },
        agent("b"),
    ] });
    assert!(why(out).contains("`b`, which that version has in another list of steps"));
    let other = json!({ "steps": [
        { "type": "forEach", "id": "p", "items": "[]", "steps": [agent("a"), agent("b")] },
    ] });
    assert!(why(other).contains("`p`, which that version has as a step of another type"));
}

#[test]
fn a_loop_and_a_block_are_followed_inside() {
    let definition = |more: &[&str]| {
        let mut body = vec![agent("a"), agent("b")];
        body.extend(more.iter().map(|id| agent(id)));
        let block = json!({ "type": "condition", "id": "c", "expr": "true", "then": body });
        json!({ "steps": [{ "type": "loop", "id": "l", "until": "true", "maxIterations": 2, "steps": [block] }] })
    };
    assert_eq!(called_with(failed_at_b(&definition(&[])), &definition(&["more"])), ["b", "more"]);
}

#[test]
fn a_cancelled_run_follows_with_the_calls_that_are_still_owed() {
    let mut bench = Bench::start(json!({ "steps": [agent("a"), agent("b")] }), json!({}));
    bench.cancel();
    let called = called_with(bench, &json!({ "steps": [agent("new"), agent("a"), agent("b"), agent("c")] }));
    assert_eq!(called, ["a", "b", "c"]);
}

#[test]
fn the_time_and_the_bounds_are_those_of_the_version() {
    let mut bench = failed_at_b(&json!({ "timeout": "1h", "steps": [agent("b")] }));
    bench.know(2, &json!({ "timeout": "2h", "steps": [with(agent("b"), json!({ "totalTimeout": "5m" }))] }));
    bench.retry_with(Some(2), json!({}));
    assert_eq!(bench.state.deadline(), Some(bench.now + 7_200 * SECOND));
    assert_eq!(bench.call("b").deadline, Some(bench.now + 300 * SECOND));
}
