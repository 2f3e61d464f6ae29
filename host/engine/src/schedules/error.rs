//! Why a command on schedules was not carried out.

use armilla_domain::id::ScheduleId;
use armilla_domain::schedule::QUEUED_MAX;
use armilla_store::SCHEDULES_PER_WORKSPACE_MAX;

/// Why a command on schedules was not carried out. What belongs to another workspace is unknown, like what never was.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// There is no such schedule.
    #[error("there is no schedule `{0}`")]
    Unknown(ScheduleId),
    /// The workspace has as many as it may.
    #[error("the workspace has {SCHEDULES_PER_WORKSPACE_MAX} schedules already")]
    TooMany,
    /// More occurrences would wait than may.
    #[error("at most {QUEUED_MAX} occurrences of a schedule wait at the same time")]
    TooManyQueued,
    /// The run that was asked for cannot be started.
    #[error("no run was started: {0}")]
    NotStarted(String),
}
