//! What time ends: a visit, or the whole run.

use super::*;

#[test]
fn a_run_that_takes_too_long_owes_nothing_any_more() {
    let definition = json!({ "timeout": "10m", "steps": [agent("a")] });
    let mut bench = Bench::start(definition, json!({}));
    assert_eq!(bench.state.deadline(), Some(facts().started_at + Duration::from_secs(600)));
    bench.write(bench.state.time_out());
    assert_eq!(bench.open(), [""; 0]);
    assert_eq!(bench.state.status(), RunStatus::TimedOut);
}

#[test]
fn total_timeout_bounds_a_visit_with_all_its_attempts() {
    let definition = json!({ "steps": [with(agent("a"), json!({ "totalTimeout": "10s", "timeout": "1m" }))] });
    let mut bench = Bench::start(definition, json!({}));
    assert_eq!(bench.call("a").deadline, Some(bench.now + 10 * SECOND));
    bench.pass(9 * SECOND);
    bench.answer("a", Err(away()));
    let call = bench.call("a");
    assert_eq!((call.attempt, call.deadline), (2, Some(facts().started_at + 10 * SECOND)));
    bench.pass(SECOND);
    let error = bench.state.error().unwrap();
    assert_eq!((error.code.as_str(), error.attempts), ("step.timeout", 2));
    assert_eq!(error.message, "the step took longer than 10s");
    assert!(!bench.wants(call));
}

#[test]
fn the_timeout_of_a_step_that_calls_somebody_bounds_an_attempt_which_is_not_for_the_state_to_see() {
    let bench = Bench::start(json!({ "steps": [with(agent("a"), json!({ "timeout": "10s" }))] }), json!({}));
    assert_eq!((bench.call("a").deadline, bench.state.next_wake()), (None, None));
}

#[test]
fn a_group_a_loop_and_a_child_run_have_their_time() {
    let kinds = [
        json!({ "type": "parallel", "steps": [agent("a"), agent("b")] }),
        json!({ "type": "forEach", "items": "[1, 2]", "steps": [agent("a")] }),
        json!({ "type": "loop", "while": "true", "maxIterations": 3, "steps": [agent("a")] }),
        json!({ "type": "workflow", "workflowId": facts().workflow_id }),
    ];
    for kind in kinds {
        let bounds = json!({ "id": "it", "timeout": "2m", "totalTimeout": "1m", "onError": "continue" });
        let definition = json!({ "steps": [with(kind.clone(), bounds), told("last", "{{ errors.it.message }}")] });
        let mut bench = Bench::start(definition, json!({}));
        bench.pass(59 * SECOND);
        assert_ne!(bench.open(), ["last"], "{kind}");
        bench.pass(SECOND);
        assert_eq!(bench.told(), ["the step took longer than 1m"], "{kind}");
        assert_eq!((bench.open().len(), bench.state.next_wake()), (1, None));
    }
}

#[test]
fn what_a_group_set_before_its_time_was_up_shows() {
    let definition = json!({ "steps": [
        { "type": "parallel", "id": "p", "timeout": "1m", "onError": "continue", "steps": [agent("a"), [agent("b"), agent("c")]] },
        told("last", "{{ a_out }} {{ b_out }}"),
    ] });
    let mut bench = Bench::start(definition, json!({}));
    bench.answer("a", Ok(json!("A")));
    bench.answer("b", Ok(json!("B")));
    bench.pass(60 * SECOND);
    assert_eq!(bench.told(), ["A B"]);
}

#[test]
fn an_inner_time_that_is_up_is_the_inner_steps_affair() {
    let inner = json!({ "type": "wait", "id": "hear", "event": "go", "timeout": "10s", "onError": "continue" });
    let definition = json!({ "steps": [
        { "type": "forEach", "id": "each", "items": "[1, 2]", "timeout": "15s", "steps": [inner] },
    ] });
    let mut bench = Bench::start(definition, json!({}));
    bench.pass(10 * SECOND);
    assert_eq!((bench.status(), bench.visits("hear")), (RunStatus::Running, 2));
    bench.pass(5 * SECOND);
    assert_eq!((bench.code(), bench.status()), ("step.timeout", RunStatus::Failed));
}

#[test]
fn nothing_begins_inside_a_visit_whose_time_is_up() {
    let definition = json!({ "steps": [
        { "type": "parallel", "id": "p", "timeout": "1m", "steps": [[agent("a"), agent("b")]] },
    ] });
    let mut bench = Bench::start(definition, json!({}));
    bench.now += 61 * SECOND;
    bench.answer("a", Ok(json!(1)));
    assert_eq!((bench.code(), bench.visits("b")), ("step.timeout", 0));
}

#[test]
fn a_group_whose_last_branch_ends_as_its_time_is_up_has_ended_well() {
    let definition = json!({ "steps": [{ "type": "parallel", "id": "p", "timeout": "1m", "steps": [agent("a")] }] });
    let mut bench = Bench::start(definition, json!({}));
    bench.now += 61 * SECOND;
    bench.answer("a", Ok(json!(1)));
    assert_eq!(bench.status(), RunStatus::Success);
}
