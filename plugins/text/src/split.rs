//! `text.split`: cuts a text at a separator or at what a regular expression finds.

use serde::{Deserialize, Serialize};

use crate::{InvalidInput, pattern};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Input {
    text: String,
    separator: Option<String>,
    pattern: Option<String>,
    #[serde(default)]
    trim: bool,
    #[serde(default)]
    omit_empty: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Output {
    parts: Vec<String>,
    count: usize,
}

pub(crate) fn split(input: Input) -> Result<Output, InvalidInput> {
    let parts: Vec<&str> = match (&input.separator, &input.pattern) {
        (Some(separator), None) if !separator.is_empty() => input.text.split(separator.as_str()).collect(),
        (None, Some(pattern)) => pattern::compile(pattern, false)?.split(&input.text).collect(),
        (None, None) => input.text.lines().collect(),
        _ => return Err(InvalidInput("give either a `separator` that is not empty or a `pattern`".to_owned())),
    };
    let parts: Vec<String> = parts
        .into_iter()
        .map(|part| if input.trim { part.trim() } else { part })
        .filter(|part| !(input.omit_empty && part.is_empty()))
        .map(str::to_owned)
        .collect();
    Ok(Output { count: parts.len(), parts })
}

#[cfg(test)]
mod tests {
    use crate::{InvalidInput, call};
    use serde_json::{Value, json};

    fn split(input: Value) -> Result<Value, InvalidInput> {
        call("text.split", &input.to_string())
            .map(|output| serde_json::from_str::<Value>(&output).unwrap()["parts"].clone())
    }

    #[test]
    fn a_text_is_cut_at_a_separator_a_pattern_or_its_lines() {
        assert_eq!(split(json!({ "text": "a.b", "separator": "." })), Ok(json!(["a", "b"])));
        assert_eq!(split(json!({ "text": "a1b22c", "pattern": r"\d+" })), Ok(json!(["a", "b", "c"])));
        assert_eq!(split(json!({ "text": "a\r\nb\n" })), Ok(json!(["a", "b"])));
    }

    #[test]
    fn parts_are_trimmed_and_empty_ones_left_out_on_request() {
        let input = json!({ "text": "a , , b", "separator": ",", "trim": true, "omitEmpty": true });
        assert_eq!(split(input), Ok(json!(["a", "b"])));
    }

    #[test]
    fn a_separator_and_a_pattern_at_once_and_an_empty_separator_are_refused() {
        assert!(split(json!({ "text": "a", "separator": ",", "pattern": "," })).is_err());
        assert!(split(json!({ "text": "a", "separator": "" })).is_err());
    }
}
