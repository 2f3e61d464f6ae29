//! Why a command on webhooks was not carried out.

use armilla_domain::fault::Fault;
use armilla_domain::id::{DeliveryId, WebhookId};
use armilla_store::{StoreError, WEBHOOK_KEYS_MAX, WEBHOOKS_PER_WORKSPACE_MAX};

/// Why a command on webhooks was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The body has faults: all of them, with pointers into it.
    #[error("the request has {} faults", .0.len())]
    Invalid(Vec<Fault>),
    /// There is no such webhook in the workspace.
    #[error("there is no webhook `{0}`")]
    Unknown(WebhookId),
    /// There is no such delivery in the workspace.
    #[error("there is no delivery `{0}`")]
    UnknownDelivery(DeliveryId),
    /// The workspace has as many as it may.
    #[error("a workspace has at most {WEBHOOKS_PER_WORKSPACE_MAX} webhooks")]
    TooMany,
    /// As many keys sign as may.
    #[error(
        "at most {WEBHOOK_KEYS_MAX} keys sign at once; one before has to end first, as all do with an `overlapHours` of 0"
    )]
    TooManyKeys,
    /// What is to be sent again has nobody to go to.
    #[error("the webhook is disabled or deleted")]
    Disabled,
    /// The webhook's key cannot be had: it was sealed by another key than this host's.
    #[error("the webhook's key cannot be opened")]
    NoKey,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}
