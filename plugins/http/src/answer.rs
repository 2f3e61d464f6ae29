//! From an answer to the tool's output, or to the error that a retry policy understands.

use crate::request::FailOn;
use armilla_plugin::{Error, http};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The answer.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Output {
    /// The HTTP status.
    status: u16,
    /// Headers by name, in lower case. Several of one name are joined by commas.
    headers: BTreeMap<String, String>,
    /// The body, where it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    json: Option<Value>,
    /// The body, where it is something else, with replacement characters where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

pub(crate) fn read(response: http::Response, fail_on: FailOn) -> Result<Output, Error> {
    let response = match fail_on {
        FailOn::Never => response,
        FailOn::Errors => {
            let wait = date_to_wait_for(&response);
            response.error_for_status().map_err(|error| match wait {
                Some(wait) => error.retry_after(wait),
                None => error,
            })?
        }
    };
    let json = if is_json(&response) { response.json().ok() } else { None };
    let text = (json.is_none() && !response.body.is_empty()).then(|| response.text().into_owned());
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in response.headers {
        headers.entry(name).and_modify(|known| *known = format!("{known}, {value}")).or_insert(value);
    }
    Ok(Output { status: response.status, headers, json, text })
}

fn is_json(response: &http::Response) -> bool {
    let kind = response.header("content-type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind.ends_with("+json") || kind == "text/json"
}

/// `Retry-After` as a date, counted from the date that the server put on its answer: no clock but the server's own counts.
fn date_to_wait_for(response: &http::Response) -> Option<std::time::Duration> {
    let date = |name| httpdate::parse_http_date(response.header(name)?).ok();
    date("retry-after")?.duration_since(date("date")?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use armilla_plugin::Code;
    use serde_json::json;
    use std::time::Duration;

    fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> http::Response {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        http::Response { status, headers, body: body.into() }
    }

    fn written(response: http::Response) -> Value {
        serde_json::to_value(read(response, FailOn::Errors).unwrap()).unwrap()
    }

    #[test]
    fn an_answer_of_json_is_read() {
        for kind in ["application/json", "application/problem+json", "Application/JSON; charset=utf-8"] {
            assert_eq!(
                written(answer(200, &[("content-type", kind)], b"[1]")),
                json!({ "status": 200, "headers": { "content-type": kind }, "json": [1] })
            );
        }
    }

    #[test]
    fn any_other_answer_is_text() {
        let text = |headers: &[(&str, &str)], body: &[u8]| written(answer(201, headers, body))["text"].clone();
        assert_eq!(text(&[("content-type", "text/html")], b"<p>"), "<p>");
        assert_eq!(text(&[], b"a\xff"), "a\u{fffd}");
        assert_eq!(text(&[("content-type", "application/json")], b"{ not"), "{ not");
    }

    #[test]
    fn an_empty_answer_has_neither() {
        assert_eq!(written(answer(204, &[], b"")), json!({ "status": 204, "headers": {} }));
    }

    #[test]
    fn headers_of_one_name_are_joined() {
        let output = written(answer(200, &[("via", "a"), ("etag", "x"), ("via", "b")], b""));
        assert_eq!(output["headers"], json!({ "etag": "x", "via": "a, b" }));
    }

    #[test]
    fn redirects_are_answers() {
        let output = written(answer(302, &[("location", "/y")], b""));
        assert_eq!((&output["status"], &output["headers"]["location"]), (&json!(302), &json!("/y")));
    }

    #[test]
    fn statuses_from_400_on_are_errors_of_the_right_kind() {
        for (status, code, retryable) in [
            (400, Code::Failed, false),
            (404, Code::Failed, false),
            (408, Code::RateLimited, true),
            (425, Code::RateLimited, true),
            (429, Code::RateLimited, true),
            (500, Code::Unavailable, true),
            (503, Code::Unavailable, true),
        ] {
            let error = read(answer(status, &[], b"why"), FailOn::Errors).unwrap_err();
            assert_eq!((error.code(), error.is_retryable()), (code, retryable), "{status}");
            assert_eq!(error.more(), Some(&json!({ "status": status, "body": "why" })));
        }
    }

    #[test]
    fn errors_are_answers_where_the_caller_says_so() {
        assert_eq!(read(answer(404, &[], b""), FailOn::Never).unwrap().status, 404);
    }

    #[test]
    fn a_time_to_come_back_is_heeded_as_seconds_and_as_a_date() {
        let wait = |headers: &[(&str, &str)]| read(answer(429, headers, b""), FailOn::Errors).unwrap_err().wait();
        let (date, later) =
            (("date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT"));
        assert_eq!(wait(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(wait(&[date, later]), Some(Duration::from_secs(60)));
        assert_eq!(wait(&[later]), None);
    }
}
