//! Reads an agent's configuration as a caller sent it, and finds every fault of it.

use serde_json::{Map, Value};

use super::{
    AGENT_CONCURRENCY_MAX, AGENT_ID_CHARS_MAX, AGENT_TIMEOUT_MAX, AUTH_HEADER_BYTES_MAX, AgentAuth, AgentConfig,
    AgentLimits, AgentProtocol, DISPLAY_NAME_CHARS_MAX, ENDPOINT_BYTES_MAX, MAPPING_BYTES_MAX, MODEL_NAME_CHARS_MAX,
    ModelSettings, OUTPUT_TOKENS_MAX, REQUESTS_PER_MINUTE_MAX, SECRET_NAME_BYTES_MAX, SYSTEM_PROMPT_CHARS_MAX,
    StructuredOutput, TEMPERATURE_MAX, TOKEN_PRICE_MAX, TokenPrice,
};
use crate::duration::parse_duration;
use crate::fault::{Fault, pointer};
use crate::json::{JSON_DEPTH_MAX, is_too_deep};
use crate::prompt::is_label;

/// Headers that say what a call is, and how its bytes are read.
const HEADERS_OF_OURS: [&str; 15] = [
    "a2a-extensions",
    "a2a-version",
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

const FIELDS: [&str; 14] = [
    "id",
    "displayName",
    "protocol",
    "endpoint",
    "model",
    "auth",
    "systemPromptTemplate",
    "promptLabel",
    "limits",
    "structuredOutput",
    "fallbackAgentId",
    "price",
    "request",
    "response",
];

/// Providers whose name alone says what is spoken and where, as their documentation states it.
pub(super) const PROVIDERS: [(&str, AgentProtocol, &str); 9] = [
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

pub(super) fn read_agent(value: &Value, faults: &mut Vec<Fault>) -> Option<AgentConfig> {
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
    if protocol == Some(AgentProtocol::A2a) && model.asks_for_anything() {
        fields.fault(
            "model",
            "agent.unsupported",
            "an agent that speaks `a2a` chooses its model itself: only `provider` may be named",
        );
    }
    let structured_output = fields.value("structuredOutput", "`schema`, `json` or `none`", |value| {
        serde_json::from_value::<StructuredOutput>(value.clone()).ok()
    });
    let fallback_agent_id = fields.text("fallbackAgentId", AGENT_ID_CHARS_MAX);
    if fallback_agent_id.as_deref().is_some_and(|other| !is_kebab_case(other)) {
        fields.fault("fallbackAgentId", "agent.id", "this is the id of another agent");
    }
    if fallback_agent_id.is_some() && fallback_agent_id == id {
        fields.fault("fallbackAgentId", "agent.fallback", "an agent cannot stand in for itself");
    }
    let price = fields.inner("price").and_then(read_price);
    let request = fields.object.get("request").cloned();
    let response = fields.text("response", MAPPING_BYTES_MAX);
    for (key, is_there) in [("request", request.is_some()), ("response", response.is_some())] {
        if is_there && protocol.is_some_and(|protocol| protocol != AgentProtocol::Http) {
            fields.fault(key, "agent.pointless", "only what the protocol `http` sends and reads can be mapped");
        }
    }
    if request.as_ref().is_some_and(|request| !is_too_deep(request) && has_nul(request)) {
        fields.fault("request", "agent.value", "`request` has the character U+0000, which nothing here can keep");
    }
    if request.as_ref().is_some_and(|request| is_too_deep(request) || request.to_string().len() > MAPPING_BYTES_MAX) {
        let detail =
            format!("`request` is JSON of at most {MAPPING_BYTES_MAX} bytes, nested at most {JSON_DEPTH_MAX} deep");
        fields.fault("request", "agent.too_large", detail);
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
        structured_output,
        fallback_agent_id,
        price,
        request,
        response,
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

pub(super) fn model(value: &Value) -> Result<ModelSettings, Vec<Fault>> {
    let mut faults = Vec::new();
    let settings = Fields::of(value, String::new(), &mut faults).map(read_model);
    settings.filter(|_| faults.is_empty()).ok_or(faults)
}

pub(super) fn step_model(value: &Value) -> Result<ModelSettings, Vec<Fault>> {
    let mut faults = Vec::new();
    let Some(mut fields) = Fields::of(value, String::new(), &mut faults) else { return Err(faults) };
    if fields.object.contains_key("provider") {
        fields.fault("provider", "agent.unknown_field", "the agent says who serves its model, not a step");
    }
    let model = read_model(fields);
    if faults.is_empty() { Ok(ModelSettings { provider: None, ..model }) } else { Err(faults) }
}

fn read_limits(mut fields: Fields<'_>) -> AgentLimits {
    fields.only(&["timeout", "maxConcurrency", "requestsPerMinute"], &[]);
    let timeout = fields.value("timeout", "a duration from `1ms` to `1h`, such as `30s`", |value| {
        let timeout = parse_duration(value.as_str()?).ok()?;
        (!timeout.is_zero() && timeout <= AGENT_TIMEOUT_MAX).then_some(timeout)
    });
    let whole = |most: u64| move |value: &Value| value.as_u64().filter(|number| (1..=most).contains(number));
    let max_concurrency =
        fields.value("maxConcurrency", "a whole number from 1 to 10,000", whole(AGENT_CONCURRENCY_MAX));
    let requests_per_minute =
        fields.value("requestsPerMinute", "a whole number from 1 to 1,000,000", whole(REQUESTS_PER_MINUTE_MAX));
    AgentLimits {
        timeout,
        max_concurrency: max_concurrency.map(|number| number as u32),
        requests_per_minute: requests_per_minute.map(|number| number as u32),
    }
}

fn read_price(mut fields: Fields<'_>) -> Option<TokenPrice> {
    let keys = ["inputPerMillion", "outputPerMillion"];
    fields.only(&keys, &[]);
    let [input, output] = keys.map(|key| {
        if !fields.object.contains_key(key) {
            fields.fault(key, "agent.missing", format!("`{key}` is missing"));
        }
        fields.value(key, "US dollars for a million tokens, from 0 to 1,000,000", |value| {
            value.as_f64().filter(|price| (0.0..=TOKEN_PRICE_MAX).contains(price))
        })
    });
    Some(TokenPrice { input_per_million: input?, output_per_million: output? })
}

/// Whether an id is words of a to z and 0 to 9, joined by single hyphens.
pub(crate) fn is_kebab_case(id: &str) -> bool {
    id.split('-').all(|word| {
        !word.is_empty() && word.bytes().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
    })
}

/// Whether a string of it, at any depth, has the character U+0000.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(key, field)| key.contains('\0') || has_nul(field)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

pub(super) fn endpoint_fault(text: &str) -> Option<&'static str> {
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
            "a2a" => return Some(AgentProtocol::A2a),
            "http" => return Some(AgentProtocol::Http),
            _ => self.fault("protocol", "agent.value", "`protocol` is `openai`, `anthropic`, `a2a` or `http`"),
        }
        None
    }
}
