//! Lists: of all there is, what somebody asks for, a page of it.

use armilla_domain::id::{RunId, WorkflowId, WorkspaceId};
use armilla_domain::run::RunStatus;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::Postgres;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Map;
use uuid::Uuid;

use crate::runs::Stored;
use crate::{RunRow, Store, StoreError};

/// Which runs of a workspace are meant.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Those of this workflow.
    pub workflow: Option<WorkflowId>,
    /// Those of these statuses; of any where empty.
    pub statuses: Vec<RunStatus>,
    /// Those that ended with this code.
    pub error_code: Option<String>,
    /// Those that were asked for then or later.
    pub created_from: Option<DateTime<Utc>>,
    /// Those that were asked for before then.
    pub created_before: Option<DateTime<Utc>>,
    /// Those that this one started.
    pub parent: Option<RunId>,
}

/// How far a run's id and the time of its creation are apart: hosts and the database have clocks of their own. Ids of children, and of runs that were
/// late to start, may be older than that, and are never younger.
const ABOUT: TimeDelta = TimeDelta::hours(1);

/// The smallest id of an instant.
fn first_id(instant: DateTime<Utc>) -> Uuid {
    RunId::from_parts(instant.timestamp_millis().max(0).unsigned_abs(), [0; 10]).uuid()
}

impl Store {
    /// A page of a list. Its statement says of each condition that it holds or was not asked for, and is planned for what is asked for each
    /// time: a plan that fits whatever may be asked would read all there is.
    pub(crate) async fn page<F, T>(&self, statement: Map<'_, Postgres, F, PgArguments>) -> Result<Vec<T>, StoreError>
    where
        F: FnMut(PgRow) -> Result<T, sqlx::Error> + Send,
        T: Send + Unpin,
    {
        let mut transaction = self.pool.begin().await?;
        sqlx::query!("set local plan_cache_mode = force_custom_plan").execute(&mut *transaction).await?;
        let rows = statement.fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(rows)
    }

    /// Runs of a workspace, newest first, from before `before` on, without what they answered but with why they failed.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn runs(
        &self,
        workspace: WorkspaceId,
        filter: &RunFilter,
        before: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<RunRow>, StoreError> {
        let statuses: Vec<&str> = filter.statuses.iter().map(|status| status.as_str()).collect();
        let (workflow, parent) = (filter.workflow.map(WorkflowId::uuid), filter.parent.map(RunId::uuid));
        let (before, limit) = (before.map(RunId::uuid), i64::from(limit));
        let from = filter.created_from.map(|from| first_id(from - ABOUT));
        let until = filter.created_before.map(|until| first_id(until + ABOUT));
        let all = |of: fn(RunStatus) -> bool| !filter.statuses.is_empty() && filter.statuses.iter().all(|s| of(*s));
        // Which index fits follows from what is asked for, and is said so that the planner knows.
        macro_rules! runs_that {
            ($are:literal, $from:expr, $before:expr, $limit:expr) => {
                self.page(sqlx::query_as!(
                    Stored,
                    r#"select r.id, r.workflow_id, r.workflow_version, r.status, r.created_at, r.started_at, r.finished_at,
                        r.first_version, r.journal_len, r.parent_run, r.forked_from,
                        null::text as vars, null::text as output, e.error as "error?", e.usage as "usage?"
                    from runs r left join run_results e on e.run_id = r.id
                    where r.workspace_id = $1 and ($2::uuid is null or r.workflow_id = $2) and ($3::uuid is null or r.id < $3)
                        and (cardinality($5::text[]) = 0 or r.status = any($5)) and ($6::text is null or r.error_code = $6)
                        and ($7::timestamptz is null or r.created_at >= $7) and ($8::timestamptz is null or r.created_at < $8)
                        and ($10::uuid is null or r.id >= $10) and ($11::uuid is null or r.id < $11)
                        and ($9::uuid is null or r.parent_run = $9) and "#
                        + $are
                        + " order by r.id desc limit $4",
                    workspace.uuid(),
                    workflow,
                    $before,
                    $limit,
                    &statuses as &[&str],
                    filter.error_code.as_deref(),
                    filter.created_from,
                    filter.created_before,
                    parent,
                    $from,
                    until,
                ))
                .await?
            };
        }
        let ended_badly = |status: RunStatus| status.is_final() && status != RunStatus::Success;
        let mut stored = if parent.is_some() {
            runs_that!("r.parent_run is not null and r.parent_run = $9", from, before, limit)
        } else if all(|status| !status.is_final()) {
            runs_that!("coalesce(r.finished_at, 'infinity') = 'infinity'", from, before, limit)
        } else if all(ended_badly) || filter.error_code.is_some() {
            runs_that!("r.finished_at is not null and r.status <> 'success'", from, before, limit)
        } else {
            runs_that!("true", from, before, limit)
        };
        let missing = limit - stored.len() as i64;
        if let Some(from) = from.filter(|_| missing > 0) {
            // Those whose ids are older than they themselves: they come last.
            let before = before.map_or(from, |before| before.min(from));
            stored.extend(runs_that!(
                "r.id = any(array(
                    select late.id from runs late
                    where late.created_at >= $7 and late.created_at < coalesce($8, 'infinity')
                        -- Not to be looked for by their ids: there are many so old.
                        and (late.id < $3) is true
                ))",
                None::<Uuid>,
                Some(before),
                missing
            ));
        }
        stored.into_iter().map(RunRow::try_from).collect()
    }
}
