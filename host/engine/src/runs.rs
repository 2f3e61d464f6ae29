//! Commands on runs.

use std::sync::Arc;
use std::time::Duration;

use armilla_domain::definition::InputSchema;
use armilla_domain::fault::Fault;
use armilla_domain::id::{RunId, WorkflowId, WorkspaceId};
use armilla_domain::journal::{Entry, Event};
use armilla_domain::run::{RunFacts, RunStatus, State};
use armilla_store::{LeasedRun, NewRun};
use serde_json::Value;
use tracing::info;

use crate::host::{self, Place};
use crate::interpreter::Interpreter;
use crate::pending::Pending;
use crate::{CommandError, Engine, RunView};

/// A run to be started.
#[derive(Debug)]
pub struct StartRun {
    /// Of which workflow.
    pub workflow: WorkflowId,
    /// What it is given: an object that fits the definition's `inputSchema`.
    pub input: Value,
    /// W3C `traceparent` of the caller, to pass on.
    pub traceparent: Option<String>,
}

impl Engine {
    /// Starts a run and gives it as soon as it has ended, or as it stands after `bound`. The run depends on neither.
    ///
    /// # Errors
    /// [`CommandError::UnknownWorkflow`], or [`CommandError::Invalid`] with every fault of the input, pointers relative to it.
    pub async fn start_run(
        &self,
        workspace: WorkspaceId,
        command: StartRun,
        bound: Duration,
    ) -> Result<RunView, CommandError> {
        let id = RunId::from_parts(self.host.unix_millis(), self.host.chance.bytes());
        // Before the run exists, so that no end is missed, however quick.
        let waiter = self.host.waiting.join(id);
        // In a task of its own: a caller that hangs up must not leave a run that is in the database and that nobody drives.
        let engine = self.clone();
        let begun = tokio::spawn(async move { engine.begin_run(workspace, id, command).await });
        let as_started = begun.await.map_err(|_| CommandError::Panicked)??;
        let view = if bound.is_zero() {
            self.run(workspace, id).await
        } else {
            self.wait_for_end(waiter, workspace, id, bound).await
        };
        match view {
            // The run exists, and whoever started it must learn its id, even if no more can be said right now.
            Err(CommandError::Store(error)) if error.is_unavailable() => Ok(as_started),
            view => view,
        }
    }

    /// Begins a run, and gives it as it stands then.
    async fn begin_run(&self, workspace: WorkspaceId, id: RunId, command: StartRun) -> Result<RunView, CommandError> {
        let StartRun { workflow: workflow_id, input, traceparent } = command;
        if self.host.stopping.is_cancelled() {
            return Err(CommandError::Stopping);
        }
        let version = self.host.store.newest_version(workspace, workflow_id).await?;
        let version = version.ok_or(CommandError::UnknownWorkflow(workflow_id))?;
        let workflow = self.host.workflow(workflow_id, version).await?;
        check_input(workflow.input_schema.as_ref(), &input)?;

        let started_at = self.host.clock.now();
        let mut state = State::new(workflow, RunFacts { run_id: id, workflow_id, started_at });
        let input = Arc::new(input);
        let plugins = self.host.catalog.snapshot().pins(workspace, state.workflow());
        let components: Vec<String> = plugins.iter().map(|pin| pin.digest.clone()).collect();
        let first = Event::RunStarted { input, plugins };
        state.apply(&first);
        let mut entries = vec![Entry { at: started_at, event: first }];
        // Without a place on this host the run waits in the database for one.
        let place = Place::take(&self.host);
        let mut undurable = Vec::new();
        if place.is_some() {
            // What can be decided at once is durable with the run itself, which saves a statement; but for an end, which
            // the interpreter writes together with what the run answers.
            let decided = state.decide(&self.host.templates);
            let decided = decided.into_iter().map(|event| Entry { at: started_at, event });
            let ended = state.status().is_final();
            (if ended { &mut undurable } else { &mut entries }).extend(decided);
        }
        let started = self
            .host
            .store
            .start_run(NewRun {
                id,
                workspace,
                workflow: workflow_id,
                version,
                started_at,
                lease: place.is_some().then(|| self.host.lease()),
                traceparent: traceparent.as_deref(),
                entries: &entries,
                plugins: (!components.is_empty()).then_some(components.as_slice()),
            })
            .await?;
        if !started {
            return Err(CommandError::UnknownWorkflow(workflow_id));
        }
        info!(run.id = %id, workflow.id = %workflow_id, "Run `{id}` of `{workflow_id}` was started");
        let as_started = RunView {
            id,
            workflow: workflow_id,
            version,
            status: if place.is_some() { RunStatus::Running } else { RunStatus::Queued },
            input: Arc::clone(state.input()),
            vars: Value::Object(serde_json::Map::new()),
            output: Value::Null,
            error: None,
            created_at: started_at,
            started_at: Some(started_at),
            finished_at: None,
        };
        if let Some(place) = place {
            let run = LeasedRun {
                id,
                workspace,
                workflow: workflow_id,
                version,
                epoch: 1,
                started_at,
                traceparent,
                journal_len: entries.len() as i32,
                journal_bytes: 0,
                claims: 1,
            };
            let pending = Pending::new(&run, undurable);
            host::spawn(&self.host, place, run, |host, lost, run| Interpreter::begin(host, lost, run, state, pending));
        }
        Ok(as_started)
    }
}

fn check_input(schema: Option<&InputSchema>, input: &Value) -> Result<(), CommandError> {
    if !input.is_object() {
        return Err(CommandError::Invalid(vec![Fault::new("", "input.type", "a run's input is an object")]));
    }
    let faults = schema.map(|schema| schema.faults(input)).unwrap_or_default();
    if faults.is_empty() { Ok(()) } else { Err(CommandError::Invalid(faults)) }
}
