//! Deliveries on the wire, and which of them are asked for.

use std::time::Duration;

use armilla_domain::event::EventType;
use armilla_domain::id::{DeliveryId, EventId, WebhookId};
use armilla_domain::webhook::TEST_EVENT;
use armilla_webhooks::{AttemptView, DeliveryDetail, DeliveryFilter, DeliveryView};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::page::PageQuery;
use crate::problem::{Code, Problem};
use crate::wire::Timestamp;

/// How a delivery may stand.
const STATUSES: [&str; 5] = ["pending", "succeeded", "failed", "captured", "skipped"];

/// Which deliveries of a webhook.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct DeliveriesQuery {
    /// Those of one webhook, which may be deleted by now.
    #[param(required = false, value_type = String, example = "wh_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    webhook_id: Option<WebhookId>,
    /// Those of one status: `pending`, `succeeded`, `failed`, `captured` or `skipped`.
    #[param(required = false, value_type = String, example = "failed")]
    status: Option<String>,
    /// Those of one type of event, in either spelling.
    #[param(required = false, value_type = String, example = "run.failed")]
    event_type: Option<String>,
    /// Those that were made at this instant or later.
    #[param(required = false, value_type = String, format = DateTime)]
    created_from: Option<Timestamp>,
    /// Those that were made before this instant.
    #[param(required = false, value_type = String, format = DateTime)]
    created_before: Option<Timestamp>,
    /// How many, at most; the most that a list gives where absent.
    #[param(minimum = 1, required = false, value_type = u32)]
    limit: Option<u32>,
    /// The `nextCursor` of the page before; the list's beginning where absent.
    #[param(required = false, value_type = String)]
    cursor: Option<String>,
}

impl DeliveriesQuery {
    /// Which deliveries, and which page of them.
    pub(super) fn parts(self) -> Result<(DeliveryFilter, PageQuery), Problem> {
        let filter = DeliveryFilter {
            webhook: self.webhook_id,
            status: self.status.map(status_of).transpose()?,
            event_type: self.event_type.as_deref().map(event_type_of).transpose()?,
            since: self.created_from.map(|instant| instant.0),
            until: self.created_before.map(|instant| instant.0),
        };
        Ok((filter, PageQuery { limit: self.limit, cursor: self.cursor }))
    }
}

fn status_of(word: String) -> Result<String, Problem> {
    let known = STATUSES.contains(&word.as_str());
    let wrong = || Problem::new(Code::QueryInvalid, format!("`status` must be one of {}.", STATUSES.join(", ")));
    known.then_some(word).ok_or_else(wrong)
}

fn event_type_of(name: &str) -> Result<String, Problem> {
    let known = EventType::parse(name).map(EventType::as_str);
    // No event has it, and deliveries do.
    let known = known.or((name == TEST_EVENT).then_some(TEST_EVENT));
    known.map(str::to_owned).ok_or_else(|| {
        let name: String = name.chars().take(64).collect();
        Problem::new(
            Code::QueryInvalid,
            format!("`eventType` names `{name}`, and there are no such events; `GET /event-types` lists them."),
        )
    })
}

/// One event on its way to one webhook.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WebhookDelivery)]
pub(crate) struct WebhookDeliveryBody {
    /// Its id.
    #[schema(value_type = String, example = "dlv_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    id: DeliveryId,
    /// To whom; the webhook may be deleted by now.
    #[schema(value_type = String, example = "wh_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    webhook_id: WebhookId,
    /// Of what: the `webhook-id` that every try of it carries.
    #[schema(value_type = String, example = "evt_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    event_id: EventId,
    /// The type of that; `webhook.test` for a test.
    #[schema(example = "run.failed")]
    event_type: String,
    /// How it stands: `pending`, `succeeded`, `failed` (given up), `captured` (in test mode) or `skipped` (its tool answered null).
    #[schema(example = "succeeded")]
    status: String,
    /// Why it ended so, where no attempt says; null otherwise.
    #[schema(required = true)]
    reason: Option<String>,
    /// Attempts so far.
    attempt_count: u32,
    /// Whether one is under way.
    in_flight: bool,
    /// When it is tried next; null where it is not, or is being tried.
    #[schema(required = true)]
    next_attempt_at: Option<Timestamp>,
    /// The HTTP status of the last answer; null where there was none.
    #[schema(required = true, value_type = Option<u16>)]
    last_status: Option<u16>,
    /// Why there was none, or not all of it; null where nothing was wrong with it.
    #[schema(required = true)]
    last_error: Option<WebhookExchangeError>,
    /// When it was made.
    created_at: Timestamp,
    /// When it ended; null where it goes on.
    #[schema(required = true)]
    ended_at: Option<Timestamp>,
}

/// Why an exchange came to nothing.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookExchangeError {
    /// For programs: `webhook.timeout`, `webhook.connect`, `webhook.refused_address`, …
    #[schema(example = "webhook.connect")]
    code: String,
    /// The same for people.
    detail: String,
}

/// A page of deliveries, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WebhookDeliveriesResponse {
    /// The deliveries, without what was sent.
    pub(super) deliveries: Vec<WebhookDeliveryBody>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    pub(super) next_cursor: Option<String>,
}

/// One delivery.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookDeliveryResponse {
    /// The delivery.
    pub(super) delivery: WebhookDeliveryBody,
}

/// One delivery, with all that is known of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookDeliveryDetailResponse {
    /// The delivery.
    pub(super) delivery: WebhookDeliveryDetail,
}

/// A delivery with what is sent, and its attempts.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WebhookDeliveryDetail {
    #[serde(flatten)]
    delivery: WebhookDeliveryBody,
    /// What is sent, to the byte; every try sends the same.
    body: String,
    /// The last request that was signed, as a command for a POSIX shell; null where none was. The signature is good for as long as the
    /// receiver takes its `webhook-timestamp`.
    #[schema(required = true)]
    curl: Option<String>,
    /// The last 100 attempts, the first one first.
    attempts: Vec<WebhookAttempt>,
}

/// A try of a delivery.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WebhookAttempt {
    /// From one on.
    number: u32,
    /// When it began.
    at: Timestamp,
    /// What came of it: `succeeded`, `failed`, `captured` or `skipped`.
    #[schema(example = "failed")]
    outcome: String,
    /// The request as it was sent, but for the body, which is the delivery's.
    request: WebhookAttemptRequest,
    /// Whether a key that is kept made its signature; null where it has none. Keys are kept for as long as they sign.
    #[schema(required = true)]
    signature_valid: Option<bool>,
    /// What came back; null where nothing did.
    #[schema(required = true)]
    answer: Option<WebhookAttemptAnswer>,
    /// The far end of the connection; null where there was none.
    #[schema(required = true, example = "203.0.113.7:443")]
    address: Option<String>,
    /// How long what took.
    phases: WebhookAttemptPhases,
    /// Why there is no answer, or not all of it; null where there is.
    #[schema(required = true)]
    error: Option<WebhookExchangeError>,
    /// When it is tried again; null where it was the last try.
    #[schema(required = true)]
    retry_at: Option<Timestamp>,
    /// Why then; null where it is not.
    #[schema(required = true)]
    retry_reason: Option<String>,
}

/// A request that was sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookAttemptRequest {
    /// Its method.
    method: &'static str,
    /// Where to.
    url: String,
    /// Its headers; none where it was not made.
    headers: Vec<WebhookHeader>,
}

/// An answer that came.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WebhookAttemptAnswer {
    /// The HTTP status.
    status: u16,
    /// The headers, up to 8 KiB of them.
    headers: Vec<WebhookHeader>,
    /// The first 4 KiB of the body; what is no UTF-8 is replaced.
    body: String,
    /// Whether there was more.
    body_cut: bool,
}

/// A header.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookHeader {
    /// Its name, in small letters.
    name: String,
    /// Its value.
    value: String,
}

/// How long what took, in milliseconds; null where it did not come to that.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WebhookAttemptPhases {
    /// Finding the address of a name.
    #[schema(required = true)]
    resolving_ms: Option<f64>,
    /// Connecting, with TLS.
    #[schema(required = true)]
    connecting_ms: Option<f64>,
    /// Waiting for the answer's head.
    #[schema(required = true)]
    waiting_ms: Option<f64>,
    /// Reading its body.
    #[schema(required = true)]
    reading_ms: Option<f64>,
    /// All of it.
    total_ms: f64,
}

impl From<DeliveryView> for WebhookDeliveryBody {
    fn from(view: DeliveryView) -> Self {
        Self {
            id: view.id,
            webhook_id: view.webhook,
            event_id: view.event,
            event_type: view.event_type,
            status: view.status,
            reason: view.reason,
            attempt_count: view.attempts,
            in_flight: view.in_flight,
            next_attempt_at: view.next_attempt_at.map(Timestamp),
            last_status: view.last_status,
            last_error: view.last_error.map(WebhookExchangeError::from),
            created_at: view.created_at.into(),
            ended_at: view.ended_at.map(Timestamp),
        }
    }
}

impl From<DeliveryDetail> for WebhookDeliveryDetail {
    fn from(DeliveryDetail { delivery, body, curl, attempts }: DeliveryDetail) -> Self {
        let attempts = attempts.into_iter().map(WebhookAttempt::from).collect();
        // JSON that this program wrote, so nothing of it is replaced.
        Self { delivery: delivery.into(), body: String::from_utf8_lossy(&body).into_owned(), curl, attempts }
    }
}

impl From<AttemptView> for WebhookAttempt {
    fn from(view: AttemptView) -> Self {
        let phases = WebhookAttemptPhases {
            resolving_ms: view.resolving.map(millis),
            connecting_ms: view.connecting.map(millis),
            waiting_ms: view.waiting.map(millis),
            reading_ms: view.reading.map(millis),
            total_ms: millis(view.total),
        };
        let answer = view.status.map(|status| WebhookAttemptAnswer {
            status,
            headers: headers(view.answer_headers.unwrap_or_default()),
            body: String::from_utf8_lossy(&view.answer_body.unwrap_or_default()).into_owned(),
            body_cut: view.answer_cut,
        });
        Self {
            number: view.number,
            at: view.at.into(),
            outcome: view.outcome,
            request: WebhookAttemptRequest { method: view.method, url: view.url, headers: headers(view.headers) },
            signature_valid: view.signature_valid,
            answer,
            address: view.peer,
            phases,
            error: view.error.map(WebhookExchangeError::from),
            retry_at: view.retry_at.map(Timestamp),
            retry_reason: view.retry_reason,
        }
    }
}

impl From<(String, String)> for WebhookExchangeError {
    fn from((code, detail): (String, String)) -> Self {
        Self { code, detail }
    }
}

fn headers(pairs: Vec<(String, String)>) -> Vec<WebhookHeader> {
    pairs.into_iter().map(|(name, value)| WebhookHeader { name, value }).collect()
}

/// With the microseconds behind the point.
fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use armilla_webhooks::{ANSWER_BYTES_KEPT, ATTEMPTS_SHOWN_MAX};

    use super::*;

    #[test]
    fn a_status_and_a_type_of_events_are_known_or_refused() {
        assert_eq!(status_of("failed".to_owned()).unwrap(), "failed");
        assert_eq!(event_type_of("run_timed_out").unwrap(), "run.timed_out");
        assert_eq!(event_type_of("webhook.test").unwrap(), "webhook.test");
        assert_eq!(status_of("Failed".to_owned()).unwrap_err().code(), Code::QueryInvalid);
        for wrong in ["", "run.*", "run.exploded"] {
            assert_eq!(event_type_of(wrong).unwrap_err().code(), Code::QueryInvalid, "{wrong}");
        }
    }

    #[test]
    fn the_bounds_that_are_documented_are_the_ones_that_hold() {
        assert_eq!((ANSWER_BYTES_KEPT, ATTEMPTS_SHOWN_MAX), (4 * 1024, 100));
    }
}
