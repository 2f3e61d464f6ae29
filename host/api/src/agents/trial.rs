//! Trying an agent out: one message, and all that can be said of what came of it.

use armilla_domain::call::Answerer;
use armilla_domain::id::RunId;
use armilla_domain::journal::Failure;
use armilla_domain::pipeline::StageRecord;
use armilla_domain::run::RunStatus;
use armilla_engine::{Asking, Chat, StartedPipeline};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::auth::Member;
use crate::problem::{Code, Problem};
use crate::request::{JsonBody, PathText};
use crate::runs::{AnswererSchema, FailureSchema, UsageBody, UsageSchema, Wait, WaitQuery};
use crate::state::ApiState;

/// A message to try an agent with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TestAgent {
    /// What it is told, to the letter; `Hello` where absent.
    #[schema(min_length = 1, max_length = 100_000, example = "Research tidal power")]
    #[serde(default = "hello")]
    pub message: String,
}

fn hello() -> String {
    "Hello".to_owned()
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentTestBody {
    /// Whether the agent answered; null where it still may.
    #[schema(required = true)]
    pub ok: Option<bool>,
    /// The run that asked it, which tells all attempts.
    #[schema(value_type = String, example = "run_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    pub run_id: RunId,
    /// Its answer; null without one.
    pub output: Value,
    /// Why it did not answer; null unless it did not.
    #[schema(required = true, value_type = Option<FailureSchema>)]
    pub error: Option<Failure>,
    /// Who answered, exactly: this agent, or the one that stands in for it. Null without an answer.
    #[schema(required = true, value_type = Option<AnswererSchema>)]
    pub answerer: Option<Answerer>,
    /// Tokens; null where the agent did not say.
    #[schema(required = true, value_type = Option<UsageSchema>)]
    pub usage: Option<UsageBody>,
    /// How long its calls took together, in milliseconds; null before the first ended.
    #[schema(required = true)]
    pub duration_ms: Option<u64>,
    /// How many attempts were made.
    pub attempts: u32,
}

/// The outcome of a test.
#[derive(Debug, Serialize, ToSchema)]
pub struct AgentTestResponse {
    /// What came of it.
    pub test: AgentTestBody,
}

/// Try an agent out
///
/// Sends it one message, by a run of one step, and tells what came of it: an agent that fails is what such a test is for, and no problem.
#[utoipa::path(post, path = "/agents/{id}/test", operation_id = "testAgent", tag = "agents",
    params(("id" = String, Path, description = "The agent's id.", example = "research-agent"), WaitQuery),
    request_body(content = TestAgent, example = json!({ "message": "Research tidal power" })),
    responses((status = 200, description = "What came of it.", body = AgentTestResponse)))]
pub(crate) async fn test_agent(
    State(state): State<ApiState>,
    Member(caller): Member,
    PathText(id): PathText,
    Wait(bound): Wait,
    JsonBody(body): JsonBody<TestAgent>,
) -> Result<Json<AgentTestResponse>, Problem> {
    state.engine.agent(caller.workspace, &id).await?;
    let command = Chat { agent_id: id, message: body.message, system_prompt_suffix: None };
    let asking = Asking { by: caller.subject, traceparent: None, idempotency_key: None, bound };
    let tried = state.engine.chat(caller.workspace, command, asking).await;
    let StartedPipeline { run, stages, .. } =
        tried.map_err(|error| Problem::in_document(error, Code::ChatInvalid, ""))?;
    let steps = state.engine.run_steps(caller.workspace, run.id).await?;
    let answerer = steps.into_iter().filter_map(|(record, _)| record.measured).find_map(|measured| measured.answerer);
    let stage = stages.first();
    let test = AgentTestBody {
        ok: run.status.is_final().then_some(run.status == RunStatus::Success),
        run_id: run.id,
        output: stage.map(|stage| Value::clone(&stage.output)).unwrap_or_default(),
        error: run.error,
        answerer,
        usage: StageRecord::usage_of(&stages).map(Into::into),
        duration_ms: stage.and_then(|stage| stage.duration_ms),
        attempts: stage.map_or(0, |stage| stage.attempts),
    };
    Ok(Json(AgentTestResponse { test }))
}
