//! What is no test: every fault at once, and nothing of another workspace.

use armilla_api::auth::Role;
use armilla_domain::id::WorkspaceId;
use serde_json::{Value, json};

use crate::harness::{TestServer, agent_step};

/// Place and code of every fault.
fn faults(problem: &Value) -> Vec<(&str, &str)> {
    let faults = problem["errors"].as_array().unwrap().iter();
    let mut faults: Vec<_> =
        faults.map(|fault| (fault["pointer"].as_str().unwrap(), fault["code"].as_str().unwrap())).collect();
    faults.sort_unstable();
    faults
}

#[tokio::test]
async fn every_fault_of_the_body_is_told_at_once() {
    let server = TestServer::start().await;
    let schema = json!({ "type": "object", "required": ["topic"] });
    let workflow = server.admin.create(json!({ "inputSchema": schema, "steps": [agent_step("ask", "Hi")] })).await;
    let path = format!("/workflows/{workflow}/test");
    let unknown = "run_0196f0c45e7a7c3f8d1b2a3c4d5e6f70";
    let body = json!({
        "mocks": { "ask": { "outputs": 1 }, "other": { "output": 1 } },
        "events": [{ "name": "fine" }, { "name": "not fine" }],
        "recordedFrom": unknown,
    });
    let problem = server.admin.post(&path, &body).await.problem(422, "test.invalid");
    assert_eq!(
        faults(&problem),
        [
            ("/events/1/name", "test.event_name"),
            ("/input", "input.schema"),
            ("/mocks/ask/outputs", "mock.unknown_field"),
            ("/mocks/other", "mock.unknown_step"),
            ("/recordedFrom", "mock.unknown_run"),
        ]
    );
    let definition = json!({ "steps": [{ "type": "agent", "id": "ask", "message": "Hi" }] });
    let problem = server.admin.post(&path, &json!({ "definition": definition })).await.problem(422, "test.invalid");
    assert_eq!(faults(&problem), [("/definition/steps/0/agentId", "definition.missing")]);
    let both = json!({ "definition": { "steps": [agent_step("a", "Hi")] }, "version": 1 });
    let problem = server.admin.post(&path, &both).await.problem(422, "test.invalid");
    assert_eq!(faults(&problem), [("/version", "test.version_and_definition")]);
    let odd = json!({ "mocked": {}, "events": [{ "payload": 1 }] });
    let problem = server.admin.post(&path, &odd).await.problem(422, "body.invalid");
    assert_eq!(faults(&problem).len(), 2, "{problem:#}");
}

#[tokio::test]
async fn a_workflow_and_a_run_of_another_workspace_are_not_there() {
    let (server, _agent) = TestServer::with_agent().await;
    let definition = json!({ "steps": [agent_step("ask", "Hi")] });
    let workflow = server.admin.create(definition.clone()).await;
    let run = server.admin.run(&workflow, json!({})).await["id"].take();
    let stranger = server.admin_of(WorkspaceId::from_parts(1, [1; 10]));
    stranger.post(&format!("/workflows/{workflow}/test"), &json!({})).await.problem(404, "workflow.not_found");
    let own = stranger.create(definition).await;
    let body = json!({ "recordedFrom": run, "mocks": { "ask": { "recorded": run } } });
    let problem = stranger.post(&format!("/workflows/{own}/test"), &body).await.problem(422, "test.invalid");
    assert_eq!(faults(&problem), [("/mocks/ask/recorded", "mock.unknown_run"), ("/recordedFrom", "mock.unknown_run")]);
}

#[tokio::test]
async fn a_member_tests_and_a_viewer_does_not() {
    let server = TestServer::start().await;
    let workflow = server.admin.create(json!({ "steps": [agent_step("ask", "Hi")] })).await;
    let path = format!("/workflows/{workflow}/test");
    server.client(Role::Member).post(&path, &json!({})).await.expect(200);
    server.client(Role::Viewer).post(&path, &json!({})).await.problem(403, "auth.role");
    server.admin.delete(&format!("/workflows/{workflow}")).await;
    server.admin.post(&path, &json!({})).await.problem(404, "workflow.not_found");
}
