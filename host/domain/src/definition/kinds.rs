//! What steps do: a type for each kind, as the interpreter reads it.

use serde_json::Value;

use super::{ListIndex, OutputSchema, StepIndex};
use crate::agent::ModelSettings;
use crate::id::WorkflowId;
use crate::talk::TOOL_ROUNDS_DEFAULT;

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
#[derive(Debug, Clone, PartialEq)]
pub struct AgentStep {
    /// Which agent.
    pub agent_id: String,
    /// Template of what it is told.
    pub message: String,
    /// Template of what is added to its system prompt.
    pub system_prompt_suffix: Option<String>,
    /// What this step wants otherwise than the agent's configuration.
    pub model: Option<ModelSettings>,
    /// What the answer must be.
    pub output_schema: Option<OutputSchema>,
    /// The tools that the agent may call, and no others.
    pub tools: Vec<AgentTool>,
    /// How often it may ask for tools in one visit.
    pub max_rounds: u32,
}

impl AgentStep {
    /// A step that tells an agent a message, and nothing else.
    pub fn new(agent_id: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            agent_id: agent_id.into(),
            message: message.into(),
            system_prompt_suffix: None,
            model: None,
            output_schema: None,
            tools: Vec::new(),
            max_rounds: TOOL_ROUNDS_DEFAULT,
        }
    }
}

/// A tool that an agent may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentTool {
    /// Which.
    pub tool_name: String,
    /// The plugin that must bring it, where the definition cares.
    pub plugin: Option<String>,
    /// The plugin's version that must be called, where the definition cares; else the one that the run stays on.
    pub version: Option<i32>,
    /// The roles of which somebody must allow each call; nobody has to where absent.
    pub approvers: Option<Vec<String>>,
}

impl AgentTool {
    /// Its name as models take it: what is not of `A-Z a-z 0-9 _ -` is `_`.
    pub fn wire_name(&self) -> String {
        let wire = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
        self.tool_name.chars().map(wire).collect()
    }
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
