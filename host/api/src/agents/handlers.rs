//! Registering, reading, changing and removing agents.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use serde_json::Value;

use super::{
    AGENT_VERSIONS_PAGE_MAX, AGENTS_PAGE_MAX, AgentBody, AgentConfigSchema, AgentResponse, AgentVersionResponse,
    AgentVersionsResponse, AgentsResponse, CloneAgent,
};
use crate::auth::{Admin, Caller};
use crate::page::PageQuery;
use crate::problem::{Code, Problem};
use crate::request::{JsonBody, PathNumbered, PathText, Query};
use crate::state::ApiState;

/// What an answer has beside the configuration.
const READ_ONLY_FIELDS: [&str; 3] = ["version", "createdAt", "updatedAt"];

/// Register an agent
///
/// Its id is the caller's choice; workflows name it in `agentId`. Whether the agent answers is found out by the first call.
#[utoipa::path(post, path = "/agents", operation_id = "createAgent", tag = "agents",
    request_body(content = AgentConfigSchema, example = json!({
        "id": "research-agent", "protocol": "openai", "endpoint": "http://127.0.0.1:11434/v1",
        "model": { "modelId": "llama3.2" }, "systemPromptTemplate": "You research. Answer in five sentences.",
    })),
    responses(
        (status = 201, description = "The agent.", body = AgentResponse,
            headers(("Location" = String, description = "The agent: `/agents/{id}`."))),
        (status = 409, description = "The id is taken.", body = crate::problem::ProblemBody,
            content_type = "application/problem+json"),
    ))]
pub(crate) async fn create_agent(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    JsonBody(config): JsonBody<Value>,
) -> Result<impl IntoResponse, Problem> {
    let agent = state.engine.create_agent(caller.workspace, &config, &caller.subject).await;
    let agent = agent.map_err(|error| Problem::in_document(error, Code::AgentInvalid, ""))?;
    let location = format!("/agents/{}", agent.config.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(AgentResponse { agent: agent.into() })))
}

/// List the agents
///
/// By id, at most 100.
#[utoipa::path(get, path = "/agents", operation_id = "listAgents", tag = "agents",
    params(PageQuery),
    responses((status = 200, description = "A page of them.", body = AgentsResponse)))]
pub(crate) async fn list_agents(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<AgentsResponse>, Problem> {
    let page = query.page::<String>(AGENTS_PAGE_MAX)?;
    let agents = state.engine.agents(caller.workspace, page.after.as_deref(), page.rows()).await?;
    let (agents, next_cursor) = page.cut(agents, |agent| agent.config.id.clone());
    Ok(Json(AgentsResponse { agents: agents.into_iter().map(AgentBody::from).collect(), next_cursor }))
}

/// Get an agent
#[utoipa::path(get, path = "/agents/{id}", operation_id = "getAgent", tag = "agents",
    params(("id" = String, Path, description = "The agent's id.", example = "research-agent")),
    responses((status = 200, description = "The agent.", body = AgentResponse)))]
pub(crate) async fn get_agent(
    State(state): State<ApiState>,
    caller: Caller,
    PathText(id): PathText,
) -> Result<Json<AgentResponse>, Problem> {
    let agent = state.engine.agent(caller.workspace, &id).await?;
    Ok(Json(AgentResponse { agent: agent.into() }))
}

/// Replace an agent's configuration
///
/// From the next call on, in running workflows too. The body's `id` may be left out, and is the path's where it is there.
/// What was read may be sent back: `version`, `createdAt` and `updatedAt` are the server's, and ignored.
#[utoipa::path(put, path = "/agents/{id}", operation_id = "replaceAgent", tag = "agents",
    params(("id" = String, Path, description = "The agent's id.", example = "research-agent")),
    request_body(content = AgentConfigSchema, example = json!({
        "id": "research-agent", "protocol": "openai", "endpoint": "http://127.0.0.1:11434/v1",
        "model": { "modelId": "llama3.2", "temperature": 0.2 },
    })),
    responses((status = 200, description = "The agent.", body = AgentResponse)))]
pub(crate) async fn replace_agent(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    PathText(id): PathText,
    JsonBody(mut config): JsonBody<Value>,
) -> Result<Json<AgentResponse>, Problem> {
    if let Some(fields) = config.as_object_mut() {
        fields.retain(|name, _| !READ_ONLY_FIELDS.contains(&name.as_str()));
    }
    let agent = state.engine.replace_agent(caller.workspace, &id, &config, &caller.subject).await;
    let agent = agent.map_err(|error| Problem::in_document(error, Code::AgentInvalid, ""))?;
    Ok(Json(AgentResponse { agent: agent.into() }))
}

/// List an agent's versions
///
/// Newest first; the newest 1,000 are kept.
#[utoipa::path(get, path = "/agents/{id}/versions", operation_id = "listAgentVersions", tag = "agents",
    params(("id" = String, Path, description = "The agent's id.", example = "research-agent"), PageQuery),
    responses((status = 200, description = "A page of them.", body = AgentVersionsResponse)))]
pub(crate) async fn list_agent_versions(
    State(state): State<ApiState>,
    caller: Caller,
    PathText(id): PathText,
    Query(query): Query<PageQuery>,
) -> Result<Json<AgentVersionsResponse>, Problem> {
    let page = query.page::<i32>(AGENT_VERSIONS_PAGE_MAX)?;
    let versions = state.engine.agent_versions(caller.workspace, &id, page.after, page.rows()).await?;
    let (versions, next_cursor) = page.cut(versions, |version| version.version);
    Ok(Json(AgentVersionsResponse { versions: versions.into_iter().map(Into::into).collect(), next_cursor }))
}

/// Get a version of an agent
#[utoipa::path(get, path = "/agents/{id}/versions/{version}", operation_id = "getAgentVersion", tag = "agents",
    params(
        ("id" = String, Path, description = "The agent's id.", example = "research-agent"),
        ("version" = i32, Path, description = "Which version, from 1.", minimum = 1),
    ),
    responses((status = 200, description = "The version.", body = AgentVersionResponse)))]
pub(crate) async fn get_agent_version(
    State(state): State<ApiState>,
    caller: Caller,
    path: PathNumbered,
) -> Result<Json<AgentVersionResponse>, Problem> {
    let version = path.number(Code::AgentVersionNotFound)?;
    let version = state.engine.agent_version(caller.workspace, &path.name, version).await?;
    Ok(Json(AgentVersionResponse { version: version.into() }))
}

/// Roll an agent back
///
/// The version's configuration becomes the agent's next version, from the next call on.
#[utoipa::path(post, path = "/agents/{id}/rollback/{version}", operation_id = "rollBackAgent", tag = "agents",
    params(
        ("id" = String, Path, description = "The agent's id.", example = "research-agent"),
        ("version" = i32, Path, description = "Which version, from 1.", minimum = 1),
    ),
    responses((status = 200, description = "The agent.", body = AgentResponse)))]
pub(crate) async fn roll_back_agent(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    path: PathNumbered,
) -> Result<Json<AgentResponse>, Problem> {
    let version = path.number(Code::AgentVersionNotFound)?;
    let agent = state.engine.roll_back_agent(caller.workspace, &path.name, version, &caller.subject).await?;
    Ok(Json(AgentResponse { agent: agent.into() }))
}

/// Copy an agent
///
/// The copy begins with version 1, under an id of its own.
#[utoipa::path(post, path = "/agents/{id}/clone", operation_id = "cloneAgent", tag = "agents",
    params(("id" = String, Path, description = "The agent's id.", example = "research-agent")),
    request_body(content = CloneAgent, example = json!({ "id": "research-agent-2" })),
    responses(
        (status = 201, description = "The copy.", body = AgentResponse,
            headers(("Location" = String, description = "The copy: `/agents/{id}`."))),
        (status = 409, description = "The id is taken.", body = crate::problem::ProblemBody,
            content_type = "application/problem+json"),
    ))]
pub(crate) async fn clone_agent(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    PathText(id): PathText,
    JsonBody(copy): JsonBody<CloneAgent>,
) -> Result<impl IntoResponse, Problem> {
    let engine = &state.engine;
    let made = engine.clone_agent(caller.workspace, &id, &copy.id, copy.display_name.as_deref(), &caller.subject).await;
    let agent = made.map_err(|error| Problem::in_document(error, Code::AgentInvalid, ""))?;
    let location = format!("/agents/{}", agent.config.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(AgentResponse { agent: agent.into() })))
}

/// Delete an agent
///
/// A run that comes to a step of it fails there.
#[utoipa::path(delete, path = "/agents/{id}", operation_id = "deleteAgent", tag = "agents",
    params(("id" = String, Path, description = "The agent's id.", example = "research-agent")),
    responses((status = 204, description = "It is gone.")))]
pub(crate) async fn delete_agent(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    PathText(id): PathText,
) -> Result<StatusCode, Problem> {
    state.engine.delete_agent(caller.workspace, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
