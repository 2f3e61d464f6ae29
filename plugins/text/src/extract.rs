//! `text.extract`: what a regular expression finds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{InvalidInput, pattern};

const MATCHES_DEFAULT: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Input {
    text: String,
    pattern: String,
    #[serde(default)]
    ignore_case: bool,
    #[serde(default = "matches_default")]
    limit: usize,
}

fn matches_default() -> usize {
    MATCHES_DEFAULT
}

#[derive(Debug, Serialize)]
pub(crate) struct Output {
    matches: Vec<Match>,
    first: Option<String>,
    count: usize,
}

#[derive(Debug, Serialize)]
struct Match {
    text: String,
    groups: Vec<Option<String>>,
    named: BTreeMap<String, Option<String>>,
}

pub(crate) fn extract(input: Input) -> Result<Output, InvalidInput> {
    let regex = pattern::compile(&input.pattern, input.ignore_case)?;
    let matches: Vec<Match> = regex
        .captures_iter(&input.text)
        .take(input.limit)
        .map(|captures| {
            let text = |group: Option<regex::Match<'_>>| group.map(|group| group.as_str().to_owned());
            Match {
                text: captures[0].to_owned(),
                groups: captures.iter().skip(1).map(text).collect(),
                named: regex
                    .capture_names()
                    .flatten()
                    .map(|name| (name.to_owned(), text(captures.name(name))))
                    .collect(),
            }
        })
        .collect();
    let first = matches.first().map(|first| first.groups.iter().flatten().next().unwrap_or(&first.text).clone());
    Ok(Output { count: matches.len(), first, matches })
}

#[cfg(test)]
mod tests {
    use crate::call;
    use serde_json::{Value, json};

    fn extract(input: Value) -> Value {
        serde_json::from_str(&call("text.extract", &input.to_string()).unwrap()).unwrap()
    }

    #[test]
    fn all_matches_come_with_their_groups() {
        let output = extract(json!({ "text": "a=1, b=", "pattern": r"(?<key>\w)=(\d)?" }));
        assert_eq!(
            output["matches"],
            json!([
                { "text": "a=1", "groups": ["a", "1"], "named": { "key": "a" } },
                { "text": "b=", "groups": ["b", null], "named": { "key": "b" } }
            ])
        );
        assert_eq!((&output["first"], &output["count"]), (&json!("a"), &json!(2)));
    }

    #[test]
    fn nothing_found_is_an_answer_not_an_error() {
        assert_eq!(
            extract(json!({ "text": "a", "pattern": "b" })),
            json!({ "matches": [], "first": null, "count": 0 })
        );
    }

    #[test]
    fn case_counts_unless_it_is_said_not_to() {
        assert_eq!(extract(json!({ "text": "ÄB", "pattern": "äb" }))["count"], 0);
        assert_eq!(extract(json!({ "text": "ÄB", "pattern": "äb", "ignoreCase": true }))["first"], "ÄB");
    }

    #[test]
    fn a_limit_stops_the_search() {
        assert_eq!(extract(json!({ "text": "aaaa", "pattern": "a", "limit": 2 }))["count"], 2);
    }

    #[test]
    fn a_bad_or_exploding_pattern_is_refused() {
        for pattern in ["(", r"(\w{100}){100}{100}"] {
            let error = call("text.extract", &json!({ "text": "a", "pattern": pattern }).to_string()).unwrap_err();
            assert!(error.0.starts_with("the pattern is not a regular expression"), "{}", error.0);
        }
    }
}
