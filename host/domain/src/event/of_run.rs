//! The events that follow from the journal of a run.

use serde::Serialize;

use super::EventType;
use super::data::{
    AgentEnded, OfRun, OfStep, Output, RunEndedBadly, RunStarted, RunSucceeded, StepEnded, ToolExecuted,
};
use crate::definition::{StepKind, Workflow};
use crate::id::RunId;
use crate::journal::{Event, Failure, Measured, Visit};
use crate::run::State;
use crate::talk::{ToolAnswer, Turn};

/// What is to be told: its type, and a JSON object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What kind of thing happened.
    pub kind: EventType,
    /// What.
    pub data: String,
}

impl Told {
    /// Of one of the types of [`super::data`].
    pub fn new(kind: EventType, data: &impl Serialize) -> Self {
        // Fails for no type of ours: their keys are strings.
        Self { kind, data: serde_json::to_string(data).unwrap_or_else(|_| "{}".to_owned()) }
    }
}

/// That a run was accepted.
pub fn started(run: &OfRun, parent_run_id: Option<RunId>, forked_from: Option<RunId>) -> Told {
    Told::new(EventType::RunStarted, &RunStarted { run, parent_run_id, forked_from })
}

/// What an entry of a run's journal tells; `state` has taken it in already. Nothing for most entries. `tool` is the one whose call the entry
/// tells the end of, where it does: a call that an agent asked for and that was not made is no event.
pub fn told_by(run: &OfRun, state: &State, event: &Event, tool: Option<&str>, duration_ms: u64) -> Vec<Told> {
    match event {
        Event::StepSucceeded { visit, attempt, output, measured, .. } => {
            let measured = measured.as_ref();
            let step = StepEnded {
                step: of_step(run, visit),
                r#type: type_of(state.workflow(), visit),
                attempt: *attempt,
                duration_ms: measured.map(|measured| measured.duration_ms),
                error: None,
            };
            let mut told = vec![Told::new(EventType::StepSucceeded, &step)];
            told.extend(call_succeeded(run, state.workflow(), visit, || Output::of(output), measured));
            told
        }
        Event::StepFailed { visit, error, duration_ms, prompt } => {
            let step = StepEnded {
                step: of_step(run, visit),
                r#type: type_of(state.workflow(), visit),
                attempt: error.attempts,
                duration_ms: *duration_ms,
                error: Some(error.into()),
            };
            let mut told = vec![Told::new(EventType::StepFailed, &step)];
            let version = prompt.as_ref().and_then(|prompt| prompt.version);
            told.extend(call_failed(run, state.workflow(), visit, error, *duration_ms, version));
            told
        }
        Event::StepTurn { visit, turn, .. } => match (&**turn, tool) {
            (Turn::ToolAnswered { answer, measured }, Some(tool)) => {
                vec![tool_answered(run, tool, visit, answer, measured.as_ref())]
            }
            _ => Vec::new(),
        },
        Event::RunSucceeded { output } => {
            let data = RunSucceeded { run, output: Output::of(output), usage: state.usage(), duration_ms };
            vec![Told::new(EventType::RunSucceeded, &data)]
        }
        Event::RunFailed { error } => vec![ended_badly(EventType::RunFailed, run, error, duration_ms)],
        Event::RunCancelled { error, .. } => vec![ended_badly(EventType::RunCancelled, run, error, duration_ms)],
        Event::RunTimedOut { error } => vec![ended_badly(EventType::RunTimedOut, run, error, duration_ms)],
        _ => Vec::new(),
    }
}

fn ended_badly(kind: EventType, run: &OfRun, error: &Failure, duration_ms: u64) -> Told {
    Told::new(kind, &RunEndedBadly { run, error: error.into(), duration_ms })
}

/// The step of a visit, for an event.
pub fn of_step<'a>(run: &'a OfRun, visit: &'a Visit) -> OfStep<'a> {
    OfStep { run, step_id: &visit.step, scope: visit.scope.as_str(), visit: visit.number }
}

fn kind_of<'a>(workflow: &'a Workflow, visit: &Visit) -> Option<&'a StepKind> {
    workflow.step_index(&visit.step).map(|index| &workflow.steps[index].kind)
}

fn type_of(workflow: &Workflow, visit: &Visit) -> &'static str {
    kind_of(workflow, visit).map_or("", StepKind::name)
}

fn call_succeeded(
    run: &OfRun,
    workflow: &Workflow,
    visit: &Visit,
    output: impl FnOnce() -> Output,
    measured: Option<&Measured>,
) -> Option<Told> {
    let answerer = measured.and_then(|measured| measured.answerer.as_ref());
    match kind_of(workflow, visit)? {
        StepKind::Agent(agent) => {
            let data = AgentEnded {
                step: of_step(run, visit),
                agent_id: &agent.agent_id,
                answered_by: answerer.map(|answerer| answerer.name.as_str()).filter(|name| *name != agent.agent_id),
                output: output(),
                usage: measured.and_then(|measured| measured.usage),
                prompt_version: measured.and_then(|measured| measured.prompt.as_ref()?.version),
                duration_ms: measured.map(|measured| measured.duration_ms),
                error: None,
            };
            Some(Told::new(EventType::AgentCompleted, &data))
        }
        StepKind::Tool(tool) => {
            let data = ToolExecuted {
                step: of_step(run, visit),
                tool: &tool.tool_name,
                plugin: answerer.map(|answerer| answerer.name.as_str()),
                digest: answerer.map(|answerer| answerer.digest.as_str()),
                ok: true,
                output: output(),
                duration_ms: measured.map(|measured| measured.duration_ms),
                error: None,
            };
            Some(Told::new(EventType::ToolExecuted, &data))
        }
        _ => None,
    }
}

fn call_failed(
    run: &OfRun,
    workflow: &Workflow,
    visit: &Visit,
    error: &Failure,
    duration_ms: Option<u64>,
    prompt_version: Option<i32>,
) -> Option<Told> {
    match kind_of(workflow, visit)? {
        // One whose message could not be made was never asked.
        StepKind::Agent(agent) if error.attempts > 0 => {
            let data = AgentEnded {
                step: of_step(run, visit),
                agent_id: &agent.agent_id,
                answered_by: None,
                output: Output::default(),
                usage: None,
                prompt_version,
                duration_ms,
                error: Some(error.into()),
            };
            Some(Told::new(EventType::AgentFailed, &data))
        }
        // One whose parameters could not be made was never called.
        StepKind::Tool(tool) if error.attempts > 0 => {
            let data = ToolExecuted {
                step: of_step(run, visit),
                tool: &tool.tool_name,
                plugin: None,
                digest: None,
                ok: false,
                output: Output::default(),
                duration_ms,
                error: Some(error.into()),
            };
            Some(Told::new(EventType::ToolExecuted, &data))
        }
        _ => None,
    }
}

fn tool_answered(run: &OfRun, tool: &str, visit: &Visit, answer: &ToolAnswer, measured: Option<&Measured>) -> Told {
    let answerer = measured.and_then(|measured| measured.answerer.as_ref());
    let failure = match answer {
        ToolAnswer::Output(_) => None,
        ToolAnswer::Error { code, message } => {
            Some(Failure { attempts: 1, ..Failure::new(Some(visit.step.clone()), code.as_str(), message.as_str()) })
        }
    };
    let data = ToolExecuted {
        step: of_step(run, visit),
        tool,
        plugin: answerer.map(|answerer| answerer.name.as_str()),
        digest: answerer.map(|answerer| answerer.digest.as_str()),
        ok: failure.is_none(),
        output: match answer {
            ToolAnswer::Output(output) => Output::of(output),
            ToolAnswer::Error { .. } => Output::default(),
        },
        duration_ms: measured.map(|measured| measured.duration_ms),
        error: failure.as_ref().map(Into::into),
    };
    Told::new(EventType::ToolExecuted, &data)
}
