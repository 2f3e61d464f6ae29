//! Only so many runs of a workflow go on at once, and no workspace keeps another one waiting.

use std::time::Duration;

use armilla_domain::id::{RunId, WorkspaceId};
use armilla_domain::journal::{Entry, Event};
use armilla_engine::{Clock, SystemClock};
use armilla_store::{Lease, NewRun, Rows, Started, Store};
use armilla_testkit::agent::{Answer, Gate, ScriptedAgent};
use armilla_testkit::db::TestDatabase;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, ServerProcess, TestServer, agent_step};

fn one_at_a_time(concurrency: Value) -> Value {
    json!({ "concurrency": concurrency, "steps": [agent_step("ask", "{{ n }}")] })
}

async fn started(client: &Client, workflow: &str, runs: i32) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..runs {
        ids.push(client.start(workflow, json!({ "n": n })).await);
    }
    ids
}

fn messages(agent: &ScriptedAgent) -> Vec<String> {
    agent.calls().iter().map(|call| call.message().to_owned()).collect()
}

#[tokio::test]
async fn a_run_too_many_waits_for_its_turn_first_come_first_served() {
    let (server, agent) = TestServer::with_agent().await;
    let gate = Gate::closed();
    agent.answers(Answer::text("slow").behind(&gate));
    let workflow = server.admin.create(one_at_a_time(json!({ "max": 1 }))).await;
    let runs = started(&server.admin, &workflow, 4).await;
    agent.called(1).await;
    for waiting in &runs[1..] {
        server.admin.comes_to(waiting, "queued").await;
    }
    assert_eq!(messages(&agent), ["0"]);
    gate.open();
    for run in &runs {
        assert_eq!(server.admin.ended(run).await["status"], "success");
    }
    assert_eq!(messages(&agent), ["0", "1", "2", "3"]);
}

#[tokio::test]
async fn a_run_that_starts_itself_does_not_wait_for_its_own_place_forever() {
    let server = TestServer::start().await;
    let steps = |workflow: &str| {
        json!({ "concurrency": { "max": 2, "key": "{{ who }}" }, "steps": [{ "type": "workflow", "id": "again",
            "workflowId": workflow, "input": { "who": "{{ who }}" }, "retry": { "maxAttempts": 1 } }] })
    };
    let nothing = server.admin.create(json!({ "steps": [{ "type": "set", "id": "a", "vars": { "b": "1" } }] })).await;
    let workflow = server.admin.create(steps(&nothing)).await;
    server.admin.put(&format!("/workflows/{workflow}"), &json!({ "definition": steps(&workflow) })).await.expect(200);
    let run = server.admin.run(&workflow, json!({ "who": "ada" })).await;
    assert_eq!(run["status"], "failed", "{run:#}");
    let message = run["error"]["message"].as_str().unwrap();
    assert!(message.contains("workflow.waits_for_itself"), "the third of two, {message}");
}

#[tokio::test]
async fn a_run_too_many_is_refused_where_the_workflow_says_so() {
    let (server, agent) = TestServer::with_agent().await;
    let gate = Gate::closed();
    agent.answers(Answer::text("slow").behind(&gate));
    let workflow = server.admin.create(one_at_a_time(json!({ "max": 1, "onLimit": "reject" }))).await;
    let first = started(&server.admin, &workflow, 1).await.remove(0);
    agent.called(1).await;
    let path = format!("/workflows/{workflow}/run");
    let refused = server.admin.post(&path, &json!({ "input": { "n": 1 } })).await;
    assert_eq!(refused.header("retry-after"), "1");
    refused.problem(429, "run.concurrency_limit");
    gate.open();
    server.admin.ended(&first).await;
    assert_eq!(server.admin.run(&workflow, json!({ "n": 2 })).await["status"], "success");
    assert_eq!(messages(&agent), ["0", "2"]);
}

#[tokio::test]
async fn runs_with_other_keys_do_not_wait_for_each_other() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers_otherwise(Answer::never());
    let workflow = server.admin.create(one_at_a_time(json!({ "max": 1, "key": "{{ n % 2 }}" }))).await;
    let runs = started(&server.admin, &workflow, 4).await;
    agent.called(2).await;
    for (n, run) in runs.iter().enumerate() {
        server.admin.comes_to(run, if n < 2 { "running" } else { "queued" }).await;
    }
}

#[tokio::test]
async fn a_run_that_fails_or_is_cancelled_makes_room_for_the_next() {
    let (server, agent) = TestServer::with_agent().await;
    let gate = Gate::closed();
    agent.answers(Answer::error(400, "no").behind(&gate));
    agent.answers(Answer::never());
    let workflow = server.admin.create(one_at_a_time(json!({ "max": 1 }))).await;
    let runs = started(&server.admin, &workflow, 4).await;
    // One that waits in line goes away as well.
    assert_eq!(server.admin.tell(&runs[2], "cancel", json!({})).await["status"], "cancelled");
    gate.open();
    assert_eq!(server.admin.ended(&runs[0]).await["status"], "failed");
    agent.called(2).await;
    server.admin.tell(&runs[1], "cancel", json!({})).await;
    assert_eq!(server.admin.ended(&runs[3]).await["status"], "success");
    assert_eq!(messages(&agent), ["0", "1", "3"]);
}

#[tokio::test]
async fn a_run_that_waits_keeps_its_place_and_one_that_is_retried_takes_its_turn() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::error(400, "no"));
    let steps = json!([agent_step("ask", "{{ n }}"), { "type": "approval", "id": "ok", "message": "Go?" }]);
    let workflow = server.admin.create(json!({ "concurrency": { "max": 1 }, "steps": steps })).await;
    let runs = started(&server.admin, &workflow, 2).await;
    assert_eq!(server.admin.ended(&runs[0]).await["status"], "failed");
    let asked = server.admin.asked(&runs[1], 1).await.remove(0);
    assert_eq!(server.admin.tell(&runs[0], "retry", json!({})).await["status"], "queued");
    server.admin.comes_to(&runs[1], "waiting").await;
    assert_eq!(agent.calls().len(), 2, "the place is taken while somebody is asked");
    server.admin.post(&format!("/approvals/{asked}/approve"), &json!({})).await.expect(200);
    let asked = server.admin.asked(&runs[0], 1).await.remove(0);
    server.admin.post(&format!("/approvals/{asked}/approve"), &json!({})).await.expect(200);
    assert_eq!(server.admin.ended(&runs[0]).await["status"], "success");
}

#[tokio::test]
async fn a_run_that_waits_for_its_turn_is_paused_and_resumed_where_it_stands() {
    let server = TestServer::start().await;
    let wait = json!({ "type": "wait", "id": "w", "event": "go" });
    let workflow = server.admin.create(json!({ "concurrency": { "max": 1 }, "steps": [wait] })).await;
    let runs = started(&server.admin, &workflow, 2).await;
    assert_eq!(server.admin.tell(&runs[1], "pause", json!({})).await["status"], "paused");
    assert_eq!(server.admin.tell(&runs[1], "resume", json!({})).await["status"], "queued");
    for run in &runs {
        server.admin.post(&format!("/runs/{run}/signals/go"), &json!({})).await.expect(202);
        assert_eq!(server.admin.ended(run).await["status"], "success");
    }
}

#[tokio::test]
async fn the_next_run_takes_its_turn_although_the_host_was_killed() {
    let (database, agent) = tokio::join!(TestDatabase::create(), ScriptedAgent::start());
    let folder = tempfile::tempdir().unwrap();
    agent.answers(Answer::never());
    let server = ServerProcess::start(folder.path(), Some(&database.url())).await;
    let client = server.client("admin").await;
    client.register(&agent).await;
    let workflow = client.create(one_at_a_time(json!({ "max": 1 }))).await;
    let runs = started(&client, &workflow, 2).await;
    agent.called(1).await;
    server.kill().await;
    let server = ServerProcess::start(folder.path(), Some(&database.url())).await;
    let client = server.client("admin").await;
    for run in &runs {
        assert_eq!(client.ended(run).await["status"], "success");
    }
    assert_eq!(messages(&agent), ["0", "0", "1"]);
}

#[tokio::test]
async fn a_workspace_with_one_run_does_not_wait_for_one_with_hundreds() {
    let database = TestDatabase::create().await;
    let (many, few) = (WorkspaceId::DEFAULT, WorkspaceId::from_parts(1, [1; 10]));
    let definition = json!({ "steps": [{ "type": "return", "id": "r" }] });
    let server = TestServer::on(&database, 1).await;
    let of_many = server.admin.create(definition.clone()).await;
    let of_few = server.admin_of(few).create(definition).await;
    server.engine.stop().await;
    let store = Store::new(database.connect_options());
    for n in 0..300_u16 {
        queue(&store, many, &of_many, n).await;
    }
    let single = queue(&store, few, &of_few, 300).await;
    let lease = Lease { owner: Uuid::from_u128(9), duration: Duration::from_secs(30) };
    let claimed = store.claim_runs(lease, 10).await.unwrap();
    assert_eq!(claimed.len(), 10);
    assert!(claimed.iter().any(|run| run.id == single), "the newest run is among the first ten");
}

async fn queue(store: &Store, workspace: WorkspaceId, workflow: &str, n: u16) -> RunId {
    let started_at = SystemClock.now();
    let [high, low] = n.to_be_bytes();
    let id = RunId::from_parts(started_at.timestamp_millis().unsigned_abs(), [high, low, 0, 0, 0, 0, 0, 0, 0, 0]);
    let first = Entry { at: started_at, event: Event::RunStarted { input: json!({}).into(), plugins: Vec::new() } };
    let run = NewRun {
        id,
        workspace,
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
    id
}
