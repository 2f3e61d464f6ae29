//! Sending a webhook something now, to see what it says.

use armilla_domain::id::{WebhookId, WorkspaceId};
use armilla_domain::webhook::{TEST_EVENT, Verdict, sample_body};
use armilla_store::{AttemptResult, NewDelivery};
use tracing::info;

use crate::transform::Transformed;
use crate::{DeliveryDetail, WebhookError, Webhooks};

/// What came of a test.
#[derive(Debug)]
pub struct Trial {
    /// Whether the webhook took it.
    pub success: bool,
    /// The delivery, with its one attempt.
    pub delivery: DeliveryDetail,
}

impl Webhooks {
    /// Sends a webhook a test event now, once, whether or not it is enabled, and past what it is paused or limited by: what its tool makes of
    /// it, where it has one. In test mode it is captured as any other.
    ///
    /// # Errors
    /// [`WebhookError::Unknown`], [`WebhookError::NoKey`], or where the database is away.
    pub async fn test(&self, workspace: WorkspaceId, id: WebhookId, by: &str) -> Result<Trial, WebhookError> {
        let inner = &self.inner;
        let webhook = self.row(workspace, id).await?.webhook;
        let keys = inner.open_keys(workspace, &inner.store.webhook_keys(&[id]).await?);
        if keys.is_empty() {
            return Err(WebhookError::NoKey);
        }
        let captured = inner.store.webhook_test_mode(workspace).await?;
        let event = inner.next_id();
        let mut delivery = NewDelivery {
            id: inner.next_id(),
            webhook: id,
            event,
            kind: TEST_EVENT.to_owned(),
            run: None,
            body: sample_body(inner.clock.now(), id),
        };
        let made = match &webhook.transform {
            Some(by) => inner.transformed(workspace, by, &delivery.body).await,
            None => Transformed::Body(delivery.body.clone()),
        };
        let attempted = match made {
            Transformed::Body(body) => {
                delivery.body.clone_from(&body);
                inner.attempt(&webhook, (event, None), body, &keys, captured).await
            }
            Transformed::Dropped => inner.skipped(&webhook),
            Transformed::Failed(why) => inner.not_made(&webhook, why),
        };
        let outcome = attempted.attempt.outcome;
        let result = AttemptResult {
            delivery: delivery.id,
            webhook: id,
            claims: 0,
            status: outcome,
            retry_ms: None,
            attempt: attempted.attempt,
        };
        inner.store.add_ended_delivery(workspace, &delivery, result).await?;
        let success = attempted.verdict == Verdict::Success || outcome == "captured";
        info!(webhook.id = %id, workspace.id = %workspace, by, success, "Webhook `{id}` was tested");
        Ok(Trial { success, delivery: self.delivery(workspace, delivery.id).await? })
    }
}
