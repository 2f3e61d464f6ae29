//! Agents: what is sent and answered. What a configuration may say is `domain::agent`'s to judge, all faults at once.

mod handlers;

use armilla_domain::agent::AgentConfig;
use armilla_engine::AgentView;
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use self::handlers::*;
use crate::wire::Timestamp;

/// The most that a list of agents gives at once.
pub const AGENTS_PAGE_MAX: u32 = 100;

/// An agent that is reached over HTTP.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Agent)]
pub struct AgentBody {
    /// How it is configured.
    #[serde(flatten)]
    #[schema(value_type = AgentConfigSchema)]
    pub config: AgentConfig,
    /// Which version of the configuration this is, from 1.
    #[schema(minimum = 1)]
    pub version: i32,
    /// When the agent was registered.
    pub created_at: Timestamp,
    /// When this version was made.
    pub updated_at: Timestamp,
}

impl From<AgentView> for AgentBody {
    fn from(AgentView { config, version, created_at, updated_at }: AgentView) -> Self {
        Self { config, version, created_at: created_at.into(), updated_at: updated_at.into() }
    }
}

/// One agent.
#[derive(Debug, Serialize, ToSchema)]
pub struct AgentResponse {
    /// The agent.
    pub agent: AgentBody,
}

/// A page of agents, by id.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentsResponse {
    /// The agents.
    pub agents: Vec<AgentBody>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

// The domain knows nothing of OpenAPI, so the schema of its configuration stands here. A test compares.

/// How an agent is configured.
#[derive(ToSchema)]
#[schema(as = AgentConfig, rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema, never a value")]
pub struct AgentConfigSchema {
    /// Kebab-case, chosen by the caller.
    #[schema(max_length = 64, pattern = "^[a-z0-9]+(-[a-z0-9]+)*$", example = "research-agent")]
    id: String,
    /// For people.
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    display_name: Option<String>,
    /// What is spoken with it; what `model.provider` speaks where absent.
    #[schema(nullable = false)]
    protocol: Option<AgentProtocolSchema>,
    /// Its absolute URL, without the protocol's own path; that of `model.provider` where absent.
    #[schema(max_length = 2048, format = "uri", nullable = false, example = "http://127.0.0.1:11434/v1")]
    endpoint: Option<String>,
    /// Which model answers, and how.
    #[schema(nullable = false)]
    model: Option<ModelSchema>,
    /// How it knows its caller.
    #[schema(nullable = false)]
    auth: Option<AuthSchema>,
    /// The template of its system prompt: the newest version's. Another one makes the next version.
    #[schema(min_length = 1, max_length = 100_000, nullable = false)]
    system_prompt_template: Option<String>,
    /// The label whose prompt version the agent goes by; by the newest one where absent.
    #[schema(min_length = 1, max_length = 64, nullable = false, example = "production")]
    prompt_label: Option<String>,
    /// Bounds of its own.
    #[schema(nullable = false)]
    limits: Option<LimitsSchema>,
}

/// What is spoken with an agent: chat completions, messages, or plain JSON.
#[derive(ToSchema)]
#[schema(as = AgentProtocol, rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema, never a value")]
enum AgentProtocolSchema {
    Openai,
    Anthropic,
    Http,
}

/// A header with a secret, whose value comes from the secret store at the moment of the call.
#[derive(ToSchema)]
#[schema(as = AgentAuth, rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema, never a value")]
struct AuthSchema {
    /// The header's name in lower case. Where absent, `authorization` with `Bearer` before the value; `x-api-key` with `anthropic`.
    #[schema(min_length = 1, max_length = 64, nullable = false, example = "x-api-key")]
    header: Option<String>,
    /// The secret's name.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$", example = "models.key")]
    secret: String,
}

/// Which model answers, and how.
#[derive(ToSchema)]
#[schema(as = AgentModel, rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema, never a value")]
pub struct ModelSchema {
    /// Who serves the model: `openai`, `claude`, `gemini`, `grok`, `groq`, `mistral`, `openrouter`, `ollama` and `vllm` say what is spoken
    /// and where, too.
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    provider: Option<String>,
    /// The model's name, as its server knows it.
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    model_id: Option<String>,
    #[schema(minimum = 0, maximum = 2, nullable = false)]
    temperature: Option<f64>,
    /// The most tokens of one answer.
    #[schema(minimum = 1, maximum = 1_000_000, nullable = false)]
    max_output_tokens: Option<u64>,
}

/// Bounds on the calls of an agent.
#[derive(ToSchema)]
#[schema(as = AgentLimits, rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema, never a value")]
struct LimitsSchema {
    /// Bound on one attempt: a duration such as `30s`, at most `1h`.
    #[schema(nullable = false, example = "30s")]
    timeout: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn a_configuration_is_documented_as_the_domain_takes_and_gives_it() {
        let full = json!({
            "id": "writer-agent", "displayName": "Writer", "protocol": "openai", "endpoint": "https://models.example.com/v1",
            "model": { "provider": "local", "modelId": "small", "temperature": 0.2, "maxOutputTokens": 500 },
            "auth": { "header": "x-api-key", "secret": "models.key" }, "systemPromptTemplate": "You write.",
            "promptLabel": "production", "limits": { "timeout": "30s" },
        });
        let config = AgentConfig::check(&full).unwrap();
        assert_eq!(json!(config), full);
        let mut referenced = Vec::new();
        AgentConfigSchema::schemas(&mut referenced);
        let referenced: Map<String, Value> = referenced.into_iter().map(|(name, part)| (name, json!(part))).collect();
        let mut schema = json!(AgentConfigSchema::schema());
        schema["additionalProperties"] = json!(false);
        schema["components"] = json!({ "schemas": referenced });
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let faults: Vec<_> = validator.iter_errors(&full).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{faults:?}");
        assert!(validator.is_valid(&json!({ "id": "a", "protocol": "http", "endpoint": "http://h" })));
        assert!(!validator.is_valid(&json!({ "id": "A b", "protocol": "http", "endpoint": "http://h" })));
    }
}
