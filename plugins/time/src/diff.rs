//! `time.diff`: how long it is from one time to another.

use crate::read::read;
use crate::{TEXT_CHARS_MAX, ZONE_CHARS_MAX};
use armilla_plugin::Error;
use jiff::{Unit, ZonedDateTimeDifference};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Two times.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// Where to begin, in any notation that `time.parse` reads by itself.
    #[schemars(length(min = 1, max = TEXT_CHARS_MAX))]
    from: String,
    /// Where to end, in the same way.
    #[schemars(length(min = 1, max = TEXT_CHARS_MAX))]
    to: String,
    /// The largest unit to count in.
    #[serde(default)]
    largest: Largest,
    /// The IANA name of the time zone whose calendar counts; the one of `from` without it, or else UTC.
    #[schemars(length(min = 1, max = ZONE_CHARS_MAX))]
    zone: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Largest {
    Years,
    Months,
    Weeks,
    #[default]
    Days,
    Hours,
    Minutes,
    Seconds,
}

/// The time between; everything is negative where `to` comes before `from`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Output {
    /// The duration by ISO 8601, in units up to the largest.
    iso8601: String,
    /// The duration for people.
    text: String,
    /// The exact time between, in milliseconds, rounded towards zero.
    milliseconds: i64,
    /// Whole years.
    years: i16,
    /// Whole months beside.
    months: i32,
    /// Whole weeks beside; only where weeks are the largest unit.
    weeks: i32,
    /// Whole days beside.
    days: i32,
    /// Whole hours beside.
    hours: i32,
    /// Whole minutes beside.
    minutes: i64,
    /// Whole seconds beside.
    seconds: i64,
}

pub(crate) fn diff(input: Input) -> Result<Output, Error> {
    let from = read(&input.from, None, input.zone.as_deref())?;
    let to = read(&input.to, None, input.zone.as_deref())?.with_time_zone(from.time_zone().clone());
    let largest = match input.largest {
        Largest::Years => Unit::Year,
        Largest::Months => Unit::Month,
        Largest::Weeks => Unit::Week,
        Largest::Days => Unit::Day,
        Largest::Hours => Unit::Hour,
        Largest::Minutes => Unit::Minute,
        Largest::Seconds => Unit::Second,
    };
    let span = from.until(ZonedDateTimeDifference::new(&to).largest(largest)).map_err(Error::failed)?;
    let exact = from.duration_until(&to).as_millis();
    Ok(Output {
        iso8601: span.to_string(),
        text: format!("{span:#}"),
        milliseconds: i64::try_from(exact).map_err(Error::failed)?,
        years: span.get_years(),
        months: span.get_months(),
        weeks: span.get_weeks(),
        days: span.get_days(),
        hours: span.get_hours(),
        minutes: span.get_minutes(),
        seconds: span.get_seconds(),
    })
}

#[cfg(test)]
mod tests {
    use crate::tests::call;
    use armilla_plugin::Code;
    use serde_json::{Value, json};

    fn iso(from: &str, to: &str, largest: &str) -> Value {
        call("time.diff", &json!({ "from": from, "to": to, "largest": largest })).unwrap()["iso8601"].clone()
    }

    #[test]
    fn the_time_between_is_counted_in_units_up_to_the_largest() {
        let (from, to) = ("2024-01-31T00:00Z", "2026-03-01T12:30:05Z");
        assert_eq!(iso(from, to, "years"), "P2Y1M1DT12H30M5S");
        assert_eq!(iso(from, to, "months"), "P25M1DT12H30M5S");
        assert_eq!(iso(from, to, "days"), "P760DT12H30M5S");
        assert_eq!(iso(from, to, "hours"), "PT18252H30M5S");
        assert_eq!(iso("2026-01-01", "2026-01-16", "weeks"), "P2W1D");
    }

    #[test]
    fn the_answer_has_words_parts_and_milliseconds() {
        let output = call("time.diff", &json!({ "from": "2026-01-02", "to": "2026-01-01T12:00" })).unwrap();
        assert_eq!((&output["milliseconds"], &output["hours"]), (&json!(-43_200_000), &json!(-12)));
        assert_eq!(output["text"], "12h ago");
    }

    #[test]
    fn a_day_with_a_change_of_clocks_is_a_day() {
        let input = json!({ "from": "2026-03-28 12:00", "to": "2026-03-29 12:00", "zone": "Europe/Berlin" });
        let output = call("time.diff", &input).unwrap();
        assert_eq!((&output["iso8601"], &output["milliseconds"]), (&json!("P1D"), &json!(82_800_000)));
    }

    #[test]
    fn what_is_not_a_time_or_a_unit_is_refused() {
        for input in [
            json!({ "from": "soon", "to": "2026-01-01" }),
            json!({ "from": "2026-01-01", "to": "2026-01-02", "largest": "fortnights" }),
        ] {
            assert_eq!(call("time.diff", &input).unwrap_err().code(), Code::InvalidInput);
        }
    }
}
