//! Inbound hooks: URLs that start runs. Who may call one, what of a call becomes a run's input, and which calls are the same.

mod call;
mod check;
mod verify;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::call::{Call, Verdict};
pub use self::check::{
    HOOK_EXPRESSION_BYTES_MAX, HOOK_HEADER_BYTES_MAX, HOOK_INPUT_FIELDS_MAX, HOOK_INPUT_NAME_CHARS_MAX,
    HOOK_NAME_CHARS_MAX, TOLERANCE_SECONDS_MAX, check,
};
pub use self::verify::{Refusal, SIGNATURES_MAX, Verified};
use crate::id::WorkflowId;

/// How far the instant of a signature may be off where the hook does not say, in seconds: what the senders recommend.
pub const TOLERANCE_SECONDS_DEFAULT: u32 = 300;
/// The header of a shared secret where the hook names none.
pub const SHARED_SECRET_HEADER_DEFAULT: &str = "x-hook-secret";

/// What a hook was configured to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hook {
    /// For people.
    pub name: String,
    /// What its calls start: the newest version.
    pub workflow_id: WorkflowId,
    /// How a call proves who sent it; where absent, knowing the URL is enough.
    pub verify: Option<Verification>,
    /// What the run is given: an expression for each field. The body as `body` where absent.
    pub input: Option<BTreeMap<String, String>>,
    /// An expression: a call for which it does not hold starts nothing.
    pub when: Option<String>,
    /// An expression: calls with the same value start one run. What the scheme has for that where absent.
    pub deduplicate_by: Option<String>,
    /// What the caller waits for.
    pub respond: Respond,
}

/// How a call proves who sent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// How it is signed.
    pub scheme: Scheme,
    /// The name of the secret in the secret store.
    pub secret: String,
    /// How far the signature's instant may be off, in seconds, where the scheme signs one.
    pub tolerance_seconds: Option<u32>,
    /// Where a shared secret stands, in small letters.
    pub header: Option<String>,
}

/// How the sender signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Scheme {
    /// Standard Webhooks 1.0, symmetric: HMAC-SHA256 over id, timestamp and body.
    StandardWebhooks,
    /// GitHub: HMAC-SHA256 over the body.
    #[serde(rename = "github")]
    GitHub,
    /// Slack: HMAC-SHA256 over version, timestamp and body.
    Slack,
    /// Stripe: HMAC-SHA256 over timestamp and body.
    Stripe,
    /// The secret itself, in a header.
    SharedSecret,
}

/// What a caller waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Respond {
    /// Nothing: it is told the run's id.
    #[default]
    Accepted,
    /// The run's end: it is told what the run answers.
    Result,
}

impl Scheme {
    /// Whether the signature covers an instant, so that it can be too old.
    pub fn signs_an_instant(self) -> bool {
        matches!(self, Self::StandardWebhooks | Self::Slack | Self::Stripe)
    }

    /// The expression of what tells one delivery from another, whatever the number of tries.
    pub fn delivery_id(self) -> Option<&'static str> {
        match self {
            Self::StandardWebhooks => Some("headers['webhook-id']"),
            Self::GitHub => Some("headers['x-github-delivery']"),
            Self::Slack => Some("body.event_id"),
            Self::Stripe => Some("body.id"),
            Self::SharedSecret => None,
        }
    }
}

impl Verification {
    /// In seconds.
    pub fn tolerance(&self) -> u32 {
        self.tolerance_seconds.unwrap_or(TOLERANCE_SECONDS_DEFAULT)
    }

    /// The header that proves who sent a call, in small letters: its value is for nobody else.
    pub fn proof_header(&self) -> &str {
        match self.scheme {
            Scheme::StandardWebhooks => "webhook-signature",
            Scheme::GitHub => "x-hub-signature-256",
            Scheme::Slack => "x-slack-signature",
            Scheme::Stripe => "stripe-signature",
            Scheme::SharedSecret => self.header.as_deref().unwrap_or(SHARED_SECRET_HEADER_DEFAULT),
        }
    }
}
