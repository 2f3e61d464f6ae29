//! What is told of webhooks and deliveries.

use std::time::Duration;

use armilla_domain::fault::Fault;
use armilla_domain::id::{DeliveryId, EventId, WebhookId};
use armilla_domain::webhook::{SignatureScheme, Webhook};
use armilla_store::{DeliveryRow, WebhookKeyRow, WebhookRow};
use chrono::{DateTime, Utc};

/// A webhook.
#[derive(Debug, Clone)]
pub struct WebhookView {
    /// Its id.
    pub id: WebhookId,
    /// What it was configured to be.
    pub webhook: Webhook,
    /// Whether it is told events.
    pub enabled: bool,
    /// Why not, where nobody disabled it: `failing` or `gone`.
    pub disabled_reason: Option<String>,
    /// How its filter last failed.
    pub filter_fault: Option<FilterFault>,
    /// Failures in a row.
    pub failures: u32,
    /// Since when there were only failures.
    pub failing_since: Option<DateTime<Utc>>,
    /// Nothing is sent before.
    pub paused_until: Option<DateTime<Utc>>,
    /// What its deliveries are signed with, the present one first.
    pub keys: Vec<KeyView>,
    /// What whoever looks after it should know: a tool that is not there.
    pub warnings: Vec<Fault>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// A webhook that has a new secret. Without `Debug`, for that.
pub struct WebhookWithSecret {
    /// The webhook.
    pub view: WebhookView,
    /// The secret, shown this once.
    pub secret: String,
}

/// How a filter failed. The event was not delivered.
#[derive(Debug, Clone)]
pub struct FilterFault {
    /// Why.
    pub detail: String,
    /// When it last did.
    pub at: DateTime<Utc>,
}

/// What is told of a key: everything but the secret.
#[derive(Debug, Clone)]
pub struct KeyView {
    /// How it signs.
    pub scheme: SignatureScheme,
    /// What its signatures are verified with, where that is no secret.
    pub public_key: Option<String>,
    /// Until when it signs; the present one has no end.
    pub valid_until: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A delivery.
#[derive(Debug, Clone)]
pub struct DeliveryView {
    /// Its id.
    pub id: DeliveryId,
    /// To whom.
    pub webhook: WebhookId,
    /// Of what.
    pub event: EventId,
    /// The type of that.
    pub event_type: String,
    /// How it stands: `pending`, `succeeded`, `failed`, `captured` or `skipped`.
    pub status: String,
    /// Why it ended so, where no attempt says.
    pub reason: Option<String>,
    /// Attempts so far.
    pub attempts: u32,
    /// Whether one is under way.
    pub in_flight: bool,
    /// When it is tried next.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// The status of the last answer.
    pub last_status: Option<u16>,
    /// Why there was none: a code, and the same in words.
    pub last_error: Option<(String, String)>,
}

/// A delivery with all that is known of it.
#[derive(Debug, Clone)]
pub struct DeliveryDetail {
    /// The delivery.
    pub delivery: DeliveryView,
    /// What is sent, to the byte.
    pub body: Vec<u8>,
    /// The last request that was signed, as a command for a shell; nothing where none was.
    pub curl: Option<String>,
    /// The last attempts, the first one first.
    pub attempts: Vec<AttemptView>,
}

/// A try of a delivery.
#[derive(Debug, Clone)]
pub struct AttemptView {
    /// From one on.
    pub number: u32,
    /// When it began.
    pub at: DateTime<Utc>,
    /// What came of it: `succeeded`, `failed`, `captured` or `skipped`.
    pub outcome: String,
    /// The request's method.
    pub method: &'static str,
    /// Where it was sent.
    pub url: String,
    /// Its headers, the signature included.
    pub headers: Vec<(String, String)>,
    /// Whether a key that signs now made the signature; nothing where none was made.
    pub signature_valid: Option<bool>,
    /// The status of the answer.
    pub status: Option<u16>,
    /// Its headers.
    pub answer_headers: Option<Vec<(String, String)>>,
    /// The first bytes of its body,
    pub answer_body: Option<Vec<u8>>,
    /// and whether there were more.
    pub answer_cut: bool,
    /// The far end of the connection.
    pub peer: Option<String>,
    /// Finding the address; this and the others are absent where they were not entered.
    pub resolving: Option<Duration>,
    /// Connecting.
    pub connecting: Option<Duration>,
    /// Waiting for the answer's head.
    pub waiting: Option<Duration>,
    /// Reading its body.
    pub reading: Option<Duration>,
    /// All of it.
    pub total: Duration,
    /// Why there is no answer, or not all of it: a code, and the same in words.
    pub error: Option<(String, String)>,
    /// When it is tried again.
    pub retry_at: Option<DateTime<Utc>>,
    /// Why then.
    pub retry_reason: Option<String>,
}

impl WebhookView {
    pub(crate) fn of(row: WebhookRow, keys: Vec<WebhookKeyRow>, warnings: Vec<Fault>) -> Self {
        let keys = keys.into_iter().filter_map(|key| {
            Some(KeyView {
                scheme: SignatureScheme::parse(&key.scheme)?,
                public_key: key.public,
                valid_until: key.valid_until,
                created_at: key.created_at,
            })
        });
        Self {
            id: row.id,
            webhook: row.webhook,
            enabled: row.enabled,
            disabled_reason: row.disabled_reason,
            filter_fault: row.filter_fault.map(|(detail, at)| FilterFault { detail, at }),
            failures: row.endpoint.failures,
            failing_since: row.endpoint.failing_since,
            paused_until: row.endpoint.paused_until,
            keys: keys.collect(),
            warnings,
            created_by: row.created_by,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl From<DeliveryRow> for DeliveryView {
    fn from(row: DeliveryRow) -> Self {
        Self {
            id: row.id,
            webhook: row.webhook,
            event: row.event,
            event_type: row.event_type,
            status: row.status,
            reason: row.reason,
            attempts: row.attempts,
            in_flight: row.in_flight,
            next_attempt_at: row.due_at.filter(|_| !row.in_flight),
            created_at: row.created_at,
            ended_at: row.ended_at,
            last_status: row.last_status.and_then(|status| u16::try_from(status).ok()),
            last_error: row.last_error.zip(row.last_error_detail),
        }
    }
}
