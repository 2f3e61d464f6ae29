//! The `time` plugin: dates and times by the calendar and the time zones of the IANA database, which is inside.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod diff;
mod moment;
mod read;

use armilla_plugin::{Error, Plugin, Tool};
use jiff::{Span, ZonedDateTime};
use moment::{Moment, zone};
use read::read;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// In characters: a time is a line at most.
pub(crate) const TEXT_CHARS_MAX: usize = 200;

/// In characters.
pub(crate) const FORMAT_CHARS_MAX: usize = 1_000;

/// In characters; the longest name in the database has 32.
pub(crate) const ZONE_CHARS_MAX: usize = 64;

armilla_plugin::plugin! {
    Plugin::new("time", "Parses, formats, adds and compares dates and times, with all time zones.")
        .needs_clock()
        .tool(
            Tool::new("time.now", "Current time", "Says what time it is, in a time zone.", now).read_only().closed_world(),
        )
        .tool(
            Tool::new(
                "time.parse",
                "Parse a time",
                "Reads a date or time in one of many notations, or in a given one, and gives it as RFC 3339 with its parts.",
                |input: Parse| Ok::<_, Error>(Moment::of(&parse(&input)?)),
            )
            .read_only()
            .idempotent()
            .closed_world(),
        )
        .tool(
            Tool::new(
                "time.format",
                "Format a time",
                "Writes a time in a notation of strftime, in a time zone.",
                format,
            )
            .read_only()
            .idempotent()
            .closed_world(),
        )
        .tool(
            Tool::new(
                "time.add",
                "Add to a time",
                "Adds a duration to a time by the calendar: a month after January 31 is the end of February, and a day is a \
                 day across the change to summer time.",
                add,
            )
            .read_only()
            .idempotent()
            .closed_world(),
        )
        .tool(
            Tool::new(
                "time.diff",
                "Compare times",
                "Says how long it is from one time to another, in calendar units and in seconds.",
                diff::diff,
            )
            .read_only()
            .idempotent()
            .closed_world(),
        )
}

/// Where to look at the clock.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Now {
    /// The IANA name of the time zone, for example `Europe/Berlin`; UTC without it.
    #[schemars(length(min = 1, max = ZONE_CHARS_MAX))]
    zone: Option<String>,
}

#[expect(clippy::disallowed_methods, reason = "what the host calls the current time is what this tool is for")]
fn now(input: Now) -> Result<Moment, Error> {
    let now = ZonedDateTime::try_from(SystemTime::now()).map_err(Error::failed)?;
    Ok(Moment::of(&now.with_time_zone(zone(input.zone.as_deref().unwrap_or("UTC"))?)))
}

/// A time as text.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parse {
    /// The time: ISO 8601, RFC 3339, RFC 2822 and the dates of HTTP; seconds or milliseconds since 1970; years first, days with
    /// dots, or months by their English names. `03/04/2026` means two things and needs a `format`.
    #[schemars(length(min = 1, max = TEXT_CHARS_MAX))]
    text: String,
    /// The notation to expect, in the way of strptime, for example `%m/%d/%Y`.
    #[schemars(length(min = 1, max = FORMAT_CHARS_MAX))]
    format: Option<String>,
    /// The IANA name of the time zone that the answer is given in, and that a text without a zone is read in. Without it the
    /// text's own, or else UTC.
    #[schemars(length(min = 1, max = ZONE_CHARS_MAX))]
    zone: Option<String>,
}

fn parse(input: &Parse) -> Result<ZonedDateTime, Error> {
    read(&input.text, input.format.as_deref(), input.zone.as_deref())
}

/// A time, and how to write it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Format {
    /// The time, in any notation that `time.parse` reads by itself.
    #[schemars(length(min = 1, max = TEXT_CHARS_MAX))]
    time: String,
    /// The notation, in the way of strftime, for example `%A, %d %B %Y`. Names are English.
    #[schemars(length(min = 1, max = FORMAT_CHARS_MAX))]
    format: String,
    /// The IANA name of the time zone to write it in; the time's own without it, or else UTC.
    #[schemars(length(min = 1, max = ZONE_CHARS_MAX))]
    zone: Option<String>,
}

/// The time, written.
#[derive(Debug, Serialize, JsonSchema)]
struct Formatted {
    /// The text.
    text: String,
}

fn format(input: Format) -> Result<Formatted, Error> {
    let time = read(&input.time, None, input.zone.as_deref())?;
    let text = jiff::fmt::strtime::format(&input.format, &time);
    Ok(Formatted { text: text.map_err(|error| Error::invalid_input(format!("the format does not fit: {error}")))? })
}

/// A time, and what to add.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Add {
    /// The time, in any notation that `time.parse` reads by itself.
    #[schemars(length(min = 1, max = TEXT_CHARS_MAX))]
    time: String,
    /// The duration: `1 month 2 days`, `3h 15m`, `-2 weeks`, or ISO 8601 such as `P1Y2M3DT4H`. A negative one goes back.
    #[schemars(length(min = 1, max = TEXT_CHARS_MAX))]
    duration: String,
    /// The IANA name of the time zone whose calendar counts; the time's own without it, or else UTC.
    #[schemars(length(min = 1, max = ZONE_CHARS_MAX))]
    zone: Option<String>,
}

fn add(input: Add) -> Result<Moment, Error> {
    let span: Span = input
        .duration
        .parse()
        .map_err(|error| Error::invalid_input(format!("`{}` is not a duration: {error}", input.duration)))?;
    let time = read(&input.time, None, input.zone.as_deref())?;
    let sum =
        time.checked_add(span).map_err(|error| Error::invalid_input(format!("there is no such time: {error}")))?;
    Ok(Moment::of(&sum))
}

#[cfg(test)]
pub(crate) mod tests {
    use armilla_plugin::{Code, Context, Error};
    use serde_json::{Value, json};

    pub(crate) fn call(tool: &str, input: &Value) -> Result<Value, Error> {
        let output = crate::plugin().call(tool, &input.to_string(), &Context::example())?;
        Ok(serde_json::from_str(&output).unwrap())
    }

    fn sum(time: &str, duration: &str, zone: &str) -> String {
        let input = json!({ "time": time, "duration": duration, "zone": zone });
        call("time.add", &input).unwrap()["rfc3339"].as_str().unwrap().to_owned()
    }

    #[test]
    fn adding_goes_by_the_calendar() {
        assert_eq!(sum("2026-01-31", "1 month", "UTC"), "2026-02-28T00:00:00Z");
        assert_eq!(sum("2024-02-29", "P1Y", "UTC"), "2025-02-28T00:00:00Z");
        assert_eq!(sum("2026-03-01T12:00Z", "-1 day 2h", "UTC"), "2026-02-28T10:00:00Z");
    }

    #[test]
    fn a_day_is_a_day_and_a_number_of_hours_is_not() {
        let before = "2026-03-28T12:00:00+01:00[Europe/Berlin]";
        assert_eq!(sum(before, "1d", "Europe/Berlin"), "2026-03-29T12:00:00+02:00");
        assert_eq!(sum(before, "24h", "Europe/Berlin"), "2026-03-29T13:00:00+02:00");
    }

    #[test]
    fn a_time_is_written_as_asked_in_the_zone_asked_for() {
        let input = json!({ "time": "2026-07-01T22:30:00Z", "format": "%A, %d %B %Y %H:%M %Z", "zone": "Asia/Tokyo" });
        assert_eq!(call("time.format", &input).unwrap(), json!({ "text": "Thursday, 02 July 2026 07:30 JST" }));
    }

    #[test]
    fn the_clock_is_read_in_any_zone() {
        let now = call("time.now", &json!({ "zone": "Europe/Berlin" })).unwrap();
        assert_eq!(now["zone"], "Europe/Berlin");
        assert!(now["year"].as_i64().unwrap() >= 2026);
        assert_eq!(call("time.now", &json!({})).unwrap()["zone"], "UTC");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (tool, input) in [
            ("time.now", json!({ "zone": "Europe/Atlantis" })),
            ("time.format", json!({ "time": "2026-01-01", "format": "%" })),
            ("time.format", json!({ "time": "soon", "format": "%Y" })),
            ("time.add", json!({ "time": "2026-01-01", "duration": "a while" })),
            ("time.add", json!({ "time": "2026-01-01", "duration": "10000 years" })),
            ("time.parse", json!({ "text": "2026-01-01", "colour": "red" })),
        ] {
            assert_eq!(call(tool, &input).unwrap_err().code(), Code::InvalidInput, "{tool} {input}");
        }
    }
}
