//! `csv.parse`: from text to rows.

use crate::{COLUMNS_MAX, TEXT_CHARS_MAX, comma, delimiter, yes};
use armilla_plugin::Error;
use csv::{ReaderBuilder, StringRecord, Trim};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// How many rows a call gives that does not say.
const ROWS_DEFAULT: usize = 10_000;

/// How many rows a call can ask for.
const ROWS_MAX: usize = 100_000;

/// CSV text, and how to read it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// The CSV text.
    #[schemars(length(max = TEXT_CHARS_MAX))]
    text: String,
    /// What separates cells: one ASCII character.
    #[serde(default = "comma")]
    #[schemars(length(min = 1, max = 1))]
    delimiter: String,
    /// Whether the first line names the columns. Without a header the columns are named "1", "2" and so on, and rows are arrays.
    #[serde(default = "yes")]
    header: bool,
    /// `infer` makes null, booleans and numbers of the cells that are written like them in JSON, `text` leaves all as they are;
    /// an object gives types by column, and the columns it does not name are text.
    #[serde(default)]
    types: Types,
    /// Whether to drop blanks around cells.
    #[serde(default)]
    trim: bool,
    /// How many rows to give at most.
    #[serde(default = "rows_default")]
    #[schemars(range(min = 1, max = ROWS_MAX))]
    limit: usize,
}

fn rows_default() -> usize {
    ROWS_DEFAULT
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
enum Types {
    All(Every),
    ByColumn(#[schemars(extend("maxProperties" = COLUMNS_MAX))] BTreeMap<String, Type>),
}

impl Default for Types {
    fn default() -> Self {
        Self::All(Every::Infer)
    }
}

/// One way for all columns.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Every {
    Infer,
    Text,
}

/// What the cells of a column are. An empty cell is null, except in a column of text.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Type {
    Infer,
    Text,
    Number,
    Integer,
    Boolean,
}

/// The rows.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Output {
    /// The columns' names, in order.
    columns: Vec<String>,
    /// Objects by the columns' names, or arrays where there is no header.
    rows: Vec<Value>,
    /// Whether there are more rows than the limit.
    truncated: bool,
}

pub(crate) fn parse(input: Input) -> Result<Output, Error> {
    // Spreadsheets mark their UTF-8 with one; it is no part of the first column's name.
    let text = input.text.strip_prefix('\u{feff}').unwrap_or(&input.text);
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter(&input.delimiter)?)
        .has_headers(input.header)
        .trim(if input.trim { Trim::All } else { Trim::None })
        .from_reader(text.as_bytes());
    let mut columns = Vec::new();
    if input.header {
        columns = names(reader.headers().map_err(unreadable)?)?;
        check_types(&input.types, &columns)?;
    }
    let mut rows = Vec::new();
    let mut truncated = false;
    for record in reader.records() {
        let record = record.map_err(unreadable)?;
        if rows.len() == input.limit {
            truncated = true;
            break;
        }
        if columns.is_empty() {
            columns = (1..=record.len()).map(|column| column.to_string()).collect();
            check_width(record.len())?;
            check_types(&input.types, &columns)?;
        }
        let cells = columns.iter().zip(&record).map(|(column, cell)| {
            let value = typed(cell, input.types.of(column)).ok_or_else(|| {
                let line = record.position().map_or(0, csv::Position::line);
                let message = format!("line {line}, column `{column}`: the cell is not of the column's type");
                Error::invalid_input(message).details(json!({ "line": line, "column": column }))
            })?;
            Ok((column.clone(), value))
        });
        rows.push(if input.header {
            Value::Object(cells.collect::<Result<Map<_, _>, Error>>()?)
        } else {
            Value::Array(cells.map(|cell| Ok(cell?.1)).collect::<Result<_, Error>>()?)
        });
    }
    Ok(Output { columns, rows, truncated })
}

fn names(header: &StringRecord) -> Result<Vec<String>, Error> {
    check_width(header.len())?;
    let mut seen = BTreeSet::new();
    match header.iter().find(|name| !seen.insert(*name)) {
        Some(twice) => Err(Error::invalid_input(format!(
            "two columns are named `{twice}`: read the text with `header` false, or rename one"
        ))),
        None => Ok(header.iter().map(str::to_owned).collect()),
    }
}

fn check_width(columns: usize) -> Result<(), Error> {
    if columns > COLUMNS_MAX {
        return Err(Error::invalid_input(format!("{columns} columns are more than {COLUMNS_MAX}")));
    }
    Ok(())
}

fn check_types(types: &Types, columns: &[String]) -> Result<(), Error> {
    let Types::ByColumn(types) = types else { return Ok(()) };
    match types.keys().find(|name| !columns.contains(name)) {
        Some(missing) => Err(Error::invalid_input(format!("there is no column `{missing}` to have a type"))),
        None => Ok(()),
    }
}

impl Types {
    fn of(&self, column: &str) -> Type {
        match self {
            Self::All(Every::Infer) => Type::Infer,
            Self::All(Every::Text) => Type::Text,
            Self::ByColumn(types) => types.get(column).copied().unwrap_or(Type::Text),
        }
    }
}

/// The cell as a value of this type, if it is one.
fn typed(cell: &str, kind: Type) -> Option<Value> {
    match kind {
        Type::Text => Some(cell.into()),
        _ if cell.is_empty() => Some(Value::Null),
        Type::Infer => Some(boolean(cell).or_else(|| number(cell)).unwrap_or_else(|| cell.into())),
        Type::Number => number(cell),
        Type::Integer => number(cell).filter(|number| number.is_i64() || number.is_u64()),
        Type::Boolean => boolean(cell),
    }
}

fn boolean(cell: &str) -> Option<Value> {
    match cell {
        "true" | "TRUE" | "True" => Some(true.into()),
        "false" | "FALSE" | "False" => Some(false.into()),
        _ => None,
    }
}

/// Only what JSON would write the same way: `007` and `+49` are not numbers but codes, and a whole number that is too long to
/// keep all its digits stays text.
fn number(cell: &str) -> Option<Value> {
    if cell.trim() != cell {
        return None;
    }
    let number: Number = serde_json::from_str(cell).ok()?;
    let whole = !cell.contains(['.', 'e', 'E']);
    (!(whole && number.is_f64())).then_some(Value::Number(number))
}

fn unreadable(error: csv::Error) -> Error {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            Error::invalid_input(format!("line {line} has {len} cells, not {expected_len}"))
                .details(json!({ "line": line }))
        }
        _ => Error::invalid_input(format!("the text is not CSV: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use armilla_plugin::{Code, Context};

    fn call(input: &Value) -> Result<Value, Error> {
        let output = crate::plugin().call("csv.parse", &input.to_string(), &Context::example())?;
        Ok(serde_json::from_str(&output).unwrap())
    }

    #[test]
    fn rows_are_objects_by_the_header_with_inferred_types() {
        let text = "id,name,active,score,note\n1,\"Ada, L.\",true,9.5,\n2,Bob,FALSE,-1e2,\"a \"\"b\"\"\nc\"\n";
        assert_eq!(
            call(&json!({ "text": text })).unwrap(),
            json!({
                "columns": ["id", "name", "active", "score", "note"],
                "rows": [
                    { "id": 1, "name": "Ada, L.", "active": true, "score": 9.5, "note": null },
                    { "id": 2, "name": "Bob", "active": false, "score": -100.0, "note": "a \"b\"\nc" },
                ],
                "truncated": false,
            })
        );
    }

    #[test]
    fn columns_keep_their_order() {
        let output = crate::plugin().call("csv.parse", r#"{"text":"z,a,m\n1,2,3"}"#, &Context::example()).unwrap();
        assert!(output.contains(r#"{"z":1,"a":2,"m":3}"#), "{output}");
    }

    #[test]
    fn codes_and_endless_numbers_stay_text() {
        let output =
            call(&json!({ "text": "v\n007\n+49\n 1\n12345678901234567890123\n1e999\nNaN\n18446744073709551615" }));
        let rows = &output.unwrap()["rows"];
        let values: Vec<&Value> = rows.as_array().unwrap().iter().map(|row| &row["v"]).collect();
        let texts = ["007", "+49", " 1", "12345678901234567890123", "1e999", "NaN"];
        assert_eq!(values[..6], texts.map(Value::from).iter().collect::<Vec<_>>());
        assert_eq!(values[6], &json!(u64::MAX));
    }

    #[test]
    fn without_a_header_rows_are_arrays() {
        let output = call(&json!({ "text": "1;a\n2;b", "delimiter": ";", "header": false })).unwrap();
        assert_eq!(output, json!({ "columns": ["1", "2"], "rows": [[1, "a"], [2, "b"]], "truncated": false }));
    }

    #[test]
    fn a_column_has_the_type_that_was_asked_for() {
        let types = json!({ "n": "number", "b": "boolean", "i": "integer", "x": "infer" });
        let output = call(&json!({ "text": "n,b,i,x,t\n1.5,true,3,7,7\n,,,,", "types": types })).unwrap();
        assert_eq!(
            output["rows"],
            json!([{ "n": 1.5, "b": true, "i": 3, "x": 7, "t": "7" }, { "n": null, "b": null, "i": null, "x": null, "t": "" }])
        );
        let output = call(&json!({ "text": "n\n1", "types": "text" })).unwrap();
        assert_eq!(output["rows"], json!([{ "n": "1" }]));
    }

    #[test]
    fn a_cell_of_another_type_is_refused_with_its_place() {
        for (kind, cell) in [("number", "x"), ("integer", "1.5"), ("boolean", "1")] {
            let error = call(&json!({ "text": format!("a\n{cell}"), "types": { "a": kind } })).unwrap_err();
            assert_eq!(error.code(), Code::InvalidInput);
            assert_eq!(error.more(), Some(&json!({ "line": 2, "column": "a" })), "{kind}");
        }
    }

    #[test]
    fn a_mark_of_the_encoding_is_no_part_of_the_first_name() {
        assert_eq!(call(&json!({ "text": "\u{feff}a\n1" })).unwrap()["columns"], json!(["a"]));
    }

    #[test]
    fn blanks_go_only_where_asked() {
        assert_eq!(call(&json!({ "text": " a \n x ", "trim": true })).unwrap()["rows"], json!([{ "a": "x" }]));
        assert_eq!(call(&json!({ "text": " a \n x " })).unwrap()["rows"], json!([{ " a ": " x " }]));
    }

    #[test]
    fn more_rows_than_the_limit_are_cut_off_and_said() {
        let output = call(&json!({ "text": "a\n1\n2\n3", "limit": 2 })).unwrap();
        assert_eq!(output["rows"], json!([{ "a": 1 }, { "a": 2 }]));
        assert_eq!(output["truncated"], json!(true));
        assert_eq!(call(&json!({ "text": "a\n1\n2", "limit": 2 })).unwrap()["truncated"], json!(false));
    }

    #[test]
    fn an_empty_text_has_neither_columns_nor_rows() {
        assert_eq!(call(&json!({ "text": "" })).unwrap(), json!({ "columns": [], "rows": [], "truncated": false }));
    }

    #[test]
    fn what_is_no_table_is_refused() {
        for (input, part) in [
            (json!({ "text": "a,b\n1" }), "line 2 has 1 cells, not 2"),
            (json!({ "text": "a,a\n1,2" }), "two columns are named `a`"),
            (json!({ "text": "a", "delimiter": "\"" }), "delimiter"),
            (json!({ "text": "a", "delimiter": "ä" }), "delimiter"),
            (json!({ "text": "a\n1", "types": { "b": "text" } }), "no column `b`"),
            (json!({ "text": ",".repeat(1_000), "header": false }), "1001 columns"),
            (json!({ "text": "a", "colour": "red" }), "colour"),
        ] {
            let error = call(&input).unwrap_err();
            assert_eq!(error.code(), Code::InvalidInput);
            assert!(error.message().contains(part), "{error}");
        }
    }
}
