//! Leases: which host works on which run. Only the database's clock judges them; the epoch fences whoever held one before.

use std::time::Duration;

use armilla_domain::id::{RunId, WorkflowId, WorkspaceId};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{Store, StoreError};

/// How often a run may be taken up without getting on before it is paused: one that ends every host it meets must not meet them
/// all. Whoever pauses it leaves the count as it is, so that no message but a command to go on or to end brings it to another host.
pub const CLAIMS_WITHOUT_PROGRESS_MAX: i32 = 3;

/// What a host asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The host.
    pub owner: Uuid,
    /// For how long from now.
    pub duration: Duration,
}

/// A run that a host may work on.
#[derive(Debug, Clone)]
pub struct LeasedRun {
    /// The run.
    pub id: RunId,
    /// Whose.
    pub workspace: WorkspaceId,
    /// What it runs.
    pub workflow: WorkflowId,
    /// The version it is on.
    pub version: i32,
    /// The version it began with.
    pub first_version: i32,
    /// The run that waits for it.
    pub parent: Option<RunId>,
    /// How many runs stand above it.
    pub depth: i32,
    /// What it is one of so many of, where its workflow bounds how many go on at once.
    pub concurrency_key: Option<String>,
    /// Whether it may go on, among those.
    pub admitted: bool,
    /// The database's time when it was leased: what is due by that is due.
    pub leased_at: DateTime<Utc>,
    /// To be named by every append.
    pub epoch: i64,
    /// The only "now" that its expressions see.
    pub started_at: DateTime<Utc>,
    /// W3C trace context to pass on.
    pub traceparent: Option<String>,
    /// How many entries its journal has.
    pub journal_len: i32,
    /// What its journal weighs already.
    pub journal_bytes: i64,
    /// How often it was taken up since its last append, this time counted.
    pub claims: i32,
    /// How many events and runs in turn led to it.
    pub event_depth: i16,
    /// Whether it was waiting, and that is known, as far as anybody was told.
    pub was_waiting: bool,
}

/// A leased run's columns as the database has them.
struct Leased {
    id: Uuid,
    workspace_id: Uuid,
    workflow_id: Uuid,
    workflow_version: i32,
    first_version: i32,
    lease_epoch: i64,
    traceparent: Option<String>,
    journal_len: i32,
    journal_bytes: i64,
    claims: i32,
    started_at: DateTime<Utc>,
    parent_run: Option<Uuid>,
    depth: i32,
    concurrency_key: Option<String>,
    admitted: bool,
    leased_at: DateTime<Utc>,
    event_depth: i16,
    was_waiting: bool,
}

impl From<Leased> for LeasedRun {
    fn from(row: Leased) -> Self {
        Self {
            id: RunId::from_uuid(row.id),
            workspace: WorkspaceId::from_uuid(row.workspace_id),
            workflow: WorkflowId::from_uuid(row.workflow_id),
            version: row.workflow_version,
            first_version: row.first_version,
            parent: row.parent_run.map(RunId::from_uuid),
            depth: row.depth,
            concurrency_key: row.concurrency_key,
            admitted: row.admitted,
            leased_at: row.leased_at,
            epoch: row.lease_epoch,
            started_at: row.started_at,
            traceparent: row.traceparent,
            journal_len: row.journal_len,
            journal_bytes: row.journal_bytes,
            claims: row.claims,
            event_depth: row.event_depth,
            was_waiting: row.was_waiting,
        }
    }
}

impl Store {
    /// Leases up to `limit` runs that are due or have messages and that nobody holds, each with its next epoch. The workspaces
    /// take turns: the oldest of each, then the second of each, and so on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn claim_runs(&self, lease: Lease, limit: u32) -> Result<Vec<LeasedRun>, StoreError> {
        let claimed = sqlx::query_as!(
            Leased,
            r#"with due as (
                select d.id, d.n from workspaces_with_due_runs s cross join lateral (
                    select o.id, row_number() over (order by o.due_at) as n from (
                        select r.id, r.due_at from runs r
                        where r.workspace_id = s.workspace_id and r.due_at <= now() order by r.due_at limit $3
                    ) o
                ) d
                union all
                select told.id, row_number() over (partition by told.workspace_id) as n from (
                    select distinct r.id, r.workspace_id from run_inbox i join runs r on r.id = i.run_id
                    where r.lease_owner is null and r.finished_at is null and r.claims <= $4 limit 1000
                ) told
            ), taken as (
                select r.id from runs r
                where r.id in (select due.id from due order by due.n limit $3)
                    and r.finished_at is null and (r.due_at <= now() or r.lease_owner is null)
                for update skip locked
            )
            update runs set lease_epoch = lease_epoch + 1, claims = claims + 1, lease_owner = $1,
                due_at = now() + make_interval(secs => $2), status = case when status = 'queued' then 'running' else status end
            from taken where runs.id = taken.id
            returning runs.id, workspace_id, workflow_id, workflow_version, first_version, lease_epoch, traceparent, journal_len,
                journal_bytes, claims, parent_run, depth, concurrency_key, admitted, event_depth,
                status = 'waiting' as "was_waiting!",
                coalesce(started_at, created_at) as "started_at!", now() as "leased_at!""#,
            lease.owner,
            lease.duration.as_secs_f64(),
            i64::from(limit),
            CLAIMS_WITHOUT_PROGRESS_MAX,
        );
        Ok(claimed.fetch_all(&self.pool).await?.into_iter().map(LeasedRun::from).collect())
    }

    /// In how long the next run is due that is not yet, where that is within `within`. Leases that end are among it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn next_due_within(&self, within: Duration) -> Result<Option<Duration>, StoreError> {
        let next = sqlx::query_scalar!(
            r#"select extract(epoch from min(next.due_at) - now())::float8 from workspaces_with_due_runs s cross join lateral (
                select r.due_at from runs r
                where r.workspace_id = s.workspace_id and r.due_at > now() and r.due_at <= now() + make_interval(secs => $1)
                order by r.due_at limit 1
            ) next"#,
            within.as_secs_f64(),
        );
        let next = next.fetch_one(&self.pool).await?;
        Ok(next.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
    }

    /// Renews the leases of the runs that a host drives, in one statement, and says which of them it still holds. A run that is
    /// not named is nobody's as soon as its lease runs out, whoever took it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn renew_leases(&self, lease: Lease, driven: &[(RunId, i64)]) -> Result<Vec<(RunId, i64)>, StoreError> {
        let (runs, epochs): (Vec<Uuid>, Vec<i64>) = driven.iter().map(|(run, epoch)| (run.uuid(), *epoch)).unzip();
        let renewed = sqlx::query!(
            // Locked before they are changed, and in one order with those who append to several: which one Postgres would come by first
            // depends on how it finds them.
            "with driven as (
                select r.id from unnest($3::uuid[], $4::bigint[]) as d(id, epoch) join runs r on r.id = d.id
                where r.lease_epoch = d.epoch and r.lease_owner = $1 and r.due_at > now() and r.finished_at is null
                order by r.id for no key update of r
            )
            update runs set due_at = now() + make_interval(secs => $2)
            from driven where runs.id = driven.id
            returning runs.id, runs.lease_epoch",
            lease.owner,
            lease.duration.as_secs_f64(),
            &runs,
            &epochs,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(renewed.into_iter().map(|row| (RunId::from_uuid(row.id), row.lease_epoch)).collect())
    }

    /// Lets go of every run that a host held before it stopped, so that its next start need not wait for leases to run out.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn release_runs_of(&self, owner: Uuid) -> Result<u64, StoreError> {
        let released = sqlx::query!(
            "update runs set lease_owner = null, due_at = now() where lease_owner = $1 and finished_at is null",
            owner,
        );
        Ok(released.execute(&self.pool).await?.rows_affected())
    }

    /// Lets go of one run, so that any host may go on with it. `blameless` says that the run is not why, so that this time
    /// does not count among its claims.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn release_run(&self, run: RunId, epoch: i64, blameless: bool) -> Result<(), StoreError> {
        sqlx::query!(
            "update runs set lease_owner = null, due_at = now(), claims = case when $3 then 0 else claims end
            where id = $1 and lease_epoch = $2 and finished_at is null",
            run.uuid(),
            epoch,
            blameless,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
