//! Trying webhooks out: a test of one, and a mode in which nothing leaves.

use armilla_webhooks::Trial;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::{DELIVERIES_PAGE_MAX, WebhookDeliveryBody, WebhookDeliveryDetail};
use crate::auth::{Admin, Caller};
use crate::page::PageQuery;
use crate::problem::{Code, Problem, ProblemBody};
use crate::request::{PathText, Query};
use crate::state::ApiState;

/// What came of a test.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookTestResponse {
    /// Whether its endpoint took it, or it was captured.
    success: bool,
    /// The delivery, with what was sent and what came back.
    delivery: WebhookDeliveryDetail,
}

/// Whether the test mode is on.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WebhookTestModeResponse {
    /// Whether deliveries are made and signed, but not sent.
    test_mode: bool,
}

/// What was captured, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WebhookTestModeLogResponse {
    /// Whether deliveries are captured at the moment.
    test_mode: bool,
    /// Those that were.
    deliveries: Vec<WebhookDeliveryBody>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// Test a webhook
///
/// Sends it an event of the type `webhook.test` now and once, signed as any other, whether or not it is enabled, and answers what it said. In
/// test mode it is captured.
#[utoipa::path(post, path = "/webhooks/{id}/test", operation_id = "testWebhook", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's id.", example = "wh_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    responses(
        (status = 200, description = "What came of it, whether or not it went well.", body = WebhookTestResponse),
        (status = 409, description = "Its key cannot be used.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn test_webhook(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    path: PathText,
) -> Result<Json<WebhookTestResponse>, Problem> {
    let id = path.id(Code::WebhookNotFound)?;
    let Trial { success, delivery } = state.webhooks.test(caller.workspace, id, &caller.subject).await?;
    Ok(Json(WebhookTestResponse { success, delivery: delivery.into() }))
}

/// Enable the test mode
///
/// From now on deliveries of the workspace are made and signed, but not sent: they become `captured`.
#[utoipa::path(post, path = "/webhooks/test-mode/enable", operation_id = "enableWebhookTestMode", tag = "webhooks",
    responses((status = 200, description = "It is on.", body = WebhookTestModeResponse)))]
pub(crate) async fn enable_webhook_test_mode(
    State(state): State<ApiState>,
    Admin(caller): Admin,
) -> Result<Json<WebhookTestModeResponse>, Problem> {
    state.webhooks.set_test_mode(caller.workspace, true, &caller.subject).await?;
    Ok(Json(WebhookTestModeResponse { test_mode: true }))
}

/// Disable the test mode
///
/// From now on deliveries are sent. What was captured stays so, unless it is resent.
#[utoipa::path(post, path = "/webhooks/test-mode/disable", operation_id = "disableWebhookTestMode", tag = "webhooks",
    responses((status = 200, description = "It is off.", body = WebhookTestModeResponse)))]
pub(crate) async fn disable_webhook_test_mode(
    State(state): State<ApiState>,
    Admin(caller): Admin,
) -> Result<Json<WebhookTestModeResponse>, Problem> {
    state.webhooks.set_test_mode(caller.workspace, false, &caller.subject).await?;
    Ok(Json(WebhookTestModeResponse { test_mode: false }))
}

/// List what was captured in test mode
///
/// Newest first, at most 100. `GET /webhooks/deliveries/{id}` has what would have been sent.
#[utoipa::path(get, path = "/webhooks/test-mode/log", operation_id = "listCapturedDeliveries", tag = "webhooks",
    params(PageQuery),
    responses((status = 200, description = "A page of it.", body = WebhookTestModeLogResponse)))]
pub(crate) async fn list_captured_deliveries(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<WebhookTestModeLogResponse>, Problem> {
    let page = query.page(DELIVERIES_PAGE_MAX)?;
    let test_mode = state.webhooks.test_mode(caller.workspace).await?;
    let found = state.webhooks.test_mode_log(caller.workspace, page.after, page.rows()).await?;
    let (found, next_cursor) = page.cut(found, |one| one.id);
    let deliveries = found.into_iter().map(WebhookDeliveryBody::from).collect();
    Ok(Json(WebhookTestModeLogResponse { test_mode, deliveries, next_cursor }))
}
