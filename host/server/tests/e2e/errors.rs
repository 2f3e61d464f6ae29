//! Bad input gets a clear error, and nothing is done.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{TestServer, agent_step};

const NO_WORKFLOW: &str = "/workflows/wf_00000000000000000000000000000000";
const NO_RUN: &str = "/runs/run_00000000000000000000000000000000";

fn pointers(problem: &Value) -> Vec<&str> {
    let mut pointers: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    pointers
}

#[tokio::test]
async fn ten_faults_of_a_definition_come_in_one_answer_each_with_its_place() {
    let server = TestServer::start().await;
    let definition = json!({ "steps": [
        { "type": "agent", "id": "a b", "agentId": "x", "message": "hi" },
        { "type": "agent", "id": "b", "message": "hi" },
        { "type": "agent", "id": "b", "agentId": "x", "message": "{{ oops" },
        { "type": "teleport", "id": "d" },
        { "type": "condition", "id": "e", "expr": "a ==", "then": "nowhere" },
        { "type": "tool", "id": "f", "toolName": "jq", "params": [1], "timeout": "soon" },
        { "type": "agent", "id": "g", "agentId": "x", "message": "m", "retry": { "maxAttempts": 0 } },
    ] });
    let answer = server.admin.post("/workflows", &json!({ "name": "n", "definition": definition })).await;
    let problem = answer.problem(422, "workflow.invalid");
    assert_eq!(
        pointers(&problem),
        [
            "/definition/steps/0/id",
            "/definition/steps/1/agentId",
            "/definition/steps/2/id",
            "/definition/steps/2/message",
            "/definition/steps/3/type",
            "/definition/steps/4/expr",
            "/definition/steps/4/then",
            "/definition/steps/5/params",
            "/definition/steps/5/timeout",
            "/definition/steps/6/retry/maxAttempts",
        ]
    );
    for fault in problem["errors"].as_array().unwrap() {
        assert!(fault["code"].as_str().unwrap().starts_with("definition."), "{fault}");
        assert!(!fault["detail"].as_str().unwrap().is_empty(), "{fault}");
    }
    assert_eq!(server.admin.get("/workflows").await.expect(200)["workflows"], json!([]));
}

#[tokio::test]
async fn a_body_that_is_not_json_is_refused_with_the_place_where_it_breaks() {
    let server = TestServer::start().await;
    let request = server.admin.request(Method::POST, "/workflows").header("content-type", "application/json");
    let problem = server.admin.send(request.body("{ \"name\": \"n\",\n  oops }")).await.problem(400, "body.malformed");
    assert!(problem["detail"].as_str().unwrap().contains("line 2"), "{problem:#}");
    let empty = server.admin.request(Method::POST, "/workflows").header("content-type", "application/json");
    server.admin.send(empty).await.problem(400, "body.malformed");
    let text = server.admin.request(Method::POST, "/workflows").header("content-type", "text/plain").body("{}");
    server.admin.send(text).await.problem(415, "body.unsupported_media_type");
}

#[tokio::test]
async fn values_of_the_wrong_type_are_refused_with_their_pointers_all_at_once() {
    let server = TestServer::start().await;
    let answer = server.admin.post("/workflows", &json!({ "name": 7, "description": [], "defnition": {} })).await;
    let problem = answer.problem(422, "body.invalid");
    let found = pointers(&problem);
    for place in ["/description", "/name"] {
        assert!(found.contains(&place), "{problem:#}");
    }
    assert!(found.len() >= 4, "the missing and the unknown field as well: {problem:#}");
    server.admin.post("/workflows", &json!([])).await.problem(422, "body.invalid");
}

#[tokio::test]
async fn a_definition_that_is_no_object_is_refused() {
    let server = TestServer::start().await;
    for definition in [json!("steps"), json!([]), json!(null), json!({}), json!({ "steps": [] })] {
        let answer = server.admin.post("/workflows", &json!({ "name": "n", "definition": definition })).await;
        assert_eq!(answer.status, 422, "{definition}: {answer:?}");
    }
}

#[tokio::test]
async fn an_id_that_nothing_has_is_not_found() {
    let server = TestServer::start().await;
    let client = &server.admin;
    client.get(NO_WORKFLOW).await.problem(404, "workflow.not_found");
    client.delete(NO_WORKFLOW).await.problem(404, "workflow.not_found");
    client.get(&format!("{NO_WORKFLOW}/runs")).await.problem(404, "workflow.not_found");
    client.post(&format!("{NO_WORKFLOW}/run"), &json!({})).await.problem(404, "workflow.not_found");
    client.get(NO_RUN).await.problem(404, "run.not_found");
    client.get(&format!("{NO_RUN}/steps")).await.problem(404, "run.not_found");
    client.get("/agents/nobody").await.problem(404, "agent.not_found");
    client.delete("/agents/nobody").await.problem(404, "agent.not_found");
}

#[tokio::test]
async fn an_id_of_another_kind_names_nothing() {
    let server = TestServer::start().await;
    let workflow = server.admin.create(json!({ "steps": [agent_step("ask", "Hi")] })).await;
    let digits = workflow.strip_prefix("wf_").unwrap();
    for wrong in [format!("run_{digits}"), digits.to_owned(), format!("wf_{}", &digits[1..]), "wf_".to_owned()] {
        server.admin.get(&format!("/workflows/{wrong}")).await.problem(404, "workflow.not_found");
    }
    server.admin.get(&format!("/runs/{workflow}")).await.problem(404, "run.not_found");
}

#[tokio::test]
async fn a_body_of_more_than_a_megabyte_is_too_large() {
    let server = TestServer::start().await;
    let long = "x".repeat(1024 * 1024);
    let answer =
        server.admin.post("/workflows", &json!({ "name": "n", "definition": { "steps": [], "x": long } })).await;
    answer.problem(413, "body.too_large");
    let workflow = server.admin.create(json!({ "steps": [agent_step("ask", "Hi")] })).await;
    let answer = server.admin.post(&format!("/workflows/{workflow}/run"), &json!({ "input": { "x": long } })).await;
    answer.problem(413, "body.too_large");
}

#[tokio::test]
async fn an_input_that_does_not_fit_is_refused_with_its_pointers_before_anything_runs() {
    let (server, agent) = TestServer::with_agent().await;
    let schema = json!({
        "type": "object", "required": ["topic", "author"],
        "properties": { "topic": { "type": "string", "minLength": 1 }, "tags": { "type": "array", "items": { "type": "string" } } },
    });
    let workflow =
        server.admin.create(json!({ "inputSchema": schema, "steps": [agent_step("ask", "On {{topic}}")] })).await;
    let path = format!("/workflows/{workflow}/run");
    let answer = server.admin.post(&path, &json!({ "input": { "topic": "", "tags": ["a", 7] } })).await;
    let problem = answer.problem(422, "run.invalid_input");
    assert_eq!(pointers(&problem), ["/input", "/input/tags/1", "/input/topic"]);
    server.admin.post(&path, &json!({ "input": "tides" })).await.problem(422, "body.invalid");
    server.admin.post(&path, &json!({ "inputs": {} })).await.problem(422, "body.invalid");
    assert_eq!(agent.calls().len(), 0);
    assert_eq!(server.admin.get(&format!("{path}s")).await.expect(200)["runs"], json!([]));
    let run = server.admin.run(&workflow, json!({ "topic": "tides", "author": "ada" })).await;
    assert_eq!(run["status"], "success");
}

#[tokio::test]
async fn a_run_needs_no_body_where_the_workflow_needs_no_input() {
    let (server, _agent) = TestServer::with_agent().await;
    let workflow = server.admin.create(json!({ "steps": [agent_step("ask", "Hi")] })).await;
    let request = server.admin.request(Method::POST, &format!("/workflows/{workflow}/run"));
    let run = server.admin.send(request).await.expect(200);
    assert_eq!((&run["run"]["status"], &run["run"]["input"]), (&json!("success"), &json!({})));
}

#[tokio::test]
async fn what_is_no_route_and_what_a_route_does_not_do_are_problems() {
    let server = TestServer::start().await;
    server.admin.get("/nowhere").await.problem(404, "route.not_found");
    server.admin.without_token().get("/nowhere").await.problem(404, "route.not_found");
    server.admin.get("/workflows/").await.problem(404, "route.not_found");
    let answer = server.admin.send(server.admin.request(Method::PATCH, "/workflows")).await;
    assert!(answer.header("allow").contains("POST"), "{answer:?}");
    answer.problem(405, "route.method_not_allowed");
}

#[tokio::test]
async fn an_answer_carries_the_id_that_the_caller_gave_the_request() {
    let server = TestServer::start().await;
    let request = server.admin.request(Method::GET, NO_RUN).header("x-request-id", "mine-42");
    let problem = server.admin.send(request).await.problem(404, "run.not_found");
    assert_eq!(problem["requestId"], "mine-42");
}
