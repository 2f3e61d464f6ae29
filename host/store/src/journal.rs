//! The journal: appended behind the lease's epoch, one statement per durable outcome, and read whole.

use armilla_domain::id::RunId;
use armilla_domain::journal::{Entry, Event, ScopePath, Visit};
use armilla_domain::run::RunStatus;
use chrono::{DateTime, Utc};

use crate::{Store, StoreError};

/// Longer bodies lie in a table of their own, so that the journal stays small to scan.
pub(crate) const INLINE_BODY_BYTES_MAX: i32 = 8 * 1024;

/// Entries to append.
#[derive(Debug)]
pub struct Append<'a> {
    /// The run.
    pub run: RunId,
    /// The lease's epoch: the append is refused where another host holds the run by now.
    pub epoch: i64,
    /// How many entries the journal has, as far as the caller knows: the append is refused where it has more.
    pub journal_len: i32,
    /// What comes next.
    pub entries: &'a [Entry],
    /// What the run answered, where the last entry ends it.
    pub end: Option<RunEnd>,
}

/// What a run answered.
#[derive(Debug)]
pub struct RunEnd {
    /// How it ended.
    pub status: RunStatus,
    /// JSON: an object.
    pub vars: String,
    /// JSON.
    pub output: String,
    /// JSON: a failure.
    pub error: Option<String>,
}

/// Whether an append took place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It did, now or by an earlier try whose answer was lost.
    Yes {
        /// What the entries weigh.
        bytes: i64,
    },
    /// The run belongs to another host by now. What was computed is worth nothing; the work stops.
    LeaseLost,
}

/// Entries as columns, the shape in which `unnest` takes them.
pub(crate) struct Columns<'a> {
    pub(crate) at: Vec<DateTime<Utc>>,
    pub(crate) kind: Vec<&'static str>,
    pub(crate) scope: Vec<Option<&'a str>>,
    pub(crate) step: Vec<Option<&'a str>>,
    pub(crate) visit: Vec<Option<i32>>,
    pub(crate) body: Vec<String>,
}

impl<'a> Columns<'a> {
    pub(crate) fn of(entries: &'a [Entry]) -> Result<Self, StoreError> {
        let bodies: Result<Vec<_>, _> = entries.iter().map(|entry| entry.event.to_body()).collect();
        let visits = || entries.iter().map(|entry| entry.event.visit());
        Ok(Self {
            at: entries.iter().map(|entry| entry.at).collect(),
            kind: entries.iter().map(|entry| entry.event.kind()).collect(),
            scope: visits().map(|visit| visit.map(|visit| visit.scope.as_str())).collect(),
            step: visits().map(|visit| visit.map(|visit| visit.step.as_str())).collect(),
            visit: visits().map(|visit| visit.map(|visit| visit.number as i32)).collect(),
            body: bodies.map_err(|error| StoreError::Corrupt(error.to_string()))?,
        })
    }
}

impl Store {
    /// Appends entries and, where they end the run, what it answered; status and lease move in the same statement.
    ///
    /// # Errors
    /// See [`StoreError`]. After [`StoreError::Unavailable`] it is not known whether it took place; the same append again
    /// finds out.
    pub async fn append(&self, append: &Append<'_>) -> Result<Appended, StoreError> {
        let Columns { at, kind, scope, step, visit, body } = Columns::of(append.entries)?;
        let bytes = body.iter().map(|body| body.len() as i64).sum::<i64>();
        let end = append.end.as_ref();
        let held = sqlx::query_scalar!(
            r#"with held as (
                update runs set journal_len = journal_len + cardinality($4::text[]), status = $5, claims = 0,
                    journal_bytes = journal_bytes + $16,
                    finished_at = case when $6 then ($7::timestamptz[])[cardinality($4::text[])] end,
                    lease_owner = case when $6 then null else lease_owner end,
                    lease_until = case when $6 then null else lease_until end
                where id = $1 and lease_epoch = $2 and journal_len = $3 and finished_at is null
                returning id
            ), entries as (
                insert into journal (run_id, seq, at, kind, scope, step_id, visit, body)
                select held.id, $3 + e.n, e.at, e.kind, e.scope, e.step_id, e.visit,
                    case when octet_length(e.body) <= $15 then e.body end
                from held, unnest($7::timestamptz[], $4::text[], $8::text[], $9::text[], $10::int[], $11::text[])
                    with ordinality as e(at, kind, scope, step_id, visit, body, n)
            ), bodies as (
                insert into journal_bodies (run_id, seq, body)
                select held.id, $3 + e.n, e.body from held, unnest($11::text[]) with ordinality as e(body, n)
                where octet_length(e.body) > $15
            ), results as (
                insert into run_results (run_id, vars, output, error)
                select held.id, $12, $13, $14 from held where $6
            )
            select count(*) as "held!" from held"#,
            append.run.uuid(),
            append.epoch,
            append.journal_len,
            &kind as &[&str],
            end.map_or(RunStatus::Running, |end| end.status).as_str(),
            end.is_some(),
            &at,
            &scope as &[Option<&str>],
            &step as &[Option<&str>],
            &visit as &[Option<i32>],
            &body,
            end.map_or("", |end| end.vars.as_str()),
            end.map_or("", |end| end.output.as_str()),
            end.and_then(|end| end.error.as_deref()),
            INLINE_BODY_BYTES_MAX,
            bytes,
        )
        .fetch_one(&self.pool)
        .await?;
        if held == 1 { Ok(Appended::Yes { bytes }) } else { self.was_appended_before(append, bytes).await }
    }

    /// An append that found nothing to change may be the second try of one whose answer was lost.
    async fn was_appended_before(&self, append: &Append<'_>, bytes: i64) -> Result<Appended, StoreError> {
        let position = sqlx::query!("select lease_epoch, journal_len from runs where id = $1", append.run.uuid())
            .fetch_optional(&self.pool)
            .await?;
        let expected = append.journal_len + append.entries.len() as i32;
        let ours = position.is_some_and(|run| run.lease_epoch == append.epoch && run.journal_len == expected);
        Ok(if ours { Appended::Yes { bytes } } else { Appended::LeaseLost })
    }

    /// The journal of a run, in order.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn journal(&self, run: RunId) -> Result<Vec<Entry>, StoreError> {
        let rows = sqlx::query!(
            r#"select j.at, j.kind, j.scope, j.step_id, j.visit, coalesce(j.body, b.body) as "body!"
            from journal j left join journal_bodies b on b.run_id = j.run_id and b.seq = j.seq
            where j.run_id = $1 order by j.seq"#,
            run.uuid(),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                let visit = row.step_id.map(|step| Visit {
                    scope: ScopePath::from_stored(row.scope.unwrap_or_default()),
                    step,
                    number: row.visit.unwrap_or_default() as u32,
                });
                let event = Event::from_body(&row.body, visit).map_err(|error| {
                    StoreError::Corrupt(format!("an entry of {run} of kind `{}`: {error}", row.kind))
                })?;
                Ok(Entry { at: row.at, event })
            })
            .collect()
    }

    /// The first entry of a run, which holds its input.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn first_entry(&self, run: RunId) -> Result<Option<Event>, StoreError> {
        let body = sqlx::query_scalar!(
            r#"select coalesce(j.body, b.body) as "body!"
            from journal j left join journal_bodies b on b.run_id = j.run_id and b.seq = j.seq
            where j.run_id = $1 and j.seq = 1"#,
            run.uuid(),
        )
        .fetch_optional(&self.pool)
        .await?;
        body.map(|body| Event::from_body(&body, None))
            .transpose()
            .map_err(|error| StoreError::Corrupt(format!("the first entry of {run}: {error}")))
    }
}
