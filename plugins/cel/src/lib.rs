//! The `cel` plugin: judges conditions in the Common Expression Language. Every variable of the run is a variable of the
//! expression by the same name.

#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "the generated half of the component's interface speaks raw pointers")]
mod guest;

use std::collections::HashMap;

use cel::parser::{Expression, PrattParser};
use cel::{Context, ExecutionError, ParseErrors, Value};
use serde_json::Map;

/// In bytes: an expression is a condition, not a program.
pub const EXPRESSION_BYTES_MAX: usize = 16 * 1024;

/// Why an expression cannot be used at all.
#[derive(Debug, PartialEq)]
pub struct Invalid {
    /// What is wrong, for people.
    pub message: String,
    /// Where, in bytes from the start of the expression.
    pub offset: usize,
}

/// Why an expression has no outcome.
#[derive(Debug, PartialEq)]
pub enum Failure {
    /// It cannot be used at all.
    Invalid(Invalid),
    /// It gives something else than true or false.
    NotBool(&'static str),
    /// It fails on these variables.
    Failed(String),
}

/// Whether `expression` can be understood.
pub fn check(expression: &str) -> Result<(), Invalid> {
    parse(expression).map(|_| ())
}

/// Judges `expression` over `variables`.
pub fn evaluate(expression: &str, variables: Map<String, serde_json::Value>) -> Result<bool, Failure> {
    let program = parse(expression).map_err(Failure::Invalid)?;
    let mut context = Context::default();
    for (name, value) in variables {
        context.add_variable_from_value(name, to_cel(value));
    }
    match Value::resolve(&program, &context) {
        Ok(Value::Bool(outcome)) => Ok(outcome),
        Ok(other) => Err(Failure::NotBool(kind(&other))),
        Err(error) => Err(Failure::Failed(describe(&error))),
    }
}

/// By the library's Pratt parser, a port of the one of CEL's authors. Its other parser, made by ANTLR, sets up tables for
/// three milliseconds in every fresh instance; a test compares the two.
fn parse(expression: &str) -> Result<Expression, Invalid> {
    if expression.len() > EXPRESSION_BYTES_MAX {
        let message = format!("longer than {EXPRESSION_BYTES_MAX} bytes");
        return Err(Invalid { message, offset: EXPRESSION_BYTES_MAX });
    }
    PrattParser::new().parse(expression).map_err(|errors| invalid(expression, &errors))
}

/// The first error is the one worth reading: the rest are what the parser made of it.
fn invalid(expression: &str, errors: &ParseErrors) -> Invalid {
    let Some(first) = errors.errors.first() else {
        return Invalid { message: "not an expression".to_owned(), offset: 0 };
    };
    let (line, column) = (first.pos.0.max(1) as usize, first.pos.1.max(0) as usize);
    let mut lines = expression.split_inclusive('\n');
    let line_at: usize = lines.clone().take(line - 1).map(str::len).sum();
    let within = lines.nth(line - 1).unwrap_or_default();
    // Columns are counted from 1, in characters.
    let column_at = within.char_indices().nth(column.saturating_sub(1)).map_or(within.len(), |(at, _)| at);
    Invalid { message: first.msg.clone(), offset: line_at + column_at }
}

/// Says what failed without repeating values: a message ends up in a journal that more people read than the variables.
fn describe(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("there is no `{key}`"),
        ExecutionError::UndeclaredReference(name) => format!("there is no variable or function `{name}`"),
        ExecutionError::NoSuchOverload(overload) => overload.to_string(),
        ExecutionError::InvalidArgumentCount { expected, actual } => {
            format!("a function takes {expected} arguments, not {actual}")
        }
        ExecutionError::UnexpectedType { got, want } => format!("expected {want}, not {got}"),
        ExecutionError::UnsupportedBinaryOperator(operator, left, right) => {
            format!("`{operator}` does not take {} and {}", kind(left), kind(right))
        }
        ExecutionError::ValuesNotComparable(left, right) => {
            format!("{} and {} cannot be compared", kind(left), kind(right))
        }
        ExecutionError::FunctionError { function, message } => format!("`{function}`: {message}"),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "division by zero".to_owned(),
        ExecutionError::Overflow(operator, ..) => format!("`{operator}` overflows"),
        ExecutionError::IndexOutOfBounds(_) => "an index is out of bounds".to_owned(),
        _ => "the expression cannot be evaluated".to_owned(),
    }
}

/// Not `cel::to_value`, which makes unsigned numbers of all positive ones, and those do not add up with literals.
fn to_cel(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(value),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::Int(number),
            (None, Some(number)) => Value::UInt(number),
            (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => text.into(),
        serde_json::Value::Array(items) => items.into_iter().map(to_cel).collect::<Vec<_>>().into(),
        serde_json::Value::Object(fields) => {
            fields.into_iter().map(|(key, value)| (key, to_cel(value))).collect::<HashMap<_, _>>().into()
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
        Value::Int(_) | Value::UInt(_) | Value::Float(_) => "a number",
        Value::String(_) => "a string",
        Value::Bytes(_) => "bytes",
        Value::Bool(_) => "true or false",
        Value::Null => "null",
        _ => "something else",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn eval(expression: &str, variables: serde_json::Value) -> Result<bool, Failure> {
        evaluate(expression, variables.as_object().unwrap().clone())
    }

    #[test]
    fn an_expression_judges_the_variables_of_the_run() {
        let variables = json!({ "feedback": { "approved": true, "score": 7, "tags": ["a", "b"] }, "draft": "text" });
        for (expression, outcome) in [
            ("feedback.approved", true),
            ("feedback.score > 8", false),
            ("feedback.score >= 7 && size(draft) < 10", true),
            ("'b' in feedback.tags", true),
            ("feedback.tags.exists(t, t == 'c')", false),
            ("has(feedback.note)", false),
            ("draft.matches('^t.*t$')", true),
            ("feedback.score / 2 == 3", true),
        ] {
            assert_eq!(eval(expression, variables.clone()), Ok(outcome), "{expression}");
        }
    }

    #[test]
    fn whole_numbers_are_integers_and_others_are_not() {
        assert_eq!(eval("a == 1 && type(a) == int", json!({ "a": 1 })), Ok(true));
        assert_eq!(eval("b > 1.4 && type(b) == double", json!({ "b": 1.5 })), Ok(true));
        assert_eq!(eval("c == null", json!({ "c": null })), Ok(true));
    }

    #[test]
    fn whatever_is_not_true_or_false_is_an_error() {
        assert_eq!(eval("1 + 1", json!({})), Err(Failure::NotBool("a number")));
        assert_eq!(eval("a", json!({ "a": "true" })), Err(Failure::NotBool("a string")));
    }

    #[test]
    fn an_expression_that_cannot_be_read_says_where() {
        assert_eq!(check("a == 'b'"), Ok(()));
        assert_eq!(check("a && (b").unwrap_err().offset, 7);
        assert_eq!(check("'ä' &&\n  && b").unwrap_err().offset, 10);
        assert!(check("").is_err());
        assert_eq!(check(&" ".repeat(EXPRESSION_BYTES_MAX + 1)).unwrap_err().offset, EXPRESSION_BYTES_MAX);
    }

    #[test]
    fn both_parsers_of_the_library_read_the_same() {
        for expression in [
            "a.b.c == 1 || !d && e != null",
            "1 + 2 * 3 - -4 / 5 % 6 < 7.5e1 && 8u >= 0x9u",
            "a ? b : c ? d : e",
            "'it' in ['a', \"b\", r'\\c', b'd', '''e\nf'''] || {'a': 1, 'b': [2]}['a'] == 1",
            "a.exists(x, x > 1) && a.all(x, x < 9) && a.filter(x, has(x.y)).map(x, x.y).size() > 0",
            "timestamp('2026-01-02T03:04:05Z') - duration('1h') < now && string(1).startsWith('1')",
            "a[0].b['c d'](1, 2)",
            "a &&",
            "(a",
            "a b",
            "'open",
            "a..b",
            "1 +* 2",
        ] {
            let (ours, theirs) = (PrattParser::new().parse(expression), cel::Program::compile(expression));
            match (ours, theirs) {
                (Ok(ours), Ok(theirs)) => assert!(same(&ours, theirs.expression()), "{expression}"),
                (ours, theirs) => assert_eq!(ours.is_ok(), theirs.is_ok(), "{expression}"),
            }
        }
    }

    /// Whether two trees say the same: the numbers of their nodes may differ.
    fn same(one: &Expression, other: &Expression) -> bool {
        without_ids(&format!("{one:?}")) == without_ids(&format!("{other:?}"))
    }

    fn without_ids(text: &str) -> String {
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("id: ") {
            plain.push_str(&rest[..at]);
            rest = rest[at + 4..].trim_start_matches(|c: char| c.is_ascii_digit());
        }
        plain + rest
    }

    #[test]
    fn a_missing_variable_or_key_is_named() {
        assert_eq!(eval("nope", json!({})), Err(Failure::Failed("there is no variable or function `nope`".into())));
        assert_eq!(eval("a.b == 1", json!({ "a": {} })), Err(Failure::Failed("there is no `b`".into())));
    }

    #[test]
    fn a_failure_does_not_repeat_values() {
        for expression in ["secret > 1", "secret + 1 == 2", "secret[3] == 1", "{secret: 1}[2] == 1"] {
            let Err(Failure::Failed(message)) = eval(expression, json!({ "secret": "hunter2" })) else {
                panic!("{expression} did not fail")
            };
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
