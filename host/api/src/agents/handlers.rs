//! Registering, reading, changing and removing agents.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use serde_json::Value;

use super::{AGENTS_PAGE_MAX, AgentBody, AgentConfigSchema, AgentResponse, AgentsResponse};
use crate::auth::{Admin, Caller};
use crate::page::PageQuery;
use crate::problem::{Code, Problem};
use crate::request::{JsonBody, PathText, Query};
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
