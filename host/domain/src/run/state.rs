//! The state of one run, folded from its journal.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::RunStatus;
use crate::definition::{ListIndex, MAIN_LIST, StepIndex, StepKind, Workflow};
use crate::id::{RunId, WorkflowId};
use crate::journal::{Event, Failure, ScopePath, Variables, Visit};
use crate::plugin::Pin;
use crate::template::Scope;

/// What a run is told about itself, the same at every replay.
#[derive(Debug, Clone)]
pub struct RunFacts {
    /// The run.
    pub run_id: RunId,
    /// Its workflow.
    pub workflow_id: WorkflowId,
    /// The only "now" that expressions see.
    pub started_at: DateTime<Utc>,
}

/// A run between two entries of its journal.
#[derive(Debug)]
pub struct State {
    pub(super) workflow: Arc<Workflow>,
    pub(super) facts: RunFacts,
    pub(super) input: Arc<Value>,
    plugins: Arc<[Pin]>,
    /// The input's fields, which are variables by their own names.
    input_fields: Variables,
    /// The lists that are under way, by scope; the main line has the empty one.
    pub(super) frames: BTreeMap<ScopePath, Frame>,
    pub(super) visits: HashMap<StepIndex, u32>,
    pub(super) executions: u32,
    pub(super) ended: Option<Ended>,
}

/// How a run ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: RunStatus,
    pub(super) output: Value,
    pub(super) error: Option<Failure>,
}

/// One list under way: exactly one of its steps at a time.
#[derive(Debug)]
pub(super) struct Frame {
    /// The visit that opened it; none for the main line.
    pub(super) parent: Option<Visit>,
    pub(super) cursor: Cursor,
    /// Steps that a condition chose beyond the first.
    pub(super) queue: VecDeque<StepIndex>,
    /// What its steps set. A branch sees what was set before it and by itself; the others' shows when all have ended.
    pub(super) variables: Variables,
    /// The errors that its steps went on from, by step; seen and merged as the variables are.
    pub(super) errors: serde_json::Map<String, Value>,
    /// The error that control jumped here with.
    pub(super) error: Option<Value>,
    pub(super) last_result: Arc<Value>,
}

#[derive(Debug)]
pub(super) enum Cursor {
    /// This step is to be visited.
    At(StepIndex),
    /// This step is being visited.
    In(StepIndex, Visit, Work),
    Done,
    Failed(Failure),
}

#[derive(Debug)]
pub(super) enum Work {
    /// The outside world owes an answer.
    Calling { attempt: u32, not_before: Option<DateTime<Utc>>, input: Arc<Value> },
    /// Branches are under way or over, each in a frame of its own; so many were begun.
    Group { begun: usize },
    /// A block that a condition chose.
    Block,
}

/// A call that the run waits for.
#[derive(Debug, Clone)]
pub struct Call {
    /// Whose.
    pub visit: Visit,
    /// The step.
    pub step: StepIndex,
    /// Which try, from 1.
    pub attempt: u32,
    /// When it may be made; at once where absent.
    pub not_before: Option<DateTime<Utc>>,
    /// What it gives, as the journal has it.
    pub input: Arc<Value>,
    /// What is called.
    pub kind: CallKind,
}

/// What a call goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallKind {
    /// An agent.
    Agent {
        /// Which.
        agent_id: String,
    },
    /// A tool.
    Tool {
        /// Which.
        tool_name: String,
        /// The plugin that must bring it.
        plugin: Option<String>,
        /// The plugin's version that must be called.
        version: Option<i32>,
    },
    /// A plugin that judges an expression over [`State::scope_of`] the call.
    Evaluator {
        /// Which.
        evaluator: String,
        /// What is judged.
        expr: String,
    },
}

impl State {
    /// A run that has no entry yet.
    pub fn new(workflow: Arc<Workflow>, facts: RunFacts) -> Self {
        Self {
            workflow,
            facts,
            input: Arc::new(Value::Null),
            plugins: Arc::new([]),
            input_fields: Variables::new(),
            frames: BTreeMap::new(),
            visits: HashMap::new(),
            executions: 0,
            ended: None,
        }
    }

    /// Takes the next entry of the journal. Never evaluates anything: what was decided is in the entry.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::RunStarted { input, plugins } => {
                self.input = Arc::clone(input);
                self.plugins = plugins.as_slice().into();
                let fields = input.as_object().into_iter().flatten();
                self.input_fields = fields.map(|(name, value)| (name.clone(), Arc::new(value.clone()))).collect();
                self.open(ScopePath::default(), MAIN_LIST, None);
            }
            Event::StepStarted { visit, input } => self.started(visit, input),
            Event::AttemptFailed { visit, attempt, retry_at, .. } => {
                if let Some(Cursor::In(_, _, Work::Calling { attempt: current, not_before, .. })) = self.cursor(visit) {
                    *current = attempt + 1;
                    *not_before = Some(*retry_at);
                }
            }
            Event::StepSucceeded { visit, output, .. } => self.succeeded(visit, output),
            Event::StepFailed { visit, error, .. } => self.failed(visit, error),
            Event::StepSkipped { visit } => self.skipped(visit),
            Event::RunSucceeded { output } => self.end(RunStatus::Success, output.clone(), None),
            Event::RunFailed { error } => self.end(RunStatus::Failed, Value::Null, Some(error.clone())),
            Event::RunTimedOut { error } => self.end(RunStatus::TimedOut, Value::Null, Some(error.clone())),
        }
    }

    /// The definition it follows.
    pub fn workflow(&self) -> &Workflow {
        &self.workflow
    }

    /// What it is told about itself.
    pub fn facts(&self) -> &RunFacts {
        &self.facts
    }

    /// Running, or how it ended.
    pub fn status(&self) -> RunStatus {
        self.ended.as_ref().map_or(RunStatus::Running, |ended| ended.status)
    }

    /// What the definition's `output` picked; null before the end and without one.
    pub fn output(&self) -> Value {
        self.ended.as_ref().map_or(Value::Null, |ended| ended.output.clone())
    }

    /// Why it ended badly.
    pub fn error(&self) -> Option<&Failure> {
        self.ended.as_ref().and_then(|ended| ended.error.as_ref())
    }

    /// What the caller gave.
    pub fn input(&self) -> &Arc<Value> {
        &self.input
    }

    /// The versions of plugins that it stays on.
    pub fn plugins(&self) -> &Arc<[Pin]> {
        &self.plugins
    }

    /// Every variable that a step of the main line set, and every one of a group that has ended.
    pub fn variables(&self) -> Variables {
        self.frames.get(&ScopePath::default()).map(|frame| frame.variables.clone()).unwrap_or_default()
    }

    /// The calls that the outside world owes, whether they were made already or not.
    pub fn calls(&self) -> Vec<Call> {
        if self.ended.is_some() {
            return Vec::new();
        }
        let calling = self.frames.values().filter_map(|frame| match &frame.cursor {
            Cursor::In(step, visit, Work::Calling { attempt, not_before, input }) => Some(Call {
                visit: visit.clone(),
                step: *step,
                attempt: *attempt,
                not_before: *not_before,
                input: Arc::clone(input),
                kind: self.call_kind(*step)?,
            }),
            _ => None,
        });
        calling.collect()
    }

    /// Whether a visit is still waited for: not so after its run or its group has ended.
    pub fn is_open(&self, visit: &Visit) -> bool {
        self.ended.is_none()
            && self
                .frames
                .get(&visit.scope)
                .is_some_and(|frame| matches!(&frame.cursor, Cursor::In(_, open, _) if open == visit))
    }

    /// What an expression inside `scope` sees.
    pub fn scope_of(&self, scope: &ScopePath) -> Scope {
        let mut chain = Vec::new();
        let mut current = self.frames.get(scope);
        while let Some(frame) = current {
            chain.push(frame);
            current = frame.parent.as_ref().and_then(|parent| self.frames.get(&parent.scope));
        }
        let mut visible = Scope::default();
        let set_by_steps = chain.iter().rev().flat_map(|frame| &frame.variables);
        for (name, value) in self.input_fields.iter().chain(set_by_steps) {
            visible.set(name, Arc::clone(value));
        }
        if let Some(error) = chain.iter().find_map(|frame| frame.error.as_ref()) {
            visible.set("error", Arc::new(error.clone()));
        }
        visible.set("input", Arc::clone(&self.input));
        let errors = chain.iter().rev().flat_map(|frame| frame.errors.clone());
        visible.set("errors", Arc::new(Value::Object(errors.collect())));
        let RunFacts { run_id, workflow_id, started_at } = &self.facts;
        let started_at = started_at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        visible.set("run", Arc::new(json!({ "id": run_id, "workflowId": workflow_id, "startedAt": started_at })));
        visible
    }

    fn call_kind(&self, step: StepIndex) -> Option<CallKind> {
        match &self.workflow.steps[step].kind {
            StepKind::Agent(agent) => Some(CallKind::Agent { agent_id: agent.agent_id.clone() }),
            StepKind::Tool(tool) => Some(CallKind::Tool {
                tool_name: tool.tool_name.clone(),
                plugin: tool.plugin.clone(),
                version: tool.version,
            }),
            StepKind::Condition(condition) => {
                Some(CallKind::Evaluator { evaluator: condition.evaluator.clone()?, expr: condition.expr.clone() })
            }
            StepKind::Parallel(_) => None,
        }
    }

    pub(super) fn cursor(&mut self, visit: &Visit) -> Option<&mut Cursor> {
        let frame = self.frames.get_mut(&visit.scope)?;
        matches!(&frame.cursor, Cursor::In(_, open, _) if open == visit).then_some(&mut frame.cursor)
    }

    pub(super) fn open(&mut self, scope: ScopePath, list: ListIndex, parent: Option<Visit>) {
        let first = self.workflow.lists[list].steps[0];
        let frame = Frame {
            parent,
            cursor: Cursor::At(first),
            queue: VecDeque::new(),
            variables: Variables::new(),
            errors: serde_json::Map::new(),
            error: None,
            last_result: Arc::new(Value::Null),
        };
        self.frames.insert(scope, frame);
    }

    fn end(&mut self, status: RunStatus, output: Value, error: Option<Failure>) {
        self.ended = Some(Ended { status, output, error });
    }
}
