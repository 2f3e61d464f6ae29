//! What errors on webhooks are to a caller.

use armilla_engine::CommandError;
use armilla_webhooks::WebhookError;

use super::command::sentence;
use super::{Code, Problem};

impl From<WebhookError> for Problem {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::Invalid(faults) => Self::invalid(Code::WebhookInvalid, faults),
            WebhookError::Unknown(_) => Self::not_found(Code::WebhookNotFound),
            WebhookError::UnknownDelivery(_) => Self::not_found(Code::DeliveryNotFound),
            WebhookError::TooMany => Self::new(Code::WebhookTooMany, sentence(&error)),
            WebhookError::TooManyKeys => Self::new(Code::WebhookTooManyKeys, sentence(&error)),
            WebhookError::Disabled => Self::new(Code::WebhookDisabled, sentence(&error)),
            WebhookError::NoKey => {
                let detail = "The server's key for secrets is another one than when the webhook's key was kept; \
                    `POST /webhooks/:id/rotate-secret` gives it a new one.";
                Self::new(Code::WebhookKeyUnusable, detail)
            }
            WebhookError::Store(error) => CommandError::Store(error).into(),
        }
    }
}
