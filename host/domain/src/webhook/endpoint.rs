//! The state of an endpoint: what its answers change about how it is called.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// Failures in a row after which an endpoint is only probed: one delivery at a time, with a pause after each that fails.
pub const PROBES_AFTER: u32 = 5;
/// The longest pause that is not asked for by the endpoint: a receiver that is back is found within it.
pub const PAUSE_MAX: Duration = Duration::from_secs(5 * 60);
/// The pause after the first failed probe, and after the first answer that asks to slow down. It doubles each time.
const PAUSE_FIRST: Duration = Duration::from_secs(2);
/// So many hours of failures alone are told.
pub const FAILING_AFTER_HOURS: i64 = 24;
/// So many days of failures alone disable a webhook: longer than any weekend.
pub const DISABLED_AFTER_DAYS: i64 = 5;

/// How an endpoint has answered lately.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Failures in a row.
    pub failures: u32,
    /// Since when there were only failures.
    pub failing_since: Option<DateTime<Utc>>,
    /// Whether that was told.
    pub told: bool,
    /// How often in a row it was paused.
    pub pauses: u32,
    /// Nothing is sent before.
    pub paused_until: Option<DateTime<Utc>>,
    /// How many attempts may be under way, where that is less than configured.
    pub share: Option<u32>,
}

/// What an attempt says of the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// 2xx.
    Success,
    /// Any other answer, or none.
    Failure {
        /// Whether the time ran out: it holds a place for long.
        timed_out: bool,
    },
    /// 429, 502 or 504: it is asked too much.
    Overloaded {
        /// For how long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// 410: it is not there any more, and never will be.
    Gone,
    /// Nothing, for there was nothing to send: the webhook's own tool made no body. Whoever looks after the webhook is to know, and the
    /// endpoint has done nothing for which it should be called less.
    NotMade,
    /// Nothing: the request did not get as far as being sent.
    Unsent,
}

/// Why nobody disabled a webhook that is disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisabledBecause {
    /// Failures alone for [`DISABLED_AFTER_DAYS`].
    Failing,
    /// It answered 410.
    Gone,
}

/// What is to be told or done beyond the endpoint's new state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It has failed for [`FAILING_AFTER_HOURS`]; told once a streak.
    Failing,
    /// It is called no more.
    Disabled(DisabledBecause),
}

impl Verdict {
    /// What the status of an answer says.
    pub fn of_status(status: u16, retry_after: Option<Duration>) -> Self {
        match status {
            200..=299 => Self::Success,
            410 => Self::Gone,
            429 | 502 | 504 => Self::Overloaded { retry_after },
            _ => Self::Failure { timed_out: false },
        }
    }
}

impl DisabledBecause {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Gone => "gone",
        }
    }

    /// The same in words.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Failing => "every attempt has failed for five days",
            Self::Gone => "the endpoint answered 410: it is gone for good",
        }
    }
}

impl Endpoint {
    /// The state after an attempt; `lanes` is how many may be under way as configured.
    pub fn after(self, verdict: Verdict, lanes: u32, now: DateTime<Utc>) -> (Self, Option<Change>) {
        match verdict {
            Verdict::Unsent => return (self, None),
            Verdict::Success => return (Self::default(), None),
            Verdict::Failure { .. } | Verdict::Overloaded { .. } | Verdict::Gone | Verdict::NotMade => {}
        }
        let mut after = self;
        after.failures = self.failures.saturating_add(1);
        let since = *after.failing_since.get_or_insert(now);
        if verdict == Verdict::Gone {
            return (after, Some(Change::Disabled(DisabledBecause::Gone)));
        }
        if let Verdict::Overloaded { retry_after } = verdict {
            after.share = Some((self.share.unwrap_or(lanes) / 2).max(1));
            after.pause(retry_after, now);
        }
        if verdict == (Verdict::Failure { timed_out: true }) {
            after.share = Some(1);
        }
        if after.failures >= PROBES_AFTER && verdict != Verdict::NotMade {
            after.share = Some(1);
            after.pause(None, now);
        }
        let lasted = now - since;
        let change = if lasted >= TimeDelta::days(DISABLED_AFTER_DAYS) {
            Some(Change::Disabled(DisabledBecause::Failing))
        } else if lasted >= TimeDelta::hours(FAILING_AFTER_HOURS) && !after.told {
            after.told = true;
            Some(Change::Failing)
        } else {
            None
        };
        (after, change)
    }

    /// Pauses, each time for longer. What was sent before a pause began and fails during it makes it no longer, unless it asks to.
    fn pause(&mut self, asked: Option<Duration>, now: DateTime<Utc>) {
        let mut until = self.paused_until.filter(|until| *until > now);
        if until.is_none() {
            let doubled = PAUSE_FIRST.saturating_mul(1 << self.pauses.min(16));
            self.pauses += 1;
            until = now.checked_add_signed(delta(doubled.min(PAUSE_MAX)));
        }
        let asked = asked.and_then(|asked| now.checked_add_signed(delta(asked)));
        self.paused_until = until.max(asked);
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}
