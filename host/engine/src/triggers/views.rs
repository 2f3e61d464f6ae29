//! What is told of events that start runs.

use armilla_domain::id::{EventId, RunId, WorkflowId, WorkspaceId};
use armilla_store::EventStartedRow;
use chrono::{DateTime, Utc};

use crate::{CommandError, Engine};

/// What became of an event for a workflow.
#[derive(Debug, Clone)]
pub struct EventStartView {
    /// The event.
    pub event: EventId,
    /// Its type.
    pub event_type: String,
    /// `starting`, `started` or `refused`.
    pub outcome: String,
    /// The run.
    pub run: Option<RunId>,
    /// Why there is none.
    pub detail: Option<String>,
    /// When it was decided.
    pub at: DateTime<Utc>,
}

impl From<EventStartedRow> for EventStartView {
    fn from(EventStartedRow { event, event_type, outcome, run, detail, at }: EventStartedRow) -> Self {
        Self { event, event_type, outcome, run, detail, at }
    }
}

impl Engine {
    /// What became of the events that match a workflow, newest first, from before `before` on.
    ///
    /// # Errors
    /// [`CommandError::UnknownWorkflow`].
    pub async fn event_starts(
        &self,
        workspace: WorkspaceId,
        workflow: WorkflowId,
        before: Option<EventId>,
        limit: u32,
    ) -> Result<Vec<EventStartView>, CommandError> {
        let store = &self.host.store;
        let known = store.newest_version(workspace, workflow).await?;
        known.ok_or(CommandError::UnknownWorkflow(workflow))?;
        let rows = store.event_starts(workspace, workflow, before, limit).await?;
        Ok(rows.into_iter().map(EventStartView::from).collect())
    }
}
