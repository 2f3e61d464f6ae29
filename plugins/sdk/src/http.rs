//! Requests to hosts that an operator granted, one whole message each way.
//!
//! ```no_run
//! use armilla_plugin::{Error, http, secrets};
//! use serde_json::{Value, json};
//!
//! fn create(title: &str) -> Result<Value, Error> {
//!     let answer = http::post("https://api.example.com/notes")
//!         .bearer(&secrets::get("notes-key")?)
//!         .json(&json!({ "title": title }))
//!         .send()?
//!         .error_for_status()?;
//!     answer.json()
//! }
//! ```

use crate::{Denial, host};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::borrow::Cow;
use std::fmt;
use std::fmt::Write;
use std::time::Duration;

/// In characters: as much of an answer's body as an error keeps.
const EXCERPT_CHARS_MAX: usize = 500;

/// A request for the resource at `url`.
pub fn get(url: impl Into<String>) -> Request {
    request("GET", url)
}

/// A `HEAD` request: the answer has no body.
pub fn head(url: impl Into<String>) -> Request {
    request("HEAD", url)
}

/// A `POST` request.
pub fn post(url: impl Into<String>) -> Request {
    request("POST", url)
}

/// A `PUT` request.
pub fn put(url: impl Into<String>) -> Request {
    request("PUT", url)
}

/// A `PATCH` request.
pub fn patch(url: impl Into<String>) -> Request {
    request("PATCH", url)
}

/// A `DELETE` request.
pub fn delete(url: impl Into<String>) -> Request {
    request("DELETE", url)
}

/// A request with any method. `url` is an absolute `http` or `https` URL without user name and password.
pub fn request(method: impl Into<String>, url: impl Into<String>) -> Request {
    Request {
        method: method.into(),
        url: url.into(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout: None,
        unwritable: None,
    }
}

/// A request that was not sent yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) timeout: Option<Duration>,
    unwritable: Option<String>,
}

impl Request {
    /// Adds a header; an earlier one of the same name stays.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds a header `Authorization: Bearer …`; `token` is usually a secret's placeholder.
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", format!("Bearer {token}"))
    }

    /// Adds `name=value` to the URL's query, percent-encoded.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        let fragment = self.url.find('#').map(|at| self.url.split_off(at));
        match self.url.find('?') {
            None => self.url.push('?'),
            Some(_) if self.url.ends_with(['?', '&']) => {}
            Some(_) => self.url.push('&'),
        }
        percent_encode(&mut self.url, name);
        self.url.push('=');
        percent_encode(&mut self.url, value);
        self.url.push_str(&fragment.unwrap_or_default());
        self
    }

    /// Sends `value` as JSON, with the content type that says so.
    pub fn json(mut self, value: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.body = body,
            Err(error) => self.unwritable = Some(error.to_string()),
        }
        self.header("Content-Type", "application/json")
    }

    /// Sends these bytes; their content type is another header.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Bounds the whole exchange. The call's own bound holds in any case.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends the request and reads the whole answer. Any status is an answer, and redirects are not followed.
    pub fn send(self) -> Result<Response, Error> {
        match self.unwritable {
            Some(error) => Err(Error::InvalidRequest(format!("the body cannot be written as JSON: {error}"))),
            None => host::send(self),
        }
    }
}

/// By RFC 3986: everything but the unreserved characters.
fn percent_encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            // Writing to a string does not fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
}

/// An answer, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Name, in lower case, and value, in order.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of this name, in upper or lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text, with replacement characters where it is not UTF-8.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The body read as JSON. One that does not fit is a failure that is not retried.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, crate::Error> {
        serde_json::from_slice(&self.body)
            .map_err(|error| crate::Error::failed(format_args!("the answer is not the JSON it should be: {error}")))
    }

    /// The answer, unless its status is 400 or above; then the error that a retry policy understands: 408, 425 and 429
    /// are rate limits, which last as long as `Retry-After` says in seconds, 500 and above are unavailable, and the others
    /// are failures that are not retried. The error's details have `status` and the start of the body as `body`.
    pub fn error_for_status(self) -> Result<Self, crate::Error> {
        let message = format!("the answer has status {}", self.status);
        let error = match self.status {
            0..400 => return Ok(self),
            408 | 425 | 429 => crate::Error::rate_limited(message),
            500.. => crate::Error::unavailable(message),
            _ => crate::Error::failed(message),
        };
        let excerpt: String = self.text().chars().take(EXCERPT_CHARS_MAX).collect();
        let error = error.details(json!({ "status": self.status, "body": excerpt }));
        let seconds = self.header("retry-after").and_then(|value| value.trim().parse::<u32>().ok());
        Err(match seconds {
            Some(seconds) => error.retry_after(Duration::from_secs(seconds.into())),
            None => error,
        })
    }
}

/// Why there is no answer. The texts are for people, and name the host but neither path nor query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Not granted: this host, port or method, or a secret for it; or an address that no plugin may reach.
    Denied(Denial),
    /// The request makes no sense.
    InvalidRequest(String),
    /// There was no whole answer in time.
    Timeout(String),
    /// The request, the answer, or all of this call's together are larger than they may be.
    TooLarge(String),
    /// Nobody answered, or what came was not HTTP.
    Unavailable(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denial) => denial.fmt(f),
            Self::InvalidRequest(message)
            | Self::Timeout(message)
            | Self::TooLarge(message)
            | Self::Unavailable(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
        Response {
            status,
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: body.into(),
        }
    }

    #[test]
    fn a_query_is_encoded_and_comes_before_the_fragment() {
        let url = |url: &str| get(url).query("q", "a b&ü").query("n", "1").url;
        assert_eq!(url("https://a.example/x"), "https://a.example/x?q=a%20b%26%C3%BC&n=1");
        assert_eq!(url("https://a.example/x?y=1#top"), "https://a.example/x?y=1&q=a%20b%26%C3%BC&n=1#top");
        assert_eq!(url("https://a.example/?"), "https://a.example/?q=a%20b%26%C3%BC&n=1");
    }

    #[test]
    fn a_body_of_json_says_that_it_is_one() {
        let request = post("https://a.example").bearer("word").json(&json!({ "a": 1 }));
        assert_eq!(request.body, br#"{"a":1}"#);
        assert_eq!(request.headers[0], ("Authorization".to_owned(), "Bearer word".to_owned()));
        assert_eq!(request.headers[1], ("Content-Type".to_owned(), "application/json".to_owned()));
    }

    #[test]
    fn what_json_cannot_hold_is_an_invalid_request() {
        let keyed_by_list = std::collections::BTreeMap::from([(vec![1], 1)]);
        let error = post("https://a.example").json(&keyed_by_list).send().unwrap_err();
        assert!(matches!(error, Error::InvalidRequest(_)), "{error}");
    }

    #[test]
    fn without_a_host_nothing_is_sent() {
        let error = get("https://a.example").send().unwrap_err();
        assert_eq!(error.to_string(), "GET requests are answered only inside a host");
    }

    #[test]
    fn an_answer_is_read_as_text_json_and_headers() {
        let answer = answer(200, &[("content-type", "application/json")], "[1,2]");
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
        assert_eq!(answer.header("etag"), None);
        assert_eq!(answer.text(), "[1,2]");
        assert_eq!(answer.json::<Vec<u8>>(), Ok(vec![1, 2]));
        assert_eq!(answer.json::<String>().unwrap_err().code(), Code::Failed);
    }

    #[test]
    fn a_status_becomes_the_error_that_a_retry_policy_understands() {
        assert!(answer(304, &[], "").error_for_status().is_ok());
        for (status, code, retryable) in [
            (404, Code::Failed, false),
            (408, Code::RateLimited, true),
            (425, Code::RateLimited, true),
            (429, Code::RateLimited, true),
            (500, Code::Unavailable, true),
            (503, Code::Unavailable, true),
        ] {
            let error = answer(status, &[], "no").error_for_status().unwrap_err();
            assert_eq!((error.code(), error.is_retryable(), error.wait()), (code, retryable, None), "{status}");
            assert_eq!(error.more(), Some(&json!({ "status": status, "body": "no" })));
        }
    }

    #[test]
    fn an_answer_that_says_when_to_come_back_is_heeded() {
        let error = answer(429, &[("retry-after", "7")], "").error_for_status().unwrap_err();
        assert_eq!(error.wait(), Some(Duration::from_secs(7)));
        let error = answer(429, &[("retry-after", "soon")], "").error_for_status().unwrap_err();
        assert_eq!(error.wait(), None);
    }
}
