//! What a run does, told as sentences. Every test drives a [`Bench`], which checks at each entry that the journal alone is
//! enough to go on.

mod bench;

mod approvals;
mod children;
mod control;
mod ends;
mod failure;
mod fork;
mod groups;

mod loops;
mod messages;
mod properties;
mod random;
mod retry;
mod retry_groups;
mod set;
mod signals;
mod switch;
mod timeouts;
mod turns;
mod versions;
mod waits;
mod world;

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::call::{CallError, ErrorClass};
use crate::journal::{Event, Visit};
use bench::{Answer, Bench, facts};

const SECOND: Duration = Duration::from_secs(1);

fn agent(id: &str) -> Value {
    json!({ "type": "agent", "id": id, "agentId": "a", "message": "do {{ input.topic }}", "outputVar": format!("{id}_out") })
}

/// An agent that is told `message`.
fn told(id: &str, message: &str) -> Value {
    with(agent(id), json!({ "message": message }))
}

fn with(mut step: Value, more: Value) -> Value {
    step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    step
}

fn fine(call: &Call) -> Answer {
    Ok(json!(format!("{} {}", call.visit.step, call.visit.number)))
}

fn refused() -> CallError {
    CallError::permanent("agent.refused", "no")
}

fn away() -> CallError {
    CallError::new(ErrorClass::Unavailable, "agent.unavailable", "away")
}
