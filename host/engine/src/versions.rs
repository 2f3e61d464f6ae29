//! Commands on the versions of workflows. Runs stay on the one they started with; new ones use the newest.

use std::sync::Arc;

use armilla_domain::definition::Checked;
use armilla_domain::definition::diff::{Diff, diff};
use armilla_domain::fault::Fault;
use armilla_domain::id::{WorkflowId, WorkspaceId};
use armilla_store::{
    NewDefinition, Revised, RevisedRow, Revision, StoreError, WorkflowVersionRow,
    WorkflowVersionSummaryRow as SummaryRow,
};
use chrono::{DateTime, Utc};
use serde_json::Value;
use tracing::info;

use crate::workflows::on_events_of;
use crate::{CommandError, Engine, WorkflowView};

/// A change of a workflow. What is not there stays as it is.
#[derive(Debug, Default)]
pub struct ReviseWorkflow {
    /// For people.
    pub name: Option<String>,
    /// For people; the inner `None` takes it away.
    pub description: Option<Option<String>>,
    /// What it does from now on; to be checked.
    pub definition: Option<Value>,
    /// The version that was edited, where it matters that no other one came between.
    pub edited: Option<i32>,
}

/// One version of a workflow.
#[derive(Debug, Clone)]
pub struct WorkflowVersionView {
    /// Whose version it is.
    pub workflow: WorkflowId,
    /// From 1.
    pub version: i32,
    /// As its author wrote it.
    pub definition: Value,
    /// What its author should have looked at when it was made.
    pub warnings: Vec<Fault>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Who made it; not known of the oldest ones.
    pub created_by: Option<String>,
    /// The earlier version that its definition is taken from, where it is.
    pub restored_from: Option<i32>,
}

/// One version of a workflow, without what it does.
#[derive(Debug, Clone)]
pub struct WorkflowVersionSummaryView {
    /// From 1.
    pub version: i32,
    /// How much its author was warned of when it was made.
    pub warnings: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Who made it; not known of the oldest ones.
    pub created_by: Option<String>,
    /// The earlier version that its definition is taken from, where it is.
    pub restored_from: Option<i32>,
}

impl Engine {
    /// Changes a workflow. A definition that differs from the newest version's makes the next version; a name and a
    /// description are the workflow's, whatever its version.
    ///
    /// # Errors
    /// [`CommandError::UnknownWorkflow`], [`CommandError::VersionConflict`], [`CommandError::TooManyVersions`], or
    /// [`CommandError::Invalid`] with every fault of the definition, pointers relative to it.
    pub async fn revise_workflow(
        &self,
        workspace: WorkspaceId,
        id: WorkflowId,
        change: ReviseWorkflow,
        by: &str,
    ) -> Result<WorkflowView, CommandError> {
        self.change_workflow(workspace, id, change, None, by).await
    }

    /// Makes the next version of a workflow with the definition of an earlier one, checked again: what it names may be gone.
    ///
    /// # Errors
    /// As [`Engine::revise_workflow`], or [`CommandError::UnknownWorkflowVersion`].
    pub async fn restore_workflow_version(
        &self,
        workspace: WorkspaceId,
        id: WorkflowId,
        version: i32,
        edited: Option<i32>,
        by: &str,
    ) -> Result<WorkflowView, CommandError> {
        let definition = self.workflow_version(workspace, id, version).await?.definition;
        let change = ReviseWorkflow { definition: Some(definition), edited, ..ReviseWorkflow::default() };
        self.change_workflow(workspace, id, change, Some(version), by).await
    }

    /// One version of a workflow.
    ///
    /// # Errors
    /// [`CommandError::UnknownWorkflow`] or [`CommandError::UnknownWorkflowVersion`], or where the database is away.
    pub async fn workflow_version(
        &self,
        workspace: WorkspaceId,
        id: WorkflowId,
        version: i32,
    ) -> Result<WorkflowVersionView, CommandError> {
        match self.host.store.workflow_version(workspace, id, version).await? {
            Some(row) => Ok(view(id, row)?),
            None => {
                self.expect_newest(workspace, id, None).await?;
                Err(CommandError::UnknownWorkflowVersion { workflow: id, version })
            }
        }
    }

    /// Versions of a workflow, newest first, from before `before` on.
    ///
    /// # Errors
    /// [`CommandError::UnknownWorkflow`], or where the database is away.
    pub async fn workflow_versions(
        &self,
        workspace: WorkspaceId,
        id: WorkflowId,
        before: Option<i32>,
        limit: u32,
    ) -> Result<Vec<WorkflowVersionSummaryView>, CommandError> {
        let rows = self.host.store.workflow_versions(workspace, id, before, limit).await?;
        if rows.is_empty() {
            self.expect_newest(workspace, id, None).await?;
        }
        Ok(rows.into_iter().map(WorkflowVersionSummaryView::from).collect())
    }

    /// What changed between the definitions of two versions of a workflow.
    ///
    /// # Errors
    /// As [`Engine::workflow_version`].
    pub async fn diff_workflow_versions(
        &self,
        workspace: WorkspaceId,
        id: WorkflowId,
        from: i32,
        to: i32,
    ) -> Result<Diff, CommandError> {
        let from = self.workflow_version(workspace, id, from).await?;
        let to = self.workflow_version(workspace, id, to).await?;
        Ok(diff(&from.definition, &to.definition))
    }

    async fn change_workflow(
        &self,
        workspace: WorkspaceId,
        id: WorkflowId,
        change: ReviseWorkflow,
        restored_from: Option<i32>,
        by: &str,
    ) -> Result<WorkflowView, CommandError> {
        let ReviseWorkflow { name, description, definition, edited } = change;
        // What the database would refuse below is refused before anything is checked.
        self.expect_newest(workspace, id, edited).await?;
        let definition = match definition {
            Some(definition) => Some(self.checked(workspace, definition).await?),
            None => None,
        };
        let on_events = definition.as_ref().and_then(|new| on_events_of(&new.checked.workflow));
        let revision = Revision {
            workflow: id,
            workspace,
            name: name.as_deref(),
            description: description.as_ref().map(Option::as_deref),
            definition: definition.as_ref().map(|new| NewDefinition {
                definition: &new.text,
                warnings: &new.warnings,
                restored_from,
                on_events: on_events.as_deref(),
            }),
            expected: edited,
            by,
        };
        match self.host.store.revise_workflow(&revision, self.host.next_id()).await? {
            Some(Revised::Done(row)) => self.changed_workflow(workspace, id, row, definition).await,
            Some(Revised::Conflict { newest }) => {
                Err(CommandError::VersionConflict { edited: edited.unwrap_or_default(), newest })
            }
            Some(Revised::TooMany) => Err(CommandError::TooManyVersions),
            None => Err(self.why_unchanged(workspace, id).await),
        }
    }

    /// The workflow as a change left it, whatever came after.
    async fn changed_workflow(
        &self,
        workspace: WorkspaceId,
        id: WorkflowId,
        row: RevisedRow,
        definition: Option<CheckedDefinition>,
    ) -> Result<WorkflowView, CommandError> {
        let RevisedRow { name, description, version, is_new, created_at, updated_at } = row;
        if is_new {
            info!(workflow.id = %id, workflow.version = version, workspace.id = %workspace,
                "Workflow `{id}` is at version {version}");
        }
        let (definition, warnings) = match definition {
            Some(CheckedDefinition { definition, text, checked, .. }) => {
                self.host.definitions.keep(id, version, &text, Arc::new(checked.workflow));
                (definition, checked.warnings)
            }
            None => {
                let version = self.workflow_version(workspace, id, version).await?;
                (version.definition, version.warnings)
            }
        };
        let origin = None;
        Ok(WorkflowView { id, name, description, definition, warnings, origin, version, created_at, updated_at })
    }

    async fn checked(&self, workspace: WorkspaceId, definition: Value) -> Result<CheckedDefinition, CommandError> {
        let checked = self.check_definition(workspace, &definition).await?;
        let warnings = serde_json::to_string(&checked.warnings).unwrap_or_default();
        Ok(CheckedDefinition { text: definition.to_string(), definition, warnings, checked })
    }

    /// Refuses where there is no such workflow, and where another version than the edited one is the newest.
    async fn expect_newest(
        &self,
        workspace: WorkspaceId,
        id: WorkflowId,
        edited: Option<i32>,
    ) -> Result<(), CommandError> {
        let newest = self.host.store.newest_version(workspace, id).await?;
        let newest = newest.ok_or(CommandError::UnknownWorkflow(id))?;
        match edited.filter(|edited| *edited != newest) {
            Some(edited) => Err(CommandError::VersionConflict { edited, newest }),
            None => Ok(()),
        }
    }
}

/// A definition without faults, as text and as what the interpreter runs.
struct CheckedDefinition {
    definition: Value,
    text: String,
    warnings: String,
    checked: Checked,
}

fn view(workflow: WorkflowId, row: WorkflowVersionRow) -> Result<WorkflowVersionView, StoreError> {
    let WorkflowVersionRow { version, definition, warnings, created_at, created_by, restored_from } = row;
    let corrupt = |error: serde_json::Error| StoreError::Corrupt(format!("version {version} of {workflow}: {error}"));
    Ok(WorkflowVersionView {
        definition: serde_json::from_str(&definition).map_err(corrupt)?,
        warnings: serde_json::from_str(&warnings).map_err(corrupt)?,
        workflow,
        version,
        created_at,
        created_by,
        restored_from,
    })
}

impl From<SummaryRow> for WorkflowVersionSummaryView {
    fn from(SummaryRow { version, warnings, created_at, created_by, restored_from }: SummaryRow) -> Self {
        Self { version, warnings, created_at, created_by, restored_from }
    }
}
