//! One attempt: the request is made and signed, sent, and what came back is judged.

use std::time::Duration;

use armilla_domain::id::EventId;
use armilla_domain::webhook::{SigningKey, Verdict, Webhook, read_retry_after};
use armilla_egress::{EgressError, Exchange, HeaderMap, HeaderName, HeaderValue, Method, OutboundRequest};
use armilla_store::NewAttempt;
use chrono::{DateTime, Utc};

use crate::{ANSWER_BYTES_KEPT, ANSWER_BYTES_READ, Inner};

/// What every delivery is sent by.
pub(crate) const METHOD: &str = "POST";
/// Bytes of the headers of an answer that are kept.
const ANSWER_HEADER_BYTES_KEPT: usize = 8 * 1024;

/// An attempt that was made, or came to nothing before.
#[derive(Debug)]
pub(crate) struct Attempted {
    pub(crate) attempt: NewAttempt,
    /// What it says of the endpoint.
    pub(crate) verdict: Verdict,
    /// For how long the endpoint wants to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

/// A request, signed, with the instant of its signature.
struct Signed {
    at: DateTime<Utc>,
    headers: Vec<(&'static str, String)>,
}

impl Signed {
    fn new(
        (event, traceparent): (EventId, Option<String>),
        at: DateTime<Utc>,
        body: &[u8],
        keys: &[SigningKey],
    ) -> Self {
        let (id, timestamp) = (event.to_string(), at.timestamp());
        let signatures: Vec<String> = keys.iter().map(|key| key.sign(&id, timestamp, body)).collect();
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("user-agent", concat!("armilla-webhooks/", env!("CARGO_PKG_VERSION")).to_owned()),
            ("webhook-id", id),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", signatures.join(" ")),
        ];
        headers.extend(traceparent.map(|span| ("traceparent", span)));
        Self { at, headers }
    }

    fn header_map(&self) -> HeaderMap {
        let headers = self
            .headers
            .iter()
            .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?)));
        headers.collect()
    }

    fn attempt(&self, webhook: &Webhook, outcome: &'static str) -> NewAttempt {
        let headers: Vec<(&str, &str)> = self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        NewAttempt {
            at: self.at,
            outcome,
            url: webhook.url.clone(),
            request_headers: json(&headers),
            ..NewAttempt::default()
        }
    }
}

impl Inner {
    /// Signs and sends a body, under the id of its event and as a span of a trace. Where nothing is to leave (`captured`), signs it only.
    pub(crate) async fn attempt(
        &self,
        webhook: &Webhook,
        event: (EventId, Option<String>),
        body: Vec<u8>,
        keys: &[SigningKey],
        captured: bool,
    ) -> Attempted {
        if keys.is_empty() {
            return self.unsent(webhook, "webhook.key", "no key of the webhook can be opened by this host".to_owned());
        }
        let signed = Signed::new(event, self.clock.now(), &body, keys);
        if captured {
            let attempt = signed.attempt(webhook, "captured");
            return Attempted { attempt, verdict: Verdict::Unsent, retry_after: None };
        }
        let request = OutboundRequest {
            method: Method::POST,
            url: webhook.url.clone(),
            headers: signed.header_map(),
            body,
            timeout: Duration::from_secs(u64::from(webhook.timeout_seconds)),
            answer_bytes_max: ANSWER_BYTES_READ,
        };
        let exchange = self.egress.deliver(request).await;
        let (verdict, retry_after) = judge(&exchange, self.clock.now());
        let outcome = if verdict == Verdict::Success { "succeeded" } else { "failed" };
        Attempted { attempt: told(signed.attempt(webhook, outcome), exchange), verdict, retry_after }
    }

    /// An attempt that came to nothing before anything could be sent.
    pub(crate) fn unsent(&self, webhook: &Webhook, code: &'static str, why: String) -> Attempted {
        self.without_request(webhook, "failed", Verdict::Unsent, (code, why))
    }

    /// An attempt for which the webhook's tool made no body.
    pub(crate) fn not_made(&self, webhook: &Webhook, why: String) -> Attempted {
        self.without_request(webhook, "failed", Verdict::NotMade, ("webhook.transform", why))
    }

    /// An attempt that ended where the webhook's tool wants nothing to be sent.
    pub(crate) fn skipped(&self, webhook: &Webhook) -> Attempted {
        let why = "the webhook's tool answered null".to_owned();
        self.without_request(webhook, "skipped", Verdict::Unsent, ("webhook.dropped", why))
    }

    fn without_request(
        &self,
        webhook: &Webhook,
        outcome: &'static str,
        verdict: Verdict,
        error: (&'static str, String),
    ) -> Attempted {
        let attempt = NewAttempt {
            at: self.clock.now(),
            outcome,
            url: webhook.url.clone(),
            request_headers: "[]".to_owned(),
            error: Some(error),
            ..NewAttempt::default()
        };
        Attempted { attempt, verdict, retry_after: None }
    }
}

/// What an exchange says of the endpoint, and for how long that wants to be left alone.
fn judge(exchange: &Exchange, now: DateTime<Utc>) -> (Verdict, Option<Duration>) {
    // The deadline is on all of it: whoever answers byte by byte holds a place as one who says nothing.
    if matches!(exchange.error, Some(EgressError::Timeout { .. })) {
        return (Verdict::Failure { timed_out: true }, None);
    }
    let Some(answer) = &exchange.answer else { return (Verdict::Failure { timed_out: false }, None) };
    let asked = answer.headers.get("retry-after").and_then(|value| value.to_str().ok());
    let retry_after = asked.and_then(|text| read_retry_after(text, now));
    (Verdict::of_status(answer.status, retry_after), retry_after)
}

/// The attempt with what came back.
fn told(mut attempt: NewAttempt, exchange: Exchange) -> NewAttempt {
    let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    let times = exchange.times;
    attempt.phases_us = [times.resolving, times.connecting, times.waiting, times.reading].map(|time| time.map(micros));
    attempt.total_us = micros(times.total);
    attempt.peer = exchange.peer.map(|peer| peer.to_string());
    attempt.error = exchange.error.map(|error| (code_of(&error), error.to_string().replace('\0', "")));
    if let Some(answer) = exchange.answer {
        if (300..400).contains(&answer.status) && attempt.error.is_none() {
            let why = "redirects are not followed: the webhook's URL has to be the place itself";
            attempt.error = Some(("webhook.redirect", why.to_owned()));
        }
        attempt.status = Some(i32::from(answer.status));
        attempt.answer_headers = Some(json(&first_headers(&answer.headers)));
        attempt.answer_cut = answer.truncated || answer.body.len() > ANSWER_BYTES_KEPT;
        let mut body = answer.body;
        body.truncate(ANSWER_BYTES_KEPT);
        attempt.answer_body = Some(body);
    }
    attempt
}

fn first_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut room = ANSWER_HEADER_BYTES_KEPT;
    let headers = headers.iter().map_while(|(name, value)| {
        room = room.checked_sub(name.as_str().len() + value.len())?;
        Some((name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
    });
    headers.collect()
}

pub(crate) const fn code_of(error: &EgressError) -> &'static str {
    match error {
        EgressError::Setup { .. } => "webhook.setup",
        EgressError::BadUrl { .. } => "webhook.url",
        EgressError::RefusedAddress { .. } => "webhook.refused_address",
        EgressError::RefusedPort { .. } => "webhook.refused_port",
        EgressError::Timeout { .. } => "webhook.timeout",
        EgressError::Connect { .. } => "webhook.connect",
        EgressError::Tls { .. } => "webhook.tls",
        EgressError::Protocol { .. } => "webhook.protocol",
        EgressError::AnswerTooLarge { .. } => "webhook.answer_too_large",
    }
}

fn json<T: serde::Serialize>(value: &T) -> String {
    // Lists of texts always have a JSON form.
    serde_json::to_string(value).unwrap_or_else(|_| "[]".to_owned())
}
