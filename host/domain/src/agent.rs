//! What an agent is configured to be, and how the text it answers becomes a value.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::duration::{self, parse_duration};
use crate::fault::{FAULTS_MAX, Fault, pointer};
use crate::json::is_too_deep;
use crate::prompt::is_label;

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
/// Headers that say what a call is, and how its bytes are read.
const HEADERS_OF_OURS: [&str; 13] = [
    "accept",
    "anthropic-version",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "idempotency-key",
    "te",
    "traceparent",
    "transfer-encoding",
    "upgrade",
];

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
    /// Its absolute `http` or `https` URL.
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
}

/// What is spoken with an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AgentProtocol {
    /// Chat completions: `POST {endpoint}/chat/completions`.
    Openai,
    /// Messages: `POST {endpoint}/messages`.
    Anthropic,
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
            AgentProtocol::Openai | AgentProtocol::Http => AUTHORIZATION,
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
        let config = read_agent(value, &mut faults);
        faults.truncate(FAULTS_MAX);
        match config {
            Some(config) if faults.is_empty() => Ok(config),
            _ => Err(faults),
        }
    }
}

impl ModelSettings {
    /// Checks settings as a caller sent them, on their own.
    ///
    /// # Errors
    /// Every fault at once, up to [`FAULTS_MAX`], each with its JSON pointer.
    pub fn check(value: &Value) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let settings = Fields::of(value, String::new(), &mut faults).map(read_model);
        settings.filter(|_| faults.is_empty()).ok_or(faults)
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
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

const FIELDS: [&str; 9] =
    ["id", "displayName", "protocol", "endpoint", "model", "auth", "systemPromptTemplate", "promptLabel", "limits"];
const PROTOCOLS_NOT_YET: [&str; 1] = ["a2a"];
const LIMITS_NOT_YET: [(&str, &str); 2] = [
    ("maxConcurrency", "this version does not bound how many calls of an agent run at once"),
    ("requestsPerMinute", "this version does not bound how often an agent is called"),
];

/// Providers whose name alone says what is spoken and where, as their documentation states it.
const PROVIDERS: [(&str, AgentProtocol, &str); 9] = [
    ("openai", AgentProtocol::Openai, "https://api.openai.com/v1"),
    ("claude", AgentProtocol::Anthropic, "https://api.anthropic.com/v1"),
    ("gemini", AgentProtocol::Openai, "https://generativelanguage.googleapis.com/v1beta/openai"),
    ("grok", AgentProtocol::Openai, "https://api.x.ai/v1"),
    ("groq", AgentProtocol::Openai, "https://api.groq.com/openai/v1"),
    ("mistral", AgentProtocol::Openai, "https://api.mistral.ai/v1"),
    ("openrouter", AgentProtocol::Openai, "https://openrouter.ai/api/v1"),
    ("ollama", AgentProtocol::Openai, "http://127.0.0.1:11434/v1"),
    ("vllm", AgentProtocol::Openai, "http://127.0.0.1:8000/v1"),
];
/// Providers that speak something else, and how they are reached nevertheless.
const PROVIDERS_NOT_SERVED: [(&str, &str); 1] = [(
    "bedrock",
    "it wants requests that are signed for AWS; put a gateway such as LiteLLM in front, with `protocol` and `endpoint` of its own",
)];

/// What a provider's name says of an agent that does not say it itself.
fn preset(fields: &mut Fields<'_>) -> Option<(AgentProtocol, &'static str)> {
    let says_all = fields.object.contains_key("protocol") && fields.object.contains_key("endpoint");
    let provider = fields.object.get("model")?.get("provider")?.as_str().filter(|_| !says_all)?.to_owned();
    if let Some((_, why)) = PROVIDERS_NOT_SERVED.iter().find(|(name, _)| *name == provider) {
        let detail = format!("`{provider}` cannot be reached by its name alone: {why}");
        fields.faults.push(Fault::new("/model/provider", "agent.unsupported", detail));
    }
    let known = PROVIDERS.iter().find(|(name, ..)| *name == provider)?;
    // Whoever speaks something else with it does so at another place.
    let speaks_so = fields.object.get("protocol").is_none_or(|spoken| *spoken == serde_json::json!(known.1));
    speaks_so.then_some((known.1, known.2))
}

fn read_agent(value: &Value, faults: &mut Vec<Fault>) -> Option<AgentConfig> {
    let mut fields = Fields::of(value, String::new(), faults)?;
    fields.only(&FIELDS, &[]);
    let id = fields.required_text("id", AGENT_ID_CHARS_MAX);
    if id.as_deref().is_some_and(|id| !is_kebab_case(id)) {
        fields.fault("id", "agent.id", "an id is words of a to z and 0 to 9, joined by single hyphens");
    }
    let display_name = fields.text("displayName", DISPLAY_NAME_CHARS_MAX);
    let preset = preset(&mut fields);
    let protocol = match preset {
        Some((protocol, _)) if !fields.object.contains_key("protocol") => Some(protocol),
        _ => fields.protocol(),
    };
    let endpoint = match preset {
        Some((_, endpoint)) if !fields.object.contains_key("endpoint") => Some(endpoint.to_owned()),
        _ => fields.required_text("endpoint", ENDPOINT_BYTES_MAX),
    };
    if let Some(wrong) = endpoint.as_deref().and_then(endpoint_fault) {
        fields.fault("endpoint", "agent.endpoint", wrong);
    }
    let system_prompt_template = fields.text("systemPromptTemplate", SYSTEM_PROMPT_CHARS_MAX);
    let prompt_label = fields.value(
        "promptLabel",
        "a label: 1 to 64 letters, digits and signs, without blanks at its ends",
        |value| value.as_str().filter(|label| is_label(label)).map(str::to_owned),
    );
    let model = fields.inner("model").map(read_model).unwrap_or_default();
    let limits = fields.inner("limits").map(read_limits).unwrap_or_default();
    let auth = fields.inner("auth").and_then(read_auth);
    if protocol == Some(AgentProtocol::Anthropic) && model.model_id.is_none() {
        fields.fault("model", "agent.missing", "the protocol `anthropic` wants a `modelId`");
    }
    Some(AgentConfig {
        id: id?,
        display_name,
        protocol: protocol?,
        endpoint: endpoint?,
        model,
        auth,
        system_prompt_template,
        prompt_label,
        limits,
    })
}

fn read_auth(mut fields: Fields<'_>) -> Option<AgentAuth> {
    fields.only(&["header", "secret"], &[]);
    let header =
        fields.value("header", "a header's name in lower case that says who calls, such as `x-api-key`", |value| {
            let name = value.as_str()?;
            let token = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
            let ours = HEADERS_OF_OURS.contains(&name) || name.starts_with("x-armilla-");
            (token && !ours && (1..=AUTH_HEADER_BYTES_MAX).contains(&name.len())).then(|| name.to_owned())
        });
    if !fields.object.contains_key("secret") {
        fields.fault(
            "secret",
            "agent.missing",
            "`secret` is missing: the name under which `PUT /secrets/:name` keeps the value",
        );
    }
    let secret = fields.value("secret", "a secret's name: 1 to 64 of A-Z a-z 0-9 - _ .", |value| {
        let name = value.as_str()?;
        let good = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        (good && (1..=SECRET_NAME_BYTES_MAX).contains(&name.len())).then(|| name.to_owned())
    });
    Some(AgentAuth { header, secret: secret? })
}

fn read_model(mut fields: Fields<'_>) -> ModelSettings {
    fields.only(&["provider", "modelId", "temperature", "maxOutputTokens"], &[]);
    ModelSettings {
        provider: fields.text("provider", MODEL_NAME_CHARS_MAX),
        model_id: fields.text("modelId", MODEL_NAME_CHARS_MAX),
        temperature: fields.value("temperature", "a number from 0 to 2", |value| {
            value.as_f64().filter(|number| (0.0..=TEMPERATURE_MAX).contains(number))
        }),
        max_output_tokens: fields.value("maxOutputTokens", "a whole number from 1 to 1,000,000", |value| {
            value.as_u64().filter(|number| (1..=OUTPUT_TOKENS_MAX).contains(number))
        }),
    }
}

fn read_limits(mut fields: Fields<'_>) -> AgentLimits {
    fields.only(&["timeout"], &LIMITS_NOT_YET);
    let timeout = fields.value("timeout", "a duration from `1ms` to `1h`, such as `30s`", |value| {
        let timeout = parse_duration(value.as_str()?).ok()?;
        (!timeout.is_zero() && timeout <= AGENT_TIMEOUT_MAX).then_some(timeout)
    });
    AgentLimits { timeout }
}

fn is_kebab_case(id: &str) -> bool {
    id.split('-').all(|word| {
        !word.is_empty() && word.bytes().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
    })
}

fn endpoint_fault(text: &str) -> Option<&'static str> {
    let Ok(url) = url::Url::parse(text) else {
        return Some("an endpoint is an absolute URL, such as `https://host/v1`");
    };
    if !matches!(url.scheme(), "http" | "https") {
        Some("an endpoint starts with `http://` or `https://`")
    } else if !url.username().is_empty() || url.password().is_some() {
        Some("an endpoint holds no user name or password")
    } else if url.fragment().is_some() {
        Some("an endpoint has no fragment")
    } else {
        None
    }
}

/// One object of the configuration under examination.
struct Fields<'a> {
    object: &'a Map<String, Value>,
    place: String,
    faults: &'a mut Vec<Fault>,
}

impl<'a> Fields<'a> {
    fn of(value: &'a Value, place: String, faults: &'a mut Vec<Fault>) -> Option<Self> {
        match value.as_object() {
            Some(object) => Some(Self { object, place, faults }),
            None => {
                faults.push(Fault::new(place, "agent.type", "must be an object"));
                None
            }
        }
    }

    fn inner(&mut self, key: &str) -> Option<Fields<'_>> {
        Fields::of(self.object.get(key)?, pointer(&self.place, key), self.faults)
    }

    fn fault(&mut self, key: &str, code: &str, detail: impl Into<String>) {
        self.faults.push(Fault::new(pointer(&self.place, key), code, detail));
    }

    fn only(&mut self, known: &[&str], not_yet: &[(&str, &str)]) {
        for key in self.object.keys() {
            if let Some((_, why)) = not_yet.iter().find(|(name, _)| name == key) {
                self.fault(key, "agent.unsupported", format!("`{key}` is not supported by this version: {why}"));
            } else if !known.contains(&key.as_str()) {
                self.fault(key, "agent.unknown_field", format!("there is no field `{key}` here"));
            }
        }
    }

    fn value<T>(&mut self, key: &str, expected: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let found = read(self.object.get(key)?);
        if found.is_none() {
            self.fault(key, "agent.value", format!("`{key}` is {expected}"));
        }
        found
    }

    fn text(&mut self, key: &str, chars_max: usize) -> Option<String> {
        self.value(key, &format!("text of 1 to {chars_max} characters"), |value| {
            let text = value.as_str()?;
            // What no column of text can hold is no text.
            let fits = !text.is_empty() && text.chars().count() <= chars_max && !text.contains('\0');
            fits.then(|| text.to_owned())
        })
    }

    fn required_text(&mut self, key: &str, chars_max: usize) -> Option<String> {
        if !self.object.contains_key(key) {
            self.fault(key, "agent.missing", format!("`{key}` is missing"));
        }
        self.text(key, chars_max)
    }

    fn protocol(&mut self) -> Option<AgentProtocol> {
        let name = self.required_text("protocol", MODEL_NAME_CHARS_MAX)?;
        match name.as_str() {
            "openai" => return Some(AgentProtocol::Openai),
            "anthropic" => return Some(AgentProtocol::Anthropic),
            "http" => return Some(AgentProtocol::Http),
            known if PROTOCOLS_NOT_YET.contains(&known) => {
                self.fault("protocol", "agent.unsupported", format!("`{known}` is not supported by this version"));
            }
            _ => self.fault("protocol", "agent.value", "`protocol` is `openai`, `anthropic` or `http`"),
        }
        None
    }
}

#[cfg(test)]
mod tests;
