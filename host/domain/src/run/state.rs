//! The state of one run, folded from its journal.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::RunStatus;
use super::frame::{Cursor, Frame, Open, Work};
use super::talk::{call_of_turn, listens};
use crate::definition::{ListIndex, MAIN_LIST, StepIndex, StepKind, Workflow};
use crate::id::{RunId, WorkflowId};
use crate::journal::{Event, Failure, Measured, ScopePath, Signal, Usage, Variables, Visit};
use crate::plugin::Pin;
use crate::talk::{RemoteTask, Turn};
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
    /// Other versions of the definition, which a retry may have gone over to.
    versions: BTreeMap<i32, Arc<Workflow>>,
    pub(super) facts: RunFacts,
    pub(super) input: Arc<Value>,
    plugins: Arc<[Pin]>,
    /// The input's fields, which are variables by their own names.
    input_fields: Variables,
    /// The lists that are under way, by scope; the main line has the empty one.
    pub(super) frames: BTreeMap<ScopePath, Frame>,
    /// Frames that may have something to decide.
    pub(super) ready: BTreeSet<ScopePath>,
    pub(super) visits: HashMap<String, u32>,
    pub(super) executions: u32,
    /// Signals that no step has taken yet, in the order in which they came.
    pub(super) signals: VecDeque<Signal>,
    pub(super) signals_received: u64,
    pub(super) is_paused: bool,
    /// Since when the run's own timeout counts.
    pub(super) since: DateTime<Utc>,
    pub(super) abandoned: Vec<RunId>,
    pub(super) abandoned_tasks: Vec<(Visit, RemoteTask)>,
    /// How often the run was retried or begun from another one: what was asked before is asked anew.
    pub(super) reopened: u32,
    usage: Option<Usage>,
    /// How a step decided that the run ends.
    pub(super) ending: Option<Ending>,
    pub(super) ended: Option<Ended>,
}

/// How a step decided that the run ends.
#[derive(Debug)]
pub(super) enum Ending {
    Returned(Value),
    Failed(Failure),
}

/// How a run ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: RunStatus,
    pub(super) output: Value,
    pub(super) error: Option<Failure>,
}

/// A decision that somebody is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenApproval {
    /// By which visit.
    pub visit: Visit,
    /// What is asked.
    pub message: String,
    /// The roles that may decide.
    pub approvers: Vec<String>,
    /// Until when.
    pub expires_at: Option<DateTime<Utc>>,
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
    /// When the visit must be over, whatever its attempts do.
    pub deadline: Option<DateTime<Utc>>,
    /// What it gives, as the journal has it.
    pub input: Arc<Value>,
    /// What was said in the visit so far; empty for all but the calls of an agent step.
    pub talk: Vec<Arc<Turn>>,
    /// How many turns the visit has taken in all, those with tasks that are no more among them.
    pub turn: u32,
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
    /// Another workflow, which becomes a run of its own.
    Child {
        /// Which.
        workflow_id: WorkflowId,
        /// Which version; the newest where absent.
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
            since: facts.started_at,
            workflow,
            versions: BTreeMap::new(),
            facts,
            input: Arc::new(Value::Null),
            plugins: Arc::new([]),
            input_fields: Variables::new(),
            frames: BTreeMap::new(),
            ready: BTreeSet::new(),
            visits: HashMap::new(),
            executions: 0,
            signals: VecDeque::new(),
            signals_received: 0,
            is_paused: false,
            abandoned: Vec::new(),
            abandoned_tasks: Vec::new(),
            reopened: 0,
            usage: None,
            ending: None,
            ended: None,
        }
    }

    /// Gives it a version of the definition that one of its entries goes over to. To be called before that entry is applied.
    pub fn know_version(&mut self, version: i32, workflow: Arc<Workflow>) {
        self.versions.insert(version, workflow);
    }

    /// Takes the next entry of the journal. Never evaluates anything: what was decided is in the entry.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::RunStarted { input, plugins } => {
                self.input = Arc::clone(input);
                self.plugins = plugins.as_slice().into();
                let fields = input.as_object().into_iter().flatten();
                self.input_fields = fields.map(|(name, value)| (name.clone(), Arc::new(value.clone()))).collect();
                self.open_list(ScopePath::default(), MAIN_LIST, None, Variables::new());
            }
            Event::StepStarted { visit, input, deadline } => self.started(visit, input, *deadline),
            Event::AttemptFailed { visit, attempt, retry_at, error, .. } => {
                self.attempt_failed(visit, *attempt, *retry_at, error);
            }
            Event::StepTurn { visit, turn, signal, .. } => {
                self.drop_signal(*signal);
                self.turned(visit, turn);
            }
            Event::ChildStarted { visit, run, .. } => self.child_started(visit, *run),
            Event::PassStarted { visit, pass } => self.pass_started(visit, *pass),
            Event::StepSucceeded { visit, output, signal, measured, .. } => {
                self.drop_signal(*signal);
                self.count(measured.as_ref());
                self.succeeded(visit, output);
            }
            Event::StepFailed { visit, error, .. } => self.failed(visit, error),
            Event::StepSkipped { visit } => self.skipped(visit),
            Event::SignalReceived { signal } => {
                self.signals_received = signal.number;
                self.signals.push_back(signal.clone());
                let listening =
                    self.frames.iter().filter(|(_, frame)| frame.open().is_some_and(|open| listens(&open.work)));
                self.ready.extend(listening.map(|(scope, _)| scope.clone()));
            }
            Event::RunPaused { .. } => self.is_paused = true,
            Event::RunResumed { .. } => self.is_paused = false,
            Event::RunRetried { version, vars, since, .. } => self.retried(*version, vars, *since),
            Event::RunForked { vars, since, .. } => self.forked(vars, *since),
            Event::RunSucceeded { output } => self.end(RunStatus::Success, output.clone(), None),
            Event::RunFailed { error } => self.end(RunStatus::Failed, Value::Null, Some(error.clone())),
            Event::RunCancelled { error, .. } => self.end(RunStatus::Cancelled, Value::Null, Some(error.clone())),
            Event::RunTimedOut { error } => self.end(RunStatus::TimedOut, Value::Null, Some(error.clone())),
        }
    }

    /// The definition it follows.
    pub fn workflow(&self) -> &Workflow {
        &self.workflow
    }

    /// The definition it follows, to be held on to.
    pub fn shared_workflow(&self) -> Arc<Workflow> {
        Arc::clone(&self.workflow)
    }

    /// What it is told about itself.
    pub fn facts(&self) -> &RunFacts {
        &self.facts
    }

    /// Running, paused, or how it ended. Whether it waits depends on who drives it.
    pub fn status(&self) -> RunStatus {
        let going = if self.is_paused { RunStatus::Paused } else { RunStatus::Running };
        self.ended.as_ref().map_or(going, |ended| ended.status)
    }

    /// Signals that came and that no step has taken yet.
    pub fn signals_waiting(&self) -> usize {
        self.signals.len()
    }

    /// The decisions that it waits for.
    pub fn approvals(&self) -> Vec<OpenApproval> {
        if self.ended.is_some() {
            return Vec::new();
        }
        let open = self.frames.values().filter_map(|frame| frame.open());
        let asking = open.filter_map(|open| match &open.work {
            Work::Calling { talk, .. } => self.asked_of_a_tool(open, talk),
            Work::Asking { input } => Some(OpenApproval {
                visit: open.visit.clone(),
                message: input["message"].as_str().unwrap_or_default().to_owned(),
                approvers: serde_json::from_value(input["approvers"].clone()).unwrap_or_default(),
                expires_at: open.deadline,
            }),
            _ => None,
        });
        asking.collect()
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
        let open = self.frames.values().filter_map(|frame| frame.open());
        let calling = open.filter_map(|open| match &open.work {
            Work::Calling { attempt, not_before, input, talk, dropped } => {
                let (kind, input) = self.call_kind(open.step, input, talk)?;
                Some(Call {
                    visit: open.visit.clone(),
                    step: open.step,
                    attempt: *attempt,
                    not_before: *not_before,
                    deadline: open.deadline,
                    input,
                    talk: talk.clone(),
                    turn: *dropped + talk.len() as u32,
                    kind,
                })
            }
            _ => None,
        });
        calling.collect()
    }

    /// Whether a visit is still waited for: not so after its run or its group has ended.
    pub fn is_open(&self, visit: &Visit) -> bool {
        let open = self.frames.get(&visit.scope).and_then(|frame| frame.open());
        self.ended.is_none() && open.is_some_and(|open| open.visit == *visit)
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
        for (name, value) in &self.input_fields {
            visible.set(name, Arc::clone(value));
        }
        for frame in chain.iter().rev() {
            for (name, value) in frame.locals.iter().chain(&frame.variables) {
                visible.set(name, Arc::clone(value));
            }
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

    /// What is called, and what it is given.
    fn call_kind(&self, step: StepIndex, input: &Arc<Value>, talk: &[Arc<Turn>]) -> Option<(CallKind, Arc<Value>)> {
        let kind = match &self.workflow.steps[step].kind {
            StepKind::Agent(agent) => return call_of_turn(agent, input, talk),
            StepKind::Tool(tool) => {
                CallKind::Tool { tool_name: tool.tool_name.clone(), plugin: tool.plugin.clone(), version: tool.version }
            }
            StepKind::Condition(condition) => {
                CallKind::Evaluator { evaluator: condition.evaluator.clone()?, expr: condition.expr.clone() }
            }
            StepKind::Workflow(_) => CallKind::Child {
                workflow_id: input["workflowId"].as_str()?.parse().ok()?,
                version: input["version"].as_i64().map(|version| version as i32),
            },
            _ => return None,
        };
        Some((kind, Arc::clone(input)))
    }

    fn drop_signal(&mut self, number: Option<u64>) {
        if let Some(number) = number {
            self.signals.retain(|signal| signal.number != number);
        }
    }

    pub(super) fn count(&mut self, measured: Option<&Measured>) {
        if let Some(usage) = measured.and_then(|measured| measured.usage) {
            self.usage = Some(self.usage.map_or(usage, |before| before.and(usage)));
        }
    }

    /// The tokens of all its agent calls that ended well, and what they cost, where agents said; those of its children apart.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// What a visit under way is in the middle of.
    pub(super) fn open_visit(&mut self, visit: &Visit) -> Option<&mut Open> {
        match &mut self.frames.get_mut(&visit.scope)?.cursor {
            Cursor::In(open) if open.visit == *visit => Some(open),
            Cursor::In(_) | Cursor::At(_) | Cursor::Done | Cursor::Failed(_) => None,
        }
    }

    pub(super) fn open_list(&mut self, scope: ScopePath, list: ListIndex, parent: Option<Visit>, locals: Variables) {
        let first = self.workflow.lists[list].steps[0];
        self.ready.insert(scope.clone());
        self.frames.insert(scope, Frame::new(first, parent, locals));
    }

    pub(super) fn version(&self, version: i32) -> Option<Arc<Workflow>> {
        self.versions.get(&version).cloned()
    }

    pub(super) fn follow(&mut self, workflow: Arc<Workflow>) {
        self.workflow = workflow;
    }

    fn end(&mut self, status: RunStatus, output: Value, error: Option<Failure>) {
        let children = self.children().into_iter().map(|(_, run)| run);
        self.abandoned.extend(children);
        let open: Vec<Visit> = self.frames.values().filter_map(|frame| Some(frame.open()?.visit.clone())).collect();
        for visit in open {
            self.let_go_of_task(&visit);
        }
        self.ended = Some(Ended { status, output, error });
    }
}
