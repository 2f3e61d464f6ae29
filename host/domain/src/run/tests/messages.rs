//! Somebody pauses, resumes or cancels a run.

use super::*;

#[test]
fn a_paused_run_begins_nothing_and_records_the_answers_in_flight() {
    let mut bench = Bench::start(json!({ "steps": [agent("a"), agent("b")] }), json!({}));
    bench.pause();
    assert_eq!((bench.status(), bench.open()), (RunStatus::Paused, vec!["a".to_owned()]));
    bench.answer("a", Ok(json!("A")));
    assert_eq!((bench.var("a_out"), bench.open()), (json!("A"), vec![]));
    bench.resume();
    assert_eq!((bench.status(), bench.open()), (RunStatus::Running, vec!["b".to_owned()]));
}

#[test]
fn pause_and_resume_mean_something_once() {
    let mut bench = Bench::start(json!({ "steps": [agent("a")] }), json!({}));
    assert!(!bench.receive(Message::Resume { by: "p".into() }));
    bench.pause();
    assert!(!bench.receive(Message::Pause { by: "p".into(), reason: None }));
}

#[test]
fn time_that_passes_while_a_run_is_paused_is_acted_upon_when_it_goes_on() {
    let definition = json!({ "steps": [{ "type": "wait", "id": "nap", "duration": "1m" }, agent("a")] });
    let mut bench = Bench::start(definition, json!({}));
    bench.pause();
    assert_eq!(bench.state.next_wake(), None);
    bench.pass(120 * SECOND);
    assert_eq!((bench.status(), bench.open()), (RunStatus::Paused, vec![]));
    bench.resume();
    assert_eq!(bench.open(), ["a"]);
}

#[test]
fn a_failure_while_a_run_is_paused_is_judged_when_it_goes_on() {
    let definition = json!({ "steps": [{ "type": "parallel", "id": "p", "steps": [agent("a"), agent("b")] }] });
    let mut bench = Bench::start(definition, json!({}));
    bench.pause();
    bench.answer("a", Err(refused()));
    assert_eq!((bench.status(), bench.open()), (RunStatus::Paused, vec!["b".to_owned()]));
    bench.resume();
    assert_eq!(bench.code(), "agent.refused");
}

#[test]
fn signals_decisions_and_child_runs_reach_a_paused_run() {
    let definition = json!({ "steps": [
        { "type": "parallel", "id": "p", "steps": [
            { "type": "wait", "id": "hear", "event": "go" },
            { "type": "approval", "id": "ask", "message": "?" },
            { "type": "workflow", "id": "sub", "workflowId": facts().workflow_id },
        ] },
        agent("last"),
    ] });
    let mut bench = Bench::start(definition, json!({}));
    let run = bench.start_child("sub");
    bench.pause();
    assert!(bench.signal("go", json!(1)));
    assert!(bench.decision("ask", true));
    assert!(bench.child_ended(run, RunStatus::Success, json!(1)));
    assert_eq!((bench.open(), bench.entries("hear")), (vec![], vec!["step.started"]));
    bench.resume();
    assert_eq!(bench.open(), ["last"]);
}

#[test]
fn a_cancelled_run_owes_and_asks_nothing_and_hears_nothing() {
    let definition = json!({ "steps": [{ "type": "parallel", "id": "p", "steps": [
        agent("a"),
        { "type": "approval", "id": "ask", "message": "?", "timeout": "1m" },
    ] }] });
    let mut bench = Bench::start(definition, json!({}));
    let (call, decision) = (bench.call("a"), bench.state.approvals()[0].visit.clone());
    assert!(bench.receive(Message::Cancel { by: "ann".into(), reason: Some("too dear".into()) }));
    assert_eq!((bench.status(), bench.code()), (RunStatus::Cancelled, "run.cancelled"));
    assert_eq!(bench.state.error().unwrap().message, "`ann` cancelled the run: too dear");
    assert_eq!((bench.open(), bench.state.approvals().len(), bench.state.next_wake()), (vec![], 0, None));
    assert!(!bench.wants(call));
    let messages = [
        Message::Decision { visit: decision, approved: true, by: "ann".into(), note: None },
        Message::Cancel { by: "ann".into(), reason: None },
        Message::Pause { by: "ann".into(), reason: None },
        Message::Resume { by: "ann".into() },
    ];
    for message in messages {
        assert!(!bench.receive(message));
    }
}

#[test]
fn a_paused_run_can_be_cancelled_and_goes_on_unpaused_when_it_is_retried() {
    let mut bench = Bench::start(json!({ "steps": [agent("a"), agent("b")] }), json!({}));
    bench.pause();
    bench.cancel();
    bench.retry();
    assert_eq!((bench.status(), bench.open()), (RunStatus::Running, vec!["a".to_owned()]));
}

#[test]
fn a_message_reads_back_as_it_was_kept() {
    let message = Message::ChildEnded {
        run: facts().run_id,
        status: RunStatus::TimedOut,
        output: std::sync::Arc::new(json!({ "a": 1 })),
        error: None,
    };
    let kept = serde_json::to_string(&message).unwrap();
    assert!(kept.starts_with(r#"{"kind":"childEnded","run":"run_"#), "{kept}");
    assert_eq!(serde_json::from_str::<Message>(&kept).unwrap(), message);
}
