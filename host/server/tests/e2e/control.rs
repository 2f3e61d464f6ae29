//! Runs are cancelled, paused and resumed.

use armilla_api::auth::Role;
use armilla_testkit::agent::{Answer, Gate};
use serde_json::{Value, json};

use crate::harness::{TestServer, agent_step};

#[tokio::test]
async fn a_run_that_is_cancelled_ends_and_the_answer_of_its_call_is_not_used() {
    let (server, agent) = TestServer::with_agent().await;
    let gate = Gate::closed();
    agent.answers(Answer::text("late").behind(&gate));
    let workflow = server.admin.create(json!({ "steps": [agent_step("ask", "Hi"), agent_step("then", "Ho")] })).await;
    let run = server.admin.start(&workflow, json!({})).await;
    agent.called(1).await;
    let reason = json!({ "reason": "out of date" });
    let cancelled = server.admin.post(&format!("/runs/{run}/cancel"), &reason).await.expect(200)["run"].take();
    assert_eq!((&cancelled["status"], &cancelled["error"]["code"]), (&json!("cancelled"), &json!("run.cancelled")));
    assert!(cancelled["error"]["message"].as_str().unwrap().contains("`ada` cancelled the run: out of date"));
    assert!(cancelled["finishedAt"].is_string(), "{cancelled:#}");
    gate.open();
    let steps = server.admin.steps(&run).await;
    assert_eq!((steps.len(), &steps[0]["status"], &steps[0]["output"]), (1, &json!("cancelled"), &Value::Null));
    assert_eq!(agent.calls().len(), 1);
}

#[tokio::test]
async fn a_run_that_has_ended_cannot_be_cancelled_paused_or_resumed() {
    let (server, _agent) = TestServer::with_agent().await;
    let run = server.admin.run_steps(json!([agent_step("ask", "Hi")])).await;
    for command in ["cancel", "pause", "resume", "retry"] {
        let path = format!("/runs/{}/{command}", run["id"].as_str().unwrap());
        let problem = server.admin.post(&path, &json!({})).await.problem(409, "run.does_not_apply");
        assert_eq!(problem["runStatus"], "success");
        assert!(problem["detail"].as_str().unwrap().contains("it is success"), "{problem:#}");
    }
}

#[tokio::test]
async fn who_may_only_read_controls_nothing() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::never());
    let workflow = server.admin.create(json!({ "steps": [agent_step("ask", "Hi")] })).await;
    let run = server.admin.start(&workflow, json!({})).await;
    let viewer = server.client(Role::Viewer);
    for path in ["cancel", "pause", "resume", "retry", "fork", "signals/go"] {
        viewer.post(&format!("/runs/{run}/{path}"), &json!({})).await.problem(403, "auth.role");
    }
    viewer.post("/runs/bulk", &json!({ "action": "cancel", "all": true })).await.problem(403, "auth.role");
    assert_eq!(server.admin.get(&format!("/runs/{run}")).await.expect(200)["run"]["status"], "running");
}
