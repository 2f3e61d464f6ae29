//! The one shape of every error answer: RFC 9457, and the one place where errors meet HTTP statuses.
//!
//! A problem's `type` is the relative reference `/problems/<code>`: it is stable, it does not depend on where a server
//! is installed, and `GET` on it tells what the code means.

mod code;
mod command;
mod hook;
pub(crate) mod kind;
mod prompt;
mod schedule;
mod webhook;

use std::error::Error;
use std::time::Duration;

use armilla_domain::fault::{FAULTS_MAX, Fault};
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

pub use self::code::Code;
pub(crate) use self::command::as_sentence;
use crate::auth::AuthError;
use crate::request::RequestId;
use crate::wire::FaultBody;

/// The media type of every error answer.
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// An error answer. It becomes a response by itself; the request's id is filled in on the way out.
#[derive(Debug, Clone)]
pub struct Problem(Box<Parts>);

// Boxed, so that `Result<T, Problem>` stays small on the way that succeeds.
#[derive(Debug, Clone)]
struct Parts {
    code: Code,
    detail: String,
    errors: Vec<FaultBody>,
    extensions: Map<String, Value>,
    headers: HeaderMap,
}

/// An error answer (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProblemBody<'a> {
    /// Names the kind of problem: `/problems/<code>`, relative to the server.
    #[serde(rename = "type")]
    #[schema(example = "/problems/workflow.not_found")]
    uri: String,
    /// What the kind means; the same in every answer of the kind.
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 404, minimum = 400, maximum = 599)]
    status: u16,
    /// What happened here, for people.
    detail: &'a str,
    /// The kind, for programs: stable.
    code: Code,
    /// The request's id, as in the header `X-Request-ID` and in the server's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<&'a str>,
    /// What is wrong with the body, each fault with its place: all of them, up to 100.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FaultBody],
    // Members that one kind of problem adds to the shape (RFC 9457 section 3.2).
    #[serde(flatten)]
    #[schema(ignore)]
    extensions: &'a Map<String, Value>,
}

impl Problem {
    /// A problem of kind `code`; `detail` is sent to the caller, so it never holds internal text or a secret.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            extensions: Map::new(),
            headers: HeaderMap::new(),
        }))
    }

    /// What was asked for is not there, or not for this caller: which of the two is not told.
    pub fn not_found(code: Code) -> Self {
        Self::new(code, code.title())
    }

    /// The body's faults, all at once; `code` says what was checked.
    pub fn invalid(code: Code, faults: Vec<Fault>) -> Self {
        let detail = match faults.as_slice() {
            [] => code.title().to_owned(),
            [only] => format!("There is one fault: {}.", only.detail),
            several => format!("There are {} faults.", several.len()),
        };
        let mut problem = Self::new(code, detail);
        problem.0.errors = faults.into_iter().take(FAULTS_MAX).map(FaultBody::from).collect();
        problem
    }

    /// The server cannot answer at the moment; the caller may come back after `retry_after`.
    pub fn unavailable(retry_after: Duration) -> Self {
        Self::new(Code::ServerUnavailable, "The server cannot answer this at the moment; nothing was lost.")
            .retry_after(retry_after)
    }

    /// Something failed that no caller can mend. The error is logged here, once, with all its causes, and never sent.
    pub fn internal(error: &dyn Error) -> Self {
        tracing::error!(error = with_causes(error), "A request failed inside the server");
        Self::internal_without_cause()
    }

    /// As [`Problem::internal`], where the cause is logged already.
    pub(crate) fn internal_without_cause() -> Self {
        Self::new(Code::ServerInternal, "The server failed; its log tells why, under this request's id.")
    }

    /// Asks the caller to come back after `delay`, rounded up to whole seconds.
    pub fn retry_after(self, delay: Duration) -> Self {
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        self.header(RETRY_AFTER.as_str(), HeaderValue::from(seconds))
    }

    /// Adds a member of its own to the answer (RFC 9457 section 3.2).
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.0.extensions.insert(name.to_owned(), value);
        self
    }

    fn header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// The kind.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The answer's body as it is with the request's id, where there is one.
    pub(crate) fn body(&self, request_id: Option<&RequestId>) -> Body {
        // Strings, numbers and string-keyed maps always serialise; an empty body is the honest rest.
        serde_json::to_vec(&self.shown(request_id)).map_or_else(|_| Body::empty(), Body::from)
    }

    /// The same as a value, for an answer that has begun.
    pub(crate) fn as_json(&self) -> Value {
        serde_json::to_value(self.shown(None)).unwrap_or_default()
    }

    fn shown<'a>(&'a self, request_id: Option<&'a RequestId>) -> ProblemBody<'a> {
        let Parts { code, detail, errors, extensions, .. } = &*self.0;
        ProblemBody {
            uri: format!("/problems/{}", code.as_str()),
            title: code.title(),
            status: code.status().as_u16(),
            detail,
            code: *code,
            request_id: request_id.map(RequestId::as_str),
            errors,
            extensions,
        }
    }
}

/// An error and what it came from, for the log.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(self.body(None));
        *response.status_mut() = self.0.code.status();
        *response.headers_mut() = self.0.headers.clone();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_MEDIA_TYPE));
        // The outermost layer knows the request's id and writes the body once more with it.
        response.extensions_mut().insert(self);
        response
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        let code = match &error {
            AuthError::Missing => Code::AuthMissing,
            AuthError::Malformed(_) => Code::AuthMalformed,
            AuthError::WrongAlgorithm => Code::AuthWrongAlgorithm,
            AuthError::BadSignature => Code::AuthBadSignature,
            AuthError::Expired => Code::AuthExpired,
            AuthError::NotYetValid => Code::AuthNotYetValid,
            AuthError::WrongIssuer => Code::AuthWrongIssuer,
            AuthError::WrongAudience => Code::AuthWrongAudience,
            AuthError::Role { .. } => Code::AuthRole,
            AuthError::OtherWorkspace => return Self::not_found(Code::WorkspaceNotFound),
        };
        // RFC 6750 section 3: no error code where no token was sent at all.
        let challenge = match &error {
            AuthError::Missing => r#"Bearer realm="armilla""#,
            AuthError::Role { .. } => r#"Bearer realm="armilla", error="insufficient_scope""#,
            _ => r#"Bearer realm="armilla", error="invalid_token""#,
        };
        Self::new(code, error.to_string()).header(WWW_AUTHENTICATE.as_str(), HeaderValue::from_static(challenge))
    }
}
