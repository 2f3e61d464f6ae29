//! Durations as definitions and configurations write them: `"250ms"`, `"30s"`, `"10m"`, `"24h"`, `"7d"`.

use std::time::Duration;

/// A leap year: nothing that somebody waits for takes longer, and no sum of instants overflows.
pub const DURATION_DAYS_MAX: u64 = 366;

/// The units with their length in milliseconds, the longest first. `ms` stands before the units that end like it.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];

/// A text that is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Something else than digits and a unit.
    #[error("a duration is a whole number with a unit, such as `250ms`, `30s`, `10m`, `24h` or `7d`")]
    Malformed,
    /// More than [`DURATION_DAYS_MAX`].
    #[error("a duration is at most {DURATION_DAYS_MAX} days")]
    TooLong,
}

/// Reads a duration.
///
/// # Errors
/// Where the text is not a whole number with a unit, or stands for more than [`DURATION_DAYS_MAX`].
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let (digits, unit_millis) = UNITS
        .iter()
        .find_map(|(unit, millis)| text.strip_suffix(unit).map(|digits| (digits, *millis)))
        .ok_or(DurationError::Malformed)?;
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(DurationError::Malformed);
    }
    // Digits alone fail to be a number only where they are too many.
    let count: u64 = digits.parse().map_err(|_| DurationError::TooLong)?;
    count
        .checked_mul(unit_millis)
        .filter(|millis| *millis <= DURATION_DAYS_MAX * 86_400_000)
        .map(Duration::from_millis)
        .ok_or(DurationError::TooLong)
}

/// Writes a duration so that [`parse_duration`] reads the same, with the longest unit that fits. Parts of a millisecond
/// are dropped.
pub fn format_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let fitting = UNITS[1..].iter().find(|(_, unit)| millis >= *unit && millis.is_multiple_of(*unit));
    match fitting {
        Some((unit, unit_millis)) => format!("{}{unit}", millis / unit_millis),
        None => format!("{millis}ms"),
    }
}

/// `#[serde(with = "duration::optional")]`: an optional duration as its text.
pub mod optional {
    use super::{Duration, format_duration, parse_duration};
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes the text, or null.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.collect_str(&format_duration(*duration)),
            None => serializer.serialize_none(),
        }
    }

    /// Reads the text, or null.
    ///
    /// # Errors
    /// Where there is something else than a duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| parse_duration(&text)).transpose().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read() {
        for (text, millis) in
            [("250ms", 250), ("30s", 30_000), ("10m", 600_000), ("24h", 86_400_000), ("7d", 604_800_000), ("0s", 0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_whole_number_with_a_unit_is_refused() {
        for text in ["", "s", "30", "30 s", " 30s", "1.5s", "-1s", "+1s", "1h30m", "30S", "1w", "٣s", "1e3s"] {
            assert_eq!(parse_duration(text), Err(DurationError::Malformed), "{text}");
        }
    }

    #[test]
    fn a_duration_is_bounded() {
        assert!(parse_duration("366d").is_ok());
        for text in ["367d", "8785h", "99999999999999999999999s", "18446744073709551615d"] {
            assert_eq!(parse_duration(text), Err(DurationError::TooLong), "{text}");
        }
    }

    #[test]
    fn a_duration_is_written_in_its_longest_whole_unit() {
        for text in ["250ms", "90s", "10m", "36h", "7d", "1001ms"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
        assert_eq!(format_duration(Duration::from_secs(60)), "1m");
        assert_eq!(format_duration(Duration::ZERO), "0ms");
    }
}
