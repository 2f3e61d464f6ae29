//! One message to one agent.

mod stream;

use armilla_domain::id::RunId;
use armilla_domain::pipeline::StageRecord;
use armilla_domain::run::RunStatus;
use armilla_engine::{Asking, Chat as ChatCommand, RunView, StartedPipeline};
use axum::Extension;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::auth::Member;
use crate::problem::{Code, Problem, as_sentence};
use crate::request::{IDEMPOTENCY_REPLAYED, IdempotencyKey, JsonBody, TraceParent};
use crate::runs::{RunStatusSchema, UsageBody, UsageSchema, Wait, WaitQuery, started};
use crate::state::ApiState;

pub(crate) use self::stream::{__path_chat_in_pieces, chat_in_pieces};

/// The codes of calls that were not made, since the agent's configuration does not let them.
const NOT_ASKED: [&str; 10] = [
    "agent.unknown",
    "agent.bad_config",
    "agent.bad_endpoint",
    "agent.bad_mapping",
    "agent.bad_secret",
    "agent.secret_missing",
    "agent.address_refused",
    "agent.prompt_label_missing",
    "agent.prompt_include_missing",
    "agent.prompt_include_limit",
];
/// The code of an attempt that took longer than it may.
const AGENT_TIMEOUT: &str = "agent.timeout";

/// A message to an agent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Chat {
    /// Which agent.
    #[schema(min_length = 1, max_length = 64, example = "research-agent")]
    pub agent_id: String,
    /// What it is told, to the letter: at most 100,000 characters, however many bytes each has.
    #[schema(min_length = 1, max_length = 100_000, example = "Research tidal power")]
    pub message: String,
    /// What is added to its system prompt, to the letter.
    #[schema(max_length = 100_000)]
    pub system_prompt_suffix: Option<String>,
}

/// What an agent answered.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChatResponse {
    /// The run that asked it, which every operation on runs takes.
    #[schema(value_type = String, example = "run_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    pub run_id: RunId,
    /// Which agent.
    pub agent_id: String,
    /// Its answer as text; null before.
    #[schema(required = true)]
    pub message: Option<String>,
    /// Its answer: text, or the object or array that its text is. Null before.
    pub output: Value,
    /// What the run is doing, or how it ended.
    #[schema(value_type = RunStatusSchema)]
    pub status: RunStatus,
    /// Tokens; null where the agent did not say.
    #[schema(required = true, value_type = Option<UsageSchema>)]
    pub usage: Option<UsageBody>,
    /// How long the calls of the agent took together, in milliseconds; null before the first ended.
    #[schema(required = true)]
    pub duration_ms: Option<u64>,
}

/// Send a message to an agent
///
/// Nothing in it is read as a template. The call is a run of one step, so it is recorded, tried again and bounded as every step is,
/// and goes on where its caller hangs up: where it does not end within the wait, the answer is 202, and `Location` says where to
/// ask for it. An agent that fails is a problem; `run` has the run's id, status and error.
#[utoipa::path(post, path = "/agent/chat", operation_id = "chat", tag = "agents",
    params(
        WaitQuery,
        ("Prefer" = Option<String>, Header, description = "`respond-async` does not wait (RFC 7240)."),
        ("Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 visible ASCII characters, the caller's own; also as `X-Idempotency-Key`."),
    ),
    request_body(content = Chat, example = json!({ "agentId": "research-agent", "message": "Research tidal power" })),
    responses(
        (status = 200, description = "The answer.", body = ChatResponse,
            headers(("Idempotency-Replayed" = String, description = "`true` where an earlier request asked the agent."))),
        (status = 202, description = "The agent has not answered yet.", body = ChatResponse,
            headers(
                ("Location" = String, description = "The run: `/runs/{id}`."),
                ("Idempotency-Replayed" = String, description = "`true` where an earlier request asked the agent."),
            )),
        (status = 409, description = "The run was cancelled.",
            body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 502, description = "The agent did not answer as it should, after as many attempts as it has: `run.error` tells why.",
            body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 504, description = "The agent did not answer in time, after as many attempts as it has.",
            body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn chat(
    State(state): State<ApiState>,
    Member(caller): Member,
    Wait(bound): Wait,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    traceparent: Option<Extension<TraceParent>>,
    JsonBody(body): JsonBody<Chat>,
) -> Result<Response, Problem> {
    let Chat { agent_id, message, system_prompt_suffix } = body;
    let command = ChatCommand { agent_id: agent_id.clone(), message, system_prompt_suffix };
    let traceparent = traceparent.map(|traceparent| traceparent.as_str().to_owned());
    let asking = Asking { by: caller.subject, traceparent, idempotency_key, bound };
    let chat = state.engine.chat(caller.workspace, command, asking).await;
    let StartedPipeline { run, stages, is_repeat } =
        chat.map_err(|error| Problem::in_document(error, Code::ChatInvalid, ""))?;

    if run.status.is_final() && run.status != RunStatus::Success {
        let mut response = failed(run.id, run.status, run.error.as_ref()).into_response();
        if is_repeat {
            response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        }
        return Ok(response);
    }
    let answer = answer_of(&agent_id, &run, &stages);
    Ok(started(&answer, run.id, run.status.is_final(), is_repeat))
}

/// What is answered of a run that has not failed.
fn answer_of(agent_id: &str, run: &RunView, stages: &[StageRecord]) -> ChatResponse {
    let ended = run.status.is_final();
    let output = stages.first().filter(|_| ended).map(|stage| Value::clone(&stage.output)).unwrap_or_default();
    ChatResponse {
        run_id: run.id,
        agent_id: agent_id.to_owned(),
        message: ended.then(|| text_of(&output)),
        output,
        status: run.status,
        usage: StageRecord::usage_of(stages).map(Into::into),
        duration_ms: stages.first().and_then(|stage| stage.duration_ms),
    }
}

/// An answer that was text before it was a value.
fn text_of(output: &Value) -> String {
    output.as_str().map_or_else(|| output.to_string(), str::to_owned)
}

/// The problem of a run that did not end well.
fn failed(id: RunId, status: RunStatus, error: Option<&armilla_domain::journal::Failure>) -> Problem {
    let code = match (status, error) {
        (RunStatus::Cancelled, _) => Code::ChatCancelled,
        (RunStatus::TimedOut, _) => Code::ChatTimedOut,
        (_, Some(error)) if error.code == AGENT_TIMEOUT => Code::ChatTimedOut,
        (_, Some(error)) if error.code.starts_with("expr.") || NOT_ASKED.contains(&error.code.as_str()) => {
            Code::ChatNotAsked
        }
        _ => Code::ChatFailed,
    };
    let detail = match error {
        Some(error) => format!("{} ({}, in the run `{id}`)", as_sentence(&error.message), error.code),
        None => format!("The run `{id}` tells more."),
    };
    Problem::new(code, detail).with("run", json!({ "id": id, "status": status, "error": error }))
}

#[cfg(test)]
mod tests {
    use armilla_domain::journal::Failure;
    use armilla_domain::pipeline::PIPELINE_INPUT_CHARS_MAX;
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_bounds_that_are_documented_are_the_ones_that_hold() {
        let schema = json!(Chat::schema());
        assert_eq!(schema["properties"]["message"]["maxLength"], json!(PIPELINE_INPUT_CHARS_MAX));
        assert_eq!(schema["required"], json!(["agentId", "message"]));
    }

    #[test]
    fn a_run_that_did_not_end_well_is_a_problem_of_its_kind() {
        let code = |status, error: Option<&str>| {
            let error = error.map(|code| Failure::new(None, code, "x"));
            failed(RunId::from_parts(1, [1; 10]), status, error.as_ref()).code()
        };
        assert_eq!(code(RunStatus::Failed, Some("agent.refused")), Code::ChatFailed);
        assert_eq!(code(RunStatus::Failed, Some(AGENT_TIMEOUT)), Code::ChatTimedOut);
        assert_eq!(code(RunStatus::Failed, Some("agent.secret_missing")), Code::ChatNotAsked);
        assert_eq!(code(RunStatus::Failed, Some("expr.unknown_variable")), Code::ChatNotAsked);
        assert_eq!(code(RunStatus::TimedOut, Some("run.timeout")), Code::ChatTimedOut);
        assert_eq!(code(RunStatus::Cancelled, None), Code::ChatCancelled);
    }
}
