//! How many runs of a workflow may go on at once, and how long ended ones are kept.

use std::time::Duration;

use super::fields::{Fields, Findings};
use crate::run::RunStatus;
use crate::template::Templates;

/// The highest `max` of a `concurrency`.
pub const CONCURRENCY_MAX: u32 = 10_000;
/// Characters of a rendered concurrency key.
pub const CONCURRENCY_KEY_CHARS_MAX: usize = 200;

/// How many runs with the same key may go on at once, waiting and paused ones counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concurrency {
    /// Template over the run's input; all runs of the workflow have one key where absent.
    pub key: Option<String>,
    /// So many: 1 to [`CONCURRENCY_MAX`].
    pub max: u32,
    /// What becomes of one more.
    pub on_limit: OnLimit,
}

/// What becomes of a run that would be one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLimit {
    /// It waits until another one has ended.
    Queue,
    /// It is refused.
    Reject,
}

/// How long ended runs are kept, by how they ended; the operator's setting where absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention {
    success: Option<Duration>,
    failed: Option<Duration>,
    cancelled: Option<Duration>,
    timed_out: Option<Duration>,
}

impl Retention {
    /// How long a run that ended so is kept.
    pub fn of(&self, status: RunStatus) -> Option<Duration> {
        match status {
            RunStatus::Success => self.success,
            RunStatus::Failed => self.failed,
            RunStatus::Cancelled => self.cancelled,
            RunStatus::TimedOut => self.timed_out,
            RunStatus::Queued | RunStatus::Running | RunStatus::Waiting | RunStatus::Paused => None,
        }
    }

    pub(super) fn read(fields: Fields<'_>, findings: &mut Findings) -> Self {
        let Some(value) = fields.get("retention") else { return Self::default() };
        let place = fields.at("retention");
        let Some(object) = value.as_object() else {
            findings.fault(place, "definition.type", "`retention` is an object of durations by status");
            return Self::default();
        };
        let fields = Fields { object, pointer: &place };
        fields.only(&[&["success", "failed", "cancelled", "timedOut"]], "`retention`", findings);
        Self {
            success: fields.duration("success", findings),
            failed: fields.duration("failed", findings),
            cancelled: fields.duration("cancelled", findings),
            timed_out: fields.duration("timedOut", findings),
        }
    }
}

impl Concurrency {
    pub(super) fn read(fields: Fields<'_>, templates: &Templates, findings: &mut Findings) -> Option<Self> {
        let place = fields.at("concurrency");
        let Some(object) = fields.get("concurrency")?.as_object() else {
            findings.fault(place, "definition.type", "`concurrency` is an object");
            return None;
        };
        let fields = Fields { object, pointer: &place };
        fields.only(&[&["key", "max", "onLimit"]], "`concurrency`", findings);
        let key = fields.text("key", findings);
        if let Some(Err(why)) = key.map(|key| templates.check_template(key)) {
            findings.fault(fields.at("key"), "definition.template", format!("does not parse: {why}"));
        }
        if fields.get("max").is_none() {
            findings.fault(fields.at("max"), "definition.missing", "`max` is missing");
        }
        let max = fields.whole_number("max", 1, CONCURRENCY_MAX.into(), findings)?;
        let on_limit = match fields.text("onLimit", findings) {
            None | Some("queue") => OnLimit::Queue,
            Some("reject") => OnLimit::Reject,
            Some(_) => {
                findings.fault(fields.at("onLimit"), "definition.value", "`onLimit` is `queue` or `reject`");
                OnLimit::Queue
            }
        };
        Some(Self { key: key.map(str::to_owned), max: max as u32, on_limit })
    }
}
