//! Agents: what is sent and answered. What a configuration may say is `domain::agent`'s to judge, all faults at once.

mod handlers;
mod trial;

use armilla_domain::agent::AgentConfig;
use armilla_engine::{AgentVersionView, AgentView};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(crate) use self::handlers::*;
pub(crate) use self::trial::{__path_test_agent, test_agent};
pub use self::trial::{AgentTestBody, AgentTestResponse, TestAgent};
use crate::wire::Timestamp;

/// The most that a list of agents gives at once.
pub const AGENTS_PAGE_MAX: u32 = 100;
/// The most that a list of an agent's versions gives at once.
pub const AGENT_VERSIONS_PAGE_MAX: u32 = 100;

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

/// What an agent was.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AgentVersion)]
pub struct AgentVersionBody {
    /// How it was configured.
    #[serde(flatten)]
    #[schema(value_type = AgentConfigSchema)]
    pub config: AgentConfig,
    /// Which version, from 1.
    #[schema(minimum = 1)]
    pub version: i32,
    /// Who made it; null where that is not known.
    #[schema(required = true)]
    pub created_by: Option<String>,
    /// The version whose configuration it took up again; null where none.
    #[schema(required = true)]
    pub restored_from: Option<i32>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl From<AgentVersionView> for AgentVersionBody {
    fn from(view: AgentVersionView) -> Self {
        let AgentVersionView { config, version, created_by, restored_from, created_at } = view;
        Self { config, version, created_by, restored_from, created_at: created_at.into() }
    }
}

/// One version of an agent.
#[derive(Debug, Serialize, ToSchema)]
pub struct AgentVersionResponse {
    /// The version.
    pub version: AgentVersionBody,
}

/// A page of versions, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentVersionsResponse {
    /// The versions.
    pub versions: Vec<AgentVersionBody>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// A copy to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CloneAgent {
    /// The copy's id.
    #[schema(max_length = 64, example = "research-agent-2")]
    pub id: String,
    /// The copy's name; the original's where absent.
    #[schema(nullable = false)]
    pub display_name: Option<String>,
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
    /// Its absolute URL, without the protocol's own path; with `a2a`, where its card is. That of `model.provider` where absent.
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
    /// How it is asked for JSON: by a schema, by the wish for JSON, or in words. What the protocol and the provider take where absent.
    #[schema(nullable = false)]
    structured_output: Option<StructuredOutputSchema>,
    /// The agent that is asked where this one cannot be reached, takes too long, fails, or is asked too often.
    #[schema(max_length = 64, nullable = false)]
    fallback_agent_id: Option<String>,
    /// What its tokens cost.
    #[schema(nullable = false)]
    price: Option<PriceSchema>,
    /// With the protocol `http`: the body that is sent, with templates in strings of any depth over `message`, `systemPrompt`, `model`,
    /// `outputSchema`, `refused`, `agentId`, `runId`, `stepId`, `visit` and `attempt`.
    #[schema(nullable = false)]
    request: Option<serde_json::Value>,
    /// With the protocol `http`: the expression that picks the answer out of `body`, what the agent sent.
    #[schema(nullable = false, example = "body.reply.text")]
    response: Option<String>,
}

/// How an agent is asked for JSON.
#[derive(ToSchema)]
#[schema(as = StructuredOutput, rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema, never a value")]
enum StructuredOutputSchema {
    Schema,
    Json,
    None,
}

/// US dollars for a million tokens.
#[derive(ToSchema)]
#[schema(as = TokenPrice, rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema, never a value")]
struct PriceSchema {
    /// Of those that the model reads.
    #[schema(minimum = 0, maximum = 1_000_000)]
    input_per_million: f64,
    /// Of those that it writes.
    #[schema(minimum = 0, maximum = 1_000_000)]
    output_per_million: f64,
}

/// What is spoken with an agent: chat completions, messages, Agent2Agent, or plain JSON.
#[derive(ToSchema)]
#[schema(as = AgentProtocol, rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema, never a value")]
enum AgentProtocolSchema {
    Openai,
    Anthropic,
    A2a,
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
    /// Calls under way at once, on all hosts together.
    #[schema(minimum = 1, maximum = 10_000, nullable = false)]
    max_concurrency: Option<u32>,
    /// Calls that begin within any minute, on all hosts together: a tenth of them may come at once, the others follow evenly.
    #[schema(minimum = 1, maximum = 1_000_000, nullable = false)]
    requests_per_minute: Option<u32>,
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
            "promptLabel": "production",
            "limits": { "timeout": "30s", "maxConcurrency": 4, "requestsPerMinute": 60 },
            "structuredOutput": "json", "fallbackAgentId": "other-agent",
            "price": { "inputPerMillion": 0.5, "outputPerMillion": 1.5 },
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
        for protocol in ["anthropic", "a2a", "http"] {
            assert!(validator.is_valid(&json!({ "id": "a", "protocol": protocol, "endpoint": "http://h" })));
        }
        assert!(!validator.is_valid(&json!({ "id": "A b", "protocol": "http", "endpoint": "http://h" })));
    }
}
