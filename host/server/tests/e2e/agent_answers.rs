//! What agents answer: JSON where it was asked for, one chance to mend it, and an error of its own for each way to be no answer.

use armilla_testkit::agent::Answer;
use serde_json::{Value, json};

use crate::harness::{TestServer, agent_step, with};

fn review() -> Value {
    let schema = json!({
        "type": "object", "required": ["approved"], "properties": { "approved": { "type": "boolean" } },
    });
    with(agent_step("ask", "Review it"), json!({ "outputSchema": schema, "retry": { "maxAttempts": 1 } }))
}

#[tokio::test]
async fn an_answer_that_must_fit_a_schema_is_asked_for_so_and_is_its_value() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(r#"{"approved": true}"#);
    let run = server.admin.run_steps(json!([review()])).await;
    assert_eq!(run["vars"]["ask"], json!({ "approved": true }), "{run:#}");
    let format = &agent.calls()[0].body["response_format"];
    assert_eq!(
        (&format["type"], &format["json_schema"]["schema"]["required"]),
        (&json!("json_schema"), &json!(["approved"]))
    );
    assert_eq!(agent.calls()[0].system_prompt(), "");
}

#[tokio::test]
async fn an_answer_that_does_not_fit_may_be_mended_once() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers("I think it is fine.");
    agent.answers(
        r#"```json
{"approved": true}
```"#,
    );
    let run = server.admin.run_steps(json!([review()])).await;
    assert_eq!(run["vars"]["ask"], json!({ "approved": true }), "{run:#}");
    let calls = agent.calls();
    let said = calls[1].body["messages"].as_array().unwrap();
    assert_eq!((said.len(), &said[1]["content"]), (3, &json!("I think it is fine.")));
    assert!(said[2]["content"].as_str().unwrap().contains("it is not JSON"), "{said:#?}");
    let steps = server.admin.steps(run["id"].as_str().unwrap()).await;
    assert_eq!((steps.len(), &steps[0]["turns"][0]["type"]), (1, &json!("answerRefused")));
    assert_eq!(run["usage"]["inputTokens"], 14, "both answers were paid for");

    agent.answers("no");
    agent.answers(r#"{"approved": "hunter2"}"#);
    let run = server.admin.run_steps(json!([review()])).await;
    let error = &run["error"];
    assert_eq!((&error["code"], &error["stepId"]), (&json!("agent.invalid_output"), &json!("ask")), "{run:#}");
    assert!(error["message"].as_str().unwrap().contains("/approved"), "{error:#}");
    assert_eq!(error["evidence"], r#"{"approved": "hunter2"}"#);
    assert_eq!(agent.calls().len(), 4);
}

#[tokio::test]
async fn a_server_that_takes_no_schema_is_told_in_words() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers_otherwise(r#"{"approved": true}"#);
    for (wanted, format) in [("json", json!({ "type": "json_object" })), ("none", Value::Null)] {
        let config = json!({ "protocol": "openai", "endpoint": agent.endpoint(), "structuredOutput": wanted,
            "systemPromptTemplate": "You review." });
        server.admin.put("/agents/scripted", &config).await.expect(200);
        let run = server.admin.run_steps(json!([review()])).await;
        assert_eq!(run["status"], "success", "{run:#}");
        let call = agent.calls().pop().unwrap();
        assert_eq!(call.body["response_format"], format);
        let prompt = call.system_prompt();
        assert!(prompt.starts_with("You review.\n\n") && prompt.contains(r#""required":["approved"]"#), "{prompt}");
    }
    let any = with(review(), json!({ "outputSchema": {} }));
    agent.answers_otherwise("[1, 2]");
    let run = server.admin.run_steps(json!([any])).await;
    assert_eq!(run["vars"]["ask"], json!([1, 2]), "{run:#}");
}

#[tokio::test]
async fn each_way_to_be_no_answer_has_an_error_of_its_own_that_names_the_step_and_keeps_the_evidence() {
    let (server, agent) = TestServer::with_agent().await;
    let html = "<!doctype html><title>Welcome</title>";
    let cases: [(Answer, &str, Option<&str>); 5] = [
        (Answer::raw(200, "text/html; charset=utf-8", html), "agent.bad_answer", Some(html)),
        (Answer::raw(200, "application/json", ""), "agent.empty_answer", None),
        (Answer::raw(200, "application/json", vec![b' '; 2 * 1024 * 1024]), "agent.answer_too_large", None),
        (Answer::raw(200, "application/json", r#"{"choices": ["#), "agent.bad_answer", Some(r#"{"choices": ["#)),
        (Answer::raw(302, "text/plain", "").header("location", "http://169.254.169.254/"), "agent.redirected", None),
    ];
    for (answer, code, evidence) in cases {
        agent.answers(answer);
        let step = with(agent_step("ask", "Hi"), json!({ "retry": { "maxAttempts": 1 } }));
        let run = server.admin.run_steps(json!([step])).await;
        let error = &run["error"];
        assert_eq!((&error["code"], &error["stepId"]), (&json!(code), &json!("ask")), "{run:#}");
        assert_eq!(error.get("evidence").and_then(Value::as_str), evidence, "{error:#}");
    }
    let told = server.admin.get("/runs?limit=50").await.expect(200).to_string();
    assert!(told.contains("a page of HTML"), "{told}");
}

#[tokio::test]
async fn a_certificate_that_does_not_verify_is_told_as_that() {
    let (server, agent) = TestServer::with_agent().await;
    // No TLS at all is what such a handshake meets here.
    let endpoint = agent.endpoint().replace("http://", "https://");
    server.admin.put("/agents/scripted", &json!({ "protocol": "openai", "endpoint": endpoint })).await.expect(200);
    let step = with(agent_step("ask", "Hi"), json!({ "retry": { "maxAttempts": 1 } }));
    let run = server.admin.run_steps(json!([step])).await;
    assert_eq!(run["error"]["code"], "agent.tls", "{run:#}");
}

#[tokio::test]
async fn plain_json_is_mapped_both_ways_as_the_configuration_says() {
    let (server, agent) = TestServer::with_agent().await;
    let config = json!({ "protocol": "http", "endpoint": agent.endpoint(),
        "request": { "prompt": "{{ systemPrompt }}: {{ message }}", "id": "{{ runId }}", "n": "{{ attempt }}", "fixed": [true] },
        "response": "body.reply.text", "systemPromptTemplate": "Be brief" });
    server.admin.put("/agents/scripted", &config).await.expect(200);
    agent.answers(Answer::raw(200, "application/json", r#"{"reply": {"text": "{\"a\": 1}"}}"#));
    let run = server.admin.run_steps(json!([agent_step("ask", "Hi {{ 1 + 1 }}")])).await;
    assert_eq!(run["vars"]["ask"], json!({ "a": 1 }), "{run:#}");
    let sent = &agent.calls()[0].body;
    assert_eq!(*sent, json!({ "prompt": "Be brief: Hi 2", "id": run["id"], "n": 1, "fixed": [true] }));

    agent.answers(Answer::raw(200, "application/json", r#"{"other": 1}"#));
    let once = with(agent_step("ask", "Hi"), json!({ "retry": { "maxAttempts": 1 } }));
    let run = server.admin.run_steps(json!([once])).await;
    assert_eq!(
        (&run["error"]["code"], &run["error"]["evidence"]),
        (&json!("agent.bad_answer"), &json!(r#"{"other":1}"#))
    );

    let wrong =
        json!({ "protocol": "http", "endpoint": agent.endpoint(), "request": { "a": ["{{ oops"] }, "response": "1 +" });
    let problem = server.admin.put("/agents/scripted", &wrong).await.problem(422, "agent.invalid");
    let places: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|fault| fault["pointer"].clone()).collect();
    assert_eq!(places, ["/request/a/0", "/response"]);
    let wrong = json!({ "protocol": "openai", "endpoint": agent.endpoint(), "response": "body" });
    server.admin.put("/agents/scripted", &wrong).await.problem(422, "agent.invalid");
}

#[tokio::test]
async fn a_step_may_want_another_model_than_its_agent() {
    let (server, agent) = TestServer::with_agent().await;
    let step = with(agent_step("ask", "Hi"), json!({ "model": { "modelId": "large", "temperature": 0.1 } }));
    server.admin.run_steps(json!([step])).await;
    assert_eq!(
        (&agent.calls()[0].body["model"], &agent.calls()[0].body["temperature"]),
        (&json!("large"), &json!(0.1))
    );
    let wrong = with(agent_step("ask", "Hi"), json!({ "model": { "provider": "openai", "temperature": 9 } }));
    let body = json!({ "name": "w", "definition": { "steps": [wrong] } });
    let problem = server.admin.post("/workflows", &body).await.problem(422, "workflow.invalid");
    let mut places: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
    places.sort_unstable();
    assert_eq!(places, ["/definition/steps/0/model/provider", "/definition/steps/0/model/temperature"]);
}
