//! Runs: what is sent and answered. How long a caller waits for an end, and the handlers, are in files of their own.

mod after;
mod control;
mod control_handlers;
mod events;
mod handlers;
mod query;
mod wait;

use std::sync::Arc;

use armilla_domain::call::{Answerer, PromptUse};
use armilla_domain::id::{RunId, WorkflowId};
use armilla_domain::journal::{Failure, Usage};
use armilla_domain::run::{AttemptRecord, AttemptStatus, RunStatus};
use armilla_domain::talk::Turn;
use armilla_engine::RunView;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

pub use self::control::*;
pub(crate) use self::control_handlers::*;
pub use self::events::EVENT_STREAMS_MAX;
pub(crate) use self::events::{__path_follow_run, KEEP_ALIVE, StreamRoom, follow_run};
pub(crate) use self::handlers::*;
pub use self::wait::{RUN_WAIT_DEFAULT, RUN_WAIT_MAX};
pub(crate) use self::wait::{Wait, WaitQuery};
use crate::wire::Timestamp;

/// The most that a list of runs gives at once: the API's documented limit.
pub const RUNS_PAGE_MAX: u32 = 50;

/// A run to be started.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StartRun {
    /// What the run works on: it must fit the workflow's `inputSchema`. An empty object where absent.
    #[serde(default)]
    pub input: Map<String, Value>,
    /// Which version of the workflow; the newest where absent.
    #[schema(minimum = 1)]
    pub version: Option<i32>,
}

/// A run without what it works on and what it gave.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RunSummary)]
pub struct RunSummaryBody {
    /// Its id.
    #[schema(value_type = String, example = "run_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    pub id: RunId,
    /// The workflow it is a run of.
    #[schema(value_type = String, example = "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    pub workflow_id: WorkflowId,
    /// The version of the definition it stays on to its end.
    #[schema(minimum = 1)]
    pub workflow_version: i32,
    /// What it is doing, or how it ended.
    #[schema(value_type = RunStatusSchema)]
    pub status: RunStatus,
    /// Why it failed; null unless it did.
    #[schema(required = true, value_type = Option<FailureSchema>)]
    pub error: Option<Failure>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its first step began; null before.
    #[schema(required = true)]
    pub started_at: Option<Timestamp>,
    /// When it ended; null before.
    #[schema(required = true)]
    pub finished_at: Option<Timestamp>,
    /// The run whose `workflow` step started it; null where none did.
    #[schema(required = true, value_type = Option<String>)]
    pub parent_run_id: Option<RunId>,
    /// The run that it was forked from; null where from none.
    #[schema(required = true, value_type = Option<String>)]
    pub forked_from: Option<RunId>,
    /// The tokens of all its agent calls and what they cost, as far as the agents say; null where none did, and in a list before its end.
    #[schema(required = true, value_type = Option<UsageSchema>)]
    pub usage: Option<UsageBody>,
}

/// Tokens and what they cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageBody {
    input_tokens: u64,
    output_tokens: u64,
    cost_usd: Option<f64>,
}

impl From<Usage> for UsageBody {
    fn from(usage: Usage) -> Self {
        let Usage { input_tokens, output_tokens, cost_micros } = usage;
        Self { input_tokens, output_tokens, cost_usd: cost_micros.map(|micros| micros as f64 / 1e6) }
    }
}

/// A turn between an agent and its step: what went on before the answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StepTurn)]
pub struct TurnBody {
    /// When.
    pub at: Timestamp,
    /// What, and all that belongs to it: `toolsAsked` with the calls that the model asked for, `toolAllowed`, `toolAnswered` with the
    /// tool's output or error, `answerRefused` with the answer and what was wrong with it, `taskBegun`, `inputRequired`, `inputGiven`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub turn: Value,
}

/// A run.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Run)]
pub struct RunBody {
    /// What a list says of it too.
    #[serde(flatten)]
    pub summary: RunSummaryBody,
    /// What it works on.
    #[schema(value_type = Object)]
    pub input: Arc<Value>,
    /// Every variable that a step has set so far.
    #[schema(value_type = Object)]
    pub vars: Value,
    /// What the definition's `output` picks, once it has ended well; else null.
    pub output: Value,
}

impl From<&RunView> for RunSummaryBody {
    fn from(view: &RunView) -> Self {
        Self {
            id: view.id,
            workflow_id: view.workflow,
            workflow_version: view.version,
            status: view.status,
            error: view.error.clone(),
            created_at: view.created_at.into(),
            started_at: view.started_at.map(Timestamp),
            finished_at: view.finished_at.map(Timestamp),
            parent_run_id: view.parent,
            forked_from: view.forked_from,
            usage: view.usage.map(Into::into),
        }
    }
}

impl From<RunView> for RunBody {
    fn from(view: RunView) -> Self {
        Self { summary: (&view).into(), input: view.input, vars: view.vars, output: view.output }
    }
}

/// One run.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunResponse {
    /// The run.
    pub run: RunBody,
}

/// A page of runs, newest first; one that another run started stands beside that one.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunsResponse {
    /// The runs, without `input`, `vars` and `output`.
    pub runs: Vec<RunSummaryBody>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// One attempt of one visit of a step.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Step)]
pub struct StepBody {
    /// The step's id in the definition.
    pub step_id: String,
    /// The step's type: `agent`, `tool`, `condition`, `switch`, `parallel`, `forEach`, `loop`, `set`, `wait`, `approval`,
    /// `workflow`, `return` or `fail`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The list it ran in: empty for the main line, else one `step:visit:slot` for each level, joined by `/`. The slot is
    /// a branch's place in its `parallel`, an item's in its `forEach`, the number of a `loop`'s pass, `then` or `else` of a
    /// condition, or a case's place in its `switch`.
    #[schema(example = "gather:1:0")]
    pub scope: String,
    /// Which execution of the step this is, from 1.
    #[schema(minimum = 1)]
    pub visit: u32,
    /// Which try of the visit this is, from 1; 0 where nothing is called.
    pub attempt: u32,
    /// What it is doing, or how it ended.
    #[schema(value_type = StepStatusSchema)]
    pub status: AttemptStatus,
    /// What the call was given: an agent's message, a tool's parameters. Null where nothing is called.
    #[schema(value_type = Value)]
    pub input: Arc<Value>,
    /// What it gave; null unless it ended well.
    #[schema(value_type = Value)]
    pub output: Arc<Value>,
    /// Why it failed; null unless it did.
    #[schema(required = true, value_type = Option<FailureSchema>)]
    pub error: Option<Failure>,
    /// When it began, or, where an attempt is repeated, will begin at the earliest.
    pub started_at: Timestamp,
    /// When it ended; null before.
    #[schema(required = true)]
    pub finished_at: Option<Timestamp>,
    /// How long the call took, in milliseconds; null before its end and where nothing is called.
    #[schema(required = true)]
    pub duration_ms: Option<u64>,
    /// Who answered, exactly; null where nobody did.
    #[schema(required = true, value_type = Option<AnswererSchema>)]
    pub answerer: Option<Answerer>,
    /// Tokens of all its calls, where an agent said.
    #[schema(required = true, value_type = Option<UsageSchema>)]
    pub usage: Option<UsageBody>,
    /// What went on between an agent and its step before it answered, in order.
    pub turns: Vec<TurnBody>,
    /// The system prompt that an agent was called with; null without one, and before the end of the call.
    #[schema(required = true, value_type = Option<PromptUseSchema>)]
    pub prompt: Option<PromptUse>,
    /// Which item of the innermost `forEach`, from 0, or which pass of the innermost `loop`, from 1, or which branch of the
    /// innermost `parallel`, from 0, it belongs to; null on the main line and in a block.
    #[schema(required = true)]
    pub index: Option<u32>,
    /// The run that a `workflow` step started; null otherwise.
    #[schema(required = true, value_type = Option<String>)]
    pub child_run_id: Option<RunId>,
    /// When what it waits for comes, or the visit must be over; null where nothing says so.
    #[schema(required = true)]
    pub deadline: Option<Timestamp>,
}

impl From<(AttemptRecord, &'static str)> for StepBody {
    fn from((record, kind): (AttemptRecord, &'static str)) -> Self {
        let of_turns = record.turns.iter().filter_map(|(_, turn)| turn.measured()?.usage);
        let of_the_end = record.measured.as_ref().and_then(|measured| measured.usage);
        let usage = of_turns.chain(of_the_end).reduce(Usage::and);
        Self {
            index: record.visit.scope.slot().and_then(|slot| slot.parse().ok()),
            child_run_id: record.child,
            deadline: record.deadline.map(Timestamp),
            scope: record.visit.scope.to_string(),
            step_id: record.visit.step,
            kind,
            visit: record.visit.number,
            attempt: record.attempt,
            status: record.status,
            input: record.input,
            output: record.output,
            error: record.error,
            started_at: record.started_at.into(),
            finished_at: record.finished_at.map(Timestamp),
            duration_ms: record.duration_ms,
            answerer: record.measured.and_then(|measured| measured.answerer),
            usage: usage.map(Into::into),
            turns: shown_turns(&record.turns),
            prompt: record.prompt,
        }
    }
}

/// Turns as they are shown: each answer of a tool with the call that it answers.
fn shown_turns(turns: &[(chrono::DateTime<chrono::Utc>, Arc<Turn>)]) -> Vec<TurnBody> {
    let mut asked = [].iter();
    let shown = turns.iter().map(|(at, turn)| {
        let mut body = shown(turn);
        match &**turn {
            Turn::ToolsAsked { calls, .. } => asked = calls.iter(),
            Turn::ToolAnswered { .. } => {
                if let (Some(call), Some(fields)) = (asked.next(), body.as_object_mut()) {
                    fields.insert("id".to_owned(), Value::String(call.id.clone()));
                    fields.insert("name".to_owned(), Value::String(call.name.clone()));
                }
            }
            _ => {}
        }
        TurnBody { at: (*at).into(), turn: body }
    });
    shown.collect()
}

/// A turn as it is shown: without what is the step's to tell.
fn shown(turn: &Turn) -> Value {
    let mut shown = serde_json::to_value(turn).unwrap_or_default();
    if let Some(fields) = shown.as_object_mut() {
        let measured = fields.shift_remove("measured");
        if let Some(duration) = measured.as_ref().and_then(|measured| measured.get("durationMs")) {
            fields.insert("durationMs".to_owned(), duration.clone());
        }
        if let Some(answerer) = measured.as_ref().and_then(|measured| measured.get("answerer")) {
            fields.insert("answerer".to_owned(), answerer.clone());
        }
    }
    shown
}

/// The steps of a run, in the order in which they began.
#[derive(Debug, Serialize, ToSchema)]
pub struct StepsResponse {
    /// Every attempt of every visit.
    pub steps: Vec<StepBody>,
}

// The domain knows nothing of OpenAPI, so its types that are sent as they are have their schemas here. A test compares.

/// What a run is doing, or how it ended.
#[derive(ToSchema)]
#[schema(as = RunStatus, rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema, never a value")]
pub(crate) enum RunStatusSchema {
    Queued,
    Running,
    Waiting,
    Paused,
    Success,
    Failed,
    Cancelled,
    TimedOut,
}

/// What an attempt is doing, or how it ended: `waiting` for a time, an event, a decision or another run; `skipped` where its `when` was false, `cancelled` where its group or its run
/// ended first. Where another attempt follows a failed one, it is an entry of its own.
#[derive(ToSchema)]
#[schema(as = StepStatus, rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema, never a value")]
pub(crate) enum StepStatusSchema {
    Running,
    Waiting,
    Success,
    Failed,
    Skipped,
    Cancelled,
}

/// What stopped a run or a step.
#[derive(ToSchema)]
#[schema(as = Failure, rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema, never a value")]
pub(crate) struct FailureSchema {
    /// The step where it arose; absent where the run itself failed.
    #[schema(nullable = false)]
    step_id: Option<String>,
    /// Stable and dotted, for programs.
    #[schema(example = "agent.unavailable")]
    code: String,
    /// For people.
    message: String,
    /// How many attempts were made.
    attempts: u32,
    /// The beginning of what the other side answered, where that is what was wrong.
    #[schema(nullable = false)]
    evidence: Option<String>,
}

/// Who answered a call, exactly.
#[derive(ToSchema)]
#[schema(as = Answerer, rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema, never a value")]
pub(crate) struct AnswererSchema {
    /// `agent` or `plugin`.
    kind: String,
    /// The agent's id or the plugin's name.
    name: String,
    /// The version of the agent's configuration, or the one the plugin states of itself.
    version: String,
    /// SHA-256, in hexadecimal, of the agent's configuration or of the component.
    digest: String,
}

/// Tokens, as agents count them, and what they cost.
#[derive(ToSchema)]
#[schema(as = Usage, rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema, never a value")]
pub(crate) struct UsageSchema {
    /// Read by the model.
    input_tokens: u64,
    /// Written by the model.
    output_tokens: u64,
    /// What that cost, in US dollars, by the prices that were known at the time of the call; null where none was.
    #[schema(required = true)]
    cost_usd: Option<f64>,
}

/// The system prompt of a call.
#[derive(ToSchema)]
#[schema(as = PromptUse, rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema, never a value")]
struct PromptUseSchema {
    /// The version of the agent's prompt; absent where the text was an override's own.
    #[schema(nullable = false, minimum = 1)]
    version: Option<i32>,
    /// SHA-256, in hexadecimal, of the prompt's content, before its variables are put in.
    hash: String,
    /// The label that chose the version; absent where none did.
    #[schema(nullable = false)]
    label: Option<String>,
    /// The override that was in effect; absent without one.
    #[schema(nullable = false, example = "po_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    override_id: Option<String>,
    /// True where the text was the override's own; absent otherwise.
    #[schema(nullable = false)]
    own_text: Option<bool>,
    /// The prompt templates that the text included, each as `name@version`; absent without any.
    #[schema(nullable = false)]
    includes: Option<Vec<String>>,
}

#[cfg(test)]
mod tests;
