//! Tests of workflows: a run that is driven in memory, whose calls are answered by mocks. Nothing is written and nobody outside
//! is called.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use armilla_domain::definition::{StepKind, Workflow, check_event_name};
use armilla_domain::fault::{Fault, pointer};
use armilla_domain::id::{WorkflowId, WorkspaceId};
use armilla_domain::journal::Failure;
use armilla_domain::plugin::Pin;
use armilla_domain::run::{
    CallKind, Mocks, RunFacts, Simulated, Simulation, SimulationBounds, SimulationParts, SimulationStatus, Turn,
};
use serde_json::{Map, Value};
use tokio::time::Instant;
use tracing::info;

use crate::host::Host;
use crate::runs::input_faults;
use crate::{CommandError, Engine, RUN_JOURNAL_BYTES_MAX, executor};

/// Entries of one test's journal: several times what a person reads, and made within a second or two.
pub const TEST_ENTRIES_MAX: usize = 10_000;
/// How long one test works: its caller waits, and everything it does it does at once.
pub const TEST_DURATION_MAX: Duration = Duration::from_secs(30);
/// Tests under way at once on one host: each keeps a core busy and holds journals in memory. One more is asked to come back.
pub const TESTS_AT_ONCE_MAX: usize = 4;
/// Events that are there from the start.
pub const TEST_EVENTS_MAX: usize = 100;
/// Runs whose records answer in one test: the journal of each is read whole.
pub const TEST_RECORDED_RUNS_MAX: usize = 4;

/// A workflow to be tested.
#[derive(Debug)]
pub struct TestWorkflow {
    /// Which.
    pub workflow: WorkflowId,
    /// Which version; the newest where absent.
    pub version: Option<i32>,
    /// What is tested in place of a version, and is kept nowhere.
    pub definition: Option<Value>,
    /// What the run is given: an object that fits the definition's `inputSchema`.
    pub input: Value,
    /// What stands in for the outside world, by step; to be checked.
    pub mocks: Map<String, Value>,
    /// Names and payloads of the events that are there from the start.
    pub events: Vec<(String, Value)>,
    /// The run that answers for the steps without a mock; to be checked.
    pub recorded_from: Option<String>,
}

impl Engine {
    /// Runs a workflow in memory. Calls are answered by mocks; those that touch nothing are made where they have none; a call
    /// that would leave the process and has none stays open, and what does not depend on it goes on. Waits take no time.
    ///
    /// # Errors
    /// [`CommandError::UnknownWorkflow`], [`CommandError::UnknownWorkflowVersion`]; [`CommandError::Invalid`] with every fault of
    /// the command, pointers as its API names its parts; [`CommandError::Overloaded`] where [`TESTS_AT_ONCE_MAX`] are under way.
    pub async fn test_workflow(
        &self,
        workspace: WorkspaceId,
        command: TestWorkflow,
    ) -> Result<Simulated, CommandError> {
        let host = &self.host;
        if host.stopping.is_cancelled() {
            return Err(CommandError::Stopping);
        }
        let _room = host.tests.try_acquire().map_err(|_| CommandError::Overloaded)?;
        let until = Instant::now() + TEST_DURATION_MAX;
        let id = command.workflow;
        let workflow = self.workflow_to_test(workspace, &command).await?;
        let simulation = prepare(host, workspace, workflow, command).await?;
        let simulated = drive(host, workspace, simulation, until).await;
        info!(workflow.id = %id, entries = simulated.journal.len(), "A test of `{id}` ended: {}", word(simulated.status));
        Ok(simulated)
    }

    async fn workflow_to_test(
        &self,
        workspace: WorkspaceId,
        command: &TestWorkflow,
    ) -> Result<Arc<Workflow>, CommandError> {
        let id = command.workflow;
        let newest = self.host.store.newest_version(workspace, id).await?;
        let newest = newest.ok_or(CommandError::UnknownWorkflow(id))?;
        match (&command.definition, command.version) {
            (Some(_), Some(_)) => {
                let detail = "what is tested is a `version` or a `definition`, not both";
                Err(CommandError::Invalid(vec![Fault::new("/version", "test.version_and_definition", detail)]))
            }
            (Some(definition), None) => match self.check_definition(workspace, definition).await {
                Ok(checked) => Ok(Arc::new(checked.workflow)),
                Err(CommandError::Invalid(faults)) => Err(CommandError::Invalid(under("/definition", faults))),
                Err(error) => Err(error),
            },
            (None, version) => {
                let version = version.unwrap_or(newest);
                if !(1..=newest).contains(&version) {
                    return Err(CommandError::UnknownWorkflowVersion { workflow: id, version });
                }
                Ok(self.host.workflow(id, version).await?)
            }
        }
    }
}

/// Checks everything that the caller sent, all faults at once, and reads what runs recorded.
async fn prepare(
    host: &Host,
    workspace: WorkspaceId,
    workflow: Arc<Workflow>,
    command: TestWorkflow,
) -> Result<Simulation, CommandError> {
    let TestWorkflow { workflow: workflow_id, input, mocks, events, recorded_from, .. } = command;
    let (mut mocks, mut faults) = Mocks::read(&mocks, recorded_from.as_deref(), &workflow);
    faults.extend(under("/input", input_faults(workflow.input_schema.as_ref(), &input)));
    faults.extend(event_faults(&events));
    faults.extend(supply_recorded(host, workspace, &mut mocks).await?);
    if !faults.is_empty() {
        return Err(CommandError::Invalid(faults));
    }
    let started_at = host.clock.now();
    let run_id = host.next_id();
    let plugins = host.catalog.snapshot().pins(workspace, &workflow);
    Ok(Simulation::new(SimulationParts {
        repeatable: repeatable_tools(host, workspace, &plugins, &workflow),
        workflow,
        facts: RunFacts { run_id, workflow_id, started_at },
        input,
        plugins,
        events,
        mocks,
        bounds: SimulationBounds {
            entries: TEST_ENTRIES_MAX,
            journal_bytes: RUN_JOURNAL_BYTES_MAX.unsigned_abs(),
            output_bytes: host.limits.output_bytes,
        },
    }))
}

/// Takes turns until it is over or late. Between two of them others run.
async fn drive(host: &Arc<Host>, workspace: WorkspaceId, mut simulation: Simulation, until: Instant) -> Simulated {
    loop {
        match simulation.turn(&host.templates) {
            Turn::Over => return simulation.finish(),
            Turn::GoesOn => {}
            Turn::Asks(call) => {
                let left = until.saturating_duration_since(Instant::now());
                let made = executor::perform_pure(host, workspace, simulation.state(), &call, left);
                match tokio::time::timeout_at(until, made).await {
                    Ok(Some((result, duration))) => simulation.answer(*call, result, duration),
                    Ok(None) => simulation.leave_open(&call),
                    // Looked at right below.
                    Err(_) => {}
                }
            }
        }
        if Instant::now() >= until {
            let message = format!("a test works for at most {} s", TEST_DURATION_MAX.as_secs());
            simulation.stop(Failure::new(None, "test.too_slow", message));
        }
        tokio::task::yield_now().await;
    }
}

/// Reads the journals of the runs that answer. Gives the faults of those that are not there, or not for this workspace.
async fn supply_recorded(host: &Host, workspace: WorkspaceId, mocks: &mut Mocks) -> Result<Vec<Fault>, CommandError> {
    let mut faults = Vec::new();
    for (number, (run, places)) in mocks.runs().into_iter().enumerate() {
        let detail = if number >= TEST_RECORDED_RUNS_MAX {
            format!("at most {TEST_RECORDED_RUNS_MAX} runs answer in one test")
        } else if host.store.run(workspace, run).await?.is_none() {
            format!("there is no run `{run}`")
        } else {
            mocks.supply(run, &host.store.journal(run).await?);
            continue;
        };
        let code = if number >= TEST_RECORDED_RUNS_MAX { "mock.too_many_runs" } else { "mock.unknown_run" };
        faults.extend(places.into_iter().map(|place| Fault::new(place, code, detail.clone())));
    }
    Ok(faults)
}

fn event_faults(events: &[(String, Value)]) -> Vec<Fault> {
    if events.len() > TEST_EVENTS_MAX {
        let detail = format!("at most {TEST_EVENTS_MAX} events are there from the start");
        return vec![Fault::new("/events", "test.too_many_events", detail)];
    }
    let named = events.iter().enumerate().filter_map(|(position, (name, _))| {
        let place = pointer(&pointer("/events", position), "name");
        check_event_name(name).err().map(|why| Fault::new(place, "test.event_name", why))
    });
    named.collect()
}

/// The tool steps whose call may be made again where the step does not say.
fn repeatable_tools(host: &Host, workspace: WorkspaceId, pins: &[Pin], workflow: &Workflow) -> HashSet<String> {
    let repeatable = workflow.steps.iter().filter(|step| {
        let StepKind::Tool(tool) = &step.kind else { return false };
        let (tool_name, plugin) = (tool.tool_name.clone(), tool.plugin.clone());
        let kind = CallKind::Tool { tool_name, plugin, version: tool.version };
        executor::is_repeatable(host, workspace, pins, &kind)
    });
    repeatable.map(|step| step.id.clone()).collect()
}

/// The same faults, of a part of the command that stands at `place`.
fn under(place: &str, faults: Vec<Fault>) -> Vec<Fault> {
    faults.into_iter().map(|fault| Fault { pointer: format!("{place}{}", fault.pointer), ..fault }).collect()
}

fn word(status: SimulationStatus) -> &'static str {
    match status {
        SimulationStatus::Success => "success",
        SimulationStatus::Failed => "failed",
        SimulationStatus::TimedOut => "timed out",
        SimulationStatus::Waiting => "waiting",
        SimulationStatus::Unmocked => "unmocked",
    }
}
