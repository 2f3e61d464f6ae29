//! Another key for a webhook.

use armilla_domain::webhook::SignatureScheme;
use armilla_webhooks::{RotateSecret, WebhookWithSecret};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{SchemeSchema, WebhookBody};
use crate::auth::Admin;
use crate::problem::{Code, Problem, ProblemBody};
use crate::request::{OptionalJsonBody, PathText};
use crate::state::ApiState;

/// Another key. All of it may be left out.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RotateWebhookSecret {
    /// The secret; made by the server where absent.
    #[schema(write_only)]
    secret: Option<String>,
    /// How it signs; as the one before where absent.
    #[schema(value_type = Option<SchemeSchema>)]
    scheme: Option<SignatureScheme>,
    /// For how many hours the key before signs too: 24 where absent. 0 ends it at once.
    #[schema(minimum = 0, maximum = 720)]
    overlap_hours: Option<u32>,
}

/// A webhook with its new secret, which is shown this once. Without `Debug`, for that.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookSecretResponse {
    /// The webhook.
    webhook: WebhookBody,
    /// What its deliveries are signed with from now on.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    secret: String,
}

/// Rotate a webhook's secret
///
/// For the hours of the overlap each delivery carries a signature by either key, so that receivers may change at any moment of it.
#[utoipa::path(post, path = "/webhooks/{id}/rotate-secret", operation_id = "rotateWebhookSecret", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's id.", example = "wh_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    request_body(content = Option<RotateWebhookSecret>, example = json!({ "overlapHours": 48 })),
    responses(
        (status = 200, description = "The webhook, with its new secret.", body = WebhookSecretResponse),
        (status = 409, description = "As many keys sign as may.", body = ProblemBody,
            content_type = "application/problem+json"),
    ))]
pub(crate) async fn rotate_webhook_secret(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    path: PathText,
    OptionalJsonBody(body): OptionalJsonBody<RotateWebhookSecret>,
) -> Result<Json<WebhookSecretResponse>, Problem> {
    let RotateWebhookSecret { secret, scheme, overlap_hours } = body.unwrap_or_default();
    let rotate = RotateSecret { secret, scheme, overlap_hours };
    let id = path.id(Code::WebhookNotFound)?;
    let WebhookWithSecret { view, secret } =
        state.webhooks.rotate_secret(caller.workspace, id, rotate, &caller.subject).await?;
    Ok(Json(WebhookSecretResponse { webhook: view.into(), secret }))
}

#[cfg(test)]
mod tests {
    use armilla_webhooks::{OVERLAP_HOURS_DEFAULT, OVERLAP_HOURS_MAX};
    use serde_json::json;
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_overlap_that_is_documented_is_the_one_that_holds() {
        let overlap = json!(RotateWebhookSecret::schema())["properties"]["overlapHours"].clone();
        assert_eq!(overlap["maximum"], json!(OVERLAP_HOURS_MAX));
        let said = overlap["description"].as_str().unwrap_or_default();
        assert!(said.contains(&format!(": {OVERLAP_HOURS_DEFAULT} where absent")), "{said}");
    }
}
