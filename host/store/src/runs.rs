//! Runs: their beginning, and what is read of them.

use armilla_domain::id::{RunId, WorkflowId, WorkspaceId};
use armilla_domain::journal::Entry;
use armilla_domain::run::RunStatus;
use chrono::{DateTime, Utc};

use crate::journal::Columns;
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
    pub entries: &'a [Entry],
    /// The components that it stays on, by digest, where it uses any.
    pub plugins: Option<&'a [String]>,
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
}

/// A run's columns as the database has them.
struct Stored {
    id: uuid::Uuid,
    workflow_id: uuid::Uuid,
    workflow_version: i32,
    status: String,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    vars: Option<String>,
    output: Option<String>,
    error: Option<String>,
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
        })
    }
}

impl Store {
    /// Begins a run: its row, its lease and the beginning of its journal, in one statement. Says whether its workflow was
    /// still there.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn start_run(&self, new: NewRun<'_>) -> Result<bool, StoreError> {
        let Columns { at, kind, scope, step, visit, body } = Columns::of(new.entries)?;
        let status = if new.lease.is_some() { RunStatus::Running } else { RunStatus::Queued };
        let made = sqlx::query_scalar!(
            r#"with made as (
                insert into runs (id, workspace_id, workflow_id, workflow_version, status, journal_len, lease_epoch,
                    lease_owner, lease_until, created_at, started_at, traceparent, journal_bytes, plugins)
                select $1, $2, w.id, $4, $5, cardinality($10::text[]), case when $6::uuid is null then 0 else 1 end,
                    $6, case when $6::uuid is null then null else now() + make_interval(secs => $7) end, $8, $8, $9,
                    (select coalesce(sum(octet_length(e.body)), 0) from unnest($15::text[]) as e(body)), $17
                from workflows w where w.id = $3 and w.workspace_id = $2 and w.deleted_at is null
                returning id
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
            )
            select count(*) as "made!" from made"#,
            new.id.uuid(),
            new.workspace.uuid(),
            new.workflow.uuid(),
            new.version,
            status.as_str(),
            new.lease.map(|lease| lease.owner),
            new.lease.map_or(0.0, |lease| lease.duration.as_secs_f64()),
            new.started_at,
            new.traceparent,
            &kind as &[&str],
            &at,
            &scope as &[Option<&str>],
            &step as &[Option<&str>],
            &visit as &[Option<i32>],
            &body,
            crate::journal::INLINE_BODY_BYTES_MAX,
            new.plugins as Option<&[String]>,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(made == 1)
    }

    /// A run of a workspace.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn run(&self, workspace: WorkspaceId, id: RunId) -> Result<Option<RunRow>, StoreError> {
        let stored = sqlx::query_as!(
            Stored,
            r#"select r.id, r.workflow_id, r.workflow_version, r.status, r.created_at, r.started_at, r.finished_at,
                e.vars as "vars?", e.output as "output?", e.error as "error?"
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

    /// Runs of a workflow, newest first, from before `before` on, without what they answered but with why they failed.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn runs_of_workflow(
        &self,
        workspace: WorkspaceId,
        workflow: WorkflowId,
        before: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<RunRow>, StoreError> {
        let stored = sqlx::query_as!(
            Stored,
            r#"select r.id, r.workflow_id, r.workflow_version, r.status, r.created_at, r.started_at, r.finished_at,
                null::text as vars, null::text as output, e.error as "error?"
            from runs r left join run_results e on e.run_id = r.id
            where r.workspace_id = $1 and r.workflow_id = $2 and ($3::uuid is null or r.id < $3)
            order by r.id desc limit $4"#,
            workspace.uuid(),
            workflow.uuid(),
            before.map(RunId::uuid),
            i64::from(limit),
        );
        stored.fetch_all(&self.pool).await?.into_iter().map(RunRow::try_from).collect()
    }
}
