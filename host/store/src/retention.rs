//! What is removed once nobody needs it any more.

use crate::{Store, StoreError};

/// How long an idempotency key is remembered, in hours: as long as the API says.
pub const IDEMPOTENCY_HOURS: i32 = 24;

impl Store {
    /// Removes up to `limit` runs whose time is over, with their results and approvals. Their journals go with the partition of
    /// their month, when no run of it is left. One that a schedule or an event began stays until that is written down, or it would be
    /// begun again by whoever finds it missing.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn remove_expired_runs(&self, limit: u32) -> Result<u64, StoreError> {
        let removed = sqlx::query_scalar!(
            r#"with expired as (
                select id from runs where retain_until < now() and finished_at is not null
                    and not exists (select from schedule_occurrences o where o.outcome = 'starting' and o.run_id = runs.id)
                    and not exists (select from event_starts s where s.outcome = 'starting' and s.run_id = runs.id)
                order by retain_until limit $1 for update skip locked
            ), approvals_gone as (delete from approvals using expired where approvals.run_id = expired.id),
            results_gone as (delete from run_results using expired where run_results.run_id = expired.id),
            gone as (delete from runs using expired where runs.id = expired.id returning runs.id)
            select count(*) as "removed!" from gone"#,
            i64::from(limit),
        );
        Ok(removed.fetch_one(&self.pool).await? as u64)
    }

    /// Removes workflows that were made of requests and have no run any more, a day after they were made at the earliest. Says how many.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delete_unused_ad_hoc_workflows(&self) -> Result<u64, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let removed = sqlx::query_scalar!(
            r#"with unused as (
                select w.id from workflows w
                where w.origin is not null and w.created_at < now() - interval '1 day'
                    and not exists (select from runs r where r.workflow_id = w.id)
                for update skip locked
            ), versions as (delete from workflow_versions v using unused where v.workflow_id = unused.id returning v.workflow_id)
            select count(*) as "removed!" from versions"#
        )
        .fetch_one(&mut *transaction)
        .await?;
        sqlx::query!(
            "delete from workflows w where w.origin is not null
            and not exists (select from workflow_versions v where v.workflow_id = w.id)
            and not exists (select from runs r where r.workflow_id = w.id)"
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(removed as u64)
    }

    /// Drops the journal's partitions of months of which no run is left, without stopping anybody for longer than two seconds.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn drop_empty_journal_partitions(&self) -> Result<i32, StoreError> {
        let dropped = sqlx::query_scalar!(r#"select drop_empty_journal_partitions(now()) as "dropped!""#);
        Ok(dropped.fetch_one(&self.pool).await?)
    }

    /// Forgets idempotency keys that are older than [`IDEMPOTENCY_HOURS`].
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn forget_idempotency_keys(&self) -> Result<u64, StoreError> {
        let of_runs = sqlx::query!(
            "delete from idempotency_keys where created_at < now() - make_interval(hours => $1)",
            IDEMPOTENCY_HOURS
        );
        let others = sqlx::query!(
            "delete from idempotent_requests where created_at < now() - make_interval(hours => $1)",
            IDEMPOTENCY_HOURS
        );
        let of_runs = of_runs.execute(&self.pool).await?.rows_affected();
        Ok(of_runs + others.execute(&self.pool).await?.rows_affected())
    }
}
