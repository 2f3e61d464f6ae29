//! Deciding about what is due. The schedule's row is locked meanwhile, so that each host sees what the one before it decided.

use std::collections::HashMap;

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
    /// JSON: what its run is given, where that is not the schedule's own.
    pub input: Option<String>,
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
    /// Takes up to `limit` schedules that are due, those first that have been for longest, and that no other host is at, and keeps what
    /// `decide` says of each. Says how many there were. An instant of which something was decided before keeps that. A schedule of
    /// which it says nothing rests from then on, so that it keeps no others from their turns.
    ///
    /// All of them are one transaction: ten thousand schedules of one instant are otherwise as many flushes.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn take_due_schedules(
        &self,
        limit: u32,
        decide: impl Fn(&DueRow) -> Option<Turn> + Send,
    ) -> Result<usize, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let due = due_schedules(&mut transaction, limit).await?;
        let mut decided = Decided::default();
        let (mut nexts, mut not_understood) = (Nexts::default(), Vec::new());
        for row in &due {
            match decide(row) {
                Some(turn) => {
                    decided.extend(row.id, &turn.occurrences);
                    nexts.push(row.id, turn.next);
                }
                None => not_understood.push(row.id.uuid()),
            }
        }
        keep(&mut transaction, Trigger::Time, &decided).await?;
        if !nexts.ids.is_empty() {
            sqlx::query!(
                "update schedules s set next_at = n.next_at, due_at = n.due_at
                from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) as n(id, next_at, due_at) where s.id = n.id",
                &nexts.ids,
                &nexts.next_at as &[Option<DateTime<Utc>>],
                &nexts.due_at as &[Option<DateTime<Utc>>],
            )
            .execute(&mut *transaction)
            .await?;
        }
        if !not_understood.is_empty() {
            sqlx::query!(
                "update schedules set paused = true, paused_reason = $2, updated_at = now() where id = any($1)",
                &not_understood,
                NOT_UNDERSTOOD,
            )
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(due.len())
    }

    /// Gives up to `runs.len()` occurrences their turn that wait for one, each the oldest of its schedule, where no run of that goes on any
    /// more; `runs` are what is about to be started. Says how many there were.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn take_queued_occurrences(&self, runs: &[RunId]) -> Result<u64, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let locked = sqlx::query_scalar!(
            "select s.id from schedules s
            where not s.paused and s.id in (select q.schedule_id from schedule_occurrences q where q.outcome = 'queued')
                and not exists (
                    select from schedule_occurrences o where o.schedule_id = s.id and o.goes_on
                        and (o.outcome = 'starting' or exists (select from runs r where r.id = o.run_id and r.finished_at is null))
                )
            limit $1 for update of s skip locked",
            i64::try_from(runs.len()).unwrap_or(i64::MAX),
        );
        let locked = locked.fetch_all(&mut *transaction).await?;
        if locked.is_empty() {
            return Ok(0);
        }
        // Another host may have given a turn between the look and the lock.
        let going_on = what_goes_on(&mut transaction, &locked).await?;
        let free: Vec<Uuid> =
            locked.into_iter().filter(|id| !going_on.get(id).is_some_and(|one| one.goes_on)).collect();
        let runs: Vec<Uuid> = runs.iter().take(free.len()).map(|run| run.uuid()).collect();
        let given = sqlx::query!(
            "update schedule_occurrences o set outcome = 'starting', run_id = f.run_id, goes_on = true, decided_at = now()
            from unnest($1::uuid[], $2::uuid[]) as f(id, run_id)
            where o.schedule_id = f.id and o.instant = (
                select min(q.instant) from schedule_occurrences q where q.schedule_id = f.id and q.outcome = 'queued'
            )",
            &free,
            &runs,
        );
        let given = given.execute(&mut *transaction).await?.rows_affected();
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
        let queued = what_goes_on(&mut transaction, &[id.uuid()]).await?.get(&id.uuid()).map_or(0, |one| one.queued);
        let more = occurrences.iter().filter(|one| one.outcome == "queued").count();
        if more > 0 && queued.unsigned_abs() as usize + more > queued_max {
            return Ok(None);
        }
        let mut decided = Decided::default();
        decided.extend(id, occurrences);
        let kept = keep(&mut transaction, trigger, &decided).await?;
        transaction.commit().await?;
        Ok(Some(kept))
    }
}

/// What of a schedule is under way.
struct GoingOn {
    /// Whether a run of it goes on, or is about to.
    goes_on: bool,
    /// How many occurrences wait.
    queued: i64,
}

/// Occurrences of several schedules, column by column.
#[derive(Default)]
struct Decided {
    schedules: Vec<Uuid>,
    instants: Vec<DateTime<Utc>>,
    outcomes: Vec<&'static str>,
    runs: Vec<Option<Uuid>>,
    details: Vec<Option<String>>,
    missed: Vec<Option<i32>>,
    inputs: Vec<Option<String>>,
}

impl Decided {
    fn extend(&mut self, schedule: ScheduleId, occurrences: &[NewOccurrence]) {
        for one in occurrences {
            self.schedules.push(schedule.uuid());
            self.instants.push(one.instant);
            self.outcomes.push(one.outcome);
            self.runs.push(one.run.map(RunId::uuid));
            self.details.push(one.detail.clone());
            self.missed.push(one.missed);
            self.inputs.push(one.input.clone());
        }
    }
}

/// When several schedules are due next, column by column.
#[derive(Default)]
struct Nexts {
    ids: Vec<Uuid>,
    next_at: Vec<Option<DateTime<Utc>>>,
    due_at: Vec<Option<DateTime<Utc>>>,
}

impl Nexts {
    fn push(&mut self, id: ScheduleId, next: Option<(DateTime<Utc>, DateTime<Utc>)>) {
        let (next_at, due_at) = next.unzip();
        self.ids.push(id.uuid());
        self.next_at.push(next_at);
        self.due_at.push(due_at);
    }
}

/// Locks up to `limit` schedules that are due and that no other host is at.
async fn due_schedules(connection: &mut PgConnection, limit: u32) -> Result<Vec<DueRow>, StoreError> {
    let locked = sqlx::query!(
        r#"select id, cron, timezone, every_ms, anchor_at, once_at, overlap, catch_up_ms, jitter_ms, next_at as "next_at!",
            date_trunc('milliseconds', clock_timestamp()) as "now!"
        from schedules where not paused and due_at <= now() order by due_at limit $1 for update skip locked"#,
        i64::from(limit),
    );
    let locked = locked.fetch_all(&mut *connection).await?;
    let ids: Vec<Uuid> = locked.iter().map(|row| row.id).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let going_on = what_goes_on(connection, &ids).await?;
    let rows = locked.into_iter().map(|row| {
        let under_way = going_on.get(&row.id);
        DueRow {
            id: ScheduleId::from_uuid(row.id),
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
            goes_on: under_way.is_some_and(|one| one.goes_on),
            queued: under_way.map_or(0, |one| one.queued),
        }
    });
    Ok(rows.collect())
}

/// What of each of these schedules is under way; nothing is where one is missing from the answer. To be asked under their locks.
async fn what_goes_on(connection: &mut PgConnection, schedules: &[Uuid]) -> Result<HashMap<Uuid, GoingOn>, StoreError> {
    sqlx::query!(
        "update schedule_occurrences o set goes_on = false
        where o.schedule_id = any($1) and o.goes_on and o.outcome <> 'starting'
            and not exists (select from runs r where r.id = o.run_id and r.finished_at is null)",
        schedules,
    )
    .execute(&mut *connection)
    .await?;
    let rows = sqlx::query!(
        r#"select schedule_id as "schedule_id!", bool_or(goes_on) as "goes_on!", count(*) filter (where not goes_on) as "queued!"
        from (
            select schedule_id, true as goes_on from schedule_occurrences where schedule_id = any($1) and goes_on
            union all
            select schedule_id, false from schedule_occurrences where schedule_id = any($1) and outcome = 'queued'
        ) under_way group by schedule_id"#,
        schedules,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.schedule_id, GoingOn { goes_on: row.goes_on, queued: row.queued })).collect())
}

/// Writes occurrences down, and says how many are new.
async fn keep(connection: &mut PgConnection, trigger: Trigger, decided: &Decided) -> Result<u64, StoreError> {
    if decided.schedules.is_empty() {
        return Ok(0);
    }
    let done = sqlx::query!(
        "insert into schedule_occurrences (schedule_id, instant, brought_by, outcome, run_id, detail, missed, input, goes_on)
        select o.schedule, o.instant, $2, o.outcome, o.run, o.detail, o.missed, o.input, o.outcome = 'starting'
        from unnest($1::uuid[], $3::timestamptz[], $4::text[], $5::uuid[], $6::text[], $7::int[], $9::text[])
            as o(schedule, instant, outcome, run, detail, missed, input)
        on conflict (schedule_id, instant) do update set brought_by = excluded.brought_by, outcome = excluded.outcome,
            run_id = excluded.run_id, detail = excluded.detail, missed = excluded.missed, input = excluded.input,
            goes_on = excluded.goes_on, decided_at = now()
        where $8 and schedule_occurrences.outcome in ('missed', 'skipped')",
        &decided.schedules,
        trigger.as_str(),
        &decided.instants,
        &decided.outcomes as &[&str],
        &decided.runs as &[Option<Uuid>],
        &decided.details as &[Option<String>],
        &decided.missed as &[Option<i32>],
        trigger == Trigger::Backfill,
        &decided.inputs as &[Option<String>],
    );
    Ok(done.execute(connection).await?.rows_affected())
}
