//! What reaches a run from outside while it goes on.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::RunStatus;
use super::frame::{Cursor, Work};
use super::state::State;
use crate::id::RunId;
use crate::journal::{Event, Failure, Signal, Visit};

/// Signals that a run keeps for steps that may take them. One more ends the run: each is asked about by every step that waits for
/// its name.
pub const SIGNALS_KEPT_MAX: usize = 1_000;

/// What somebody tells a run: kept in its inbox until the run's journal has taken it in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Message {
    /// An event that a `wait` step may wait for, now or later.
    Signal {
        /// Its name.
        name: String,
        /// What it brings.
        payload: Arc<Value>,
        /// Who sent it.
        by: String,
    },
    /// Somebody's decision.
    Decision {
        /// Of which approval.
        visit: Visit,
        /// Yes or no.
        approved: bool,
        /// Whose.
        by: String,
        /// What they said about it.
        note: Option<String>,
    },
    /// End it.
    Cancel {
        /// Who says so.
        by: String,
        /// Why.
        reason: Option<String>,
    },
    /// Begin nothing more.
    Pause {
        /// Who says so.
        by: String,
        /// Why.
        reason: Option<String>,
    },
    /// Go on.
    Resume {
        /// Who says so.
        by: String,
    },
    /// A run that it started has ended.
    ChildEnded {
        /// Which.
        run: RunId,
        /// How.
        status: RunStatus,
        /// With what.
        output: Arc<Value>,
        /// Why it ended badly.
        error: Option<Failure>,
    },
}

impl State {
    /// The entry that a message makes, or `None` where it means nothing any more. `chance` is in `0.0..1.0`.
    pub fn receive(&self, message: Message, now: DateTime<Utc>, chance: f64) -> Option<Event> {
        if self.ended.is_some() {
            return None;
        }
        match message {
            Message::Signal { .. } if self.signals.len() >= SIGNALS_KEPT_MAX => {
                let message =
                    format!("the run keeps {SIGNALS_KEPT_MAX} events that no step has taken, and was sent another one");
                let error = Failure::new(None, "run.too_many_events", message);
                Some(Event::RunFailed { error })
            }
            Message::Signal { name, payload, by } => {
                let number = self.signals_received + 1;
                Some(Event::SignalReceived { signal: Signal { number, name, payload, by } })
            }
            Message::Decision { visit, approved, by, note } if !self.is_asking(&visit) => {
                self.decided_of_a_tool(&visit, approved, by, note)
            }
            Message::Decision { visit, approved, by, note } => Some(Event::StepSucceeded {
                visit,
                attempt: 0,
                output: Arc::new(serde_json::json!({
                    "approved": approved,
                    "by": by,
                    "note": note,
                    "at": now.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
                })),
                measured: None,
                signal: None,
            }),
            Message::Cancel { by, reason } => {
                let why = reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
                let message = format!("`{by}` cancelled the run{why}");
                let error = Failure::new(None, "run.cancelled", message);
                Some(Event::RunCancelled { error, by, reason })
            }
            Message::Pause { by, reason } => (!self.is_paused).then_some(Event::RunPaused { by, reason }),
            Message::Resume { by } => self.is_paused.then_some(Event::RunResumed { by }),
            Message::ChildEnded { run, status, output, error } => {
                self.child_ended(run, status, output, error, now, chance)
            }
        }
    }

    fn is_asking(&self, visit: &Visit) -> bool {
        self.frames.get(&visit.scope).is_some_and(|frame| match &frame.cursor {
            Cursor::In(open) => open.visit == *visit && matches!(open.work, Work::Asking { .. }),
            Cursor::At(_) | Cursor::Done | Cursor::Failed(_) => false,
        })
    }
}
