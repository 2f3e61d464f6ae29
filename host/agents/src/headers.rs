//! The headers of a call: what it is, so that the agent can tell a repeated call from a new one and traces hold together.

use armilla_domain::agent::{AgentConfig, AgentProtocol};
use armilla_domain::call::{CallContext, CallError};
use armilla_domain::trace::child_of;
use armilla_egress::{HeaderMap, HeaderName, HeaderValue};

use crate::anthropic;
use crate::call::AgentCall;

pub(crate) fn of(agent: &AgentConfig, call: &AgentCall<'_>) -> Result<HeaderMap, CallError> {
    let mut headers = of_context(call.context)?;
    if agent.protocol == AgentProtocol::Anthropic {
        headers.insert("anthropic-version", HeaderValue::from_static(anthropic::VERSION));
    }
    if let (Some(auth), Some(secret)) = (&agent.auth, call.secret) {
        let (name, text) = auth.header(agent.protocol, secret);
        let bad = |_| {
            let detail = format!("agent `{}`: no header can carry the secret `{}`", agent.id, auth.secret);
            CallError::permanent("agent.bad_secret", detail)
        };
        let mut value = HeaderValue::try_from(text).map_err(bad)?;
        value.set_sensitive(true);
        let name = HeaderName::try_from(name).map_err(|_| {
            CallError::permanent("agent.bad_config", format!("agent `{}`: its `auth.header` is no header", agent.id))
        })?;
        headers.insert(name, value);
    }
    Ok(headers)
}

fn of_context(context: &CallContext) -> Result<HeaderMap, CallError> {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("accept", HeaderValue::from_static("application/json"));
    let told = [
        ("idempotency-key", context.idempotency_key()),
        ("x-armilla-run", context.run_id.to_string()),
        ("x-armilla-step", context.step_id.clone()),
        ("x-armilla-visit", context.visit.to_string()),
        ("x-armilla-attempt", context.attempt.to_string()),
    ];
    for (name, text) in told {
        let value = HeaderValue::try_from(text).map_err(|_| {
            CallError::permanent("agent.bad_call", "the step's id holds characters that no header can carry")
        })?;
        headers.insert(HeaderName::from_static(name), value);
    }
    if let Some(child) = traced(context) {
        // Hexadecimal digits and hyphens: always a header.
        headers.extend(HeaderValue::try_from(child).ok().map(|value| (HeaderName::from_static("traceparent"), value)));
    }
    Ok(headers)
}

/// A span of the caller's trace for the attempt.
fn traced(context: &CallContext) -> Option<String> {
    child_of(context.traceparent.as_deref()?, &format!("{} {}", context.idempotency_key(), context.attempt))
}
