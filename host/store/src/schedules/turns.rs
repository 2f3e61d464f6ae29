//! Deciding about what is due. The schedule's row is locked meanwhile, so that each host sees what the one before it decided.

use armilla_domain::id::{RunId, ScheduleId};
use armilla_domain::schedule::Trigger;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::TimingColumns;
use crate::{Store, StoreError};

/// Why a schedule rests that nobody paused, such as one of a zone that a later program knew.
const NOT_UNDERSTOOD: &str = "its times are not understood by this version of the program";

/// A schedule that is due.
#[derive(Debug)]
pub struct DueRow {
    /// Which.
    pub id: ScheduleId,
    /// When it starts runs.
    pub timing: TimingColumns,
    /// What becomes of an occurrence while a run goes on.
    pub overlap: String,
    /// How late an occurrence may be, in milliseconds.
    pub catch_up_ms: i64,
    /// How long a run may be put off, in milliseconds.
    pub jitter_ms: i64,
    /// The first instant of which nothing was decided yet.
    pub next_at: DateTime<Utc>,
    /// The database's time.
    pub now: DateTime<Utc>,
    /// Whether a run of it goes on, or is about to.
    pub goes_on: bool,
    /// How many occurrences wait.
    pub queued: i64,
}

/// An occurrence of which something was decided.
#[derive(Debug)]
pub struct NewOccurrence {
    /// Its instant.
    pub instant: DateTime<Utc>,
    /// The outcome's word.
    pub outcome: &'static str,
    /// The run that is about to be started; there where the outcome is `starting`.
    pub run: Option<RunId>,
    /// Why no run is.
    pub detail: Option<String>,
    /// How many were missed in a row.
    pub missed: Option<i32>,
}

/// What becomes of a schedule that was due.
#[derive(Debug)]
pub struct Turn {
    /// What was decided.
    pub occurrences: Vec<NewOccurrence>,
    /// The first instant of which nothing was decided, and when that is acted upon.
    pub next: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Store {
    /// Takes the schedule that has been due for longest and that no other host is at, and keeps what `decide` says. Says whether there
    /// was one. An instant of which something was decided before keeps that. A schedule of which it says nothing rests from then
    /// on, so that it keeps no others from their turns.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn take_due_schedule(
        &self,
        decide: impl FnOnce(&DueRow) -> Option<Turn> + Send,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let locked = sqlx::query!(
            r#"select id, cron, timezone, every_ms, anchor_at, once_at, overlap, catch_up_ms, jitter_ms, next_at as "next_at!",
                date_trunc('milliseconds', clock_timestamp()) as "now!"
            from schedules where not paused and due_at <= now() order by due_at limit 1 for update skip locked"#
        );
        let Some(row) = locked.fetch_optional(&mut *transaction).await? else { return Ok(false) };
        let id = ScheduleId::from_uuid(row.id);
        let (goes_on, queued) = what_goes_on(&mut transaction, id).await?;
        let due = DueRow {
            id,
            timing: TimingColumns {
                cron: row.cron,
                timezone: row.timezone,
                every_ms: row.every_ms,
                anchor_at: row.anchor_at,
                once_at: row.once_at,
            },
            overlap: row.overlap,
            catch_up_ms: row.catch_up_ms,
            jitter_ms: row.jitter_ms,
            next_at: row.next_at,
            now: row.now,
            goes_on,
            queued,
        };
        match decide(&due) {
            Some(turn) => {
                keep(&mut transaction, id, Trigger::Time, &turn.occurrences).await?;
                let (next_at, due_at) = turn.next.unzip();
                sqlx::query!(
                    "update schedules set next_at = $2, due_at = $3 where id = $1",
                    id.uuid(),
                    next_at,
                    due_at
                )
                .execute(&mut *transaction)
                .await?;
            }
            None => {
                sqlx::query!(
                    "update schedules set paused = true, paused_reason = $2, updated_at = now() where id = $1",
                    id.uuid(),
                    NOT_UNDERSTOOD,
                )
                .execute(&mut *transaction)
                .await?;
            }
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// Gives an occurrence its turn that waits for one, the oldest of its schedule, where no run of that goes on any more; `run` is what is
    /// about to be started. Says whether there was one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn take_queued_occurrence(&self, run: RunId) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let locked = sqlx::query_scalar!(
            "select s.id from schedules s
            where not s.paused and s.id in (select q.schedule_id from schedule_occurrences q where q.outcome = 'queued')
                and not exists (
                    select from schedule_occurrences o where o.schedule_id = s.id and o.goes_on
                        and (o.outcome = 'starting' or exists (select from runs r where r.id = o.run_id and r.finished_at is null))
                )
            limit 1 for update of s skip locked"
        );
        let Some(id) = locked.fetch_optional(&mut *transaction).await? else { return Ok(false) };
        // Another host may have given a turn between the look and the lock.
        let (goes_on, _) = what_goes_on(&mut transaction, ScheduleId::from_uuid(id)).await?;
        let given = sqlx::query!(
            "update schedule_occurrences o set outcome = 'starting', run_id = $2, goes_on = true, decided_at = now()
            where o.schedule_id = $1 and not $3 and o.instant = (
                select min(q.instant) from schedule_occurrences q where q.schedule_id = $1 and q.outcome = 'queued'
            )",
            id,
            run.uuid(),
            goes_on,
        );
        let given = given.execute(&mut *transaction).await?.rows_affected() == 1;
        transaction.commit().await?;
        Ok(given)
    }

    /// Keeps occurrences that somebody asked for, unless more would wait than `queued_max`. Those whose runs were started, or will be, stay as
    /// they are. Says how many are new; none where there is no such schedule or too many would wait.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn add_occurrences(
        &self,
        id: ScheduleId,
        trigger: Trigger,
        occurrences: &[NewOccurrence],
        queued_max: usize,
    ) -> Result<Option<u64>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let locked = sqlx::query_scalar!("select id from schedules where id = $1 for update", id.uuid());
        if locked.fetch_optional(&mut *transaction).await?.is_none() {
            return Ok(None);
        }
        let (_, queued) = what_goes_on(&mut transaction, id).await?;
        let more = occurrences.iter().filter(|one| one.outcome == "queued").count();
        if more > 0 && queued.unsigned_abs() as usize + more > queued_max {
            return Ok(None);
        }
        let kept = keep(&mut transaction, id, trigger, occurrences).await?;
        transaction.commit().await?;
        Ok(Some(kept))
    }
}

/// Whether a run of a schedule goes on or is about to, and how many occurrences wait. To be asked under the schedule's lock.
async fn what_goes_on(connection: &mut PgConnection, id: ScheduleId) -> Result<(bool, i64), StoreError> {
    sqlx::query!(
        "update schedule_occurrences o set goes_on = false
        where o.schedule_id = $1 and o.goes_on and o.outcome <> 'starting'
            and not exists (select from runs r where r.id = o.run_id and r.finished_at is null)",
        id.uuid(),
    )
    .execute(&mut *connection)
    .await?;
    let row = sqlx::query!(
        r#"select exists (select from schedule_occurrences where schedule_id = $1 and goes_on) as "goes_on!",
            (select count(*) from schedule_occurrences where schedule_id = $1 and outcome = 'queued') as "queued!""#,
        id.uuid(),
    )
    .fetch_one(connection)
    .await?;
    Ok((row.goes_on, row.queued))
}

async fn keep(
    connection: &mut PgConnection,
    id: ScheduleId,
    trigger: Trigger,
    occurrences: &[NewOccurrence],
) -> Result<u64, StoreError> {
    let each = || occurrences.iter();
    let done = sqlx::query!(
        "insert into schedule_occurrences (schedule_id, instant, brought_by, outcome, run_id, detail, missed, goes_on)
        select $1, o.instant, $2, o.outcome, o.run, o.detail, o.missed, o.outcome = 'starting'
        from unnest($3::timestamptz[], $4::text[], $5::uuid[], $6::text[], $7::int[]) as o(instant, outcome, run, detail, missed)
        on conflict (schedule_id, instant) do update set brought_by = excluded.brought_by, outcome = excluded.outcome,
            run_id = excluded.run_id, detail = excluded.detail, missed = excluded.missed, goes_on = excluded.goes_on, decided_at = now()
        where $8 and schedule_occurrences.outcome in ('missed', 'skipped')",
        id.uuid(),
        trigger.as_str(),
        &each().map(|one| one.instant).collect::<Vec<_>>(),
        &each().map(|one| one.outcome).collect::<Vec<_>>() as &[&str],
        &each().map(|one| one.run.map(RunId::uuid)).collect::<Vec<_>>() as &[Option<Uuid>],
        &each().map(|one| one.detail.as_deref()).collect::<Vec<_>>() as &[Option<&str>],
        &each().map(|one| one.missed).collect::<Vec<_>>() as &[Option<i32>],
        trigger == Trigger::Backfill,
    );
    Ok(done.execute(connection).await?.rows_affected())
}
