//! Secrets: set, listed by name, deleted. A value is never answered.

use armilla_engine::SecretView;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Admin;
use crate::page::PageQuery;
use crate::problem::{Code, Problem};
use crate::request::{JsonBody, PathText, Query};
use crate::state::ApiState;
use crate::wire::Timestamp;

/// The most that a list of secrets gives at once.
pub const SECRETS_PAGE_MAX: u32 = 100;

/// A secret's value. Without `Debug`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutSecret {
    /// 8 to 16,384 bytes.
    #[schema(min_length = 8, max_length = 16_384)]
    value: String,
}

/// A secret, without its value.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Secret)]
pub struct SecretBody {
    /// Its name.
    #[schema(example = "api-key")]
    pub name: String,
    /// Who set it last.
    pub updated_by: String,
    /// When it was first set.
    pub created_at: Timestamp,
    /// When it was last set.
    pub updated_at: Timestamp,
}

impl From<SecretView> for SecretBody {
    fn from(view: SecretView) -> Self {
        let SecretView { name, updated_by, created_at, updated_at } = view;
        Self { name, updated_by, created_at: created_at.into(), updated_at: updated_at.into() }
    }
}

/// One secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct SecretResponse {
    /// The secret.
    pub secret: SecretBody,
}

/// A page of secrets, by name.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretsResponse {
    /// The secrets.
    pub secrets: Vec<SecretBody>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// List the secrets
///
/// Their names; a value is never told.
#[utoipa::path(get, path = "/secrets", operation_id = "listSecrets", tag = "secrets", params(PageQuery),
    responses((status = 200, description = "A page of them.", body = SecretsResponse)))]
pub(crate) async fn list_secrets(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    Query(query): Query<PageQuery>,
) -> Result<Json<SecretsResponse>, Problem> {
    let page = query.page::<String>(SECRETS_PAGE_MAX)?;
    let secrets = state.engine.secrets(caller.workspace, page.after.as_deref(), page.rows()).await?;
    let (secrets, next_cursor) = page.cut(secrets, |secret| secret.name.clone());
    Ok(Json(SecretsResponse { secrets: secrets.into_iter().map(SecretBody::from).collect(), next_cursor }))
}

/// Set a secret
///
/// In place of one of the same name, from the next call on. It is sealed with a key that is not in the database.
#[utoipa::path(put, path = "/secrets/{name}", operation_id = "putSecret", tag = "secrets",
    params(("name" = String, Path, description = "1 to 64 of A-Z a-z 0-9 - _ .", example = "api-key")),
    request_body(content = PutSecret),
    responses((status = 200, description = "It is kept.", body = SecretResponse)))]
pub(crate) async fn put_secret(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    PathText(name): PathText,
    JsonBody(body): JsonBody<PutSecret>,
) -> Result<Json<SecretResponse>, Problem> {
    let secret = state.engine.put_secret(caller.workspace, &name, &body.value, &caller.subject).await;
    let secret = secret.map_err(|error| Problem::in_document(error, Code::SecretInvalid, ""))?;
    Ok(Json(SecretResponse { secret: secret.into() }))
}

/// Delete a secret
///
/// Plugins that were granted it are denied it from the next call on.
#[utoipa::path(delete, path = "/secrets/{name}", operation_id = "deleteSecret", tag = "secrets",
    params(("name" = String, Path, description = "The secret's name.", example = "api-key")),
    responses((status = 204, description = "It is gone.")))]
pub(crate) async fn delete_secret(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    PathText(name): PathText,
) -> Result<StatusCode, Problem> {
    state.engine.delete_secret(caller.workspace, &name, &caller.subject).await?;
    Ok(StatusCode::NO_CONTENT)
}
