//! The headers of a call: what it is, so that the agent can tell a repeated call from a new one and traces hold together.

use armilla_domain::agent::{AgentConfig, AgentProtocol};
use armilla_domain::call::{CallContext, CallError};
use armilla_egress::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

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
    if let Some(child) = context.traceparent.as_deref().and_then(|parent| child_of(parent, context)) {
        // Hexadecimal digits and hyphens: always a header.
        headers.extend(HeaderValue::try_from(child).ok().map(|value| (HeaderName::from_static("traceparent"), value)));
    }
    Ok(headers)
}

/// The same trace with a span of its own (W3C Trace Context). The span's id follows from the attempt, so that a trace of a
/// repeated recovery shows the same span. A parent that does not keep to the format is not passed on.
fn child_of(parent: &str, context: &CallContext) -> Option<String> {
    let parts: Vec<&str> = parent.split('-').collect();
    let [version @ "00", trace, span, flags] = parts[..] else { return None };
    let hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    };
    let zero = |text: &str| text.bytes().all(|digit| digit == b'0');
    if !hex(trace, 32) || !hex(span, 16) || !hex(flags, 2) || zero(trace) || zero(span) {
        return None;
    }
    let seed = format!("{parent} {} {}", context.idempotency_key(), context.attempt);
    let child: String = Sha256::digest(seed)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{version}-{trace}-{child}-{flags}"))
}
