//! Making, reading, changing and deleting inbound hooks, and reading what was done with them.

use armilla_domain::hook::Hook;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;

use super::{
    HOOK_CALLS_PAGE_MAX, HOOKS_PAGE_MAX, InboundHookBody, InboundHookCallBody, InboundHookCallsResponse,
    InboundHookResponse, InboundHookTokenResponse, InboundHooksResponse, PutInboundHook,
};
use crate::auth::{Admin, Caller};
use crate::page::PageQuery;
use crate::problem::{Code, Problem, ProblemBody};
use crate::request::{JsonBody, PathText, Query};
use crate::state::ApiState;

/// Create an inbound hook
///
/// A URL that starts runs of a workflow. Its token is in this answer and nowhere else: the server keeps its SHA-256.
#[utoipa::path(post, path = "/inbound-hooks", operation_id = "createInboundHook", tag = "inbound hooks",
    request_body(content = PutInboundHook, example = json!({
        "name": "pull requests", "workflowId": "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70",
        "verify": { "scheme": "github", "secret": "github-webhook" },
        "when": "body.action == 'opened'", "input": { "title": "body.pull_request.title" },
    })),
    responses(
        (status = 201, description = "The hook, with its token.", body = InboundHookTokenResponse,
            headers(("Location" = String, description = "The hook: `/inbound-hooks/{id}`."))),
        (status = 409, description = "The workspace has as many as it may.", body = ProblemBody,
            content_type = "application/problem+json")))]
pub(crate) async fn create_inbound_hook(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    JsonBody(body): JsonBody<PutInboundHook>,
) -> Result<impl IntoResponse, Problem> {
    let made = state.engine.create_hook(caller.workspace, &body.into(), &caller.subject).await;
    let made = made.map_err(|error| Problem::in_document(error, Code::HookInvalid, ""))?;
    let location = format!("/inbound-hooks/{}", made.view.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(InboundHookTokenResponse::from(made))))
}

/// List the inbound hooks
///
/// Newest first, at most 50, without their tokens.
#[utoipa::path(get, path = "/inbound-hooks", operation_id = "listInboundHooks", tag = "inbound hooks", params(PageQuery),
    responses((status = 200, description = "A page of them.", body = InboundHooksResponse)))]
pub(crate) async fn list_inbound_hooks(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<InboundHooksResponse>, Problem> {
    let page = query.page(HOOKS_PAGE_MAX)?;
    let hooks = state.engine.hooks(caller.workspace, page.after, page.rows()).await?;
    let (hooks, next_cursor) = page.cut(hooks, |hook| hook.id);
    let inbound_hooks = hooks.into_iter().map(InboundHookBody::from).collect();
    Ok(Json(InboundHooksResponse { inbound_hooks, next_cursor }))
}

/// Get an inbound hook
#[utoipa::path(get, path = "/inbound-hooks/{id}", operation_id = "getInboundHook", tag = "inbound hooks",
    params(("id" = String, Path, description = "The hook's id.", example = "ih_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    responses((status = 200, description = "The hook, without its token.", body = InboundHookResponse)))]
pub(crate) async fn get_inbound_hook(
    State(state): State<ApiState>,
    caller: Caller,
    path: PathText,
) -> Result<Json<InboundHookResponse>, Problem> {
    let hook = state.engine.hook(caller.workspace, path.id(Code::HookNotFound)?).await?;
    Ok(Json(InboundHookResponse { inbound_hook: hook.into() }))
}

/// Replace an inbound hook
///
/// All but its token, from the next call on. How its calls are verified stays as it is where `verify` is absent.
#[utoipa::path(put, path = "/inbound-hooks/{id}", operation_id = "replaceInboundHook", tag = "inbound hooks",
    params(("id" = String, Path, description = "The hook's id.", example = "ih_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    request_body(content = PutInboundHook, example = json!({
        "name": "pull requests", "workflowId": "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70",
    })),
    responses((status = 200, description = "The hook as it is now.", body = InboundHookResponse)))]
pub(crate) async fn replace_inbound_hook(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    path: PathText,
    JsonBody(body): JsonBody<PutInboundHook>,
) -> Result<Json<InboundHookResponse>, Problem> {
    let id = path.id(Code::HookNotFound)?;
    let is_verified_as_before = body.verify.is_none();
    let mut hook = Hook::from(body);
    if is_verified_as_before {
        // To open a hook to whoever knows its URL has to be said.
        hook.verify = state.engine.hook(caller.workspace, id).await?.hook.verify;
    }
    let hook = state.engine.replace_hook(caller.workspace, id, &hook, &caller.subject).await;
    let hook = hook.map_err(|error| Problem::in_document(error, Code::HookInvalid, ""))?;
    Ok(Json(InboundHookResponse { inbound_hook: hook.into() }))
}

/// Delete an inbound hook
///
/// Its URL leads nowhere from now on. The runs that it started go on.
#[utoipa::path(delete, path = "/inbound-hooks/{id}", operation_id = "deleteInboundHook", tag = "inbound hooks",
    params(("id" = String, Path, description = "The hook's id.", example = "ih_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    responses((status = 204, description = "It is gone.")))]
pub(crate) async fn delete_inbound_hook(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    path: PathText,
) -> Result<StatusCode, Problem> {
    state.engine.delete_hook(caller.workspace, path.id(Code::HookNotFound)?, &caller.subject).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Rotate the token of an inbound hook
///
/// The hook has another URL from now on, and the one before leads nowhere.
#[utoipa::path(post, path = "/inbound-hooks/{id}/rotate-token", operation_id = "rotateInboundHookToken", tag = "inbound hooks",
    params(("id" = String, Path, description = "The hook's id.", example = "ih_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    responses((status = 200, description = "The hook, with its new token.", body = InboundHookTokenResponse)))]
pub(crate) async fn rotate_inbound_hook_token(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    path: PathText,
) -> Result<Json<InboundHookTokenResponse>, Problem> {
    let id = path.id(Code::HookNotFound)?;
    let made = state.engine.rotate_hook_token(caller.workspace, id, &caller.subject).await?;
    Ok(Json(made.into()))
}

/// List the calls of an inbound hook
///
/// The last 100, the last first, without what was sent.
#[utoipa::path(get, path = "/inbound-hooks/{id}/calls", operation_id = "listInboundHookCalls", tag = "inbound hooks",
    params(
        ("id" = String, Path, description = "The hook's id.", example = "ih_0196f0c45e7a7c3f8d1b2a3c4d5e6f70"),
        PageQuery,
    ),
    responses((status = 200, description = "A page of them.", body = InboundHookCallsResponse)))]
pub(crate) async fn list_inbound_hook_calls(
    State(state): State<ApiState>,
    caller: Caller,
    path: PathText,
    Query(query): Query<PageQuery>,
) -> Result<Json<InboundHookCallsResponse>, Problem> {
    let id = path.id(Code::HookNotFound)?;
    let page = query.page::<i64>(HOOK_CALLS_PAGE_MAX)?;
    let calls = state.engine.hook_calls(caller.workspace, id, page.after, page.rows()).await?;
    let (calls, next_cursor) = page.cut(calls, |call| call.id);
    let calls = calls.into_iter().map(InboundHookCallBody::from).collect();
    Ok(Json(InboundHookCallsResponse { calls, next_cursor }))
}
