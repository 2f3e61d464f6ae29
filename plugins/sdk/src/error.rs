use crate::{Denial, http, kv};
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// The kinds of failure that a workflow's retry policy can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The input is not what the tool takes. Never retried.
    InvalidInput,
    /// The plugin lacks a permission that the call needs. Never retried.
    Denied,
    /// Something the tool depends on does not answer. Retried.
    Unavailable,
    /// Something the tool depends on asks to come back later. Retried.
    RateLimited,
    /// Everything else. Retried where the error says so.
    Failed,
}

/// Why a tool has no output, as a value. A panic is not one: it ends the call as a trap.
///
/// Messages are one sentence for the people who read the run, and never hold a secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    code: Code,
    message: String,
    retryable: bool,
    retry_after: Option<Duration>,
    details: Option<Value>,
}

impl Error {
    /// The input is not what the tool takes.
    pub fn invalid_input(message: impl fmt::Display) -> Self {
        Self::new(Code::InvalidInput, message)
    }

    /// The plugin lacks a permission that the call needs.
    pub fn denied(message: impl fmt::Display) -> Self {
        Self::new(Code::Denied, message)
    }

    /// Something the tool depends on does not answer; the engine tries again.
    pub fn unavailable(message: impl fmt::Display) -> Self {
        Self::new(Code::Unavailable, message)
    }

    /// Something the tool depends on asks to come back later; [`retry_after`](Self::retry_after) says when.
    pub fn rate_limited(message: impl fmt::Display) -> Self {
        Self::new(Code::RateLimited, message)
    }

    /// Everything else. Not tried again, unless it is [`retryable`](Self::retryable).
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::new(Code::Failed, message)
    }

    fn new(code: Code, message: impl fmt::Display) -> Self {
        let retryable = matches!(code, Code::Unavailable | Code::RateLimited);
        Self { code, message: message.to_string(), retryable, retry_after: None, details: None }
    }

    /// The same call may go well later. Looked at for [`failed`](Self::failed) alone.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// How long to wait before the next attempt: whole milliseconds, at most 49 days.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// More for programs.
    #[must_use]
    pub fn details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// What kind of failure it is.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The sentence for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether the same call may go well later.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }

    /// How long to wait before the next attempt, where that is known.
    pub fn wait(&self) -> Option<Duration> {
        self.retry_after
    }

    /// What there is for programs.
    pub fn more(&self) -> Option<&Value> {
        self.details.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<Denial> for Error {
    fn from(denial: Denial) -> Self {
        Self::denied(&denial).details(json!({ "capability": denial.capability }))
    }
}

impl From<http::Error> for Error {
    fn from(error: http::Error) -> Self {
        match error {
            http::Error::Denied(denial) => denial.into(),
            http::Error::Timeout(_) | http::Error::Unavailable(_) => Self::unavailable(error),
            http::Error::InvalidRequest(_) | http::Error::TooLarge(_) => Self::failed(error),
        }
    }
}

impl From<kv::Error> for Error {
    fn from(error: kv::Error) -> Self {
        match error {
            kv::Error::Denied(denial) => denial.into(),
            // The next attempt reads the key anew.
            kv::Error::Conflict(revision) => Self::failed(error).retryable().details(json!({ "revision": revision })),
            kv::Error::Refused(_) => Self::failed(error),
            kv::Error::Unavailable(_) => Self::unavailable(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_go_well_later_is_retried() {
        assert!(!Error::invalid_input("no").is_retryable());
        assert!(!Error::denied("no").is_retryable());
        assert!(!Error::failed("no").is_retryable());
        assert!(Error::failed("no").retryable().is_retryable());
        assert!(Error::unavailable("no").is_retryable());
        assert!(Error::rate_limited("no").retry_after(Duration::from_secs(2)).is_retryable());
    }

    #[test]
    fn a_denial_keeps_its_capability_in_message_and_details() {
        let denial = Denial { capability: "kv:notes".to_owned(), message: "no grant".to_owned() };
        for error in [
            Error::from(denial.clone()),
            Error::from(http::Error::Denied(denial.clone())),
            Error::from(kv::Error::Denied(denial)),
        ] {
            assert_eq!(error.code(), Code::Denied);
            assert_eq!(error.message(), "no grant (kv:notes)");
            assert_eq!(error.more(), Some(&json!({ "capability": "kv:notes" })));
        }
    }

    #[test]
    fn a_capability_that_the_message_names_is_not_repeated() {
        let denial = Denial { capability: "kv:notes".to_owned(), message: "kv:notes is not granted".to_owned() };
        assert_eq!(Error::from(denial).message(), "kv:notes is not granted");
    }

    #[test]
    fn a_conflict_can_be_tried_again_and_a_refusal_cannot() {
        assert!(Error::from(kv::Error::Conflict(Some(3))).is_retryable());
        assert!(!Error::from(kv::Error::Refused("full".to_owned())).is_retryable());
    }

    #[test]
    fn silence_is_retried_and_a_senseless_request_is_not() {
        assert_eq!(Error::from(http::Error::Timeout("slow".to_owned())).code(), Code::Unavailable);
        assert_eq!(Error::from(http::Error::Unavailable("gone".to_owned())).code(), Code::Unavailable);
        assert!(!Error::from(http::Error::InvalidRequest("bad".to_owned())).is_retryable());
    }
}
