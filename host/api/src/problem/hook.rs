//! What the engine's errors on inbound hooks are to a caller, who may be anybody.

use std::time::Duration;

use armilla_domain::hook::Refusal;
use armilla_engine::HookError;
use axum::http::HeaderValue;
use axum::http::header::WWW_AUTHENTICATE;

use super::command::sentence;
use super::{Code, Problem};

/// Whoever looks after the hook must set its secret; senders that ask again later lose nothing.
const SECRET_RETRY_AFTER: Duration = Duration::from_secs(60);

impl From<HookError> for Problem {
    fn from(error: HookError) -> Self {
        match &error {
            HookError::Unknown => Self::not_found(Code::HookNotFound),
            HookError::TooMany => Self::new(Code::HookTooMany, sentence(&error)),
            HookError::Crowded { retry_after } => {
                Self::new(Code::HookCrowded, sentence(&error)).retry_after(*retry_after)
            }
            HookError::NoSecret | HookError::Refused(Refusal::UnusableSecret) => {
                Self::new(Code::HookSecretMissing, "The hook's secret cannot be used at the moment.")
                    .retry_after(SECRET_RETRY_AFTER)
            }
            HookError::Refused(Refusal::Missing) => unsigned(Code::HookSignatureMissing, &error),
            HookError::Refused(Refusal::Wrong) => unsigned(Code::HookSignatureWrong, &error),
            HookError::Refused(Refusal::Old) => unsigned(Code::HookSignatureOld, &error),
            HookError::Replayed => unsigned(Code::HookSignatureReplayed, &error),
            HookError::Expression(_) => Self::new(Code::HookExpressionFailed, sentence(&error)),
        }
    }
}

fn unsigned(code: Code, error: &HookError) -> Problem {
    Problem::new(code, sentence(error))
        .header(WWW_AUTHENTICATE.as_str(), HeaderValue::from_static(r#"Signature realm="armilla""#))
}
