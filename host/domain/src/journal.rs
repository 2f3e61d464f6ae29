//! The journal of a run: what happened, in order, append-only. It is the truth; everything else is folded from it.

mod measured;
mod place;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::measured::{Measured, Usage};
pub use self::place::{ScopePath, Visit};
use crate::call::{CallError, PromptUse};
use crate::id::RunId;
use crate::plugin::Pin;
use crate::talk::Turn;

/// One line of a run's journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// When, by the clock of the host that wrote it. For people; nothing is judged by it.
    pub at: DateTime<Utc>,
    /// What.
    pub event: Event,
}

/// What a step, a run or a call was stopped by, as a journal and an answer show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The step where it arose; absent where the run itself failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_id: Option<String>,
    /// Stable and dotted.
    pub code: String,
    /// For people.
    pub message: String,
    /// How many attempts were made.
    pub attempts: u32,
    /// What the other side answered, where that is what was wrong: the beginning of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

impl Failure {
    /// A failure of the run itself, or of what never was an attempt.
    pub fn new(step_id: Option<String>, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { step_id, code: code.into(), message: message.into(), attempts: 0, evidence: None }
    }
}

/// An event that somebody sent to a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Signal {
    /// Which of the run's signals, from 1.
    pub number: u64,
    /// The event's name.
    pub name: String,
    /// What it brings.
    pub payload: Arc<Value>,
    /// Who sent it.
    pub by: String,
}

/// What happened. The tag is the entry's kind in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all_fields = "camelCase")]
pub enum Event {
    /// The run exists, with this input.
    #[serde(rename = "run.started")]
    RunStarted {
        /// What the caller gave.
        input: Arc<Value>,
        /// The versions of plugins that it stays on to its end, whatever is activated meanwhile.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        plugins: Vec<Pin>,
    },
    /// A visit begins, with what its call will be given.
    #[serde(rename = "step.started")]
    StepStarted {
        /// Which.
        #[serde(skip)]
        visit: Visit,
        /// Rendered: an agent's message, a tool's parameters. Null where nothing is called.
        #[serde(default, skip_serializing_if = "is_null")]
        input: Arc<Value>,
        /// When the visit must be over, or when what it waits for comes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deadline: Option<DateTime<Utc>>,
    },
    /// An attempt failed and another one follows.
    #[serde(rename = "step.attempt_failed")]
    AttemptFailed {
        /// Which.
        #[serde(skip)]
        visit: Visit,
        /// Which try, from 1.
        attempt: u32,
        /// Why.
        error: CallError,
        /// Not before this instant is it tried again.
        retry_at: DateTime<Utc>,
        /// How long it took.
        duration_ms: u64,
    },
    /// A turn between an agent and its step.
    #[serde(rename = "step.turn")]
    StepTurn {
        /// Of which visit.
        #[serde(skip)]
        visit: Visit,
        /// In which try, from 1.
        attempt: u32,
        /// It.
        turn: Arc<Turn>,
        /// The number of the signal that it took.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<u64>,
    },
    /// A `workflow` step's run exists.
    #[serde(rename = "step.child_started")]
    ChildStarted {
        /// Which visit waits for it.
        #[serde(skip)]
        visit: Visit,
        /// Which try, from 1.
        attempt: u32,
        /// The run.
        run: RunId,
    },
    /// A loop makes another pass.
    #[serde(rename = "loop.pass_started")]
    PassStarted {
        /// Which visit of the loop.
        #[serde(skip)]
        visit: Visit,
        /// Which pass, from 1.
        pass: u32,
    },
    /// A visit ended well.
    #[serde(rename = "step.succeeded")]
    StepSucceeded {
        /// Which.
        #[serde(skip)]
        visit: Visit,
        /// The try that did it, from 1; 0 where nothing was called.
        attempt: u32,
        /// Its result.
        output: Arc<Value>,
        /// Absent where nothing was called.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        measured: Option<Measured>,
        /// The number of the signal that it took.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<u64>,
    },
    /// A visit ended badly, for good.
    #[serde(rename = "step.failed")]
    StepFailed {
        /// Which.
        #[serde(skip)]
        visit: Visit,
        /// Why.
        error: Failure,
        /// How long the last attempt took.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duration_ms: Option<u64>,
        /// The system prompt of the last attempt, where an agent had one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prompt: Option<Box<PromptUse>>,
    },
    /// A step's `when` did not hold.
    #[serde(rename = "step.skipped")]
    StepSkipped {
        /// Which.
        #[serde(skip)]
        visit: Visit,
    },
    /// Somebody sent an event, which a `wait` step takes now or later.
    #[serde(rename = "signal.received")]
    SignalReceived {
        /// It.
        #[serde(flatten)]
        signal: Signal,
    },
    /// The run begins nothing more until it is resumed.
    #[serde(rename = "run.paused")]
    RunPaused {
        /// Who said so.
        by: String,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The run goes on.
    #[serde(rename = "run.resumed")]
    RunResumed {
        /// Who said so.
        by: String,
    },
    /// A run that had ended goes on from the step that failed.
    #[serde(rename = "run.retried")]
    RunRetried {
        /// Who said so.
        by: String,
        /// The version of the definition that it goes over to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<i32>,
        /// Variables that were changed.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        vars: Variables,
        /// Since when its own timeout counts.
        since: DateTime<Utc>,
    },
    /// What stands before this was taken over from another run.
    #[serde(rename = "run.forked")]
    RunForked {
        /// The other run.
        run: RunId,
        /// Who said so.
        by: String,
        /// Variables that were changed.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        vars: Variables,
        /// Since when its own timeout counts.
        since: DateTime<Utc>,
    },
    /// The run ended well.
    #[serde(rename = "run.succeeded")]
    RunSucceeded {
        /// What the definition's `output` picks; null without one.
        output: Value,
    },
    /// The run ended badly.
    #[serde(rename = "run.failed")]
    RunFailed {
        /// Why.
        error: Failure,
    },
    /// Somebody ended the run.
    #[serde(rename = "run.cancelled")]
    RunCancelled {
        /// That, in words.
        error: Failure,
        /// Who.
        by: String,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The run took longer than it may.
    #[serde(rename = "run.timed_out")]
    RunTimedOut {
        /// That, in words.
        error: Failure,
    },
}

impl Event {
    /// The visit it tells of; none for an event of the run itself.
    pub fn visit(&self) -> Option<&Visit> {
        match self {
            Self::StepStarted { visit, .. }
            | Self::AttemptFailed { visit, .. }
            | Self::StepTurn { visit, .. }
            | Self::ChildStarted { visit, .. }
            | Self::PassStarted { visit, .. }
            | Self::StepSucceeded { visit, .. }
            | Self::StepFailed { visit, .. }
            | Self::StepSkipped { visit } => Some(visit),
            _ => None,
        }
    }

    /// Its kind, as the store keeps it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RunStarted { .. } => "run.started",
            Self::StepStarted { .. } => "step.started",
            Self::AttemptFailed { .. } => "step.attempt_failed",
            Self::StepTurn { .. } => "step.turn",
            Self::ChildStarted { .. } => "step.child_started",
            Self::PassStarted { .. } => "loop.pass_started",
            Self::StepSucceeded { .. } => "step.succeeded",
            Self::StepFailed { .. } => "step.failed",
            Self::StepSkipped { .. } => "step.skipped",
            Self::SignalReceived { .. } => "signal.received",
            Self::RunPaused { .. } => "run.paused",
            Self::RunResumed { .. } => "run.resumed",
            Self::RunRetried { .. } => "run.retried",
            Self::RunForked { .. } => "run.forked",
            Self::RunSucceeded { .. } => "run.succeeded",
            Self::RunFailed { .. } => "run.failed",
            Self::RunCancelled { .. } => "run.cancelled",
            Self::RunTimedOut { .. } => "run.timed_out",
        }
    }

    /// Whether nothing but a retry can follow it.
    pub fn ends_the_run(&self) -> bool {
        matches!(
            self,
            Self::RunSucceeded { .. } | Self::RunFailed { .. } | Self::RunCancelled { .. } | Self::RunTimedOut { .. }
        )
    }

    /// The event as the store keeps it: a JSON object with its `kind`, without the visit, which has columns of its own.
    ///
    /// # Errors
    /// Never for an event that was made from JSON values; the store would rather say so than panic.
    pub fn to_body(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads what [`Event::to_body`] wrote.
    ///
    /// # Errors
    /// Where the body is of a kind that this program does not know.
    pub fn from_body(body: &str, stored_visit: Option<Visit>) -> Result<Self, serde_json::Error> {
        let mut event: Self = serde_json::from_str(body)?;
        if let Some(stored) = stored_visit {
            match &mut event {
                Self::StepStarted { visit, .. }
                | Self::AttemptFailed { visit, .. }
                | Self::StepTurn { visit, .. }
                | Self::ChildStarted { visit, .. }
                | Self::PassStarted { visit, .. }
                | Self::StepSucceeded { visit, .. }
                | Self::StepFailed { visit, .. }
                | Self::StepSkipped { visit } => *visit = stored,
                _ => {}
            }
        }
        Ok(event)
    }
}

fn is_null(value: &Arc<Value>) -> bool {
    value.is_null()
}

/// The variables of a run, by name.
pub type Variables = BTreeMap<String, Arc<Value>>;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_reads_back_what_it_wrote() {
        let visit = Visit { scope: ScopePath::default(), step: "draft".into(), number: 2 };
        let event = Event::StepSucceeded {
            visit: visit.clone(),
            attempt: 1,
            output: Arc::new(json!({ "z": 1, "a": "\u{0}" })),
            measured: None,
            signal: None,
        };
        let body = event.to_body().unwrap();
        assert!(body.starts_with(r#"{"kind":"step.succeeded""#), "{body}");
        assert!(!body.contains("draft"), "the visit has columns of its own: {body}");
        assert_eq!(Event::from_body(&body, Some(visit)).unwrap(), event);
    }

    #[test]
    fn a_scope_names_each_level_down_to_itself() {
        let outer = Visit { scope: ScopePath::default(), step: "group".into(), number: 1 };
        let inner = Visit { scope: ScopePath::inside(&outer, 0), step: "check".into(), number: 3 };
        assert_eq!(ScopePath::inside(&inner, "then").as_str(), "group:1:0/check:3:then");
    }

    #[test]
    fn the_deepest_value_inside_the_deepest_groups_reads_back() {
        let mut output = crate::json::nested(crate::json::JSON_DEPTH_MAX);
        for _ in 0..=crate::definition::NESTING_MAX {
            output = json!({ "branch": output });
        }
        let visit = Visit::default();
        let event = Event::StepSucceeded { visit, attempt: 0, output: Arc::new(output), measured: None, signal: None };
        assert_eq!(Event::from_body(&event.to_body().unwrap(), None).unwrap(), event);
    }

    #[test]
    fn a_number_reads_back_to_the_last_bit() {
        for number in [0.1 + 0.2, 122.416_294_033_786_59, 1.0 / 3.0, f64::MIN_POSITIVE] {
            let event = Event::RunSucceeded { output: json!(number) };
            assert_eq!(Event::from_body(&event.to_body().unwrap(), None).unwrap(), event);
        }
    }
}
