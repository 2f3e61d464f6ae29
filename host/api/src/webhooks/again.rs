//! Sending again: one delivery, what failed, and what was never sent.

use armilla_webhooks::{Recover, Resent};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::WebhookDeliveryResponse;
use crate::auth::Admin;
use crate::problem::{Code, Problem, ProblemBody};
use crate::request::{JsonBody, PathText};
use crate::state::ApiState;
use crate::wire::Timestamp;

/// Of which time something is to be sent again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SendAgain {
    /// From this instant on, at most 30 days ago.
    since: Timestamp,
    /// Before this one; until now where absent.
    until: Option<Timestamp>,
    /// Count, and do nothing.
    #[serde(default)]
    dry_run: bool,
}

impl From<SendAgain> for Recover {
    fn from(SendAgain { since, until, dry_run }: SendAgain) -> Self {
        Self { since: since.0, until: until.map(|until| until.0), dry_run }
    }
}

/// What is sent again.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SendAgainResponse {
    /// How many deliveries are on their way by it, or would be.
    deliveries: u64,
    /// Whether these are all: one request sends at most 100,000, and the same request once more sends the next ones.
    complete: bool,
    /// Whether nothing was done.
    dry_run: bool,
}

impl SendAgainResponse {
    fn of(Resent { count, complete }: Resent, dry_run: bool) -> Self {
        Self { deliveries: count, complete, dry_run }
    }
}

/// Resend a delivery
///
/// At once, however it ended, with all its tries before it: the same body with the same `webhook-id`, signed anew.
#[utoipa::path(post, path = "/webhooks/deliveries/{id}/resend", operation_id = "resendDelivery", tag = "webhooks",
    params(("id" = String, Path, description = "The delivery's id.", example = "dlv_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    responses(
        (status = 202, description = "It is on its way.", body = WebhookDeliveryResponse),
        (status = 409, description = "Its webhook is disabled or deleted.", body = ProblemBody,
            content_type = "application/problem+json"),
    ))]
pub(crate) async fn resend_delivery(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    path: PathText,
) -> Result<impl IntoResponse, Problem> {
    let id = path.id(Code::DeliveryNotFound)?;
    let sent = state.webhooks.resend(caller.workspace, id, &caller.subject).await?;
    Ok((StatusCode::ACCEPTED, Json(WebhookDeliveryResponse { delivery: sent.into() })))
}

/// Recover failed deliveries of a webhook
///
/// Sends those again that were made in some time and failed, but for tests. `dryRun` counts them.
#[utoipa::path(post, path = "/webhooks/{id}/recover", operation_id = "recoverWebhook", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's id.", example = "wh_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    request_body(content = SendAgain, example = json!({ "since": "2026-01-30T00:00:00Z", "dryRun": true })),
    responses(
        (status = 200, description = "What is sent.", body = SendAgainResponse),
        (status = 409, description = "It is disabled.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn recover_webhook(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    path: PathText,
    JsonBody(body): JsonBody<SendAgain>,
) -> Result<Json<SendAgainResponse>, Problem> {
    let (id, dry_run) = (path.id(Code::WebhookNotFound)?, body.dry_run);
    let sent = state.webhooks.recover(caller.workspace, id, body.into(), &caller.subject).await?;
    Ok(Json(SendAgainResponse::of(sent, dry_run)))
}

/// Replay events to a webhook
///
/// Sends it the events of some time that it wants and that never became a delivery to it: from before it was made, or while it was disabled
/// or wanted others. `dryRun` counts them.
#[utoipa::path(post, path = "/webhooks/{id}/replay", operation_id = "replayWebhook", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's id.", example = "wh_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    request_body(content = SendAgain, example = json!({ "since": "2026-01-30T00:00:00Z", "dryRun": true })),
    responses(
        (status = 200, description = "What is sent.", body = SendAgainResponse),
        (status = 409, description = "It is disabled.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn replay_webhook(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    path: PathText,
    JsonBody(body): JsonBody<SendAgain>,
) -> Result<Json<SendAgainResponse>, Problem> {
    let (id, dry_run) = (path.id(Code::WebhookNotFound)?, body.dry_run);
    let sent = state.webhooks.replay_missing(caller.workspace, id, body.into(), &caller.subject).await?;
    Ok(Json(SendAgainResponse::of(sent, dry_run)))
}

#[cfg(test)]
mod tests {
    use armilla_webhooks::{DELIVERIES_KEPT_DAYS, SENT_AGAIN_MAX};

    #[test]
    fn the_bounds_that_are_documented_are_the_ones_that_hold() {
        assert_eq!((SENT_AGAIN_MAX, DELIVERIES_KEPT_DAYS), (100_000, 30));
    }
}
