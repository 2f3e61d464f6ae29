//! What a call to an agent or a plugin is told about itself, and how it can fail.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{PromptOverrideId, RunId};

/// Which attempt of which visit of which step of which run a call belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallContext {
    /// The run.
    pub run_id: RunId,
    /// When the run started: the only "now" that a pure plugin or a template sees.
    pub run_started_at: DateTime<Utc>,
    /// The step's id in the definition.
    pub step_id: String,
    /// Which execution of the step this is, from 1.
    pub visit: u32,
    /// Which try of the visit this is, from 1.
    pub attempt: u32,
    /// How many turns of the visit went before this call.
    pub turn: u32,
    /// How long the attempt may take.
    pub timeout: Duration,
    /// The W3C `traceparent` to pass on, where the run's caller sent one.
    pub traceparent: Option<String>,
}

impl CallContext {
    /// The same for every attempt of one visit, so that a receiver can tell a repeated call from a new one. Calls of later turns
    /// of a visit add the turn's number.
    pub fn idempotency_key(&self) -> String {
        let Self { run_id, step_id, visit, .. } = self;
        match self.turn {
            0 => format!("{run_id}:{step_id}:{visit}"),
            turn => format!("{run_id}:{step_id}:{visit}:{turn}"),
        }
    }
}

/// The kinds of failure that a retry policy's `on` names, and the one it cannot name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ErrorClass {
    /// The attempt took longer than its `timeout`.
    Timeout,
    /// Nobody answered.
    Unavailable,
    /// The other side asks to come back later.
    RateLimited,
    /// The other side failed: a 5xx, or an answer that is not one.
    Server,
    /// A tool reported a failure that it calls retryable.
    Tool,
    /// Trying again cannot help: bad input, a refused capability, a limit, a 4xx.
    Permanent,
}

/// How a call ended when it did not end well. Neither field ever holds a secret or a path of the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallError {
    /// Stable and dotted: `agent.unavailable`, `tool.trap`, `tool.deadline`, …
    pub code: Cow<'static, str>,
    /// One sentence for people.
    pub message: String,
    /// What a retry policy judges it by.
    pub class: ErrorClass,
    /// How long the other side asked to wait before the next attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
    /// What the other side answered, where that is what was wrong: at most [`EVIDENCE_CHARS_MAX`] characters of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// The system prompt that the call was made with, where an agent was called and had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Box<PromptUse>>,
}

/// Characters of an answer that an error keeps: enough to see what it was.
pub const EVIDENCE_CHARS_MAX: usize = 1_000;

impl CallError {
    /// An error of `class`, without a wish for when to come back.
    pub fn new(class: ErrorClass, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), class, retry_after: None, evidence: None, prompt: None }
    }

    /// The same, with the beginning of what was answered.
    #[must_use]
    pub fn with_evidence(mut self, answered: &str) -> Self {
        self.evidence = Some(answered.chars().take(EVIDENCE_CHARS_MAX).collect());
        self
    }

    /// An error that no retry can help.
    pub fn permanent(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Permanent, code, message)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for CallError {}

/// Who answered a call: enough to tell later exactly what ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answerer {
    /// `agent`, `plugin`.
    pub kind: Cow<'static, str>,
    /// The agent's id or the plugin's name.
    pub name: String,
    /// The version of the agent's configuration, or the one the plugin states of itself.
    pub version: String,
    /// SHA-256, in hexadecimal, of the agent's configuration or of the component.
    pub digest: String,
}

/// Which system prompt a call was made with: enough to tell later exactly what was said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PromptUse {
    /// The version of the agent's prompt; absent where the text was an override's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i32>,
    /// SHA-256, in hexadecimal, of the prompt's content, before its variables are put in.
    pub hash: String,
    /// The label that chose the version; absent where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The override in effect; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub override_id: Option<PromptOverrideId>,
    /// Whether the text was the override's own.
    #[serde(default, skip_serializing_if = "is_false")]
    pub own_text: bool,
    /// The templates that the text included, each as `name@version`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub includes: Vec<String>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}
