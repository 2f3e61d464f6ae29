//! From the tool's input to a request.

use armilla_plugin::{Error, http};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;

/// In characters: longer URLs hardly work anywhere.
const URL_CHARS_MAX: usize = 8_192;

/// As many as servers accept.
const HEADERS_MAX: usize = 100;

/// As many as a URL has place for.
const QUERY_FIELDS_MAX: usize = 200;

/// In characters: what a call's input can hold in any case.
const BODY_CHARS_MAX: usize = 1_000_000;

/// In characters: the names of headers and secrets.
const NAME_CHARS_MAX: usize = 128;

/// Longer than any call lasts.
const TIMEOUT_MS_MAX: u32 = 600_000;

/// The header that a secret goes into where none is named.
const AUTHORIZATION: &str = "Authorization";

/// The request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Input {
    /// The method.
    #[serde(default)]
    method: Method,
    /// The absolute URL, without user name and password.
    #[schemars(length(min = 1, max = URL_CHARS_MAX), regex(pattern = r"^[hH][tT][tT][pP][sS]?://"))]
    url: String,
    /// Names and values to add to the URL's query, encoded as needed; a list of values repeats the name.
    #[serde(default)]
    #[schemars(with = "std::collections::BTreeMap<String, Parameter>", extend("maxProperties" = QUERY_FIELDS_MAX))]
    query: Map<String, Value>,
    /// Headers by name.
    #[serde(default)]
    #[schemars(with = "std::collections::BTreeMap<String, String>", extend("maxProperties" = HEADERS_MAX))]
    headers: Map<String, Value>,
    /// A body of JSON, with the content type that says so.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Value")]
    json: Option<Value>,
    /// A body of text; its content type is another header.
    #[schemars(length(max = BODY_CHARS_MAX))]
    body: Option<String>,
    /// A secret to send along.
    pub(crate) auth: Option<Auth>,
    /// Bound on the whole exchange, in milliseconds; the step's own bound holds in any case.
    #[schemars(range(min = 1, max = TIMEOUT_MS_MAX))]
    timeout_ms: Option<u32>,
    /// Which answers are errors: with `errors` those from 400 on, with `never` none.
    #[serde(default)]
    pub(crate) fail_on: FailOn,
}

/// A null is a body as well.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

/// What a query parameter can be.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used; the values stay as they came")]
enum Parameter {
    Text(String),
    Number(f64),
    Boolean(bool),
    Several(Vec<Single>),
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used; the values stay as they came")]
enum Single {
    Text(String),
    Number(f64),
    Boolean(bool),
}

/// A secret, by name. The host puts its value in place when the request leaves.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Auth {
    /// The secret's name, as it was granted.
    #[schemars(length(min = 1, max = NAME_CHARS_MAX))]
    pub(crate) secret: String,
    /// The header to put it into; `Authorization` without it.
    #[schemars(length(min = 1, max = NAME_CHARS_MAX))]
    header: Option<String>,
    /// What comes before it in the header; "Bearer " in `Authorization`, nothing elsewhere.
    #[schemars(length(max = NAME_CHARS_MAX))]
    prefix: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FailOn {
    #[default]
    Errors,
    Never,
}

/// The request that `input` describes; `secret` is what stands for the secret that it names.
pub(crate) fn build(input: Input, secret: Option<&str>) -> Result<http::Request, Error> {
    let mut request = http::request(input.method.name(), input.url);
    for (name, value) in &input.query {
        let values = if let Value::Array(values) = value { &values[..] } else { std::slice::from_ref(value) };
        for value in values {
            request = request.query(name, &plain(value).ok_or_else(|| not_plain("query parameter", name))?);
        }
    }
    for (name, value) in &input.headers {
        request = request.header(name, plain(value).ok_or_else(|| not_plain("header", name))?);
    }
    if let (Some(auth), Some(secret)) = (input.auth, secret) {
        let header = auth.header.unwrap_or_else(|| AUTHORIZATION.to_owned());
        let default = if header.eq_ignore_ascii_case(AUTHORIZATION) { "Bearer " } else { "" };
        request = request.header(header, format!("{}{secret}", auth.prefix.as_deref().unwrap_or(default)));
    }
    request = match (input.json, input.body) {
        (Some(_), Some(_)) => return Err(Error::invalid_input("a request has `json` or `body`, not both")),
        (Some(json), None) if input.headers.keys().any(|name| name.eq_ignore_ascii_case("content-type")) => {
            request.body(json.to_string())
        }
        (Some(json), None) => request.json(&json),
        (None, Some(body)) => request.body(body),
        (None, None) => request,
    };
    Ok(match input.timeout_ms {
        Some(timeout) => request.timeout(Duration::from_millis(timeout.into())),
        None => request,
    })
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn not_plain(what: &str, name: &str) -> Error {
    Error::invalid_input(format!("the {what} `{name}` is not text, a number or a boolean"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn build(input: Value, secret: Option<&str>) -> Result<http::Request, Error> {
        super::build(serde_json::from_value(input).unwrap(), secret)
    }

    #[test]
    fn a_url_alone_is_asked_for() {
        assert_eq!(build(json!({ "url": "https://a.example/x" }), None), Ok(http::get("https://a.example/x")));
    }

    #[test]
    fn everything_finds_its_place() {
        let input = json!({
            "method": "POST",
            "url": "https://a.example/x?y=1",
            "query": { "q": "a b", "tag": ["x", 2], "on": true },
            "headers": { "Accept": "text/plain" },
            "json": { "a": 1 },
            "timeoutMs": 1500,
        });
        let expected = http::post("https://a.example/x?y=1&q=a%20b&tag=x&tag=2&on=true")
            .header("Accept", "text/plain")
            .json(&json!({ "a": 1 }))
            .timeout(Duration::from_millis(1_500));
        assert_eq!(build(input, None), Ok(expected));
    }

    #[test]
    fn a_content_type_of_the_callers_own_is_the_only_one() {
        let headers = json!({ "content-type": "application/ld+json" });
        let input = json!({ "method": "PUT", "url": "https://a.example", "headers": headers, "json": null });
        let expected = http::put("https://a.example").header("content-type", "application/ld+json").body("null");
        assert_eq!(build(input, None), Ok(expected));
    }

    #[test]
    fn a_secret_goes_into_the_header_that_was_named() {
        let with = |auth: Value| build(json!({ "url": "https://a.example", "auth": auth }), Some("word")).unwrap();
        let get = || http::get("https://a.example");
        assert_eq!(with(json!({ "secret": "k" })), get().bearer("word"));
        assert_eq!(with(json!({ "secret": "k", "header": "X-Api-Key" })), get().header("X-Api-Key", "word"));
        let token = json!({ "secret": "k", "prefix": "token " });
        assert_eq!(with(token), get().header("Authorization", "token word"));
    }

    #[test]
    fn what_has_no_place_in_a_request_is_refused() {
        for input in [
            json!({ "url": "https://a.example", "json": 1, "body": "1" }),
            json!({ "url": "https://a.example", "query": { "q": { "a": 1 } } }),
            json!({ "url": "https://a.example", "headers": { "X": null } }),
        ] {
            assert!(build(input.clone(), None).is_err(), "{input}");
        }
    }
}
