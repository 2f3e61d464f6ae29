//! `html.links`: where a document leads.

use crate::HTML_CHARS_MAX;
use armilla_plugin::Error;
use dom_query::Document;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

/// How many links a call gives that does not say.
const LINKS_DEFAULT: usize = 1_000;

/// How many links a call can ask for.
const LINKS_MAX: usize = 10_000;

/// In characters: longer URLs hardly work anywhere.
const URL_CHARS_MAX: usize = 8_192;

/// A document.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Input {
    /// The HTML text.
    #[schemars(length(max = HTML_CHARS_MAX))]
    html: String,
    /// The document's own absolute URL, against which its links are resolved. A `base` element in it counts, too.
    #[schemars(length(max = URL_CHARS_MAX))]
    base_url: Option<String>,
    /// How many links to give at most.
    #[serde(default = "links_default")]
    #[schemars(range(min = 1, max = LINKS_MAX))]
    limit: usize,
}

fn links_default() -> usize {
    LINKS_DEFAULT
}

/// The links.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Output {
    /// The links, in the order of the document, those that lead to the same place included.
    links: Vec<Link>,
    /// Whether there are more than the limit.
    truncated: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Link {
    /// The absolute URL; the link as it is written where that cannot be known.
    url: String,
    /// The link's text, without surplus blanks.
    text: String,
    /// What the document says of the link, for example `nofollow`.
    rel: Option<String>,
}

pub(crate) fn links(input: Input) -> Result<Output, Error> {
    let own = input.base_url.as_deref().map(Url::parse).transpose();
    let own = own.map_err(|error| Error::invalid_input(format!("`baseUrl` is not an absolute URL: {error}")))?;
    let document = Document::from(input.html);
    let base = match document.select_single("base[href]").attr("href") {
        Some(href) => Url::options().base_url(own.as_ref()).parse(href.trim()).ok().or(own),
        None => own,
    };
    let mut links = Vec::new();
    let anchors = document.select("a[href], area[href]");
    let truncated = anchors.length() > input.limit;
    for anchor in anchors.nodes().iter().take(input.limit) {
        let href = anchor.attr("href").unwrap_or_default();
        let url = Url::options().base_url(base.as_ref()).parse(href.trim());
        links.push(Link {
            url: url.map_or_else(|_| href.trim().to_owned(), String::from),
            text: anchor.text().split_whitespace().collect::<Vec<_>>().join(" "),
            rel: anchor.attr("rel").map(|rel| rel.to_string()),
        });
    }
    Ok(Output { links, truncated })
}

#[cfg(test)]
mod tests {
    use crate::tests::call;
    use armilla_plugin::Code;
    use serde_json::json;

    fn urls(html: &str, base: &str) -> Vec<String> {
        let output = call("html.links", &json!({ "html": html, "baseUrl": base })).unwrap();
        output["links"].as_array().unwrap().iter().map(|link| link["url"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn links_come_in_order_with_text_and_rel() {
        let html =
            "<a href='/a' rel='nofollow'>The\n <b>first</b></a><a name=x>none</a><area href='https://b.example/'>";
        assert_eq!(
            call("html.links", &json!({ "html": html })).unwrap(),
            json!({
                "links": [
                    { "url": "/a", "text": "The first", "rel": "nofollow" },
                    { "url": "https://b.example/", "text": "", "rel": null },
                ],
                "truncated": false,
            })
        );
    }

    #[test]
    fn links_are_resolved_as_browsers_do() {
        let html = "<a href='../c?d#e'></a><a href='//x.example'></a><a href='mailto:a@b'></a><a href=' ä b '></a>";
        let expected =
            ["https://a.example/c?d#e", "https://x.example/", "mailto:a@b", "https://a.example/b/%C3%A4%20b"];
        assert_eq!(urls(html, "https://a.example/b/page"), expected);
    }

    #[test]
    fn a_base_element_counts() {
        let html = "<base href='/deep/'><a href='x'></a>";
        assert_eq!(urls(html, "https://a.example/page"), ["https://a.example/deep/x"]);
    }

    #[test]
    fn more_links_than_the_limit_are_cut_off_and_said() {
        let output = call("html.links", &json!({ "html": "<a href=1></a><a href=2></a>", "limit": 1 })).unwrap();
        assert_eq!(output["links"].as_array().unwrap().len(), 1);
        assert_eq!(output["truncated"], true);
    }

    #[test]
    fn a_base_that_is_not_absolute_is_refused() {
        let error = call("html.links", &json!({ "html": "", "baseUrl": "/page" })).unwrap_err();
        assert_eq!(error.code(), Code::InvalidInput);
    }
}
