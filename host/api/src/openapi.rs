//! The OpenAPI 3.1 document: what the routes say about themselves, and what holds for all of them, said once.

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::{Extension, http::HeaderValue};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, OpenApi as OpenApiDocument, Ref, RefOr};
use utoipa::{Modify, OpenApi};

use crate::problem::{PROBLEM_MEDIA_TYPE, ProblemBody};
use crate::request::once;

const BEARER: &str = "bearer";

/// What the document says besides its routes.
#[derive(OpenApi)]
#[openapi(
    info(title = "Armilla", description = "Workflows of agents and sandboxed tools.\n\n\
        Every error answer is a problem (RFC 9457). `X-Request-ID` is taken or made, and stands in every answer. \
        Lists are newest first where not said otherwise; their `nextCursor` is the `cursor` of the next page."),
    components(schemas(ProblemBody)),
    tags(
        (name = "workflows", description = "Definitions, and starting them."),
        (name = "runs", description = "What runs and what ran."),
        (name = "pipelines", description = "Agents in a row, without a definition."),
        (name = "approvals", description = "Decisions that runs wait for."),
        (name = "schedules", description = "What starts runs by the clock."),
        (name = "agents", description = "Who is called over HTTP."),
        (name = "prompts", description = "What agents are told: templates, versions, labels and overrides."),
        (name = "tools", description = "What runs in the sandbox."),
        (name = "plugins", description = "Where tools come from, and what each may touch."),
        (name = "secrets", description = "What plugins put into requests without seeing it."),
        (name = "inbound hooks", description = "URLs that start runs."),
        (name = "events", description = "What happened."),
        (name = "webhooks", description = "Where events are sent to, signed, and what became of each."),
        (name = "operations", description = "For those who run the server."),
    ),
    modifiers(&Bearer)
)]
pub(crate) struct ApiDoc;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut OpenApiDocument) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some(
                "A JWT signed with HS256; its claims are `sub`, `role`, `ws`, `exp`, `nbf`, `iss` and `aud`.",
            ))
            .build();
        document.components.get_or_insert_default().add_security_scheme(BEARER, SecurityScheme::Http(scheme));
    }
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody.
    Public,
    /// Who has a token.
    Bearer,
}

/// Adds to each operation what the layers in front of it answer, and whether it needs a token.
pub(crate) fn complete(document: &mut OpenApiDocument, access: Access) {
    if access == Access::Bearer {
        document.paths.paths.values_mut().filter_map(|item| item.post.as_mut()).for_each(once::describe);
    }
    let operations = document.paths.paths.iter_mut();
    for (path, operation) in operations.flat_map(|(path, item)| operations_mut(item).map(move |one| (path, one))) {
        let security = match access {
            Access::Public => Vec::new(),
            Access::Bearer => vec![SecurityRequirement::new(BEARER, [] as [&str; 0])],
        };
        operation.security = Some(security);
        if access == Access::Bearer {
            problem(operation, "401", "There is no token, or not a good one.");
            problem(operation, "403", "The caller's role does not allow this.");
            problem(operation, "503", "The server cannot do it at the moment; `Retry-After` says when to ask again.");
        }
        if operation.parameters.as_ref().is_some_and(|parameters| !parameters.is_empty()) {
            problem(operation, "400", "A parameter or the body cannot be read.");
        }
        if path.contains('{') {
            problem(operation, "404", "What the path names is not there, or not for this caller.");
        }
        if operation.request_body.is_some() {
            problem(operation, "400", "A parameter or the body cannot be read.");
            problem(operation, "413", "The body is too large.");
            problem(operation, "415", "The body has a type that is not taken.");
            problem(operation, "422", "The body has faults; `errors` lists all of them.");
        }
        problem(operation, "default", "Something went wrong.");
    }
}

fn problem(operation: &mut Operation, status: &str, description: &str) {
    // What the operation says itself is more exact.
    operation.responses.responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(problem_response(description)));
}

fn problem_response(description: &str) -> Response {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    ResponseBuilder::new().description(description).content(PROBLEM_MEDIA_TYPE, content).build()
}

fn operations_mut(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [get, put, post, delete, patch].into_iter().filter_map(Option::as_mut)
}

/// The document as it is sent, made once.
#[derive(Debug, Clone)]
pub(crate) struct Document(Bytes);

impl Document {
    /// The text of `document`.
    pub(crate) fn new(document: &OpenApiDocument) -> Self {
        // Maps with string keys and no numbers that JSON lacks: it serialises, and a test reads it.
        Self(serde_json::to_vec(document).unwrap_or_default().into())
    }
}

/// Describe this API
#[utoipa::path(get, path = "/openapi.json", operation_id = "getOpenApi", tag = "operations",
    responses((status = 200, description = "The OpenAPI 3.1 document of every route.", body = serde_json::Value)))]
pub(crate) async fn openapi_json(Extension(document): Extension<Document>) -> impl IntoResponse {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], document.0)
}
