//! What a run is and what it does next. The journal is folded into a [`State`]; [`State::decide`] says what the journal's next
//! entries are; [`State::calls`] says which calls the outside world owes it. None of them does anything itself.

mod advance;
mod children;
mod decide;
mod due;
mod frame;
mod group;
mod history;
mod inputs;
mod message;
mod outcome;
mod reopen;
mod simulate;
mod state;
mod talk;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use children::ChildOf;
pub use decide::DECISIONS_PER_TURN_MAX;
pub use due::APPROVAL_MARGIN;
pub use history::{AttemptRecord, AttemptStatus, history, history_of};
pub use message::{Message, SIGNALS_KEPT_MAX};
pub use outcome::{Answered, Attempt, AttemptResult};
pub use reopen::CannotFollow;
pub use simulate::{
    MOCK_SEQUENCE_MAX, Mocks, PathStep, Simulated, Simulation, SimulationBounds, SimulationParts, SimulationStatus,
    Turn,
};
pub use state::{Call, CallKind, OpenApproval, RunFacts, State};

/// What a run is doing, or how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RunStatus {
    /// Waits for a host, or for its turn among the runs of its concurrency key.
    Queued,
    /// A host works on it.
    Running,
    /// Waits for a time, an event, a decision or another run; no host holds it.
    Waiting,
    /// Begins nothing until it is resumed.
    Paused,
    /// Ended well.
    Success,
    /// Ended badly.
    Failed,
    /// Ended because somebody said so.
    Cancelled,
    /// Took longer than its `timeout`.
    TimedOut,
}

impl RunStatus {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Running,
        Self::Waiting,
        Self::Paused,
        Self::Success,
        Self::Failed,
        Self::Cancelled,
        Self::TimedOut,
    ];

    /// Whether it has ended. Only a retry changes it then.
    pub fn is_final(self) -> bool {
        match self {
            Self::Success | Self::Failed | Self::Cancelled | Self::TimedOut => true,
            Self::Queued | Self::Running | Self::Waiting | Self::Paused => false,
        }
    }

    /// The word on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timedOut",
        }
    }

    /// The status of a word that [`RunStatus::as_str`] gave.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}
