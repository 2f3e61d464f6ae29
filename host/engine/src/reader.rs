//! What is read of runs: how they stand, what their steps did, and their end as soon as it comes.

use std::sync::Arc;
use std::time::Duration;

use armilla_domain::id::{RunId, WorkflowId, WorkspaceId};
use armilla_domain::journal::{Entry, Event, Failure, Usage};
use armilla_domain::run::{AttemptRecord, RunStatus, history_of};
use armilla_store::{RunFilter, RunRow, StoreError};
use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::time::Instant;

use crate::folded::Beginning;
use crate::pending::vars_json;
use crate::waiting::Waiter;
use crate::{CommandError, Engine};

/// How often the database is asked for an end that another host may have written.
const POLL: Duration = Duration::from_secs(1);

/// A run as it stands.
#[derive(Debug, Clone)]
pub struct RunView {
    /// Its id.
    pub id: RunId,
    /// What it runs.
    pub workflow: WorkflowId,
    /// The version it is on.
    pub version: i32,
    /// What it is doing, or how it ended.
    pub status: RunStatus,
    /// What the caller gave; null in a list.
    pub input: Arc<Value>,
    /// Every variable that a step set so far: an object, empty in a list.
    pub vars: Value,
    /// What the definition's `output` picked; null before the end and in a list.
    pub output: Value,
    /// The tokens of its agent calls, and what they cost, as far as agents said; those of runs that it started apart.
    pub usage: Option<Usage>,
    /// Why it ended badly.
    pub error: Option<Failure>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// The run that waits for it.
    pub parent: Option<RunId>,
    /// The run that its journal was begun from.
    pub forked_from: Option<RunId>,
}

/// One entry of a run's journal.
#[derive(Debug, Clone)]
pub struct RunEventView {
    /// Its place, from 1, without gaps.
    pub number: i32,
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub event: Event,
}

impl Engine {
    /// A run as it stands now.
    ///
    /// # Errors
    /// Where there is none, or the database is away.
    pub async fn run(&self, workspace: WorkspaceId, id: RunId) -> Result<RunView, CommandError> {
        let store = &self.host.store;
        let row = store.run(workspace, id).await?.ok_or(CommandError::UnknownRun(id))?;
        if row.status.is_final() {
            let input = match store.first_entry(id).await? {
                Some(Event::RunStarted { input, .. }) => input,
                _ => return Err(corrupt(id, "does not begin with its input").into()),
            };
            return Ok(view_of_ended(row, input)?);
        }
        let journal = store.journal(id).await?;
        let state = self.host.fold(beginning(&row), &journal).await?;
        Ok(RunView {
            input: Arc::clone(state.input()),
            vars: vars_json(&state),
            usage: state.usage(),
            ..view_without_payload(row)?
        })
    }

    /// Every attempt of a run's steps so far.
    ///
    /// # Errors
    /// Where there is no such run, or the database is away.
    pub async fn run_steps(
        &self,
        workspace: WorkspaceId,
        id: RunId,
    ) -> Result<Vec<(AttemptRecord, &'static str)>, CommandError> {
        let store = &self.host.store;
        let row = store.run(workspace, id).await?.ok_or(CommandError::UnknownRun(id))?;
        let workflow = self.host.workflow(row.workflow, row.version).await?;
        let journal = store.journal(id).await?;
        Ok(history_of(&workflow, &journal))
    }

    /// The entries of a run's journal after the one of number `after`, at most `limit`, and whether the run has ended and these
    /// are the last.
    ///
    /// # Errors
    /// Where there is no such run, or the database is away.
    pub async fn run_events(
        &self,
        workspace: WorkspaceId,
        id: RunId,
        after: i32,
        limit: u32,
    ) -> Result<(Vec<RunEventView>, bool), CommandError> {
        let store = &self.host.store;
        let (journal_len, has_ended) = store.progress(workspace, id).await?.ok_or(CommandError::UnknownRun(id))?;
        if journal_len <= after {
            return Ok((Vec::new(), has_ended));
        }
        let entries = store.journal_after(id, after, limit).await?;
        let last = entries.last().map_or(after, |(number, _)| *number);
        let events = entries.into_iter().map(|(number, Entry { at, event })| RunEventView { number, at, event });
        Ok((events.collect(), has_ended && last >= journal_len))
    }

    /// Runs of a workspace, newest first, without their payloads.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn runs(
        &self,
        workspace: WorkspaceId,
        filter: &RunFilter,
        before: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<RunView>, CommandError> {
        let rows = self.host.store.runs(workspace, filter, before, limit).await?;
        Ok(rows.into_iter().map(view_without_payload).collect::<Result<_, _>>()?)
    }

    /// Runs of a workflow, newest first, without their payloads.
    ///
    /// # Errors
    /// Where there is no such workflow and never was a run of it, or the database is away.
    pub async fn runs_of_workflow(
        &self,
        workspace: WorkspaceId,
        workflow: WorkflowId,
        before: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<RunView>, CommandError> {
        let store = &self.host.store;
        let filter = RunFilter { workflow: Some(workflow), ..RunFilter::default() };
        let rows = store.runs(workspace, &filter, before, limit).await?;
        // A deleted workflow is known by its runs.
        if rows.is_empty() && before.is_none() && store.newest_version(workspace, workflow).await?.is_none() {
            return Err(CommandError::UnknownWorkflow(workflow));
        }
        Ok(rows.into_iter().map(view_without_payload).collect::<Result<_, _>>()?)
    }

    /// A run as soon as it has ended, or as it stands after `bound`, or when the host stops. `waiter` joined before the run was
    /// there, so no end was missed.
    pub(crate) async fn wait_for_end(
        &self,
        mut waiter: Waiter,
        workspace: WorkspaceId,
        id: RunId,
        bound: Duration,
    ) -> Result<RunView, CommandError> {
        let deadline = Instant::now() + bound;
        loop {
            tokio::select! {
                biased;
                told = waiter.ending() => if let Some(view) = told { return Ok(view) },
                () = self.host.stopping.cancelled() => return self.run(workspace, id).await,
                () = tokio::time::sleep_until(deadline.min(Instant::now() + POLL)) => {}
            }
            if Instant::now() >= deadline {
                return self.run(workspace, id).await;
            }
            // Another host may have ended it; and the database may be away for a moment.
            match self.host.store.has_ended(workspace, id).await {
                Ok(Some(false)) => {}
                Err(error) if error.is_unavailable() => {}
                Ok(Some(true) | None) | Err(_) => return self.run(workspace, id).await,
            }
        }
    }
}

/// What a run began with.
pub(crate) fn beginning(row: &RunRow) -> Beginning {
    Beginning {
        run: row.id,
        workflow: row.workflow,
        first_version: row.first_version,
        started_at: row.started_at.unwrap_or(row.created_at),
    }
}

fn view_of_ended(row: RunRow, input: Arc<Value>) -> Result<RunView, StoreError> {
    let read = |text: &Option<String>| match text {
        Some(text) => serde_json::from_str(text).map_err(|error| corrupt(row.id, &error.to_string())),
        None => Err(corrupt(row.id, "has ended and has no result")),
    };
    let (vars, output) = (read(&row.vars)?, read(&row.output)?);
    Ok(RunView { input, vars, output, ..view_without_payload(row)? })
}

fn view_without_payload(row: RunRow) -> Result<RunView, StoreError> {
    let error = row.error.as_deref().map(serde_json::from_str).transpose();
    let usage = row.usage.as_deref().map(serde_json::from_str).transpose();
    Ok(RunView {
        error: error.map_err(|error| corrupt(row.id, &error.to_string()))?,
        usage: usage.map_err(|error| corrupt(row.id, &error.to_string()))?,
        id: row.id,
        workflow: row.workflow,
        version: row.version,
        status: row.status,
        input: Arc::new(Value::Null),
        vars: Value::Object(serde_json::Map::new()),
        output: Value::Null,
        created_at: row.created_at,
        started_at: row.started_at,
        finished_at: row.finished_at,
        parent: row.parent,
        forked_from: row.forked_from,
    })
}

fn corrupt(id: RunId, why: &str) -> StoreError {
    StoreError::Corrupt(format!("{id} {why}"))
}
