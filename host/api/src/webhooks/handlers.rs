//! Making, reading, changing and deleting webhooks.

use armilla_domain::fault::Fault;
use armilla_domain::id::WebhookId;
use armilla_webhooks::WebhookWithSecret;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::{WEBHOOKS_PAGE_MAX, WebhookBody, WebhookResponse, WebhooksResponse, WriteWebhook};
use crate::auth::{Admin, Caller};
use crate::page::PageQuery;
use crate::problem::{Code, Problem, ProblemBody};
use crate::request::{PathText, Query, SoundBody};
use crate::state::ApiState;

/// A webhook that was made, with its secret, which is shown this once. Without `Debug`, for that.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedWebhook {
    /// The webhook.
    #[serde(flatten)]
    webhook: WebhookBody,
    /// What its deliveries are signed with.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    secret: String,
}

impl From<WebhookWithSecret> for CreatedWebhook {
    fn from(WebhookWithSecret { view, secret }: WebhookWithSecret) -> Self {
        Self { webhook: view.into(), secret }
    }
}

/// Create a webhook
///
/// It is told what happens from now on, each event by a signed `POST` (Standard Webhooks 1.0) that is tried again until it arrives. Its secret
/// is in this answer and in no later one. All faults come at once.
#[utoipa::path(post, path = "/webhooks", operation_id = "createWebhook", tag = "webhooks",
    request_body(content = WriteWebhook, example = json!({
        "url": "https://example.com/events", "events": ["run.failed", "approval_requested"], "description": "To the pager",
    })),
    responses(
        (status = 201, description = "The webhook, with its secret.", body = CreatedWebhook,
            headers(("Location" = String, description = "The webhook: `/webhooks/{id}`."))),
        (status = 409, description = "The workspace has as many as it may.", body = ProblemBody,
            content_type = "application/problem+json"),
    ))]
pub(crate) async fn create_webhook(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    body: SoundBody<WriteWebhook>,
) -> Result<impl IntoResponse, Problem> {
    let wanted = body.judged(Code::WebhookInvalid, |wanted| state.webhooks.faults(wanted.clone().into()))?;
    let made = state.webhooks.create(caller.workspace, wanted.into(), &caller.subject).await?;
    let location = format!("/webhooks/{}", made.view.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(CreatedWebhook::from(made))))
}

/// List the webhooks
///
/// Newest first, at most 100, without their secrets.
#[utoipa::path(get, path = "/webhooks", operation_id = "listWebhooks", tag = "webhooks", params(PageQuery),
    responses((status = 200, description = "A page of them.", body = WebhooksResponse)))]
pub(crate) async fn list_webhooks(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<WebhooksResponse>, Problem> {
    let page = query.page::<WebhookId>(WEBHOOKS_PAGE_MAX)?;
    let found = state.webhooks.webhooks(caller.workspace, page.after, page.rows()).await?;
    let (found, next_cursor) = page.cut(found, |one| one.id);
    Ok(Json(WebhooksResponse { webhooks: found.into_iter().map(WebhookBody::from).collect(), next_cursor }))
}

/// Get a webhook
///
/// Without its secret.
#[utoipa::path(get, path = "/webhooks/{id}", operation_id = "getWebhook", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's id.", example = "wh_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    responses((status = 200, description = "The webhook.", body = WebhookResponse)))]
pub(crate) async fn get_webhook(
    State(state): State<ApiState>,
    caller: Caller,
    path: PathText,
) -> Result<Json<WebhookResponse>, Problem> {
    let found = state.webhooks.webhook(caller.workspace, path.id(Code::WebhookNotFound)?).await?;
    Ok(Json(found.into()))
}

/// Replace a webhook
///
/// All of it but its keys: what is absent is as if it was never said. Whether it is enabled stays as it is where `enabled` is absent. What
/// waits for a next try is tried at once, where the new URL is.
#[utoipa::path(put, path = "/webhooks/{id}", operation_id = "replaceWebhook", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's id.", example = "wh_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    request_body(content = WriteWebhook, example = json!({ "url": "https://example.com/events", "events": ["*"] })),
    responses((status = 200, description = "The webhook as it is now.", body = WebhookResponse)))]
pub(crate) async fn replace_webhook(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    path: PathText,
    body: SoundBody<WriteWebhook>,
) -> Result<Json<WebhookResponse>, Problem> {
    let id = path.id(Code::WebhookNotFound)?;
    let wanted = body.judged(Code::WebhookInvalid, |wanted| {
        let mut faults = key_faults(wanted);
        faults.extend(state.webhooks.faults(WriteWebhook { secret: None, ..wanted.clone() }.into()));
        faults
    })?;
    let enabled = wanted.enabled;
    let mut changed = state.webhooks.replace(caller.workspace, id, wanted.into(), &caller.subject).await?;
    if let Some(enabled) = enabled.filter(|enabled| *enabled != changed.enabled) {
        changed = state.webhooks.set_enabled(caller.workspace, id, enabled, &caller.subject).await?;
    }
    Ok(Json(changed.into()))
}

/// A key is not replaced in passing: the one before has to sign for a while.
fn key_faults(wanted: &WriteWebhook) -> Vec<Fault> {
    let given = [("/secret", wanted.secret.is_some()), ("/scheme", wanted.scheme.is_some())];
    let faults = given.into_iter().filter(|(_, given)| *given).map(|(place, _)| {
        Fault::new(
            place,
            "webhook.key",
            "`POST /webhooks/:id/rotate-secret` gives a webhook another key, with an overlap",
        )
    });
    faults.collect()
}

/// Delete a webhook
///
/// What waits is given up. What it was sent can be looked up for as long as any delivery.
#[utoipa::path(delete, path = "/webhooks/{id}", operation_id = "deleteWebhook", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's id.", example = "wh_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    responses((status = 204, description = "It is gone.")))]
pub(crate) async fn delete_webhook(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    path: PathText,
) -> Result<StatusCode, Problem> {
    state.webhooks.delete(caller.workspace, path.id(Code::WebhookNotFound)?, &caller.subject).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Enable a webhook
///
/// It is told what happens from now on; `POST /webhooks/{id}/replay` sends what it was not told meanwhile. One that is enabled stays as it is.
#[utoipa::path(post, path = "/webhooks/{id}/enable", operation_id = "enableWebhook", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's id.", example = "wh_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    responses((status = 200, description = "The webhook.", body = WebhookResponse)))]
pub(crate) async fn enable_webhook(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    path: PathText,
) -> Result<Json<WebhookResponse>, Problem> {
    let id = path.id(Code::WebhookNotFound)?;
    Ok(Json(state.webhooks.set_enabled(caller.workspace, id, true, &caller.subject).await?.into()))
}

/// Disable a webhook
///
/// It is told nothing more, and what waits is given up: it becomes `failed`.
#[utoipa::path(post, path = "/webhooks/{id}/disable", operation_id = "disableWebhook", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's id.", example = "wh_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    responses((status = 200, description = "The webhook.", body = WebhookResponse)))]
pub(crate) async fn disable_webhook(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    path: PathText,
) -> Result<Json<WebhookResponse>, Problem> {
    let id = path.id(Code::WebhookNotFound)?;
    Ok(Json(state.webhooks.set_enabled(caller.workspace, id, false, &caller.subject).await?.into()))
}
