//! What is sent: made once for a delivery, and kept, so that each try sends the same bytes.

use chrono::{DateTime, SecondsFormat, Utc};

/// The body of an event's deliveries. `data` is JSON already, and is sent as it was written.
pub fn body_of(kind: &str, at: DateTime<Utc>, data: &str) -> Vec<u8> {
    let kind = serde_json::Value::from(kind);
    let at = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    // Both names: one is of Standard Webhooks, the other is what older receivers read.
    format!(r#"{{"type":{kind},"event":{kind},"timestamp":"{at}","data":{data}}}"#).into_bytes()
}

/// The body that a test of a webhook sends, which no event has.
pub fn sample_body(at: DateTime<Utc>, webhook: impl std::fmt::Display) -> Vec<u8> {
    let data = serde_json::json!({ "webhookId": webhook.to_string(), "message": "This is a test." });
    body_of(super::matching::TEST_EVENT, at, &data.to_string())
}
