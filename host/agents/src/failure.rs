//! What each way to fail means for a run: its code, its class and a sentence for people.

use std::time::Duration;

use armilla_domain::call::{CallError, ErrorClass};
use armilla_egress::{EgressError, HeaderMap, OutboundAnswer};
use chrono::DateTime;
use serde_json::Value;

use crate::call::essence_of;
use crate::{FAILURE_MESSAGE_CHARS_MAX, RETRY_AFTER_SECONDS_MAX};

/// No answer came.
pub(crate) fn of_egress(agent: &str, error: &EgressError) -> CallError {
    let (class, code) = match error {
        EgressError::Timeout { .. } => (ErrorClass::Timeout, "agent.timeout"),
        EgressError::Tls { .. } => (ErrorClass::Unavailable, "agent.tls"),
        EgressError::Connect { .. } | EgressError::Protocol { .. } | EgressError::Setup { .. } => {
            (ErrorClass::Unavailable, "agent.unavailable")
        }
        EgressError::BadUrl { .. } | EgressError::RefusedPort { .. } => (ErrorClass::Permanent, "agent.bad_endpoint"),
        EgressError::AnswerTooLarge { .. } => (ErrorClass::Permanent, "agent.answer_too_large"),
        EgressError::RefusedAddress { host } => {
            let message = format!(
                "agent `{agent}`: `{host}` leads to a private or reserved address; \
                 the operator lets it through with `--egress-allow` and its network"
            );
            return CallError::permanent("agent.address_refused", message);
        }
    };
    CallError::new(class, code, format!("agent `{agent}`: {error}"))
}

/// An answer came whose status is not a success.
pub(crate) fn of_status(agent: &str, answer: &OutboundAnswer) -> CallError {
    let status = answer.status;
    let (class, code) = match status {
        408 | 425 => (ErrorClass::Timeout, "agent.timeout"),
        429 => (ErrorClass::RateLimited, "agent.rate_limited"),
        300..400 => (ErrorClass::Permanent, "agent.redirected"),
        500.. => (ErrorClass::Server, "agent.server_error"),
        _ => (ErrorClass::Permanent, "agent.refused"),
    };
    let message = match (status, own_account(&answer.body)) {
        (300..400, _) => format!("agent `{agent}` answered {status}, a redirect, and redirects are not followed"),
        (_, Some(account)) => format!("agent `{agent}` answered {status}: {account}"),
        (_, None) => format!("agent `{agent}` answered {status}"),
    };
    let mut error = CallError::new(class, code, message);
    if matches!(status, 429 | 503) {
        error.retry_after = retry_after(&answer.headers);
    }
    error
}

/// An answer came that the protocol cannot read.
pub(crate) fn of_answer(agent: &str, reason: &str) -> CallError {
    CallError::new(ErrorClass::Server, "agent.bad_answer", format!("agent `{agent}`: {reason}"))
}

/// As [`of_answer`], with the beginning of what came.
pub(crate) fn of_body(agent: &str, reason: &str, answer: &OutboundAnswer) -> CallError {
    let what = match essence_of(&answer.headers).as_str() {
        "text/html" => "; it is a page of HTML, so that the endpoint may be the wrong one",
        _ => "",
    };
    of_answer(agent, &format!("{reason}{what}")).with_evidence(&String::from_utf8_lossy(&answer.body))
}

/// A success came without a body.
pub(crate) fn of_nothing(agent: &str, status: u16) -> CallError {
    let message = format!("agent `{agent}` answered {status} with nothing in it");
    CallError::new(ErrorClass::Server, "agent.empty_answer", message)
}

/// A stream broke off.
pub(crate) fn of_stream(agent: &str, reason: &str) -> CallError {
    CallError::new(ErrorClass::Server, "agent.stream_cut", format!("agent `{agent}`: {reason}"))
}

/// The step gives the agent tools, and the protocol has none.
pub(crate) fn of_tools(agent: &str) -> CallError {
    let message = format!("agent `{agent}`: its protocol knows no tools; `openai` and `anthropic` do");
    CallError::permanent("agent.tools_unsupported", message)
}

/// The endpoint is not a URL that can be called.
pub(crate) fn of_endpoint(agent: &str) -> CallError {
    CallError::permanent("agent.bad_endpoint", format!("agent `{agent}`: its endpoint cannot be called"))
}

/// What the agent says about its failure, in the places where such servers put it.
pub(crate) fn own_account(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let account = [&body["error"]["message"], &body["error"], &body["message"], &body["detail"]]
        .into_iter()
        .find_map(Value::as_str)?;
    Some(line(account)).filter(|line| !line.is_empty())
}

/// What an agent says on one line of at most [`FAILURE_MESSAGE_CHARS_MAX`], since it becomes part of ours.
pub(crate) fn line(text: &str) -> String {
    let words = text.split_whitespace().flat_map(|word| [" ", word]).skip(1);
    words.flat_map(str::chars).take(FAILURE_MESSAGE_CHARS_MAX).collect()
}

/// How long the agent asks to wait: seconds, or a date that is read against the answer's own `Date`, so that clocks that
/// differ do not matter.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    let asked = text("retry-after")?.trim();
    let seconds = match asked.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let until = DateTime::parse_from_rfc2822(asked).ok()?;
            let now = DateTime::parse_from_rfc2822(text("date")?).ok()?;
            (until - now).num_seconds().try_into().unwrap_or(0)
        }
    };
    Some(Duration::from_secs(seconds.min(RETRY_AFTER_SECONDS_MAX)))
}
