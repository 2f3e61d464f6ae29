//! What the `type` of a problem leads to.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Code, Problem};
use crate::request::PathText;

/// What all problems of one kind have in common.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemKind {
    /// The kind.
    code: Code,
    /// What it means.
    title: &'static str,
    /// The HTTP status it is answered with.
    #[schema(example = 404)]
    status: u16,
}

/// Explain a kind of problem
///
/// The `type` of every error answer is the address of this.
#[utoipa::path(get, path = "/problems/{code}", operation_id = "getProblemKind", tag = "operations",
    params(("code" = String, Path, description = "A problem's `code`.", example = "workflow.not_found")),
    responses((status = 200, description = "What the kind means.", body = ProblemKind)))]
pub(crate) async fn get_problem_kind(PathText(code): PathText) -> Result<Json<ProblemKind>, Problem> {
    let code = Code::ALL.iter().copied().find(|known| known.as_str() == code);
    let code = code.ok_or_else(|| Problem::not_found(Code::ProblemNotFound))?;
    Ok(Json(ProblemKind { code, title: code.title(), status: code.status().as_u16() }))
}
