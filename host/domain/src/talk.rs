//! What is said within one visit of an agent step, beyond the first message and the last answer: each turn is an entry of the journal, so
//! that a host which takes the run over asks nobody a second time.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::definition::{AgentStep, AgentTool};
use crate::journal::Measured;

/// Rounds of tool calls of one visit where the step does not say; each is a model call that reads everything before it.
pub const TOOL_ROUNDS_DEFAULT: u32 = 5;
/// The most rounds that a step may ask for.
pub const TOOL_ROUNDS_MAX: u32 = 50;
/// Tool calls that a model may ask for at once: far more than one answer needs, and each is made in turn.
pub const TOOL_CALLS_AT_ONCE_MAX: usize = 32;
/// What the codes of tasks that have ended, or that the agent does not know, begin with.
pub const OF_TASKS: &str = "agent.task_";
/// The code of a task that has ended badly and may be begun anew.
pub const TASK_FAILED: &str = "agent.task_failed";
/// Bytes of the id that a model gives a tool call, or an agent a task.
pub const REMOTE_ID_BYTES_MAX: usize = 512;

/// One turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Turn {
    /// The model asks for tools.
    ToolsAsked {
        /// What it says beside that.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        text: String,
        /// What it asks for, in its order.
        calls: Vec<ToolAsked>,
        /// How the model's call went.
        measured: Measured,
    },
    /// Somebody allows the tool call that is next.
    ToolAllowed {
        /// Who.
        by: String,
        /// What they said about it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// The tool call that was next is over.
    ToolAnswered {
        /// What the tool gave, or why it did not.
        #[serde(flatten)]
        answer: ToolAnswer,
        /// How its call went, where it was made and ended well.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        measured: Option<Measured>,
    },
    /// The answer is not what the step's `outputSchema` wants; the agent is told so, once.
    AnswerRefused {
        /// What it answered.
        text: String,
        /// What is wrong with it.
        why: String,
        /// How its call went.
        measured: Measured,
    },
    /// The agent works on it, under this id; it is asked again, and not told again.
    TaskBegun {
        /// The task.
        task: RemoteTask,
        /// Since when, by the host's clock; how often it is asked follows from its age.
        at: DateTime<Utc>,
    },
    /// The agent wants to know something; a signal of the step's name answers.
    InputRequired {
        /// The task.
        task: RemoteTask,
        /// What it asks.
        question: String,
    },
    /// Somebody answered.
    InputGiven {
        /// What.
        input: Arc<Value>,
        /// Who.
        by: String,
    },
}

/// A tool call that a model asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolAsked {
    /// The model's own id of it.
    pub id: String,
    /// The tool, by the name that it was told ([`AgentTool::wire_name`]).
    pub name: String,
    /// What it gives the tool; text where that is no JSON.
    pub arguments: Arc<Value>,
}

/// How a tool call ended, as the model is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ToolAnswer {
    /// With this.
    Output(Arc<Value>),
    /// Badly.
    Error {
        /// Stable and dotted.
        code: String,
        /// For people and models.
        message: String,
    },
}

/// A task of an agent that takes its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemoteTask {
    /// The agent that works on it: the step's, or one that stood in for it.
    pub agent_id: String,
    /// The agent's id of it.
    pub id: String,
    /// How many messages it was sent, from 1.
    pub turns: u32,
    /// What it belongs to, as the agent says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_id: Option<String>,
}

/// What a visit of an agent step needs next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Next<'a> {
    /// The agent is to be called.
    Agent,
    /// This tool is to be called.
    Tool(&'a ToolAsked, &'a AgentTool),
    /// Somebody must allow this tool call.
    Approval(&'a ToolAsked, &'a AgentTool),
    /// There is no such tool for this agent.
    NoSuchTool(&'a ToolAsked),
    /// Somebody must answer the agent's question.
    Input(&'a str),
}

/// What comes after these turns.
pub fn next<'a>(talk: &'a [Arc<Turn>], step: &'a AgentStep) -> Next<'a> {
    if let Some(Turn::InputRequired { question, .. }) = talk.last().map(|turn| &**turn) {
        return Next::Input(question);
    }
    let Some((asked, since)) = last_round(talk) else { return Next::Agent };
    let answered = since.iter().filter(|turn| matches!(***turn, Turn::ToolAnswered { .. })).count();
    let Some(call) = asked.get(answered) else { return Next::Agent };
    let is_allowed = matches!(talk.last().map(|turn| &**turn), Some(Turn::ToolAllowed { .. }));
    match step.tools.iter().find(|tool| tool.wire_name() == call.name) {
        None => Next::NoSuchTool(call),
        Some(tool) if tool.approvers.is_some() && !is_allowed => Next::Approval(call, tool),
        Some(tool) => Next::Tool(call, tool),
    }
}

/// The task that an agent works on, or asked for more with.
pub fn task(talk: &[Arc<Turn>]) -> Option<&RemoteTask> {
    talk.iter().rev().find_map(|turn| match &**turn {
        Turn::TaskBegun { task, .. } | Turn::InputRequired { task, .. } => Some(task),
        _ => None,
    })
}

/// How often the model has asked for tools.
pub fn rounds(talk: &[Arc<Turn>]) -> u32 {
    talk.iter().filter(|turn| matches!(***turn, Turn::ToolsAsked { .. })).count() as u32
}

/// Whether somebody is waited for: for leave to call a tool, or for the answer to the agent's question.
pub fn waits_for_somebody(talk: &[Arc<Turn>], step: &AgentStep) -> bool {
    matches!(next(talk, step), Next::Approval(..) | Next::Input(_))
}

/// Whether the agent was told already that its answer does not fit.
pub fn was_refused(talk: &[Arc<Turn>]) -> bool {
    talk.iter().any(|turn| matches!(**turn, Turn::AnswerRefused { .. }))
}

/// The last tool calls that were asked for, and what came since.
fn last_round(talk: &[Arc<Turn>]) -> Option<(&[ToolAsked], &[Arc<Turn>])> {
    talk.iter().enumerate().rev().find_map(|(place, turn)| match &**turn {
        Turn::ToolsAsked { calls, .. } => Some((calls.as_slice(), &talk[place + 1..])),
        _ => None,
    })
}

impl Turn {
    /// How the call went that made it.
    pub fn measured(&self) -> Option<&Measured> {
        match self {
            Self::ToolsAsked { measured, .. } | Self::AnswerRefused { measured, .. } => Some(measured),
            Self::ToolAnswered { measured, .. } => measured.as_ref(),
            _ => None,
        }
    }

    /// A tool call that was not made, and why.
    pub fn refusal(code: &str, message: impl Into<String>) -> Self {
        let answer = ToolAnswer::Error { code: code.to_owned(), message: message.into() };
        Self::ToolAnswered { answer, measured: None }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn measured() -> Measured {
        Measured { duration_ms: 1, input_bytes: 1, output_bytes: 1, answerer: None, usage: None, prompt: None }
    }

    fn asked(names: &[&str]) -> Turn {
        let call = |(number, name): (usize, &&str)| ToolAsked {
            id: format!("c{number}"),
            name: (*name).to_owned(),
            arguments: Arc::new(json!({})),
        };
        let calls = names.iter().enumerate().map(call).collect();
        Turn::ToolsAsked { text: String::new(), calls, measured: measured() }
    }

    fn answered() -> Turn {
        Turn::ToolAnswered { answer: ToolAnswer::Output(Arc::new(json!(1))), measured: Some(measured()) }
    }

    fn step(tools: &[(&str, bool)]) -> AgentStep {
        let tool = |(name, approve): &(&str, bool)| AgentTool {
            tool_name: (*name).to_owned(),
            plugin: None,
            version: None,
            approvers: approve.then(|| vec!["admin".to_owned()]),
        };
        AgentStep { tools: tools.iter().map(tool).collect(), ..AgentStep::new("a", "m") }
    }

    fn told(talk: &[Arc<Turn>], step: &AgentStep) -> String {
        match next(talk, step) {
            Next::Agent => "agent".to_owned(),
            Next::Tool(call, tool) => format!("call {} {}", call.id, tool.tool_name),
            Next::Approval(call, _) => format!("ask for {}", call.id),
            Next::NoSuchTool(call) => format!("no {}", call.name),
            Next::Input(question) => format!("input {question}"),
        }
    }

    #[test]
    fn tools_are_called_one_after_the_other_and_then_the_agent_again() {
        let step = step(&[("text.slugify", false), ("mail.send", true)]);
        assert_eq!(told(&[], &step), "agent");
        let mut talk = vec![Arc::new(asked(&["text_slugify", "mail_send", "other"]))];
        assert_eq!(told(&talk, &step), "call c0 text.slugify");
        talk.push(Arc::new(answered()));
        assert_eq!(told(&talk, &step), "ask for c1");
        talk.push(Arc::new(Turn::ToolAllowed { by: "ann".into(), note: None }));
        assert_eq!(told(&talk, &step), "call c1 mail.send");
        talk.push(Arc::new(answered()));
        assert_eq!(told(&talk, &step), "no other");
        talk.push(Arc::new(Turn::refusal("tool.unknown", "no")));
        assert_eq!(told(&talk, &step), "agent");
        assert_eq!(rounds(&talk), 1);
        // Each call that needs it is allowed by itself.
        let allowed = Turn::ToolAllowed { by: "ann".into(), note: None };
        talk.extend([asked(&["mail_send", "mail_send"]), allowed, answered()].map(Arc::new));
        assert_eq!(told(&talk, &step), "ask for c1");
    }

    #[test]
    fn a_question_waits_for_its_answer() {
        let task = RemoteTask { agent_id: "a".into(), id: "t".into(), turns: 1, context_id: None };
        let step = step(&[]);
        let mut talk = vec![Arc::new(Turn::InputRequired { task, question: "Which?".into() })];
        assert_eq!(told(&talk, &step), "input Which?");
        talk.push(Arc::new(Turn::InputGiven { input: Arc::new(json!("that")), by: "ann".into() }));
        assert_eq!(told(&talk, &step), "agent");
    }

    #[test]
    fn a_turn_reads_back_what_it_wrote() {
        for turn in [asked(&["a"]), answered(), Turn::refusal("tool.trap", "it fell")] {
            let text = serde_json::to_string(&turn).unwrap();
            assert_eq!(serde_json::from_str::<Turn>(&text).unwrap(), turn, "{text}");
        }
    }
}
