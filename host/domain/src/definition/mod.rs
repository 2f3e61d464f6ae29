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
mod kinds;
mod limits;
mod on_event;
mod output_schema;
mod step;
mod variables;
mod waits;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

pub use check::{Checked, check, variable_name};
pub use input_schema::{INPUT_SCHEMA_WEIGHT_MAX, InputSchema};
pub use kinds::{
    AgentStep, AgentTool, Approval, Assigned, Branch, Case, Condition, FailStep, ForEach, Loop, LoopTest, OnFailure,
    OnTimeout, Parallel, StepKind, Switch, Target, ToolStep, Wait, WorkflowStep,
};
pub use limits::{CONCURRENCY_KEY_CHARS_MAX, CONCURRENCY_MAX, Concurrency, OnLimit, Retention};
pub use on_event::OnEvent;
pub use output_schema::OutputSchema;
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
/// Tools of one agent step: a model that has to choose among more chooses badly.
pub const AGENT_TOOLS_MAX: usize = 64;
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
    /// Which events start runs.
    pub on_event: Option<OnEvent>,
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
