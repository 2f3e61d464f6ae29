//! What a run is and what it does next. The journal is folded into a [`State`]; [`State::decide`] says what the journal's next
//! entries are; [`State::calls`] says which calls the outside world owes it. None of them does anything itself.

mod advance;
mod decide;
mod history;
mod outcome;
mod state;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use decide::DECISIONS_PER_TURN_MAX;
pub use history::{AttemptRecord, AttemptStatus, history};
pub use outcome::{Attempt, AttemptResult};
pub use state::{Call, CallKind, RunFacts, State};

/// What a run is doing, or how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RunStatus {
    /// Waits for a host.
    Queued,
    /// A host works on it.
    Running,
    /// Ended well.
    Success,
    /// Ended badly.
    Failed,
    /// Took longer than its `timeout`.
    TimedOut,
}

impl RunStatus {
    /// Whether it never changes again.
    pub fn is_final(self) -> bool {
        match self {
            Self::Success | Self::Failed | Self::TimedOut => true,
            Self::Queued | Self::Running => false,
        }
    }

    /// The word on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::TimedOut => "timedOut",
        }
    }

    /// The status of a word that [`RunStatus::as_str`] gave.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Queued, Self::Running, Self::Success, Self::Failed, Self::TimedOut]
            .into_iter()
            .find(|status| status.as_str() == word)
    }
}
