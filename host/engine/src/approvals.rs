//! Decisions that runs wait for.

use armilla_domain::event::EventType;
use armilla_domain::event::data::{ApprovalDecided, beginning};
use armilla_domain::id::{ApprovalId, RunId, WorkspaceId};
use armilla_store::{ApprovalFilter, ApprovalRow};
use chrono::{DateTime, Utc};
use tracing::info;

use crate::{CommandError, Engine};

/// A role that decides every approval.
const OWNER: &str = "owner";

/// A decision that a run waits or waited for.
#[derive(Debug, Clone)]
pub struct ApprovalView {
    /// Its id.
    pub id: ApprovalId,
    /// The run that asks.
    pub run: RunId,
    /// The step that asks.
    pub step: String,
    /// What is asked.
    pub message: String,
    /// The roles that may decide; owners always may.
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
}

/// Somebody's decision.
#[derive(Debug)]
pub struct Decision<'a> {
    /// Yes or no.
    pub approved: bool,
    /// Whose.
    pub by: &'a str,
    /// Their role.
    pub role: &'a str,
    /// What they say about it.
    pub note: Option<&'a str>,
}

impl Engine {
    /// Approvals of a workspace, newest first; those of one status or one run where named.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn approvals(
        &self,
        workspace: WorkspaceId,
        status: Option<&str>,
        run: Option<RunId>,
        before: Option<ApprovalId>,
        limit: u32,
    ) -> Result<Vec<ApprovalView>, CommandError> {
        let filter = ApprovalFilter { status, run };
        let rows = self.host.store.approvals(workspace, filter, before, limit).await?;
        Ok(rows.into_iter().map(view).collect())
    }

    /// An approval of a workspace.
    ///
    /// # Errors
    /// Where there is none, or the database is away.
    pub async fn approval(&self, workspace: WorkspaceId, id: ApprovalId) -> Result<ApprovalView, CommandError> {
        let row = self.host.store.approval(workspace, id).await?;
        row.map(view).ok_or(CommandError::UnknownApproval(id))
    }

    /// Decides an approval, once; its run goes on.
    ///
    /// # Errors
    /// Where there is none, where the caller's role may not, where it is not open any more, or the database is away.
    pub async fn decide(
        &self,
        workspace: WorkspaceId,
        id: ApprovalId,
        decision: Decision<'_>,
    ) -> Result<ApprovalView, CommandError> {
        let store = &self.host.store;
        let row = store.approval(workspace, id).await?.ok_or(CommandError::UnknownApproval(id))?;
        if decision.role != OWNER && !row.approvers.iter().any(|role| role == decision.role) {
            return Err(CommandError::NotAnApprover(row.approvers));
        }
        let Decision { approved, by, note, .. } = decision;
        let told = ApprovalDecided {
            approval_id: id,
            run_id: row.run,
            step_id: &row.step,
            status: if approved { "approved" } else { "denied" },
            by: Some(by),
            note: note.map(beginning),
        };
        let event = self.host.event(EventType::ApprovalDecided, &told);
        let decided = store.decide_approval(&row, approved, by, note, &event).await?;
        let row = store.approval(workspace, id).await?.ok_or(CommandError::UnknownApproval(id))?;
        if !decided {
            let is_late = row.status == "open" && row.expires_at.is_some();
            let status = if is_late { "expired".to_owned() } else { row.status };
            return Err(CommandError::ApprovalClosed { id, status });
        }
        info!(run.id = %row.run, approval.id = %id, by, "The approval `{id}` was {}", row.status);
        self.host.told.send_replace(());
        self.host.wake(&[row.run]);
        Ok(view(row))
    }
}

fn view(row: ApprovalRow) -> ApprovalView {
    ApprovalView {
        id: row.id,
        run: row.run,
        step: row.step,
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
