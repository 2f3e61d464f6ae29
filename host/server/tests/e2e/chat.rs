//! One message to one agent, as a run of one step.

use armilla_api::auth::Role;
use armilla_domain::id::WorkspaceId;
use armilla_testkit::agent::{Answer, Gate};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{TestServer, register_example_agents};

/// To the letter.
const DOCUMENTED: &str = r#"{ "agentId": "research-agent", "message": "Research tidal power" }"#;

#[tokio::test]
async fn the_documented_message_is_answered_exactly_as_it_stands() {
    let server = TestServer::start().await;
    register_example_agents(&server.admin).await;
    let request = server.client(Role::Member).request(Method::POST, "/agent/chat");
    let request = request.header("content-type", "application/json").body(DOCUMENTED);
    let answer = server.admin.send(request).await.expect(200);
    assert_eq!((&answer["agentId"], &answer["status"]), (&json!("research-agent"), &json!("success")));
    assert!(answer["message"].as_str().unwrap().starts_with("Notes on tidal power."), "{answer:#}");
    assert_eq!(answer["output"], answer["message"]);
    assert!(answer["durationMs"].is_u64() && answer["usage"]["outputTokens"].is_u64(), "{answer:#}");
    let steps = server.admin.steps(answer["runId"].as_str().unwrap()).await;
    assert_eq!((steps.len(), &steps[0]["output"]), (1, &answer["output"]), "it is recorded as every run is");
}

#[tokio::test]
async fn a_message_and_a_suffix_are_data_and_an_answer_in_json_is_a_value_too() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::json(&json!({ "score": 7, "by": "{{ x }}" })));
    let body = json!({ "agentId": "scripted", "message": "{{ 7 * 6 }}", "systemPromptSuffix": "{% x %}" });
    let answer = server.admin.post("/agent/chat", &body).await.expect(200);
    assert_eq!((agent.calls()[0].message(), agent.calls()[0].system_prompt()), ("{{ 7 * 6 }}", "{% x %}"));
    assert_eq!(answer["output"], json!({ "score": 7, "by": "{{ x }}" }));
    assert_eq!(answer["message"], r#"{"score":7,"by":"{{ x }}"}"#);
    assert_eq!(answer["usage"], json!({ "inputTokens": 7, "outputTokens": 5, "costUsd": null }));

    let run = server.admin.get(&format!("/runs/{}", answer["runId"].as_str().unwrap())).await.expect(200);
    let workflow = format!("/workflows/{}", run["run"]["workflowId"].as_str().unwrap());
    assert_eq!(server.admin.get(&workflow).await.expect(200)["workflow"]["origin"], "chat");
    assert_eq!(server.admin.get("/workflows").await.expect(200)["workflows"], json!([]));
}

#[tokio::test]
async fn a_failure_of_the_agent_is_a_problem_that_names_the_run_and_its_error() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::error(422, "not like this"));
    let body = json!({ "agentId": "scripted", "message": "Hi" });
    let request = || server.admin.request(Method::POST, "/agent/chat").header("idempotency-key", "k").json(&body);
    let problem = server.admin.send(request()).await.problem(502, "chat.failed");
    assert_eq!(
        (&problem["run"]["status"], &problem["run"]["error"]["code"]),
        (&json!("failed"), &json!("agent.refused"))
    );
    let id = problem["run"]["id"].as_str().unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("agent.refused"), "{problem:#}");
    assert_eq!(server.admin.get(&format!("/runs/{id}")).await.expect(200)["run"]["status"], "failed");
    let repeated = server.admin.send(request()).await;
    assert_eq!(repeated.header("idempotency-replayed"), "true");
    assert_eq!(repeated.problem(502, "chat.failed")["run"]["id"], id);
    server.admin.tell(id, "retry", json!({})).await;
    server.admin.ended(id).await;
    assert_eq!(server.admin.send(request()).await.expect(200)["message"], "ok", "the run was retried meanwhile");
}

#[tokio::test]
async fn an_agent_that_does_not_answer_in_time_is_a_gateway_timeout() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers_otherwise(Answer::never());
    let config = json!({ "protocol": "openai", "endpoint": agent.endpoint(), "limits": { "timeout": "20ms" } });
    server.admin.put("/agents/scripted", &config).await.expect(200);
    let body = json!({ "agentId": "scripted", "message": "Hi" });
    let problem = server.admin.post("/agent/chat", &body).await.problem(504, "chat.timed_out");
    assert_eq!(problem["run"]["error"]["attempts"], 3, "{problem:#}");
}

#[tokio::test]
async fn a_chat_that_takes_longer_than_the_wait_goes_on_and_can_be_cancelled() {
    let (server, agent) = TestServer::with_agent().await;
    let gate = Gate::closed();
    agent.answers(Answer::text("late").behind(&gate));
    let body = json!({ "agentId": "scripted", "message": "Hi" });
    let answer = server.admin.post("/agent/chat?wait=20ms", &body).await;
    let location = answer.header("location").to_owned();
    let started = answer.expect(202);
    let id = started["runId"].as_str().unwrap();
    assert_eq!(location, format!("/runs/{id}"));
    assert_eq!(
        (&started["message"], &started["output"], &started["durationMs"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    gate.open();
    assert_eq!(server.admin.ended(id).await["output"], json!({ "output": "late" }));

    agent.answers(Answer::never());
    let (client, waits) = (server.admin.clone(), body.clone());
    let caller = tokio::spawn(async move { client.post("/agent/chat", &waits).await });
    agent.called(2).await;
    let runs = server.admin.get("/runs?limit=1").await.expect(200);
    server.admin.tell(runs["runs"][0]["id"].as_str().unwrap(), "cancel", json!({})).await;
    caller.await.unwrap().problem(409, "chat.cancelled");
}

#[tokio::test]
async fn a_chat_that_cannot_be_is_refused_before_anything_runs() {
    let (server, agent) = TestServer::with_agent().await;
    let refused = async |agent: &str, message: String| {
        let body = json!({ "agentId": agent, "message": message });
        let problem = server.admin.post("/agent/chat", &body).await.problem(422, "chat.invalid");
        let errors = problem["errors"].as_array().unwrap().clone();
        errors
            .iter()
            .map(|error| format!("{} {}", error["pointer"], error["code"]).replace('"', ""))
            .collect::<Vec<_>>()
    };
    assert_eq!(refused("nobody", "Hi".to_owned()).await, ["/agentId chat.unknown_agent"]);
    assert_eq!(refused("", String::new()).await, ["/message chat.message_empty", "/agentId chat.agent_empty"]);
    assert_eq!(refused("scripted", "😀".repeat(100_001)).await, ["/message chat.message_too_long"]);
    let body = json!({ "agentId": "scripted", "message": "Hi" });
    server.client(Role::Viewer).post("/agent/chat", &body).await.problem(403, "auth.role");
    let stranger = server.admin_of(WorkspaceId::from_parts(1, [1; 10]));
    stranger.post("/agent/chat", &body).await.problem(422, "chat.invalid");
    assert_eq!(agent.calls().len(), 0);
}
