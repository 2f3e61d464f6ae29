//! What deliveries are signed with.

use armilla_domain::id::{WebhookId, WorkspaceId};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::lock_to_end;
use crate::{Store, StoreError};

/// Keys of a webhook that sign at once: each makes a signature, and receivers try few.
pub const WEBHOOK_KEYS_MAX: i64 = 5;
/// How long a key is kept after it has signed for the last time, in days: so long can be told whether a signature was its.
const KEY_DAYS_KEPT: i32 = 1;

/// A key to be kept.
#[derive(Debug)]
pub struct NewWebhookKey<'a> {
    /// Its id.
    pub id: Uuid,
    /// The word of its scheme.
    pub scheme: &'static str,
    /// Sealed.
    pub sealed: &'a [u8],
    /// What is no secret of it.
    pub public: Option<&'a str>,
}

/// A key.
#[derive(Debug, Clone)]
pub struct WebhookKeyRow {
    /// Its id.
    pub id: Uuid,
    /// Whose.
    pub webhook: WebhookId,
    /// The word of its scheme.
    pub scheme: String,
    /// Sealed.
    pub sealed: Vec<u8>,
    /// What is no secret of it.
    pub public: Option<String>,
    /// Until when it signs; the present one has no end.
    pub valid_until: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// What became of a new key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotatedKey {
    /// It is the present one.
    Done,
    /// There is no such webhook.
    Unknown,
    /// Too many sign already.
    TooMany,
}

impl Store {
    /// Gives a webhook another key; the one before signs too for so many hours. With none, no key before it signs any more, however long
    /// it was to.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn rotate_webhook_key(
        &self,
        workspace: WorkspaceId,
        webhook: WebhookId,
        key: &NewWebhookKey<'_>,
        overlap_hours: i32,
    ) -> Result<RotatedKey, StoreError> {
        let mut transaction = self.pool.begin().await?;
        if !lock_to_end(&mut transaction, workspace, webhook).await? {
            return Ok(RotatedKey::Unknown);
        }
        let signing = sqlx::query_scalar!(
            r#"select count(*) as "count!" from webhook_keys
            where webhook_id = $1 and $2 > 0 and (valid_until > now() or valid_until is null)"#,
            webhook.uuid(),
            overlap_hours,
        )
        .fetch_one(&mut *transaction)
        .await?;
        if signing >= WEBHOOK_KEYS_MAX {
            return Ok(RotatedKey::TooMany);
        }
        sqlx::query!(
            "update webhook_keys set valid_until = now() + make_interval(hours => $2)
            where webhook_id = $1 and (valid_until is null or $2 = 0 and valid_until > now())",
            webhook.uuid(),
            overlap_hours,
        )
        .execute(&mut *transaction)
        .await?;
        add_key(&mut transaction, webhook, key).await?;
        transaction.commit().await?;
        Ok(RotatedKey::Done)
    }

    /// Keys that sign the deliveries of some webhooks, the newest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn webhook_keys(&self, webhooks: &[WebhookId]) -> Result<Vec<WebhookKeyRow>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let webhooks: Vec<Uuid> = webhooks.iter().map(|id| id.uuid()).collect();
        keys_of(&mut connection, &webhooks).await
    }

    /// Removes keys that have not signed for long.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn remove_old_webhook_keys(&self) -> Result<(), StoreError> {
        sqlx::query!("delete from webhook_keys where valid_until < now() - make_interval(days => $1)", KEY_DAYS_KEPT)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

pub(super) async fn keys_of(
    connection: &mut PgConnection,
    webhooks: &[Uuid],
) -> Result<Vec<WebhookKeyRow>, StoreError> {
    let rows = sqlx::query!(
        "select id, webhook_id, scheme, sealed, public_key, valid_until, created_at from webhook_keys
        where webhook_id = any($1) and (valid_until is null or valid_until > now())
        order by valid_until desc nulls first, created_at desc",
        webhooks,
    )
    .fetch_all(connection)
    .await?;
    let keys = rows.into_iter().map(|row| WebhookKeyRow {
        id: row.id,
        webhook: WebhookId::from_uuid(row.webhook_id),
        scheme: row.scheme,
        sealed: row.sealed,
        public: row.public_key,
        valid_until: row.valid_until,
        created_at: row.created_at,
    });
    Ok(keys.collect())
}

pub(super) async fn add_key(
    connection: &mut PgConnection,
    webhook: WebhookId,
    key: &NewWebhookKey<'_>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into webhook_keys (id, webhook_id, scheme, sealed, public_key) values ($1, $2, $3, $4, $5)",
        key.id,
        webhook.uuid(),
        key.scheme,
        key.sealed,
        key.public,
    )
    .execute(connection)
    .await?;
    Ok(())
}
