//! Making, reading, comparing and restoring versions of agents' prompts.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;

use super::{
    CreatePromptVersion, PROMPTS_PAGE_MAX, PromptDiffBody, PromptDiffResponse, PromptMetricsResponse,
    PromptVersionBody, PromptVersionResponse, PromptVersionsResponse,
};
use crate::auth::{Admin, Caller};
use crate::page::PageQuery;
use crate::problem::{Code, Problem};
use crate::request::{JsonBody, PathBetween, PathNumbered, PathText, Query};
use crate::state::ApiState;

/// List the versions of an agent's prompt
///
/// Newest first, at most 25.
#[utoipa::path(get, path = "/agents/{id}/prompt-versions", operation_id = "listPromptVersions", tag = "prompts",
    params(("id" = String, Path, description = "The agent's id.", example = "research-agent"), PageQuery),
    responses((status = 200, description = "A page of them.", body = PromptVersionsResponse)))]
pub(crate) async fn list_prompt_versions(
    State(state): State<ApiState>,
    caller: Caller,
    PathText(id): PathText,
    Query(query): Query<PageQuery>,
) -> Result<Json<PromptVersionsResponse>, Problem> {
    let page = query.page::<i32>(PROMPTS_PAGE_MAX)?;
    let versions = state.engine.prompt_versions(caller.workspace, &id, page.after, page.rows()).await?;
    let (versions, next_cursor) = page.cut(versions, |version| version.version);
    let prompt_versions = versions.into_iter().map(PromptVersionBody::from).collect();
    Ok(Json(PromptVersionsResponse { prompt_versions, next_cursor }))
}

/// Make a version of an agent's prompt
///
/// The agent is told it from the next call on, unless an override is in effect or the agent goes by a label. What the newest version
/// says already makes none. `label` is put on the version, new or not.
#[utoipa::path(post, path = "/agents/{id}/prompt-versions", operation_id = "createPromptVersion", tag = "prompts",
    params(("id" = String, Path, description = "The agent's id.", example = "research-agent")),
    request_body(content = CreatePromptVersion, example = json!({
        "systemPrompt": "You research {{ topic }}. Answer in five sentences.", "label": "production",
    })),
    responses(
        (status = 201, description = "The version.", body = PromptVersionResponse,
            headers(("Location" = String, description = "The version: `/agents/{id}/prompt-versions/{version}`."))),
        (status = 200, description = "The newest version, which says the same.", body = PromptVersionResponse),
        (status = 409, description = "There are 10,000 versions already.", body = crate::problem::ProblemBody,
            content_type = "application/problem+json"),
    ))]
pub(crate) async fn create_prompt_version(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    PathText(id): PathText,
    JsonBody(body): JsonBody<CreatePromptVersion>,
) -> Result<impl IntoResponse, Problem> {
    let made = state.engine.make_prompt_version(caller.workspace, &id, body.into(), &caller.subject).await;
    let made = made.map_err(|error| Problem::in_document(error, Code::PromptInvalid, ""))?;
    let status = if made.is_new { StatusCode::CREATED } else { StatusCode::OK };
    let location = format!("/agents/{id}/prompt-versions/{}", made.version.version);
    Ok((status, [(LOCATION, location)], Json(PromptVersionResponse { prompt_version: made.version.into() })))
}

/// Get a version of an agent's prompt
#[utoipa::path(get, path = "/agents/{id}/prompt-versions/{version}", operation_id = "getPromptVersion", tag = "prompts",
    params(
        ("id" = String, Path, description = "The agent's id.", example = "research-agent"),
        ("version" = i32, Path, description = "The version's number.", example = 1),
    ),
    responses((status = 200, description = "The version.", body = PromptVersionResponse)))]
pub(crate) async fn get_prompt_version(
    State(state): State<ApiState>,
    caller: Caller,
    path: PathNumbered,
) -> Result<Json<PromptVersionResponse>, Problem> {
    let version = path.number(Code::PromptVersionNotFound)?;
    let version = state.engine.prompt_version(caller.workspace, &path.name, version).await?;
    Ok(Json(PromptVersionResponse { prompt_version: version.into() }))
}

/// Restore a version of an agent's prompt
///
/// Makes a new version with the old one's content, which is checked again.
#[utoipa::path(post, path = "/agents/{id}/prompt-versions/{version}/restore", operation_id = "restorePromptVersion",
    tag = "prompts",
    params(
        ("id" = String, Path, description = "The agent's id.", example = "research-agent"),
        ("version" = i32, Path, description = "The number of the version to restore.", example = 1),
    ),
    responses(
        (status = 201, description = "The new version.", body = PromptVersionResponse,
            headers(("Location" = String, description = "The version: `/agents/{id}/prompt-versions/{version}`."))),
        (status = 409, description = "There are 10,000 versions already.", body = crate::problem::ProblemBody,
            content_type = "application/problem+json"),
        (status = 422, description = "The old content has faults by now; `errors` lists all of them.",
            body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn restore_prompt_version(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    path: PathNumbered,
) -> Result<impl IntoResponse, Problem> {
    let version = path.number(Code::PromptVersionNotFound)?;
    let restored = state.engine.restore_prompt_version(caller.workspace, &path.name, version, &caller.subject).await;
    let restored = restored.map_err(|error| Problem::in_document(error, Code::PromptInvalid, ""))?;
    let location = format!("/agents/{}/prompt-versions/{}", path.name, restored.version);
    let body = PromptVersionResponse { prompt_version: restored.into() };
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(body)))
}

/// Compare two versions of an agent's prompt
#[utoipa::path(get, path = "/agents/{id}/prompt-versions/{version}/diff/{other}", operation_id = "diffPromptVersions",
    tag = "prompts",
    params(
        ("id" = String, Path, description = "The agent's id.", example = "research-agent"),
        ("version" = i32, Path, description = "The number of the version to compare.", example = 1),
        ("other" = i32, Path, description = "The number of the version to compare it with.", example = 2),
    ),
    responses((status = 200, description = "What changed.", body = PromptDiffResponse)))]
pub(crate) async fn diff_prompt_versions(
    State(state): State<ApiState>,
    caller: Caller,
    path: PathBetween,
) -> Result<Json<PromptDiffResponse>, Problem> {
    let from = path.from.number(Code::PromptVersionNotFound)?;
    let to = path.to.number(Code::PromptVersionNotFound)?;
    let diff = state.engine.diff_prompt_versions(caller.workspace, &path.from.name, from, to).await?;
    Ok(Json(PromptDiffResponse { diff: PromptDiffBody::new(from, to, diff) }))
}

/// Measure a version of an agent's prompt
///
/// What was done with it, under overrides or not, on all hosts; what happened within the last second may be missing.
#[utoipa::path(get, path = "/agents/{id}/prompt-versions/{version}/metrics", operation_id = "getPromptMetrics",
    tag = "prompts",
    params(
        ("id" = String, Path, description = "The agent's id.", example = "research-agent"),
        ("version" = i32, Path, description = "The version's number.", example = 1),
    ),
    responses((status = 200, description = "What was done with it.", body = PromptMetricsResponse)))]
pub(crate) async fn get_prompt_metrics(
    State(state): State<ApiState>,
    caller: Caller,
    path: PathNumbered,
) -> Result<Json<PromptMetricsResponse>, Problem> {
    let version = path.number(Code::PromptVersionNotFound)?;
    let metrics = state.engine.prompt_metrics(caller.workspace, &path.name, version).await?;
    Ok(Json(PromptMetricsResponse { metrics: metrics.into() }))
}
