//! Compiling and running a jq program.

use jaq_core::load::{self, Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, data};
use jaq_json::{Num, Val};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value, json};

/// How many results a call gives that does not say: enough for lists, little enough to read in a journal.
pub const RESULTS_DEFAULT: usize = 1_000;

/// The standard filters that read something besides their input.
const IMPURE_FILTERS: [&str; 2] = ["env", "now"];

/// What the tool takes; `tools/jq.json` says the same for callers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    filter: String,
    #[serde(default)]
    input: Val,
    #[serde(default)]
    args: Map<String, Value>,
    #[serde(default = "results_default")]
    limit: usize,
}

fn results_default() -> usize {
    RESULTS_DEFAULT
}

/// What the tool gives.
#[derive(Debug, PartialEq, Serialize)]
pub struct Output {
    results: Vec<Value>,
    first: Value,
    truncated: bool,
}

/// Why there is no output.
#[derive(Debug, PartialEq)]
pub enum Failure {
    /// The program cannot be understood.
    Invalid {
        /// What is wrong with it.
        message: String,
        /// Where, in bytes from the start of the program, if that is known.
        offset: Option<usize>,
    },
    /// The program failed on this input.
    Failed(String),
}

/// Runs the program of `input` and collects its results.
pub fn run(input: Input) -> Result<Output, Failure> {
    let names: Vec<String> = input.args.keys().map(|name| format!("${name}")).collect();
    let values = input
        .args
        .values()
        .map(|value| Val::deserialize(value).map_err(|error| Failure::Failed(error.to_string())))
        .collect::<Result<Vec<_>, _>>()?;

    let arena = Arena::default();
    let filter = compile(&arena, &input.filter, &names)?;
    let context = Ctx::<data::JustLut<Val>>::new(&filter.lut, Vars::new(values));
    let mut results = Vec::new();
    let mut truncated = false;
    for result in filter.id.run((context, input.input)) {
        if results.len() == input.limit {
            truncated = true;
            break;
        }
        match result {
            Ok(value) => results.push(to_json(&value)?),
            Err(exception) => match exception.get_err() {
                Ok(error) => {
                    return Err(Failure::Failed(match error.into_val() {
                        Val::TStr(message) => String::from_utf8_lossy(&message).into_owned(),
                        value => value.to_string(),
                    }));
                }
                // `halt` ends the program early and well; `halt_error` and other codes say that it did not go well.
                Err(other) => match other.get_halt() {
                    Ok(0) => break,
                    Ok(code) => return Err(Failure::Failed(format!("the program halted with code {code}"))),
                    Err(_) => return Err(Failure::Failed("`break` outside of its label".to_owned())),
                },
            },
        }
    }
    Ok(Output { first: results.first().cloned().unwrap_or_default(), results, truncated })
}

fn compile<'a>(
    arena: &'a Arena,
    code: &'a str,
    variables: &[String],
) -> Result<jaq_core::Filter<data::JustLut<Val>>, Failure> {
    let definitions = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let modules = Loader::new(definitions)
        .load(arena, File { code, path: () })
        .map_err(|errors| load_failure(code, errors.into_iter().map(|(_, error)| error)))?;
    let functions = jaq_core::funs()
        .chain(jaq_std::funs())
        .chain(jaq_json::funs())
        .filter(|(name, ..)| !IMPURE_FILTERS.contains(name));
    Compiler::default()
        .with_funs(functions)
        .with_global_vars(variables.iter().map(String::as_str))
        .compile(modules)
        .map_err(|errors| {
            let undefined = errors.iter().flat_map(|(_, undefined)| undefined);
            let names: Vec<String> =
                undefined.clone().map(|(name, kind)| format!("undefined {} `{name}`", kind.as_str())).collect();
            let offset = undefined.map(|(name, _)| offset(code, name)).next().flatten();
            Failure::Invalid { message: names.join(", "), offset }
        })
}

fn load_failure<'a>(code: &str, errors: impl Iterator<Item = load::Error<&'a str>>) -> Failure {
    let faults: Vec<(String, Option<usize>)> = errors
        .flat_map(|error| match error {
            load::Error::Lex(errors) => {
                errors.into_iter().map(|(expected, at)| (expected.as_str().to_owned(), offset(code, at))).collect()
            }
            load::Error::Parse(errors) => {
                errors.into_iter().map(|(expected, at)| (expected.as_str().to_owned(), offset(code, at))).collect()
            }
            load::Error::Io(errors) => {
                errors.into_iter().map(|(path, _)| (format!("no import of `{path}`"), None)).collect::<Vec<_>>()
            }
        })
        .collect();
    let Some((expected, offset)) = faults.into_iter().next() else {
        return Failure::Invalid { message: "the program cannot be read".to_owned(), offset: None };
    };
    let place = offset.map_or(String::new(), |offset| format!(" at byte {offset}"));
    Failure::Invalid { message: format!("expected {expected}{place}"), offset }
}

/// Where `part` lies in `code`, if it is a piece of it.
fn offset(code: &str, part: &str) -> Option<usize> {
    let (start, at) = (code.as_ptr() as usize, part.as_ptr() as usize);
    (start..=start + code.len()).contains(&at).then(|| at - start)
}

/// jaq's values are a superset of JSON: what JSON has no word for becomes what jq writes for it, or is an error.
fn to_json(value: &Val) -> Result<Value, Failure> {
    Ok(match value {
        Val::Null => Value::Null,
        Val::Bool(value) => Value::Bool(*value),
        Val::Num(Num::Float(value)) if value.is_nan() => Value::Null,
        Val::Num(Num::Float(value)) if value.is_infinite() => json!(f64::MAX.copysign(*value)),
        Val::Num(number) => Value::Number(
            number
                .to_string()
                .parse::<Number>()
                .map_err(|_| Failure::Failed(format!("{number} is not a number that JSON can hold")))?,
        ),
        Val::TStr(text) => Value::String(String::from_utf8_lossy(text).into_owned()),
        Val::BStr(_) => return Err(Failure::Failed("a result holds bytes, which JSON cannot".to_owned())),
        Val::Arr(items) => Value::Array(items.iter().map(to_json).collect::<Result<_, _>>()?),
        Val::Obj(fields) => Value::Object(
            fields
                .iter()
                .map(|(key, value)| match key {
                    Val::TStr(key) => Ok((String::from_utf8_lossy(key).into_owned(), to_json(value)?)),
                    other => Err(Failure::Failed(format!("a result has the key {other}, which is not a string"))),
                })
                .collect::<Result<_, _>>()?,
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jq(input: Value) -> Result<Value, Failure> {
        run(serde_json::from_value(input).unwrap()).map(|output| serde_json::to_value(output).unwrap())
    }

    fn first(filter: &str, input: Value) -> Value {
        jq(json!({ "filter": filter, "input": input })).unwrap()["first"].clone()
    }

    #[test]
    fn a_program_gives_all_its_results_and_the_first_by_name() {
        let output = jq(json!({ "filter": ".[] | . * 2", "input": [1, 2, 3] })).unwrap();
        assert_eq!(output, json!({ "results": [2, 4, 6], "first": 2, "truncated": false }));
    }

    #[test]
    fn a_program_without_results_has_null_as_its_first() {
        assert_eq!(
            jq(json!({ "filter": "empty" })).unwrap(),
            json!({ "results": [], "first": null, "truncated": false })
        );
    }

    #[test]
    fn variables_are_seen_by_their_names() {
        let output = jq(json!({ "filter": "[$b, $a]", "args": { "a": 1, "b": { "c": [2] } } })).unwrap();
        assert_eq!(output["first"], json!([{ "c": [2] }, 1]));
    }

    #[test]
    fn an_endless_program_is_stopped_at_the_limit() {
        let output = jq(json!({ "filter": "repeat(1)", "limit": 3 })).unwrap();
        assert_eq!(output, json!({ "results": [1, 1, 1], "first": 1, "truncated": true }));
    }

    #[test]
    fn the_standard_filters_are_there() {
        assert_eq!(first("map(.v) | add", json!([{ "v": 1 }, { "v": 2.5 }])), json!(3.5));
        assert_eq!(first("group_by(.k) | map(length)", json!([{ "k": 1 }, { "k": 2 }, { "k": 1 }])), json!([2, 1]));
        assert_eq!(first("sub(\"(?<a>b+)\"; \"<\\(.a)>\")", json!("abbc")), json!("a<bb>c"));
        assert_eq!(first("@base64", json!("hi")), json!("aGk="));
        assert_eq!(first("pow(2; 10)", json!(null)), json!(1024.0));
        assert_eq!(first("0 | todate", json!(null)), json!("1970-01-01T00:00:00Z"));
        assert_eq!(first("to_entries[0].key", json!({ "z": 1, "a": 2 })), json!("z"));
    }

    #[test]
    fn numbers_survive_as_they_are() {
        assert_eq!(first(".", json!(9_007_199_254_740_993_i64)), json!(9_007_199_254_740_993_i64));
        assert_eq!(first(".", json!(0.1)), json!(0.1));
        assert_eq!(first("nan", json!(null)), json!(null));
        assert_eq!(first("infinite", json!(null)), json!(f64::MAX));
    }

    #[test]
    fn what_the_clock_or_the_environment_says_cannot_be_asked() {
        for filter in ["now", "env", "$ENV"] {
            assert!(matches!(jq(json!({ "filter": filter })), Err(Failure::Invalid { .. })), "{filter}");
        }
    }

    #[test]
    fn a_program_that_cannot_be_read_says_where() {
        let Err(Failure::Invalid { message, offset }) = jq(json!({ "filter": ".a | (.b" })) else {
            panic!("it was read")
        };
        assert_eq!(offset, Some(8), "{message}");
        let Err(Failure::Invalid { message, offset }) = jq(json!({ "filter": ".a | nonesuch" })) else {
            panic!("it was compiled")
        };
        assert_eq!((message.as_str(), offset), ("undefined filter `nonesuch`", Some(5)));
    }

    #[test]
    fn a_program_that_fails_says_why() {
        assert_eq!(jq(json!({ "filter": "error(\"no\")" })), Err(Failure::Failed("no".to_owned())));
        assert!(matches!(jq(json!({ "filter": ".a", "input": 1 })), Err(Failure::Failed(_))));
        assert!(matches!(jq(json!({ "filter": "halt_error" })), Err(Failure::Failed(_))));
    }

    #[test]
    fn what_json_cannot_hold_is_an_error() {
        assert!(matches!(jq(json!({ "filter": "{(1): 2}" })), Err(Failure::Failed(_))));
    }

    #[test]
    fn the_tool_describes_itself_in_json() {
        let tool: Value = serde_json::from_str(crate::TOOL).unwrap();
        assert_eq!(tool["name"], "jq");
        assert_eq!(tool["inputSchema"]["properties"]["limit"]["default"], json!(RESULTS_DEFAULT));
    }
}
