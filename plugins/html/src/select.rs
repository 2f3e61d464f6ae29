//! `html.select`: the elements that a CSS selector matches.

use crate::{HTML_CHARS_MAX, SELECTOR_CHARS_MAX, matcher};
use armilla_plugin::Error;
use dom_query::Document;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many elements a call gives that does not say.
const MATCHES_DEFAULT: usize = 100;

/// How many elements a call can ask for.
const MATCHES_MAX: usize = 1_000;

/// A document, and what to look for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// The HTML text.
    #[schemars(length(max = HTML_CHARS_MAX))]
    html: String,
    /// The CSS selector, for example `table.prices td:first-child`.
    #[schemars(length(min = 1, max = SELECTOR_CHARS_MAX))]
    selector: String,
    /// How many elements to give at most.
    #[serde(default = "matches_default")]
    #[schemars(range(min = 1, max = MATCHES_MAX))]
    limit: usize,
}

fn matches_default() -> usize {
    MATCHES_DEFAULT
}

/// What was found.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Output {
    /// The elements, in the order of the document.
    matches: Vec<Match>,
    /// How many there are, those beyond the limit included.
    total: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Match {
    /// The element's text, without surplus blanks.
    text: String,
    /// The element as HTML, its own tag included.
    html: String,
    /// The element's attributes by name.
    attributes: BTreeMap<String, String>,
}

pub(crate) fn select(input: Input) -> Result<Output, Error> {
    let matcher = matcher(&input.selector)?;
    let document = Document::from(input.html);
    let found = document.select_matcher(&matcher);
    let matches = found.nodes().iter().take(input.limit).map(|element| Match {
        text: element.text().split_whitespace().collect::<Vec<_>>().join(" "),
        html: element.html().to_string(),
        attributes: element
            .attrs()
            .iter()
            .map(|attribute| (attribute.name.local.to_string(), attribute.value.to_string()))
            .collect(),
    });
    Ok(Output { matches: matches.collect(), total: found.length() })
}

#[cfg(test)]
mod tests {
    use crate::tests::call;
    use armilla_plugin::Code;
    use serde_json::json;

    #[test]
    fn elements_come_with_text_html_and_attributes() {
        let html = "<ul><li class='x y' data-n=1>one <b>1</b></li><li>two</li><li class=x>three</li></ul>";
        assert_eq!(
            call("html.select", &json!({ "html": html, "selector": "li.x" })).unwrap(),
            json!({
                "matches": [
                    {
                        "text": "one 1",
                        "html": "<li class=\"x y\" data-n=\"1\">one <b>1</b></li>",
                        "attributes": { "class": "x y", "data-n": "1" },
                    },
                    { "text": "three", "html": "<li class=\"x\">three</li>", "attributes": { "class": "x" } },
                ],
                "total": 2,
            })
        );
    }

    #[test]
    fn the_rest_beyond_the_limit_is_only_counted() {
        let output = call("html.select", &json!({ "html": "<p>1<p>2<p>3", "selector": "p", "limit": 1 })).unwrap();
        assert_eq!((output["matches"].as_array().unwrap().len(), &output["total"]), (1, &json!(3)));
    }

    #[test]
    fn nothing_found_is_an_answer() {
        let output = call("html.select", &json!({ "html": "<p>a", "selector": "div" })).unwrap();
        assert_eq!(output, json!({ "matches": [], "total": 0 }));
    }

    #[test]
    fn what_is_not_a_selector_is_refused() {
        for selector in ["", "li[", "a >", "::nope"] {
            let error = call("html.select", &json!({ "html": "", "selector": selector })).unwrap_err();
            assert_eq!(error.code(), Code::InvalidInput, "{selector}");
        }
    }
}
