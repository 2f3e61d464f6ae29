//! What was said so far, as a model is to be told it.

use std::sync::Arc;

use armilla_domain::talk::{ToolAnswer, ToolAsked, Turn};
use serde_json::{Value, json};

/// One message.
pub(crate) enum Said<'a> {
    /// The model asked for tools.
    ToolCalls {
        /// What it said beside that.
        text: &'a str,
        /// Which, with what.
        calls: &'a [ToolAsked],
    },
    /// What became of one of them.
    ToolResult {
        /// The model's id of the call.
        id: &'a str,
        text: String,
        failed: bool,
    },
    /// The model said this.
    Agent(&'a str),
    /// The user said this.
    User(String),
}

/// The turns as messages, in order.
pub(crate) fn said(talk: &[Arc<Turn>]) -> impl Iterator<Item = Said<'_>> {
    let mut asked: std::slice::Iter<'_, ToolAsked> = [].iter();
    talk.iter().flat_map(move |turn| match &**turn {
        Turn::ToolsAsked { text, calls, .. } => {
            asked = calls.iter();
            vec![Said::ToolCalls { text, calls }]
        }
        Turn::ToolAnswered { answer, .. } => {
            let Some(call) = asked.next() else { return Vec::new() };
            let (text, failed) = match answer {
                ToolAnswer::Output(output) => match &**output {
                    Value::String(text) => (text.clone(), false),
                    value => (value.to_string(), false),
                },
                ToolAnswer::Error { code, message } => {
                    (json!({ "error": { "code": code, "message": message } }).to_string(), true)
                }
            };
            vec![Said::ToolResult { id: &call.id, text, failed }]
        }
        Turn::AnswerRefused { text, why, .. } => vec![Said::Agent(text), Said::User(complaint(why))],
        // These belong to protocols that keep the conversation themselves; and who allowed a call is nothing to its caller.
        Turn::ToolAllowed { .. } | Turn::TaskBegun { .. } | Turn::InputRequired { .. } | Turn::InputGiven { .. } => {
            Vec::new()
        }
    })
}

/// What an agent is told whose answer does not fit.
pub(crate) fn complaint(why: &str) -> String {
    format!("Your answer cannot be used: {why}. Answer again, with the whole JSON value and nothing around it.")
}

/// What a system prompt adds where the protocol has no place for a schema.
pub(crate) fn instruction(schema: &Value) -> String {
    if schema.as_object().is_some_and(serde_json::Map::is_empty) {
        return "Answer with one JSON value and nothing around it.".to_owned();
    }
    format!("Answer with one JSON value and nothing around it. It must fit this JSON Schema:\n{schema}")
}
