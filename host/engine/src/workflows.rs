//! Commands on workflows.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use armilla_domain::definition::{Checked, Known, StepKind, Workflow, check};
use armilla_domain::event::EventType;
use armilla_domain::event::data::WorkflowChanged;
use armilla_domain::fault::Fault;
use armilla_domain::id::{WorkflowId, WorkspaceId};
use armilla_store::{StoreError, WorkflowRow};
use chrono::{DateTime, Utc};
use serde_json::Value;
use tracing::info;

use crate::{CommandError, Engine};

/// A workflow to be made.
#[derive(Debug)]
pub struct NewWorkflow {
    /// For people.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// What it does; to be checked.
    pub definition: Value,
}

/// A workflow at its newest version.
#[derive(Debug, Clone)]
pub struct WorkflowView {
    /// Its id.
    pub id: WorkflowId,
    /// For people.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// As its author wrote it.
    pub definition: Value,
    /// What its author should look at.
    pub warnings: Vec<Fault>,
    /// What it was made of, where nobody made it: `pipeline`, `chat`.
    pub origin: Option<String>,
    /// The newest version, from 1.
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// How long a check of an expression waits for its evaluator to be loaded.
const CHECK_MAX: Duration = Duration::from_secs(60);

impl Engine {
    /// Checks a definition and keeps it as a new workflow, made by `by`.
    ///
    /// # Errors
    /// [`CommandError::Invalid`] with every fault of the definition, pointers relative to it.
    pub async fn create_workflow(
        &self,
        workspace: WorkspaceId,
        new: NewWorkflow,
        by: &str,
    ) -> Result<WorkflowView, CommandError> {
        let Checked { workflow, warnings } = self.check_definition(workspace, &new.definition).await?;
        let id = self.host.next_id();
        let on_events = on_events_of(&workflow);
        let row = armilla_store::NewWorkflow {
            id,
            workspace,
            name: &new.name,
            description: new.description.as_deref(),
            definition: &new.definition.to_string(),
            warnings: &serde_json::to_string(&warnings).unwrap_or_default(),
            by,
            on_events: on_events.as_deref(),
        };
        let told = WorkflowChanged { workflow_id: id, name: Some(&new.name), version: Some(1), by };
        let event = self.host.event(EventType::WorkflowCreated, &told);
        let row = self.host.store.create_workflow(row, &event).await?;
        self.host.definitions.keep(id, row.version, &row.definition, Arc::new(workflow));
        info!(workflow.id = %id, workspace.id = %workspace, "Workflow `{id}` was created");
        Ok(view(row)?)
    }

    /// A workflow of a workspace.
    ///
    /// # Errors
    /// Where there is none, or the database is away.
    pub async fn workflow(&self, workspace: WorkspaceId, id: WorkflowId) -> Result<WorkflowView, CommandError> {
        let row = self.host.store.workflow(workspace, id).await?.ok_or(CommandError::UnknownWorkflow(id))?;
        Ok(view(row)?)
    }

    /// Workflows that somebody made in a workspace, newest first.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn workflows(
        &self,
        workspace: WorkspaceId,
        before: Option<WorkflowId>,
        limit: u32,
    ) -> Result<Vec<WorkflowView>, CommandError> {
        let rows = self.host.store.workflows(workspace, before, limit).await?;
        Ok(rows.into_iter().map(view).collect::<Result<_, _>>()?)
    }

    /// Deletes a workflow. Its runs stay readable, running ones go on.
    ///
    /// # Errors
    /// Where there is none that somebody made, or the database is away.
    pub async fn delete_workflow(&self, workspace: WorkspaceId, id: WorkflowId, by: &str) -> Result<(), CommandError> {
        let told = WorkflowChanged { workflow_id: id, name: None, version: None, by };
        let event = self.host.event(EventType::WorkflowDeleted, &told);
        if !self.host.store.delete_workflow(workspace, id, &event).await? {
            return Err(self.why_unchanged(workspace, id).await);
        }
        info!(workflow.id = %id, workspace.id = %workspace, "Workflow `{id}` was deleted");
        Ok(())
    }

    /// Why a workflow that was to be changed is not.
    pub(crate) async fn why_unchanged(&self, workspace: WorkspaceId, id: WorkflowId) -> CommandError {
        match self.host.store.workflow(workspace, id).await {
            Ok(Some(row)) if row.origin.is_some() => CommandError::AdHocWorkflow(id),
            Ok(_) => CommandError::UnknownWorkflow(id),
            Err(error) => error.into(),
        }
    }

    /// Checks a definition as [`Engine::create_workflow`] does, keeps nothing, and gives what its author should look at.
    ///
    /// # Errors
    /// [`CommandError::Invalid`] with every fault of the definition, pointers relative to it.
    pub async fn validate_definition(
        &self,
        workspace: WorkspaceId,
        definition: &Value,
    ) -> Result<Vec<Fault>, CommandError> {
        Ok(self.check_definition(workspace, definition).await?.warnings)
    }

    pub(crate) async fn check_definition(
        &self,
        workspace: WorkspaceId,
        definition: &Value,
    ) -> Result<Checked, CommandError> {
        let plugins = self.host.catalog.snapshot();
        let mut known = Known {
            agents: HashSet::new(),
            tools: plugins.tools_of(workspace).into_keys().collect(),
            evaluators: plugins.evaluators_of(workspace).into_iter().collect(),
            workflows: HashSet::new(),
        };
        // Which agents to look for is known only after a first reading.
        if let Ok(checked) = check(definition, &known, &self.host.templates) {
            let named = agents_of(&checked.workflow);
            known.agents = self.host.store.agents_among(workspace, &named).await?.into_iter().collect();
            let started = workflows_of(&checked.workflow);
            known.workflows = self.host.store.workflows_among(workspace, &started).await?.into_iter().collect();
        }
        let checked = check(definition, &known, &self.host.templates).map_err(CommandError::Invalid)?;
        self.check_evaluated_expressions(workspace, &checked.workflow).await?;
        Ok(checked)
    }

    /// Asks the plugins that will judge expressions whether they can read them.
    async fn check_evaluated_expressions(
        &self,
        workspace: WorkspaceId,
        workflow: &Workflow,
    ) -> Result<(), CommandError> {
        let mut faults = Vec::new();
        let plugins = self.host.catalog.snapshot();
        for (pointer, evaluator, expr) in workflow.evaluated_expressions() {
            // One that is not there yet has its warning already.
            let Ok(resolved) = plugins.evaluator(workspace, &[], evaluator) else { continue };
            let checked = match self.host.component(&resolved, CHECK_MAX).await {
                Ok(component) => {
                    let access = self.host.access(workspace, &resolved.grant);
                    self.host
                        .sandbox
                        .check_expression(&component, expr, &access)
                        .await
                        .map_err(|error| error.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            if let Err(why) = checked {
                faults.push(Fault::new(pointer, "definition.expression", why));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(CommandError::Invalid(faults)) }
    }
}

fn agents_of(workflow: &Workflow) -> Vec<String> {
    let agents = workflow.steps.iter().filter_map(|step| match &step.kind {
        StepKind::Agent(agent) => Some(agent.agent_id.clone()),
        _ => None,
    });
    agents.collect::<HashSet<_>>().into_iter().collect()
}

/// The types of events that start runs of a workflow, where any do.
pub(crate) fn on_events_of(workflow: &Workflow) -> Option<Vec<EventType>> {
    workflow.on_event.as_ref().map(|on_event| on_event.events.clone())
}

fn workflows_of(workflow: &Workflow) -> Vec<WorkflowId> {
    let started = workflow.steps.iter().filter_map(|step| match &step.kind {
        StepKind::Workflow(child) => Some(child.workflow_id),
        _ => None,
    });
    started.collect::<HashSet<_>>().into_iter().collect()
}

fn view(row: WorkflowRow) -> Result<WorkflowView, StoreError> {
    let corrupt = |error: serde_json::Error| StoreError::Corrupt(format!("{}: {error}", row.id));
    Ok(WorkflowView {
        definition: serde_json::from_str(&row.definition).map_err(corrupt)?,
        warnings: serde_json::from_str(&row.warnings).map_err(corrupt)?,
        id: row.id,
        name: row.name,
        description: row.description,
        origin: row.origin,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}
