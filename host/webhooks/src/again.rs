//! Sending again: one delivery, all that failed, and what never became a delivery.

use armilla_domain::fault::Fault;
use armilla_domain::id::{DeliveryId, EventId, WebhookId, WorkspaceId};
use armilla_domain::webhook::{FilterScope, Matched, Webhook, body_of, run_of, told_of};
use armilla_store::{Again, EventRow, NewDelivery};
use chrono::{DateTime, TimeDelta, Utc};
use tracing::info;

use crate::{DELIVERIES_KEPT_DAYS, DeliveryView, Inner, WebhookError, Webhooks};

/// Deliveries that one command sends again: an outage of days. More take another command.
pub const SENT_AGAIN_MAX: u64 = 100_000;
/// Deliveries changed, or events looked at, by one statement.
const BATCH: u32 = 500;
/// Hosts' clocks, which ids are made by, may be ahead of each other by this.
const CLOCKS_APART_MAX: TimeDelta = TimeDelta::seconds(2);

/// What is to be sent again.
#[derive(Debug, Clone, Copy)]
pub struct Recover {
    /// From then on.
    pub since: DateTime<Utc>,
    /// Before then; until now where absent.
    pub until: Option<DateTime<Utc>>,
    /// Whether it is only to be counted.
    pub dry_run: bool,
}

/// What was sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resent {
    /// So many deliveries are on their way, or would be.
    pub count: u64,
    /// Whether that is all: otherwise the bound [`SENT_AGAIN_MAX`] was reached, of deliveries or of events that were looked at.
    pub complete: bool,
}

impl Webhooks {
    /// Sends a delivery again, at once, however it ended, with all its tries before it.
    ///
    /// # Errors
    /// [`WebhookError::UnknownDelivery`], [`WebhookError::Disabled`], or where the database is away.
    pub async fn resend(&self, workspace: WorkspaceId, id: DeliveryId, by: &str) -> Result<DeliveryView, WebhookError> {
        match self.inner.store.resend_delivery(workspace, id).await? {
            Again::Done(_) => {}
            Again::Unknown => return Err(WebhookError::UnknownDelivery(id)),
            Again::Disabled => return Err(WebhookError::Disabled),
        }
        self.inner.due.notify_one();
        info!(delivery.id = %id, workspace.id = %workspace, by, "Delivery `{id}` is sent again");
        let (row, _) =
            self.inner.store.webhook_delivery(workspace, id).await?.ok_or(WebhookError::UnknownDelivery(id))?;
        Ok(row.into())
    }

    /// Sends all deliveries of a webhook again that were made in some time and failed, but for tests.
    ///
    /// # Errors
    /// [`WebhookError::Invalid`], [`WebhookError::Unknown`], [`WebhookError::Disabled`], or where the database is away.
    pub async fn recover(
        &self,
        workspace: WorkspaceId,
        id: WebhookId,
        recover: Recover,
        by: &str,
    ) -> Result<Resent, WebhookError> {
        let store = &self.inner.store;
        let time = self.time_of(workspace, id, recover).await?;
        if recover.dry_run {
            let limit = u32::try_from(SENT_AGAIN_MAX + 1).unwrap_or(u32::MAX);
            let count = store.count_failed(workspace, id, time, limit).await?;
            return Ok(Resent { count: count.min(SENT_AGAIN_MAX), complete: count <= SENT_AGAIN_MAX });
        }
        let mut count = 0;
        // What fails again meanwhile is not sent again a second time.
        let mut after = DeliveryId::from_uuid(uuid::Uuid::nil());
        let complete = loop {
            let (again, last) = store.resend_failed(workspace, id, time, after, BATCH).await?;
            after = last;
            let sent = match again {
                Again::Done(sent) => sent,
                Again::Unknown => return Err(WebhookError::Unknown(id)),
                Again::Disabled => return Err(WebhookError::Disabled),
            };
            count += sent;
            self.inner.due.notify_one();
            if sent < u64::from(BATCH) {
                break true;
            }
            if count >= SENT_AGAIN_MAX {
                break false;
            }
        };
        info!(webhook.id = %id, workspace.id = %workspace, by, count, "{count} deliveries of `{id}` are sent again");
        Ok(Resent { count, complete })
    }

    /// Sends a webhook the events of some time that it would be told today and that never became a delivery to it: from before it was
    /// made, or from while it was disabled or wanted others.
    ///
    /// # Errors
    /// As [`Webhooks::recover`].
    pub async fn replay_missing(
        &self,
        workspace: WorkspaceId,
        id: WebhookId,
        recover: Recover,
        by: &str,
    ) -> Result<Resent, WebhookError> {
        let inner = &self.inner;
        let time = self.time_of(workspace, id, recover).await?;
        let webhook = self.row(workspace, id).await?.webhook;
        let kinds = webhook.kinds();
        let mut after = EventId::from_uuid(uuid::Uuid::nil());
        let (mut count, mut looked_at) = (0, 0);
        let complete = loop {
            let events =
                inner.store.events_without_delivery(workspace, id, after, time, kinds.as_deref(), BATCH).await?;
            let Some(last) = events.last() else { break true };
            after = last.id;
            let missing = inner.missing(id, &webhook, &events);
            if recover.dry_run {
                count += missing.len() as u64;
            } else {
                count += inner.store.add_missing_deliveries(workspace, id, &missing).await?;
                inner.due.notify_one();
            }
            if events.len() < BATCH as usize {
                break true;
            }
            looked_at += events.len() as u64;
            if count.max(looked_at) >= SENT_AGAIN_MAX {
                break false;
            }
            // Filters are work for this thread, which others wait for.
            tokio::task::yield_now().await;
        };
        if !recover.dry_run {
            info!(webhook.id = %id, workspace.id = %workspace, by, count, "{count} events are sent to `{id}` belatedly");
        }
        Ok(Resent { count, complete })
    }

    /// The time that is meant, where what is of it is all still known and the webhook can be sent something.
    async fn time_of(
        &self,
        workspace: WorkspaceId,
        id: WebhookId,
        recover: Recover,
    ) -> Result<(DateTime<Utc>, DateTime<Utc>), WebhookError> {
        let row = self.row(workspace, id).await?;
        let now = self.inner.clock.now();
        let until = recover.until.unwrap_or(now).min(now) + CLOCKS_APART_MAX;
        let mut faults = Vec::new();
        if recover.since < now - TimeDelta::days(i64::from(DELIVERIES_KEPT_DAYS)) {
            let detail =
                format!("deliveries are kept for {DELIVERIES_KEPT_DAYS} days, so nothing is known of those before");
            faults.push(Fault::new("/since", "webhook.since", detail));
        }
        if recover.since > until {
            faults.push(Fault::new("/since", "webhook.since", "this is after the end of the time that is meant"));
        }
        if !faults.is_empty() {
            return Err(WebhookError::Invalid(faults));
        }
        if !row.enabled && !recover.dry_run {
            return Err(WebhookError::Disabled);
        }
        Ok((recover.since, until))
    }
}

impl Inner {
    fn missing(&self, id: WebhookId, webhook: &Webhook, events: &[EventRow]) -> Vec<NewDelivery> {
        let matching = events.iter().filter(|event| {
            let mut scope = FilterScope::new(event.id, &event.kind, event.at, &event.data);
            webhook.wants(&event.kind)
                && told_of(&event.kind, &event.data) != Some(id)
                && webhook.matches(&self.templates, &mut scope) == Matched::Yes
        });
        matching.map(|event| self.delivery_of(event, id, body_of(&event.kind, event.at, &event.data))).collect()
    }

    pub(crate) fn delivery_of(&self, event: &EventRow, webhook: WebhookId, body: Vec<u8>) -> NewDelivery {
        let id = self.next_id();
        NewDelivery { id, webhook, event: event.id, kind: event.kind.clone(), run: run_of(&event.data), body }
    }
}
