//! Reads a schedule as a caller sent it, and finds every fault of it.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};

use super::{Cadence, EVERY_MIN, GAPS_LOOKED_AT, Overlap, Zone};
use crate::duration::parse_duration;
use crate::fault::Fault;

/// When a schedule starts runs, as a caller sent it.
#[derive(Debug, Clone, Default)]
pub struct ScheduleText {
    /// A cron text. Exactly one of this, `every` and `at`.
    pub cron: Option<String>,
    /// The IANA name of the time zone of `cron`.
    pub timezone: Option<String>,
    /// A duration.
    pub every: Option<String>,
    /// An instant.
    pub at: Option<DateTime<Utc>>,
    /// A word of [`Overlap`].
    pub overlap: Option<String>,
    /// A duration.
    pub catch_up: Option<String>,
    /// A duration.
    pub jitter: Option<String>,
}

/// When a schedule starts runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// At which instants.
    pub cadence: Cadence,
    /// What becomes of an occurrence while a run goes on.
    pub overlap: Overlap,
    /// How late an occurrence may be and still be made up for.
    pub catch_up: Duration,
    /// How long a run may be put off.
    pub jitter: Duration,
    /// The first instant after the time of reading.
    pub first: DateTime<Utc>,
}

/// Reads what a caller sent at the time `now`; `every` is counted from `anchor`.
///
/// # Errors
/// Every fault, with pointers into the body.
pub fn read(text: &ScheduleText, now: DateTime<Utc>, anchor: DateTime<Utc>) -> Result<Settings, Vec<Fault>> {
    let mut faults = Vec::new();
    let zone = zone_of(text, &mut faults);
    let given = [text.cron.is_some(), text.every.is_some(), text.at.is_some()];
    if given.iter().filter(|given| **given).count() != 1 {
        let detail = "a schedule has exactly one of `cron`, `every` and `at`";
        faults.push(Fault::new("", "schedule.timing", detail));
    }
    let cron = text.cron.as_deref().and_then(|cron| match Cadence::cron(cron, zone) {
        Ok(cadence) => Some(cadence),
        Err(error) => {
            faults.push(Fault::new("/cron", "schedule.cron", error.to_string()));
            None
        }
    });
    let every = duration("/every", text.every.as_deref(), &mut faults).and_then(|every| {
        if every < EVERY_MIN {
            let detail = format!("`every` is at least {} s", EVERY_MIN.as_secs());
            faults.push(Fault::new("/every", "schedule.every", detail));
            return None;
        }
        Some(Cadence::Every { every, anchor })
    });
    let at = text.at.and_then(|at| {
        if at <= now {
            faults.push(Fault::new("/at", "schedule.past", "`at` is past"));
            return None;
        }
        Some(Cadence::At(at.trunc_subsecs(3)))
    });
    let overlap = match text.overlap.as_deref() {
        None => Overlap::Skip,
        Some(word) => Overlap::from_word(word).unwrap_or_else(|| {
            let known: Vec<&str> = Overlap::ALL.iter().map(|overlap| overlap.as_str()).collect();
            faults.push(Fault::new("/overlap", "schedule.value", format!("`overlap` is one of {}", known.join(", "))));
            Overlap::Skip
        }),
    };
    let catch_up = duration("/catchUp", text.catch_up.as_deref(), &mut faults).unwrap_or_default();
    let jitter = duration("/jitter", text.jitter.as_deref(), &mut faults).unwrap_or_default();
    let cadence = cron.or(every).or(at);
    let first = cadence.as_ref().and_then(|cadence| cadence.next_after(now));
    if let (Some(Cadence::Cron { .. }), None) = (&cadence, first) {
        faults.push(Fault::new("/cron", "schedule.never", "no instant fits this, now or ever"));
    }
    let gap = cadence.as_ref().filter(|_| !jitter.is_zero()).and_then(|one| one.shortest_gap(now, GAPS_LOOKED_AT));
    if gap.is_some_and(|gap| jitter > gap) {
        let detail = "`jitter` is longer than the time between two occurrences";
        faults.push(Fault::new("/jitter", "schedule.jitter", detail));
    }
    match (cadence, first) {
        (Some(cadence), Some(first)) if faults.is_empty() => Ok(Settings { cadence, overlap, catch_up, jitter, first }),
        _ => Err(faults),
    }
}

fn zone_of(text: &ScheduleText, faults: &mut Vec<Fault>) -> Zone {
    let Some(name) = text.timezone.as_deref() else { return Zone::UTC };
    if text.cron.is_none() {
        faults.push(Fault::new("/timezone", "schedule.timezone", "`timezone` goes with `cron`"));
    }
    Zone::from_name(name).unwrap_or_else(|| {
        let detail = "no time zone of the IANA database has this name; they look like `Europe/Berlin`";
        faults.push(Fault::new("/timezone", "schedule.timezone", detail));
        Zone::UTC
    })
}

fn duration(place: &str, text: Option<&str>, faults: &mut Vec<Fault>) -> Option<Duration> {
    parse_duration(text?).map_err(|error| faults.push(Fault::new(place, "schedule.duration", error.to_string()))).ok()
}
