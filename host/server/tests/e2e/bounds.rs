//! No run takes a host down with it.

use std::sync::Arc;
use std::time::Duration;

use armilla_domain::id::{RunId, WorkspaceId};
use armilla_domain::journal::{Entry, Event};
use armilla_engine::{Clock, RunLimits, SystemClock};
use armilla_store::{Lease, NewRun, Rows, Started, Store};
use armilla_testkit::agent::Answer;
use armilla_testkit::agent::ScriptedAgent;
use armilla_testkit::db::TestDatabase;
use serde_json::json;
use uuid::Uuid;

use crate::harness::{TestServer, agent_step, until};

#[tokio::test]
async fn a_run_that_stopped_three_hosts_is_paused_until_somebody_resumes_it() {
    let database = TestDatabase::create().await;
    let store = Store::new(database.connect_options());
    let server = TestServer::on(&database, 1).await;
    let workflow = server.admin.create(json!({ "steps": [agent_step("a", "m")] })).await;
    server.engine.stop().await;

    let started_at = SystemClock.now();
    let id = RunId::from_parts(started_at.timestamp_millis().unsigned_abs(), [7; 10]);
    let first = Entry { at: started_at, event: Event::RunStarted { input: Arc::new(json!({})), plugins: Vec::new() } };
    let run = NewRun {
        id,
        workspace: WorkspaceId::DEFAULT,
        workflow: workflow.parse().unwrap(),
        version: 1,
        started_at,
        lease: None,
        traceparent: None,
        plugins: None,
        entries: &Rows::of(&[first]).unwrap(),
        parent: None,
        place_in_line: None,
        idempotency: None,
        event_depth: 0,
        events: &[],
    };
    assert_eq!(store.start_run(&run).await.unwrap(), Started::Yes { admitted: true });
    // Hosts that take it up, one after the other, and die of it.
    let dying = Lease { owner: Uuid::from_u128(2), duration: Duration::from_secs(30) };
    for _ in 0..armilla_engine::CLAIMS_WITHOUT_PROGRESS_MAX {
        assert_eq!(store.claim_runs(dying, 1).await.unwrap().len(), 1);
        store.release_runs_of(dying.owner).await.unwrap();
    }

    let server = TestServer::on(&database, 3).await;
    server.admin.comes_to(&id.to_string(), "paused").await;
    let agent = ScriptedAgent::start().await;
    server.admin.register(&agent).await;
    server.admin.post(&format!("/runs/{id}/resume"), &json!({})).await.expect(200);
    assert_eq!(server.admin.ended(&id.to_string()).await["status"], "success");
}

#[tokio::test]
async fn a_journal_that_grows_without_end_ends_its_run() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers_otherwise(Answer::text("x".repeat(1_000_000)));
    let definition = json!({ "maxSteps": 1000, "steps": [
        agent_step("again", "m"),
        { "type": "condition", "id": "forever", "expr": "true", "then": "again" },
    ] });
    let workflow = server.admin.create(definition).await;
    let run = server.admin.start(&workflow, json!({})).await;
    // Not asked for before: each look at a run that has not ended reads all of its journal.
    agent.called(30).await;
    let ended = server.admin.ended(&run).await;
    assert_eq!(ended["error"]["code"], "run.too_large", "{}", ended["error"]);
    let most = armilla_engine::RUN_JOURNAL_BYTES_MAX as usize / 1_000_000 + 2;
    assert!((30..=most).contains(&agent.calls().len()), "{} calls", agent.calls().len());
}

#[tokio::test]
async fn an_output_that_is_too_long_fails_its_step_and_says_how_long_it_may_be() {
    let limits = RunLimits { output_bytes: 100, ..RunLimits::default() };
    let (server, agent) = tokio::join!(TestServer::limited(limits), ScriptedAgent::start());
    server.admin.register(&agent).await;
    agent.answers(Answer::text("x".repeat(99)));
    let run = server.admin.run_steps(json!([agent_step("ask", "m")])).await;
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!("step.output_too_large")));
    let message = run["error"]["message"].as_str().unwrap();
    assert!(message.contains("101 bytes") && message.contains("100"), "{message}");
    assert_eq!(agent.calls().len(), 1, "another try would give the same");
}

#[tokio::test]
async fn runs_whose_time_is_over_are_removed_and_others_stay() {
    let database = TestDatabase::create().await;
    let server = TestServer::on(&database, 1).await;
    let steps =
        json!([{ "type": "fail", "id": "no", "message": "m", "when": "bad" }, { "type": "return", "id": "yes" }]);
    let definition = json!({ "retention": { "success": "1ms", "failed": "1h" }, "steps": steps });
    let workflow = server.admin.create(definition).await;
    let gone = server.admin.run(&workflow, json!({ "bad": false })).await["id"].as_str().unwrap().to_owned();
    let kept = server.admin.run(&workflow, json!({ "bad": true })).await["id"].as_str().unwrap().to_owned();
    let asked =
        json!({ "retention": { "cancelled": "1ms" }, "steps": [{ "type": "approval", "id": "ok", "message": "m" }] });
    let going_on = server.admin.start(&server.admin.create(asked).await, json!({})).await;
    server.admin.asked(&going_on, 1).await;
    let store = Store::new(database.connect_options());
    until("a run to be removed", || async { (store.remove_expired_runs(10).await.unwrap() == 1).then_some(()) }).await;
    server.admin.get(&format!("/runs/{gone}")).await.problem(404, "run.not_found");
    server.admin.get(&format!("/runs/{gone}/events")).await.problem(404, "run.not_found");
    assert_eq!(server.admin.get(&format!("/runs/{kept}")).await.expect(200)["run"]["status"], "failed");
    server.admin.tell(&going_on, "cancel", json!({})).await;
    until("it to be removed", || async { (store.remove_expired_runs(10).await.unwrap() == 1).then_some(()) }).await;
    assert_eq!(server.admin.get("/approvals").await.expect(200)["approvals"], json!([]), "its question goes with it");
}
