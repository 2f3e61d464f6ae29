//! Changing workflows, and reading, comparing and restoring their versions.

use axum::Json;
use axum::extract::State;

use super::{
    DiffBody, DiffResponse, ReviseWorkflow, VERSIONS_PAGE_MAX, ValidWorkflowResponse, ValidateWorkflow,
    WorkflowResponse, WorkflowVersionResponse, WorkflowVersionSummaryBody, WorkflowVersionsResponse,
};
use crate::auth::{Caller, Member};
use crate::page::PageQuery;
use crate::problem::{Code, Problem};
use crate::request::{IfMatch, JsonBody, PathBetween, PathNumbered, PathText, Query};
use crate::state::ApiState;
use crate::wire::FaultBody;

/// Check a definition
///
/// As creation does, all faults at once. Nothing is kept and nothing is started.
#[utoipa::path(post, path = "/workflows/validate", operation_id = "validateWorkflow", tag = "workflows",
    request_body(content = ValidateWorkflow, example = json!({ "definition": { "steps": [
        { "type": "agent", "id": "research", "agentId": "research-agent", "message": "Research {{topic}}" },
    ] } })),
    responses((status = 200, description = "It has no faults.", body = ValidWorkflowResponse)))]
pub(crate) async fn validate_workflow(
    State(state): State<ApiState>,
    Member(caller): Member,
    JsonBody(body): JsonBody<ValidateWorkflow>,
) -> Result<Json<ValidWorkflowResponse>, Problem> {
    let warnings = state.engine.validate_definition(caller.workspace, &body.definition).await;
    let warnings = warnings.map_err(|error| Problem::in_document(error, Code::WorkflowInvalid, "/definition"))?;
    let warnings = warnings.into_iter().map(FaultBody::from).collect();
    Ok(Json(ValidWorkflowResponse { valid: true, warnings }))
}

/// Change a workflow
///
/// What is absent stays as it is. A definition that differs from the newest version's makes the next version; runs stay on
/// the one they started with, and new runs use the newest. A name and a description belong to the workflow, not to a version.
/// `If-Match: "<version>"`, or `version` in the body, makes the change only while that version is the newest. What was read
/// may be sent back.
#[utoipa::path(put, path = "/workflows/{id}", operation_id = "reviseWorkflow", tag = "workflows",
    params(
        ("id" = String, Path, description = "The workflow's id.", example = "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70"),
        ("If-Match" = Option<String>, Header, description = "The version that was edited, in quotes.", example = "\"3\""),
    ),
    request_body(content = ReviseWorkflow, example = json!({
        "version": 1,
        "definition": { "steps": [
            { "type": "agent", "id": "research", "agentId": "research-agent", "message": "Research {{topic}} in depth" },
        ] },
    })),
    responses(
        (status = 200, description = "The workflow as it is now.", body = WorkflowResponse),
        (status = 409, description = "Another version is the newest by now: `newest`. Or there are 10,000 versions already. Or it was made of a request.",
            body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn revise_workflow(
    State(state): State<ApiState>,
    Member(caller): Member,
    path: PathText,
    if_match: IfMatch,
    JsonBody(body): JsonBody<ReviseWorkflow>,
) -> Result<Json<WorkflowResponse>, Problem> {
    let id = path.id(Code::WorkflowNotFound)?;
    let edited = if_match.or(body.version)?;
    let change = body.into_revision(edited);
    let workflow = state.engine.revise_workflow(caller.workspace, id, change, &caller.subject).await;
    let workflow = workflow.map_err(|error| Problem::in_document(error, Code::WorkflowInvalid, "/definition"))?;
    Ok(Json(WorkflowResponse { workflow: workflow.into() }))
}

/// List the versions of a workflow
///
/// Newest first, at most 100, without their definitions.
#[utoipa::path(get, path = "/workflows/{id}/versions", operation_id = "listWorkflowVersions", tag = "workflows",
    params(
        ("id" = String, Path, description = "The workflow's id.", example = "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70"),
        PageQuery,
    ),
    responses((status = 200, description = "A page of them.", body = WorkflowVersionsResponse)))]
pub(crate) async fn list_workflow_versions(
    State(state): State<ApiState>,
    caller: Caller,
    path: PathText,
    Query(query): Query<PageQuery>,
) -> Result<Json<WorkflowVersionsResponse>, Problem> {
    let id = path.id(Code::WorkflowNotFound)?;
    let page = query.page::<i32>(VERSIONS_PAGE_MAX)?;
    let versions = state.engine.workflow_versions(caller.workspace, id, page.after, page.rows()).await?;
    let (versions, next_cursor) = page.cut(versions, |version| version.version);
    let versions = versions.into_iter().map(WorkflowVersionSummaryBody::from).collect();
    Ok(Json(WorkflowVersionsResponse { versions, next_cursor }))
}

/// Get a version of a workflow
#[utoipa::path(get, path = "/workflows/{id}/versions/{version}", operation_id = "getWorkflowVersion", tag = "workflows",
    params(
        ("id" = String, Path, description = "The workflow's id.", example = "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70"),
        ("version" = i32, Path, description = "The version's number.", example = 1),
    ),
    responses((status = 200, description = "The version.", body = WorkflowVersionResponse)))]
pub(crate) async fn get_workflow_version(
    State(state): State<ApiState>,
    caller: Caller,
    path: PathNumbered,
) -> Result<Json<WorkflowVersionResponse>, Problem> {
    let id = path.id(Code::WorkflowNotFound)?;
    let version = path.number(Code::WorkflowVersionNotFound)?;
    let version = state.engine.workflow_version(caller.workspace, id, version).await?;
    Ok(Json(WorkflowVersionResponse { version: version.into() }))
}

/// Restore a version of a workflow
///
/// Makes a new version with the old one's definition, which is checked again. `If-Match: "<version>"` does so only while
/// that version is the newest.
#[utoipa::path(post, path = "/workflows/{id}/versions/{version}/restore", operation_id = "restoreWorkflowVersion",
    tag = "workflows",
    params(
        ("id" = String, Path, description = "The workflow's id.", example = "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70"),
        ("version" = i32, Path, description = "The number of the version to restore.", example = 1),
        ("If-Match" = Option<String>, Header, description = "The version that is expected to be the newest, in quotes.",
            example = "\"3\""),
    ),
    responses(
        (status = 200, description = "The workflow as it is now.", body = WorkflowResponse),
        (status = 409, description = "Another version is the newest by now: `newest`. Or there are 10,000 versions already. Or it was made of a request.",
            body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The old definition has faults by today's rules; `errors` lists all of them.",
            body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn restore_workflow_version(
    State(state): State<ApiState>,
    Member(caller): Member,
    path: PathNumbered,
    IfMatch(expected): IfMatch,
) -> Result<Json<WorkflowResponse>, Problem> {
    let id = path.id(Code::WorkflowNotFound)?;
    let version = path.number(Code::WorkflowVersionNotFound)?;
    let restored =
        state.engine.restore_workflow_version(caller.workspace, id, version, expected, &caller.subject).await;
    let workflow = restored.map_err(|error| Problem::in_document(error, Code::WorkflowInvalid, "/definition"))?;
    Ok(Json(WorkflowResponse { workflow: workflow.into() }))
}

/// Compare two versions of a workflow
///
/// What changed from one definition to another. Steps are known by their ids, so that one that stands elsewhere is a `move`
/// and not a `remove` and an `add`.
#[utoipa::path(get, path = "/workflows/{id}/versions/{version}/diff/{other}", operation_id = "diffWorkflowVersions",
    tag = "workflows",
    params(
        ("id" = String, Path, description = "The workflow's id.", example = "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70"),
        ("version" = i32, Path, description = "The number of the version to compare.", example = 1),
        ("other" = i32, Path, description = "The number of the version to compare it with.", example = 2),
    ),
    responses((status = 200, description = "What changed.", body = DiffResponse)))]
pub(crate) async fn diff_workflow_versions(
    State(state): State<ApiState>,
    caller: Caller,
    path: PathBetween,
) -> Result<Json<DiffResponse>, Problem> {
    let id = path.from.id(Code::WorkflowNotFound)?;
    let from = path.from.number(Code::WorkflowVersionNotFound)?;
    let to = path.to.number(Code::WorkflowVersionNotFound)?;
    let diff = state.engine.diff_workflow_versions(caller.workspace, id, from, to).await?;
    Ok(Json(DiffResponse { diff: DiffBody::new(from, to, diff) }))
}
