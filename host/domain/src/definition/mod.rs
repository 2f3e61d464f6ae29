//! Workflow definitions: what a caller writes, checked whole, as what the interpreter runs.
//!
//! A [`Workflow`] exists only if its definition has no fault: ids resolve, jumps stay in their list, templates parse.
//! Steps and lists live in two arenas and refer to each other by index, so that the interpreter never looks up a name.

mod calls;
mod check;
mod control;
pub mod diff;
mod fields;
mod flow;
mod input_schema;
mod limits;
mod step;
mod variables;
mod waits;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde_json::Value;

pub use check::{Checked, check, variable_name};
pub use input_schema::{INPUT_SCHEMA_WEIGHT_MAX, InputSchema};
pub use limits::{CONCURRENCY_KEY_CHARS_MAX, CONCURRENCY_MAX, Concurrency, OnLimit, Retention};
pub use waits::check_event_name;

use crate::id::WorkflowId;
use crate::retry::RetryPolicy;

/// Steps of one definition, nested ones counted.
pub const STEPS_MAX: usize = 500;
/// How deep lists may nest: far beyond what a person can follow, and a bound for every recursion over a definition.
pub const NESTING_MAX: usize = 16;
/// Characters of a step id.
pub const STEP_ID_CHARS_MAX: usize = 64;
/// Step executions of one run where the definition does not say: what stops a loop of jumps.
pub const MAX_STEPS_DEFAULT: u32 = 1_000;
/// The highest `maxSteps` that a definition may ask for.
pub const MAX_STEPS_MAX: u32 = 100_000;
/// Passes that one `loop` step may make.
pub const LOOP_ITERATIONS_MAX: u32 = 10_000;
/// Items that one `forEach` step may go through: each is journaled, and the results of all are one value.
pub const FOR_EACH_ITEMS_MAX: usize = 10_000;
/// Iterations of one `forEach` step under way at once.
pub const FOR_EACH_CONCURRENCY_MAX: usize = 1_000;
/// Cases of one `switch` step.
pub const SWITCH_CASES_MAX: usize = 100;
/// Characters of the name of an event that runs wait for.
pub const EVENT_NAME_CHARS_MAX: usize = 128;
/// Characters of the code of a `fail` step.
pub const FAIL_CODE_CHARS_MAX: usize = 64;
/// Names that every expression has, and no step may set.
pub const RESERVED_NAMES: [&str; 9] =
    ["input", "run", "errors", "error", "item", "index", "iteration", "event", "secrets"];

/// A step's place in [`Workflow::steps`].
pub type StepIndex = usize;
/// A list's place in [`Workflow::lists`]; the main line is list 0.
pub type ListIndex = usize;

/// The main line.
pub const MAIN_LIST: ListIndex = 0;

/// A definition without faults.
#[derive(Debug, Clone)]
pub struct Workflow {
    /// Every step of every list.
    pub steps: Vec<Step>,
    /// Every list of steps: the main line, branches, inline blocks.
    pub lists: Vec<List>,
    /// What a run's input must fit.
    pub input_schema: Option<InputSchema>,
    /// What the run answers: names and expressions, in the order written.
    pub output: Option<Vec<(String, String)>>,
    /// The longest a run may take.
    pub timeout: Option<Duration>,
    /// The most step executions of one run.
    pub max_steps: u32,
    /// How many runs may go on at once.
    pub concurrency: Option<Concurrency>,
    /// How long ended runs are kept.
    pub retention: Retention,
    by_id: HashMap<String, StepIndex>,
}

impl Workflow {
    /// The step of an id.
    pub fn step_index(&self, id: &str) -> Option<StepIndex> {
        self.by_id.get(id).copied()
    }

    /// Where control goes after a step that sends it nowhere: the first step after it that is not a branch step.
    pub fn successor(&self, step: StepIndex) -> Option<StepIndex> {
        let Step { list, position, .. } = self.steps[step];
        self.lists[list].steps[position + 1..].iter().copied().find(|next| !self.steps[*next].is_branch_step)
    }

    /// The expressions that plugins judge: JSON pointer, evaluator, expression.
    pub fn evaluated_expressions(&self) -> impl Iterator<Item = (String, &str, &str)> {
        self.steps.iter().filter_map(|step| match &step.kind {
            StepKind::Condition(Condition { expr, evaluator: Some(evaluator), .. }) => {
                Some((format!("{}/expr", step.pointer), evaluator.as_str(), expr.as_str()))
            }
            _ => None,
        })
    }
}

/// Steps that run one after the other.
#[derive(Debug, Clone, Default)]
pub struct List {
    /// In the order written.
    pub steps: Vec<StepIndex>,
}

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Unique in the definition.
    pub id: String,
    /// For people.
    pub name: Option<String>,
    /// Where the definition says it: a JSON pointer.
    pub pointer: String,
    /// The list it stands in.
    pub list: ListIndex,
    /// Its place in that list.
    pub position: usize,
    /// Whether only a condition before it can choose it, so that the line passes over it.
    pub is_branch_step: bool,
    /// The expression without which it is skipped.
    pub when: Option<String>,
    /// Where control goes after it.
    pub next: Option<StepIndex>,
    /// The variable its result is stored in.
    pub output_var: Option<String>,
    /// The longest one attempt may take; for a step that calls nothing itself, a visit.
    pub timeout: Option<Duration>,
    /// The longest a visit may take, with all its attempts and the waits between them.
    pub total_timeout: Option<Duration>,
    /// How it is tried again; `None` leaves it to what the step calls.
    pub retry: Option<RetryPolicy>,
    /// What becomes of the run when it fails.
    pub on_error: OnError,
    /// What it does.
    pub kind: StepKind,
}

/// What becomes of a list when one of its steps fails for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnError {
    /// The list fails.
    Fail,
    /// The variable is null, the error is kept in `errors`, the list goes on.
    Continue,
    /// Control goes to this step, with the error in `error`.
    Jump(StepIndex),
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum StepKind {
    /// Sends a message to an agent.
    Agent(AgentStep),
    /// Calls a tool of a plugin.
    Tool(ToolStep),
    /// Chooses one of two ways.
    Condition(Condition),
    /// Chooses one of several ways.
    Switch(Switch),
    /// Runs branches at the same time.
    Parallel(Parallel),
    /// Runs its steps once for each item of an array.
    ForEach(ForEach),
    /// Runs its steps again and again.
    Loop(Loop),
    /// Sets variables.
    Set(Vec<(String, Assigned)>),
    /// Lets time pass, or waits for an event.
    Wait(Wait),
    /// Waits for somebody's decision.
    Approval(Approval),
    /// Runs another workflow.
    Workflow(WorkflowStep),
    /// Ends the run well, with what these pick; the definition's own `output` where absent.
    Return(Option<Vec<(String, String)>>),
    /// Ends the run badly.
    Fail(FailStep),
}

impl StepKind {
    /// The `type` a definition writes.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Agent(_) => "agent",
            Self::Tool(_) => "tool",
            Self::Condition(_) => "condition",
            Self::Switch(_) => "switch",
            Self::Parallel(_) => "parallel",
            Self::ForEach(_) => "forEach",
            Self::Loop(_) => "loop",
            Self::Set(_) => "set",
            Self::Wait(_) => "wait",
            Self::Approval(_) => "approval",
            Self::Workflow(_) => "workflow",
            Self::Return(_) => "return",
            Self::Fail(_) => "fail",
        }
    }

    /// Where it may send control, in the order in which its result numbers them: `then` and `else` of a condition, the cases
    /// of a switch and then its default.
    pub fn targets(&self) -> Vec<&Target> {
        match self {
            Self::Condition(condition) => vec![&condition.then, &condition.otherwise],
            Self::Switch(switch) => switch.cases.iter().map(|case| &case.then).chain([&switch.default]).collect(),
            _ => Vec::new(),
        }
    }

    /// The lists inside it: branches, bodies, inline blocks, each with its slot as a scope path names it. All items of a
    /// `forEach` and all passes of a `loop` run the one list of slot `0`.
    pub fn lists(&self) -> Vec<(String, ListIndex)> {
        match self {
            Self::Parallel(parallel) => {
                parallel.branches.iter().enumerate().map(|(slot, branch)| (slot.to_string(), branch.list)).collect()
            }
            Self::ForEach(ForEach { list, .. }) | Self::Loop(Loop { list, .. }) => vec![("0".to_owned(), *list)],
            _ => {
                let targets = self.targets().into_iter().enumerate();
                let blocks = targets.filter_map(|(way, target)| match target {
                    Target::Block(list) => Some((self.slot_of_way(way), *list)),
                    Target::Onward | Target::Steps(_) => None,
                });
                blocks.collect()
            }
        }
    }

    /// What a scope path calls the block of one of [`StepKind::targets`].
    pub fn slot_of_way(&self, way: usize) -> String {
        match self {
            Self::Condition(_) => if way == 0 { "then" } else { "else" }.to_owned(),
            _ => way.to_string(),
        }
    }
}

/// An agent step's own fields.
#[derive(Debug, Clone)]
pub struct AgentStep {
    /// Which agent.
    pub agent_id: String,
    /// Template of what it is told.
    pub message: String,
    /// Template of what is added to its system prompt.
    pub system_prompt_suffix: Option<String>,
}

/// A tool step's own fields.
#[derive(Debug, Clone)]
pub struct ToolStep {
    /// Which tool.
    pub tool_name: String,
    /// Its parameters, with templates in strings of any depth.
    pub params: Value,
    /// The plugin that must bring the tool, where the definition cares.
    pub plugin: Option<String>,
    /// The plugin's version that must be called, where the definition cares; else the one that the run stays on.
    pub version: Option<i32>,
}

/// A condition's own fields.
#[derive(Debug, Clone)]
pub struct Condition {
    /// What is judged.
    pub expr: String,
    /// The plugin that judges it; the host itself where there is none.
    pub evaluator: Option<String>,
    /// Where control goes if it holds.
    pub then: Target,
    /// Where control goes if it does not.
    pub otherwise: Target,
}

/// A switch's own fields.
#[derive(Debug, Clone)]
pub struct Switch {
    /// Asked in this order; the first that holds is taken.
    pub cases: Vec<Case>,
    /// Where control goes if none holds.
    pub default: Target,
}

/// One way of a switch.
#[derive(Debug, Clone)]
pub struct Case {
    /// The expression that must hold.
    pub when: String,
    /// Where control goes then.
    pub then: Target,
}

/// Where a condition or a switch sends control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// On, as after any other step.
    Onward,
    /// To these steps of the same list, in this order, then on after the last.
    Steps(Vec<StepIndex>),
    /// Into this list, then on after the condition.
    Block(ListIndex),
}

/// A parallel step's own fields.
#[derive(Debug, Clone)]
pub struct Parallel {
    /// What runs at the same time, in the order written.
    pub branches: Vec<Branch>,
    /// How many branches may be under way at once.
    pub max_concurrency: Option<usize>,
    /// What the failure of one branch means for the others.
    pub on_failure: OnFailure,
}

/// One branch of a parallel step.
#[derive(Debug, Clone)]
pub struct Branch {
    /// The id of its first step, which names its result.
    pub id: String,
    /// Its steps.
    pub list: ListIndex,
}

/// A `forEach` step's own fields.
#[derive(Debug, Clone)]
pub struct ForEach {
    /// The expression that gives the array.
    pub items: String,
    /// The name by which its steps see their item.
    pub item_name: String,
    /// Its steps.
    pub list: ListIndex,
    /// How many iterations may be under way at once.
    pub max_concurrency: usize,
    /// What the failure of one iteration means for the others.
    pub on_failure: OnFailure,
}

/// A `loop` step's own fields.
#[derive(Debug, Clone)]
pub struct Loop {
    /// Its steps.
    pub list: ListIndex,
    /// Whether there is another pass.
    pub test: LoopTest,
    /// The most passes; after so many the loop ends, whatever its test says.
    pub max_iterations: u32,
}

/// What ends a loop.
#[derive(Debug, Clone)]
pub enum LoopTest {
    /// Tested before each pass: it is made if this holds.
    While(String),
    /// Tested after each pass: it was the last if this holds.
    Until(String),
}

/// What a `set` step gives a variable.
#[derive(Debug, Clone)]
pub enum Assigned {
    /// The value of an expression.
    Expression(String),
    /// A value, with templates in strings of any depth.
    Value(Value),
}

/// What a `wait` step waits for.
#[derive(Debug, Clone)]
pub enum Wait {
    /// So long: a duration, or a template of one.
    Duration(String),
    /// Until then: an RFC 3339 timestamp, or a template of one.
    Until(String),
    /// A signal of this name, for which `matches`, an expression that sees it as `event`, holds.
    Event {
        /// The name.
        name: String,
        /// The expression; every signal of the name where absent.
        matches: Option<String>,
    },
}

/// An `approval` step's own fields.
#[derive(Debug, Clone)]
pub struct Approval {
    /// Template of what is asked.
    pub message: String,
    /// The roles that may decide; owners always may.
    pub approvers: Vec<String>,
    /// What it means that nobody did in time.
    pub on_timeout: OnTimeout,
}

/// What it means that nobody decided in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnTimeout {
    /// The same as a no.
    Deny,
    /// The same as a yes.
    Approve,
    /// The step fails.
    Fail,
}

/// A `workflow` step's own fields.
#[derive(Debug, Clone)]
pub struct WorkflowStep {
    /// Which workflow.
    pub workflow_id: WorkflowId,
    /// Which version; the newest at the moment of the call where absent.
    pub version: Option<i32>,
    /// The child run's input, with templates in strings of any depth.
    pub input: Value,
}

/// A `fail` step's own fields.
#[derive(Debug, Clone)]
pub struct FailStep {
    /// Template of why.
    pub message: String,
    /// The failure's code.
    pub code: String,
}

/// What the failure of one branch means for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// They are stopped.
    FailFast,
    /// They go on to their ends.
    WaitAll,
}

/// What exists besides the definition; what it names and is not here gives a warning, for it may be added later.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Ids of agents.
    pub agents: HashSet<String>,
    /// Names of tools.
    pub tools: HashSet<String>,
    /// Names of plugins that judge expressions.
    pub evaluators: HashSet<String>,
    /// Workflows.
    pub workflows: HashSet<WorkflowId>,
}
