//! Reading times in many notations.

use crate::moment::zone;
use armilla_plugin::Error;
use jiff::civil::{DateTime, Time};
use jiff::fmt::temporal::Pieces;
use jiff::fmt::{rfc2822, strtime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

/// Notations that mean one thing only, beside those of standards.
const NOTATIONS: [&str; 19] = [
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
    "%d %B %Y %H:%M:%S",
    "%d %B %Y %H:%M",
    "%d %B %Y",
    "%d %b %Y %H:%M",
    "%d %b %Y",
    "%B %d, %Y %H:%M",
    "%B %d, %Y",
    "%b %d, %Y %H:%M",
    "%b %d, %Y",
    "%A, %d %B %Y",
    "%A, %B %d, %Y",
    "%a %b %d %H:%M:%S %Y",
    "%d/%b/%Y:%H:%M:%S %z",
];

/// From this many seconds on, which is the year 5138, a number is meant in milliseconds.
const SECONDS_MAX: i64 = 100_000_000_000;

/// Reads `text`, in `format` where there is one, and gives it in the zone `zone_name`, or else in its own, or else in UTC.
pub(crate) fn read(text: &str, format: Option<&str>, zone_name: Option<&str>) -> Result<ZonedDateTime, Error> {
    let wanted = zone_name.map(zone).transpose()?;
    let local = wanted.clone().unwrap_or(TimeZone::UTC);
    let text = text.trim();
    let time = match format {
        Some(format) => by_format(text, format, &local)
            .map_err(|error| Error::invalid_input(format!("`{text}` is not in the format `{format}`: {error}")))?,
        None => by_any_notation(text, &local).ok_or_else(|| {
            Error::invalid_input(format!("`{text}` is not a time in a notation that means one thing; give its format"))
        })?,
    };
    Ok(match wanted {
        Some(zone) => time.with_time_zone(zone),
        None => time,
    })
}

fn by_any_notation(text: &str, local: &TimeZone) -> Option<ZonedDateTime> {
    by_number(text)
        .or_else(|| by_iso(text, local).ok())
        .or_else(|| rfc2822::parse(text).ok())
        .or_else(|| NOTATIONS.iter().find_map(|format| by_format(text, format, local).ok()))
}

fn by_number(text: &str) -> Option<ZonedDateTime> {
    let (number, fraction) = text.split_once('.').unwrap_or((text, ""));
    // Eight digits are a date.
    if number.trim_start_matches('-').len() == 8 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i64 = number.parse().ok()?;
    let timestamp = if number.abs() >= SECONDS_MAX {
        Timestamp::from_millisecond(number).ok()?
    } else {
        let nanoseconds: i32 = format!("{fraction:0<9.9}").parse().ok()?;
        Timestamp::new(number, if text.starts_with('-') { -nanoseconds } else { nanoseconds }).ok()?
    };
    Some(timestamp.to_zoned_datetime(TimeZone::UTC))
}

/// ISO 8601 with as much as there is of time, offset and zone.
fn by_iso(text: &str, local: &TimeZone) -> Result<ZonedDateTime, jiff::Error> {
    let pieces = Pieces::parse(text)?;
    if pieces.time_zone_annotation().is_some() {
        return text.parse();
    }
    if let Some(offset) = pieces.to_numeric_offset() {
        let timestamp: Timestamp = text.parse()?;
        return Ok(timestamp.to_zoned_datetime(zone_of(offset)));
    }
    local.to_zoned_datetime(DateTime::from_parts(pieces.date(), pieces.time().unwrap_or(Time::midnight())))
}

fn by_format(text: &str, format: &str, local: &TimeZone) -> Result<ZonedDateTime, jiff::Error> {
    let parts = strtime::parse(format, text)?;
    if parts.offset().is_some() || parts.iana_time_zone().is_some() {
        return parts.to_zoned_datetime();
    }
    if let Some(timestamp) = parts.timestamp() {
        return Ok(timestamp.to_zoned_datetime(TimeZone::UTC));
    }
    let date = parts.to_date()?;
    let time = parts.to_time().unwrap_or(Time::midnight());
    local.to_zoned_datetime(DateTime::from_parts(date, time))
}

fn zone_of(offset: jiff::tz::Offset) -> TimeZone {
    if offset.seconds() == 0 { TimeZone::UTC } else { offset.to_time_zone() }
}

#[cfg(test)]
mod tests {
    use crate::tests::call;
    use armilla_plugin::Code;
    use serde_json::json;

    fn read(text: &str) -> String {
        let moment = call("time.parse", &json!({ "text": text }));
        moment.unwrap_or_else(|error| panic!("{text}: {error}"))["rfc3339"].as_str().unwrap().to_owned()
    }

    #[test]
    fn many_notations_are_read() {
        for (text, expected) in [
            ("2026-03-04", "2026-03-04T00:00:00Z"),
            ("20260304", "2026-03-04T00:00:00Z"),
            (" 2026-03-04 05:06 ", "2026-03-04T05:06:00Z"),
            ("2026-03-04T05:06:07.25Z", "2026-03-04T05:06:07.25Z"),
            ("2026-03-04T05:06:07+02:00", "2026-03-04T05:06:07+02:00"),
            ("2026-03-04T05:06:07-05:00[America/New_York]", "2026-03-04T05:06:07-05:00"),
            ("Wed, 04 Mar 2026 05:06:07 +0100", "2026-03-04T05:06:07+01:00"),
            ("Wed, 04 Mar 2026 05:06:07 GMT", "2026-03-04T05:06:07Z"),
            ("1772600767", "2026-03-04T05:06:07Z"),
            ("1772600767.5", "2026-03-04T05:06:07.5Z"),
            ("1772600767123", "2026-03-04T05:06:07.123Z"),
            ("-1", "1969-12-31T23:59:59Z"),
            ("2026/03/04 05:06", "2026-03-04T05:06:00Z"),
            ("4.3.2026", "2026-03-04T00:00:00Z"),
            ("04.03.2026 05:06:07", "2026-03-04T05:06:07Z"),
            ("4 March 2026", "2026-03-04T00:00:00Z"),
            ("Mar 4, 2026", "2026-03-04T00:00:00Z"),
            ("March 4, 2026", "2026-03-04T00:00:00Z"),
            ("Wednesday, March 4, 2026", "2026-03-04T00:00:00Z"),
            ("Wed Mar 4 05:06:07 2026", "2026-03-04T05:06:07Z"),
            ("04/Mar/2026:05:06:07 +0100", "2026-03-04T05:06:07+01:00"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn a_text_without_a_zone_is_read_in_the_one_given() {
        let input = json!({ "text": "2026-07-04 05:06", "zone": "Europe/Berlin" });
        assert_eq!(call("time.parse", &input).unwrap()["rfc3339"], "2026-07-04T05:06:00+02:00");
        let input = json!({ "text": "2026-07-04T05:06Z", "zone": "europe/berlin" });
        assert_eq!(call("time.parse", &input).unwrap()["rfc3339"], "2026-07-04T07:06:00+02:00");
    }

    #[test]
    fn a_time_that_the_clocks_skip_is_the_one_after() {
        let input = json!({ "text": "2026-03-29 02:30", "zone": "Europe/Berlin" });
        assert_eq!(call("time.parse", &input).unwrap()["rfc3339"], "2026-03-29T03:30:00+02:00");
    }

    #[test]
    fn a_format_settles_what_a_text_means() {
        let input = json!({ "text": "03/04/2026 5pm", "format": "%m/%d/%Y %I%p" });
        assert_eq!(call("time.parse", &input).unwrap()["rfc3339"], "2026-03-04T17:00:00Z");
    }

    #[test]
    fn the_parts_are_those_of_the_zone() {
        let moment = call("time.parse", &json!({ "text": "2027-01-01T00:30:00.5+01:00" })).unwrap();
        assert_eq!(
            moment,
            json!({
                "rfc3339": "2027-01-01T00:30:00.5+01:00",
                "date": "2027-01-01",
                "time": "00:30:00.5",
                "unixMilliseconds": 1_798_759_800_500_i64,
                "zone": "+01",
                "offsetSeconds": 3600,
                "year": 2027,
                "month": 1,
                "day": 1,
                "hour": 0,
                "minute": 30,
                "second": 0,
                "nanosecond": 500_000_000,
                "weekday": 5,
                "dayOfYear": 1,
                "isoWeek": 53,
                "isoWeekYear": 2026,
            })
        );
    }

    #[test]
    fn what_means_nothing_or_two_things_is_refused() {
        for input in [
            json!({ "text": "03/04/2026" }),
            json!({ "text": "tomorrow" }),
            json!({ "text": "2026-02-30" }),
            json!({ "text": "" }),
            json!({ "text": "2026-03-04", "format": "%d.%m.%Y" }),
            json!({ "text": "2026-03-04", "zone": "Mars/Olympus" }),
        ] {
            assert_eq!(call("time.parse", &input).unwrap_err().code(), Code::InvalidInput, "{input}");
        }
    }
}
