//! Labels of versions: names that move.

use armilla_domain::prompt::{MESSAGE_CHARS_MAX, is_label};
use armilla_engine::{PromptLabelView, PromptMoveView};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::LABELS_PAGE_MAX;
use crate::auth::{Admin, Caller};
use crate::page::PageQuery;
use crate::problem::{Code, Problem};
use crate::request::{JsonBody, PathNumbered, PathText, Query};
use crate::state::ApiState;
use crate::wire::{Text, Timestamp};

/// Where a label is to go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MovePromptLabel {
    /// The version that it names from now on.
    #[schema(minimum = 1)]
    version: i32,
    /// Why.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 1_000)]
    message: Option<Text<1, { MESSAGE_CHARS_MAX }>>,
}

/// A label and where it is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PromptLabel)]
pub(crate) struct PromptLabelBody {
    /// The label.
    label: String,
    /// The version that it names.
    #[schema(minimum = 1)]
    version: i32,
    /// Who put it there: the `sub` of the token.
    moved_by: String,
    /// Why; null without a word.
    #[schema(required = true)]
    message: Option<String>,
    /// When.
    moved_at: Timestamp,
}

impl From<PromptLabelView> for PromptLabelBody {
    fn from(PromptLabelView { label, version, moved_by, message, moved_at }: PromptLabelView) -> Self {
        Self { label, version, moved_by, message, moved_at: moved_at.into() }
    }
}

/// One label.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PromptLabelResponse {
    /// The label.
    prompt_label: PromptLabelBody,
}

/// A page of labels, by name.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PromptLabelsResponse {
    /// The labels.
    prompt_labels: Vec<PromptLabelBody>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// A move of a label.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PromptLabelMove)]
pub(crate) struct PromptMoveBody {
    /// The version that it named before; null where it was new.
    #[schema(required = true)]
    from: Option<i32>,
    /// The version that it named then; null where it was taken away.
    #[schema(required = true)]
    to: Option<i32>,
    /// Who moved it: the `sub` of the token.
    moved_by: String,
    /// Why; null without a word.
    #[schema(required = true)]
    message: Option<String>,
    /// When.
    moved_at: Timestamp,
}

impl From<PromptMoveView> for PromptMoveBody {
    fn from(PromptMoveView { from, to, moved_by, message, moved_at, .. }: PromptMoveView) -> Self {
        Self { from, to, moved_by, message, moved_at: moved_at.into() }
    }
}

/// A page of moves, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PromptMovesResponse {
    /// The moves.
    moves: Vec<PromptMoveBody>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// A text that cannot be a label names none.
fn label_in(path: &PathNumbered) -> Result<&str, Problem> {
    let label = path.second();
    if is_label(label) { Ok(label) } else { Err(Problem::not_found(Code::PromptLabelNotFound)) }
}

/// List the labels of an agent's prompt
///
/// By name, at most 100.
#[utoipa::path(get, path = "/agents/{id}/prompt-labels", operation_id = "listPromptLabels", tag = "prompts",
    params(("id" = String, Path, description = "The agent's id.", example = "research-agent"), PageQuery),
    responses((status = 200, description = "A page of them.", body = PromptLabelsResponse)))]
pub(crate) async fn list_prompt_labels(
    State(state): State<ApiState>,
    caller: Caller,
    PathText(id): PathText,
    Query(query): Query<PageQuery>,
) -> Result<Json<PromptLabelsResponse>, Problem> {
    let page = query.page::<String>(LABELS_PAGE_MAX)?;
    let labels = state.engine.prompt_labels(caller.workspace, &id, page.after.as_deref(), page.rows()).await?;
    let (labels, next_cursor) = page.cut(labels, |label| label.label.clone());
    let prompt_labels = labels.into_iter().map(PromptLabelBody::from).collect();
    Ok(Json(PromptLabelsResponse { prompt_labels, next_cursor }))
}

/// Put a label on a version of an agent's prompt
///
/// It is new, or moves. An agent whose `promptLabel` it is goes by that version from the next call on.
#[utoipa::path(put, path = "/agents/{id}/prompt-labels/{label}", operation_id = "movePromptLabel", tag = "prompts",
    params(
        ("id" = String, Path, description = "The agent's id.", example = "research-agent"),
        ("label" = String, Path, description = "The label: 1 to 64 characters without a slash.", example = "production"),
    ),
    request_body(content = MovePromptLabel, example = json!({ "version": 2, "message": "It answered best." })),
    responses((status = 200, description = "The label.", body = PromptLabelResponse)))]
pub(crate) async fn move_prompt_label(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    path: PathNumbered,
    JsonBody(body): JsonBody<MovePromptLabel>,
) -> Result<Json<PromptLabelResponse>, Problem> {
    let label = path.second();
    let message = body.message.as_deref();
    let moved = state
        .engine
        .move_prompt_label(caller.workspace, &path.name, label, body.version, message, &caller.subject)
        .await;
    let moved = moved.map_err(|error| Problem::in_document(error, Code::PromptInvalid, ""))?;
    Ok(Json(PromptLabelResponse { prompt_label: moved.into() }))
}

/// Take a label away
///
/// Its history stays. An agent whose `promptLabel` it is fails at its next call.
#[utoipa::path(delete, path = "/agents/{id}/prompt-labels/{label}", operation_id = "deletePromptLabel", tag = "prompts",
    params(
        ("id" = String, Path, description = "The agent's id.", example = "research-agent"),
        ("label" = String, Path, description = "The label.", example = "production"),
    ),
    responses((status = 204, description = "It is gone.")))]
pub(crate) async fn delete_prompt_label(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    path: PathNumbered,
) -> Result<StatusCode, Problem> {
    let label = label_in(&path)?;
    state.engine.delete_prompt_label(caller.workspace, &path.name, label, &caller.subject).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the moves of a label
///
/// Newest first, at most 100; also of one that is gone.
#[utoipa::path(get, path = "/agents/{id}/prompt-labels/{label}/history", operation_id = "listPromptLabelMoves",
    tag = "prompts",
    params(
        ("id" = String, Path, description = "The agent's id.", example = "research-agent"),
        ("label" = String, Path, description = "The label.", example = "production"),
        PageQuery,
    ),
    responses((status = 200, description = "A page of them.", body = PromptMovesResponse)))]
pub(crate) async fn list_prompt_label_moves(
    State(state): State<ApiState>,
    caller: Caller,
    path: PathNumbered,
    Query(query): Query<PageQuery>,
) -> Result<Json<PromptMovesResponse>, Problem> {
    let label = label_in(&path)?;
    let page = query.page::<i64>(LABELS_PAGE_MAX)?;
    let engine = &state.engine;
    let moves = engine.prompt_label_history(caller.workspace, &path.name, label, page.after, page.rows()).await?;
    let (moves, next_cursor) = page.cut(moves, |one| one.id);
    Ok(Json(PromptMovesResponse { moves: moves.into_iter().map(PromptMoveBody::from).collect(), next_cursor }))
}
