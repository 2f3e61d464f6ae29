//! How agents are called: again where that can help, never where it cannot, and always recognisable.

use armilla_testkit::agent::Answer;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{TestServer, agent_step, with};

fn quick_retry(attempts: u32) -> Value {
    json!({ "retry": { "maxAttempts": attempts, "initialDelay": "5ms", "maxDelay": "20ms" } })
}

#[tokio::test]
async fn a_call_that_failed_is_made_again_and_both_attempts_are_recorded() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::error(503, "overloaded"));
    agent.answers("now it works");
    let run = server.admin.run_steps(json!([with(agent_step("ask", "Hi"), quick_retry(3))])).await;
    assert_eq!((&run["status"], &run["vars"]["ask"]), (&json!("success"), &json!("now it works")), "{run:#}");

    let steps = server.admin.steps(run["id"].as_str().unwrap()).await;
    assert_eq!(steps.len(), 2);
    assert_eq!((&steps[0]["attempt"], &steps[0]["status"]), (&json!(1), &json!("failed")));
    assert_eq!(steps[0]["error"]["code"], "agent.server_error");
    assert!(steps[0]["error"]["message"].as_str().unwrap().contains("overloaded"), "{:#}", steps[0]);
    assert_eq!((&steps[1]["attempt"], &steps[1]["status"]), (&json!(2), &json!("success")));
    assert_eq!(steps[0]["input"], steps[1]["input"]);
}

#[tokio::test]
async fn a_call_that_keeps_failing_fails_its_run_after_the_last_attempt() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers_otherwise(Answer::error(500, "broken"));
    let run = server.admin.run_steps(json!([with(agent_step("ask", "Hi"), quick_retry(3))])).await;
    assert_eq!(run["status"], "failed");
    let told = (&run["error"]["code"], &run["error"]["stepId"], &run["error"]["attempts"]);
    assert_eq!(told, (&json!("agent.server_error"), &json!("ask"), &json!(3)));
    assert_eq!(agent.calls().len(), 3);
}

#[tokio::test]
async fn a_refusal_is_not_repeated() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers_otherwise(Answer::error(422, "not like this"));
    let run = server.admin.run_steps(json!([with(agent_step("ask", "Hi"), quick_retry(5))])).await;
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!("agent.refused")));
    assert_eq!(agent.calls().len(), 1);
}

#[tokio::test]
async fn an_agent_that_does_not_answer_in_time_is_given_up() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::never());
    let impatient = json!({ "timeout": "50ms", "retry": { "maxAttempts": 1 } });
    let run = server.admin.run_steps(json!([with(agent_step("ask", "Hi"), impatient)])).await;
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!("agent.timeout")), "{run:#}");
}

#[tokio::test]
async fn an_agent_that_nobody_serves_is_unavailable() {
    let (server, agent) = TestServer::with_agent().await;
    drop(agent);
    let run = server.admin.run_steps(json!([with(agent_step("ask", "Hi"), quick_retry(2))])).await;
    assert_eq!((&run["error"]["code"], &run["error"]["attempts"]), (&json!("agent.unavailable"), &json!(2)), "{run:#}");
}

#[tokio::test]
async fn an_agent_that_is_not_registered_fails_the_run_that_comes_to_it() {
    let server = TestServer::start().await;
    let run = server.admin.run_steps(json!([agent_step("ask", "Hi")])).await;
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!("agent.unknown")));
}

#[tokio::test]
async fn every_attempt_of_a_visit_has_one_idempotency_key_and_says_which_it_is() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::error(503, "overloaded"));
    let run =
        server.admin.run_steps(json!([with(agent_step("ask", "Hi"), quick_retry(3)), agent_step("next", "Ho")])).await;
    let run = run["id"].as_str().unwrap();
    let headers = |name: &str| agent.calls().iter().map(|call| call.header(name).to_owned()).collect::<Vec<_>>();
    let keys = [format!("{run}:ask:1"), format!("{run}:ask:1"), format!("{run}:next:1")];
    assert_eq!(headers("idempotency-key"), keys);
    assert_eq!(headers("x-armilla-attempt"), ["1", "2", "1"]);
    assert_eq!(headers("x-armilla-step"), ["ask", "ask", "next"]);
    assert_eq!(headers("x-armilla-run"), [run; 3]);
}

#[tokio::test]
async fn the_callers_trace_goes_on_in_the_agents_calls() {
    let (server, agent) = TestServer::with_agent().await;
    let workflow = server.admin.create(json!({ "steps": [agent_step("ask", "Hi"), agent_step("again", "Hi")] })).await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let request = server.admin.request(Method::POST, &format!("/workflows/{workflow}/run"));
    let request = request.header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"));
    server.admin.send(request).await.expect(200);
    let parents: Vec<_> = agent.calls().iter().map(|call| call.header("traceparent").to_owned()).collect();
    assert_eq!(parents.len(), 2);
    for parent in &parents {
        assert!(parent.starts_with(&format!("00-{trace}-")) && parent.ends_with("-01"), "{parent}");
    }
    let spans: std::collections::HashSet<_> = parents.iter().map(|parent| &parent[36..52]).collect();
    assert!(spans.len() == 2 && !spans.contains("b7ad6b7169203331"), "each call is a span of its own: {parents:?}");
}

#[tokio::test]
async fn an_agent_is_told_its_model_and_its_system_prompt() {
    let (server, agent) = TestServer::with_agent().await;
    let config = json!({
        "protocol": "openai", "endpoint": agent.endpoint(), "model": { "modelId": "small", "temperature": 0.5 },
        "systemPromptTemplate": "You write about {{ topic }}.",
    });
    server.admin.put("/agents/scripted", &config).await.expect(200);
    let step = with(agent_step("ask", "Hi"), json!({ "systemPromptSuffix": "Be brief." }));
    let workflow = server.admin.create(json!({ "steps": [step] })).await;
    server.admin.run(&workflow, json!({ "topic": "tides" })).await;
    let call = &agent.calls()[0];
    assert_eq!((call.path.as_str(), &call.body["model"]), ("/v1/chat/completions", &json!("small")));
    assert_eq!(call.system_prompt(), "You write about tides.\n\nBe brief.");
}

#[tokio::test]
async fn plain_json_agents_are_called_at_their_endpoint() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::raw(200, "application/json", r#"{"output":{"score":7}}"#));
    let config = json!({ "id": "plain", "protocol": "http", "endpoint": agent.endpoint() });
    server.admin.post("/agents", &config).await.expect(201);
    let run = server.admin.run_steps(json!([with(agent_step("ask", "Hi"), json!({ "agentId": "plain" }))])).await;
    assert_eq!((&run["status"], &run["vars"]["ask"]), (&json!("success"), &json!({ "score": 7 })), "{run:#}");
    assert_eq!((agent.calls()[0].path.as_str(), &agent.calls()[0].body["message"]), ("/v1", &json!("Hi")));
}
