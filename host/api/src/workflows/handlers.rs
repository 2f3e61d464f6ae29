//! Making, reading and deleting workflows.

use armilla_domain::id::WorkflowId;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;

use super::{CreateWorkflow, WORKFLOWS_PAGE_MAX, WorkflowBody, WorkflowResponse, WorkflowsResponse};
use crate::auth::{Caller, Member};
use crate::page::PageQuery;
use crate::problem::{Code, Problem};
use crate::request::{JsonBody, PathText, Query};
use crate::state::ApiState;

/// Create a workflow
///
/// The definition is checked, all faults at once. What its author should look at, and what is no fault, such as an agent
/// that is not there yet, comes as `warnings`.
#[utoipa::path(post, path = "/workflows", operation_id = "createWorkflow", tag = "workflows",
    request_body(content = CreateWorkflow, example = json!({
        "name": "Content pipeline",
        "definition": { "steps": [
            { "type": "agent", "id": "research", "agentId": "research-agent", "message": "Research {{topic}}", "outputVar": "notes" },
            { "type": "agent", "id": "draft", "agentId": "writer-agent", "message": "Write about {{notes}}", "outputVar": "draft" },
        ] },
    })),
    responses((status = 201, description = "The workflow.", body = WorkflowResponse,
        headers(("Location" = String, description = "The workflow: `/workflows/{id}`.")))))]
pub(crate) async fn create_workflow(
    State(state): State<ApiState>,
    Member(caller): Member,
    JsonBody(body): JsonBody<CreateWorkflow>,
) -> Result<impl IntoResponse, Problem> {
    let workflow = state.engine.create_workflow(caller.workspace, body.into(), &caller.subject).await;
    let workflow = workflow.map_err(|error| Problem::in_document(error, Code::WorkflowInvalid, "/definition"))?;
    let location = format!("/workflows/{}", workflow.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(WorkflowResponse { workflow: workflow.into() })))
}

/// List the workflows
///
/// Newest first, at most 100, without those that were made of a request to run a pipeline or to chat.
#[utoipa::path(get, path = "/workflows", operation_id = "listWorkflows", tag = "workflows",
    params(PageQuery),
    responses((status = 200, description = "A page of them.", body = WorkflowsResponse)))]
pub(crate) async fn list_workflows(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<WorkflowsResponse>, Problem> {
    let page = query.page::<WorkflowId>(WORKFLOWS_PAGE_MAX)?;
    let workflows = state.engine.workflows(caller.workspace, page.after, page.rows()).await?;
    let (workflows, next_cursor) = page.cut(workflows, |workflow| workflow.id);
    Ok(Json(WorkflowsResponse { workflows: workflows.into_iter().map(WorkflowBody::from).collect(), next_cursor }))
}

/// Get a workflow
///
/// At its newest version.
#[utoipa::path(get, path = "/workflows/{id}", operation_id = "getWorkflow", tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id.", example = "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    responses((status = 200, description = "The workflow.", body = WorkflowResponse)))]
pub(crate) async fn get_workflow(
    State(state): State<ApiState>,
    caller: Caller,
    path: PathText,
) -> Result<Json<WorkflowResponse>, Problem> {
    let workflow = state.engine.workflow(caller.workspace, path.id(Code::WorkflowNotFound)?).await?;
    Ok(Json(WorkflowResponse { workflow: workflow.into() }))
}

/// Delete a workflow
///
/// Its runs stay readable, running ones go on. One that was made of a request to run a pipeline or to chat stays.
#[utoipa::path(delete, path = "/workflows/{id}", operation_id = "deleteWorkflow", tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id.", example = "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    responses(
        (status = 204, description = "It is gone."),
        (status = 409, description = "It was made of a request, and is nobody's to delete.",
            body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn delete_workflow(
    State(state): State<ApiState>,
    Member(caller): Member,
    path: PathText,
) -> Result<StatusCode, Problem> {
    state.engine.delete_workflow(caller.workspace, path.id(Code::WorkflowNotFound)?, &caller.subject).await?;
    Ok(StatusCode::NO_CONTENT)
}
