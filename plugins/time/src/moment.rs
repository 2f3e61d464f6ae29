//! A time with its parts, as the tools give it.

use armilla_plugin::Error;
use jiff::ZonedDateTime;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Serialize;

/// A time, and its parts in its time zone.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Moment {
    /// The time by RFC 3339.
    rfc3339: String,
    /// The date by ISO 8601.
    date: String,
    /// The time of day.
    time: String,
    /// Milliseconds since 1970, rounded down.
    unix_milliseconds: i64,
    /// The IANA name of the time zone; the offset where there is no name.
    zone: String,
    /// The offset from UTC, in seconds.
    offset_seconds: i32,
    /// The year.
    year: i16,
    /// 1 to 12.
    month: i8,
    /// 1 to 31.
    day: i8,
    /// 0 to 23.
    hour: i8,
    /// 0 to 59.
    minute: i8,
    /// 0 to 59.
    second: i8,
    /// Of the second.
    nanosecond: i32,
    /// 1 for Monday to 7 for Sunday.
    weekday: i8,
    /// 1 to 366.
    day_of_year: i16,
    /// The week's number by ISO 8601.
    iso_week: i8,
    /// The year that the week belongs to.
    iso_week_year: i16,
}

impl Moment {
    pub(crate) fn of(time: &ZonedDateTime) -> Self {
        let offset = time.offset();
        let iana_name = time.time_zone().iana_name();
        let week = time.iso_week_date();
        Self {
            rfc3339: if iana_name == Some("UTC") {
                time.timestamp().to_string()
            } else {
                time.timestamp().display_with_offset(offset).to_string()
            },
            date: time.date().to_string(),
            time: time.time().to_string(),
            unix_milliseconds: time.timestamp().as_millisecond(),
            zone: iana_name.map_or_else(|| offset.to_string(), str::to_owned),
            offset_seconds: offset.seconds(),
            year: time.year(),
            month: time.month(),
            day: time.day(),
            hour: time.hour(),
            minute: time.minute(),
            second: time.second(),
            nanosecond: time.subsec_nanosecond(),
            weekday: time.weekday().to_monday_one_offset(),
            day_of_year: time.day_of_year(),
            iso_week: week.week(),
            iso_week_year: week.year(),
        }
    }
}

/// The time zone of this IANA name, in any case.
pub(crate) fn zone(name: &str) -> Result<TimeZone, Error> {
    if name.eq_ignore_ascii_case("utc") {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|_| Error::invalid_input(format!("there is no time zone `{name}`")))
}
