//! Events become deliveries: one transaction reads the events, writes what came of them and moves the cursor, so none is passed over and
//! none counts twice.

use armilla_domain::event::EventType;
use armilla_domain::id::{DeliveryId, EventId, RunId, WebhookId, WorkspaceId};
use armilla_domain::webhook::Webhook;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::webhook_of;
use crate::event_cursors::{EventConsumer, end_cursor, events_after, lock_cursor, move_cursor};
use crate::events::Stored;
use crate::{EventPosition, EventRow, Store, StoreError};

/// An enabled webhook.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Its id.
    pub id: WebhookId,
    /// What it was configured to be.
    pub webhook: Webhook,
    /// The transaction that enabled it: it is told the events of later ones.
    pub since: i64,
}

/// A delivery to be made.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// To whom.
    pub webhook: WebhookId,
    /// Of what.
    pub event: EventId,
    /// The type of that.
    pub kind: String,
    /// The run that it tells of, whose trace it belongs to.
    pub run: Option<RunId>,
    /// What is sent.
    pub body: Vec<u8>,
}

/// What came of some events.
#[derive(Debug)]
pub struct Matches {
    /// In the order of the events.
    pub deliveries: Vec<NewDelivery>,
    /// Webhooks whose filters failed, and why.
    pub filter_faults: Vec<(WebhookId, String)>,
    /// The last event that was looked at.
    pub until: EventPosition,
}

/// What one pass has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FanOut {
    /// Deliveries that were made.
    pub made: u64,
    /// Whether there may be more events.
    pub more: bool,
}

impl Store {
    /// Looks at up to `limit` events of a workspace before a horizon that was asked for before, and keeps what `decide` makes of them. Does
    /// nothing where another host is at it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn fan_out(
        &self,
        workspace: WorkspaceId,
        horizon: i64,
        limit: u32,
        decide: impl FnOnce(&[EventRow], &[Listener]) -> Matches + Send,
    ) -> Result<FanOut, StoreError> {
        let nothing = FanOut { made: 0, more: false };
        let mut transaction = self.pool.begin().await?;
        let Some(cursor) = lock_cursor(&mut transaction, EventConsumer::Webhooks, workspace).await? else {
            return Ok(nothing);
        };
        let listeners = lock_listeners(&mut transaction, workspace).await?;
        if listeners.is_empty() {
            // Who enables one holds the cursor.
            end_cursor(&mut transaction, EventConsumer::Webhooks, workspace).await?;
            transaction.commit().await?;
            return Ok(nothing);
        }
        let events = events_after(&mut transaction, workspace, cursor, horizon, None, limit).await?;
        let Some(last) = events.last().map(EventRow::position) else { return Ok(nothing) };
        let matches = decide(&events, &listeners);
        let made = add_deliveries(&mut transaction, workspace, &matches.deliveries).await?;
        note_filter_faults(&mut transaction, &matches.filter_faults).await?;
        move_cursor(&mut transaction, EventConsumer::Webhooks, workspace, matches.until).await?;
        transaction.commit().await?;
        Ok(FanOut { made, more: matches.until != last || events.len() == limit as usize })
    }

    /// Events of some time, in the order of their ids, after `after`, that are no delivery of a webhook yet; of some types where they are named.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn events_without_delivery(
        &self,
        workspace: WorkspaceId,
        webhook: WebhookId,
        after: EventId,
        (since, until): (DateTime<Utc>, DateTime<Utc>),
        kinds: Option<&[EventType]>,
        limit: u32,
    ) -> Result<Vec<EventRow>, StoreError> {
        let kinds: Option<Vec<&str>> = kinds.map(|kinds| kinds.iter().map(|kind| kind.as_str()).collect());
        let events = sqlx::query_as!(
            Stored,
            "select id, type as kind, at, data, depth, transaction from events e
            where workspace_id = $1 and id > $2 and id >= first_run_id($3) and id < first_run_id($4)
                and ($5::text[] is null or type = any($5))
                and not exists (select from webhook_deliveries d where d.webhook_id = $6 and d.event_id = e.id)
            order by id limit $7",
            workspace.uuid(),
            after.uuid(),
            since,
            until,
            kinds.as_deref() as Option<&[&str]>,
            webhook.uuid(),
            i64::from(limit),
        );
        Ok(self.page(events).await?.into_iter().map(EventRow::from).collect())
    }

    /// Makes deliveries of events that were passed over, where their webhook is enabled. Says how many.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn add_missing_deliveries(
        &self,
        workspace: WorkspaceId,
        webhook: WebhookId,
        deliveries: &[NewDelivery],
    ) -> Result<u64, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let listens = sqlx::query_scalar!(
            "select id from webhooks where id = $1 and workspace_id = $2 and enabled for key share",
            webhook.uuid(),
            workspace.uuid(),
        );
        if listens.fetch_optional(&mut *transaction).await?.is_none() {
            return Ok(0);
        }
        let made = add_deliveries(&mut transaction, workspace, deliveries).await?;
        transaction.commit().await?;
        Ok(made)
    }
}

/// The enabled webhooks of a workspace. None of them is disabled or deleted until the transaction ends.
async fn lock_listeners(connection: &mut PgConnection, workspace: WorkspaceId) -> Result<Vec<Listener>, StoreError> {
    let rows = sqlx::query!(
        "select id, config, since from webhooks where workspace_id = $1 and enabled order by id for key share",
        workspace.uuid(),
    )
    .fetch_all(connection)
    .await?;
    let listeners = rows.into_iter().map(|row| {
        let webhook = webhook_of(row.id, &row.config)?;
        Ok(Listener { id: WebhookId::from_uuid(row.id), webhook, since: row.since })
    });
    listeners.collect()
}

async fn add_deliveries(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    deliveries: &[NewDelivery],
) -> Result<u64, StoreError> {
    if deliveries.is_empty() {
        return Ok(0);
    }
    let ids: Vec<Uuid> = deliveries.iter().map(|new| new.id.uuid()).collect();
    let webhooks: Vec<Uuid> = deliveries.iter().map(|new| new.webhook.uuid()).collect();
    let events: Vec<Uuid> = deliveries.iter().map(|new| new.event.uuid()).collect();
    let kinds: Vec<&str> = deliveries.iter().map(|new| new.kind.as_str()).collect();
    let runs: Vec<Option<Uuid>> = deliveries.iter().map(|new| new.run.map(RunId::uuid)).collect();
    let bodies: Vec<&[u8]> = deliveries.iter().map(|new| new.body.as_slice()).collect();
    let made = sqlx::query_scalar!(
        "insert into webhook_deliveries (id, workspace_id, webhook_id, event_id, event_type, body, traceparent, due_at)
        select id, $1, webhook_id, event_id, event_type, body, (select r.traceparent from runs r where r.id = new.run_id), now()
        from unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::bytea[], $7::uuid[])
            with ordinality new (id, webhook_id, event_id, event_type, body, run_id, n)
        order by n
        on conflict (webhook_id, event_id) do nothing
        returning webhook_id",
        workspace.uuid(),
        &ids,
        &webhooks,
        &events,
        &kinds as &[&str],
        &bodies as &[&[u8]],
        &runs as &[Option<Uuid>],
    )
    .fetch_all(&mut *connection)
    .await?;
    sqlx::query!("update webhooks set due_at = least(due_at, now()) where id = any($1)", &made)
        .execute(connection)
        .await?;
    Ok(made.len() as u64)
}

async fn note_filter_faults(connection: &mut PgConnection, faults: &[(WebhookId, String)]) -> Result<(), StoreError> {
    if faults.is_empty() {
        return Ok(());
    }
    let webhooks: Vec<Uuid> = faults.iter().map(|(webhook, _)| webhook.uuid()).collect();
    let reasons: Vec<&str> = faults.iter().map(|(_, why)| why.as_str()).collect();
    sqlx::query!(
        "update webhooks w set filter_fault = fault.why, filter_fault_at = now()
        from unnest($1::uuid[], $2::text[]) fault (webhook_id, why) where w.id = fault.webhook_id",
        &webhooks,
        &reasons as &[&str],
    )
    .execute(connection)
    .await?;
    Ok(())
}
