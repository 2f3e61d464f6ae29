//! Runs of which only so many go on at once: who is admitted, and who waits in line. What counts is the rows of runs that have not
//! ended, so a host that is killed leaves nothing behind that would have to be given back.

use armilla_domain::id::{RunId, WorkflowId};

use crate::{Store, StoreError};

/// One line: the runs of a workflow that have the same key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Line {
    /// The workflow.
    pub workflow: WorkflowId,
    /// The key.
    pub key: String,
}

impl Store {
    /// Admits as many runs of a line as may go on, oldest first, and gives them. Whoever holds one at this moment does so for a
    /// message, knows it as one that waits, and would let it go as such, to be woken by nobody: so it loses the lease.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn admit_next(&self, line: &Line) -> Result<Vec<RunId>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        lock_line(&mut transaction, line).await?;
        let admitted = sqlx::query_scalar!(
            "with going as (
                select count(*) as n from runs
                where workflow_id = $1 and concurrency_key = $2 and finished_at is null and admitted
            ), next as (
                select id from (
                    select id, concurrency_max, row_number() over (order by id) as place from (
                        select id, concurrency_max from runs
                        where workflow_id = $1 and concurrency_key = $2 and not admitted and finished_at is null
                        order by id limit 1000
                    ) first
                ) waiting
                where (select n from going) + place <= concurrency_max
            )
            update runs set admitted = true, due_at = now(), lease_owner = null, lease_epoch = lease_epoch + 1
            from next where runs.id = next.id and not runs.admitted
            returning runs.id",
            line.workflow.uuid(),
            line.key,
        )
        .fetch_all(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(admitted.into_iter().map(RunId::from_uuid).collect())
    }

    /// How many places of a line are held by a run and those that it was started by, which keep them until it has ended.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn places_of_ancestors(&self, run: RunId, line: &Line) -> Result<i64, StoreError> {
        let held = sqlx::query_scalar!(
            r#"with recursive up as (
                select id, parent_run, workflow_id, concurrency_key, admitted, finished_at from runs where id = $1
                union all
                select r.id, r.parent_run, r.workflow_id, r.concurrency_key, r.admitted, r.finished_at
                from up join runs r on r.id = up.parent_run
            )
            select count(*) as "held!" from up where workflow_id = $2 and concurrency_key = $3 and admitted and finished_at is null"#,
            run.uuid(),
            line.workflow.uuid(),
            line.key,
        );
        Ok(held.fetch_one(&self.pool).await?)
    }

    /// The lines in which these runs stand.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn lines_of(&self, runs: &[RunId]) -> Result<Vec<Line>, StoreError> {
        let runs: Vec<uuid::Uuid> = runs.iter().map(|run| run.uuid()).collect();
        let lines = sqlx::query!(
            r#"select distinct workflow_id, concurrency_key as "key!" from runs
            where id = any($1) and concurrency_key is not null and finished_at is null"#,
            &runs,
        );
        let lines = lines.fetch_all(&self.pool).await?.into_iter();
        Ok(lines.map(|row| Line { workflow: WorkflowId::from_uuid(row.workflow_id), key: row.key }).collect())
    }

    /// Lines in which somebody waits.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn lines(&self) -> Result<Vec<Line>, StoreError> {
        let lines = sqlx::query!(
            r#"select distinct workflow_id, concurrency_key as "key!" from runs
            where not admitted and finished_at is null and concurrency_key is not null limit 1000"#
        );
        let lines = lines.fetch_all(&self.pool).await?.into_iter();
        Ok(lines.map(|row| Line { workflow: WorkflowId::from_uuid(row.workflow_id), key: row.key }).collect())
    }
}

/// Keeps everybody else from the same line until the end of the transaction. A statement of its own: what is counted next must
/// see what was committed while this waited.
pub(crate) async fn lock_line(connection: &mut sqlx::PgConnection, line: &Line) -> Result<(), StoreError> {
    let name = format!("{}:{}", line.workflow, line.key);
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1, 0))", name).execute(connection).await?;
    Ok(())
}
