//! What each way to fail of this protocol means for a run.

use std::time::Duration;

use armilla_domain::call::{CallError, ErrorClass};
use armilla_egress::OutboundAnswer;
use serde_json::Value;

use super::wire::Operation;
use crate::failure;

pub(crate) const TASK_FAILED: &str = "agent.task_failed";
pub(crate) const TASK_REJECTED: &str = "agent.task_rejected";
pub(crate) const TASK_CANCELED: &str = "agent.task_canceled";
pub(crate) const TASK_NOT_FOUND: &str = "agent.task_not_found";
pub(crate) const AUTH_REQUIRED: &str = "agent.auth_required";
/// What says something of a task, and not of an exchange about it.
pub(crate) const OF_TASKS: [&str; 5] = [TASK_FAILED, TASK_REJECTED, TASK_CANCELED, TASK_NOT_FOUND, AUTH_REQUIRED];

const TASK_NOT_CANCELABLE: &str = "agent.task_not_cancelable";
const UNSUPPORTED_VERSION: &str = "agent.unsupported_version";
const SERVER_ERROR: &str = "agent.server_error";
const REFUSED: &str = "agent.refused";

type Meaning = (ErrorClass, &'static str);

/// A task has ended otherwise than well.
pub(crate) fn of_task(agent: &str, class: ErrorClass, code: &'static str, happened: &str, said: &str) -> CallError {
    let said = match failure::line(said) {
        line if line.is_empty() => "and it does not say why".to_owned(),
        line => line,
    };
    CallError::new(class, code, format!("agent `{agent}`: {happened}: {said}"))
}

/// A call that cannot answer met a question.
pub(crate) fn of_question(agent: &str, question: &str) -> CallError {
    let question = failure::line(question);
    CallError::permanent("agent.input_required", format!("agent `{agent}` asks for input: {question}"))
}

/// A call was over before its task.
pub(crate) fn of_slow_task(agent: &str, limit: Duration) -> CallError {
    let message = format!("agent `{agent}`: its task did not end within {} ms", limit.as_millis());
    CallError::new(ErrorClass::Timeout, "agent.timeout", message)
}

/// A step wants a model otherwise, which the protocol cannot say.
pub(crate) fn of_model(agent: &str) -> CallError {
    let message = format!("agent `{agent}` chooses its model itself: the protocol `a2a` has no word for one");
    CallError::permanent("agent.bad_call", message)
}

/// The same error, told of the card.
pub(crate) fn of_card(mut error: CallError) -> CallError {
    error.message.push_str(" (when asked for its agent card)");
    error
}

/// An interface's URL is none that a path can be added to.
pub(crate) fn of_card_url(agent: &str) -> CallError {
    CallError::permanent("agent.bad_card", format!("agent `{agent}`: its card leads to a URL that cannot be called"))
}

/// Whether an error may come from a card that is out of date.
pub(crate) fn may_be_moved(error: &CallError) -> bool {
    let permanent = error.class == ErrorClass::Permanent && !OF_TASKS.contains(&error.code.as_ref());
    permanent && error.code != TASK_NOT_CANCELABLE || error.class == ErrorClass::Unavailable
}

/// The agent answered that it cannot: by an error of JSON-RPC, by a status, or by both.
pub(crate) fn of_answer(
    agent: &str,
    operation: &Operation<'_>,
    answer: &OutboundAnswer,
    body: Option<&Value>,
) -> CallError {
    let is_success = (200..300).contains(&answer.status);
    let named = body.and_then(meaning);
    let (class, code) = match named.or_else(|| of_missing(operation, answer.status, body)) {
        Some(meaning) => meaning,
        None if is_success => (ErrorClass::Server, SERVER_ERROR),
        None => return failure::of_status(agent, answer),
    };
    let said = failure::own_account(&answer.body).unwrap_or_else(|| "and it does not say which".to_owned());
    let mut error = CallError::new(class, code, format!("agent `{agent}` answered with an error: {said}"));
    if class != ErrorClass::Permanent {
        error.retry_after = failure::retry_after(&answer.headers);
    }
    error
}

/// What an error is called: by its number in JSON-RPC, or by a word in its details.
fn meaning(body: &Value) -> Option<Meaning> {
    let error = &body["error"];
    let details = [&error["details"], &error["data"]].into_iter().filter_map(Value::as_array).flatten();
    let mut reasons = details.filter_map(|detail| detail["reason"].as_str());
    reasons.find_map(by_reason).or_else(|| by_number(error["code"].as_i64()?))
}

fn by_number(number: i64) -> Option<Meaning> {
    match number {
        -32001 => Some((ErrorClass::Permanent, TASK_NOT_FOUND)),
        -32002 => Some((ErrorClass::Permanent, TASK_NOT_CANCELABLE)),
        -32009 => Some((ErrorClass::Permanent, UNSUPPORTED_VERSION)),
        // Its own account of itself: an internal error, and an answer of its that it found wrong.
        -32603 | -32006 => Some((ErrorClass::Server, SERVER_ERROR)),
        // The request is not JSON, not a request, of no method, or has wrong parameters; or what it wants is not supported.
        -32700 | -32602..=-32600 | -32008..=-32007 | -32005..=-32003 => Some((ErrorClass::Permanent, REFUSED)),
        _ => None,
    }
}

fn by_reason(reason: &str) -> Option<Meaning> {
    match reason {
        "TASK_NOT_FOUND" => by_number(-32001),
        "TASK_NOT_CANCELABLE" => by_number(-32002),
        "VERSION_NOT_SUPPORTED" => by_number(-32009),
        "INVALID_AGENT_RESPONSE" => by_number(-32006),
        _ => None,
    }
}

/// Servers of 0.3 say by the status alone that there is no such task, or that it cannot be ended.
fn of_missing(operation: &Operation<'_>, status: u16, body: Option<&Value>) -> Option<Meaning> {
    // A page of a server that knows nothing of tasks is no such word.
    body.filter(|body| body.is_object())?;
    match (operation, status) {
        (Operation::Get(_) | Operation::Cancel(_) | Operation::Send { task: Some(_), .. }, 404) => by_number(-32001),
        (Operation::Cancel(_), 409) => by_number(-32002),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use armilla_egress::HeaderMap;
    use serde_json::json;

    use super::super::A2aTask;
    use super::*;

    fn read(operation: &Operation<'_>, status: u16, body: &Value) -> CallError {
        let answer = OutboundAnswer { status, headers: HeaderMap::new(), body: body.to_string().into_bytes() };
        of_answer("tester", operation, &answer, Some(body))
    }

    #[test]
    fn each_error_has_its_code_and_class_however_it_is_carried() {
        let task = A2aTask { id: "t-1".into(), context_id: None, turns: 1 };
        let (get, cancel) = (Operation::Get(&task), Operation::Cancel(&task));
        let send = Operation::Send { message_id: "m", texts: [None, Some("hi")], task: None };
        let rpc =
            |code: i64| json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": code, "message": "Out of\npaper" } });
        let reason = |reason: &str| json!({ "error": { "code": 400, "message": "Out of paper", "details": [{ "reason": reason }] } });
        let plain = json!({ "message": "Out of paper" });
        let (permanent, server) = (ErrorClass::Permanent, ErrorClass::Server);
        for (operation, status, body, class, code) in [
            (&get, 200, rpc(-32001), permanent, "agent.task_not_found"),
            (&cancel, 200, rpc(-32002), permanent, "agent.task_not_cancelable"),
            (&send, 200, rpc(-32003), permanent, "agent.refused"),
            (&send, 200, rpc(-32004), permanent, "agent.refused"),
            (&send, 200, rpc(-32006), server, "agent.server_error"),
            (&send, 200, rpc(-32008), permanent, "agent.refused"),
            (&send, 200, rpc(-32009), permanent, "agent.unsupported_version"),
            (&send, 200, rpc(-32601), permanent, "agent.refused"),
            (&send, 200, rpc(-32602), permanent, "agent.refused"),
            (&send, 400, rpc(-32700), permanent, "agent.refused"),
            (&send, 500, rpc(-32603), server, "agent.server_error"),
            (&send, 200, rpc(-32042), server, "agent.server_error"),
            (&send, 429, rpc(-32042), ErrorClass::RateLimited, "agent.rate_limited"),
            (&send, 401, rpc(7), permanent, "agent.refused"),
            (&get, 404, reason("TASK_NOT_FOUND"), permanent, "agent.task_not_found"),
            (&cancel, 400, reason("TASK_NOT_CANCELABLE"), permanent, "agent.task_not_cancelable"),
            (&send, 400, reason("VERSION_NOT_SUPPORTED"), permanent, "agent.unsupported_version"),
            (&send, 500, reason("INVALID_AGENT_RESPONSE"), server, "agent.server_error"),
            (&get, 404, plain.clone(), permanent, "agent.task_not_found"),
            (&cancel, 409, plain.clone(), permanent, "agent.task_not_cancelable"),
            (&send, 404, plain.clone(), permanent, "agent.refused"),
            (&send, 503, plain, server, "agent.server_error"),
        ] {
            let error = read(operation, status, &body);
            assert_eq!((error.class, error.code.as_ref()), (class, code), "{status} {body}");
            assert!(error.message.contains("Out of paper"), "{error}");
        }
    }

    #[test]
    fn a_card_is_asked_for_again_after_what_an_old_one_may_have_caused() {
        let of = |class, code: &'static str| may_be_moved(&CallError::new(class, code, ""));
        assert!(of(ErrorClass::Unavailable, "agent.unavailable"));
        assert!(of(ErrorClass::Permanent, "agent.refused"));
        assert!(!of(ErrorClass::Permanent, TASK_NOT_FOUND) && !of(ErrorClass::Permanent, TASK_NOT_CANCELABLE));
        assert!(!of(ErrorClass::Server, SERVER_ERROR) && !of(ErrorClass::RateLimited, "agent.rate_limited"));
    }
}
