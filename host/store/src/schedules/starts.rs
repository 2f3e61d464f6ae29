//! Starting the runs of occurrences. What was decided is written down already, and so is the run's id: whoever starts it, and however
//! often, it is one run.

use std::time::Duration;

use armilla_domain::id::{RunId, ScheduleId, WorkflowId, WorkspaceId};
use armilla_domain::schedule::Outcome;
use chrono::{DateTime, Utc};

use crate::{Store, StoreError};

/// An occurrence whose run is about to be started.
#[derive(Debug)]
pub struct StartingRow {
    /// Of which schedule.
    pub schedule: ScheduleId,
    /// Its instant.
    pub instant: DateTime<Utc>,
    /// The run.
    pub run: RunId,
    /// Whose.
    pub workspace: WorkspaceId,
    /// Of which workflow.
    pub workflow: WorkflowId,
    /// JSON: what it is given.
    pub input: String,
    /// What becomes of runs that go on.
    pub overlap: String,
}

impl Store {
    /// Occurrences whose runs are to be started, oldest first, and that no host has been at for `lease`; only those of `schedule` where that
    /// is said.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn claim_starting_occurrences(
        &self,
        schedule: Option<ScheduleId>,
        lease: Duration,
        limit: u32,
    ) -> Result<Vec<StartingRow>, StoreError> {
        let rows = sqlx::query!(
            r#"with claimed as (
                select schedule_id, instant from schedule_occurrences
                where outcome = 'starting' and claimed_until < now() and ($1::uuid is null or schedule_id = $1)
                order by instant limit $2 for update skip locked
            )
            update schedule_occurrences o set claimed_until = now() + make_interval(secs => $3)
            from claimed c join schedules s on s.id = c.schedule_id
            where o.schedule_id = c.schedule_id and o.instant = c.instant
            returning o.schedule_id, o.instant, o.run_id as "run_id!", s.workspace_id, s.workflow_id,
                coalesce(o.input, s.input) as "input!", s.overlap"#,
            schedule.map(ScheduleId::uuid),
            i64::from(limit),
            lease.as_secs_f64(),
        )
        .fetch_all(&self.pool)
        .await?;
        let mut rows: Vec<StartingRow> = rows
            .into_iter()
            .map(|row| StartingRow {
                schedule: ScheduleId::from_uuid(row.schedule_id),
                instant: row.instant,
                run: RunId::from_uuid(row.run_id),
                workspace: WorkspaceId::from_uuid(row.workspace_id),
                workflow: WorkflowId::from_uuid(row.workflow_id),
                input: row.input,
                overlap: row.overlap,
            })
            .collect();
        rows.sort_by_key(|row| row.instant);
        Ok(rows)
    }

    /// Unfinished runs that a schedule began, but for one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn other_runs_of_schedule(&self, id: ScheduleId, run: RunId) -> Result<Vec<RunId>, StoreError> {
        let others = sqlx::query_scalar!(
            r#"select o.run_id as "run_id!" from schedule_occurrences o join runs r on r.id = o.run_id
            where o.schedule_id = $1 and o.goes_on and o.run_id <> $2 and r.finished_at is null"#,
            id.uuid(),
            run.uuid(),
        );
        Ok(others.fetch_all(&self.pool).await?.into_iter().map(RunId::from_uuid).collect())
    }

    /// Writes down that the runs of occurrences were started.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn mark_occurrences_started(&self, rows: &[StartingRow]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let done = sqlx::query!(
            "update schedule_occurrences o set outcome = 'started'
            from unnest($1::uuid[], $2::timestamptz[], $3::uuid[]) as s(schedule_id, instant, run_id)
            where o.schedule_id = s.schedule_id and o.instant = s.instant and o.outcome = 'starting' and o.run_id = s.run_id",
            &rows.iter().map(|row| row.schedule.uuid()).collect::<Vec<_>>(),
            &rows.iter().map(|row| row.instant).collect::<Vec<_>>(),
            &rows.iter().map(|row| row.run.uuid()).collect::<Vec<_>>(),
        );
        done.execute(&self.pool).await?;
        Ok(())
    }

    /// Writes down that the run of an occurrence cannot be started, and why; lets the schedule rest where `pauses`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn give_up_occurrence(
        &self,
        row: &StartingRow,
        outcome: Outcome,
        why: &str,
        pauses: bool,
    ) -> Result<(), StoreError> {
        let done = sqlx::query!(
            "with given_up as (
                update schedule_occurrences set outcome = $4, detail = $5, run_id = null, goes_on = false
                where schedule_id = $1 and instant = $2 and outcome = 'starting' and run_id = $3
                returning schedule_id
            )
            update schedules set paused = true, paused_reason = $5, updated_at = now() from given_up
            where schedules.id = given_up.schedule_id and $6",
            row.schedule.uuid(),
            row.instant,
            row.run.uuid(),
            outcome.as_str(),
            why,
            pauses,
        );
        done.execute(&self.pool).await?;
        Ok(())
    }
}
