//! A run that takes over the beginning of another one.

use super::*;

fn pipeline() -> Bench {
    let definition = json!({ "steps": [agent("a"), agent("b"), told("c", "{{ a_out }} {{ b_out }}")] });
    let (_, bench) = Bench::start(definition, json!({})).finish(fine);
    bench
}

#[test]
fn a_fork_keeps_what_stands_before_its_step_and_calls_the_rest_again() {
    let original = pipeline();
    let fork = original.fork(original.before("b"), json!({ "a_out": "other" }));
    assert_eq!((fork.status(), fork.var("a_out")), (RunStatus::Running, json!("other")));
    let (called, fork) = fork.finish(|_| Ok(json!("new")));
    assert_eq!(called, ["b", "c"]);
    assert!(fork.journal.iter().any(|event| {
        matches!(event, Event::StepStarted { input, .. } if **input == json!({ "message": "other new" }))
    }));
    assert_eq!(original.status(), RunStatus::Success, "the original is as it was");
}

#[test]
fn a_call_in_flight_is_owed_by_the_fork_too() {
    let original = pipeline();
    let fork = original.fork(original.before("b") + 1, json!({}));
    assert_eq!(fork.open(), ["b"]);
}

#[test]
fn a_fork_asks_and_starts_for_itself_what_the_other_run_waits_for() {
    let definition = json!({ "steps": [{ "type": "parallel", "id": "p", "steps": [
        { "type": "approval", "id": "ask", "message": "?" },
        { "type": "workflow", "id": "sub", "workflowId": facts().workflow_id },
        { "type": "wait", "id": "hear", "event": "go", "timeout": "1m" },
        agent("a"),
    ] }] });
    let mut original = Bench::start(definition, json!({}));
    let run = original.start_child("sub");
    original.pass(30 * SECOND);
    let mut fork = original.fork(original.journal.len(), json!({}));
    assert_eq!((fork.state.approvals()[0].visit.number, fork.call("sub").visit.number), (2, 2));
    assert_eq!(fork.call("a").visit.number, 1);
    assert_eq!((fork.state.children(), fork.state.take_abandoned()), (vec![], vec![]));
    assert!(!fork.child_ended(run, RunStatus::Success, json!(1)), "the other run's child is not ours");
    assert_eq!(fork.state.next_wake(), Some(fork.now + 60 * SECOND), "its time counts from its own beginning");
}

#[test]
fn a_fork_of_a_run_that_has_ended_goes_on_from_what_failed() {
    let definition = json!({ "timeout": "10m", "steps": [
        { "type": "parallel", "id": "p", "steps": [agent("a"), agent("b")] },
    ] });
    let mut original = Bench::start(definition, json!({}));
    original.answer("a", Ok(json!(1)));
    original.answer("b", Err(refused()));
    original.pass(3_600 * SECOND);
    let fork = original.fork(original.journal.len(), json!({}));
    assert_eq!((fork.status(), fork.open()), (RunStatus::Running, vec!["b".to_owned()]));
    assert_eq!(fork.state.deadline(), Some(fork.now + 600 * SECOND));
}

#[test]
fn a_fork_of_a_paused_run_goes_on() {
    let mut original = Bench::start(json!({ "steps": [agent("a"), agent("b")] }), json!({}));
    original.pause();
    original.answer("a", Ok(json!(1)));
    assert_eq!(original.fork(original.journal.len(), json!({})).open(), ["b"]);
}

#[test]
fn a_fork_can_be_cut_anywhere() {
    let body = json!([agent("a"), { "type": "condition", "id": "c", "expr": "item > 1", "then": [agent("b")] }]);
    let each = json!({ "type": "forEach", "id": "e", "items": "[1, 2]", "maxConcurrency": 2, "steps": body, "outputVar": "all" });
    let (_, original) = Bench::start(json!({ "steps": [agent("first"), each] }), json!({})).finish(fine);
    for length in 1..=original.journal.len() {
        let (_, fork) = original.fork(length, json!({})).finish(fine);
        assert_eq!((fork.status(), fork.var("all")), (RunStatus::Success, json!([false, true])), "cut at {length}");
    }
}
