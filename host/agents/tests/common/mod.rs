//! What the tests of calls share.

#![allow(dead_code, reason = "each of them uses a part of it")]

use std::time::Duration;

use armilla_agents::{AgentCall, Agents};
use armilla_domain::agent::AgentConfig;
use armilla_domain::call::{CallContext, CallError, ErrorClass};
use armilla_domain::id::RunId;
use armilla_egress::{Egress, EgressPolicy};
use serde_json::json;

/// Agents on loopback addresses.
pub(crate) fn agents() -> Agents {
    Agents::new(Egress::new(EgressPolicy { allowed: vec!["127.0.0.0/8".parse().unwrap()] }).unwrap())
}

pub(crate) fn configured(protocol: &str, endpoint: &str) -> AgentConfig {
    AgentConfig::check(&json!({ "id": "tester", "protocol": protocol, "endpoint": endpoint })).unwrap()
}

pub(crate) fn saying<'a>(message: &'a str, context: &'a CallContext) -> AgentCall<'a> {
    AgentCall::new(message, context)
}

pub(crate) fn context() -> CallContext {
    CallContext {
        run_id: run_id(),
        run_started_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        step_id: "draft".into(),
        visit: 3,
        attempt: 1,
        turn: 0,
        timeout: Duration::from_secs(10),
        traceparent: None,
    }
}

pub(crate) fn run_id() -> RunId {
    RunId::from_parts(1_767_225_600_000, [7; 10])
}

pub(crate) fn assert_failed<T: std::fmt::Debug>(result: Result<T, CallError>, code: &str, class: ErrorClass) {
    let error = result.unwrap_err();
    assert_eq!((error.code.as_ref(), error.class), (code, class), "{error}");
}
