//! `text.replace`: puts something else where a regular expression or a literal is found.

use serde::{Deserialize, Serialize};

use crate::{InvalidInput, pattern};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Input {
    text: String,
    pattern: String,
    replacement: String,
    #[serde(default)]
    ignore_case: bool,
    #[serde(default)]
    literal: bool,
    limit: Option<usize>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Output {
    text: String,
    count: usize,
}

pub(crate) fn replace(input: Input) -> Result<Output, InvalidInput> {
    let pattern = if input.literal { regex::escape(&input.pattern) } else { input.pattern };
    let regex = pattern::compile(&pattern, input.ignore_case)?;
    let (mut text, mut rest_at, mut count) = (String::with_capacity(input.text.len()), 0, 0);
    for captures in regex.captures_iter(&input.text).take(input.limit.unwrap_or(usize::MAX)) {
        let found = captures.get_match();
        text.push_str(&input.text[rest_at..found.start()]);
        if input.literal {
            text.push_str(&input.replacement);
        } else {
            captures.expand(&input.replacement, &mut text);
        }
        rest_at = found.end();
        count += 1;
    }
    text.push_str(&input.text[rest_at..]);
    Ok(Output { text, count })
}

#[cfg(test)]
mod tests {
    use crate::call;
    use serde_json::{Value, json};

    fn replace(input: Value) -> Value {
        serde_json::from_str(&call("text.replace", &input.to_string()).unwrap()).unwrap()
    }

    #[test]
    fn groups_are_put_into_the_replacement() {
        let output =
            replace(json!({ "text": "Doe, Jane", "pattern": r"(\w+), (?<given>\w+)", "replacement": "${given} $1" }));
        assert_eq!(output, json!({ "text": "Jane Doe", "count": 1 }));
    }

    #[test]
    fn a_literal_means_nothing_but_itself_on_both_sides() {
        let output = replace(json!({ "text": "1+1 1+1", "pattern": "1+1", "replacement": "$0", "literal": true }));
        assert_eq!(output, json!({ "text": "$0 $0", "count": 2 }));
    }

    #[test]
    fn a_limit_leaves_the_rest_as_it_is() {
        let output = replace(json!({ "text": "aaa", "pattern": "a", "replacement": "b", "limit": 2 }));
        assert_eq!(output, json!({ "text": "bba", "count": 2 }));
    }
}
