//! Decisions that runs wait for.

use armilla_domain::id::{ApprovalId, RunId, WorkspaceId};
use armilla_domain::journal::{ScopePath, Visit};
use armilla_domain::run::Message;
use chrono::{DateTime, Utc};

use crate::{NewEvent, Store, StoreError};

/// A decision that a run waits or waited for.
#[derive(Debug, Clone)]
pub struct ApprovalRow {
    /// Its id.
    pub id: ApprovalId,
    /// The run that asks.
    pub run: RunId,
    /// The step that asks.
    pub step: String,
    /// What is asked.
    pub message: String,
    /// The roles that may decide.
    pub approvers: Vec<String>,
    /// `open`, `approved`, `denied`, `expired` or `withdrawn`.
    pub status: String,
    /// When it was asked.
    pub created_at: DateTime<Utc>,
    /// Until when it can be decided.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was.
    pub decided_at: Option<DateTime<Utc>>,
    /// By whom.
    pub decided_by: Option<String>,
    /// What they said about it.
    pub note: Option<String>,
    visit: Visit,
}

/// Its columns as the database has them.
struct Stored {
    id: uuid::Uuid,
    run_id: uuid::Uuid,
    scope: String,
    step_id: String,
    visit: i32,
    message: String,
    approvers: Vec<String>,
    status: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    decided_at: Option<DateTime<Utc>>,
    decided_by: Option<String>,
    note: Option<String>,
}

impl From<Stored> for ApprovalRow {
    fn from(row: Stored) -> Self {
        Self {
            id: ApprovalId::from_uuid(row.id),
            run: RunId::from_uuid(row.run_id),
            visit: Visit {
                scope: ScopePath::from_stored(row.scope),
                step: row.step_id.clone(),
                number: row.visit as u32,
            },
            step: row.step_id,
            message: row.message,
            approvers: row.approvers,
            status: row.status,
            created_at: row.created_at,
            expires_at: row.expires_at,
            decided_at: row.decided_at,
            decided_by: row.decided_by,
            note: row.note,
        }
    }
}

/// What is asked of the list of approvals.
#[derive(Debug, Default)]
pub struct ApprovalFilter<'a> {
    /// Those of this status.
    pub status: Option<&'a str>,
    /// Those of this run.
    pub run: Option<RunId>,
}

impl Store {
    /// Approvals of a workspace, newest first, from before `before` on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn approvals(
        &self,
        workspace: WorkspaceId,
        filter: ApprovalFilter<'_>,
        before: Option<ApprovalId>,
        limit: u32,
    ) -> Result<Vec<ApprovalRow>, StoreError> {
        let rows = sqlx::query_as!(
            Stored,
            "select id, run_id, scope, step_id, visit, message, approvers, status, created_at, expires_at, decided_at,
                decided_by, note
            from approvals
            where workspace_id = $1 and ($2::text is null or status = $2) and ($3::uuid is null or run_id = $3)
                and ($4::uuid is null or id < $4)
            order by id desc limit $5",
            workspace.uuid(),
            filter.status,
            filter.run.map(RunId::uuid),
            before.map(ApprovalId::uuid),
            i64::from(limit),
        );
        Ok(self.page(rows).await?.into_iter().map(ApprovalRow::from).collect())
    }

    /// An approval of a workspace.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn approval(&self, workspace: WorkspaceId, id: ApprovalId) -> Result<Option<ApprovalRow>, StoreError> {
        let row = sqlx::query_as!(
            Stored,
            "select id, run_id, scope, step_id, visit, message, approvers, status, created_at, expires_at, decided_at,
                decided_by, note
            from approvals where id = $1 and workspace_id = $2",
            id.uuid(),
            workspace.uuid(),
        );
        Ok(row.fetch_optional(&self.pool).await?.map(ApprovalRow::from))
    }

    /// Decides an approval, and tells its run, in one statement. Says whether it was still to be decided; by the database's
    /// clock it is not any more once it has expired.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn decide_approval(
        &self,
        approval: &ApprovalRow,
        approved: bool,
        by: &str,
        note: Option<&str>,
        event: &NewEvent,
    ) -> Result<bool, StoreError> {
        let message = Message::Decision {
            visit: approval.visit.clone(),
            approved,
            by: by.to_owned(),
            note: note.map(str::to_owned),
        };
        let body = serde_json::to_string(&message).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let decided = sqlx::query_scalar!(
            r#"with decided as (
                update approvals set status = $2, decided_at = now(), decided_by = $3, note = $4
                where id = $1 and status = 'open' and (expires_at is null or expires_at > now())
                    and exists (select from runs r where r.id = approvals.run_id and r.finished_at is null)
                returning run_id, workspace_id
            ), told as (insert into run_inbox (run_id, body) select run_id, $5 from decided),
            event as (
                insert into events (id, workspace_id, type, data, depth)
                select $6, d.workspace_id, $7, $8, r.event_depth from decided d join runs r on r.id = d.run_id
            )
            select count(*) as "decided!" from decided"#,
            approval.id.uuid(),
            if approved { "approved" } else { "denied" },
            by,
            note,
            body,
            event.id.uuid(),
            event.kind.as_str(),
            event.data,
        );
        Ok(decided.fetch_one(&self.pool).await? == 1)
    }
}
