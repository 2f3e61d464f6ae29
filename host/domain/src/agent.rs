//! What an agent is configured to be, and how the text it answers becomes a value.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::duration;
use crate::fault::{FAULTS_MAX, Fault};
use crate::json::is_too_deep;

mod read;

pub(crate) use read::is_kebab_case;

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

/// Calls of one agent under way at once that a configuration may allow: far more than servers of models take.
pub const AGENT_CONCURRENCY_MAX: u64 = 10_000;
/// Calls of one agent in a minute that a configuration may allow.
pub const REQUESTS_PER_MINUTE_MAX: u64 = 1_000_000;
/// US dollars for a million tokens: far beyond what any model costs.
pub const TOKEN_PRICE_MAX: f64 = 1_000_000.0;
/// Bytes of a mapped request as JSON, and of the expression that reads its answer.
pub const MAPPING_BYTES_MAX: usize = 64 * 1024;

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
    /// The label whose prompt version is in effect; the newest version is where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_label: Option<String>,
    /// Bounds of its own.
    #[serde(default, skip_serializing_if = "AgentLimits::is_empty")]
    pub limits: AgentLimits,
    /// How it is asked for JSON; what [`AgentConfig::structured_output`] says where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structured_output: Option<StructuredOutput>,
    /// The agent that is asked where this one fails in a way that may pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_agent_id: Option<String>,
    /// What its tokens cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<TokenPrice>,
    /// With the protocol `http`: what is sent, with templates in strings of any depth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Value>,
    /// With the protocol `http`: the expression that gives the answer's value out of its `body`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
}

/// How an agent is asked for an answer that is JSON of a certain form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StructuredOutput {
    /// It takes a schema: chat completions' `response_format` of the type `json_schema`.
    Schema,
    /// It takes the wish for JSON, and is told the schema in words: `response_format` of the type `json_object`.
    Json,
    /// It is told in words.
    None,
}

/// What tokens cost, in US dollars for a million of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenPrice {
    /// Those that the model reads.
    pub input_per_million: f64,
    /// Those that it writes.
    pub output_per_million: f64,
}

impl TokenPrice {
    /// What so many tokens cost, in millionths of a dollar.
    pub fn micros(&self, input_tokens: u64, output_tokens: u64) -> u64 {
        // A dollar for a million is a millionth for one.
        let micros = self.input_per_million * input_tokens as f64 + self.output_per_million * output_tokens as f64;
        micros.round() as u64
    }
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
    /// How many calls of it may be under way at once, on all hosts together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<u32>,
    /// How many calls of it may begin within a minute, on all hosts together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
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

    /// How it is asked for JSON.
    pub fn structured_output(&self) -> StructuredOutput {
        let usual = match (self.protocol, self.model.provider.as_deref()) {
            // Only some of its models take a schema.
            (AgentProtocol::Openai, Some("groq")) => StructuredOutput::Json,
            (AgentProtocol::Openai, _) => StructuredOutput::Schema,
            _ => StructuredOutput::None,
        };
        self.structured_output.unwrap_or(usual)
    }
}

impl ModelSettings {
    /// Reads what one step wants otherwise: all but the provider, which says where an agent is.
    ///
    /// # Errors
    /// Every fault, with pointers into these settings.
    pub fn check_for_step(value: &Value) -> Result<Self, Vec<Fault>> {
        read::step_model(value)
    }

    /// Checks settings as a caller sent them, on their own.
    ///
    /// # Errors
    /// Every fault at once, up to [`FAULTS_MAX`], each with its JSON pointer.
    pub fn check(value: &Value) -> Result<Self, Vec<Fault>> {
        read::model(value)
    }

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

/// An even pace with room for a few calls at once, so that no minute has more than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How far calls are apart in the long run.
    pub interval: Duration,
    /// How much earlier than that one may come.
    pub burst: Duration,
}

impl Pace {
    /// The pace of so many calls in any minute: a tenth of them may come at once, the others follow evenly (GCRA).
    pub fn of(requests_per_minute: u32) -> Self {
        let most = requests_per_minute.max(1);
        let at_once = (most / 10).max(1);
        let interval = Duration::from_secs(60) / (most - at_once + 1);
        Self { interval, burst: interval * (at_once - 1) }
    }
}

impl AgentLimits {
    /// How fast calls may follow each other, where that is bounded.
    pub fn pace(&self) -> Option<Pace> {
        self.requests_per_minute.map(Pace::of)
    }

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

/// What the whole text, or the one code fence it consists of, is as JSON.
///
/// # Errors
/// Why it is none, without a word of it.
pub fn json_of_text(text: &str) -> Result<Value, String> {
    let whole = text.trim();
    let value: Value = serde_json::from_str(fence_content(whole).unwrap_or(whole))
        .map_err(|error| format!("line {}, column {}", error.line(), error.column()))?;
    if is_too_deep(&value) { Err("it nests too deep".to_owned()) } else { Ok(value) }
}

/// What stands between the first and the last line of a text that begins and ends with a fence.
fn fence_content(text: &str) -> Option<&str> {
    let (info, rest) = text.strip_prefix("```")?.split_once('\n')?;
    let content = rest.strip_suffix("```")?;
    (!info.contains('`')).then_some(content)
}

#[cfg(test)]
mod tests;
