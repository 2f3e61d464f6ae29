//! What an agent is configured to be, and how the text it answers becomes a value.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::duration;
use crate::fault::{FAULTS_MAX, Fault};
use crate::json::is_too_deep;

mod read;

/// Ids stand in URLs, headers and log lines.
pub const AGENT_ID_CHARS_MAX: usize = 64;
/// A name fits on a line.
pub const DISPLAY_NAME_CHARS_MAX: usize = 200;
/// Longer than any model's name, with its registry and tag.
pub const MODEL_NAME_CHARS_MAX: usize = 200;
/// Leaves room for the protocol's own path within what servers take.
pub const ENDPOINT_BYTES_MAX: usize = 2_048;
/// Several times the longest prompts in use; what is larger belongs into the message.
pub const SYSTEM_PROMPT_CHARS_MAX: usize = 100_000;
/// More than models answer at once today.
pub const OUTPUT_TOKENS_MAX: u64 = 1_000_000;
/// The range that the chat completions protocol knows.
pub const TEMPERATURE_MAX: f64 = 2.0;
/// An attempt holds a connection all the time; work that takes longer is not one call.
pub const AGENT_TIMEOUT_MAX: Duration = Duration::from_secs(60 * 60);

/// In bytes of a header's name that carries a secret.
pub const AUTH_HEADER_BYTES_MAX: usize = 64;
/// In bytes of a secret's name.
pub const SECRET_NAME_BYTES_MAX: usize = 64;
const AUTHORIZATION: &str = "authorization";

/// An agent that is reached over HTTP. The JSON text of this is what a digest of the configuration is taken of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentConfig {
    /// Kebab-case, chosen by the caller.
    pub id: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What is spoken with it.
    pub protocol: AgentProtocol,
    /// Its absolute `http` or `https` URL; where its card is found, if it speaks A2A.
    pub endpoint: String,
    /// Which model answers, and how.
    #[serde(default, skip_serializing_if = "ModelSettings::is_empty")]
    pub model: ModelSettings,
    /// How it knows its caller; by nothing where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AgentAuth>,
    /// The template of its system prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_prompt_template: Option<String>,
    /// Bounds of its own.
    #[serde(default, skip_serializing_if = "AgentLimits::is_empty")]
    pub limits: AgentLimits,
}

/// What is spoken with an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AgentProtocol {
    /// Chat completions: `POST {endpoint}/chat/completions`.
    Openai,
    /// Messages: `POST {endpoint}/messages`.
    Anthropic,
    /// Agent2Agent, as its card says: `GET {endpoint}/.well-known/agent-card.json`, or the endpoint itself where it ends in `.json`.
    A2a,
    /// Plain JSON: `POST {endpoint}`.
    Http,
}

/// How an agent knows its caller: by a header with a secret, whose value comes from the secret store at the moment of the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentAuth {
    /// The header's name in lower case; that of the protocol where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The secret's name.
    pub secret: String,
}

impl AgentAuth {
    /// Name and value of the header. An `authorization` is of the scheme `Bearer` (RFC 6750) unless the secret names one itself.
    pub fn header(&self, protocol: AgentProtocol, secret: &str) -> (&str, String) {
        let usual = match protocol {
            AgentProtocol::Anthropic => "x-api-key",
            AgentProtocol::Openai | AgentProtocol::A2a | AgentProtocol::Http => AUTHORIZATION,
        };
        let name = self.header.as_deref().unwrap_or(usual);
        let is_bare = name == AUTHORIZATION && !secret.contains(' ');
        (name, if is_bare { format!("Bearer {secret}") } else { secret.to_owned() })
    }
}

/// Which model answers, and how; of an agent, or of one step that wants it otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelSettings {
    /// Who serves the model, for people and statistics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The model's name, as its server knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_id: Option<String>,
    /// From 0 to [`TEMPERATURE_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The most tokens of one answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
}

/// Bounds on the calls of one agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentLimits {
    /// Bound on one attempt, where the step does not set a shorter one.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

impl AgentConfig {
    /// Checks a configuration as a caller sent it.
    ///
    /// # Errors
    /// Every fault at once, up to [`FAULTS_MAX`], each with its JSON pointer.
    pub fn check(value: &Value) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let config = read::read_agent(value, &mut faults);
        faults.truncate(FAULTS_MAX);
        match config {
            Some(config) if faults.is_empty() => Ok(config),
            _ => Err(faults),
        }
    }
}

impl ModelSettings {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether anything is set that the agent would have to do, rather than what is only told of it.
    pub fn asks_for_anything(&self) -> bool {
        self.model_id.is_some() || self.temperature.is_some() || self.max_output_tokens.is_some()
    }

    /// These settings with those of `over` in their place where it has any.
    #[must_use]
    pub fn overridden_by(&self, over: &Self) -> Self {
        let over = over.clone();
        Self {
            provider: over.provider.or_else(|| self.provider.clone()),
            model_id: over.model_id.or_else(|| self.model_id.clone()),
            temperature: over.temperature.or(self.temperature),
            max_output_tokens: over.max_output_tokens.or(self.max_output_tokens),
        }
    }
}

impl AgentLimits {
    /// Whether nothing is bounded.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The value of an agent's text: what its JSON says where the whole text, or the one code fence it consists of, is a JSON
/// object or array that is not too deep; else the text itself.
pub fn answer_value(text: &str) -> Value {
    let whole = text.trim();
    match serde_json::from_str(fence_content(whole).unwrap_or(whole)) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) if !is_too_deep(&value) => value,
        _ => Value::String(text.to_owned()),
    }
}

/// What stands between the first and the last line of a text that begins and ends with a fence.
fn fence_content(text: &str) -> Option<&str> {
    let (info, rest) = text.strip_prefix("```")?.split_once('\n')?;
    let content = rest.strip_suffix("```")?;
    (!info.contains('`')).then_some(content)
}

#[cfg(test)]
mod tests;
