//! Leases: which host works on which run. Only the database's clock judges them; the epoch fences whoever held one before.

use std::time::Duration;

use armilla_domain::id::{RunId, WorkflowId, WorkspaceId};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{Store, StoreError};

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
}

impl Store {
    /// Leases up to `limit` runs that nobody works on, oldest first, each with its next epoch.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn claim_runs(&self, lease: Lease, limit: u32) -> Result<Vec<LeasedRun>, StoreError> {
        let claimed = sqlx::query!(
            r#"update runs set lease_epoch = lease_epoch + 1, claims = claims + 1, lease_owner = $1,
                lease_until = now() + make_interval(secs => $2), status = 'running'
            where id in (
                select id from runs where finished_at is null and (lease_until is null or lease_until < now())
                order by id limit $3 for update skip locked
            )
            returning id, workspace_id, workflow_id, workflow_version, lease_epoch, traceparent, journal_len, journal_bytes, claims,
                coalesce(started_at, created_at) as "started_at!""#,
            lease.owner,
            lease.duration.as_secs_f64(),
            i64::from(limit),
        )
        .fetch_all(&self.pool)
        .await?;
        let runs = claimed.into_iter().map(|row| LeasedRun {
            id: RunId::from_uuid(row.id),
            workspace: WorkspaceId::from_uuid(row.workspace_id),
            workflow: WorkflowId::from_uuid(row.workflow_id),
            version: row.workflow_version,
            epoch: row.lease_epoch,
            started_at: row.started_at,
            traceparent: row.traceparent,
            journal_len: row.journal_len,
            journal_bytes: row.journal_bytes,
            claims: row.claims,
        });
        Ok(runs.collect())
    }

    /// Renews the leases of the runs that a host drives, in one statement, and says which of them it still holds. A run that is
    /// not named is nobody's as soon as its lease runs out, whoever took it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn renew_leases(&self, lease: Lease, driven: &[(RunId, i64)]) -> Result<Vec<(RunId, i64)>, StoreError> {
        let (runs, epochs): (Vec<Uuid>, Vec<i64>) = driven.iter().map(|(run, epoch)| (run.uuid(), *epoch)).unzip();
        let renewed = sqlx::query!(
            "update runs set lease_until = now() + make_interval(secs => $2)
            from unnest($3::uuid[], $4::bigint[]) as driven(id, epoch)
            where runs.id = driven.id and runs.lease_epoch = driven.epoch and runs.lease_owner = $1
                and runs.lease_until > now() and runs.finished_at is null
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
            "update runs set lease_owner = null, lease_until = null where lease_owner = $1 and finished_at is null",
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
            "update runs set lease_owner = null, lease_until = null, claims = case when $3 then 0 else claims end
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
