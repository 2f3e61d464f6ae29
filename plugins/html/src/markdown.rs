//! `html.to_markdown`: a document as people write it.

use crate::{HTML_CHARS_MAX, SELECTOR_CHARS_MAX, matcher};
use armilla_plugin::Error;
use dom_query::Document;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A document.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// The HTML text.
    #[schemars(length(max = HTML_CHARS_MAX))]
    html: String,
    /// A CSS selector: only the first element that matches it is converted, for example `main`.
    #[schemars(length(min = 1, max = SELECTOR_CHARS_MAX))]
    selector: Option<String>,
}

/// The same in Markdown.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Output {
    /// The Markdown text.
    markdown: String,
    /// The document's title, where it has one.
    title: Option<String>,
}

pub(crate) fn to_markdown(input: Input) -> Result<Output, Error> {
    let matcher = input.selector.as_deref().map(matcher).transpose()?;
    let document = Document::from(input.html);
    let title = document.select_single("head > title").text();
    let title = Some(title.trim()).filter(|title| !title.is_empty()).map(str::to_owned);
    // The title is no part of the text that a browser shows.
    let part = match &matcher {
        Some(matcher) => document.select_single_matcher(matcher),
        None => document.select_single("body"),
    };
    let Some(part) = part.nodes().first() else {
        return Err(Error::invalid_input("the selector matches nothing"));
    };
    Ok(Output { markdown: part.md(None).to_string(), title })
}

#[cfg(test)]
mod tests {
    use crate::tests::call;
    use armilla_plugin::Code;
    use serde_json::json;

    #[test]
    fn a_document_becomes_markdown_without_its_scripts() {
        let html = "<html><head><title> News </title><style>p{}</style></head><body><h1>Big <em>news</em></h1>\
            <script>alert(1)</script><p>See <a href=\"https://a.example/x\">this</a>.</p><ul><li>one</li><li>two</li></ul>\
            <table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table></body></html>";
        let output = call("html.to_markdown", &json!({ "html": html })).unwrap();
        let markdown = output["markdown"].as_str().unwrap();
        assert_eq!(output["title"], "News");
        for part in ["# Big *news*", "See [this](https://a.example/x).", "- one\n- two", "| a | b |"] {
            assert!(markdown.contains(part), "{markdown}");
        }
        for part in ["alert", "p{}", "News "] {
            assert!(!markdown.contains(part), "{markdown}");
        }
    }

    #[test]
    fn a_selector_names_the_part() {
        let input = json!({ "html": "<nav>menu</nav><main><p>text</p></main>", "selector": "main" });
        assert_eq!(call("html.to_markdown", &input).unwrap(), json!({ "markdown": "text", "title": null }));
    }

    #[test]
    fn an_empty_document_is_empty_text() {
        assert_eq!(call("html.to_markdown", &json!({ "html": "" })).unwrap()["markdown"], "");
    }

    #[test]
    fn a_selector_that_is_none_or_matches_nothing_is_refused() {
        for selector in ["p[", "article"] {
            let error = call("html.to_markdown", &json!({ "html": "<p>a", "selector": selector })).unwrap_err();
            assert_eq!(error.code(), Code::InvalidInput, "{selector}");
        }
    }
}
