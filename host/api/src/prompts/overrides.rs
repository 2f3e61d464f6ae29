//! Overrides: prompts that agents have for a while.

use std::time::Duration;

use armilla_domain::agent::SYSTEM_PROMPT_CHARS_MAX;
use armilla_domain::id::{PromptOverrideId, RunId};
use armilla_domain::prompt::{Coverage, MESSAGE_CHARS_MAX, OVERRIDE_TTL_DEFAULT};
use armilla_engine::{NewPromptOverride, OverrideContent, PromptOverrideView};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{PROMPTS_PAGE_MAX, PromptMetricsBody};
use crate::auth::{Admin, Caller};
use crate::page::PageQuery;
use crate::problem::{Code, Problem};
use crate::request::{JsonBody, PathText, Query};
use crate::state::ApiState;
use crate::wire::{Text, Timestamp};

/// An override to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SetPromptOverride {
    /// What the agent is told: a text of the override's own. Either this or `version`.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100_000)]
    system_prompt: Option<Text<1, { SYSTEM_PROMPT_CHARS_MAX }>>,
    /// Or a version of its prompt, with its settings.
    #[schema(minimum = 1)]
    version: Option<i32>,
    /// How long it lasts, in seconds: an hour where absent.
    #[schema(minimum = 60, maximum = 604_800, default = 3_600)]
    ttl_seconds: Option<u64>,
    /// Why.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 1_000)]
    reason: Option<Text<1, { MESSAGE_CHARS_MAX }>>,
    /// For which part of the runs, from 0 to 1: each falls on one side and stays there. For all where this and `runs` are absent.
    #[schema(minimum = 0, maximum = 1)]
    share: Option<f64>,
    /// Or for which runs.
    #[schema(value_type = Option<Vec<String>>, min_items = 1, max_items = 1_000)]
    runs: Option<Vec<RunId>>,
}

impl From<SetPromptOverride> for NewPromptOverride {
    fn from(body: SetPromptOverride) -> Self {
        Self {
            system_prompt: body.system_prompt.map(Text::into_inner),
            version: body.version,
            ttl: body.ttl_seconds.map_or(OVERRIDE_TTL_DEFAULT, Duration::from_secs),
            reason: body.reason.map(Text::into_inner),
            share: body.share,
            runs: body.runs,
        }
    }
}

/// An override.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PromptOverride)]
pub(crate) struct PromptOverrideBody {
    /// Its id.
    #[schema(value_type = String, example = "po_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    id: PromptOverrideId,
    /// The agent's id.
    agent_id: String,
    /// What the agent is told; null where that is a version.
    #[schema(required = true)]
    system_prompt: Option<String>,
    /// The version that it is told; null where the text is the override's own.
    #[schema(required = true)]
    version: Option<i32>,
    /// SHA-256, in hexadecimal, of the text or of the version's content.
    hash: String,
    /// Why; null without a word.
    #[schema(required = true)]
    reason: Option<String>,
    /// For which part of the runs; null for all, or for `runs`.
    #[schema(required = true)]
    share: Option<f64>,
    /// For which runs; null for all, or for a `share`.
    #[schema(required = true, value_type = Option<Vec<String>>)]
    runs: Option<Vec<RunId>>,
    /// Who set it: the `sub` of the token.
    owner: String,
    /// `active`, or how it ended: `expired` by itself, `ended` by somebody, `replaced` by the next one.
    #[schema(example = "active")]
    status: String,
    /// When it was set.
    created_at: Timestamp,
    /// When it is over at the latest.
    expires_at: Timestamp,
    /// How many seconds it still lasts; 0 where it is over.
    remaining_seconds: u64,
    /// When it ended; null while it is in effect.
    #[schema(required = true)]
    ended_at: Option<Timestamp>,
    /// Who ended it; null while it is in effect, and where it expired.
    #[schema(required = true)]
    ended_by: Option<String>,
    /// What was done under it.
    metrics: PromptMetricsBody,
}

impl From<PromptOverrideView> for PromptOverrideBody {
    fn from(view: PromptOverrideView) -> Self {
        let (system_prompt, version) = match view.content {
            OverrideContent::SystemPrompt(text) => (Some(text), None),
            OverrideContent::Version(version) => (None, Some(version)),
        };
        let (share, runs) = match view.coverage {
            Coverage::All => (None, None),
            Coverage::Share(share) => (Some(share), None),
            Coverage::Runs(runs) => (None, Some(runs)),
        };
        Self {
            id: view.id,
            agent_id: view.agent,
            system_prompt,
            version,
            hash: view.hash,
            reason: view.reason,
            share,
            runs,
            owner: view.owner,
            status: view.ended_how.unwrap_or_else(|| "active".to_owned()),
            created_at: view.created_at.into(),
            expires_at: view.expires_at.into(),
            remaining_seconds: view.remaining_seconds,
            ended_at: view.ended_at.map(Timestamp),
            ended_by: view.ended_by,
            metrics: view.metrics.into(),
        }
    }
}

/// One override.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PromptOverrideResponse {
    /// The override.
    prompt_override: PromptOverrideBody,
}

/// A page of overrides, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PromptOverridesResponse {
    /// The overrides.
    prompt_overrides: Vec<PromptOverrideBody>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// Get the override of an agent's prompt
///
/// The one that is in effect now, by the database's clock.
#[utoipa::path(get, path = "/agents/{id}/prompt-override", operation_id = "getPromptOverride", tag = "prompts",
    params(("id" = String, Path, description = "The agent's id.", example = "research-agent")),
    responses((status = 200, description = "The override.", body = PromptOverrideResponse)))]
pub(crate) async fn get_prompt_override(
    State(state): State<ApiState>,
    caller: Caller,
    PathText(id): PathText,
) -> Result<Json<PromptOverrideResponse>, Problem> {
    let found = state.engine.prompt_override(caller.workspace, &id).await?;
    Ok(Json(PromptOverrideResponse { prompt_override: found.into() }))
}

/// Override an agent's prompt for a while
///
/// From the next call on, on every host, and until its time is over, whether or not any host is up then. It ends the one before it.
#[utoipa::path(put, path = "/agents/{id}/prompt-override", operation_id = "setPromptOverride", tag = "prompts",
    params(("id" = String, Path, description = "The agent's id.", example = "research-agent")),
    request_body(content = SetPromptOverride, example = json!({
        "systemPrompt": "You research {{ topic }}. Answer in one sentence.", "ttlSeconds": 600, "reason": "Too long answers",
    })),
    responses((status = 200, description = "The override.", body = PromptOverrideResponse)))]
pub(crate) async fn set_prompt_override(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    PathText(id): PathText,
    JsonBody(body): JsonBody<SetPromptOverride>,
) -> Result<Json<PromptOverrideResponse>, Problem> {
    let set = state.engine.set_prompt_override(caller.workspace, &id, body.into(), &caller.subject).await;
    let set = set.map_err(|error| Problem::in_document(error, Code::PromptInvalid, ""))?;
    Ok(Json(PromptOverrideResponse { prompt_override: set.into() }))
}

/// End the override of an agent's prompt
#[utoipa::path(delete, path = "/agents/{id}/prompt-override", operation_id = "endPromptOverride", tag = "prompts",
    params(("id" = String, Path, description = "The agent's id.", example = "research-agent")),
    responses((status = 204, description = "It is over.")))]
pub(crate) async fn end_prompt_override(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    PathText(id): PathText,
) -> Result<StatusCode, Problem> {
    state.engine.end_prompt_override(caller.workspace, &id, &caller.subject).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the overrides of an agent's prompt
///
/// Newest first, at most 25, each with how it ended and what was done under it.
#[utoipa::path(get, path = "/agents/{id}/prompt-overrides", operation_id = "listPromptOverrides", tag = "prompts",
    params(("id" = String, Path, description = "The agent's id.", example = "research-agent"), PageQuery),
    responses((status = 200, description = "A page of them.", body = PromptOverridesResponse)))]
pub(crate) async fn list_prompt_overrides(
    State(state): State<ApiState>,
    caller: Caller,
    PathText(id): PathText,
    Query(query): Query<PageQuery>,
) -> Result<Json<PromptOverridesResponse>, Problem> {
    let page = query.page(PROMPTS_PAGE_MAX)?;
    let found = state.engine.prompt_overrides(caller.workspace, &id, page.after, page.rows()).await?;
    let (found, next_cursor) = page.cut(found, |one| one.id);
    let prompt_overrides = found.into_iter().map(PromptOverrideBody::from).collect();
    Ok(Json(PromptOverridesResponse { prompt_overrides, next_cursor }))
}

#[cfg(test)]
mod tests {
    use armilla_domain::prompt::{OVERRIDE_RUNS_MAX, OVERRIDE_TTL_MAX, OVERRIDE_TTL_MIN};
    use serde_json::json;
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_bounds_that_are_documented_are_the_ones_that_hold() {
        let schema = &json!(SetPromptOverride::schema())["properties"];
        assert_eq!(schema["systemPrompt"]["maxLength"], json!(SYSTEM_PROMPT_CHARS_MAX));
        let ttl = &schema["ttlSeconds"];
        assert_eq!(
            (&ttl["minimum"], &ttl["maximum"]),
            (&json!(OVERRIDE_TTL_MIN.as_secs()), &json!(OVERRIDE_TTL_MAX.as_secs()))
        );
        assert_eq!(ttl["default"], json!(OVERRIDE_TTL_DEFAULT.as_secs()));
        assert_eq!(schema["runs"]["maxItems"], json!(OVERRIDE_RUNS_MAX));
        assert_eq!(schema["reason"]["maxLength"], json!(MESSAGE_CHARS_MAX));
    }
}
