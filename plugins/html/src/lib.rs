//! The `html` plugin: Markdown, links and pieces of HTML documents, read as browsers read them.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod links;
mod markdown;
mod select;

use armilla_plugin::{Error, Plugin, Tool};
use dom_query::Matcher;

/// In characters: what a call's input can hold in any case.
pub(crate) const HTML_CHARS_MAX: usize = 1_000_000;

/// In characters: a selector is a line, not a program.
pub(crate) const SELECTOR_CHARS_MAX: usize = 1_000;

armilla_plugin::plugin! {
    Plugin::new("html", "Makes Markdown of HTML, lists its links, and finds its parts by CSS selectors.")
        .tool(
            Tool::new(
                "html.to_markdown",
                "HTML to Markdown",
                "Makes Markdown of an HTML document or of the part of it that a CSS selector names, without scripts and styles.",
                markdown::to_markdown,
            )
            .read_only()
            .idempotent()
            .closed_world(),
        )
        .tool(
            Tool::new(
                "html.links",
                "List links",
                "Lists the links of an HTML document in order, as absolute URLs where the document's own URL is known.",
                links::links,
            )
            .read_only()
            .idempotent()
            .closed_world(),
        )
        .tool(
            Tool::new(
                "html.select",
                "Select elements",
                "Gives text, HTML and attributes of the elements that a CSS selector matches.",
                select::select,
            )
            .read_only()
            .idempotent()
            .closed_world(),
        )
}

pub(crate) fn matcher(selector: &str) -> Result<Matcher, Error> {
    if selector.chars().count() > SELECTOR_CHARS_MAX {
        return Err(Error::invalid_input(format!("the selector is longer than {SELECTOR_CHARS_MAX} characters")));
    }
    Matcher::new(selector).map_err(|_| Error::invalid_input(format!("`{selector}` is not a CSS selector")))
}

#[cfg(test)]
pub(crate) mod tests {
    use armilla_plugin::{Context, Error};
    use serde_json::Value;

    pub(crate) fn call(tool: &str, input: &Value) -> Result<Value, Error> {
        let output = crate::plugin().call(tool, &input.to_string(), &Context::example())?;
        Ok(serde_json::from_str(&output).unwrap())
    }
}
