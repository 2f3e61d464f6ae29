//! What an agent answered.

use armilla_domain::agent::answer_value;
use armilla_domain::json::is_too_deep;
use armilla_domain::talk::ToolAsked;
use serde_json::{Map, Value};

/// What an agent answered.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentAnswer {
    /// As text, for people.
    pub text: String,
    /// As a value, for the workflow's variables.
    pub value: Value,
    /// The tools that it asks for before it can answer.
    pub calls: Vec<ToolAsked>,
    /// What it cost, where the agent says so.
    pub usage: Option<TokenUsage>,
    /// The model that answered, where the agent says so.
    pub model: Option<String>,
}

/// Tokens of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TokenUsage {
    /// Tokens read.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
}

impl AgentAnswer {
    /// A text and its value.
    pub fn of_text(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { value: answer_value(&text), text, calls: Vec::new(), usage: None, model: None }
    }
}

/// More tokens than any call has: what says more counts something else.
const TOKENS_MAX: u64 = 1_000_000_000;

/// Tokens as an agent counts them, by the names that its protocol has for them. An odd account does not spoil the answer.
pub(crate) fn usage_of(usage: &Value, input: &str, output: &str) -> Option<TokenUsage> {
    let tokens = |name: &str| usage[name].as_u64().filter(|tokens| *tokens <= TOKENS_MAX);
    tokens(input).zip(tokens(output)).map(|(input, output)| TokenUsage { input, output })
}

/// What a model gives a tool: JSON as text, or the text itself where it is none, for the tool to refuse. Nothing is an empty object.
pub(crate) fn arguments_of(text: &str) -> Value {
    if text.trim().is_empty() {
        return Value::Object(Map::new());
    }
    match serde_json::from_str(text) {
        Ok(value) if !is_too_deep(&value) => value,
        _ => Value::String(text.to_owned()),
    }
}
