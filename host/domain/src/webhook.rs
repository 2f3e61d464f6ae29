//! Webhooks: which events are sent where, how they are signed, when a delivery is tried again and what an endpoint has to put up with.

mod admit;
mod body;
mod check;
mod curl;
mod endpoint;
mod keys;
mod matching;
mod retry;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use self::admit::{Admission, LANE_DUE_MAX, Waiting, admit};
pub use self::body::{body_of, sample_body};
pub use self::check::{
    WEBHOOK_CONCURRENCY_MAX, WEBHOOK_DESCRIPTION_CHARS_MAX, WEBHOOK_EVENTS_MAX, WEBHOOK_FILTER_BYTES_MAX,
    WEBHOOK_NAME_CHARS_MAX, WEBHOOK_RATE_MAX, WEBHOOK_RETRY_SECONDS_MAX, WEBHOOK_TIMEOUT_SECONDS_MAX,
    WEBHOOK_TRIES_MAX, WEBHOOK_URL_BYTES_MAX, WebhookText, check,
};
pub use self::curl::curl_of;
pub use self::endpoint::{
    Change, DISABLED_AFTER_DAYS, DisabledBecause, Endpoint, FAILING_AFTER_HOURS, PAUSE_MAX, PROBES_AFTER, Verdict,
};
pub use self::keys::{BadKey, SECRET_BYTES_DEFAULT, SECRET_BYTES_MAX, SECRET_BYTES_MIN, SignatureScheme, SigningKey};
pub use self::matching::{EventPattern, FilterScope, Matched, TEST_EVENT, run_of, told_of};
pub use self::retry::{RETRY_AFTER_MAX, RETRY_JITTER, RETRY_SECONDS_DEFAULT, read_retry_after, wait_after};

/// Attempts under way at once for one webhook, on all hosts together, where it does not say.
pub const WEBHOOK_CONCURRENCY_DEFAULT: u32 = 8;
/// How long one exchange may take where the webhook does not say, in seconds: what receivers are told to answer within.
pub const WEBHOOK_TIMEOUT_SECONDS_DEFAULT: u32 = 15;

/// What a webhook was configured to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// Where events are sent. It may hold a token, so it belongs into no log.
    pub url: String,
    /// Which events.
    pub events: Vec<EventPattern>,
    /// For people.
    pub description: Option<String>,
    /// An expression: events for which it does not hold are not sent.
    pub filter: Option<String>,
    /// A tool that makes another body of each.
    pub transform: Option<Transform>,
    /// Whether each delivery waits for the end of the one before.
    pub ordered: bool,
    /// Attempts under way at once, on all hosts together.
    pub concurrency: u32,
    /// How often it may be called.
    pub rate: Option<Rate>,
    /// How long one exchange may take, in seconds.
    pub timeout_seconds: u32,
    /// The waits between the tries of a delivery, in seconds: one try more than there are waits.
    pub retry_seconds: Vec<u32>,
}

/// A tool that gets the body of a delivery and answers another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transform {
    /// The tool's name.
    pub tool: String,
    /// The plugin's, where several have a tool of that name.
    pub plugin: Option<String>,
}

/// How often a webhook may be called: never more than `count` times in any `per`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rate {
    /// How many times.
    pub count: u32,
    /// In which time.
    pub per: RatePeriod,
}

/// The time that a rate is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RatePeriod {
    /// A second.
    Second,
    /// A minute.
    Minute,
}

impl Webhook {
    /// Attempts that may be under way at once.
    pub fn lanes(&self) -> u32 {
        if self.ordered { 1 } else { self.concurrency }
    }

    /// The host and port of its URL: what of it may be told.
    pub fn host(&self) -> String {
        let Ok(url) = url::Url::parse(&self.url) else { return String::new() };
        let host = url.host_str().unwrap_or_default();
        url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// How it was written down: what a change of single fields begins with.
    pub fn into_text(self) -> WebhookText {
        WebhookText {
            url: self.url,
            events: self.events.iter().map(ToString::to_string).collect(),
            description: self.description,
            filter: self.filter,
            transform: self.transform,
            ordered: Some(self.ordered),
            concurrency: Some(self.concurrency),
            rate: self.rate,
            timeout_seconds: Some(self.timeout_seconds),
            retry_seconds: Some(self.retry_seconds),
        }
    }
}
