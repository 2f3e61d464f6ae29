//! Webhooks: where events are sent to, and what became of each.
//!
//! Whoever changes a pending delivery holds its webhook's row, so limits are exact whatever hosts do; a webhook is disabled or deleted under a
//! lock that keeps fan-out from adding to it. A row's `due_at` says when somebody is to look: it is lowered by whatever makes work, and
//! raised only by who has looked.

mod again;
mod claims;
mod deliveries;
mod fanout;
mod keys;
mod results;

use armilla_domain::id::{WebhookId, WorkspaceId};
use armilla_domain::webhook::{Endpoint, Webhook};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

pub use self::again::Again;
pub use self::claims::{Claimed, ClaimedDelivery, ClaimedLane, Lane};
pub use self::deliveries::{AttemptRow, DeliveryFilter, DeliveryRow};
pub use self::fanout::{FanOut, Listener, Matches, NewDelivery};
pub use self::keys::{NewWebhookKey, RotatedKey, WEBHOOK_KEYS_MAX, WebhookKeyRow};
pub use self::results::{AttemptResult, EndpointChange, EndpointRow, NewAttempt};
use crate::event_cursors::{EventConsumer, start_cursor};
use crate::{Store, StoreError};

/// Webhooks of one workspace: each event is held against all of them.
pub const WEBHOOKS_PER_WORKSPACE_MAX: i64 = 100;

/// A webhook to be kept.
#[derive(Debug)]
pub struct NewWebhook<'a> {
    /// Its id.
    pub id: WebhookId,
    /// What it was configured to be.
    pub webhook: &'a Webhook,
    /// Whether it is told events from now on.
    pub enabled: bool,
    /// What its deliveries are signed with.
    pub key: NewWebhookKey<'a>,
    /// Who made it.
    pub by: &'a str,
}

/// A webhook.
#[derive(Debug, Clone)]
pub struct WebhookRow {
    /// Its id.
    pub id: WebhookId,
    /// What it was configured to be.
    pub webhook: Webhook,
    /// Whether it is told events.
    pub enabled: bool,
    /// Why not, where nobody disabled it: `failing` or `gone`.
    pub disabled_reason: Option<String>,
    /// Why its filter failed, and when it last did.
    pub filter_fault: Option<(String, DateTime<Utc>)>,
    /// How its endpoint has answered lately.
    pub endpoint: Endpoint,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// An endpoint's columns as the database has them.
struct EndpointColumns {
    failures: i32,
    failing_since: Option<DateTime<Utc>>,
    told: bool,
    pauses: i32,
    paused_until: Option<DateTime<Utc>>,
    share: Option<i32>,
}

impl From<EndpointColumns> for Endpoint {
    fn from(columns: EndpointColumns) -> Self {
        let EndpointColumns { failures, failing_since, told, pauses, paused_until, share } = columns;
        let (failures, pauses) = (failures.unsigned_abs(), pauses.unsigned_abs());
        Self { failures, failing_since, told, pauses, paused_until, share: share.map(i32::unsigned_abs) }
    }
}

impl Store {
    /// Keeps a webhook, and begins to follow the workspace's events where nobody did for its webhooks. `horizon` was asked for before. Says
    /// whether there was room for it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn create_webhook(
        &self,
        workspace: WorkspaceId,
        new: &NewWebhook<'_>,
        horizon: i64,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query!("insert into workspaces (id) values ($1) on conflict do nothing", workspace.uuid())
            .execute(&mut *transaction)
            .await?;
        // Those who make webhooks at the same time are counted one after the other.
        sqlx::query_scalar!("select id from workspaces where id = $1 for no key update", workspace.uuid())
            .fetch_one(&mut *transaction)
            .await?;
        if new.enabled {
            start_cursor(&mut transaction, EventConsumer::Webhooks, workspace, horizon).await?;
        }
        let made = sqlx::query!(
            "insert into webhooks (id, workspace_id, config, enabled, created_by, since)
            select $1, $2, $3, $4, $5, pg_current_xact_id()::text::bigint
            where (select count(*) from webhooks where workspace_id = $2) < $6",
            new.id.uuid(),
            workspace.uuid(),
            text_of(new.webhook)?,
            new.enabled,
            new.by,
            WEBHOOKS_PER_WORKSPACE_MAX,
        );
        if made.execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(false);
        }
        keys::add_key(&mut transaction, new.id, &new.key).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Changes what a webhook is configured to be. What waits is tried at once. Says whether there is one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn replace_webhook(
        &self,
        workspace: WorkspaceId,
        id: WebhookId,
        webhook: &Webhook,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        // What failed before failed as it was before.
        let done = sqlx::query!(
            "update webhooks set config = $3, filter_fault = null, filter_fault_at = null, share = null, paused_until = null, arrival = null,
                failures = 0, failing_since = null, told = false, pauses = 0, due_at = now(), updated_at = now()
            where id = $1 and workspace_id = $2",
            id.uuid(),
            workspace.uuid(),
            text_of(webhook)?,
        );
        let known = done.execute(&mut *transaction).await?.rows_affected() == 1;
        if known {
            sqlx::query!(
                "update webhook_deliveries set due_at = now()
                where webhook_id = $1 and status = 'pending' and claimed_by is null",
                id.uuid(),
            )
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(known)
    }

    /// Tells a webhook events from now on; one that is told them already stays as it is. `horizon` was asked for before. Says whether
    /// there is one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn enable_webhook(
        &self,
        workspace: WorkspaceId,
        id: WebhookId,
        horizon: i64,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let known = sqlx::query_scalar!(
            "select id from webhooks where id = $1 and workspace_id = $2",
            id.uuid(),
            workspace.uuid()
        );
        if known.fetch_optional(&mut *transaction).await?.is_none() {
            return Ok(false);
        }
        // Before the webhook's row: who follows the cursor locks in this order too.
        start_cursor(&mut transaction, EventConsumer::Webhooks, workspace, horizon).await?;
        sqlx::query!(
            "update webhooks set enabled = true, disabled_reason = null, failures = 0, failing_since = null, told = false, pauses = 0,
                paused_until = null, share = null, due_at = now(), updated_at = now(), since = pg_current_xact_id()::text::bigint
            where id = $1 and not enabled",
            id.uuid(),
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Tells a webhook nothing more, and gives up what waits. Says whether there is one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn disable_webhook(&self, workspace: WorkspaceId, id: WebhookId) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        if !lock_to_end(&mut transaction, workspace, id).await? {
            return Ok(false);
        }
        sqlx::query!(
            "update webhooks set enabled = false, disabled_reason = null, due_at = null, updated_at = now() where id = $1 and enabled",
            id.uuid(),
        )
        .execute(&mut *transaction)
        .await?;
        give_up_pending(&mut transaction, &[id.uuid()], &["the webhook was disabled"]).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Deletes a webhook with its keys, and gives up what waits; what was delivered can still be looked up. Says whether there was one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delete_webhook(&self, workspace: WorkspaceId, id: WebhookId) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        if !lock_to_end(&mut transaction, workspace, id).await? {
            return Ok(false);
        }
        give_up_pending(&mut transaction, &[id.uuid()], &["the webhook was deleted"]).await?;
        sqlx::query!("delete from webhooks where id = $1", id.uuid()).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// A webhook of a workspace.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn webhook(&self, workspace: WorkspaceId, id: WebhookId) -> Result<Option<WebhookRow>, StoreError> {
        Ok(self.webhooks_that(workspace, Some(id), None, 1).await?.pop())
    }

    /// Webhooks of a workspace, newest first, from before `before` on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn webhooks(
        &self,
        workspace: WorkspaceId,
        before: Option<WebhookId>,
        limit: u32,
    ) -> Result<Vec<WebhookRow>, StoreError> {
        self.webhooks_that(workspace, None, before, limit).await
    }

    async fn webhooks_that(
        &self,
        workspace: WorkspaceId,
        id: Option<WebhookId>,
        before: Option<WebhookId>,
        limit: u32,
    ) -> Result<Vec<WebhookRow>, StoreError> {
        let rows = sqlx::query!(
            "select id, config, enabled, disabled_reason, filter_fault, filter_fault_at, failures, failing_since, told, pauses, paused_until,
                share, created_by, created_at, updated_at
            from webhooks
            where workspace_id = $1 and ($2::uuid is null or id = $2) and ($3::uuid is null or id < $3)
            order by id desc limit $4",
            workspace.uuid(),
            id.map(WebhookId::uuid),
            before.map(WebhookId::uuid),
            i64::from(limit),
        )
        .fetch_all(&self.pool)
        .await?;
        let webhooks = rows.into_iter().map(|row| {
            let endpoint = EndpointColumns {
                failures: row.failures,
                failing_since: row.failing_since,
                told: row.told,
                pauses: row.pauses,
                paused_until: row.paused_until,
                share: row.share,
            };
            Ok(WebhookRow {
                id: WebhookId::from_uuid(row.id),
                webhook: webhook_of(row.id, &row.config)?,
                enabled: row.enabled,
                disabled_reason: row.disabled_reason,
                filter_fault: row.filter_fault.zip(row.filter_fault_at),
                endpoint: endpoint.into(),
                created_by: row.created_by,
                created_at: row.created_at,
                updated_at: row.updated_at,
            })
        });
        webhooks.collect()
    }

    /// Whether deliveries of a workspace are made and signed, but not sent.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn webhook_test_mode(&self, workspace: WorkspaceId) -> Result<bool, StoreError> {
        let mode = sqlx::query_scalar!("select webhook_test_mode from workspaces where id = $1", workspace.uuid());
        Ok(mode.fetch_optional(&self.pool).await?.unwrap_or(false))
    }

    /// Begins or ends that.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn set_webhook_test_mode(&self, workspace: WorkspaceId, on: bool) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into workspaces (id, webhook_test_mode) values ($1, $2)
            on conflict (id) do update set webhook_test_mode = excluded.webhook_test_mode",
            workspace.uuid(),
            on,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

/// Locks a webhook against everybody, fan-out included, until the transaction ends. Says whether there is one.
async fn lock_to_end(connection: &mut PgConnection, workspace: WorkspaceId, id: WebhookId) -> Result<bool, StoreError> {
    let locked = sqlx::query_scalar!(
        "select id from webhooks where id = $1 and workspace_id = $2 for update",
        id.uuid(),
        workspace.uuid()
    );
    Ok(locked.fetch_optional(connection).await?.is_some())
}

/// Ends every pending delivery of webhooks whose rows are locked, each for its reason. Who is at one may still say that it went well.
async fn give_up_pending(
    connection: &mut PgConnection,
    webhooks: &[Uuid],
    reasons: &[&'static str],
) -> Result<(), StoreError> {
    sqlx::query!(
        "update webhook_deliveries d set status = 'failed', reason = gone.reason, due_at = null, ended_at = now()
        from unnest($1::uuid[], $2::text[]) gone (webhook_id, reason)
        where d.webhook_id = gone.webhook_id and d.status = 'pending'",
        webhooks,
        reasons as &[&str],
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn text_of(webhook: &Webhook) -> Result<String, StoreError> {
    serde_json::to_string(webhook).map_err(|error| StoreError::Corrupt(error.to_string()))
}

fn webhook_of(id: Uuid, config: &str) -> Result<Webhook, StoreError> {
    serde_json::from_str(config)
        .map_err(|error| StoreError::Corrupt(format!("the webhook `{}`: {error}", WebhookId::from_uuid(id))))
}
