//! Calls to agents, over real sockets.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use armilla_agents::{ANSWER_BYTES_MAX, AgentAnswer, AgentCall, Agents, TokenUsage};
use armilla_domain::agent::{AgentConfig, ModelSettings};
use armilla_domain::call::{CallContext, CallError, ErrorClass};
use armilla_egress::{Egress, EgressPolicy};
use armilla_testkit::agent::{Answer, ScriptedAgent};
use serde_json::{Value, json};

use self::common::{agents, assert_failed, configured, context, run_id, saying};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn an_openai_agent_is_asked_for_a_chat_completion() {
    let server = ScriptedAgent::start().await;
    server.answers("A fine text.");
    let mut agent = openai(&server);
    agent.model = ModelSettings {
        provider: Some("local".into()),
        model_id: Some("small".into()),
        temperature: Some(0.5),
        max_output_tokens: Some(100),
    };
    let over = ModelSettings { model_id: Some("large".into()), ..ModelSettings::default() };
    let context = context();
    let call = AgentCall { system_prompt: Some("You write."), model: Some(&over), ..AgentCall::new("Write", &context) };

    let answer = agents().call(&agent, call).await.unwrap();

    let expected = AgentAnswer {
        text: "A fine text.".into(),
        value: json!("A fine text."),
        calls: Vec::new(),
        usage: Some(TokenUsage { input: 7, output: 5 }),
        model: Some("scripted-1".into()),
    };
    assert_eq!(answer, expected);
    let asked = &server.calls()[0];
    assert_eq!(asked.path, "/v1/chat/completions");
    let messages = json!([{ "role": "system", "content": "You write." }, { "role": "user", "content": "Write" }]);
    let body =
        json!({ "messages": messages, "stream": false, "model": "large", "temperature": 0.5, "max_tokens": 100 });
    assert_eq!(asked.body, body);
}

#[tokio::test]
async fn an_openai_agent_without_settings_is_sent_no_nulls_and_a_query_of_its_endpoint_is_kept() {
    let server = ScriptedAgent::start().await;
    let mut agent = openai(&server);
    agent.endpoint = format!("{}/?api-version=1", server.endpoint());

    ask(&agent).await.unwrap();

    let asked = &server.calls()[0];
    assert_eq!(asked.path, "/v1/chat/completions?api-version=1");
    assert_eq!(asked.body, json!({ "messages": [{ "role": "user", "content": "Hello" }], "stream": false }));
}

#[tokio::test]
async fn an_anthropic_agent_is_sent_a_message_with_the_key_in_the_header_of_the_protocol() {
    let server = ScriptedAgent::start().await;
    let message = json!({ "type": "message", "role": "assistant", "model": "m-1-20300131", "stop_reason": "end_turn",
        "content": [{ "type": "text", "text": "A fine text." }], "usage": { "input_tokens": 7, "output_tokens": 5 } });
    server.answers(Answer::raw(200, "application/json", message.to_string()));
    let config = json!({ "id": "tester", "protocol": "anthropic", "endpoint": server.endpoint(),
        "model": { "modelId": "m-1" }, "auth": { "secret": "models.key" } });
    let agent = AgentConfig::check(&config).unwrap();
    let context = context();
    let call = AgentCall { system_prompt: Some("You write."), secret: Some("s3cr3t-key"), ..hello(&context) };

    let answer = agents().call(&agent, call).await.unwrap();

    let expected = AgentAnswer {
        text: "A fine text.".into(),
        value: json!("A fine text."),
        calls: Vec::new(),
        usage: Some(TokenUsage { input: 7, output: 5 }),
        model: Some("m-1-20300131".into()),
    };
    assert_eq!(answer, expected);
    let asked = &server.calls()[0];
    assert_eq!(asked.path, "/v1/messages");
    assert_eq!((asked.header("x-api-key"), asked.header("anthropic-version")), ("s3cr3t-key", "2023-06-01"));
    assert_eq!(asked.header("authorization"), "");
    let messages = json!([{ "role": "user", "content": "Hello" }]);
    let body = json!({ "model": "m-1", "max_tokens": 4096, "messages": messages, "system": "You write." });
    assert_eq!(asked.body, body);
}

#[tokio::test]
async fn an_agent_that_repeats_the_key_in_its_refusal_is_quoted_without_it() {
    let server = ScriptedAgent::start().await;
    server.answers(Answer::error(401, "invalid key: s3cr3t-key"));
    let config =
        json!({ "id": "tester", "protocol": "openai", "endpoint": server.endpoint(), "auth": { "secret": "k" } });
    let agent = AgentConfig::check(&config).unwrap();
    let context = context();
    let call = AgentCall { secret: Some("s3cr3t-key"), ..hello(&context) };
    let error = agents().call(&agent, call).await.unwrap_err();
    assert_eq!(error.message, "agent `tester` answered 401: invalid key: [secret]");
    assert_eq!(server.calls()[0].header("authorization"), "Bearer s3cr3t-key");
}

#[tokio::test]
async fn a_secret_that_no_header_can_carry_is_told_and_nothing_is_sent() {
    let server = ScriptedAgent::start().await;
    let config =
        json!({ "id": "tester", "protocol": "openai", "endpoint": server.endpoint(), "auth": { "secret": "k" } });
    let agent = AgentConfig::check(&config).unwrap();
    let context = context();
    let call = AgentCall { secret: Some("two\nlines of it"), ..hello(&context) };
    let error = agents().call(&agent, call).await.unwrap_err();
    assert_eq!(error.code, "agent.bad_secret");
    assert!(!error.message.contains("lines"), "{error}");
    assert_eq!(server.calls().len(), 0);
}

#[tokio::test]
async fn every_call_says_which_attempt_of_what_it_is() {
    let server = ScriptedAgent::start().await;
    let agents = agents();
    let agent = openai(&server);
    for attempt in [1, 2, 2] {
        let context = CallContext { attempt, traceparent: Some(TRACEPARENT.into()), ..context() };
        agents.call(&agent, hello(&context)).await.unwrap();
    }

    let calls = server.calls();
    let run = run_id().to_string();
    for (call, attempt) in calls.iter().zip(["1", "2", "2"]) {
        assert_eq!(call.header("idempotency-key"), format!("{run}:draft:3"));
        assert_eq!(call.header("x-armilla-run"), run);
        assert_eq!(call.header("x-armilla-step"), "draft");
        assert_eq!(call.header("x-armilla-visit"), "3");
        assert_eq!(call.header("x-armilla-attempt"), attempt);
        assert_eq!(call.header("content-type"), "application/json");
    }
    // The same trace, a span per attempt, and the same span when the same attempt is made again.
    let spans: Vec<&str> = calls.iter().map(|call| call.header("traceparent")).collect();
    assert!(spans.iter().all(|span| span.starts_with(&TRACEPARENT[..36]) && span.ends_with("-01")), "{spans:?}");
    assert!(spans.iter().all(|span| span.len() == TRACEPARENT.len() && *span != TRACEPARENT));
    assert_ne!(spans[0], spans[1]);
    assert_eq!(spans[1], spans[2]);
}

#[tokio::test]
async fn a_trace_header_that_is_none_is_not_passed_on() {
    let server = ScriptedAgent::start().await;
    for traceparent in [None, Some("nonsense"), Some("00-00000000000000000000000000000000-00f067aa0ba902b7-01")] {
        let context = CallContext { traceparent: traceparent.map(str::to_owned), ..context() };
        agents().call(&openai(&server), hello(&context)).await.unwrap();
    }
    assert!(server.calls().iter().all(|call| !call.headers.contains_key("traceparent")));
}

#[tokio::test]
async fn an_answer_that_is_json_becomes_data() {
    let server = ScriptedAgent::start().await;
    server.answers("```json\n{\"approved\": true}\n```");
    let answer = ask(&openai(&server)).await.unwrap();
    assert_eq!(answer.value, json!({ "approved": true }));
    assert_eq!(answer.text, "```json\n{\"approved\": true}\n```");
}

#[tokio::test]
async fn an_http_agent_is_sent_plain_json() {
    let server = ScriptedAgent::start().await;
    server.answers(Answer::raw(200, "application/json", "{}"));
    let mut agent = http(&server);
    agent.model.model_id = Some("small".into());
    ask(&agent).await.unwrap();

    let asked = &server.calls()[0];
    assert_eq!(asked.path, "/v1");
    let body = json!({
        "agentId": "tester", "message": "Hello", "systemPrompt": null, "model": { "modelId": "small" },
        "runId": run_id(), "stepId": "draft", "visit": 3, "attempt": 1,
    });
    assert_eq!(asked.body, body);
}

#[tokio::test]
async fn an_http_agent_may_answer_in_several_ways() {
    let cases: [(&str, &str, Value, &str); 8] = [
        ("application/json", r#"{"output": {"n": 1}, "other": 2}"#, json!({ "n": 1 }), r#"{"n":1}"#),
        ("application/json", r#"{"output": "text"}"#, json!("text"), "text"),
        ("application/json", r#"{"message": "[1]"}"#, json!([1]), "[1]"),
        ("application/json; charset=utf-8", r#"{"a": 1}"#, json!({ "a": 1 }), r#"{"a":1}"#),
        ("application/problem+json", "42", json!(42), "42"),
        ("text/plain", "42", json!("42"), "42"),
        ("text/plain", r#"{"message": "hi"}"#, json!("hi"), "hi"),
        ("text/markdown", "# Title", json!("# Title"), "# Title"),
    ];
    let server = ScriptedAgent::start().await;
    for (kind, body, value, text) in cases {
        server.answers(Answer::raw(200, kind, body));
        let answer = ask(&http(&server)).await.unwrap();
        assert_eq!((&answer.value, answer.text.as_str()), (&value, text), "{kind}: {body}");
    }
}

#[tokio::test]
async fn each_status_has_its_code_and_class() {
    let cases = [
        (302, "agent.redirected", ErrorClass::Permanent),
        (400, "agent.refused", ErrorClass::Permanent),
        (401, "agent.refused", ErrorClass::Permanent),
        (404, "agent.refused", ErrorClass::Permanent),
        (408, "agent.timeout", ErrorClass::Timeout),
        (425, "agent.timeout", ErrorClass::Timeout),
        (429, "agent.rate_limited", ErrorClass::RateLimited),
        (500, "agent.server_error", ErrorClass::Server),
        (503, "agent.server_error", ErrorClass::Server),
    ];
    let server = ScriptedAgent::start().await;
    for (status, code, class) in cases {
        server.answers(Answer::error(status, "out of paper"));
        let error = ask(&openai(&server)).await.unwrap_err();
        assert_eq!((error.code.as_ref(), error.class, error.retry_after), (code, class, None), "{status}: {error}");
        assert!(error.message.contains("`tester`") && error.message.contains(&status.to_string()), "{error}");
        assert_eq!(error.message.contains("out of paper"), status != 302, "{error}");
    }
}

#[tokio::test]
async fn an_agent_that_asks_to_come_back_later_is_heard_in_seconds_and_in_dates() {
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let cases = [
        (Answer::error(429, "").header("retry-after", "7"), Some(7)),
        (Answer::error(503, "").header("retry-after", "2"), Some(2)),
        (Answer::error(500, "").header("retry-after", "2"), None),
        (Answer::error(429, "").header("retry-after", "99999999999"), Some(86_400)),
        (Answer::error(429, "").header("retry-after", "soon"), None),
        (Answer::error(429, "").header("retry-after", "Sun, 06 Nov 1994 08:51:07 GMT").header("date", date), Some(90)),
        (Answer::error(429, "").header("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT").header("date", date), Some(0)),
    ];
    let server = ScriptedAgent::start().await;
    for (answer, seconds) in cases {
        server.answers(answer.clone());
        let error = ask(&openai(&server)).await.unwrap_err();
        assert_eq!(error.retry_after, seconds.map(Duration::from_secs), "{answer:?}");
    }
}

#[tokio::test]
async fn what_an_agent_says_of_its_failure_is_bounded_and_on_one_line() {
    let server = ScriptedAgent::start().await;
    server.answers(Answer::error(400, &format!("first\nsecond {}", "é".repeat(1_000))));
    let error = ask(&openai(&server)).await.unwrap_err();
    assert!(error.message.contains("first second é") && error.message.chars().count() < 350, "{error}");
}

#[tokio::test]
async fn an_answer_that_is_not_what_the_protocol_says_is_a_bad_answer() {
    let server = ScriptedAgent::start().await;
    server.answers(Answer::raw(200, "application/json", " "));
    assert_failed(ask(&openai(&server)).await, "agent.empty_answer", ErrorClass::Server);
    for body in ["hello", "[]", "{}", r#"{"choices": []}"#, r#"{"choices": [{"message": {"content": null}}]}"#] {
        server.answers(Answer::raw(200, "application/json", body));
        assert_failed(ask(&openai(&server)).await, "agent.bad_answer", ErrorClass::Server);
    }
    server.answers(Answer::raw(200, "application/json", "{broken"));
    assert_failed(ask(&http(&server)).await, "agent.bad_answer", ErrorClass::Server);
    server.answers(Answer::raw(200, "text/plain", [0xff, 0xfe]));
    assert_failed(ask(&http(&server)).await, "agent.bad_answer", ErrorClass::Server);
}

#[tokio::test]
async fn an_answer_whose_usage_is_missing_or_odd_is_still_an_answer() {
    let server = ScriptedAgent::start().await;
    for usage in ["", r#", "usage": null"#, r#", "usage": {"prompt_tokens": null, "completion_tokens": 1.5}"#] {
        let body = format!(r#"{{"choices": [{{"message": {{"content": "hi"}}}}]{usage}}}"#);
        server.answers(Answer::raw(200, "application/json", body));
        let answer = ask(&openai(&server)).await.unwrap();
        assert_eq!((answer.text.as_str(), answer.usage, answer.model), ("hi", None, None));
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused() {
    let server = ScriptedAgent::start().await;
    server.answers("x".repeat(ANSWER_BYTES_MAX).as_str());
    assert_failed(ask(&openai(&server)).await, "agent.answer_too_large", ErrorClass::Permanent);
}

#[tokio::test]
async fn an_agent_that_does_not_answer_times_out_by_the_shorter_of_two_limits() {
    let server = ScriptedAgent::start().await;
    server.answers_otherwise(Answer::never());
    let short = Duration::from_millis(50);

    let context = CallContext { timeout: short, ..context() };
    let error = agents().call(&openai(&server), hello(&context)).await.unwrap_err();
    assert!(error.message.contains("within 50 ms"), "{error}");
    assert_failed::<AgentAnswer>(Err(error), "agent.timeout", ErrorClass::Timeout);

    let mut agent = openai(&server);
    agent.limits.timeout = Some(short);
    assert_failed(ask(&agent).await, "agent.timeout", ErrorClass::Timeout);
}

#[tokio::test]
async fn an_agent_that_is_gone_is_unavailable() {
    let server = ScriptedAgent::start().await;
    let agent = openai(&server);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    assert_failed(ask(&AgentConfig { endpoint, ..agent }).await, "agent.unavailable", ErrorClass::Unavailable);
}

#[tokio::test]
async fn an_agent_on_a_private_network_is_refused_with_a_word_on_how_to_allow_it() {
    let server = ScriptedAgent::start().await;
    let closed = Agents::new(Egress::new(EgressPolicy::default()).unwrap());
    let error = closed.call(&openai(&server), hello(&context())).await.unwrap_err();
    assert!(error.message.contains("--egress-allow"), "{error}");
    assert_failed::<AgentAnswer>(Err(error), "agent.address_refused", ErrorClass::Permanent);
    assert!(server.calls().is_empty());
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_called_is_a_permanent_error() {
    let server = ScriptedAgent::start().await;
    for endpoint in ["nonsense", "mailto:agent@example.com", "ftp://127.0.0.1/"] {
        let agent = AgentConfig { endpoint: endpoint.into(), ..openai(&server) };
        assert_failed(ask(&agent).await, "agent.bad_endpoint", ErrorClass::Permanent);
    }
}

#[tokio::test]
async fn calls_run_at_the_same_time() {
    let server = ScriptedAgent::start().await;
    server.answers_only_together(3);
    let (agents, agent, context) = (agents(), openai(&server), context());
    let call = || agents.call(&agent, hello(&context));
    let (first, second, third) = tokio::join!(call(), call(), call());
    assert!(first.is_ok() && second.is_ok() && third.is_ok());
    server.called(3).await;
}

async fn ask(agent: &AgentConfig) -> Result<AgentAnswer, CallError> {
    agents().call(agent, hello(&context())).await
}

fn openai(server: &ScriptedAgent) -> AgentConfig {
    configured("openai", &server.endpoint())
}

fn http(server: &ScriptedAgent) -> AgentConfig {
    configured("http", &server.endpoint())
}

fn hello(context: &CallContext) -> AgentCall<'_> {
    saying("Hello", context)
}
