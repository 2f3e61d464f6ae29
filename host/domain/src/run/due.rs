//! What time alone brings about.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::frame::{Open, Work};
use super::inputs::visit_bound;
use super::state::State;
use super::talk::listens;
use crate::definition::{OnTimeout, StepKind};
use crate::journal::{Event, Failure, Visit};

/// How long after an approval's timeout it is acted upon. No decision is accepted after the timeout, so one that was accepted in
/// time has arrived by then.
pub const APPROVAL_MARGIN: Duration = Duration::from_secs(1);

/// The code of a visit that took longer than it may.
pub(super) const STEP_TIMEOUT: &str = "step.timeout";

impl State {
    /// When time alone brings about something: the run's own deadline and the next attempts of calls apart.
    pub fn next_wake(&self) -> Option<DateTime<Utc>> {
        if self.ended.is_some() || self.is_paused {
            return None;
        }
        self.frames.values().filter_map(|frame| self.acted_upon(frame.open()?)).min()
    }

    /// When the first of the visits is given up that somebody outside could still have answered in time: whoever acts upon it
    /// must have looked for messages since.
    pub fn next_last_word(&self) -> Option<DateTime<Utc>> {
        if self.ended.is_some() || self.is_paused {
            return None;
        }
        let open = self.frames.values().filter_map(|frame| frame.open());
        let told = open.filter(|open| {
            matches!(open.work, Work::Asking { .. } | Work::Child { .. })
                || listens(&open.work)
                || self.waits_for_leave(open)
        });
        told.filter_map(|open| self.acted_upon(open)).min()
    }

    /// The entry of the first visit whose time has come.
    pub(super) fn next_due(&self, now: DateTime<Utc>) -> Option<Event> {
        let open = self.frames.values().filter_map(|frame| frame.open());
        let due =
            open.filter(|open| self.acted_upon(open).is_some_and(|at| at <= now)).min_by_key(|open| open.deadline)?;
        Some(self.time_is_up(due))
    }

    /// The entry of the outermost visit whose time has come, of `visit` and all around it: nothing begins inside it any more.
    pub(super) fn due_around(&self, visit: Option<&Visit>, now: DateTime<Utc>) -> Option<Event> {
        let mut due = None;
        let mut current = visit;
        while let Some(visit) = current {
            let frame = self.frames.get(&visit.scope)?;
            due = frame.open().filter(|open| self.acted_upon(open).is_some_and(|at| at <= now)).or(due);
            current = frame.parent.as_ref();
        }
        due.map(|open| self.time_is_up(open))
    }

    fn time_is_up(&self, open: &Open) -> Event {
        let visit = open.visit.clone();
        let step = &self.workflow.steps[open.step];
        let succeeded = |output| Event::StepSucceeded {
            visit: open.visit.clone(),
            attempt: 0,
            output: Arc::new(output),
            measured: None,
            signal: None,
        };
        let (code, message) = match (&open.work, &step.kind) {
            (Work::Sleeping, _) => return succeeded(serde_json::Value::Null),
            (Work::Listening, _) => ("wait.timeout", "the event did not come in time".to_owned()),
            (Work::Asking { .. }, StepKind::Approval(approval)) => match approval.on_timeout {
                OnTimeout::Fail => ("approval.timeout", "nobody decided in time".to_owned()),
                decided => {
                    let at = open.deadline.map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true));
                    let approved = decided == OnTimeout::Approve;
                    return succeeded(
                        json!({ "approved": approved, "by": null, "note": "nobody decided in time", "at": at }),
                    );
                }
            },
            _ => {
                let bound = crate::duration::format_duration(visit_bound(step).unwrap_or_default());
                (STEP_TIMEOUT, format!("the step took longer than {bound}"))
            }
        };
        let attempts = match &open.work {
            Work::Calling { attempt, .. } | Work::Child { attempt, .. } => *attempt,
            _ => 0,
        };
        let error = Failure { attempts, ..Failure::new(Some(visit.step.clone()), code, message) };
        Event::StepFailed { visit, error, duration_ms: None, prompt: None }
    }

    /// When a visit's deadline is acted upon.
    pub(super) fn acted_upon(&self, open: &Open) -> Option<DateTime<Utc>> {
        let deadline = open.deadline?;
        let asks = matches!(open.work, Work::Asking { .. }) || self.waits_for_leave(open);
        Some(if asks { deadline + APPROVAL_MARGIN } else { deadline })
    }
}
