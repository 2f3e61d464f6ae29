//! Deliveries and their attempts, for whoever looks for what went wrong.

use std::time::Duration;

use armilla_domain::id::{DeliveryId, EventId, WorkspaceId};
use armilla_domain::webhook::{SigningKey, curl_of};
use armilla_store::{AttemptRow, DeliveryFilter};

use crate::attempt::METHOD;
use crate::{AttemptView, DeliveryDetail, DeliveryView, WebhookError, Webhooks};

/// The last attempts of a delivery that are shown. One that is resent again and again has any number.
pub const ATTEMPTS_SHOWN_MAX: u32 = 100;

impl Webhooks {
    /// Deliveries of a workspace, newest first, from before `before` on; those of webhooks that are deleted too.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn deliveries(
        &self,
        workspace: WorkspaceId,
        filter: &DeliveryFilter,
        before: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<DeliveryView>, WebhookError> {
        let rows = self.inner.store.webhook_deliveries(workspace, filter, before, limit).await?;
        Ok(rows.into_iter().map(DeliveryView::from).collect())
    }

    /// What was captured while nothing was sent, newest first, from before `before` on.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn test_mode_log(
        &self,
        workspace: WorkspaceId,
        before: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<DeliveryView>, WebhookError> {
        let filter = DeliveryFilter { status: Some("captured".to_owned()), ..DeliveryFilter::default() };
        self.deliveries(workspace, &filter, before, limit).await
    }

    /// A delivery with its last attempts, at most [`ATTEMPTS_SHOWN_MAX`].
    ///
    /// # Errors
    /// [`WebhookError::UnknownDelivery`], or where the database is away.
    pub async fn delivery(&self, workspace: WorkspaceId, id: DeliveryId) -> Result<DeliveryDetail, WebhookError> {
        let store = &self.inner.store;
        let (row, body) = store.webhook_delivery(workspace, id).await?.ok_or(WebhookError::UnknownDelivery(id))?;
        let keys = self.inner.open_keys(workspace, &store.webhook_keys(&[row.webhook]).await?);
        let attempts = store.webhook_attempts(id, ATTEMPTS_SHOWN_MAX).await?;
        let attempts = attempts.into_iter().map(|attempt| view(attempt, row.event, &body, &keys));
        let attempts: Vec<AttemptView> = attempts.collect();
        let signed = attempts.iter().rfind(|attempt| attempt.signature_valid.is_some());
        let curl = signed.map(|attempt| curl_of(METHOD, &attempt.url, &attempt.headers, &body));
        Ok(DeliveryDetail { delivery: row.into(), body, curl, attempts })
    }
}

fn view(row: AttemptRow, event: EventId, body: &[u8], keys: &[SigningKey]) -> AttemptView {
    let headers = pairs(&row.request_headers);
    let header = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let timestamp = header("webhook-timestamp").and_then(|text| text.parse().ok());
    let signature_valid = header("webhook-signature").zip(timestamp).map(|(signature, timestamp)| {
        keys.iter().any(|key| key.verifies(signature, &event.to_string(), timestamp, body))
    });
    let span = |micros: Option<i64>| micros.map(|micros| Duration::from_micros(micros.unsigned_abs()));
    AttemptView {
        number: row.number.unsigned_abs(),
        at: row.at,
        outcome: row.outcome,
        method: METHOD,
        url: row.url,
        headers,
        signature_valid,
        status: row.status.and_then(|status| u16::try_from(status).ok()),
        answer_headers: row.answer_headers.as_deref().map(pairs),
        answer_body: row.answer_body,
        answer_cut: row.answer_cut,
        peer: row.peer,
        resolving: span(row.resolving_us),
        connecting: span(row.connecting_us),
        waiting: span(row.waiting_us),
        reading: span(row.reading_us),
        total: span(Some(row.total_us)).unwrap_or_default(),
        error: row.error.zip(row.error_detail),
        retry_at: row.retry_at,
        retry_reason: row.retry_reason,
    }
}

fn pairs(json: &str) -> Vec<(String, String)> {
    // Written by this program; one of another version may have written something else.
    serde_json::from_str(json).unwrap_or_default()
}
