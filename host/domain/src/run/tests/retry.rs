//! A run that has ended goes on from the step that failed.

use super::*;
use crate::id::WorkflowId;

#[test]
fn a_failed_step_is_another_visit_and_what_stands_before_it_is_kept() {
    let mut bench = Bench::start(json!({ "steps": [agent("a"), agent("b"), told("c", "{{ a_out }}")] }), json!({}));
    bench.answer("a", Ok(json!("A")));
    bench.answer("b", Err(refused()));
    bench.retry();
    let call = bench.call("b");
    assert_eq!((bench.open().len(), call.visit.number, call.attempt), (1, 2, 1));
    assert_eq!((bench.status(), bench.state.error()), (RunStatus::Running, None));
    bench.answer("b", Ok(json!("B")));
    assert_eq!(bench.told(), ["A"]);
}

#[test]
fn a_child_run_that_may_have_been_started_when_the_run_ended_is_begun_anew() {
    let child = WorkflowId::from_parts(1, [3; 10]).to_string();
    let definition = json!({ "steps": [{ "type": "workflow", "id": "sub", "workflowId": child }] });
    let mut bench = Bench::start(definition, json!({}));
    assert_eq!(bench.call("sub").visit.number, 1);
    bench.cancel();
    bench.retry();
    assert_eq!(bench.call("sub").visit.number, 2);
}

#[test]
fn a_run_can_be_retried_as_often_as_it_fails() {
    let mut bench = Bench::start(json!({ "steps": [agent("a")] }), json!({}));
    for number in 1..5 {
        assert_eq!(bench.call("a").visit.number, number);
        bench.answer("a", Err(refused()));
        bench.retry();
    }
    bench.answer("a", Ok(json!(1)));
    assert_eq!(bench.status(), RunStatus::Success);
}

#[test]
fn a_call_in_flight_when_the_run_ended_is_owed_again_as_it_was() {
    let mut bench = Bench::start(json!({ "steps": [agent("a")] }), json!({}));
    bench.answer("a", Err(away()));
    let before = bench.call("a");
    bench.cancel();
    bench.retry();
    let after = bench.call("a");
    assert_eq!((after.visit, after.attempt), (before.visit, 2));
}

#[test]
fn variables_can_be_changed() {
    let definition = json!({ "steps": [agent("a"), told("b", "{{ a_out }}{{ fresh }}")] });
    let mut bench = Bench::start(definition, json!({}));
    bench.answer("a", Ok(json!("A")));
    assert_eq!(bench.code(), "expr.unknown_variable");
    bench.retry_with(None, json!({ "a_out": "mended", "fresh": "!" }));
    assert_eq!(bench.told(), ["mended!"]);
    assert_eq!(bench.var("a_out"), json!("mended"));
}

#[test]
fn changed_variables_are_seen_inside_and_win_over_what_ended_branches_set() {
    let definition = json!({ "steps": [
        { "type": "parallel", "id": "p", "steps": [agent("a"), [agent("b"), told("c", "{{ b_out }} {{ broken }}")]] },
        told("last", "{{ a_out }} {{ b_out }}"),
    ] });
    let mut bench = Bench::start(definition, json!({}));
    bench.answer("a", Ok(json!("A")));
    bench.answer("b", Ok(json!("B")));
    bench.retry_with(None, json!({ "a_out": "A2", "b_out": "B2", "broken": "whole" }));
    assert_eq!(bench.told(), ["B2 whole"]);
    bench.answer("c", Ok(json!(1)));
    assert_eq!(bench.told(), ["A2 B2"]);
}

#[test]
fn a_run_that_made_too_many_executions_may_make_as_many_again() {
    let definition = json!({ "maxSteps": 3, "steps": [
        agent("a"),
        { "type": "condition", "id": "back", "expr": "true", "then": "a" },
    ] });
    let mut bench = Bench::start(definition, json!({}));
    bench.answer("a", Ok(json!(1)));
    bench.answer("a", Ok(json!(1)));
    assert_eq!((bench.code(), bench.visits("back")), ("definition.max_steps", 1));
    bench.retry();
    assert_eq!(bench.visits("back"), 2);
    bench.answer("a", Ok(json!(1)));
    assert_eq!((bench.code(), bench.visits("a")), ("definition.max_steps", 3));
}

#[test]
fn the_time_of_a_run_that_took_too_long_counts_anew() {
    let mut bench = Bench::start(json!({ "timeout": "10m", "steps": [agent("a")] }), json!({}));
    bench.pass(601 * SECOND);
    bench.write(bench.state.time_out());
    assert_eq!(bench.status(), RunStatus::TimedOut);
    bench.pass(3_600 * SECOND);
    bench.retry();
    assert_eq!(bench.state.deadline(), Some(bench.now + 600 * SECOND));
    assert_eq!(bench.open(), ["a"]);
}

#[test]
fn bounds_of_visits_count_anew_and_a_wait_ends_when_it_was_to_end() {
    let definition = json!({ "steps": [{ "type": "parallel", "id": "p", "timeout": "10m", "steps": [
        with(agent("a"), json!({ "totalTimeout": "5m" })),
        { "type": "wait", "id": "hear", "event": "go", "timeout": "4m" },
        { "type": "wait", "id": "nap", "duration": "2m" },
    ] }] });
    let mut bench = Bench::start(definition, json!({}));
    bench.pass(60 * SECOND);
    bench.cancel();
    bench.retry();
    assert_eq!(bench.call("a").deadline, Some(bench.now + 300 * SECOND));
    assert_eq!(bench.state.next_wake(), Some(bench.now + 60 * SECOND), "the nap's end");
    bench.pass(239 * SECOND);
    assert_eq!((bench.entries("nap").len(), bench.status()), (2, RunStatus::Running));
    bench.pass(SECOND);
    assert_eq!(bench.code(), "wait.timeout");
}

#[test]
fn an_open_approval_is_asked_anew() {
    let definition = json!({ "steps": [{ "type": "approval", "id": "ask", "message": "?", "timeout": "1m" }] });
    let mut bench = Bench::start(definition, json!({}));
    let first = bench.state.approvals().remove(0).visit;
    bench.cancel();
    bench.pass(120 * SECOND);
    bench.retry();
    let open = bench.state.approvals().remove(0);
    assert_eq!((open.visit.number, open.expires_at), (2, Some(bench.now + 60 * SECOND)));
    assert!(!bench.receive(Message::Decision { visit: first, approved: true, by: "ann".into(), note: None }));
    bench.decision("ask", true);
    assert_eq!(bench.status(), RunStatus::Success);
}

#[test]
fn signals_that_nobody_took_are_still_there() {
    let mut bench = Bench::start(
        json!({ "steps": [agent("a"), { "type": "wait", "id": "hear", "event": "go" }, agent("b")] }),
        json!({}),
    );
    bench.signal("go", json!(1));
    bench.answer("a", Err(refused()));
    bench.retry();
    bench.answer("a", Ok(json!(1)));
    assert_eq!(bench.open(), ["b"]);
}

#[test]
fn an_output_that_could_not_be_computed_is_computed_again() {
    let mut bench = Bench::start(json!({ "steps": [agent("a")], "output": { "x": "missing" } }), json!({}));
    bench.answer("a", Ok(json!(1)));
    assert_eq!(bench.status(), RunStatus::Failed);
    bench.retry_with(None, json!({ "missing": "found" }));
    assert_eq!((bench.status(), bench.state.output()), (RunStatus::Success, json!({ "x": "found" })));
    assert_eq!(bench.visits("a"), 1);
}

#[test]
fn a_child_run_that_failed_or_was_abandoned_is_waited_for_again() {
    let sub = json!({ "type": "workflow", "id": "sub", "workflowId": facts().workflow_id });
    let mut bench = Bench::start(json!({ "steps": [sub.clone()] }), json!({}));
    let run = bench.start_child("sub");
    bench.child_ended(run, RunStatus::Failed, Value::Null);
    bench.retry();
    assert_eq!(bench.state.children()[0].1, run);
    bench.child_ended(run, RunStatus::Success, json!(1));
    assert_eq!(bench.status(), RunStatus::Success);

    let group = json!({ "type": "parallel", "id": "p", "steps": [sub, agent("a")] });
    let mut bench = Bench::start(json!({ "steps": [group] }), json!({}));
    let run = bench.start_child("sub");
    bench.answer("a", Err(refused()));
    assert_eq!(bench.state.take_abandoned(), [run]);
    bench.retry();
    assert_eq!((bench.state.children()[0].1, bench.open()), (run, vec!["a".to_owned()]));
    assert_eq!(bench.state.take_abandoned(), []);
}

#[test]
fn a_failed_child_run_is_given_up_where_what_it_was_given_may_have_changed() {
    let sub =
        json!({ "type": "workflow", "id": "sub", "workflowId": facts().workflow_id, "input": { "x": "{{ x }}" } });
    let definition = json!({ "steps": [sub] });
    let mut bench = Bench::start(definition.clone(), json!({ "x": 1 }));
    bench.know(2, &definition);
    let run = bench.start_child("sub");
    bench.child_ended(run, RunStatus::Failed, Value::Null);
    bench.retry_with(None, json!({ "x": 2 }));
    let call = bench.call("sub");
    assert_eq!((call.visit.number, &call.input["input"]), (2, &json!({ "x": 2 })));
    let run = bench.start_child("sub");
    bench.child_ended(run, RunStatus::Failed, Value::Null);
    bench.retry_with(Some(2), json!({}));
    assert_eq!(bench.call("sub").visit.number, 3);
}

#[test]
fn a_run_goes_on_from_a_fail_step_and_from_nothing_around_it() {
    let fail = json!({ "type": "fail", "id": "stop", "message": "no", "when": "not ready" });
    let around = [
        json!({ "type": "condition", "expr": "true", "then": [fail, agent("a")] }),
        json!({ "type": "forEach", "items": "[1]", "steps": [fail, agent("a")] }),
        json!({ "type": "loop", "until": "true", "maxIterations": 2, "steps": [fail, agent("a")] }),
        json!({ "type": "parallel", "steps": [[fail, agent("a")], agent("b")] }),
    ];
    for step in around {
        let definition =
            json!({ "steps": [with(step.clone(), json!({ "id": "around", "onError": "continue" })), agent("last")] });
        let mut bench = Bench::start(definition, json!({ "ready": false }));
        assert_eq!(bench.code(), "run.failed", "{step}");
        bench.retry_with(None, json!({ "ready": true }));
        assert_eq!((bench.open()[0].as_str(), bench.visits("stop")), ("a", 2), "{step}");
        let (_, bench) = bench.finish(fine);
        assert_eq!((bench.status(), bench.visits("last")), (RunStatus::Success, 1), "{step}");
    }
}
