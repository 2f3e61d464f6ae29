//! What came of attempts: written for many at once, with what their endpoints' states become.

use armilla_domain::id::{DeliveryId, WebhookId, WorkspaceId};
use armilla_domain::webhook::{DisabledBecause, Endpoint, Webhook};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{EndpointColumns, give_up_pending, webhook_of};
use crate::events::EventColumns;
use crate::{NewEvent, Store, StoreError};

/// A try of a delivery.
#[derive(Debug, Clone, Default)]
pub struct NewAttempt {
    /// When it began, by the host's clock.
    pub at: DateTime<Utc>,
    /// The word for what came of it: succeeded, failed, captured or skipped.
    pub outcome: &'static str,
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
    /// Resolving, connecting, waiting, reading: each in microseconds.
    pub phases_us: [Option<i64>; 4],
    /// All of it.
    pub total_us: i64,
    /// Why there is no answer, or not all of it: a code, and the same in words.
    pub error: Option<(&'static str, String)>,
    /// Why it is tried again when it is.
    pub retry_reason: Option<&'static str>,
}

/// What comes of a delivery by an attempt.
#[derive(Debug, Clone)]
pub struct AttemptResult {
    /// Which.
    pub delivery: DeliveryId,
    /// Whose.
    pub webhook: WebhookId,
    /// The claim under which it was tried.
    pub claims: i32,
    /// What it is from now on: `pending` where it is tried again, or how it ended.
    pub status: &'static str,
    /// When it is tried again, in milliseconds from now; present where it is pending.
    pub retry_ms: Option<i64>,
    /// The attempt.
    pub attempt: NewAttempt,
}

/// A webhook whose endpoint was asked.
#[derive(Debug)]
pub struct EndpointRow {
    /// Its id.
    pub id: WebhookId,
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// What it was configured to be.
    pub webhook: Webhook,
    /// Whether it is told events.
    pub enabled: bool,
    /// How its endpoint has answered until now.
    pub endpoint: Endpoint,
}

/// What becomes of it.
#[derive(Debug)]
pub struct EndpointChange {
    /// How its endpoint has answered lately.
    pub endpoint: Endpoint,
    /// Whether it is told nothing more, and why.
    pub disabled: Option<DisabledBecause>,
    /// What is told of that.
    pub event: Option<NewEvent>,
}

impl Store {
    /// Keeps what came of attempts, and what `judge` makes of each webhook, told of the database's time. Attempts under a claim that has passed to
    /// somebody else are dropped. Says how many were kept.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn record_attempts(
        &self,
        host: Uuid,
        results: &[AttemptResult],
        mut judge: impl FnMut(&EndpointRow, DateTime<Utc>) -> EndpointChange + Send,
    ) -> Result<usize, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let (webhooks, now) = lock_webhooks(&mut transaction, results).await?;
        let changes: Vec<EndpointChange> = webhooks.iter().map(|webhook| judge(webhook, now)).collect();
        let numbers = finish(&mut transaction, host, results, now).await?;
        add_attempts(&mut transaction, results, &numbers, now).await?;
        let disabled = || webhooks.iter().zip(&changes).filter_map(|(row, change)| Some((row, change.disabled?)));
        let ids: Vec<Uuid> = disabled().map(|(row, _)| row.id.uuid()).collect();
        let reasons: Vec<&'static str> = disabled().map(|(_, why)| why.about()).collect();
        if !ids.is_empty() {
            give_up_pending(&mut transaction, &ids, &reasons).await?;
        }
        keep_endpoints(&mut transaction, &webhooks, &changes).await?;
        add_events(&mut transaction, &webhooks, &changes).await?;
        transaction.commit().await?;
        Ok(numbers.len())
    }
}

/// Against everybody: some of them may be disabled. In one order, so that no two hosts wait for each other.
async fn lock_webhooks(
    connection: &mut PgConnection,
    results: &[AttemptResult],
) -> Result<(Vec<EndpointRow>, DateTime<Utc>), StoreError> {
    let ids: Vec<Uuid> = results.iter().map(|result| result.webhook.uuid()).collect();
    let rows = sqlx::query!(
        "select id, workspace_id, config, enabled, failures, failing_since, told, pauses, paused_until, share
        from webhooks where id = any($1) order by id for update",
        &ids,
    )
    .fetch_all(&mut *connection)
    .await?;
    let now = sqlx::query_scalar!(r#"select statement_timestamp() as "now!""#).fetch_one(connection).await?;
    let webhooks = rows.into_iter().map(|row| {
        let endpoint = EndpointColumns {
            failures: row.failures,
            failing_since: row.failing_since,
            told: row.told,
            pauses: row.pauses,
            paused_until: row.paused_until,
            share: row.share,
        };
        Ok(EndpointRow {
            id: WebhookId::from_uuid(row.id),
            workspace: WorkspaceId::from_uuid(row.workspace_id),
            webhook: webhook_of(row.id, &row.config)?,
            enabled: row.enabled,
            endpoint: endpoint.into(),
        })
    });
    Ok((webhooks.collect::<Result<_, StoreError>>()?, now))
}

/// Ends or puts off deliveries whose claims hold. Each, with its claim, has the number of the attempt.
async fn finish(
    connection: &mut PgConnection,
    host: Uuid,
    results: &[AttemptResult],
    now: DateTime<Utc>,
) -> Result<Vec<((DeliveryId, i32), i32)>, StoreError> {
    let ids: Vec<Uuid> = results.iter().map(|result| result.delivery.uuid()).collect();
    let claims: Vec<i32> = results.iter().map(|result| result.claims).collect();
    let statuses: Vec<&str> = results.iter().map(|result| result.status).collect();
    let retries: Vec<Option<i64>> = results.iter().map(|result| result.retry_ms).collect();
    let rows = sqlx::query!(
        r#"update webhook_deliveries d set
            -- One that was given up meanwhile stays that, unless it went well after all.
            status = case when d.status = 'pending' or r.status = 'succeeded' then r.status else d.status end,
            reason = case when d.status = 'pending' or r.status = 'succeeded' then null else d.reason end,
            due_at = case when d.status = 'pending' then $6::timestamptz + r.retry_ms * interval '1 millisecond' end,
            ended_at = case when d.status = 'pending' and r.status = 'pending' then null else coalesce(d.ended_at, $6) end,
            claimed_by = null, attempts = d.attempts + 1, tries = d.tries + 1
        from unnest($1::uuid[], $2::integer[], $3::text[], $4::bigint[]) r (id, claims, status, retry_ms)
        where d.id = r.id and d.claims = r.claims and d.claimed_by = $5
        returning d.id, d.claims, d.attempts"#,
        &ids,
        &claims,
        &statuses as &[&str],
        &retries as &[Option<i64>],
        host,
        now,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| ((DeliveryId::from_uuid(row.id), row.claims), row.attempts)).collect())
}

/// Keeps the attempts of the deliveries that are numbered.
pub(super) async fn add_attempts(
    connection: &mut PgConnection,
    results: &[AttemptResult],
    numbers: &[((DeliveryId, i32), i32)],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let numbers: std::collections::HashMap<_, _> = numbers.iter().copied().collect();
    let kept: Vec<(&AttemptResult, i32)> =
        results.iter().filter_map(|result| Some((result, *numbers.get(&(result.delivery, result.claims))?))).collect();
    if kept.is_empty() {
        return Ok(());
    }
    let of = |get: fn(&NewAttempt) -> Option<&str>| -> Vec<Option<String>> {
        kept.iter().map(|(result, _)| get(&result.attempt).map(str::to_owned)).collect()
    };
    let phase = |n: usize| -> Vec<Option<i64>> { kept.iter().map(|(result, _)| result.attempt.phases_us[n]).collect() };
    let ids: Vec<Uuid> = kept.iter().map(|(result, _)| result.delivery.uuid()).collect();
    let places: Vec<i32> = kept.iter().map(|(_, number)| *number).collect();
    let at: Vec<DateTime<Utc>> = kept.iter().map(|(result, _)| result.attempt.at).collect();
    let statuses: Vec<Option<i32>> = kept.iter().map(|(result, _)| result.attempt.status).collect();
    let bodies: Vec<Option<&[u8]>> = kept.iter().map(|(result, _)| result.attempt.answer_body.as_deref()).collect();
    let cut: Vec<bool> = kept.iter().map(|(result, _)| result.attempt.answer_cut).collect();
    let totals: Vec<i64> = kept.iter().map(|(result, _)| result.attempt.total_us).collect();
    let retries: Vec<Option<i64>> = kept.iter().map(|(result, _)| result.retry_ms).collect();
    sqlx::query!(
        "insert into webhook_attempts (delivery_id, number, at, outcome, url, request_headers, status, answer_headers, answer_body,
            answer_cut, peer, resolving_us, connecting_us, waiting_us, reading_us, total_us, error, error_detail, retry_at, retry_reason)
        select delivery_id, number, at, outcome, url, request_headers, status, answer_headers, answer_body, answer_cut, peer,
            resolving_us, connecting_us, waiting_us, reading_us, total_us, error, error_detail,
            $20::timestamptz + retry_ms * interval '1 millisecond', retry_reason
        from unnest($1::uuid[], $2::integer[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::text[],
            $9::bytea[], $10::boolean[], $11::text[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[],
            $17::text[], $18::text[], $19::bigint[], $21::text[])
            a (delivery_id, number, at, outcome, url, request_headers, status, answer_headers, answer_body, answer_cut, peer,
                resolving_us, connecting_us, waiting_us, reading_us, total_us, error, error_detail, retry_ms, retry_reason)",
        &ids,
        &places,
        &at,
        &of(|attempt| Some(attempt.outcome)) as &[Option<String>],
        &of(|attempt| Some(&attempt.url)) as &[Option<String>],
        &of(|attempt| Some(&attempt.request_headers)) as &[Option<String>],
        &statuses as &[Option<i32>],
        &of(|attempt| attempt.answer_headers.as_deref()) as &[Option<String>],
        &bodies as &[Option<&[u8]>],
        &cut,
        &of(|attempt| attempt.peer.as_deref()) as &[Option<String>],
        &phase(0) as &[Option<i64>],
        &phase(1) as &[Option<i64>],
        &phase(2) as &[Option<i64>],
        &phase(3) as &[Option<i64>],
        &totals,
        &of(|attempt| attempt.error.as_ref().map(|(code, _)| *code)) as &[Option<String>],
        &of(|attempt| attempt.error.as_ref().map(|(_, detail)| detail.as_str())) as &[Option<String>],
        &retries as &[Option<i64>],
        now,
        &of(|attempt| attempt.retry_reason) as &[Option<String>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn keep_endpoints(
    connection: &mut PgConnection,
    webhooks: &[EndpointRow],
    changes: &[EndpointChange],
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = webhooks.iter().map(|row| row.id.uuid()).collect();
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let failures: Vec<i32> = changes.iter().map(|change| number(change.endpoint.failures)).collect();
    let since: Vec<Option<DateTime<Utc>>> = changes.iter().map(|change| change.endpoint.failing_since).collect();
    let told: Vec<bool> = changes.iter().map(|change| change.endpoint.told).collect();
    let pauses: Vec<i32> = changes.iter().map(|change| number(change.endpoint.pauses)).collect();
    let until: Vec<Option<DateTime<Utc>>> = changes.iter().map(|change| change.endpoint.paused_until).collect();
    let shares: Vec<Option<i32>> = changes.iter().map(|change| change.endpoint.share.map(number)).collect();
    let reasons: Vec<Option<&str>> =
        changes.iter().map(|change| change.disabled.map(DisabledBecause::as_str)).collect();
    sqlx::query!(
        "update webhooks w set failures = c.failures, failing_since = c.failing_since, told = c.told, pauses = c.pauses,
            paused_until = c.paused_until, share = c.share, enabled = w.enabled and c.disabled_reason is null,
            disabled_reason = coalesce(c.disabled_reason, w.disabled_reason),
            -- What ended may have made room, and what failed is due again.
            due_at = case when next.at is not null then least(w.due_at, greatest(next.at, c.paused_until)) else w.due_at end
        from unnest($1::uuid[], $2::integer[], $3::timestamptz[], $4::boolean[], $5::integer[], $6::timestamptz[], $7::integer[], $8::text[])
            c (id, failures, failing_since, told, pauses, paused_until, share, disabled_reason),
            lateral (select min(d.due_at) as at from webhook_deliveries d where d.webhook_id = c.id and d.status = 'pending') next
        where w.id = c.id",
        &ids,
        &failures,
        &since as &[Option<DateTime<Utc>>],
        &told,
        &pauses,
        &until as &[Option<DateTime<Utc>>],
        &shares as &[Option<i32>],
        &reasons as &[Option<&str>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn add_events(
    connection: &mut PgConnection,
    webhooks: &[EndpointRow],
    changes: &[EndpointChange],
) -> Result<(), StoreError> {
    let told = || webhooks.iter().zip(changes).filter_map(|(row, change)| Some((row, change.event.as_ref()?)));
    let workspaces: Vec<Uuid> = told().map(|(row, _)| row.workspace.uuid()).collect();
    if workspaces.is_empty() {
        return Ok(());
    }
    let events = EventColumns::of(told().map(|(_, event)| event));
    sqlx::query!(
        "insert into events (id, workspace_id, type, data, depth)
        select id, workspace_id, type, data, depth
        from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::smallint[]) e (id, workspace_id, type, data, depth)",
        &events.id,
        &workspaces,
        &events.kind as &[&str],
        &events.data as &[&str],
        &events.depth,
    )
    .execute(connection)
    .await?;
    Ok(())
}
