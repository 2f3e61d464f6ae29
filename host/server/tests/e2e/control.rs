//! Runs are cancelled, paused and resumed.

use armilla_api::auth::Role;
use armilla_domain::id::WorkspaceId;
use armilla_testkit::agent::{Answer, Gate};
use serde_json::{Value, json};

use crate::harness::{TestServer, agent_step, until};

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

#[tokio::test]
async fn a_call_under_way_is_broken_off_when_its_run_is_cancelled() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::never());
    let run = server.admin.start_steps(json!([agent_step("ask", "Hi")])).await;
    agent.called(1).await;
    assert_eq!(server.admin.tell(&run, "cancel", json!({})).await["status"], "cancelled");
    agent.hung_up(1).await;
}

#[tokio::test]
async fn the_runs_that_a_run_waits_for_are_cancelled_with_it() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers_otherwise(Answer::never());
    let grandchild = server.admin.create(json!({ "steps": [agent_step("ask", "Hi")] })).await;
    let child = json!({ "steps": [{ "type": "workflow", "id": "deeper", "workflowId": grandchild }] });
    let child = server.admin.create(child).await;
    let branch = |id| json!({ "type": "workflow", "id": id, "workflowId": child });
    let group = json!([{ "type": "parallel", "id": "both", "steps": [branch("one"), branch("two")] }]);
    let run = server.admin.start_steps(group).await;
    agent.called(2).await;
    assert_eq!(server.admin.tell(&run, "cancel", json!({})).await["status"], "cancelled");
    agent.hung_up(2).await;
    let children = server.admin.children(&run).await;
    assert_eq!(children.len(), 2);
    for child in children {
        let child = server.admin.ended(child["id"].as_str().unwrap()).await;
        assert_eq!((&child["status"], &child["parentRunId"]), (&json!("cancelled"), &json!(run)));
        let deeper = server.admin.children(child["id"].as_str().unwrap()).await;
        assert_eq!(server.admin.ended(deeper[0]["id"].as_str().unwrap()).await["status"], "cancelled");
    }
}

#[tokio::test]
async fn a_run_that_waits_without_a_host_is_cancelled_too() {
    let server = TestServer::start().await;
    let run = server.admin.start_steps(json!([{ "type": "wait", "id": "nap", "duration": "30d" }])).await;
    server.admin.comes_to(&run, "waiting").await;
    assert_eq!(server.admin.tell(&run, "cancel", json!({})).await["status"], "cancelled");
    assert_eq!(server.admin.steps(&run).await[0]["status"], "cancelled");
}

#[tokio::test]
async fn a_run_that_is_paused_lets_its_call_end_and_begins_nothing_until_it_is_resumed() {
    let (server, agent) = TestServer::with_agent().await;
    let gate = Gate::closed();
    agent.answers(Answer::text("alpha").behind(&gate));
    let run = server.admin.start_steps(json!([agent_step("one", "First"), agent_step("two", "After {{ one }}")])).await;
    agent.called(1).await;
    let paused = server.admin.tell(&run, "pause", json!({ "reason": "lunch" })).await;
    assert_eq!(paused["status"], "paused");
    gate.open();
    until("the call's end is recorded", || async {
        (server.admin.steps(&run).await[0]["status"] == "success").then_some(())
    })
    .await;
    let still = server.admin.get(&format!("/runs/{run}")).await.expect(200)["run"].take();
    assert_eq!((&still["status"], &still["vars"]), (&json!("paused"), &json!({ "one": "alpha" })));
    assert_eq!(agent.calls().len(), 1);

    let again = server.admin.post(&format!("/runs/{run}/pause"), &json!({})).await;
    assert_eq!(again.problem(409, "run.does_not_apply")["runStatus"], "paused");
    assert_ne!(server.admin.tell(&run, "resume", json!({})).await["status"], "paused");
    let ended = server.admin.ended(&run).await;
    assert_eq!(ended["vars"], json!({ "one": "alpha", "two": "ok" }), "{ended:#}");
    assert_eq!(agent.calls().len(), 2);
}

#[tokio::test]
async fn a_paused_run_that_takes_too_long_times_out() {
    let server = TestServer::start().await;
    let wait = json!({ "type": "wait", "id": "w", "event": "go" });
    let workflow = server.admin.create(json!({ "timeout": "2s", "steps": [wait] })).await;
    let run = server.admin.start(&workflow, json!({})).await;
    server.admin.tell(&run, "pause", json!({})).await;
    let ended = server.admin.ended(&run).await;
    assert_eq!((&ended["status"], &ended["error"]["code"]), (&json!("timedOut"), &json!("run.timeout")), "{ended:#}");
}

#[tokio::test]
async fn a_paused_run_can_be_cancelled_and_a_running_one_not_resumed() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers_otherwise(Answer::never());
    let run = server.admin.start_steps(json!([agent_step("ask", "Hi")])).await;
    agent.called(1).await;
    let resumed = server.admin.post(&format!("/runs/{run}/resume"), &json!({})).await;
    assert_eq!(resumed.problem(409, "run.does_not_apply")["runStatus"], "running");
    server.admin.tell(&run, "pause", json!({})).await;
    assert_eq!(server.admin.tell(&run, "cancel", json!({})).await["status"], "cancelled");
}

#[tokio::test]
async fn runs_of_other_workspaces_and_none_are_not_controlled() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::never());
    let run = server.admin.start_steps(json!([agent_step("ask", "Hi")])).await;
    let stranger = server.admin_of(WorkspaceId::from_parts(1, [1; 10]));
    let fork = json!({ "fromStep": "ask" });
    for (command, body) in [
        ("cancel", json!({})),
        ("pause", json!({})),
        ("resume", json!({})),
        ("retry", json!({})),
        ("fork", fork),
        ("signals/go", json!({})),
    ] {
        stranger.post(&format!("/runs/{run}/{command}"), &body).await.problem(404, "run.not_found");
        server.admin.post(&format!("/runs/nothing/{command}"), &body).await.problem(404, "run.not_found");
    }
    stranger.get(&format!("/runs/{run}/events")).await.problem(404, "run.not_found");
    assert_eq!(stranger.get("/runs").await.expect(200)["runs"], json!([]));
    assert_eq!(server.admin.get(&format!("/runs/{run}")).await.expect(200)["run"]["status"], "running");
}

#[tokio::test]
async fn a_reason_that_is_a_document_is_refused_and_the_run_goes_on() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::never());
    let run = server.admin.start_steps(json!([agent_step("ask", "Hi")])).await;
    for body in [json!({ "reason": "x".repeat(2_001) }), json!({ "reason": "a\u{0}" }), json!({ "why": "x" })] {
        server.admin.post(&format!("/runs/{run}/cancel"), &body).await.problem(422, "body.invalid");
    }
    assert_eq!(server.admin.get(&format!("/runs/{run}")).await.expect(200)["run"]["status"], "running");
}

#[tokio::test]
async fn runs_are_listed_by_what_they_do() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::error(400, "no"));
    let failing = server.admin.create(json!({ "steps": [agent_step("ask", "Hi")] })).await;
    let failed = server.admin.run(&failing, json!({})).await;
    let fine = server.admin.create(json!({ "steps": [agent_step("ask", "Hi")] })).await;
    let well = server.admin.run(&fine, json!({})).await;
    let nap = server.admin.start_steps(json!([{ "type": "wait", "id": "nap", "duration": "1d" }])).await;
    server.admin.comes_to(&nap, "waiting").await;
    let ids = async |query: &str| -> Vec<Value> {
        let list = server.admin.get(&format!("/runs?{query}")).await.expect(200);
        list["runs"].as_array().unwrap().iter().map(|run| run["id"].clone()).collect()
    };
    let (failed_id, well_id, nap) = (failed["id"].clone(), well["id"].clone(), json!(nap));
    assert_eq!(ids("").await, [nap.clone(), well_id.clone(), failed_id.clone()], "newest first");
    assert_eq!(ids("status=failed").await, [failed_id.clone()].as_slice());
    assert_eq!(ids("status=waiting,success").await, [nap.clone(), well_id.clone()]);
    assert_eq!(ids("errorCode=agent.refused").await, [failed_id.clone()].as_slice());
    assert_eq!(ids(&format!("workflowId={fine}")).await, [well_id.clone()].as_slice());
    let second = well["createdAt"].as_str().unwrap();
    assert_eq!(ids(&format!("createdBefore={second}")).await.last(), Some(&failed_id));
    assert_eq!(ids(&format!("createdFrom={second}")).await.first(), Some(&nap));

    let first = server.admin.get("/runs?limit=2").await.expect(200);
    let cursor = first["nextCursor"].as_str().unwrap();
    assert_eq!(ids(&format!("limit=2&cursor={cursor}")).await, [failed_id].as_slice());
    for wrong in ["status=done", "workflowId=x", "createdFrom=yesterday", "limit=51", "cursor=x", "errorCode=%00"] {
        server.admin.get(&format!("/runs?{wrong}")).await.problem(400, "query.invalid");
    }
}
