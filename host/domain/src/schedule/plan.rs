//! What becomes of the occurrences of a schedule that are due.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Cadence, LATE_MAX, MISSED_COUNTED_MAX, OCCURRENCES_AT_ONCE, Outcome, Overlap, QUEUED_MAX};
use crate::id::ScheduleId;

/// Why an occurrence is skipped.
const GOES_ON: &str = "another run of the schedule went on";
const EARLIER_DUE: &str = "an earlier occurrence was due as well, and started the one run that may go on";
const LATER_DUE: &str = "a later occurrence was due as well, and would have ended its run at once";
const QUEUE_FULL: &str = "as many occurrences waited as may";

/// A schedule that is due.
#[derive(Debug)]
pub struct Due<'a> {
    /// Which.
    pub id: ScheduleId,
    /// Which instants it means.
    pub cadence: &'a Cadence,
    /// What becomes of an occurrence while a run goes on.
    pub overlap: Overlap,
    /// How late an occurrence may be and still be made up for; [`LATE_MAX`] where that is longer.
    pub catch_up: Duration,
    /// How long a run may be put off.
    pub jitter: Duration,
    /// The first instant of which nothing was decided yet.
    pub next_at: DateTime<Utc>,
    /// The time.
    pub now: DateTime<Utc>,
    /// Whether a run of the schedule goes on, or is about to.
    pub goes_on: bool,
    /// How many occurrences wait.
    pub queued: usize,
}

/// What becomes of one occurrence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Its instant.
    pub instant: DateTime<Utc>,
    /// `Starting`, `Queued` or `Skipped`.
    pub outcome: Outcome,
    /// Why, where no run is started.
    pub why: Option<&'static str>,
}

/// Occurrences in a row for which it is too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// The first of them.
    pub first: DateTime<Utc>,
    /// How many; [`MISSED_COUNTED_MAX`] stands for as many or more.
    pub count: usize,
}

/// What becomes of what is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What it is too late for.
    pub missed: Option<Missed>,
    /// The others, oldest first: at most [`OCCURRENCES_AT_ONCE`].
    pub decided: Vec<Decided>,
    /// The first instant of which nothing is decided; none where there is none any more.
    pub next_at: Option<DateTime<Utc>>,
}

/// Decides about every occurrence that is due.
pub fn plan(due: &Due<'_>) -> Plan {
    let oldest = due.now - delta(due.catch_up.max(LATE_MAX)) - delta(due.jitter);
    let (mut missed, mut next_at) = (None, Some(due.next_at));
    if due.next_at < oldest {
        let count = due.cadence.between(due.next_at, oldest).take(MISSED_COUNTED_MAX).count();
        missed = Some(Missed { first: due.next_at, count });
        next_at = due.cadence.next_after(oldest - TimeDelta::milliseconds(1));
    }
    let mut instants = Vec::new();
    while let Some(at) = next_at
        && instants.len() < OCCURRENCES_AT_ONCE
        && at + delta(delay_of(due.id, at, due.jitter)) <= due.now
    {
        instants.push(at);
        next_at = due.cadence.next_after(at);
    }
    Plan { missed, decided: decide(due, &instants), next_at }
}

fn decide(due: &Due<'_>, instants: &[DateTime<Utc>]) -> Vec<Decided> {
    let (mut goes_on, mut queued) = (due.goes_on, due.queued);
    let last = instants.last().copied();
    let each = instants.iter().map(|instant| {
        let (outcome, why) = match due.overlap {
            Overlap::Allow => (Outcome::Starting, None),
            Overlap::CancelOther if Some(*instant) == last => (Outcome::Starting, None),
            Overlap::CancelOther => (Outcome::Skipped, Some(LATER_DUE)),
            Overlap::Skip | Overlap::Queue if !goes_on && queued == 0 => (Outcome::Starting, None),
            Overlap::Skip if due.goes_on || due.queued > 0 => (Outcome::Skipped, Some(GOES_ON)),
            Overlap::Skip => (Outcome::Skipped, Some(EARLIER_DUE)),
            Overlap::Queue if queued >= QUEUED_MAX => (Outcome::Skipped, Some(QUEUE_FULL)),
            Overlap::Queue => (Outcome::Queued, None),
        };
        goes_on |= outcome == Outcome::Starting;
        queued += usize::from(outcome == Outcome::Queued);
        Decided { instant: *instant, outcome, why }
    });
    each.collect()
}

/// How long the run of an occurrence is put off: less than `jitter`, evenly spread, and the same on every host.
pub fn delay_of(schedule: ScheduleId, instant: DateTime<Utc>, jitter: Duration) -> Duration {
    // FNV-1a over both, and then the finaliser of MurmurHash3: occurrences of one schedule must not be put off alike.
    let bytes = schedule.uuid().into_bytes().into_iter().chain(instant.timestamp_millis().to_be_bytes());
    let mut hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    for factor in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^= hash >> 33;
    let millis = u64::try_from(jitter.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(hash.checked_rem(millis).unwrap_or(0))
}

fn delta(duration: Duration) -> TimeDelta {
    // Durations of schedules are bounded in days.
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::zero())
}
