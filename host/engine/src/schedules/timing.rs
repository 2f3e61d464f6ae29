//! Between the rows of schedules and the domain's rules.

use std::time::Duration;

use armilla_domain::schedule::{Cadence, Overlap, Zone};
use armilla_store::{StoreError, TimingColumns};
use chrono::{DateTime, Utc};

/// What a row's columns mean.
pub(super) fn cadence_of(timing: &TimingColumns) -> Result<Cadence, StoreError> {
    let corrupt = || StoreError::Corrupt(format!("no schedule has {timing:?}"));
    if let Some(cron) = &timing.cron {
        let zone = timing.timezone.as_deref().and_then(Zone::from_name).ok_or_else(corrupt)?;
        return Cadence::cron(cron, zone).map_err(|_| corrupt());
    }
    match (timing.every_ms, timing.once_at) {
        (Some(every), _) => Ok(Cadence::Every { every: std_duration(every), anchor: timing.anchor_at }),
        (None, Some(at)) => Ok(Cadence::At(at)),
        (None, None) => Err(corrupt()),
    }
}

/// The columns of what was read; `cron` is its text, and `anchor_at` stands where nothing is counted from anywhere.
pub(super) fn columns_of(cadence: &Cadence, cron: Option<&str>, anchor_at: DateTime<Utc>) -> TimingColumns {
    let none = TimingColumns { cron: None, timezone: None, every_ms: None, anchor_at, once_at: None };
    match cadence {
        Cadence::Cron { zone, .. } => {
            TimingColumns { cron: cron.map(str::to_owned), timezone: Some(zone.name().to_owned()), ..none }
        }
        Cadence::Every { every, anchor } => {
            TimingColumns { every_ms: Some(millis(*every)), anchor_at: *anchor, ..none }
        }
        Cadence::At(at) => TimingColumns { once_at: Some(*at), ..none },
    }
}

pub(super) fn overlap_of(word: &str) -> Result<Overlap, StoreError> {
    Overlap::from_word(word).ok_or_else(|| StoreError::Corrupt(format!("no overlap is `{word}`")))
}

/// Durations are bounded in days, so nothing is cut off.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn std_duration(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}
