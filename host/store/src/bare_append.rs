//! Appends of entries and nothing else, as most are: no message taken in or sent, no decision asked for, no body too long for the
//! journal's own table. Each form has a statement of its own, since starting up the parts of one that does everything takes Postgres
//! longer than doing the little there is.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::events::EventColumns;
use crate::journal::INLINE_BODY_BYTES_MAX;
use crate::{Append, CLAIMS_WITHOUT_PROGRESS_MAX, Rows, RunEnd, Store, StoreError, Then};

impl Append {
    /// Whether nothing changes with it but the run's own row, its journal and what it answers.
    pub(crate) fn is_bare(&self) -> bool {
        let tells_nobody = match &self.then {
            Then::End(end) => end.told_parent.is_none(),
            Then::GoOn { .. } | Then::LetGo { .. } => true,
        };
        tells_nobody
            && self.consumed.is_empty()
            && self.abandoned.is_empty()
            && self.approvals.is_none()
            && self.entries.body.iter().all(|body| body.len() <= INLINE_BODY_BYTES_MAX as usize)
    }

    fn end(&self) -> Option<&RunEnd> {
        if let Then::End(end) = &self.then { Some(end) } else { None }
    }

    fn goes_on(&self) -> bool {
        matches!(self.then, Then::GoOn { .. })
    }

    fn due_at(&self) -> Option<DateTime<Utc>> {
        if let Then::LetGo { due_at, .. } = self.then { due_at } else { None }
    }

    fn seqs(&self) -> impl Iterator<Item = i32> {
        (1..=self.entries.len() as i32).map(|n| self.journal_len + n)
    }
}

fn strings(column: &[Option<String>]) -> Vec<Option<&str>> {
    column.iter().map(Option::as_deref).collect()
}

fn seconds(duration: Option<Duration>) -> Option<f64> {
    duration.map(|duration| duration.as_secs_f64())
}

impl Store {
    /// As `append`, for appends that are all bare; gives the runs whose append took place.
    pub(crate) async fn append_bare(&self, appends: &[&Append]) -> Result<Vec<Uuid>, StoreError> {
        match appends {
            [append] => match append.end() {
                None => self.append_one(append).await,
                Some(end) => self.end_one(append, end).await,
            },
            _ => self.append_many(appends).await,
        }
    }

    async fn append_one(&self, append: &Append) -> Result<Vec<Uuid>, StoreError> {
        let rows = &append.entries;
        let events = EventColumns::of(&append.events);
        let held = sqlx::query_scalar!(
            r#"with held as (
                update runs set journal_len = journal_len + $4, status = $5, error_code = null,
                    claims = case when claims > $9 then claims else 0 end,
                    journal_bytes = journal_bytes + $6,
                    lease_owner = case when $7 then lease_owner end,
                    due_at = case when $7 then due_at else $8 end
                where id = $1 and lease_epoch = $2 and journal_len = $3 and finished_at is null
                returning id, workspace_id
            ), entries as (
                insert into journal (run_id, seq, at, kind, scope, step_id, visit, body)
                select held.id, e.seq, e.at, e.kind, e.scope, e.step_id, e.visit, e.body from held, unnest($10::int[],
                    $11::timestamptz[], $12::text[], $13::text[], $14::text[], $15::int[], $16::text[])
                    as e(seq, at, kind, scope, step_id, visit, body)
            ), told as (
                insert into events (id, workspace_id, type, data, depth)
                select e.id, held.workspace_id, e.type, e.data, e.depth
                from held, unnest($17::uuid[], $18::text[], $19::text[], $20::smallint[]) as e(id, type, data, depth)
            )
            select id as "id!" from held"#,
            append.run.uuid(),
            append.epoch,
            append.journal_len,
            rows.len() as i32,
            append.status().as_str(),
            rows.bytes(),
            append.goes_on(),
            append.due_at(),
            CLAIMS_WITHOUT_PROGRESS_MAX,
            &append.seqs().collect::<Vec<_>>(),
            &rows.at,
            &rows.kind as &[&str],
            &rows.scope as &[Option<String>],
            &rows.step as &[Option<String>],
            &rows.visit as &[Option<i32>],
            &rows.body,
            &events.id,
            &events.kind as &[&str],
            &events.data as &[&str],
            &events.depth,
        );
        self.kept.fetch_ids(held).await
    }

    async fn end_one(&self, append: &Append, end: &RunEnd) -> Result<Vec<Uuid>, StoreError> {
        let rows = &append.entries;
        let events = EventColumns::of(&append.events);
        let held = sqlx::query_scalar!(
            r#"with held as (
                update runs set journal_len = journal_len + $4, status = $5, error_code = $7,
                    claims = case when claims > $8 then claims else 0 end,
                    journal_bytes = journal_bytes + $6, lease_owner = null, due_at = null, finished_at = $9,
                    retain_until = now() + make_interval(secs => $10)
                where id = $1 and lease_epoch = $2 and journal_len = $3 and finished_at is null
                returning id, workspace_id
            ), results as (
                insert into run_results (run_id, vars, output, error, usage)
                select held.id, $11::text, $12::text, $13::text, $21::text from held
            ), entries as (
                insert into journal (run_id, seq, at, kind, scope, step_id, visit, body)
                select held.id, e.seq, e.at, e.kind, e.scope, e.step_id, e.visit, e.body from held, unnest($14::int[],
                    $15::timestamptz[], $16::text[], $17::text[], $18::text[], $19::int[], $20::text[])
                    as e(seq, at, kind, scope, step_id, visit, body)
            ), told as (
                insert into events (id, workspace_id, type, data, depth)
                select e.id, held.workspace_id, e.type, e.data, e.depth
                from held, unnest($22::uuid[], $23::text[], $24::text[], $25::smallint[]) as e(id, type, data, depth)
            )
            select id as "id!" from held"#,
            append.run.uuid(),
            append.epoch,
            append.journal_len,
            rows.len() as i32,
            append.status().as_str(),
            rows.bytes(),
            end.error_code.as_deref(),
            CLAIMS_WITHOUT_PROGRESS_MAX,
            rows.at.last().copied(),
            seconds(end.retain),
            end.vars,
            end.output,
            end.error.as_deref(),
            &append.seqs().collect::<Vec<_>>(),
            &rows.at,
            &rows.kind as &[&str],
            &rows.scope as &[Option<String>],
            &rows.step as &[Option<String>],
            &rows.visit as &[Option<i32>],
            &rows.body,
            end.usage.as_deref(),
            &events.id,
            &events.kind as &[&str],
            &events.data as &[&str],
            &events.depth,
        );
        self.kept.fetch_ids(held).await
    }

    /// Postgres takes `held` for one row, whatever comes of it, and a join with it for two loops, one inside the other. What is asked
    /// as `(… in …) is true` it answers from a table of hashes.
    async fn append_many(&self, appends: &[&Append]) -> Result<Vec<Uuid>, StoreError> {
        let each = || appends.iter();
        let rows = || each().map(|append| &append.entries);
        let ends = || each().filter_map(|append| append.end().map(|end| (append.run, end)));
        let owners: Vec<Uuid> = each().flat_map(|append| vec![append.run.uuid(); append.entries.len()]).collect();
        let told_of = |id: fn(&Append) -> Uuid| -> Vec<Uuid> {
            each().flat_map(|append| vec![id(append); append.events.len()]).collect()
        };
        let events = EventColumns::of(each().flat_map(|append| &append.events));
        let held = sqlx::query_scalar!(
            r#"with held as (
                update runs set journal_len = journal_len + a.added, status = a.status, error_code = a.error_code,
                    claims = case when claims > $12 then claims else 0 end,
                    journal_bytes = journal_bytes + a.bytes,
                    finished_at = case when a.ends then a.last_at end,
                    lease_owner = case when a.goes_on then lease_owner end,
                    due_at = case when a.goes_on then runs.due_at else a.due_at end,
                    retain_until = case when a.ends then now() + make_interval(secs => a.retain) end
                from unnest($1::uuid[], $2::bigint[], $3::int[], $4::int[], $5::bigint[], $6::text[], $7::bool[], $8::bool[],
                    $9::timestamptz[], $10::timestamptz[], $11::text[], $13::float8[])
                    as a(run, epoch, len, added, bytes, status, ends, goes_on, due_at, last_at, error_code, retain)
                where runs.id = a.run and lease_epoch = a.epoch and journal_len = a.len and finished_at is null
                returning runs.id
            ), entries as (
                insert into journal (run_id, seq, at, kind, scope, step_id, visit, body)
                select e.run, e.seq, e.at, e.kind, e.scope, e.step_id, e.visit, e.body
                from unnest($14::uuid[], $15::int[], $16::timestamptz[], $17::text[], $18::text[], $19::text[], $20::int[], $21::text[])
                    as e(run, seq, at, kind, scope, step_id, visit, body)
                where (e.run in (select id from held)) is true
            ), results as (
                insert into run_results (run_id, vars, output, error, usage)
                select r.run, r.vars, r.output, r.error, r.usage
                from unnest($22::uuid[], $23::text[], $24::text[], $25::text[], $26::text[]) as r(run, vars, output, error, usage)
                where (r.run in (select id from held)) is true
            ), told as (
                insert into events (id, workspace_id, type, data, depth)
                select e.id, e.workspace, e.type, e.data, e.depth
                from unnest($27::uuid[], $28::uuid[], $29::text[], $30::text[], $31::smallint[], $32::uuid[])
                    as e(run, id, type, data, depth, workspace)
                where (e.run in (select id from held)) is true
            )
            select id as "id!" from held"#,
            &each().map(|append| append.run.uuid()).collect::<Vec<_>>(),
            &each().map(|append| append.epoch).collect::<Vec<_>>(),
            &each().map(|append| append.journal_len).collect::<Vec<_>>(),
            &rows().map(|rows| rows.len() as i32).collect::<Vec<_>>(),
            &rows().map(Rows::bytes).collect::<Vec<_>>(),
            &each().map(|append| append.status().as_str()).collect::<Vec<_>>() as &[&str],
            &each().map(|append| append.end().is_some()).collect::<Vec<_>>(),
            &each().map(|append| append.goes_on()).collect::<Vec<_>>(),
            &each().map(|append| append.due_at()).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
            &rows().map(|rows| rows.at.last().copied()).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
            &each().map(|append| append.end().and_then(|end| end.error_code.as_deref())).collect::<Vec<_>>()
                as &[Option<&str>],
            CLAIMS_WITHOUT_PROGRESS_MAX,
            &each().map(|append| seconds(append.end().and_then(|end| end.retain))).collect::<Vec<_>>()
                as &[Option<f64>],
            &owners,
            &each().flat_map(|append| append.seqs()).collect::<Vec<_>>(),
            &rows().flat_map(|rows| rows.at.iter().copied()).collect::<Vec<_>>(),
            &rows().flat_map(|rows| rows.kind.iter().copied()).collect::<Vec<_>>() as &[&str],
            &rows().flat_map(|rows| strings(&rows.scope)).collect::<Vec<_>>() as &[Option<&str>],
            &rows().flat_map(|rows| strings(&rows.step)).collect::<Vec<_>>() as &[Option<&str>],
            &rows().flat_map(|rows| rows.visit.iter().copied()).collect::<Vec<_>>() as &[Option<i32>],
            &rows().flat_map(|rows| rows.body.iter().map(String::as_str)).collect::<Vec<_>>() as &[&str],
            &ends().map(|(run, _)| run.uuid()).collect::<Vec<_>>(),
            &ends().map(|(_, end)| end.vars.as_str()).collect::<Vec<_>>() as &[&str],
            &ends().map(|(_, end)| end.output.as_str()).collect::<Vec<_>>() as &[&str],
            &ends().map(|(_, end)| end.error.as_deref()).collect::<Vec<_>>() as &[Option<&str>],
            &ends().map(|(_, end)| end.usage.as_deref()).collect::<Vec<_>>() as &[Option<&str>],
            &told_of(|append| append.run.uuid()),
            &events.id,
            &events.kind as &[&str],
            &events.data as &[&str],
            &events.depth,
            &told_of(|append| append.workspace.uuid()),
        );
        self.kept.fetch_ids(held).await
    }
}
