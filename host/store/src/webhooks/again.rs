//! Deliveries that have ended are sent again.

use armilla_domain::id::{DeliveryId, WebhookId, WorkspaceId};
use armilla_domain::webhook::TEST_EVENT;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::{Store, StoreError};

/// What became of the wish to send something again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// So many are.
    Done(u64),
    /// There is no such delivery or webhook.
    Unknown,
    /// The webhook is disabled, or deleted.
    Disabled,
}

impl Store {
    /// Sends a delivery again, at once, however it ended; with all its tries before it. What a host is at stays as it is.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn resend_delivery(&self, workspace: WorkspaceId, id: DeliveryId) -> Result<Again, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let webhook = sqlx::query_scalar!(
            "select webhook_id from webhook_deliveries where id = $1 and workspace_id = $2",
            id.uuid(),
            workspace.uuid(),
        );
        let Some(webhook) = webhook.fetch_optional(&mut *transaction).await? else { return Ok(Again::Unknown) };
        if lock_enabled(&mut transaction, workspace, WebhookId::from_uuid(webhook)).await? != Some(true) {
            return Ok(Again::Disabled);
        }
        let sent = sqlx::query!(
            // Before all others that are due: it was asked for.
            "update webhook_deliveries d set status = 'pending', reason = null, tries = 0, ended_at = null, claimed_by = null,
                due_at = least(now(), (
                    select min(o.due_at) from webhook_deliveries o where o.webhook_id = d.webhook_id and o.status = 'pending'
                ) - interval '1 millisecond')
            where id = $1 and not (claimed_by is not null and status = 'pending' and due_at > now())",
            id.uuid(),
        )
        .execute(&mut *transaction)
        .await?;
        look_now(&mut transaction, WebhookId::from_uuid(webhook)).await?;
        transaction.commit().await?;
        Ok(Again::Done(sent.rows_affected()))
    }

    /// Sends up to `limit` deliveries of a webhook again that were made in some time, after `after`, and failed; gives the last of them, too.
    /// A test was meant for its moment alone.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn resend_failed(
        &self,
        workspace: WorkspaceId,
        webhook: WebhookId,
        (since, until): (DateTime<Utc>, DateTime<Utc>),
        after: DeliveryId,
        limit: u32,
    ) -> Result<(Again, DeliveryId), StoreError> {
        let mut transaction = self.pool.begin().await?;
        match lock_enabled(&mut transaction, workspace, webhook).await? {
            None => return Ok((Again::Unknown, after)),
            Some(false) => return Ok((Again::Disabled, after)),
            Some(true) => {}
        }
        let sent = sqlx::query_scalar!(
            "update webhook_deliveries set status = 'pending', reason = null, tries = 0, due_at = now(), ended_at = null, claimed_by = null
            where id in (
                select id from webhook_deliveries where workspace_id = $1 and webhook_id = $2 and status = 'failed'
                    and id >= first_run_id($3) and id < first_run_id($4) and id > $7 and event_type <> $6 order by id limit $5
            )
            returning id",
            workspace.uuid(),
            webhook.uuid(),
            since,
            until,
            i64::from(limit),
            TEST_EVENT,
            after.uuid(),
        )
        .fetch_all(&mut *transaction)
        .await?;
        look_now(&mut transaction, webhook).await?;
        transaction.commit().await?;
        let last = sent.iter().max().map_or(after, |last| DeliveryId::from_uuid(*last));
        Ok((Again::Done(sent.len() as u64), last))
    }

    /// How many deliveries of a webhook that were made in some time have failed, but for tests; counted up to `limit`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn count_failed(
        &self,
        workspace: WorkspaceId,
        webhook: WebhookId,
        (since, until): (DateTime<Utc>, DateTime<Utc>),
        limit: u32,
    ) -> Result<u64, StoreError> {
        let count = sqlx::query_scalar!(
            r#"select count(*) as "count!" from (
                select from webhook_deliveries where workspace_id = $1 and webhook_id = $2 and status = 'failed'
                    and id >= first_run_id($3) and id < first_run_id($4) and event_type <> $6 limit $5
            ) failed"#,
            workspace.uuid(),
            webhook.uuid(),
            since,
            until,
            i64::from(limit),
            TEST_EVENT,
        );
        Ok(count.fetch_one(&self.pool).await?.unsigned_abs())
    }
}

/// Locks a webhook; says whether it is enabled, where there is one.
async fn lock_enabled(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    id: WebhookId,
) -> Result<Option<bool>, StoreError> {
    let enabled = sqlx::query_scalar!(
        "select enabled from webhooks where id = $1 and workspace_id = $2 for no key update",
        id.uuid(),
        workspace.uuid(),
    );
    Ok(enabled.fetch_optional(connection).await?)
}

/// Somebody wants it sent now, so no pause holds it back; the others wait for what the endpoint says to it.
async fn look_now(connection: &mut PgConnection, id: WebhookId) -> Result<(), StoreError> {
    let looked_at = sqlx::query!(
        "update webhooks set due_at = now(), share = case when paused_until > now() then 1 else share end, paused_until = null
        where id = $1",
        id.uuid()
    );
    looked_at.execute(connection).await?;
    Ok(())
}
