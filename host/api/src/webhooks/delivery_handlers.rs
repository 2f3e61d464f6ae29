//! The inspector: which deliveries there are, and all that is known of one.

use armilla_domain::id::DeliveryId;
use armilla_webhooks::DeliveryFilter;
use axum::Json;
use axum::extract::State;

use super::{
    DELIVERIES_PAGE_MAX, DeliveriesQuery, WebhookDeliveriesResponse, WebhookDeliveryBody, WebhookDeliveryDetailResponse,
};
use crate::auth::{Admin, Caller};
use crate::page::PageQuery;
use crate::problem::{Code, Problem};
use crate::request::{PathText, Query};
use crate::state::ApiState;

/// List the deliveries
///
/// Of all webhooks, newest first, at most 100. They are kept for 30 days, those of deleted webhooks too.
#[utoipa::path(get, path = "/webhooks/deliveries", operation_id = "listDeliveries", tag = "webhooks",
    params(DeliveriesQuery),
    responses((status = 200, description = "A page of them.", body = WebhookDeliveriesResponse)))]
pub(crate) async fn list_deliveries(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<DeliveriesQuery>,
) -> Result<Json<WebhookDeliveriesResponse>, Problem> {
    let (filter, page) = query.parts()?;
    answer(&state, &caller, &filter, page).await
}

/// List the deliveries of a webhook
///
/// Newest first, at most 100. They are kept for 30 days.
#[utoipa::path(get, path = "/webhooks/{id}/deliveries", operation_id = "listWebhookDeliveries", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's id.", example = "wh_0196f0c45e7a7c3f8d1b2a3c4d5e6f70"), DeliveriesQuery),
    responses((status = 200, description = "A page of them.", body = WebhookDeliveriesResponse)))]
pub(crate) async fn list_webhook_deliveries(
    State(state): State<ApiState>,
    caller: Caller,
    path: PathText,
    Query(query): Query<DeliveriesQuery>,
) -> Result<Json<WebhookDeliveriesResponse>, Problem> {
    let (filter, page) = query.parts()?;
    let webhook = state.webhooks.webhook(caller.workspace, path.id(Code::WebhookNotFound)?).await?.id;
    answer(&state, &caller, &DeliveryFilter { webhook: Some(webhook), ..filter }, page).await
}

async fn answer(
    state: &ApiState,
    caller: &Caller,
    filter: &DeliveryFilter,
    page: PageQuery,
) -> Result<Json<WebhookDeliveriesResponse>, Problem> {
    let page = page.page::<DeliveryId>(DELIVERIES_PAGE_MAX)?;
    let found = state.webhooks.deliveries(caller.workspace, filter, page.after, page.rows()).await?;
    let (found, next_cursor) = page.cut(found, |one| one.id);
    let deliveries = found.into_iter().map(WebhookDeliveryBody::from).collect();
    Ok(Json(WebhookDeliveriesResponse { deliveries, next_cursor }))
}

/// Inspect a delivery
///
/// What is sent, and each try of it: the request as it was sent, the answer, the address, how long what took, why and when it is tried again.
/// Needs the role `admin`: bodies that tools made, and answers, may hold what is not for everybody.
#[utoipa::path(get, path = "/webhooks/deliveries/{id}", operation_id = "getDelivery", tag = "webhooks",
    params(("id" = String, Path, description = "The delivery's id.", example = "dlv_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    responses((status = 200, description = "The delivery.", body = WebhookDeliveryDetailResponse)))]
pub(crate) async fn get_delivery(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    path: PathText,
) -> Result<Json<WebhookDeliveryDetailResponse>, Problem> {
    let found = state.webhooks.delivery(caller.workspace, path.id(Code::DeliveryNotFound)?).await?;
    Ok(Json(WebhookDeliveryDetailResponse { delivery: found.into() }))
}
