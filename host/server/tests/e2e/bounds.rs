//! No run takes a host down with it.

use std::sync::Arc;
use std::time::Duration;

use armilla_domain::id::{RunId, WorkspaceId};
use armilla_domain::journal::{Entry, Event};
use armilla_engine::{Clock, SystemClock};
use armilla_store::{Lease, NewRun, Rows, Started, Store};
use armilla_testkit::agent::Answer;
use armilla_testkit::agent::ScriptedAgent;
use armilla_testkit::db::TestDatabase;
use serde_json::json;
use uuid::Uuid;

use crate::harness::{TestServer, agent_step};

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
