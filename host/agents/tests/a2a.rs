//! Agent2Agent over real sockets, with agents that answer as a test scripts them.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use armilla_agents::{A2aProgress, A2aTask, AgentCall, POLL_FIRST};
use armilla_domain::agent::{AgentConfig, ModelSettings};
use armilla_domain::call::{CallContext, CallError, ErrorClass};
use armilla_testkit::agent::{Answer, ScriptedAgent};
use serde_json::{Value, json};

use self::common::{agents, assert_failed, configured, context, run_id, saying};

const CARD: &str = "/v1/.well-known/agent-card.json";

#[tokio::test]
async fn a_message_goes_where_the_card_says_and_the_card_is_asked_for_once() {
    let server = ScriptedAgent::start().await;
    server.answers(card(&server, "HTTP+JSON"));
    let message = json!({ "message": { "messageId": "m", "role": "ROLE_AGENT", "parts": [{ "text": "Hello you" }] } });
    server.answers_otherwise(json_of(&message));
    let (agents, agent, context) = (agents(), a2a(&server), context());
    for _ in 0..2 {
        let call = AgentCall { system_prompt: Some("Be brief."), ..saying("Hello", &context) };
        let progress = agents.a2a_send(&agent, call, None).await.unwrap();
        assert!(matches!(progress, A2aProgress::Done(answer) if answer.value == json!("Hello you")));
    }

    let calls = server.calls();
    let paths: Vec<&str> = calls.iter().map(|call| call.path.as_str()).collect();
    assert_eq!(paths, [CARD, "/v1/a2a/message:send", "/v1/a2a/message:send"]);
    let key = format!("{}:draft:3", run_id());
    for sent in &calls[1..] {
        assert_eq!((sent.header("a2a-version"), sent.header("idempotency-key")), ("1.0", key.as_str()));
        assert_eq!(sent.header("x-armilla-run"), run_id().to_string());
        let message =
            json!({ "messageId": key, "role": "ROLE_USER", "parts": [{ "text": "Be brief." }, { "text": "Hello" }] });
        let at_once = json!({ "historyLength": 0, "returnImmediately": true });
        assert_eq!(sent.body, json!({ "message": message, "configuration": at_once }));
    }
    assert_eq!(calls[0].header("idempotency-key"), "");
}

#[tokio::test]
async fn a_task_is_asked_for_by_its_id_and_less_and_less_often() {
    let server = ScriptedAgent::start().await;
    server.answers(card(&server, "JSONRPC"));
    server.answers(rpc(&json!({ "task": task("TASK_STATE_SUBMITTED", json!([])) })));
    server.answers(rpc(&task("TASK_STATE_WORKING", json!([]))));
    server.answers(rpc(&task("TASK_STATE_WORKING", json!([]))).header("retry-after", "20"));
    server.answers(rpc(&task("TASK_STATE_COMPLETED", json!([{ "parts": [{ "text": "A report" }] }]))));
    let (agents, agent, context) = (agents(), a2a(&server), context());

    let begun = agents.a2a_send(&agent, saying("Report", &context), None).await.unwrap();
    let kept = A2aTask { id: "t-1".into(), context_id: Some("c-1".into()), turns: 1 };
    assert_eq!(begun, A2aProgress::Working { task: kept.clone(), poll_after: POLL_FIRST });
    for (polls, wait) in [(1, POLL_FIRST * 2), (2, Duration::from_secs(20))] {
        // By a message that is not looked at.
        let progress = agents.a2a_get(&agent, saying("", &context), &kept, polls).await.unwrap();
        assert_eq!(progress, A2aProgress::Working { task: kept.clone(), poll_after: wait });
    }
    let ended = agents.a2a_get(&agent, saying("", &context), &kept, 3).await.unwrap();
    assert!(matches!(ended, A2aProgress::Done(answer) if answer.text == "A report"));

    let asked = &server.calls()[2..];
    assert!(asked.iter().all(|call| call.body["method"] == "GetTask" && call.body["params"]["id"] == "t-1"));
    // An intermediary that knows the key would give the first answer again.
    assert!(asked.iter().all(|call| call.header("idempotency-key").is_empty()));
}

#[tokio::test]
async fn the_answer_to_a_question_goes_to_the_task_that_asked_it() {
    let server = ScriptedAgent::start().await;
    server.answers(card(&server, "JSONRPC"));
    let mut asking = task("TASK_STATE_INPUT_REQUIRED", json!([]));
    asking["status"]["message"] = json!({ "parts": [{ "text": "Where to?" }] });
    server.answers(rpc(&json!({ "task": asking })));
    server.answers(rpc(&json!({ "task": task("TASK_STATE_COMPLETED", json!([{ "parts": [{ "data": [1] }] }])) })));
    let (agents, agent, context) = (agents(), a2a(&server), context());

    let asked = agents.a2a_send(&agent, saying("Book", &context), None).await.unwrap();
    let A2aProgress::InputRequired { task, question } = asked else { panic!("{asked:?}") };
    assert_eq!(question, "Where to?");
    let ended = agents.a2a_send(&agent, saying("Rome", &context), Some(&task)).await.unwrap();
    assert!(matches!(ended, A2aProgress::Done(answer) if answer.value == json!([1])));

    let sent = &server.calls()[2];
    let key = format!("{}:draft:3:2", run_id());
    let message = &sent.body["params"]["message"];
    assert_eq!((&message["taskId"], &message["contextId"]), (&json!("t-1"), &json!("c-1")));
    assert_eq!((message["messageId"].as_str().unwrap(), sent.header("idempotency-key")), (key.as_str(), key.as_str()));
}

#[tokio::test]
async fn a_task_that_is_canceled_or_not_known_any_more_has_ended_and_one_that_cannot_be_has_not() {
    let server = ScriptedAgent::start().await;
    server.answers(card(&server, "JSONRPC"));
    let (agents, agent, context) = (agents(), a2a(&server), context());
    let kept = A2aTask { id: "t-1".into(), context_id: None, turns: 1 };
    for (answer, ended) in [
        (rpc(&task("TASK_STATE_CANCELED", json!([]))), true),
        (rpc(&task("TASK_STATE_WORKING", json!([]))), false),
        (rpc_error(-32001, "no such task"), true),
    ] {
        server.answers(answer);
        assert_eq!(agents.a2a_cancel(&agent, saying("", &context), &kept).await.unwrap(), ended);
    }
    server.answers(rpc_error(-32002, "too late"));
    let refused = agents.a2a_cancel(&agent, saying("", &context), &kept).await;
    assert_failed(refused, "agent.task_not_cancelable", ErrorClass::Permanent);
    assert_eq!(server.calls()[1].body["method"], "CancelTask");
}

#[tokio::test]
async fn a_call_that_waits_follows_a_task_to_its_end_and_over_a_failure_on_the_way() {
    let server = ScriptedAgent::start().await;
    server.answers(card(&server, "JSONRPC"));
    server.answers(rpc(&json!({ "task": task("TASK_STATE_WORKING", json!([])) })));
    server.answers(Answer::error(503, "restarting"));
    server.answers(rpc(&task("TASK_STATE_COMPLETED", json!([{ "parts": [{ "text": "{\"n\": 1}" }] }]))));
    let answer = agents().call(&a2a(&server), saying("Count", &context())).await.unwrap();
    assert_eq!(answer.value, json!({ "n": 1 }));
}

#[tokio::test]
async fn a_call_that_waits_ends_with_its_time_with_a_question_or_with_the_task() {
    let server = ScriptedAgent::start().await;
    server.answers(card(&server, "JSONRPC"));
    let (agents, agent, context) = (agents(), a2a(&server), context());
    server.answers(rpc(&json!({ "task": task("TASK_STATE_WORKING", json!([])) })));
    let short = CallContext { timeout: POLL_FIRST, ..context.clone() };
    assert_failed(agents.call(&agent, saying("Work", &short)).await, "agent.timeout", ErrorClass::Timeout);

    server.answers(rpc(&json!({ "task": task("TASK_STATE_INPUT_REQUIRED", json!([])) })));
    let asked = agents.call(&agent, saying("Work", &context)).await;
    assert_failed(asked, "agent.input_required", ErrorClass::Permanent);

    server.answers(rpc(&json!({ "task": task("TASK_STATE_WORKING", json!([])) })));
    server.answers(rpc(&task("TASK_STATE_FAILED", json!([]))));
    let failed = agents.call(&agent, saying("Work", &context)).await;
    assert_failed(failed, "agent.task_failed", ErrorClass::Server);
}

#[tokio::test]
async fn a_step_that_wants_another_model_is_told_that_the_agent_chooses_its_own() {
    let server = ScriptedAgent::start().await;
    let context = context();
    let over = ModelSettings { model_id: Some("large".into()), ..ModelSettings::default() };
    let call = AgentCall { model: Some(&over), ..saying("Hello", &context) };
    assert_failed(agents().a2a_send(&a2a(&server), call, None).await, "agent.bad_call", ErrorClass::Permanent);
    assert!(server.calls().is_empty());
}

#[tokio::test]
async fn an_endpoint_that_is_a_file_of_json_is_the_card_itself() {
    let server = ScriptedAgent::start().await;
    server.answers(card(&server, "JSONRPC"));
    let agent = configured("a2a", &format!("{}/cards/writer.json?v=2", server.endpoint()));
    let error = agents().a2a_send(&agent, saying("Hello", &context()), None).await.unwrap_err();
    assert_eq!(error.code, "agent.bad_answer", "a chat completion is no answer: {error}");
    assert_eq!(server.calls()[0].path, "/v1/cards/writer.json?v=2");
    assert_eq!(server.calls()[1].path, "/v1/a2a");
}

#[tokio::test]
async fn an_agent_that_has_moved_is_found_by_its_new_card() {
    let server = ScriptedAgent::start().await;
    server.answers(card(&server, "HTTP+JSON"));
    server.answers(Answer::error(410, "moved"));
    let (agents, agent, context) = (agents(), a2a(&server), context());
    assert_failed(agents.a2a_send(&agent, saying("Hi", &context), None).await, "agent.refused", ErrorClass::Permanent);
    server.answers(card(&server, "JSONRPC"));
    server.answers(rpc(&json!({ "task": task("TASK_STATE_COMPLETED", json!([])) })));
    agents.a2a_send(&agent, saying("Hi", &context), None).await.unwrap();
    assert_eq!(server.calls()[2].path, CARD);
}

#[tokio::test]
async fn a_card_that_cannot_be_had_is_told_and_not_remembered() {
    let server = ScriptedAgent::start().await;
    let (agents, agent, context) = (agents(), a2a(&server), context());
    for (answer, code, class) in [
        (Answer::raw(200, "text/html", "<html>Soon</html>"), "agent.bad_answer", ErrorClass::Server),
        (Answer::error(404, "nothing here"), "agent.refused", ErrorClass::Permanent),
        (Answer::error(503, "later"), "agent.server_error", ErrorClass::Server),
        (
            Answer::raw(302, "text/plain", "").header("location", "http://127.0.0.1:9/"),
            "agent.redirected",
            ErrorClass::Permanent,
        ),
        (Answer::raw(200, "application/json", "{}"), "agent.bad_card", ErrorClass::Permanent),
        (Answer::raw(200, "application/json", vec![b' '; 300_000]), "agent.answer_too_large", ErrorClass::Permanent),
    ] {
        server.answers(answer);
        assert_failed(agents.a2a_send(&agent, saying("Hi", &context), None).await, code, class);
    }
    assert!(server.calls().iter().all(|call| call.path == CARD));
}

#[tokio::test]
async fn a_card_cannot_lead_to_a_private_address_that_is_not_allowed() {
    let server = ScriptedAgent::start().await;
    for url in ["http://10.1.2.3/a2a", "http://169.254.169.254/latest", "http://[::1]:5432/"] {
        let agents = agents();
        server.answers(json_of(&card_of(url, "JSONRPC")));
        let refused = agents.a2a_send(&a2a(&server), saying("Hi", &context()), None).await;
        assert_failed(refused, "agent.address_refused", ErrorClass::Permanent);
    }
    assert_eq!(server.calls().len(), 3);
}

#[tokio::test]
async fn a_secret_goes_with_the_card_and_the_message_and_nowhere_that_a_card_leads_to_elsewhere() {
    let server = ScriptedAgent::start().await;
    let config = json!({ "id": "tester", "protocol": "a2a", "endpoint": server.endpoint(), "auth": { "secret": "k" } });
    let agent = AgentConfig::check(&config).unwrap();
    let (agents, context) = (agents(), context());
    let call = || AgentCall { secret: Some("s3cr3t-key"), ..saying("Hi", &context) };

    server.answers(json_of(&card_of("http://127.0.0.2:1/a2a", "JSONRPC")));
    let withheld = agents.a2a_send(&agent, call(), None).await;
    assert_failed(withheld, "agent.secret_withheld", ErrorClass::Permanent);

    let agents = common::agents();
    server.answers(card(&server, "JSONRPC"));
    server.answers(rpc_error(-32600, "unknown key s3cr3t-key"));
    let refused = agents.a2a_send(&agent, call(), None).await.unwrap_err();
    assert!(refused.message.contains("unknown key [secret]"), "{refused}");
    assert!(server.calls().iter().all(|call| call.header("authorization") == "Bearer s3cr3t-key"));
}

#[tokio::test]
async fn an_answer_that_is_none_is_a_bad_answer_or_too_large() {
    let server = ScriptedAgent::start().await;
    server.answers(card(&server, "JSONRPC"));
    let (agents, agent, context) = (agents(), a2a(&server), context());
    let other =
        json!({ "jsonrpc": "2.0", "id": "another", "result": { "task": task("TASK_STATE_COMPLETED", json!([])) } });
    let bad = ("agent.bad_answer", ErrorClass::Server);
    let large = ("agent.answer_too_large", ErrorClass::Permanent);
    for (answer, (code, class)) in [
        (Answer::raw(200, "text/html", "<html>Hello</html>"), bad),
        (json_of(&other), bad),
        (rpc(&json!({ "task": { "id": 7 } })), bad),
        (rpc(&json!(null)), bad),
        (Answer::raw(200, "application/json", format!("{{\"id\": \"{}\"}}", rpc_id())), bad),
        (Answer::raw(200, "application/json", vec![b'['; 100_000]), bad),
        (Answer::raw(200, "application/json", vec![b' '; 100_000_000]), large),
    ] {
        server.answers(answer);
        assert_failed(agents.a2a_send(&agent, saying("Hi", &context), None).await, code, class);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_never_ends_is_given_up() {
    let half = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 90\r\n\r\n{\"jsonrpc\":".to_vec();
    let broken = send_to_raw(half, false).await;
    assert_failed(broken, "agent.unavailable", ErrorClass::Unavailable);

    let mut endless = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    endless.extend(b"10000\r\n");
    endless.extend([b' '; 0x10000]);
    let endless = send_to_raw(endless, true).await;
    assert_failed(endless, "agent.answer_too_large", ErrorClass::Permanent);
}

/// Sends a message to a peer that answers with exactly these bytes, or with their last 64 KiB again and again.
async fn send_to_raw(bytes: Vec<u8>, forever: bool) -> Result<A2aProgress, CallError> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a2a", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut asked = [0; 4_096];
        let _ = connection.read(&mut asked).await;
        let _ = connection.write_all(&bytes).await;
        let again = [&b"\r\n10000\r\n"[..], &[b' '; 0x10000]].concat();
        while forever && connection.write_all(&again).await.is_ok() {}
    });
    let server = ScriptedAgent::start().await;
    server.answers(json_of(&card_of(&url, "JSONRPC")));
    agents().a2a_send(&a2a(&server), saying("Hi", &context()), None).await
}

fn a2a(server: &ScriptedAgent) -> AgentConfig {
    configured("a2a", &server.endpoint())
}

fn card(server: &ScriptedAgent, binding: &str) -> Answer {
    json_of(&card_of(&format!("{}/a2a", server.endpoint()), binding))
}

fn card_of(url: &str, binding: &str) -> Value {
    json!({ "name": "tester", "supportedInterfaces": [{ "url": url, "protocolBinding": binding, "protocolVersion": "1.0" }] })
}

fn task(state: &str, artifacts: Value) -> Value {
    json!({ "id": "t-1", "contextId": "c-1", "status": { "state": state }, "artifacts": artifacts })
}

fn rpc(result: &Value) -> Answer {
    json_of(&json!({ "jsonrpc": "2.0", "id": rpc_id(), "result": result }))
}

fn rpc_error(code: i64, message: &str) -> Answer {
    json_of(&json!({ "jsonrpc": "2.0", "id": rpc_id(), "error": { "code": code, "message": message } }))
}

/// What a request is called by its attempt.
fn rpc_id() -> String {
    format!("{}:draft:3:1", run_id())
}

fn json_of(value: &Value) -> Answer {
    Answer::raw(200, "application/json", value.to_string())
}
