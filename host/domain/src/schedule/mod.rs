//! Schedules: which instants they mean, and what becomes of those that have come. Nothing here reads a clock.

mod cadence;
mod plan;
mod read;

use std::time::Duration;

pub use self::cadence::{Cadence, CronFault, Zone};
pub use self::plan::{Decided, Due, Missed, Plan, delay_of, plan};
pub use self::read::{ScheduleText, Settings, read};

/// Characters of a cron text: six fields with long lists fit.
pub const CRON_CHARS_MAX: usize = 200;
/// The shortest time between two occurrences: hosts look twice a second for what is due.
pub const EVERY_MIN: Duration = Duration::from_secs(1);
/// How late an occurrence may be and still count as on time, whatever `catchUp` says: as long as hosts take to be replaced.
pub const LATE_MAX: Duration = Duration::from_secs(60);
/// Occurrences of one schedule that are decided in one transaction; the rest follows in the next one.
pub const OCCURRENCES_AT_ONCE: usize = 100;
/// Missed occurrences are counted so far: beyond, the exact number helps nobody and takes time.
pub const MISSED_COUNTED_MAX: usize = 1_000;
/// Occurrences of one schedule that may wait for their turn; one more is skipped.
pub const QUEUED_MAX: usize = 1_000;
/// Occurrences that one backfill may have.
pub const BACKFILL_MAX: usize = 1_000;
/// Bytes of the input of a schedule, as JSON: a page of schedules shows a hundred of them.
pub const INPUT_BYTES_MAX: usize = 64 * 1024;
/// Occurrences ahead that are shown at most.
pub const NEXT_SHOWN_MAX: usize = 100;
/// Occurrences ahead that are looked at for the shortest time between two of them.
const GAPS_LOOKED_AT: usize = 50;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$of])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// What the word means.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == word)
            }
        }
    };
}

words! {
    /// What becomes of an occurrence while a run of the same schedule goes on.
    Overlap {
        /// It is skipped.
        Skip = "skip",
        /// It waits until that run has ended.
        Queue = "queue",
        /// That run is told to end, and this one begins at once.
        CancelOther = "cancelOther",
        /// Both go on.
        Allow = "allow",
    }
}

words! {
    /// What became of an occurrence.
    Outcome {
        /// Its run is about to be started, by whichever host.
        Starting = "starting",
        /// Its run was started.
        Started = "started",
        /// It waits until another run of the schedule has ended.
        Queued = "queued",
        /// No run was started, since another one went on.
        Skipped = "skipped",
        /// No run was started, since nobody was there in time, or none could be.
        Missed = "missed",
    }
}

words! {
    /// What brought an occurrence about.
    Trigger {
        /// The schedule's time.
        Time = "time",
        /// Somebody who wanted a run at once.
        Manual = "manual",
        /// Somebody who wanted runs of times that are past.
        Backfill = "backfill",
    }
}

#[cfg(test)]
mod tests;
