//! `csv.write`: from rows to text.

use crate::{COLUMNS_MAX, comma, delimiter, yes};
use armilla_plugin::Error;
use csv::{Terminator, WriterBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// How many rows a call can write.
const ROWS_MAX: usize = 100_000;

/// What spreadsheets take for the start of a formula.
const FORMULA_STARTS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Rows, and how to write them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Input {
    /// Rows that are all objects, or all arrays. Null is an empty cell; arrays and objects inside are written as JSON.
    #[schemars(length(max = ROWS_MAX))]
    rows: Vec<Row>,
    /// The columns to write, in order; the other fields are left out. Without it objects are written with all their fields, in
    /// the order in which they first appear. For arrays these are just the names in the header.
    #[schemars(length(min = 1, max = COLUMNS_MAX))]
    columns: Option<Vec<String>>,
    /// What separates cells: one ASCII character.
    #[serde(default = "comma")]
    #[schemars(length(min = 1, max = 1))]
    delimiter: String,
    /// Whether the first line names the columns, where they have names.
    #[serde(default = "yes")]
    header: bool,
    /// Whether to put an apostrophe before text that a spreadsheet would take for a formula.
    #[serde(default)]
    guard_formulas: bool,
    /// How lines end.
    #[serde(default)]
    line_end: LineEnd,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Row {
    /// Cells by the names of their columns.
    Object(Map<String, Value>),
    /// Cells in order.
    Array(#[schemars(length(max = COLUMNS_MAX))] Vec<Value>),
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum LineEnd {
    #[default]
    Lf,
    Crlf,
}

/// The text.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Output {
    /// The CSV text; every line of it ends.
    text: String,
    /// How many rows there are, without the header.
    rows: usize,
}

pub(crate) fn write(input: Input) -> Result<Output, Error> {
    let mut writer = WriterBuilder::new()
        .delimiter(delimiter(&input.delimiter)?)
        .terminator(match input.line_end {
            LineEnd::Lf => Terminator::Any(b'\n'),
            LineEnd::Crlf => Terminator::CRLF,
        })
        .from_writer(Vec::new());
    let columns = match (&input.columns, input.rows.first()) {
        (Some(columns), _) => Some(columns.clone()),
        (None, Some(Row::Object(_))) => Some(all_fields(&input.rows)?),
        (None, _) => None,
    };
    let cell = |value: &Value| cell(value, input.guard_formulas);
    if let (true, Some(columns)) = (input.header, &columns) {
        let names = columns.iter().map(|name| cell(&Value::String(name.clone())));
        writer.write_record(names.collect::<Vec<_>>()).map_err(unwritable)?;
    }
    let objects = matches!(input.rows.first(), Some(Row::Object(_)));
    let width = match (&columns, input.rows.first()) {
        (Some(columns), _) => columns.len(),
        (None, Some(Row::Array(cells))) => cells.len(),
        _ => 0,
    };
    for (row, number) in input.rows.iter().zip(1..) {
        let cells: Vec<String> = match row {
            Row::Object(fields) if objects => {
                let columns = columns.as_deref().unwrap_or_default();
                columns.iter().map(|name| fields.get(name).map_or_else(String::new, cell)).collect()
            }
            Row::Array(cells) if !objects => cells.iter().map(cell).collect(),
            _ => {
                return Err(Error::invalid_input(format!(
                    "row {number} is not what the first row is: all objects or all arrays"
                )));
            }
        };
        if cells.len() != width || width == 0 {
            return Err(Error::invalid_input(format!("row {number} has {} cells, not {}", cells.len(), width.max(1))));
        }
        writer.write_record(&cells).map_err(unwritable)?;
    }
    let bytes = writer.into_inner().map_err(unwritable)?;
    let text = String::from_utf8(bytes).map_err(unwritable)?;
    Ok(Output { text, rows: input.rows.len() })
}

fn all_fields(rows: &[Row]) -> Result<Vec<String>, Error> {
    let mut seen = BTreeSet::new();
    let mut columns = Vec::new();
    for row in rows {
        let Row::Object(fields) = row else { continue };
        for name in fields.keys() {
            if seen.insert(name) {
                columns.push(name.clone());
            }
        }
        if columns.len() > COLUMNS_MAX {
            return Err(Error::invalid_input(format!("the rows have more than {COLUMNS_MAX} different fields")));
        }
    }
    Ok(columns)
}

fn cell(value: &Value, guard: bool) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => Cow::Borrowed(text.as_str()),
        // A negative number starts like a formula, and is none.
        other => return other.to_string(),
    };
    if guard && text.starts_with(FORMULA_STARTS) { format!("'{text}") } else { text.into_owned() }
}

fn unwritable(error: impl std::fmt::Display) -> Error {
    Error::failed(format!("the rows cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use armilla_plugin::{Code, Context};
    use serde_json::json;

    fn call(input: &Value) -> Result<String, Error> {
        let output = crate::plugin().call("csv.write", &input.to_string(), &Context::example())?;
        let output: Value = serde_json::from_str(&output).unwrap();
        Ok(output["text"].as_str().unwrap().to_owned())
    }

    #[test]
    fn objects_are_written_with_all_their_fields_in_order_of_appearance() {
        let rows = json!([{ "z": 1, "a": "x, \"y\"" }, { "a": null, "b": [1, { "c": true }] }]);
        let text = call(&json!({ "rows": rows })).unwrap();
        assert_eq!(text, "z,a,b\n1,\"x, \"\"y\"\"\",\n,,\"[1,{\"\"c\"\":true}]\"\n");
    }

    #[test]
    fn columns_can_be_chosen_and_ordered() {
        let text = call(&json!({ "rows": [{ "a": 1, "b": 2, "c": 3 }], "columns": ["c", "a", "x"] })).unwrap();
        assert_eq!(text, "c,a,x\n3,1,\n");
    }

    #[test]
    fn arrays_are_written_as_they_are() {
        assert_eq!(call(&json!({ "rows": [[1, "b"], [true, null]] })).unwrap(), "1,b\ntrue,\n");
        let named = json!({ "rows": [[1, 2]], "columns": ["a", "b"], "delimiter": "\t", "lineEnd": "crlf" });
        assert_eq!(call(&named).unwrap(), "a\tb\r\n1\t2\r\n");
        assert_eq!(call(&json!({ "rows": [[1]], "columns": ["a"], "header": false })).unwrap(), "1\n");
    }

    #[test]
    fn no_rows_are_an_empty_text_or_a_header() {
        assert_eq!(call(&json!({ "rows": [] })).unwrap(), "");
        assert_eq!(call(&json!({ "rows": [], "columns": ["a", "b"] })).unwrap(), "a,b\n");
    }

    #[test]
    fn text_that_looks_like_a_formula_is_guarded_where_asked() {
        let rows = json!([["=1+1", "@x", "-2", "+3", -4, "a=b"]]);
        assert_eq!(call(&json!({ "rows": rows, "guardFormulas": true })).unwrap(), "'=1+1,'@x,'-2,'+3,-4,a=b\n");
        assert_eq!(call(&json!({ "rows": rows })).unwrap(), "=1+1,@x,-2,+3,-4,a=b\n");
        let named = json!({ "rows": [{ "=x": 1 }], "guardFormulas": true });
        assert_eq!(call(&named).unwrap(), "'=x\n1\n");
    }

    #[test]
    fn what_was_written_reads_as_the_same_rows() {
        let rows = json!([{ "a": 1, "b": "x\ny" }, { "a": null, "b": "true story" }]);
        let text = call(&json!({ "rows": rows })).unwrap();
        let read = crate::plugin().call("csv.parse", &json!({ "text": text }).to_string(), &Context::example());
        let read: Value = serde_json::from_str(&read.unwrap()).unwrap();
        assert_eq!(read["rows"], rows);
    }

    #[test]
    fn rows_that_are_no_table_are_refused() {
        for (input, part) in [
            (json!({ "rows": [[1], [1, 2]] }), "row 2 has 2 cells, not 1"),
            (json!({ "rows": [[1]], "columns": ["a", "b"] }), "row 1 has 1 cells, not 2"),
            (json!({ "rows": [{ "a": 1 }, [1]] }), "row 2 is not what the first row is"),
            (json!({ "rows": [[1], { "a": 1 }] }), "row 2 is not what the first row is"),
            (json!({ "rows": [{}] }), "row 1 has 0 cells"),
            (json!({ "rows": [1] }), "did not match"),
            (json!({ "rows": [[1]], "delimiter": "\n" }), "delimiter"),
        ] {
            let error = call(&input).unwrap_err();
            assert_eq!(error.code(), Code::InvalidInput);
            assert!(error.message().contains(part), "{error}");
        }
    }
}
