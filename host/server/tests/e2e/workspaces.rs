//! What belongs to one workspace is not there for another.

use armilla_domain::id::WorkspaceId;
use armilla_testkit::agent::ScriptedAgent;
use reqwest::Method;
use serde_json::json;

use crate::harness::{TestServer, agent_step};

#[tokio::test]
async fn nothing_of_another_workspace_is_there() {
    let (server, agent) = TestServer::with_agent().await;
    let workflow = server.admin.create(json!({ "steps": [agent_step("ask", "Hi")] })).await;
    let run = server.admin.run(&workflow, json!({})).await["id"].as_str().unwrap().to_owned();

    let stranger = server.admin_of(WorkspaceId::from_parts(1, [1; 10]));
    stranger.get(&format!("/workflows/{workflow}")).await.problem(404, "workflow.not_found");
    stranger.get(&format!("/workflows/{workflow}/runs")).await.problem(404, "workflow.not_found");
    stranger.post(&format!("/workflows/{workflow}/run"), &json!({})).await.problem(404, "workflow.not_found");
    stranger.delete(&format!("/workflows/{workflow}")).await.problem(404, "workflow.not_found");
    stranger.get(&format!("/runs/{run}")).await.problem(404, "run.not_found");
    stranger.get(&format!("/runs/{run}/steps")).await.problem(404, "run.not_found");
    stranger.get("/agents/scripted").await.problem(404, "agent.not_found");
    stranger.delete("/agents/scripted").await.problem(404, "agent.not_found");
    let config = json!({ "protocol": "http", "endpoint": agent.endpoint() });
    stranger.put("/agents/scripted", &config).await.problem(404, "agent.not_found");
    assert_eq!(stranger.get("/workflows").await.expect(200)["workflows"], json!([]));
    assert_eq!(stranger.get("/agents").await.expect(200)["agents"], json!([]));

    server.admin.get(&format!("/workflows/{workflow}")).await.expect(200);
    assert_eq!(agent.calls().len(), 1);
}

#[tokio::test]
async fn two_workspaces_may_each_have_an_agent_of_the_same_name_and_call_their_own() {
    let (server, ours) = TestServer::with_agent().await;
    let theirs = ScriptedAgent::start().await;
    theirs.answers("from theirs");
    let stranger = server.admin_of(WorkspaceId::from_parts(1, [1; 10]));
    stranger.register(&theirs).await;
    let run = stranger.run_steps(json!([agent_step("ask", "Hi")])).await;
    assert_eq!(run["vars"]["ask"], "from theirs");
    assert_eq!((ours.calls().len(), theirs.calls().len()), (0, 1));
}

#[tokio::test]
async fn a_workspace_that_is_not_the_callers_cannot_be_chosen() {
    let server = TestServer::start().await;
    let mine = WorkspaceId::from_parts(1, [1; 10]);
    let client = server.admin_of(mine);
    let chosen = |workspace: String| client.request(Method::GET, "/workflows").header("x-workspace-id", workspace);
    client.send(chosen(mine.to_string())).await.expect(200);
    for other in [WorkspaceId::DEFAULT.to_string(), "ws_nonsense".to_owned()] {
        client.send(chosen(other)).await.problem(404, "workspace.not_found");
    }
}
