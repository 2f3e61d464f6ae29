//! Runs that a run starts by `workflow` steps, and waits for.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::RunStatus;
use super::decide::failure_of_step;
use super::frame::{Open, Work};
use super::state::State;
use crate::call::{CallError, ErrorClass};
use crate::id::RunId;
use crate::journal::{Event, Failure, Visit};
use crate::retry::RetryPolicy;

/// Whose child a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildOf {
    /// The run that waits for it.
    pub run: RunId,
    /// How many runs stand above it, that one counted.
    pub depth: i32,
}

impl State {
    /// The runs that this one waits for, each with the visit that started it; none after its end.
    ///
    /// After a retry these are the same runs as before, which may have ended meanwhile: those that ended badly are to be
    /// retried as well, and what the others came to is to be told once more.
    pub fn children(&self) -> Vec<(Visit, RunId)> {
        if self.ended.is_some() {
            return Vec::new();
        }
        let open = self.frames.values().filter_map(|frame| frame.open());
        let children = open.filter_map(|open| match &open.work {
            Work::Child { run, .. } => Some((open.visit.clone(), *run)),
            _ => None,
        });
        children.collect()
    }

    /// The runs that this one started and waits for no more, though it knows of no end of theirs, since the last time this was
    /// asked.
    pub fn take_abandoned(&mut self) -> Vec<RunId> {
        std::mem::take(&mut self.abandoned)
    }

    pub(super) fn child_ended(
        &self,
        run: RunId,
        status: RunStatus,
        output: Arc<Value>,
        error: Option<Failure>,
        now: DateTime<Utc>,
        chance: f64,
    ) -> Option<Event> {
        let open = self.frames.values().filter_map(|frame| frame.open());
        let (open, attempt) = open.into_iter().find_map(|open| match open.work {
            Work::Child { run: child, attempt, .. } if child == run => Some((open, attempt)),
            _ => None,
        })?;
        let visit = open.visit.clone();
        if status == RunStatus::Success {
            return Some(Event::StepSucceeded { visit, attempt, output, measured: None, signal: None });
        }
        let error = error_of_child(run, status, error);
        Some(match self.policy_of_child(open).delay_after(attempt, &error, chance) {
            Some(delay) => Event::AttemptFailed { visit, attempt, error, retry_at: now + delay, duration_ms: 0 },
            None => Event::StepFailed {
                error: failure_of_step(&visit, &error, attempt),
                visit,
                duration_ms: None,
                prompt: None,
            },
        })
    }

    fn policy_of_child(&self, open: &Open) -> RetryPolicy {
        self.workflow.steps[open.step].retry.clone().unwrap_or_else(RetryPolicy::once)
    }
}

/// A run that failed may do better another time; one that was cancelled was not meant to.
fn error_of_child(run: RunId, status: RunStatus, error: Option<Failure>) -> CallError {
    let why = error.map(|error| format!(": {} ({})", error.message, error.code)).unwrap_or_default();
    let (class, code, how) = match status {
        RunStatus::Cancelled => (ErrorClass::Permanent, "workflow.cancelled", "was cancelled"),
        RunStatus::TimedOut => (ErrorClass::Timeout, "workflow.timed_out", "took too long"),
        _ => (ErrorClass::Tool, "workflow.failed", "failed"),
    };
    CallError::new(class, code, format!("the run `{run}` {how}{why}"))
}
