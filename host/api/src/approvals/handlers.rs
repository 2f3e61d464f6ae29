//! Reading and deciding approvals.

use armilla_domain::id::ApprovalId;
use armilla_engine::Decision;
use axum::Json;
use axum::extract::State;

use super::{APPROVALS_PAGE_MAX, ApprovalBody, ApprovalResponse, ApprovalsQuery, ApprovalsResponse, Decide, STATUSES};
use crate::auth::Caller;
use crate::page::PageQuery;
use crate::problem::{Code, Problem};
use crate::request::{OptionalJsonBody, PathText, Query};
use crate::state::ApiState;

/// List the approvals
///
/// Newest first, at most 100, decided ones too; `status=open` lists those that wait for somebody.
#[utoipa::path(get, path = "/approvals", operation_id = "listApprovals", tag = "approvals", params(ApprovalsQuery),
    responses((status = 200, description = "A page of them.", body = ApprovalsResponse)))]
pub(crate) async fn list_approvals(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<ApprovalsQuery>,
) -> Result<Json<ApprovalsResponse>, Problem> {
    let ApprovalsQuery { status, run_id, limit, cursor } = query;
    if status.as_ref().is_some_and(|status| !STATUSES.contains(&status.as_str())) {
        return Err(Problem::new(Code::QueryInvalid, format!("`status` must be one of {}.", STATUSES.join(", "))));
    }
    let page = PageQuery { limit, cursor }.page::<ApprovalId>(APPROVALS_PAGE_MAX)?;
    let found = state.engine.approvals(caller.workspace, status.as_deref(), run_id, page.after, page.rows()).await?;
    let (approvals, next_cursor) = page.cut(found, |approval| approval.id);
    Ok(Json(ApprovalsResponse { approvals: approvals.into_iter().map(ApprovalBody::from).collect(), next_cursor }))
}

/// Get an approval
///
/// As it stands now.
#[utoipa::path(get, path = "/approvals/{id}", operation_id = "getApproval", tag = "approvals",
    params(("id" = String, Path, description = "The approval's id.", example = "apr_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    responses((status = 200, description = "The approval.", body = ApprovalResponse)))]
pub(crate) async fn get_approval(
    State(state): State<ApiState>,
    caller: Caller,
    path: PathText,
) -> Result<Json<ApprovalResponse>, Problem> {
    let approval = state.engine.approval(caller.workspace, path.id(Code::ApprovalNotFound)?).await?;
    Ok(Json(ApprovalResponse { approval: approval.into() }))
}

/// Approve
///
/// By one of its `approvers`, or an owner, once: the run goes on, and its step's result is `{ approved, by, note, at }`.
#[utoipa::path(post, path = "/approvals/{id}/approve", operation_id = "approve", tag = "approvals",
    params(("id" = String, Path, description = "The approval's id.", example = "apr_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    request_body(content = Option<Decide>, example = json!({ "note": "Go ahead." })),
    responses(
        (status = 200, description = "The approval.", body = ApprovalResponse),
        (status = 409, description = "It is not open any more.", body = crate::problem::ProblemBody,
            content_type = "application/problem+json"),
    ))]
pub(crate) async fn approve(
    State(state): State<ApiState>,
    caller: Caller,
    path: PathText,
    OptionalJsonBody(body): OptionalJsonBody<Decide>,
) -> Result<Json<ApprovalResponse>, Problem> {
    decide(state, caller, &path, body, true).await
}

/// Deny
///
/// As to approve; the step's result says `"approved": false`.
#[utoipa::path(post, path = "/approvals/{id}/deny", operation_id = "deny", tag = "approvals",
    params(("id" = String, Path, description = "The approval's id.", example = "apr_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    request_body(content = Option<Decide>, example = json!({ "note": "The figures are last year's." })),
    responses(
        (status = 200, description = "The approval.", body = ApprovalResponse),
        (status = 409, description = "It is not open any more.", body = crate::problem::ProblemBody,
            content_type = "application/problem+json"),
    ))]
pub(crate) async fn deny(
    State(state): State<ApiState>,
    caller: Caller,
    path: PathText,
    OptionalJsonBody(body): OptionalJsonBody<Decide>,
) -> Result<Json<ApprovalResponse>, Problem> {
    decide(state, caller, &path, body, false).await
}

/// Whose role is enough is the approval's own to say, so every caller comes as far as this.
async fn decide(
    state: ApiState,
    caller: Caller,
    path: &PathText,
    body: Option<Decide>,
    approved: bool,
) -> Result<Json<ApprovalResponse>, Problem> {
    let id = path.id(Code::ApprovalNotFound)?;
    let note = body.unwrap_or_default().note;
    let decision = Decision { approved, by: &caller.subject, role: caller.role.as_str(), note: note.as_deref() };
    let approval = state.engine.decide(caller.workspace, id, decision).await?;
    Ok(Json(ApprovalResponse { approval: approval.into() }))
}
