//! What the answer to a call means for the run.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::decide::failure_of_step;
use super::frame::Work;
use super::state::{Call, CallKind, State};
use crate::call::CallError;
use crate::duration::format_duration;
use crate::journal::{Event, Failure, Measured};
use crate::retry::RetryPolicy;

/// One attempt that is over.
#[derive(Debug)]
pub struct Attempt {
    /// The call that was made.
    pub call: Call,
    /// How it ended.
    pub result: AttemptResult,
    /// How long it took.
    pub duration: Duration,
}

/// How an attempt ended: with a value, or an error.
pub type AttemptResult = Result<(Value, Measured), CallError>;

impl State {
    /// The entry that an attempt makes, or `None` where nobody waits for it any more. `now` and `chance` (in `0.0..1.0`)
    /// decide when a next attempt is due; `repeatable` says whether what was called may be called again by default.
    pub fn judge(&self, attempt: Attempt, repeatable: bool, now: DateTime<Utc>, chance: f64) -> Option<Event> {
        let Attempt { call, result, duration } = attempt;
        if !self.is_called(&call) {
            return None;
        }
        let duration_ms = duration.as_millis() as u64;
        let error = match result {
            Ok((output, _)) if matches!(call.kind, CallKind::Child { .. }) => {
                let run = output.as_str()?.parse().ok()?;
                return Some(Event::ChildStarted { visit: call.visit, attempt: call.attempt, run });
            }
            Ok((output, measured)) => {
                return Some(Event::StepSucceeded {
                    visit: call.visit,
                    attempt: call.attempt,
                    output: Arc::new(output),
                    measured: Some(measured),
                    signal: None,
                });
            }
            Err(error) => error,
        };
        let policy = self.policy(&call, repeatable);
        Some(match policy.delay_after(call.attempt, &error, chance) {
            Some(delay) => Event::AttemptFailed {
                visit: call.visit,
                attempt: call.attempt,
                error,
                retry_at: now + delay,
                duration_ms,
            },
            None => Event::StepFailed {
                error: failure_of_step(&call.visit, &error, call.attempt),
                visit: call.visit,
                duration_ms: Some(duration_ms),
                prompt: error.prompt,
            },
        })
    }

    /// Whether this very attempt is waited for.
    fn is_called(&self, call: &Call) -> bool {
        let open = self.frames.get(&call.visit.scope).and_then(|frame| frame.open());
        let attempt = open.filter(|open| open.visit == call.visit).and_then(|open| match open.work {
            Work::Calling { attempt, .. } => Some(attempt),
            _ => None,
        });
        self.ended.is_none() && attempt == Some(call.attempt)
    }

    /// The entry of a run that took longer than it may.
    pub fn time_out(&self) -> Event {
        let bound = self.workflow.timeout.unwrap_or_default();
        let message = format!("the run took longer than its `timeout` of {}", format_duration(bound));
        Event::RunTimedOut { error: Failure { step_id: None, code: "run.timeout".to_owned(), message, attempts: 0 } }
    }

    /// When the run must be over.
    pub fn deadline(&self) -> Option<DateTime<Utc>> {
        Some(self.since + self.workflow.timeout?)
    }

    fn policy(&self, call: &Call, repeatable: bool) -> RetryPolicy {
        match (&self.workflow.steps[call.step].retry, &call.kind) {
            (Some(policy), _) => policy.clone(),
            (None, CallKind::Agent { .. }) => RetryPolicy::agent_default(),
            (None, CallKind::Child { .. }) => RetryPolicy::once(),
            (None, _) if repeatable => RetryPolicy::agent_default(),
            (None, _) => RetryPolicy::once(),
        }
    }
}
