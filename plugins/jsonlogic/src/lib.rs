//! The `jsonlogic` plugin: judges conditions in [JSONLogic](https://jsonlogic.com), written as JSON text. `{"var": "draft.title"}`
//! is a variable of the run, or a part of it.

#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "the generated half of the component's interface speaks raw pointers")]
mod guest;

use datalogic_rs::bumpalo::Bump;
use datalogic_rs::{DataValue, Engine, Error, ErrorKind, Logic};
use serde_json::{Map, Value};

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
    compile(&Engine::new(), expression).map(|_| ())
}

/// Judges `expression` over `variables`.
pub fn evaluate(expression: &str, variables: Map<String, Value>) -> Result<bool, Failure> {
    let engine = Engine::new();
    let logic = compile(&engine, expression).map_err(Failure::Invalid)?;
    let arena = Bump::new();
    match engine.evaluate(&logic, &Value::Object(variables), &arena) {
        Ok(DataValue::Bool(outcome)) => Ok(*outcome),
        Ok(other) => Err(Failure::NotBool(kind(other))),
        Err(error) => Err(Failure::Failed(describe(&error))),
    }
}

fn compile(engine: &Engine, expression: &str) -> Result<Logic, Invalid> {
    if expression.len() > EXPRESSION_BYTES_MAX {
        let message = format!("longer than {EXPRESSION_BYTES_MAX} bytes");
        return Err(Invalid { message, offset: EXPRESSION_BYTES_MAX });
    }
    // By this parser first: it says where, and it bounds the depth, by which all that follows recurses.
    let rule: Value = serde_json::from_str(expression)
        .map_err(|error| Invalid { message: format!("not JSON: {error}"), offset: place(expression, &error) })?;
    let known: Vec<&str> = engine.builtin_operator_names().collect();
    if let Some((message, name)) = misuse(&rule, &known) {
        let offset = expression.find(&format!("\"{name}\"")).unwrap_or(0);
        return Err(Invalid { message, offset });
    }
    // What is constant is computed here, and can fail here already: that depends on no variable.
    engine.compile(&rule).map_err(|error| Invalid { message: describe(&error), offset: 0 })
}

/// What is wrong with the first object that is not an operator with its arguments, and a key of it.
fn misuse<'a>(rule: &'a Value, known: &[&str]) -> Option<(String, &'a str)> {
    match rule {
        Value::Array(items) => items.iter().find_map(|item| misuse(item, known)),
        Value::Object(fields) => {
            let (name, arguments) = fields.iter().next()?;
            if fields.len() > 1 {
                return Some(("an object with more than one key is no operation".to_owned(), name));
            }
            if !known.contains(&name.as_str()) {
                return Some((format!("there is no operator `{name}`"), name));
            }
            misuse(arguments, known)
        }
        _ => None,
    }
}

/// Where the parser stopped: it counts lines and the bytes in them, both from 1.
fn place(expression: &str, error: &serde_json::Error) -> usize {
    let before: usize = expression.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    (before + error.column().saturating_sub(1)).min(expression.len())
}

/// Says what failed without repeating values: a message ends up in a journal that more people read than the variables.
fn describe(error: &Error) -> String {
    let what = match &error.kind {
        ErrorKind::InvalidOperator(name) => return format!("there is no operator `{name}`"),
        ErrorKind::InvalidArguments(_) => "its arguments do not fit",
        ErrorKind::VariableNotFound(_) => "there is no such variable",
        ErrorKind::InvalidContextLevel(_) => "there are not as many levels around it",
        ErrorKind::TypeError(_) => "its arguments have types that do not fit",
        ErrorKind::ArithmeticError(_) => "it does not compute",
        ErrorKind::IndexOutOfBounds { .. } => "an index is out of bounds",
        // What arithmetic on something else than numbers throws.
        ErrorKind::Thrown(_) => "it does not compute, or not to a number",
        _ => "it cannot be evaluated",
    };
    match error.operator() {
        Some(operator) => format!("`{operator}`: {what}"),
        None => what.to_owned(),
    }
}

fn kind(value: &DataValue<'_>) -> &'static str {
    match value {
        DataValue::Null => "null",
        DataValue::Bool(_) => "true or false",
        DataValue::Number(_) => "a number",
        DataValue::String(_) => "a string",
        DataValue::Array(_) => "a list",
        DataValue::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn eval(expression: &Value, variables: Value) -> Result<bool, Failure> {
        let Value::Object(variables) = variables else { panic!("the variables are no object") };
        evaluate(&expression.to_string(), variables)
    }

    #[test]
    fn an_expression_judges_the_variables_of_the_run() {
        let variables = json!({ "feedback": { "approved": true, "score": 7, "tags": ["a", "b"] }, "draft": "text" });
        for (expression, outcome) in [
            (json!({ "var": "feedback.approved" }), true),
            (json!({ ">": [{ "var": "feedback.score" }, 8] }), false),
            (
                json!({ "and": [{ "==": [{ "var": "draft" }, "text"] }, { "<=": [7, { "var": "feedback.score" }, 9] }] }),
                true,
            ),
            (json!({ "in": ["b", { "var": "feedback.tags" }] }), true),
            (json!({ "some": [{ "var": "feedback.tags" }, { "===": [{ "var": "" }, "c"] }] }), false),
            (json!({ "all": [{ "var": "feedback.tags" }, { "in": [{ "var": "" }, "abc"] }] }), true),
            (json!({ "!": { "var": "feedback.note" } }), true),
            (json!({ "!!": [{ "missing": ["draft", "review"] }] }), true),
            (
                json!({ "==": [{ "reduce": [[1, 2, 3], { "+": [{ "var": "current" }, { "var": "accumulator" }] }, 0] }, 6] }),
                true,
            ),
            (json!({ "if": [{ "var": "nope" }, false, true] }), true),
            (json!(true), true),
        ] {
            assert_eq!(check(&expression.to_string()), Ok(()), "{expression}");
            assert_eq!(eval(&expression, variables.clone()), Ok(outcome), "{expression}");
        }
    }

    #[test]
    fn whatever_is_not_true_or_false_is_an_error() {
        for (expression, kind) in [
            (json!({ "+": [1, 1] }), "a number"),
            (json!({ "var": "a" }), "a string"),
            (json!({ "var": "nope" }), "null"),
            (json!([]), "a list"),
            (json!({ "and": [true, 1] }), "a number"),
        ] {
            assert_eq!(eval(&expression, json!({ "a": "true" })), Err(Failure::NotBool(kind)), "{expression}");
        }
    }

    #[test]
    fn what_is_not_json_says_where() {
        assert_eq!(check("{\"==\": [1,\n 2}").unwrap_err().offset, 13);
        assert_eq!(check("feedback.approved").unwrap_err().offset, 1);
        assert!(check("").is_err());
        assert_eq!(check(&" ".repeat(EXPRESSION_BYTES_MAX + 1)).unwrap_err().offset, EXPRESSION_BYTES_MAX);
        assert!(check(&"[".repeat(10_000)).is_err());
    }

    #[test]
    fn an_unknown_operator_is_named_wherever_it_is() {
        let invalid = check(r#"{"and": [true, {"approves": 1}]}"#).unwrap_err();
        assert_eq!(invalid, Invalid { message: "there is no operator `approves`".to_owned(), offset: 16 });
        assert!(check(r#"{"now": []}"#).is_err());
        assert!(check(r#"{"==": [1, 1], "!=": [1, 2]}"#).unwrap_err().message.contains("more than one key"));
        assert!(matches!(eval(&json!({ "approves": 1 }), json!({})), Err(Failure::Invalid(_))));
    }

    #[test]
    fn a_failure_does_not_repeat_values() {
        for expression in [
            json!({ ">": [{ "+": [{ "var": "secret" }, 1] }, 1] }),
            json!({ "<": [{ "%": [{ "var": "secret" }, 0] }, 1] }),
            json!({ "==": [{ "var": "list" }, { "var": "secret" }] }),
        ] {
            match eval(&expression, json!({ "secret": "hunter2", "list": [1] })) {
                Err(Failure::Failed(message)) => assert!(!message.contains("hunter2"), "{message}"),
                other => panic!("{expression} did not fail: {other:?}"),
            }
        }
    }

    #[test]
    fn numbers_compare_as_those_of_javascript() {
        let equal = |a: Value, b: Value| eval(&json!({ "===": [{ "var": "a" }, b] }), json!({ "a": a }));
        assert_eq!(equal(json!(1), json!(1.0)), Ok(true));
        // Beyond 2^53 neighbours are one number.
        assert_eq!(equal(json!(9_007_199_254_740_993_i64), json!(9_007_199_254_740_992_i64)), Ok(true));
    }
}
