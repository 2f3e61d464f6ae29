//! Runs that begin, many in one statement.

use armilla_domain::id::{RunId, WorkflowId, WorkspaceId};
use armilla_domain::run::RunStatus;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::events::{EventColumns, NewEvent};
use crate::journal::{INLINE_BODY_BYTES_MAX, Rows};
use crate::{Lease, Store, StoreError};

/// A run to be that stands in no line, that no other run waits for, and that no key keeps from being repeated.
#[derive(Debug)]
pub struct PlainRun {
    /// Its id.
    pub id: RunId,
    /// Whose.
    pub workspace: WorkspaceId,
    /// What it runs.
    pub workflow: WorkflowId,
    /// The version it stays on.
    pub version: i32,
    /// Whether that must be the newest one still.
    pub must_be_newest: bool,
    /// When it starts.
    pub started_at: DateTime<Utc>,
    /// The host that works on it from the first moment; none leaves it queued.
    pub lease: Option<Lease>,
    /// W3C trace context to pass on.
    pub traceparent: Option<String>,
    /// The beginning of its journal.
    pub entries: Rows,
    /// The components that it stays on, by digest, where it uses any.
    pub plugins: Option<Vec<String>>,
    /// How many events and runs in turn led to it.
    pub event_depth: i16,
    /// What is told of it.
    pub events: Vec<NewEvent>,
}

impl PlainRun {
    fn status(&self) -> &'static str {
        if self.lease.is_some() { RunStatus::Running } else { RunStatus::Queued }.as_str()
    }
}

impl Store {
    /// Begins runs: their rows, their leases and the beginnings of their journals, in one statement. Says for each whether it is
    /// there now; where not, its workflow is not there any more, or has a newer version than the one that must be the newest.
    ///
    /// # Errors
    /// See [`StoreError`]. After [`StoreError::Unavailable`] it is not known whether they are there.
    pub async fn start_runs(&self, runs: &[&PlainRun]) -> Result<Vec<bool>, StoreError> {
        let made = match runs {
            [run] if run.entries.body.iter().all(|body| body.len() <= INLINE_BODY_BYTES_MAX as usize) => {
                self.start_one(run).await?
            }
            _ => self.start_many(runs).await?,
        };
        Ok(runs.iter().map(|run| made.contains(&run.id.uuid())).collect())
    }

    /// As `start_many`, in the form that Postgres starts up soonest, for one whose bodies all fit the journal's own table.
    async fn start_one(&self, run: &PlainRun) -> Result<Vec<Uuid>, StoreError> {
        let rows = &run.entries;
        let seqs: Vec<i32> = (1..=rows.len() as i32).collect();
        let events = EventColumns::of(&run.events);
        let made = sqlx::query_scalar!(
            r#"with made as (
                insert into runs (id, workspace_id, workflow_id, workflow_version, first_version, status, journal_len, lease_epoch,
                    lease_owner, due_at, created_at, started_at, traceparent, journal_bytes, plugins, event_depth)
                select $1, $2, w.id, $4, $4, $6, $7, case when $8::uuid is null then 0 else 1 end, $8,
                    now() + make_interval(secs => $9), $10, $10, $11, $12, $13, $21
                from workflows w
                where w.id = $3 and w.workspace_id = $2 and w.deleted_at is null and (w.version = $4 or not $5)
                on conflict (id) do nothing
                returning id
            ), entries as (
                insert into journal (run_id, seq, at, kind, scope, step_id, visit, body)
                select made.id, e.seq, e.at, e.kind, e.scope, e.step_id, e.visit, e.body from made, unnest($14::int[],
                    $15::timestamptz[], $16::text[], $17::text[], $18::text[], $19::int[], $20::text[])
                    as e(seq, at, kind, scope, step_id, visit, body)
            ), told as (
                insert into events (id, workspace_id, type, data, depth)
                select e.id, $2, e.type, e.data, $21
                from made, unnest($22::uuid[], $23::text[], $24::text[]) as e(id, type, data)
            )
            select id from made"#,
            run.id.uuid(),
            run.workspace.uuid(),
            run.workflow.uuid(),
            run.version,
            run.must_be_newest,
            run.status(),
            rows.len() as i32,
            run.lease.map(|lease| lease.owner),
            run.lease.map_or(0.0, |lease| lease.duration.as_secs_f64()),
            run.started_at,
            run.traceparent,
            rows.bytes(),
            run.plugins.as_deref(),
            &seqs,
            &rows.at,
            &rows.kind as &[&str],
            &rows.scope as &[Option<String>],
            &rows.step as &[Option<String>],
            &rows.visit as &[Option<i32>],
            &rows.body,
            run.event_depth,
            &events.id,
            &events.kind as &[&str],
            &events.data as &[&str],
        );
        self.kept.fetch_ids(made).await
    }

    async fn start_many(&self, runs: &[&PlainRun]) -> Result<Vec<Uuid>, StoreError> {
        let each = || runs.iter();
        let rows = || each().map(|run| &run.entries);
        let owners: Vec<Uuid> = each().flat_map(|run| vec![run.id.uuid(); run.entries.len()]).collect();
        let seqs: Vec<i32> = rows().flat_map(|rows| 1..=rows.len() as i32).collect();
        let plugins = each().map(|run| run.plugins.as_ref().map(serde_json::to_string).transpose());
        let plugins: Result<Vec<Option<String>>, _> = plugins.collect();
        let told_of = |id: fn(&PlainRun) -> Uuid| -> Vec<Uuid> {
            each().flat_map(|run| vec![id(run); run.events.len()]).collect()
        };
        let events = EventColumns::of(each().flat_map(|run| &run.events));
        let made = sqlx::query_scalar!(
            r#"with a as (
                select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int[], $5::bool[], $6::text[], $7::uuid[], $8::float8[],
                    $9::timestamptz[], $10::text[], $11::int[], $12::bigint[], $13::text[], $23::smallint[])
                    as a(id, workspace, workflow, version, newest, status, owner, lease, started_at, traceparent, len, bytes, plugins, depth)
            ), made as (
                insert into runs (id, workspace_id, workflow_id, workflow_version, first_version, status, journal_len, lease_epoch,
                    lease_owner, due_at, created_at, started_at, traceparent, journal_bytes, plugins, event_depth)
                select a.id, a.workspace, w.id, a.version, a.version, a.status, a.len, case when a.owner is null then 0 else 1 end,
                    a.owner, now() + make_interval(secs => a.lease), a.started_at, a.started_at, a.traceparent, a.bytes,
                    case when a.plugins is not null then array(select jsonb_array_elements_text(a.plugins::jsonb)) end, a.depth
                from a join workflows w on w.id = a.workflow and w.workspace_id = a.workspace and w.deleted_at is null
                    and (w.version = a.version or not a.newest)
                on conflict (id) do nothing
                returning id
            ), entries as (
                insert into journal (run_id, seq, at, kind, scope, step_id, visit, body)
                select e.run, e.seq, e.at, e.kind, e.scope, e.step_id, e.visit,
                    case when octet_length(e.body) <= $22 then e.body end
                from unnest($14::uuid[], $15::int[], $16::timestamptz[], $17::text[], $18::text[], $19::text[], $20::int[], $21::text[])
                    as e(run, seq, at, kind, scope, step_id, visit, body)
                where (e.run in (select id from made)) is true
            ), bodies as (
                insert into journal_bodies (run_id, seq, body)
                select e.run, e.seq, e.body from unnest($14::uuid[], $15::int[], $21::text[]) as e(run, seq, body)
                where octet_length(e.body) > $22 and (e.run in (select id from made)) is true
            ), told as (
                insert into events (id, workspace_id, type, data, depth)
                select e.id, e.workspace, e.type, e.data, e.depth
                from unnest($24::uuid[], $25::uuid[], $26::text[], $27::text[], $28::smallint[], $29::uuid[])
                    as e(run, id, type, data, depth, workspace)
                where (e.run in (select id from made)) is true
            )
            select id from made"#,
            &each().map(|run| run.id.uuid()).collect::<Vec<_>>(),
            &each().map(|run| run.workspace.uuid()).collect::<Vec<_>>(),
            &each().map(|run| run.workflow.uuid()).collect::<Vec<_>>(),
            &each().map(|run| run.version).collect::<Vec<_>>(),
            &each().map(|run| run.must_be_newest).collect::<Vec<_>>(),
            &each().map(|run| run.status()).collect::<Vec<_>>() as &[&str],
            &each().map(|run| run.lease.map(|lease| lease.owner)).collect::<Vec<_>>() as &[Option<Uuid>],
            &each().map(|run| run.lease.map_or(0.0, |lease| lease.duration.as_secs_f64())).collect::<Vec<_>>(),
            &each().map(|run| run.started_at).collect::<Vec<_>>(),
            &each().map(|run| run.traceparent.as_deref()).collect::<Vec<_>>() as &[Option<&str>],
            &rows().map(|rows| rows.len() as i32).collect::<Vec<_>>(),
            &rows().map(Rows::bytes).collect::<Vec<_>>(),
            &plugins.map_err(|error| StoreError::Corrupt(error.to_string()))? as &[Option<String>],
            &owners,
            &seqs,
            &rows().flat_map(|rows| rows.at.iter().copied()).collect::<Vec<_>>(),
            &rows().flat_map(|rows| rows.kind.iter().copied()).collect::<Vec<_>>() as &[&str],
            &rows().flat_map(|rows| rows.scope.iter().map(Option::as_deref)).collect::<Vec<_>>() as &[Option<&str>],
            &rows().flat_map(|rows| rows.step.iter().map(Option::as_deref)).collect::<Vec<_>>() as &[Option<&str>],
            &rows().flat_map(|rows| rows.visit.iter().copied()).collect::<Vec<_>>() as &[Option<i32>],
            &rows().flat_map(|rows| rows.body.iter().map(String::as_str)).collect::<Vec<_>>() as &[&str],
            INLINE_BODY_BYTES_MAX,
            &each().map(|run| run.event_depth).collect::<Vec<_>>(),
            &told_of(|run| run.id.uuid()),
            &events.id,
            &events.kind as &[&str],
            &events.data as &[&str],
            &events.depth,
            &told_of(|run| run.workspace.uuid()),
        );
        self.kept.fetch_ids(made).await
    }
}
