//! Values as bounded JSON.

use std::io;

use minijinja::value::Kwargs;
use minijinja::{Error, ErrorKind, Output, State, Value as JinjaValue};
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::PrettyFormatter;

use super::TEMPLATE_OUTPUT_BYTES_MAX;
use crate::call::CallError;
use crate::json::{JSON_DEPTH_MAX, is_too_deep};

/// Blanks of one level of indented JSON.
const INDENT_CHARS_MAX: usize = 16;

/// Bytes, up to a bound.
#[derive(Debug)]
pub(super) struct Bounded {
    pub(super) bytes: Vec<u8>,
    pub(super) overflowed: bool,
    room: usize,
}

impl Bounded {
    pub(super) fn to(room: usize) -> Self {
        Self { bytes: Vec::new(), overflowed: false, room }
    }

    /// What is said of a text that did not fit.
    pub(super) fn complaint() -> CallError {
        let message = format!("templates write more than {TEMPLATE_OUTPUT_BYTES_MAX} bytes");
        CallError::permanent("expr.limit", message)
    }

    fn into_text(self) -> Result<String, Error> {
        String::from_utf8(self.bytes).map_err(|_| Error::new(ErrorKind::BadSerialization, "JSON is UTF-8"))
    }
}

impl io::Write for Bounded {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + more.len() > self.room {
            self.overflowed = true;
            return Err(io::Error::other("too long"));
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How a template writes a value: text as it is, everything else as JSON.
pub(super) fn write_value(
    output: &mut Output<'_>,
    _state: &mut State<'_, '_>,
    value: &JinjaValue,
) -> Result<(), Error> {
    if value.is_undefined() {
        return Ok(());
    }
    let json = match value.as_str() {
        Some(text) => return output.write_str(text).map_err(Into::into),
        None => compact(value)?,
    };
    output.write_str(&json).map_err(Into::into)
}

/// The filter `tojson`. The language's own one builds the whole text before it looks at its length.
pub(super) fn tojson(value: &JinjaValue, indent: Option<usize>, options: Kwargs) -> Result<String, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => options.get("indent")?,
    };
    options.assert_all_used()?;
    match indent {
        None => compact(value),
        Some(indent) => {
            let indent = vec![b' '; indent.min(INDENT_CHARS_MAX)];
            let mut written = Bounded::to(TEMPLATE_OUTPUT_BYTES_MAX);
            let formatter = PrettyFormatter::with_indent(&indent);
            let outcome = value.serialize(&mut serde_json::Serializer::with_formatter(&mut written, formatter));
            finish(written, outcome)
        }
    }
}

fn compact(value: &JinjaValue) -> Result<String, Error> {
    let mut written = Bounded::to(TEMPLATE_OUTPUT_BYTES_MAX);
    let outcome = serde_json::to_writer(&mut written, value);
    finish(written, outcome)
}

fn finish(written: Bounded, outcome: Result<(), serde_json::Error>) -> Result<String, Error> {
    match outcome {
        Ok(()) => written.into_text(),
        Err(_) if written.overflowed => Err(Error::from(ErrorKind::OutOfFuel)),
        Err(_) => Err(Error::new(ErrorKind::BadSerialization, "a value cannot be written as JSON")),
    }
}

/// A value as JSON, of at most `room` bytes, which become fewer by what it takes. By way of its text, whose length is bounded
/// while it is written and whose depth is while it is read: what a template builds shares its parts, and may be far larger
/// than the memory that holds it.
pub(super) fn to_json(value: &JinjaValue, room: &mut usize) -> Result<Value, CallError> {
    if value.is_undefined() {
        return Ok(Value::Null);
    }
    let mut written = Bounded::to(*room);
    match serde_json::to_writer(&mut written, value) {
        Ok(()) => *room -= written.bytes.len(),
        Err(_) if written.overflowed => return Err(Bounded::complaint()),
        Err(_) => {
            return Err(CallError::permanent("expr.type", "the expression's value cannot be written as JSON"));
        }
    }
    // What was written is JSON: it can only nest deeper than the reader goes.
    serde_json::from_slice(&written.bytes).ok().filter(|json| !is_too_deep(json)).ok_or_else(too_deep)
}

pub(super) fn too_deep() -> CallError {
    CallError::permanent("expr.limit", format!("a value nests deeper than {JSON_DEPTH_MAX} levels"))
}
