//! JSON bodies: bounded in bytes, in depth and in time, and refused with every fault at once.

use std::time::Duration;

use armilla_domain::fault::{FAULTS_MAX, Fault, pointer};
use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use futures::StreamExt;
use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};
use serde_path_to_error::{Path, Segment};
use utoipa::ToSchema;

use crate::problem::{Code, Problem};

/// What a body may have: the limit the API documents.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// What may be nested: the limit the API documents, and half of what the JSON parser's stack allows.
pub const JSON_DEPTH_MAX: usize = 64;

/// A body of the largest size over a slow line takes this long; a caller that is slower holds a connection for nothing.
const BODY_READ_DURATION_MAX: Duration = Duration::from_secs(30);

/// So much of a too large body is read and thrown away, since a caller that still sends does not see the answer.
const DISCARDED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A JSON body that is there and fits `T`.
#[derive(Debug, Clone)]
pub struct JsonBody<T>(pub T);

/// A JSON body that fits `T`, or no body at all.
#[derive(Debug, Clone)]
pub struct OptionalJsonBody<T>(pub Option<T>);

impl<T: DeserializeOwned + ToSchema, S: Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        match json_text(request).await? {
            Some(text) => parse(&text).map(Self),
            None => Err(Problem::new(Code::BodyMalformed, "The body is empty; this operation needs one.")),
        }
    }
}

impl<T: DeserializeOwned + ToSchema, S: Sync> FromRequest<S> for OptionalJsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        match json_text(request).await? {
            // `null` is how some clients write nothing.
            Some(text) if text.trim_ascii() != b"null" => parse(&text).map(|value| Self(Some(value))),
            Some(_) | None => Ok(Self(None)),
        }
    }
}

/// A JSON body as far as its shape is right, and what is wrong with the rest: so what only its meaning tells is told together with that. What
/// is missing of it is not among its faults; `T` has a default for it that is judged.
#[derive(Debug, Clone)]
pub(crate) struct SoundBody<T> {
    sound: T,
    faults: Vec<Fault>,
}

impl<T> SoundBody<T> {
    /// The body, where neither its shape nor `judge` finds anything wrong with it. `code` is for what `judge` finds.
    pub(crate) fn judged(mut self, code: Code, judge: impl FnOnce(&T) -> Vec<Fault>) -> Result<T, Problem> {
        let found = judge(&self.sound);
        // A field whose shape is wrong was not judged, but what stands in for it.
        let whole = |fault: &Fault| !self.faults.iter().any(|other| field_of(other) == field_of(fault));
        let found: Vec<Fault> = found.into_iter().filter(whole).collect();
        let code = if found.is_empty() { Code::BodyInvalid } else { code };
        self.faults.extend(found);
        if self.faults.is_empty() { Ok(self.sound) } else { Err(Problem::invalid(code, self.faults)) }
    }
}

impl<T: DeserializeOwned + ToSchema, S: Sync> FromRequest<S> for SoundBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let Some(text) = json_text(request).await? else {
            return Err(Problem::new(Code::BodyMalformed, "The body is empty; this operation needs one."));
        };
        let (body, faults) = match read_json::<T>(&text)? {
            Ok(sound) => return Ok(Self { sound, faults: Vec::new() }),
            Err(unsound) => unsound,
        };
        let known = &json!(T::schema())["properties"];
        let Value::Object(mut fields) = body else { return Err(Problem::invalid(Code::BodyInvalid, faults)) };
        fields.retain(|name, _| known.get(name).is_some() && !faults.iter().any(|fault| field_of(fault) == name));
        let Ok(sound) = serde_json::from_value(Value::Object(fields)) else {
            return Err(Problem::invalid(Code::BodyInvalid, faults));
        };
        let faults = faults.into_iter().filter(|fault| fault.code != "body.required" || !fault.pointer.is_empty());
        Ok(Self { sound, faults: faults.collect() })
    }
}

/// The field of the body that a fault is in; empty where it is the body's own.
fn field_of(fault: &Fault) -> &str {
    fault.pointer.split('/').nth(1).unwrap_or_default()
}

/// The bytes of a body that says it is JSON; none where there is no body.
async fn json_text(request: Request) -> Result<Option<Vec<u8>>, Problem> {
    let (parts, body) = request.into_parts();
    let bytes = bytes_of(body).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if !is_json(&parts.headers) {
        return Err(Problem::new(Code::BodyMediaType, "Send JSON, with `Content-Type: application/json`."));
    }
    Ok(Some(bytes))
}

/// A body's bytes, whatever they are.
pub(crate) async fn bytes_of(body: Body) -> Result<Vec<u8>, Problem> {
    tokio::time::timeout(BODY_READ_DURATION_MAX, read(body)).await.map_err(|_| {
        let detail = format!("The body did not arrive within {} seconds.", BODY_READ_DURATION_MAX.as_secs());
        Problem::new(Code::BodyTimeout, detail)
    })?
}

async fn read(body: Body) -> Result<Vec<u8>, Problem> {
    let too_large = || {
        Problem::new(
            Code::BodyTooLarge,
            format!("The body has more than the {BODY_BYTES_MAX} bytes that are taken here."),
        )
    };
    let announced = body.size_hint().lower();
    if announced > DISCARDED_BYTES_MAX {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let mut seen: u64 = 0;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::new(Code::BodyMalformed, "The body broke off."))?;
        seen += chunk.len() as u64;
        if seen <= BODY_BYTES_MAX as u64 {
            bytes.extend_from_slice(&chunk);
        } else if seen > DISCARDED_BYTES_MAX {
            break;
        }
    }
    if seen > BODY_BYTES_MAX as u64 { Err(too_large()) } else { Ok(bytes) }
}

/// `application/json` or a type that says it is JSON too (RFC 6839), whatever its parameters.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Any JSON, within the bounds of every body.
pub(crate) fn any_json(bytes: &[u8]) -> Result<Value, Problem> {
    parse(bytes)
}

fn parse<T: DeserializeOwned + ToSchema>(bytes: &[u8]) -> Result<T, Problem> {
    read_json(bytes)?.map_err(|(_, faults)| Problem::invalid(Code::BodyInvalid, faults))
}

/// The value, or else the body as it is and its faults.
fn read_json<T: DeserializeOwned + ToSchema>(bytes: &[u8]) -> Result<Result<T, (Value, Vec<Fault>)>, Problem> {
    // Before any value is built: building is what nesting makes expensive.
    if let Some((line, column)) = too_deep(bytes) {
        let detail = format!("At line {line}, column {column}, the JSON is nested more than {JSON_DEPTH_MAX} deep.");
        return Err(Problem::new(Code::BodyTooDeep, detail));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let fault = match serde_path_to_error::deserialize(&mut json) {
        Ok(value) => return json.end().map(|()| Ok(value)).map_err(|error| malformed(&error)),
        // An enumeration that is given a number complains of its text as if it were no JSON.
        Err(error) if error.inner().is_data() || serde_json::from_slice::<IgnoredAny>(bytes).is_ok() => error,
        Err(error) => return Err(malformed(error.inner())),
    };
    // Serde stops at the first fault, and before the end of the text; the operation's schema finds them all.
    let body: Value = serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
    let mut faults = schema_faults::<T>(&body);
    if faults.is_empty() {
        faults.push(Fault::new(json_pointer(fault.path()), "body.value", without_position(fault.inner())));
    }
    Ok(Err((body, faults)))
}

fn malformed(error: &serde_json::Error) -> Problem {
    let what = without_position(error);
    let detail =
        format!("At line {}, column {}, the body is not well-formed JSON: {what}.", error.line(), error.column());
    Problem::new(Code::BodyMalformed, detail)
}

fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((what, _)) => what.to_owned(),
        None => text,
    }
}

/// Line and column, from 1, of the first bracket that opens too deep a level.
fn too_deep(bytes: &[u8]) -> Option<(usize, usize)> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (position, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    let before = &bytes[..position];
                    let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
                    return Some((before.iter().filter(|b| **b == b'\n').count() + 1, position - line_start + 1));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// Everything that the documented schema of `T` finds wrong with `body`.
fn schema_faults<T: ToSchema>(body: &Value) -> Vec<Fault> {
    let mut referenced = Vec::new();
    T::schemas(&mut referenced);
    let referenced: serde_json::Map<String, Value> =
        referenced.into_iter().map(|(name, schema)| (name, json!(schema))).collect();
    let mut schema = json!(T::schema());
    // Where the document's own references point.
    schema["components"] = json!({ "schemas": referenced });
    // Our own schemas compile: a test looks at each of them.
    let Ok(validator) = jsonschema::draft202012::new(&schema) else { return Vec::new() };
    let mut faults = Vec::new();
    for error in validator.iter_errors(body).take(FAULTS_MAX) {
        add_faults(&error, &mut faults);
    }
    faults.truncate(FAULTS_MAX);
    faults
}

/// In bytes: a name that is longer is not sent back.
const FIELD_NAME_BYTES_MAX: usize = 100;
const UNKNOWN_FIELD: &str = "there is no such field here";
const UNKNOWN_LONG_FIELD: &str = "there is a field whose name is longer than any that is known here";

/// Of a value that may be one thing or another (mostly: an object or null) and is neither, what is wrong with it as the one that it looks like.
fn add_faults(error: &ValidationError<'_>, faults: &mut Vec<Fault>) {
    if let ValidationErrorKind::OneOfNotValid { context } = error.kind() {
        let other = |found: &ValidationError<'_>| {
            found.kind().keyword() == "type" && found.instance_path() == error.instance_path()
        };
        let mut alike = context.iter().filter(|found| !found.iter().any(other));
        if let (Some(found), None) = (alike.next(), alike.next()) {
            return found.iter().for_each(|error| add_faults(error, faults));
        }
    }
    let code = format!("body.{}", snake(error.kind().keyword()));
    let place = error.instance_path().as_str();
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let short = |name: &&String| name.len() <= FIELD_NAME_BYTES_MAX;
            let named = unexpected.iter().filter(short).take(FAULTS_MAX);
            faults.extend(named.map(|name| Fault::new(pointer(place, name), &code, UNKNOWN_FIELD)));
            if unexpected.iter().any(|name| !short(&name)) {
                faults.push(Fault::new(place, code, UNKNOWN_LONG_FIELD));
            }
        }
        ValidationErrorKind::Enum { options } => {
            let known: Vec<String> = options.as_array().into_iter().flatten().map(Value::to_string).collect();
            faults.push(Fault::new(place, code, format!("the value is none of {}", known.join(", "))));
        }
        // Masked: a fault names the place, and does not send a megabyte of it back.
        _ => faults.push(Fault::new(place, code, error.masked().to_string())),
    }
}

/// `additionalProperties` as our codes spell words.
fn snake(keyword: &str) -> String {
    keyword.chars().fold(String::new(), |mut out, c| {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
        out
    })
}

fn json_pointer(path: &Path) -> String {
    path.iter().fold(String::new(), |parent, segment| match segment {
        Segment::Seq { index } => pointer(&parent, index),
        Segment::Map { key } => pointer(&parent, key),
        Segment::Enum { variant } => pointer(&parent, variant),
        Segment::Unknown => parent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> Vec<u8> {
        format!("{}{}", "[".repeat(depth), "]".repeat(depth)).into_bytes()
    }

    #[test]
    fn nesting_is_bounded_and_brackets_in_strings_do_not_count() {
        assert_eq!(too_deep(&nested(JSON_DEPTH_MAX)), None);
        assert_eq!(too_deep(&nested(JSON_DEPTH_MAX + 1)), Some((1, JSON_DEPTH_MAX + 1)));
        assert_eq!(too_deep(format!(r#"["{}", "\"{}"]"#, "[".repeat(100), "{".repeat(100)).as_bytes()), None);
        let lines = format!("{}\n {{", "[".repeat(JSON_DEPTH_MAX));
        assert_eq!(too_deep(lines.as_bytes()), Some((2, 2)));
        assert_eq!(too_deep("[],".repeat(1000).as_bytes()), None);
    }

    #[test]
    fn json_comes_under_several_names() {
        let named = |name: &str| is_json(&HeaderMap::from_iter([(CONTENT_TYPE, name.parse().unwrap())]));
        assert!(named("application/json") && named("Application/JSON; charset=utf-8") && named("application/ld+json"));
        assert!(!named("text/plain") && !named("application/jsonp") && !named("application/x-www-form-urlencoded"));
        assert!(!is_json(&HeaderMap::new()));
    }
}
