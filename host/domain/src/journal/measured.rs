//! What is known of a call beside what it gave.

use serde::{Deserialize, Serialize};

use crate::call::{Answerer, PromptUse};

/// How long a call took and how much went in and out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// Wall-clock milliseconds of the attempt.
    pub duration_ms: u64,
    /// Bytes of the input as JSON.
    pub input_bytes: u64,
    /// Bytes of the output as JSON.
    pub output_bytes: u64,
    /// Who answered, exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answerer: Option<Answerer>,
    /// Tokens, where an agent said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The system prompt, where an agent had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Box<PromptUse>>,
}

/// Tokens of one agent call, as the agent counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Read by the model.
    pub input_tokens: u64,
    /// Written by the model.
    pub output_tokens: u64,
    /// What that cost, in millionths of a US dollar, by the prices that were known at the time of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_micros: Option<u64>,
}

impl Usage {
    /// Both together. What has no price adds none.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let cost_micros = match (self.cost_micros, other.cost_micros) {
            (None, None) => None,
            (one, two) => Some(one.unwrap_or(0).saturating_add(two.unwrap_or(0))),
        };
        Self {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            cost_micros,
        }
    }
}
