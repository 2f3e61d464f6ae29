//! What one host leaves behind another goes on with: neither stands in the other's way, and nothing in between is lost.

use armilla_domain::id::RunId;
use armilla_testkit::agent::{Answer, ScriptedAgent};
use armilla_testkit::db::TestDatabase;
use rustix::process::Signal;
use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::harness::{ServerProcess, TestServer, agent_step, until, with};

#[tokio::test]
async fn a_host_that_stood_still_beyond_its_lease_makes_no_call_of_a_run_that_is_anothers_by_now() {
    let (database, agent) = tokio::join!(TestDatabase::create(), ScriptedAgent::start());
    let (folder, other_folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (url, lease) = (database.url(), [("ARMILLA_LEASE", "2")]);
    let frozen = ServerProcess::start_with(folder.path(), Some(&url), &lease).await;
    let other = ServerProcess::start_with(other_folder.path(), Some(&url), &lease).await;
    agent.answers(Answer::error(503, "overloaded"));
    let client = frozen.client("admin").await;
    client.register(&agent).await;
    // Too soon for the run to be let go meanwhile.
    let retry = json!({ "retry": { "maxAttempts": 5, "initialDelay": "1500ms", "jitter": false } });
    let workflow = client.create(json!({ "steps": [with(agent_step("ask", "Hi"), retry)] })).await;
    let run = client.start(&workflow, json!({})).await;
    until("the failed attempt is recorded", || async {
        let steps = client.steps(&run).await;
        (!steps.is_empty() && steps[0]["status"] == "failed").then_some(())
    })
    .await;
    frozen.signal(Signal::STOP);

    let ended = other.client("admin").await.ended(&run).await;
    assert_eq!(ended["status"], "success", "{ended:#}");
    frozen.signal(Signal::CONT);
    until("the first host knows", || async { frozen.log().contains("The lease of").then_some(()) }).await;
    client.ended(&run).await;
    assert_eq!(agent.calls().len(), 2, "{}", frozen.log());
}

#[tokio::test]
async fn a_child_that_ended_before_its_parent_knew_that_it_began_is_not_waited_for_in_vain() {
    let database = TestDatabase::create().await;
    let first = TestServer::on(&database, 1).await;
    let set = json!({ "type": "set", "id": "set", "vars": { "a": "1" } });
    let child = first.admin.create(json!({ "steps": [set], "output": { "a": "a" } })).await;
    let step = json!({ "type": "workflow", "id": "start", "workflowId": child, "outputVar": "got" });
    let parent = first.admin.run_steps(json!([step])).await;
    assert_eq!(parent["vars"], json!({ "got": { "a": 1 } }), "{parent:#}");
    first.engine.stop().await;

    // As it stands where the host dies that has started the child, and another one drives the child to its end.
    let id: RunId = parent["id"].as_str().unwrap().parse().unwrap();
    let mut connection = PgConnection::connect_with(&database.connect_options()).await.unwrap();
    for statement in [
        "insert into run_inbox (run_id, body) select $1, json_build_object('kind', 'childEnded', 'run',
            'run_' || replace(id::text, '-', ''), 'status', 'success', 'output', '{\"a\": 1}'::json, 'error', null)::text
            from runs where parent_run = $1",
        "delete from journal where run_id = $1 and seq > (select seq from journal where run_id = $1 and kind = 'step.started')",
        "delete from run_results where run_id = $1",
        "update runs set status = 'running', finished_at = null, retain_until = null, due_at = now(), lease_owner = null,
            journal_len = (select count(*) from journal where run_id = $1) where id = $1",
    ] {
        sqlx::query(statement).bind(id.uuid()).execute(&mut connection).await.unwrap();
    }
    let second = TestServer::on(&database, 2).await;
    let ended = second.admin.ended(parent["id"].as_str().unwrap()).await;
    assert_eq!((&ended["status"], &ended["vars"]), (&json!("success"), &parent["vars"]), "{ended:#}");
}
