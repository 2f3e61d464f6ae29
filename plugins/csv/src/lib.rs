//! The `csv` plugin: `csv.parse` makes rows of CSV text, `csv.write` makes CSV text of rows, by way of the csv crate.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod parse;
mod write;

use armilla_plugin::{Plugin, Tool};

/// In characters: what a call's input can hold in any case.
pub(crate) const TEXT_CHARS_MAX: usize = 1_000_000;

/// A row has this many cells at most, so that a table has a shape that people can look at.
pub(crate) const COLUMNS_MAX: usize = 1_000;

armilla_plugin::plugin! {
    Plugin::new("csv", "Reads and writes comma-separated values.")
        .tool(
            Tool::new(
                "csv.parse",
                "Parse CSV",
                "Makes rows of CSV text: objects by the names of the header, or arrays where there is none. \
                 Infers numbers, booleans and null, or takes the type of each column.",
                parse::parse,
            )
            .read_only()
            .idempotent()
            .closed_world(),
        )
        .tool(
            Tool::new(
                "csv.write",
                "Write CSV",
                "Makes CSV text of rows, which are objects or arrays. Can choose the columns and their order, and keep \
                 spreadsheets from taking text for formulas.",
                write::write,
            )
            .read_only()
            .idempotent()
            .closed_world(),
        )
}

/// `text` as the one byte that separates cells.
pub(crate) fn delimiter(text: &str) -> Result<u8, armilla_plugin::Error> {
    match *text.as_bytes() {
        [byte] if byte != b'"' && byte != b'\n' && byte != b'\r' => Ok(byte),
        _ => Err(armilla_plugin::Error::invalid_input(
            "the delimiter is not one ASCII character that can separate cells",
        )),
    }
}

pub(crate) fn comma() -> String {
    ",".to_owned()
}

pub(crate) fn yes() -> bool {
    true
}
