//! Schedules: what starts runs by the clock.

mod occurrences;
mod starts;
mod turns;

use armilla_domain::id::{RunId, ScheduleId, WorkflowId, WorkspaceId};
use chrono::{DateTime, Utc};

pub use self::occurrences::OccurrenceRow;
pub use self::starts::StartingRow;
pub use self::turns::{DueRow, NewOccurrence, Turn};
use crate::{Store, StoreError};

/// Schedules of one workspace: each is looked at whenever it is due.
pub const SCHEDULES_PER_WORKSPACE_MAX: i64 = 1_000;

/// When a schedule starts runs, as its row has it.
#[derive(Debug, Clone)]
pub struct TimingColumns {
    /// A cron text,
    pub cron: Option<String>,
    /// and its time zone,
    pub timezone: Option<String>,
    /// or how often, in milliseconds,
    pub every_ms: Option<i64>,
    /// counted from here,
    pub anchor_at: DateTime<Utc>,
    /// or an instant.
    pub once_at: Option<DateTime<Utc>>,
}

/// What somebody decides about a schedule.
#[derive(Debug)]
pub struct ScheduleChange<'a> {
    /// Of which workflow runs are started.
    pub workflow: WorkflowId,
    /// For people.
    pub name: &'a str,
    /// When.
    pub timing: &'a TimingColumns,
    /// JSON: what the runs are given.
    pub input: &'a str,
    /// What becomes of an occurrence while a run goes on.
    pub overlap: &'a str,
    /// How late an occurrence may be, in milliseconds.
    pub catch_up_ms: i64,
    /// How long a run may be put off, in milliseconds.
    pub jitter_ms: i64,
    /// Whether it rests.
    pub paused: bool,
    /// Its first instant from now on,
    pub next_at: DateTime<Utc>,
    /// and when that is acted upon.
    pub due_at: DateTime<Utc>,
}

/// A schedule.
#[derive(Debug, Clone)]
pub struct ScheduleRow {
    /// Its id.
    pub id: ScheduleId,
    /// Of which workflow it starts runs.
    pub workflow: WorkflowId,
    /// For people.
    pub name: String,
    /// When.
    pub timing: TimingColumns,
    /// JSON: what the runs are given.
    pub input: String,
    /// What becomes of an occurrence while a run goes on.
    pub overlap: String,
    /// How late an occurrence may be, in milliseconds.
    pub catch_up_ms: i64,
    /// How long a run may be put off, in milliseconds.
    pub jitter_ms: i64,
    /// Whether it rests.
    pub paused: bool,
    /// Why, where nobody paused it.
    pub paused_reason: Option<String>,
    /// The first instant of which nothing was decided yet.
    pub next_at: Option<DateTime<Utc>>,
    /// The last instant whose run was started.
    pub last_at: Option<DateTime<Utc>>,
    /// That run.
    pub last_run: Option<RunId>,
    /// How many occurrences wait for their turn.
    pub queued: i64,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl Store {
    /// The database's time, in whole milliseconds: what schedules are judged by.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn now(&self) -> Result<DateTime<Utc>, StoreError> {
        let now = sqlx::query_scalar!(r#"select date_trunc('milliseconds', now()) as "now!""#);
        Ok(now.fetch_one(&self.pool).await?)
    }

    /// Keeps a schedule. Says whether there was room for it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn create_schedule(
        &self,
        workspace: WorkspaceId,
        id: ScheduleId,
        new: &ScheduleChange<'_>,
        by: &str,
    ) -> Result<bool, StoreError> {
        let made = sqlx::query!(
            "insert into schedules (id, workspace_id, workflow_id, name, cron, timezone, every_ms, anchor_at, once_at, input, overlap,
                catch_up_ms, jitter_ms, paused, next_at, due_at, created_by)
            select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17
            where (select count(*) from schedules where workspace_id = $2) < $18",
            id.uuid(),
            workspace.uuid(),
            new.workflow.uuid(),
            new.name,
            new.timing.cron,
            new.timing.timezone,
            new.timing.every_ms,
            new.timing.anchor_at,
            new.timing.once_at,
            new.input,
            new.overlap,
            new.catch_up_ms,
            new.jitter_ms,
            new.paused,
            new.next_at,
            new.due_at,
            by,
            SCHEDULES_PER_WORKSPACE_MAX,
        );
        Ok(made.execute(&self.pool).await?.rows_affected() == 1)
    }

    /// Changes a schedule. What is due by the same times as before stays due, unless it rests or rested. Says whether there is one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn replace_schedule(
        &self,
        workspace: WorkspaceId,
        id: ScheduleId,
        new: &ScheduleChange<'_>,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "update schedules s set workflow_id = $3, name = $4, cron = $5, timezone = $6, every_ms = $7, anchor_at = $8, once_at = $9,
                input = $10, overlap = $11, catch_up_ms = $12, jitter_ms = $13, paused = $14, paused_reason = null,
                next_at = case when kept.so then s.next_at else $15 end, due_at = case when kept.so then s.due_at else $16 end,
                updated_at = now()
            from (
                select id, not paused and not $14 and next_at is not null and (cron, timezone, every_ms, anchor_at, once_at)
                    is not distinct from ($5::text, $6::text, $7::bigint, $8::timestamptz, $9::timestamptz) as so
                from schedules where id = $1 and workspace_id = $2 for update
            ) kept
            where s.id = kept.id",
            id.uuid(),
            workspace.uuid(),
            new.workflow.uuid(),
            new.name,
            new.timing.cron,
            new.timing.timezone,
            new.timing.every_ms,
            new.timing.anchor_at,
            new.timing.once_at,
            new.input,
            new.overlap,
            new.catch_up_ms,
            new.jitter_ms,
            new.paused,
            new.next_at,
            new.due_at,
        );
        Ok(done.execute(&self.pool).await?.rows_affected() == 1)
    }

    /// Lets a schedule rest. Says whether there is one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn pause_schedule(&self, workspace: WorkspaceId, id: ScheduleId) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "update schedules set paused = true, updated_at = now() where id = $1 and workspace_id = $2",
            id.uuid(),
            workspace.uuid(),
        );
        Ok(done.execute(&self.pool).await?.rows_affected() == 1)
    }

    /// Lets a schedule that rests go on with `next`: an instant, and when that is acted upon. One that does not rest stays as it is.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn resume_schedule(
        &self,
        workspace: WorkspaceId,
        id: ScheduleId,
        next: Option<(DateTime<Utc>, DateTime<Utc>)>,
    ) -> Result<(), StoreError> {
        let (next_at, due_at) = next.unzip();
        let done = sqlx::query!(
            "update schedules set paused = false, paused_reason = null, next_at = $3, due_at = $4, updated_at = now()
            where id = $1 and workspace_id = $2 and paused",
            id.uuid(),
            workspace.uuid(),
            next_at,
            due_at,
        );
        done.execute(&self.pool).await?;
        Ok(())
    }

    /// Deletes a schedule with its occurrences. Its runs stay. Says whether there was one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delete_schedule(&self, workspace: WorkspaceId, id: ScheduleId) -> Result<bool, StoreError> {
        let done =
            sqlx::query!("delete from schedules where id = $1 and workspace_id = $2", id.uuid(), workspace.uuid());
        Ok(done.execute(&self.pool).await?.rows_affected() == 1)
    }

    /// A schedule of a workspace.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn schedule(&self, workspace: WorkspaceId, id: ScheduleId) -> Result<Option<ScheduleRow>, StoreError> {
        Ok(self.schedules_that(workspace, Some(id), None, 1).await?.pop())
    }

    /// Schedules of a workspace, newest first, from before `before` on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn schedules(
        &self,
        workspace: WorkspaceId,
        before: Option<ScheduleId>,
        limit: u32,
    ) -> Result<Vec<ScheduleRow>, StoreError> {
        self.schedules_that(workspace, None, before, limit).await
    }

    async fn schedules_that(
        &self,
        workspace: WorkspaceId,
        id: Option<ScheduleId>,
        before: Option<ScheduleId>,
        limit: u32,
    ) -> Result<Vec<ScheduleRow>, StoreError> {
        let rows = sqlx::query!(
            r#"select s.id, s.workflow_id, s.name, s.cron, s.timezone, s.every_ms, s.anchor_at, s.once_at, s.input, s.overlap,
                s.catch_up_ms, s.jitter_ms, s.paused, s.paused_reason, s.next_at, s.created_by, s.created_at, s.updated_at,
                last.instant as "last_at?", last.run_id as "last_run?",
                (select count(*) from schedule_occurrences q where q.schedule_id = s.id and q.outcome = 'queued') as "queued!"
            from schedules s left join lateral (
                select o.instant, o.run_id from schedule_occurrences o
                where o.schedule_id = s.id and o.outcome = 'started' order by o.instant desc limit 1
            ) last on true
            where s.workspace_id = $1 and ($2::uuid is null or s.id = $2) and ($3::uuid is null or s.id < $3)
            order by s.id desc limit $4"#,
            workspace.uuid(),
            id.map(ScheduleId::uuid),
            before.map(ScheduleId::uuid),
            i64::from(limit),
        )
        .fetch_all(&self.pool)
        .await?;
        let schedules = rows.into_iter().map(|row| ScheduleRow {
            id: ScheduleId::from_uuid(row.id),
            workflow: WorkflowId::from_uuid(row.workflow_id),
            name: row.name,
            timing: TimingColumns {
                cron: row.cron,
                timezone: row.timezone,
                every_ms: row.every_ms,
                anchor_at: row.anchor_at,
                once_at: row.once_at,
            },
            input: row.input,
            overlap: row.overlap,
            catch_up_ms: row.catch_up_ms,
            jitter_ms: row.jitter_ms,
            paused: row.paused,
            paused_reason: row.paused_reason,
            next_at: row.next_at,
            last_at: row.last_at,
            last_run: row.last_run.map(RunId::from_uuid),
            queued: row.queued,
            created_by: row.created_by,
            created_at: row.created_at,
            updated_at: row.updated_at,
        });
        Ok(schedules.collect())
    }
}
