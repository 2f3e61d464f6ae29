//! A chat whose answer is read as it comes.

use armilla_api::auth::Role;
use armilla_testkit::agent::{Answer, ScriptedAgent};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Stream, StreamEvent, TestServer, register_example_agents};

/// To the letter.
const DOCUMENTED: &str = r#"{ "agentId": "research-agent", "message": "Research tidal power" }"#;

async fn chat(server: &TestServer, message: &str) -> Vec<StreamEvent> {
    let request = server.client(Role::Member).request(Method::POST, "/agent/chat/stream");
    let request = request.json(&json!({ "agentId": "scripted", "message": message }));
    Stream::of(request).await.rest().await
}

fn kinds(events: &[StreamEvent]) -> Vec<&str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}

fn text(events: &[StreamEvent]) -> String {
    events.iter().filter(|event| event.kind == "delta").map(|event| event.data["text"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_answer_comes_in_the_pieces_that_the_model_sends_and_then_as_a_whole() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::in_pieces(&["Good ", "morn", "ing."]));
    let events = chat(&server, "Hi").await;
    assert_eq!(kinds(&events), ["run", "delta", "delta", "delta", "message"], "{events:#?}");
    assert_eq!(text(&events), "Good morning.");
    let last = &events.last().unwrap().data;
    assert_eq!((&last["message"], &last["status"]), (&json!("Good morning."), &json!("success")));
    assert_eq!(last["usage"], json!({ "inputTokens": 7, "outputTokens": 5, "costUsd": null }));
    assert_eq!(last["runId"], events[0].data["runId"]);
    assert_eq!(agent.calls()[0].body["stream"], true);
    let steps = server.admin.steps(last["runId"].as_str().unwrap()).await;
    assert_eq!(steps[0]["output"], "Good morning.", "it is recorded as any other");
}

#[tokio::test]
async fn the_documented_message_is_answered_exactly_as_it_stands() {
    let server = TestServer::start().await;
    register_example_agents(&server.admin).await;
    let request = server.client(Role::Member).request(Method::POST, "/agent/chat/stream");
    let events = Stream::of(request.header("content-type", "application/json").body(DOCUMENTED)).await.rest().await;
    assert!(text(&events).starts_with("Notes on tidal power."), "{events:#?}");
    assert_eq!(events.last().unwrap().data["message"], json!(text(&events)));
}

#[tokio::test]
async fn messages_come_in_pieces_too_and_what_knows_none_comes_as_one() {
    let (server, agent) = TestServer::with_agent().await;
    let config = json!({ "protocol": "anthropic", "endpoint": agent.endpoint(), "model": { "modelId": "m" } });
    server.admin.put("/agents/scripted", &config).await.expect(200);
    let mut body = String::new();
    for data in [
        json!({ "type": "message_start", "message": { "model": "m-1", "usage": { "input_tokens": 3, "output_tokens": 1 } } }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "ping" }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "Good " } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "evening." } }),
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 4 } }),
        json!({ "type": "message_stop" }),
    ] {
        body.push_str(&format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap()));
    }
    agent.answers(Answer::raw(200, "text/event-stream", body));
    let events = chat(&server, "Hi").await;
    assert_eq!((kinds(&events), text(&events)), (vec!["run", "delta", "delta", "message"], "Good evening.".to_owned()));
    assert_eq!(events[3].data["usage"], json!({ "inputTokens": 3, "outputTokens": 4, "costUsd": null }));

    server
        .admin
        .put("/agents/scripted", &json!({ "protocol": "http", "endpoint": agent.endpoint() }))
        .await
        .expect(200);
    agent.answers(Answer::raw(200, "application/json", r#"{"output": "At once."}"#));
    let events = chat(&server, "Hi").await;
    assert_eq!((kinds(&events), text(&events)), (vec!["run", "delta", "message"], "At once.".to_owned()));
}

#[tokio::test]
async fn half_a_stream_is_no_answer_and_the_last_event_says_what_happened() {
    let (server, agent) = TestServer::with_agent().await;
    let half = "data: {\"choices\":[{\"delta\":{\"content\":\"Good \"},\"finish_reason\":null}]}\n\n";
    agent.answers_otherwise(Answer::raw(200, "text/event-stream", half));
    let events = chat(&server, "Hi").await;
    let last = events.last().unwrap();
    assert_eq!((last.kind.as_str(), &last.data["code"]), ("error", &json!("chat.failed")), "{events:#?}");
    assert_eq!(last.data["run"]["error"]["code"], "agent.stream_cut");
    assert_eq!((&last.data["status"], events[0].kind.as_str()), (&json!(502), "run"));
    let run = server.admin.get(&format!("/runs/{}", events[0].data["runId"].as_str().unwrap())).await.expect(200);
    assert_eq!(run["run"]["status"], "failed");
    assert_eq!(kinds(&events)[1..5], ["delta", "restart", "delta", "restart"], "what was cut is void");
}

#[tokio::test]
async fn a_secret_that_an_agent_sends_in_pieces_is_not_passed_on() {
    let (server, agent) = tokio::join!(TestServer::start(), ScriptedAgent::start());
    let config =
        json!({ "id": "scripted", "protocol": "openai", "endpoint": agent.endpoint(), "auth": { "secret": "k" } });
    server.admin.post("/agents", &config).await.expect(201);
    server.admin.put("/secrets/k", &json!({ "value": "s3cr3t-value" })).await.expect(200);
    agent.answers(Answer::in_pieces(&["It is s3cr", "3t-va", "lue, you know"]));
    let events = chat(&server, "Hi").await;
    assert_eq!(text(&events), "It is [secret], you know");
    let last: &Value = &events.last().unwrap().data;
    assert_eq!(last["message"], "It is [secret], you know");
}

#[tokio::test]
async fn a_request_that_is_repeated_gets_the_answer_that_is_there() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::in_pieces(&["Once."]));
    let body = json!({ "agentId": "scripted", "message": "Hi" });
    for _ in 0..2 {
        let request =
            server.admin.request(Method::POST, "/agent/chat/stream").header("idempotency-key", "k").json(&body);
        let events = Stream::of(request).await.rest().await;
        assert_eq!((kinds(&events), text(&events)), (vec!["run", "delta", "message"], "Once.".to_owned()));
    }
    assert_eq!(agent.calls().len(), 1);
}

#[tokio::test]
async fn what_cannot_begin_is_a_problem_before_any_event() {
    let server = TestServer::start().await;
    let body = json!({ "agentId": "nobody", "message": "Hi" });
    server.admin.post("/agent/chat/stream", &body).await.problem(422, "chat.invalid");
    server.client(Role::Viewer).post("/agent/chat/stream", &body).await.problem(403, "auth.role");
}
