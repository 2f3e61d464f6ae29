//! Which instants a schedule means.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use super::CRON_CHARS_MAX;

/// A time zone of the IANA database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone(Tz);

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(Tz::UTC);

    /// The zone of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        name.parse().ok().map(Self)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }
}

/// The fields of a cron text, the optional one first.
const CRON_FIELDS: [&str; 6] = ["second", "minute", "hour", "day of month", "month", "day of week"];

/// Why a text is no cron text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronFault {
    /// Too long.
    #[error("a cron text has at most {CRON_CHARS_MAX} characters")]
    TooLong,
    /// So many fields are too few or too many.
    #[error(
        "a cron text has five fields (minute, hour, day of month, month, day of week), or six with seconds before them; this has {0}"
    )]
    Fields(usize),
    /// One of its fields cannot be read.
    #[error("the {name} `{text}` cannot be read: {why}")]
    Field {
        /// Which.
        name: &'static str,
        /// What it is.
        text: String,
        /// Why, as the parser says it.
        why: String,
    },
    /// It is no name of a cadence.
    #[error("this is none of `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly` and `@annually`")]
    Alias,
    /// It cannot be read for what no single field says.
    #[error("this cannot be read: {0}")]
    Malformed(String),
}

/// What of a text the parser means, which does not say: the first field that it cannot read beside others that say nothing.
fn fault_of(text: &str, parser: &CronParser, why: &str) -> CronFault {
    // The sentence that it goes into has a full stop of its own.
    let why = why.trim_end_matches('.');
    let fields: Vec<&str> = text.split_whitespace().collect();
    let names = match fields.len() {
        1 if text.trim_start().starts_with('@') => return CronFault::Alias,
        5 => &CRON_FIELDS[1..],
        6 => &CRON_FIELDS[..],
        count => return CronFault::Fields(count),
    };
    let unread = names.iter().zip(&fields).enumerate().find_map(|(index, (name, field))| {
        let mut alone = vec!["*"; fields.len()];
        alone[index] = field;
        let why = parser.parse(&alone.join(" ")).err()?.to_string().trim_end_matches('.').to_owned();
        Some(CronFault::Field { name, text: (*field).to_owned(), why })
    });
    unread.unwrap_or_else(|| CronFault::Malformed(why.to_owned()))
}

/// Which instants a schedule means.
#[derive(Debug, Clone)]
pub enum Cadence {
    /// Those whose clock on the wall fits. Where clocks go forward over a fixed time of day, the first instant after the gap is meant;
    /// where they go back over one, the first of the two. What recurs within the day (`*`, steps, lists) goes on in real time: nothing of
    /// what does not exist, and both of what comes twice.
    Cron {
        /// The pattern.
        cron: Box<Cron>,
        /// Where the clock hangs.
        zone: Zone,
    },
    /// Every so often, before and after the anchor.
    Every {
        /// How often: whole milliseconds, not zero.
        every: Duration,
        /// From where it is counted.
        anchor: DateTime<Utc>,
    },
    /// Once.
    At(DateTime<Utc>),
}

impl Cadence {
    /// The instants of a cron text.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn cron(text: &str, zone: Zone) -> Result<Self, CronFault> {
        if text.chars().count() > CRON_CHARS_MAX {
            return Err(CronFault::TooLong);
        }
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|error| fault_of(text, &parser, &error.to_string()))?;
        Ok(Self::Cron { cron: Box::new(cron), zone })
    }

    /// The first instant after `after`; none where there is none any more.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron { cron, zone } => {
                // The pattern knows whole seconds: the first one after this begins after it.
                let from = after.trunc_subsecs(0).with_timezone(&zone.0);
                let next = cron.find_next_occurrence(&from, false).ok()?.with_timezone(&Utc);
                (next > after).then_some(next)
            }
            Self::Every { every, anchor } => {
                let every = i64::try_from(every.as_millis()).ok().filter(|every| *every > 0)?;
                let anchor = anchor.timestamp_millis();
                let passed = after.timestamp_millis().checked_sub(anchor)?.div_euclid(every);
                let next = passed.checked_add(1)?.checked_mul(every)?.checked_add(anchor)?;
                DateTime::from_timestamp_millis(next)
            }
            Self::At(at) => (*at > after).then_some(*at),
        }
    }

    /// The instants from `from` on and before `to`, in their order.
    pub fn between(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> + '_ {
        let first = self.next_after(from - chrono::TimeDelta::milliseconds(1));
        std::iter::successors(first, |at| self.next_after(*at)).take_while(move |at| *at < to)
    }

    /// The shortest time between two of the next `among` instants after `after`; none where there are not two.
    pub fn shortest_gap(&self, after: DateTime<Utc>, among: usize) -> Option<Duration> {
        if let Self::Every { every, .. } = self {
            return Some(*every);
        }
        let next = std::iter::successors(self.next_after(after), |at| self.next_after(*at));
        let next: Vec<DateTime<Utc>> = next.take(among).collect();
        next.windows(2).filter_map(|pair| (pair[1] - pair[0]).to_std().ok()).min()
    }
}
