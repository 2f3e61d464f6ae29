//! Deliveries, for whoever looks at them.

use armilla_domain::id::{DeliveryId, EventId, WebhookId, WorkspaceId};
use chrono::{DateTime, Utc};

use super::results::add_attempts;
use super::{AttemptResult, NewDelivery};
use crate::{Store, StoreError};

/// Which deliveries of a workspace are meant.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// Those of one webhook.
    pub webhook: Option<WebhookId>,
    /// Those of one status.
    pub status: Option<String>,
    /// Those of one type of event, dotted.
    pub event_type: Option<String>,
    /// Those made from then on.
    pub since: Option<DateTime<Utc>>,
    /// Those made before then.
    pub until: Option<DateTime<Utc>>,
}

/// A delivery.
#[derive(Debug, Clone)]
pub struct DeliveryRow {
    /// Its id.
    pub id: DeliveryId,
    /// To whom.
    pub webhook: WebhookId,
    /// Of what.
    pub event: EventId,
    /// The type of that.
    pub event_type: String,
    /// The word for how it stands: pending, succeeded, failed, captured or skipped.
    pub status: String,
    /// Why it ended so, where no attempt says.
    pub reason: Option<String>,
    /// Attempts so far.
    pub attempts: u32,
    /// Whether a host is at it.
    pub in_flight: bool,
    /// When it is tried next; while a host is at it, when that is given up.
    pub due_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// The status of the last answer.
    pub last_status: Option<i32>,
    /// The code of the last error.
    pub last_error: Option<String>,
    /// The same in words.
    pub last_error_detail: Option<String>,
}

/// A try of a delivery.
#[derive(Debug, Clone)]
pub struct AttemptRow {
    /// From one on.
    pub number: i32,
    /// When it began.
    pub at: DateTime<Utc>,
    /// The word for what came of it.
    pub outcome: String,
    /// Where it was sent.
    pub url: String,
    /// JSON: a list of pairs.
    pub request_headers: String,
    /// The status of the answer.
    pub status: Option<i32>,
    /// JSON: a list of pairs.
    pub answer_headers: Option<String>,
    /// The first bytes of its body,
    pub answer_body: Option<Vec<u8>>,
    /// and whether there were more.
    pub answer_cut: bool,
    /// The far end of the connection.
    pub peer: Option<String>,
    /// Finding the address, in microseconds; this and the others are absent where they were not entered.
    pub resolving_us: Option<i64>,
    /// Connecting.
    pub connecting_us: Option<i64>,
    /// Waiting for the answer's head.
    pub waiting_us: Option<i64>,
    /// Reading its body.
    pub reading_us: Option<i64>,
    /// All of it.
    pub total_us: i64,
    /// The code of the error.
    pub error: Option<String>,
    /// The same in words.
    pub error_detail: Option<String>,
    /// When it is tried again.
    pub retry_at: Option<DateTime<Utc>>,
    /// Why then.
    pub retry_reason: Option<String>,
}

impl Store {
    /// Deliveries of a workspace, newest first, from before `before` on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn webhook_deliveries(
        &self,
        workspace: WorkspaceId,
        filter: &DeliveryFilter,
        before: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        self.deliveries_that(workspace, None, filter, before, limit).await
    }

    /// A delivery of a workspace, with what is sent.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn webhook_delivery(
        &self,
        workspace: WorkspaceId,
        id: DeliveryId,
    ) -> Result<Option<(DeliveryRow, Vec<u8>)>, StoreError> {
        let found = self.deliveries_that(workspace, Some(id), &DeliveryFilter::default(), None, 1).await?.pop();
        let body = sqlx::query_scalar!(
            "select body from webhook_deliveries where id = $1 and workspace_id = $2",
            id.uuid(),
            workspace.uuid(),
        );
        Ok(found.zip(body.fetch_optional(&self.pool).await?))
    }

    async fn deliveries_that(
        &self,
        workspace: WorkspaceId,
        id: Option<DeliveryId>,
        filter: &DeliveryFilter,
        before: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        let rows = sqlx::query!(
            r#"select d.id, d.webhook_id, d.event_id, d.event_type, d.status, d.reason, d.attempts, d.created_at, d.ended_at,
                -- What is due while its webhook is paused is tried afterwards.
                case when d.due_at is not null then greatest(d.due_at, w.paused_until) end as due_at,
                d.claimed_by is not null and d.status = 'pending' and d.due_at > now() as "in_flight!",
                a.status as "last_status?", a.error as "last_error?", a.error_detail as "last_error_detail?"
            from webhook_deliveries d
                left join webhooks w on w.id = d.webhook_id
                left join webhook_attempts a on a.delivery_id = d.id and a.number = d.attempts
            where d.workspace_id = $1 and ($2::uuid is null or d.id = $2) and ($3::uuid is null or d.webhook_id = $3)
                and ($4::text is null or d.status = $4) and ($5::text is null or d.event_type = $5)
                and ($6::timestamptz is null or d.id >= first_run_id($6)) and ($7::timestamptz is null or d.id < first_run_id($7))
                and ($8::uuid is null or d.id < $8)
            order by d.id desc limit $9"#,
            workspace.uuid(),
            id.map(DeliveryId::uuid),
            filter.webhook.map(WebhookId::uuid),
            filter.status,
            filter.event_type,
            filter.since,
            filter.until,
            before.map(DeliveryId::uuid),
            i64::from(limit),
        );
        let rows = self.page(rows).await?;
        let deliveries = rows.into_iter().map(|row| DeliveryRow {
            id: DeliveryId::from_uuid(row.id),
            webhook: WebhookId::from_uuid(row.webhook_id),
            event: EventId::from_uuid(row.event_id),
            event_type: row.event_type,
            status: row.status,
            reason: row.reason,
            attempts: row.attempts.unsigned_abs(),
            in_flight: row.in_flight,
            due_at: row.due_at,
            created_at: row.created_at,
            ended_at: row.ended_at,
            last_status: row.last_status,
            last_error: row.last_error,
            last_error_detail: row.last_error_detail,
        });
        Ok(deliveries.collect())
    }

    /// The last `limit` attempts of a delivery, the first one of them first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn webhook_attempts(&self, id: DeliveryId, limit: u32) -> Result<Vec<AttemptRow>, StoreError> {
        let attempts = sqlx::query_as!(
            AttemptRow,
            "select number, at, outcome, url, request_headers, status, answer_headers, answer_body, answer_cut, peer, resolving_us,
                connecting_us, waiting_us, reading_us, total_us, error, error_detail, retry_at, retry_reason
            from webhook_attempts where delivery_id = $1 order by number desc limit $2",
            id.uuid(),
            i64::from(limit),
        );
        let mut attempts = attempts.fetch_all(&self.pool).await?;
        attempts.reverse();
        Ok(attempts)
    }

    /// Keeps a delivery that somebody made by hand and that has ended with its first attempt.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn add_ended_delivery(
        &self,
        workspace: WorkspaceId,
        delivery: &NewDelivery,
        result: AttemptResult,
    ) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        let now = sqlx::query_scalar!(
            r#"insert into webhook_deliveries (id, workspace_id, webhook_id, event_id, event_type, body, status, attempts, tries, ended_at)
            values ($1, $2, $3, $4, $5, $6, $7, 1, 1, now()) returning ended_at as "now!""#,
            delivery.id.uuid(),
            workspace.uuid(),
            delivery.webhook.uuid(),
            delivery.event.uuid(),
            delivery.kind,
            delivery.body,
            result.status,
        )
        .fetch_one(&mut *transaction)
        .await?;
        let claim = (delivery.id, result.claims);
        add_attempts(&mut transaction, &[result], &[(claim, 1)], now).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Removes up to `limit` deliveries that were made more than so many days ago and have ended, with their attempts. Says how many.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn remove_old_deliveries(&self, days: i32, limit: u32) -> Result<u64, StoreError> {
        // Their ids begin with the time, so no other index is needed.
        let removed = sqlx::query!(
            "delete from webhook_deliveries where id in (
                select id from webhook_deliveries
                where id < first_run_id(now() - make_interval(days => $1)) and status <> 'pending'
                order by id limit $2 for update skip locked
            )",
            days,
            i64::from(limit),
        );
        Ok(removed.execute(&self.pool).await?.rows_affected())
    }
}
