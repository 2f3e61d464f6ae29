//! Runs: their beginning, and what is read of them.

use armilla_domain::id::{RunId, WorkflowId, WorkspaceId};
use armilla_domain::run::{ChildOf, RunStatus};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::events::{EventColumns, NewEvent};
use crate::journal::{INLINE_BODY_BYTES_MAX, Rows};
use crate::line::{Line, lock_line};
use crate::retention::IDEMPOTENCY_HOURS;
use crate::{Lease, Store, StoreError};

/// A run to be.
#[derive(Debug)]
pub struct NewRun<'a> {
    /// Its id.
    pub id: RunId,
    /// Whose.
    pub workspace: WorkspaceId,
    /// What it runs.
    pub workflow: WorkflowId,
    /// The version it stays on.
    pub version: i32,
    /// When it starts.
    pub started_at: DateTime<Utc>,
    /// The host that works on it from the first moment; none leaves it queued.
    pub lease: Option<Lease>,
    /// W3C trace context to pass on.
    pub traceparent: Option<&'a str>,
    /// The beginning of its journal.
    pub entries: &'a Rows,
    /// The components that it stays on, by digest, where it uses any.
    pub plugins: Option<&'a [String]>,
    /// The run that waits for it.
    pub parent: Option<ChildOf>,
    /// Where only so many of its kind go on at once.
    pub place_in_line: Option<PlaceInLine>,
    /// What keeps a repeated request from starting another one.
    pub idempotency: Option<Idempotency<'a>>,
    /// How many events and runs in turn led to it.
    pub event_depth: i16,
    /// What is told of it.
    pub events: &'a [NewEvent],
}

/// Where only so many runs go on at once.
#[derive(Debug, Clone)]
pub struct PlaceInLine {
    /// Which of them.
    pub line: Line,
    /// How many.
    pub max: i32,
    /// Whether one more is refused, and not made to wait.
    pub rejects: bool,
}

/// What keeps a repeated request from starting another run.
#[derive(Debug, Clone, Copy)]
pub struct Idempotency<'a> {
    /// The caller's key.
    pub key: &'a str,
    /// SHA-256 of what it asks for.
    pub digest: &'a str,
}

/// What became of a run to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// It is there. Where it is not admitted, it waits in line.
    Yes {
        /// Whether it may go on.
        admitted: bool,
    },
    /// Its workflow is not there any more, or the run that would wait for it has ended.
    NoWorkflow,
    /// A run of this id is there already.
    Exists,
    /// So many go on already.
    TooMany,
    /// The key has been used, for this run.
    Repeated {
        /// The run that it started.
        run: RunId,
        /// Of what.
        digest: String,
    },
}

/// A run as it stands. `vars`, `output` and `error` are there once it has ended.
#[derive(Debug, Clone)]
pub struct RunRow {
    /// Its id.
    pub id: RunId,
    /// What it runs.
    pub workflow: WorkflowId,
    /// The version it is on.
    pub version: i32,
    /// What it is doing, or how it ended.
    pub status: RunStatus,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// The only "now" that its expressions see.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// JSON: an object.
    pub vars: Option<String>,
    /// JSON.
    pub output: Option<String>,
    /// JSON: a failure.
    pub error: Option<String>,
    /// JSON: the tokens of its agent calls.
    pub usage: Option<String>,
    /// The version it began with.
    pub first_version: i32,
    /// How many entries its journal has.
    pub journal_len: i32,
    /// The run that waits for it.
    pub parent: Option<RunId>,
    /// The run that its journal was begun from.
    pub forked_from: Option<RunId>,
}

/// A run's columns as the database has them.
pub(crate) struct Stored {
    pub(crate) id: Uuid,
    pub(crate) workflow_id: Uuid,
    pub(crate) workflow_version: i32,
    pub(crate) status: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
    pub(crate) vars: Option<String>,
    pub(crate) output: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) usage: Option<String>,
    pub(crate) first_version: i32,
    pub(crate) journal_len: i32,
    pub(crate) parent_run: Option<Uuid>,
    pub(crate) forked_from: Option<Uuid>,
}

impl TryFrom<Stored> for RunRow {
    type Error = StoreError;

    fn try_from(stored: Stored) -> Result<Self, StoreError> {
        let status = RunStatus::from_word(&stored.status)
            .ok_or_else(|| StoreError::Corrupt(format!("no run is `{}`", stored.status)))?;
        Ok(Self {
            id: RunId::from_uuid(stored.id),
            workflow: WorkflowId::from_uuid(stored.workflow_id),
            version: stored.workflow_version,
            status,
            created_at: stored.created_at,
            started_at: stored.started_at,
            finished_at: stored.finished_at,
            vars: stored.vars,
            output: stored.output,
            error: stored.error,
            usage: stored.usage,
            first_version: stored.first_version,
            journal_len: stored.journal_len,
            parent: stored.parent_run.map(RunId::from_uuid),
            forked_from: stored.forked_from.map(RunId::from_uuid),
        })
    }
}

impl Store {
    /// Begins a run: its row, its lease and the beginning of its journal, in one statement.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn start_run(&self, new: &NewRun<'_>) -> Result<Started, StoreError> {
        let admitted = match &new.place_in_line {
            None => insert_run(&self.pool, new).await?,
            Some(place) => {
                let mut transaction = self.pool.begin().await?;
                lock_line(&mut transaction, &place.line).await?;
                let admitted = insert_run(&mut *transaction, new).await?;
                transaction.commit().await?;
                admitted
            }
        };
        match admitted {
            Some(admitted) => Ok(Started::Yes { admitted }),
            None => self.why_not_started(new).await,
        }
    }

    async fn why_not_started(&self, new: &NewRun<'_>) -> Result<Started, StoreError> {
        if let Some(Idempotency { key, .. }) = new.idempotency {
            let known = sqlx::query!(
                "select run_id, digest from idempotency_keys where workspace_id = $1 and key = $2",
                new.workspace.uuid(),
                key
            );
            if let Some(known) = known.fetch_optional(&self.pool).await? {
                return Ok(Started::Repeated { run: RunId::from_uuid(known.run_id), digest: known.digest });
            }
        }
        let row = sqlx::query!(
            r#"select exists (select from runs where id = $1) as "exists!",
                exists (select from workflows where id = $2 and workspace_id = $3 and deleted_at is null) as "has_workflow!",
                $4::uuid is null or exists (select from runs where id = $4 and finished_at is null) as "has_parent!""#,
            new.id.uuid(),
            new.workflow.uuid(),
            new.workspace.uuid(),
            new.parent.as_ref().map(|parent| parent.run.uuid()),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(match row {
            row if row.exists => Started::Exists,
            row if !row.has_workflow || !row.has_parent => Started::NoWorkflow,
            _ => Started::TooMany,
        })
    }

    /// A run of a workspace.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn run(&self, workspace: WorkspaceId, id: RunId) -> Result<Option<RunRow>, StoreError> {
        let stored = sqlx::query_as!(
            Stored,
            r#"select r.id, r.workflow_id, r.workflow_version, r.status, r.created_at, r.started_at, r.finished_at,
                r.first_version, r.journal_len, r.parent_run, r.forked_from,
                e.vars as "vars?", e.output as "output?", e.error as "error?", e.usage as "usage?"
            from runs r left join run_results e on e.run_id = r.id
            where r.id = $1 and r.workspace_id = $2"#,
            id.uuid(),
            workspace.uuid(),
        );
        stored.fetch_optional(&self.pool).await?.map(RunRow::try_from).transpose()
    }

    /// Whether a run has ended; `None` where there is no such run.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn has_ended(&self, workspace: WorkspaceId, id: RunId) -> Result<Option<bool>, StoreError> {
        let ended = sqlx::query_scalar!(
            r#"select finished_at is not null as "ended!" from runs where id = $1 and workspace_id = $2"#,
            id.uuid(),
            workspace.uuid(),
        );
        Ok(ended.fetch_optional(&self.pool).await?)
    }

    /// How many entries a run's journal has, and whether it has ended; `None` where there is no such run.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn progress(&self, workspace: WorkspaceId, id: RunId) -> Result<Option<(i32, bool)>, StoreError> {
        let row = sqlx::query!(
            r#"select journal_len, finished_at is not null as "ended!" from runs where id = $1 and workspace_id = $2"#,
            id.uuid(),
            workspace.uuid(),
        );
        Ok(row.fetch_optional(&self.pool).await?.map(|row| (row.journal_len, row.ended)))
    }
}

/// Inserts a run, and says whether it is admitted; `None` where something stands against it.
async fn insert_run<'c>(executor: impl sqlx::PgExecutor<'c>, new: &NewRun<'_>) -> Result<Option<bool>, StoreError> {
    let Rows { at, kind, scope, step, visit, body } = new.entries;
    let status = if new.lease.is_some() { RunStatus::Running } else { RunStatus::Queued };
    let place = new.place_in_line.as_ref();
    let events = EventColumns::of(new.events);
    let admitted = sqlx::query_scalar!(
        r#"with going as (
            select $18::text is null or (
                select count(*) from runs r
                where r.workflow_id = $3 and r.concurrency_key = $18 and r.finished_at is null and r.admitted
            ) < $19::int and not exists (
                select from runs r
                where r.workflow_id = $3 and r.concurrency_key = $18 and r.finished_at is null and not r.admitted
            ) as has_room
        ), keyed as (
            insert into idempotency_keys (workspace_id, key, digest, run_id)
            select $2, $23, $24, $1 from workflows w, going
            where $23::text is not null and w.id = $3 and w.workspace_id = $2 and w.deleted_at is null
                and (going.has_room or not $20)
            on conflict (workspace_id, key) do update set digest = excluded.digest, run_id = excluded.run_id, created_at = now()
                where idempotency_keys.created_at < now() - make_interval(hours => $25)
            returning run_id
        ), made as (
            insert into runs (id, workspace_id, workflow_id, workflow_version, first_version, status, journal_len, lease_epoch,
                lease_owner, due_at, created_at, started_at, traceparent, journal_bytes, plugins, concurrency_key,
                concurrency_max, admitted, parent_run, depth, event_depth)
            select $1, $2, w.id, $4, $4, $5, cardinality($10::text[]), case when $6::uuid is null then 0 else 1 end,
                $6, case when going.has_room then now() + make_interval(secs => $7) end, $8, $8, $9,
                (select coalesce(sum(octet_length(e.body)), 0) from unnest($15::text[]) as e(body)), $17, $18, $19,
                going.has_room, $21, $22, $26
            from workflows w, going
            where w.id = $3 and w.workspace_id = $2 and w.deleted_at is null and (going.has_room or not $20)
                and ($21::uuid is null or exists (select from runs p where p.id = $21 and p.finished_at is null))
                and ($23::text is null or exists (select from keyed))
            on conflict (id) do nothing
            returning id, admitted
        ), entries as (
            insert into journal (run_id, seq, at, kind, scope, step_id, visit, body)
            select made.id, e.n, e.at, e.kind, e.scope, e.step_id, e.visit,
                case when octet_length(e.body) <= $16 then e.body end
            from made, unnest($11::timestamptz[], $10::text[], $12::text[], $13::text[], $14::int[], $15::text[])
                with ordinality as e(at, kind, scope, step_id, visit, body, n)
        ), bodies as (
            insert into journal_bodies (run_id, seq, body)
            select made.id, e.n, e.body from made, unnest($15::text[]) with ordinality as e(body, n)
            where octet_length(e.body) > $16
        ), told as (
            insert into events (id, workspace_id, type, data, depth)
            select e.id, $2, e.type, e.data, $26 from made, unnest($27::uuid[], $28::text[], $29::text[]) as e(id, type, data)
        )
        select admitted from made"#,
        new.id.uuid(),
        new.workspace.uuid(),
        new.workflow.uuid(),
        new.version,
        status.as_str(),
        new.lease.map(|lease| lease.owner),
        new.lease.map_or(0.0, |lease| lease.duration.as_secs_f64()),
        new.started_at,
        new.traceparent,
        kind as &[&str],
        at,
        scope as &[Option<String>],
        step as &[Option<String>],
        visit as &[Option<i32>],
        body,
        INLINE_BODY_BYTES_MAX,
        new.plugins as Option<&[String]>,
        place.map(|place| place.line.key.as_str()),
        place.map(|place| place.max),
        place.is_some_and(|place| place.rejects),
        new.parent.as_ref().map(|parent| parent.run.uuid()),
        new.parent.as_ref().map_or(0, |parent| parent.depth),
        new.idempotency.map(|idempotency| idempotency.key),
        new.idempotency.map(|idempotency| idempotency.digest),
        IDEMPOTENCY_HOURS,
        new.event_depth,
        &events.id,
        &events.kind as &[&str],
        &events.data as &[&str],
    );
    Ok(admitted.fetch_optional(executor).await?)
}
