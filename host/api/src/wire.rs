//! Small types that several requests and answers are made of.

use std::ops::Deref;

use armilla_domain::fault::Fault;
use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// An instant as every answer writes it: RFC 3339, UTC, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub DateTime<Utc>);

impl From<DateTime<Utc>> for Timestamp {
    fn from(instant: DateTime<Utc>) -> Self {
        Self(instant)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = String::deserialize(deserializer)?;
        // A query's `+` is a blank, and nobody who writes `+01:00` there means one.
        if let Some(sign) = text.len().checked_sub("+01:00".len())
            && text.as_bytes()[sign] == b' '
        {
            text.replace_range(sign..=sign, "+");
        }
        let instant = DateTime::parse_from_rfc3339(&text).map(|instant| instant.to_utc());
        // Years that RFC 3339 can write, in UTC too; others fit no column.
        let instant = instant.ok().filter(|instant| (0..=9999).contains(&instant.year()));
        instant.map(Self).ok_or_else(|| de::Error::custom("expected an instant such as `2026-01-31T09:30:00Z`"))
    }
}

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .examples(["2026-01-31T09:30:00.000Z"])
            .into()
    }
}

impl ToSchema for Timestamp {
    fn schemas(_: &mut Vec<(String, RefOr<Schema>)>) {}
}

/// A text of `MIN` to `MAX` characters (not bytes), without the character U+0000, which a database column cannot hold.
/// Its schema is written where it is used, since the generator does not see constants in types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text<const MIN: usize, const MAX: usize>(String);

impl<const MIN: usize, const MAX: usize> Text<MIN, MAX> {
    /// The text itself.
    pub fn into_inner(self) -> String {
        self.0
    }
}

impl<const MIN: usize, const MAX: usize> Deref for Text<MIN, MAX> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de, const MIN: usize, const MAX: usize> Deserialize<'de> for Text<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let chars = text.chars().count();
        if chars < MIN || chars > MAX {
            return Err(de::Error::custom(format_args!("expected {MIN} to {MAX} characters, found {chars}")));
        }
        if text.contains('\0') {
            return Err(de::Error::custom("expected a text without the character U+0000"));
        }
        Ok(Self(text))
    }
}

/// A field that may be absent, with what it is where it is there: `null` is a value of `T`'s or a fault, not absence.
/// For `#[serde(default, deserialize_with = "present")]`.
pub(crate) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// One thing that is wrong with a document, or, as a warning, that may well be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Fault)]
pub struct FaultBody {
    /// Where: a JSON pointer (RFC 6901) into the request's body.
    #[schema(example = "/definition/steps/3/then")]
    pub pointer: String,
    /// What kind: stable, dotted, for programs.
    #[schema(example = "definition.unknown_step")]
    pub code: String,
    /// What and why, for people.
    pub detail: String,
}

impl From<Fault> for FaultBody {
    fn from(Fault { pointer, code, detail }: Fault) -> Self {
        Self { pointer, code, detail }
    }
}

/// The same faults, found in a part of the body that stands at `prefix`.
pub fn under(prefix: &str, faults: Vec<Fault>) -> Vec<Fault> {
    faults.into_iter().map(|fault| Fault { pointer: format!("{prefix}{}", fault.pointer), ..fault }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_written_in_utc_with_milliseconds() {
        let instant: DateTime<Utc> = "2026-01-31T10:30:00.123456+01:00".parse().unwrap();
        assert_eq!(serde_json::to_value(Timestamp(instant)).unwrap(), "2026-01-31T09:30:00.123Z");
    }

    #[test]
    fn a_timestamp_is_read_with_its_offset() {
        let read = |text: &str| serde_json::from_value::<Timestamp>(text.into()).map(|instant| instant.0.to_rfc3339());
        assert_eq!(read("2026-01-31T10:30:00+01:00").unwrap(), "2026-01-31T09:30:00+00:00");
        for wrong in ["", "2026-01-31", "2026-01-31T10:30:00", "-9999-01-01T00:00:00Z", "0000-01-01T00:00:00+01:00"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_text_is_measured_in_characters() {
        assert!(serde_json::from_str::<Text<1, 3>>(r#""äöü""#).is_ok());
        assert!(serde_json::from_str::<Text<1, 3>>(r#""abcd""#).is_err());
        assert!(serde_json::from_str::<Text<1, 3>>(r#""""#).is_err());
        assert!(serde_json::from_str::<Text<1, 3>>(r#""a\u0000""#).is_err());
    }

    #[test]
    fn faults_of_a_part_are_placed_in_the_whole() {
        let faults = under("/definition", vec![Fault::new("/steps/0", "x.y", "z")]);
        assert_eq!(faults[0].pointer, "/definition/steps/0");
    }
}
