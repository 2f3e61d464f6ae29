//! Deliveries that are due are claimed: webhooks take turns, and a webhook's row is locked while it is decided how many of it may begin.

use std::collections::HashMap;

use armilla_domain::id::{DeliveryId, EventId, WebhookId, WorkspaceId};
use armilla_domain::webhook::{Admission, Endpoint, LANE_DUE_MAX, Waiting, Webhook};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::keys::{WebhookKeyRow, keys_of};
use super::{EndpointColumns, webhook_of};
use crate::{Store, StoreError};

/// A webhook of which something may be due.
#[derive(Debug)]
pub struct Lane {
    /// Its id.
    pub id: WebhookId,
    /// What it was configured to be.
    pub webhook: Webhook,
    /// How its endpoint has answered lately.
    pub endpoint: Endpoint,
    /// The theoretical arrival time of its next call.
    pub arrival: Option<DateTime<Utc>>,
    /// What waits and goes on.
    pub waiting: Waiting,
    workspace: WorkspaceId,
    test_mode: bool,
}

/// A webhook of which something was claimed.
#[derive(Debug, Clone)]
pub struct ClaimedLane {
    /// Its id.
    pub id: WebhookId,
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// What it was configured to be.
    pub webhook: Webhook,
    /// Whether nothing is to leave.
    pub test_mode: bool,
    /// What its deliveries are signed with, the newest first.
    pub keys: Vec<WebhookKeyRow>,
}

/// A delivery that this host is to try.
#[derive(Debug, Clone)]
pub struct ClaimedDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// To whom.
    pub webhook: WebhookId,
    /// Of what.
    pub event: EventId,
    /// The trace that it belongs to.
    pub traceparent: Option<String>,
    /// What is sent.
    pub body: Vec<u8>,
    /// Whether the webhook's tool has made the body.
    pub transformed: bool,
    /// Tries since it was last begun, without this one.
    pub tries: u32,
    /// How often it was claimed: what fences this claim.
    pub claims: i32,
}

/// What was claimed.
#[derive(Debug, Default)]
pub struct Claimed {
    /// The webhooks.
    pub lanes: Vec<ClaimedLane>,
    /// The deliveries.
    pub deliveries: Vec<ClaimedDelivery>,
    /// How long until a webhook is to be looked at again; nothing where none is.
    pub look_again: Option<TimeDelta>,
}

impl Store {
    /// Claims deliveries of up to `lanes_max` webhooks, those first that have waited for longest: as many of each as `admit` says, told of
    /// the database's time. What is claimed is given up after `lease`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn claim_deliveries(
        &self,
        host: Uuid,
        lease: TimeDelta,
        lanes_max: u32,
        mut admit: impl FnMut(&Lane, DateTime<Utc>) -> Admission + Send,
    ) -> Result<Claimed, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let (mut lanes, now) = lock_lanes(&mut transaction, lanes_max).await?;
        if lanes.is_empty() {
            let look_again = look_again(&mut transaction).await?;
            return Ok(Claimed { look_again, ..Claimed::default() });
        }
        look_at(&mut transaction, &mut lanes, now).await?;
        let admissions: Vec<Admission> = lanes.iter().map(|lane| admit(lane, now)).collect();
        let deliveries = claim(&mut transaction, host, &lanes, &admissions, (now, now + lease)).await?;
        keep_admissions(&mut transaction, &lanes, &admissions).await?;
        let taken: Vec<Uuid> = (lanes.iter().zip(&admissions))
            .filter(|(_, admission)| admission.take > 0)
            .map(|(lane, _)| lane.id.uuid())
            .collect();
        let mut keys: HashMap<WebhookId, Vec<WebhookKeyRow>> = HashMap::new();
        for key in keys_of(&mut transaction, &taken).await? {
            keys.entry(key.webhook).or_default().push(key);
        }
        let look_again = look_again(&mut transaction).await?;
        transaction.commit().await?;
        let lanes = lanes.into_iter().filter(|lane| taken.contains(&lane.id.uuid()));
        let lanes = lanes.map(|lane| ClaimedLane {
            keys: keys.remove(&lane.id).unwrap_or_default(),
            id: lane.id,
            workspace: lane.workspace,
            webhook: lane.webhook,
            test_mode: lane.test_mode,
        });
        Ok(Claimed { lanes: lanes.collect(), deliveries, look_again })
    }

    /// Keeps the body that a webhook's tool has made, as long as the claim holds. Says whether it does.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn keep_transformed(
        &self,
        delivery: DeliveryId,
        host: Uuid,
        claims: i32,
        body: &[u8],
    ) -> Result<bool, StoreError> {
        let kept = sqlx::query!(
            "update webhook_deliveries set body = $4, transformed = true where id = $1 and claimed_by = $2 and claims = $3",
            delivery.uuid(),
            host,
            claims,
            body,
        );
        Ok(kept.execute(&self.pool).await?.rows_affected() == 1)
    }

    /// Gives up what a host has claimed: at its start, where it can be at nothing, and at its end.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn release_deliveries(&self, host: Uuid) -> Result<u64, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let webhooks = sqlx::query_scalar!(
            "select id from webhooks where id in (select webhook_id from webhook_deliveries where claimed_by = $1 and status = 'pending')
            order by id for no key update",
            host,
        )
        .fetch_all(&mut *transaction)
        .await?;
        let released = sqlx::query!(
            "update webhook_deliveries set claimed_by = null, due_at = now() where claimed_by = $1 and status = 'pending'",
            host
        )
        .execute(&mut *transaction)
        .await?;
        sqlx::query!("update webhooks set due_at = least(due_at, now()) where id = any($1)", &webhooks)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(released.rows_affected())
    }
}

/// Webhooks of which something may be due and that no other host is at, and the database's time.
async fn lock_lanes(connection: &mut PgConnection, lanes_max: u32) -> Result<(Vec<Lane>, DateTime<Utc>), StoreError> {
    let rows = sqlx::query!(
        r#"select w.id, w.workspace_id, w.config, w.failures, w.failing_since, w.told, w.pauses, w.paused_until, w.share, w.arrival,
            s.webhook_test_mode, statement_timestamp() as "now!"
        from webhooks w join workspaces s on s.id = w.workspace_id
        where w.enabled and w.due_at <= statement_timestamp() order by w.due_at limit $1
        for no key update of w skip locked"#,
        i64::from(lanes_max),
    )
    .fetch_all(connection)
    .await?;
    let now = rows.first().map_or(DateTime::UNIX_EPOCH, |row| row.now);
    let lanes = rows.into_iter().map(|row| {
        let endpoint = EndpointColumns {
            failures: row.failures,
            failing_since: row.failing_since,
            told: row.told,
            pauses: row.pauses,
            paused_until: row.paused_until,
            share: row.share,
        };
        Ok(Lane {
            id: WebhookId::from_uuid(row.id),
            webhook: webhook_of(row.id, &row.config)?,
            endpoint: endpoint.into(),
            arrival: row.arrival,
            waiting: Waiting::default(),
            workspace: WorkspaceId::from_uuid(row.workspace_id),
            test_mode: row.webhook_test_mode,
        })
    });
    Ok((lanes.collect::<Result<_, StoreError>>()?, now))
}

/// What waits and goes on of webhooks that are locked; in a statement after the lock, which sees what others have committed before it.
async fn look_at(connection: &mut PgConnection, lanes: &mut [Lane], now: DateTime<Utc>) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = lanes.iter().map(|lane| lane.id.uuid()).collect();
    let rows = sqlx::query!(
        r#"select n as "n!",
            (select count(*) from (
                select from webhook_deliveries d where d.webhook_id = w.id and d.status = 'pending' and d.due_at <= $2 limit $3
            ) due) as "due!",
            (select min(d.due_at) from webhook_deliveries d where d.webhook_id = w.id and d.status = 'pending' and d.due_at > $2) as next,
            (select count(*) from webhook_deliveries d where d.webhook_id = w.id and d.claimed_by is not null and d.due_at > $2) as "in_flight!",
            (select min(d.due_at) from webhook_deliveries d where d.webhook_id = w.id and d.claimed_by is not null and d.due_at > $2) as lease_ends,
            (select d.due_at from webhook_deliveries d where d.webhook_id = w.id and d.status = 'pending' order by d.place limit 1) as oldest
        from unnest($1::uuid[]) with ordinality w (id, n) order by n"#,
        &ids,
        now,
        i64::from(LANE_DUE_MAX),
    )
    .fetch_all(connection)
    .await?;
    for (lane, row) in lanes.iter_mut().zip(rows) {
        let count = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
        lane.waiting = Waiting {
            in_flight: count(row.in_flight),
            due: count(row.due),
            next: row.next,
            lease_ends: row.lease_ends,
        };
        if lane.webhook.ordered {
            // The others wait for it, however long they have been due.
            lane.waiting.due = row.oldest.map_or(0, |at| u32::from(at <= now));
            lane.waiting.next = row.oldest.filter(|at| *at > now);
        }
    }
    Ok(())
}

async fn claim(
    connection: &mut PgConnection,
    host: Uuid,
    lanes: &[Lane],
    admissions: &[Admission],
    (now, until): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Vec<ClaimedDelivery>, StoreError> {
    let admitted = || lanes.iter().zip(admissions).filter(|(_, admission)| admission.take > 0);
    let ids: Vec<Uuid> = admitted().map(|(lane, _)| lane.id.uuid()).collect();
    let takes: Vec<i32> = admitted().map(|(_, admission)| admission.take.min(LANE_DUE_MAX) as i32).collect();
    let ordered: Vec<bool> = admitted().map(|(lane, _)| lane.webhook.ordered).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        r#"with taken as (
            select d.id from unnest($1::uuid[], $2::integer[], $3::boolean[]) w (id, take, ordered), lateral (
                (select d.id from webhook_deliveries d
                where not w.ordered and d.webhook_id = w.id and d.status = 'pending' and d.due_at <= $4
                order by d.due_at, d.place limit w.take)
                union all
                (select d.id from webhook_deliveries d
                where w.ordered and d.webhook_id = w.id and d.status = 'pending' order by d.place limit 1)
            ) d
        )
        update webhook_deliveries d set claimed_by = $5, claims = d.claims + 1, due_at = $6
        from taken where d.id = taken.id
        returning d.id, d.webhook_id, d.event_id, d.traceparent, d.body, d.transformed, d.tries, d.claims"#,
        &ids,
        &takes,
        &ordered,
        now,
        host,
        until,
    )
    .fetch_all(connection)
    .await?;
    let claimed = rows.into_iter().map(|row| ClaimedDelivery {
        id: DeliveryId::from_uuid(row.id),
        webhook: WebhookId::from_uuid(row.webhook_id),
        event: EventId::from_uuid(row.event_id),
        traceparent: row.traceparent,
        body: row.body,
        transformed: row.transformed,
        tries: row.tries.unsigned_abs(),
        claims: row.claims,
    });
    Ok(claimed.collect())
}

async fn keep_admissions(
    connection: &mut PgConnection,
    lanes: &[Lane],
    admissions: &[Admission],
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = lanes.iter().map(|lane| lane.id.uuid()).collect();
    let arrivals: Vec<Option<DateTime<Utc>>> = admissions.iter().map(|admission| admission.arrival).collect();
    let looks: Vec<Option<DateTime<Utc>>> = admissions.iter().map(|admission| admission.look_again).collect();
    sqlx::query!(
        "update webhooks w set arrival = a.arrival, due_at = a.look_again
        from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) a (id, arrival, look_again) where w.id = a.id",
        &ids,
        &arrivals as &[Option<DateTime<Utc>>],
        &looks as &[Option<DateTime<Utc>>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn look_again(connection: &mut PgConnection) -> Result<Option<TimeDelta>, StoreError> {
    let micros = sqlx::query_scalar!(
        r#"select (extract(epoch from min(due_at) - clock_timestamp()) * 1000000)::bigint as micros
        from webhooks where due_at is not null and enabled"#
    );
    Ok(micros.fetch_one(connection).await?.map(TimeDelta::microseconds))
}
