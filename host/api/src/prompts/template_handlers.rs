//! Creating, reading, changing, rendering and deleting prompt templates.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;

use super::{
    CategoryQuery, CreatePromptTemplate, PROMPTS_PAGE_MAX, PromptTemplateBody, PromptTemplateResponse,
    PromptTemplateVersionsResponse, PromptTemplatesResponse, RenderPromptTemplate, RenderedPromptResponse,
    RevisePromptTemplate,
};
use crate::auth::{Admin, Caller, Member};
use crate::page::PageQuery;
use crate::problem::{Code, Problem};
use crate::request::{JsonBody, OptionalJsonBody, PathText, Query};
use crate::state::ApiState;

/// Create a prompt template
///
/// A text with declared variables, which other templates and agents' prompts include by its name. It is checked whole, with what it
/// includes.
#[utoipa::path(post, path = "/prompt-templates", operation_id = "createPromptTemplate", tag = "prompts",
    request_body(content = CreatePromptTemplate, example = json!({
        "name": "code-review", "category": "engineering", "template": "Review this {{ language }} code: {{ code }}",
        "variables": ["language", "code"],
    })),
    responses(
        (status = 201, description = "The template.", body = PromptTemplateResponse,
            headers(("Location" = String, description = "The template: `/prompt-templates/{id}`."))),
        (status = 409, description = "The name is taken.", body = crate::problem::ProblemBody,
            content_type = "application/problem+json"),
    ))]
pub(crate) async fn create_prompt_template(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    JsonBody(body): JsonBody<CreatePromptTemplate>,
) -> Result<impl IntoResponse, Problem> {
    let template = state.engine.create_prompt_template(caller.workspace, body.into(), &caller.subject).await;
    let template = template.map_err(|error| Problem::in_document(error, Code::PromptTemplateInvalid, ""))?;
    let location = format!("/prompt-templates/{}", template.id);
    let body = PromptTemplateResponse { prompt_template: template.into() };
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(body)))
}

/// List the prompt templates
///
/// Newest first, at most 25, each at its newest version.
#[utoipa::path(get, path = "/prompt-templates", operation_id = "listPromptTemplates", tag = "prompts",
    params(CategoryQuery, PageQuery),
    responses((status = 200, description = "A page of them.", body = PromptTemplatesResponse)))]
pub(crate) async fn list_prompt_templates(
    State(state): State<ApiState>,
    caller: Caller,
    Query(of): Query<CategoryQuery>,
    Query(query): Query<PageQuery>,
) -> Result<Json<PromptTemplatesResponse>, Problem> {
    let page = query.page(PROMPTS_PAGE_MAX)?;
    if of.category.as_ref().is_some_and(|category| category.contains('\0')) {
        return Err(Problem::new(Code::QueryInvalid, "`category` has the character U+0000."));
    }
    let category = of.category.as_deref();
    let templates = state.engine.prompt_templates(caller.workspace, category, page.after, page.rows()).await?;
    let (templates, next_cursor) = page.cut(templates, |template| template.id);
    let prompt_templates = templates.into_iter().map(PromptTemplateBody::from).collect();
    Ok(Json(PromptTemplatesResponse { prompt_templates, next_cursor }))
}

/// Get a prompt template
#[utoipa::path(get, path = "/prompt-templates/{id}", operation_id = "getPromptTemplate", tag = "prompts",
    params(("id" = String, Path, description = "The template's id.", example = "pt_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    responses((status = 200, description = "The template at its newest version.", body = PromptTemplateResponse)))]
pub(crate) async fn get_prompt_template(
    State(state): State<ApiState>,
    caller: Caller,
    path: PathText,
) -> Result<Json<PromptTemplateResponse>, Problem> {
    let id = path.id(Code::PromptTemplateNotFound)?;
    let template = state.engine.prompt_template(caller.workspace, id).await?;
    Ok(Json(PromptTemplateResponse { prompt_template: template.into() }))
}

/// Change a prompt template
///
/// What is absent stays as it is. Another text or other variables make its next version, which those use at once that include it
/// without a version. What was read may be sent back.
#[utoipa::path(put, path = "/prompt-templates/{id}", operation_id = "revisePromptTemplate", tag = "prompts",
    params(("id" = String, Path, description = "The template's id.", example = "pt_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    request_body(content = RevisePromptTemplate, example = json!({
        "template": "Review this {{ language }} code in depth: {{ code }}",
    })),
    responses(
        (status = 200, description = "The template as it is now.", body = PromptTemplateResponse),
        (status = 409, description = "There are 1,000 versions already.", body = crate::problem::ProblemBody,
            content_type = "application/problem+json"),
    ))]
pub(crate) async fn revise_prompt_template(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    path: PathText,
    JsonBody(body): JsonBody<RevisePromptTemplate>,
) -> Result<Json<PromptTemplateResponse>, Problem> {
    let id = path.id(Code::PromptTemplateNotFound)?;
    let template = state.engine.revise_prompt_template(caller.workspace, id, body.into(), &caller.subject).await;
    let template = template.map_err(|error| Problem::in_document(error, Code::PromptTemplateInvalid, ""))?;
    Ok(Json(PromptTemplateResponse { prompt_template: template.into() }))
}

/// Delete a prompt template
///
/// An agent whose prompt includes it fails at its next call.
#[utoipa::path(delete, path = "/prompt-templates/{id}", operation_id = "deletePromptTemplate", tag = "prompts",
    params(("id" = String, Path, description = "The template's id.", example = "pt_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    responses(
        (status = 204, description = "It is gone, with its versions."),
        (status = 409, description = "Other templates include it: `includedBy`.", body = crate::problem::ProblemBody,
            content_type = "application/problem+json"),
    ))]
pub(crate) async fn delete_prompt_template(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    path: PathText,
) -> Result<StatusCode, Problem> {
    let id = path.id(Code::PromptTemplateNotFound)?;
    state.engine.delete_prompt_template(caller.workspace, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the versions of a prompt template
///
/// Newest first, at most 25.
#[utoipa::path(get, path = "/prompt-templates/{id}/versions", operation_id = "listPromptTemplateVersions", tag = "prompts",
    params(
        ("id" = String, Path, description = "The template's id.", example = "pt_0196f0c45e7a7c3f8d1b2a3c4d5e6f70"),
        PageQuery,
    ),
    responses((status = 200, description = "A page of them.", body = PromptTemplateVersionsResponse)))]
pub(crate) async fn list_prompt_template_versions(
    State(state): State<ApiState>,
    caller: Caller,
    path: PathText,
    Query(query): Query<PageQuery>,
) -> Result<Json<PromptTemplateVersionsResponse>, Problem> {
    let id = path.id(Code::PromptTemplateNotFound)?;
    let page = query.page::<i32>(PROMPTS_PAGE_MAX)?;
    let versions = state.engine.prompt_template_versions(caller.workspace, id, page.after, page.rows()).await?;
    let (versions, next_cursor) = page.cut(versions, |version| version.version);
    let versions = versions.into_iter().map(PromptTemplateBody::from).collect();
    Ok(Json(PromptTemplateVersionsResponse { versions, next_cursor }))
}

/// Render a prompt template
///
/// Its newest version, with what it includes. A variable that is missing, unknown or of another type is a fault that names it.
#[utoipa::path(post, path = "/prompt-templates/{id}/render", operation_id = "renderPromptTemplate", tag = "prompts",
    params(("id" = String, Path, description = "The template's id.", example = "pt_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    request_body(content = RenderPromptTemplate, example = json!({
        "variables": { "language": "Rust", "code": "fn main() {}" },
    })),
    responses(
        (status = 200, description = "The text.", body = RenderedPromptResponse),
        (status = 409, description = "What it includes is not there any more, or became too much.",
            body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn render_prompt_template(
    State(state): State<ApiState>,
    Member(caller): Member,
    path: PathText,
    OptionalJsonBody(body): OptionalJsonBody<RenderPromptTemplate>,
) -> Result<Json<RenderedPromptResponse>, Problem> {
    let id = path.id(Code::PromptTemplateNotFound)?;
    let given = body.unwrap_or_default().variables;
    let rendered = state.engine.render_prompt_template(caller.workspace, id, &given).await;
    let rendered = rendered.map_err(|error| Problem::in_document(error, Code::PromptVariablesInvalid, ""))?;
    Ok(Json(rendered.into()))
}
