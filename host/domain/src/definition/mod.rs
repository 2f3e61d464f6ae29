//! Workflow definitions: what a caller writes, checked whole, as what the interpreter runs.
//!
//! A [`Workflow`] exists only if its definition has no fault: ids resolve, jumps stay in their list, templates parse.
//! Steps and lists live in two arenas and refer to each other by index, so that the interpreter never looks up a name.

mod check;
pub mod diff;
mod fields;
mod flow;
mod input_schema;
mod step;
mod variables;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde_json::Value;

pub use check::{Checked, check};
pub use input_schema::{INPUT_SCHEMA_WEIGHT_MAX, InputSchema};

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
/// Names that every expression has, and no step may set.
pub const RESERVED_NAMES: [&str; 8] = ["input", "run", "errors", "error", "item", "index", "iteration", "secrets"];

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
    /// The longest one attempt may take.
    pub timeout: Option<Duration>,
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
    /// Chooses where control goes.
    Condition(Condition),
    /// Runs branches at the same time.
    Parallel(Parallel),
}

impl StepKind {
    /// The `type` a definition writes.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Agent(_) => "agent",
            Self::Tool(_) => "tool",
            Self::Condition(_) => "condition",
            Self::Parallel(_) => "parallel",
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

/// Where a condition sends control.
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
}
