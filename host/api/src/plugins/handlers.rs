//! Reading plugins, and changing what is in force.

use armilla_engine::Activate;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::Value;

use super::{
    GrantBody, GrantResponse, GrantsResponse, MoveRuns, PluginBody, PluginResponse, PluginsResponse, VersionBody,
    VersionsResponse,
};
use crate::auth::{Admin, Caller};
use crate::page::PageQuery;
use crate::problem::{Code, Problem};
use crate::request::{JsonBody, OptionalJsonBody, PathNumbered, PathText, Query};
use crate::state::ApiState;

/// The most that a list of a grant's revisions gives at once.
const GRANTS_PAGE_MAX: u32 = 100;

/// List the plugins
///
/// Every plugin that this workspace can call, by name: its own, and those of the default workspace.
#[utoipa::path(get, path = "/plugins", operation_id = "listPlugins", tag = "plugins",
    responses((status = 200, description = "All of them.", body = PluginsResponse)))]
pub(crate) async fn list_plugins(State(state): State<ApiState>, caller: Caller) -> Json<PluginsResponse> {
    let plugins = state.engine.plugins(caller.workspace).into_iter().map(PluginBody::from).collect();
    Json(PluginsResponse { plugins, next_cursor: None })
}

/// Get a plugin
///
/// With its active version, what it wants, and what it was granted.
#[utoipa::path(get, path = "/plugins/{name}", operation_id = "getPlugin", tag = "plugins",
    params(("name" = String, Path, description = "The plugin's name.", example = "text")),
    responses((status = 200, description = "The plugin.", body = PluginResponse)))]
pub(crate) async fn get_plugin(
    State(state): State<ApiState>,
    caller: Caller,
    PathText(name): PathText,
) -> Result<Json<PluginResponse>, Problem> {
    Ok(Json(PluginResponse { plugin: state.engine.plugin(caller.workspace, &name)?.into() }))
}

/// Delete a plugin
///
/// With all its versions and what was granted to it. Refused while unfinished runs are on any of them.
#[utoipa::path(delete, path = "/plugins/{name}", operation_id = "deletePlugin", tag = "plugins",
    params(("name" = String, Path, description = "The plugin's name.", example = "shout")),
    responses(
        (status = 204, description = "It is gone."),
        (status = 409, description = "Unfinished runs are on it: `runs` lists them.", body = crate::problem::ProblemBody,
            content_type = "application/problem+json"),
    ))]
pub(crate) async fn delete_plugin(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    PathText(name): PathText,
) -> Result<StatusCode, Problem> {
    state.engine.delete_plugin(caller.workspace, &name, &caller.subject).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the versions of a plugin
///
/// Newest first.
#[utoipa::path(get, path = "/plugins/{name}/versions", operation_id = "listPluginVersions", tag = "plugins",
    params(("name" = String, Path, description = "The plugin's name.", example = "text")),
    responses((status = 200, description = "All of them.", body = VersionsResponse)))]
pub(crate) async fn list_plugin_versions(
    State(state): State<ApiState>,
    caller: Caller,
    PathText(name): PathText,
) -> Result<Json<VersionsResponse>, Problem> {
    let versions = state.engine.plugin_versions(caller.workspace, &name)?;
    Ok(Json(VersionsResponse { versions: versions.into_iter().map(VersionBody::from).collect(), next_cursor: None }))
}

/// Delete a version of a plugin
///
/// Refused for the active one, and while unfinished runs are on it.
#[utoipa::path(delete, path = "/plugins/{name}/versions/{version}", operation_id = "deletePluginVersion", tag = "plugins",
    params(
        ("name" = String, Path, description = "The plugin's name.", example = "shout"),
        ("version" = i32, Path, description = "The version's number.", example = 1),
    ),
    responses(
        (status = 204, description = "It is gone."),
        (status = 409, description = "It is active, or unfinished runs are on it: `runs` lists them.",
            body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn delete_plugin_version(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    path: PathNumbered,
) -> Result<StatusCode, Problem> {
    let version = path.number(Code::PluginVersionNotFound)?;
    state.engine.delete_plugin_version(caller.workspace, &path.name, version, &caller.subject).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Make a version the active one
///
/// New runs use it on every host within a second. Calls in flight end on theirs, and runs stay on theirs unless `moveRuns`
/// says otherwise.
#[utoipa::path(post, path = "/plugins/{name}/versions/{version}/activate", operation_id = "activatePluginVersion",
    tag = "plugins",
    params(
        ("name" = String, Path, description = "The plugin's name.", example = "shout"),
        ("version" = i32, Path, description = "The version's number.", example = 2),
    ),
    request_body(content = Option<MoveRuns>),
    responses(
        (status = 200, description = "It is active.", body = PluginResponse),
        (status = 409, description = "It cannot be: a tool's name is another plugin's by now, or it cannot be loaded.",
            body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn activate_plugin_version(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    path: PathNumbered,
    OptionalJsonBody(body): OptionalJsonBody<MoveRuns>,
) -> Result<Json<PluginResponse>, Problem> {
    let version = path.number(Code::PluginVersionNotFound)?;
    let activate = Activate { version, move_runs: body.unwrap_or_default().move_runs };
    let plugin = state.engine.activate_plugin(caller.workspace, &path.name, activate, &caller.subject).await?;
    Ok(Json(PluginResponse { plugin: plugin.into() }))
}

/// Roll a plugin back
///
/// Makes the version active that was so before the present one.
#[utoipa::path(post, path = "/plugins/{name}/rollback", operation_id = "rollBackPlugin", tag = "plugins",
    params(("name" = String, Path, description = "The plugin's name.", example = "shout")),
    request_body(content = Option<MoveRuns>),
    responses(
        (status = 200, description = "The earlier version is active.", body = PluginResponse),
        (status = 409, description = "There is nothing to go back to.", body = crate::problem::ProblemBody,
            content_type = "application/problem+json"),
    ))]
pub(crate) async fn roll_back_plugin(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    PathText(name): PathText,
    OptionalJsonBody(body): OptionalJsonBody<MoveRuns>,
) -> Result<Json<PluginResponse>, Problem> {
    let move_runs = body.unwrap_or_default().move_runs;
    let plugin = state.engine.roll_back_plugin(caller.workspace, &name, move_runs, &caller.subject).await?;
    Ok(Json(PluginResponse { plugin: plugin.into() }))
}

/// Let a plugin be called again
#[utoipa::path(post, path = "/plugins/{name}/enable", operation_id = "enablePlugin", tag = "plugins",
    params(("name" = String, Path, description = "The plugin's name.", example = "shout")),
    responses((status = 200, description = "It may be called.", body = PluginResponse)))]
pub(crate) async fn enable_plugin(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    PathText(name): PathText,
) -> Result<Json<PluginResponse>, Problem> {
    let plugin = state.engine.set_plugin_enabled(caller.workspace, &name, true, &caller.subject).await?;
    Ok(Json(PluginResponse { plugin: plugin.into() }))
}

/// Take a plugin out of service
///
/// From the next call on nobody can call it, runs that are on it included.
#[utoipa::path(post, path = "/plugins/{name}/disable", operation_id = "disablePlugin", tag = "plugins",
    params(("name" = String, Path, description = "The plugin's name.", example = "shout")),
    responses((status = 200, description = "It may not be called.", body = PluginResponse)))]
pub(crate) async fn disable_plugin(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    PathText(name): PathText,
) -> Result<Json<PluginResponse>, Problem> {
    let plugin = state.engine.set_plugin_enabled(caller.workspace, &name, false, &caller.subject).await?;
    Ok(Json(PluginResponse { plugin: plugin.into() }))
}

/// Get a plugin's grant
///
/// What this workspace granted it, beside what it wants.
#[utoipa::path(get, path = "/plugins/{name}/grants", operation_id = "getPluginGrant", tag = "plugins",
    params(("name" = String, Path, description = "The plugin's name.", example = "http")),
    responses((status = 200, description = "The grant in force.", body = GrantResponse)))]
pub(crate) async fn get_plugin_grant(
    State(state): State<ApiState>,
    caller: Caller,
    PathText(name): PathText,
) -> Result<Json<GrantResponse>, Problem> {
    let needs = PluginBody::from(state.engine.plugin(caller.workspace, &name)?).needs;
    let in_force = state.engine.plugin_grant(caller.workspace, &name)?.into();
    Ok(Json(GrantResponse { needs, in_force }))
}

/// Grant a plugin
///
/// Exactly this, in place of what was granted before, from the next call on, for this workspace. An empty object takes
/// everything away.
#[utoipa::path(put, path = "/plugins/{name}/grants", operation_id = "putPluginGrant", tag = "plugins",
    params(("name" = String, Path, description = "The plugin's name.", example = "http")),
    request_body(content = Object, example = json!({
        "http": [{ "host": "api.example.com", "methods": ["GET", "POST"] }],
        "secrets": [{ "name": "api-key", "hosts": ["api.example.com"] }],
    })),
    responses((status = 200, description = "It is in force.", body = GrantResponse)))]
pub(crate) async fn put_plugin_grant(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    PathText(name): PathText,
    JsonBody(grant): JsonBody<Value>,
) -> Result<Json<GrantResponse>, Problem> {
    let granted = state.engine.put_plugin_grant(caller.workspace, &name, &grant, &caller.subject).await;
    let granted = granted.map_err(|error| Problem::in_document(error, Code::GrantInvalid, ""))?;
    let needs = PluginBody::from(state.engine.plugin(caller.workspace, &name)?).needs;
    Ok(Json(GrantResponse { needs, in_force: granted.into() }))
}

/// List the revisions of a plugin's grant
///
/// Who granted what when, newest first.
#[utoipa::path(get, path = "/plugins/{name}/grants/history", operation_id = "listPluginGrants", tag = "plugins",
    params(("name" = String, Path, description = "The plugin's name.", example = "http"), PageQuery),
    responses((status = 200, description = "A page of them.", body = GrantsResponse)))]
pub(crate) async fn list_plugin_grants(
    State(state): State<ApiState>,
    Admin(caller): Admin,
    PathText(name): PathText,
    Query(query): Query<PageQuery>,
) -> Result<Json<GrantsResponse>, Problem> {
    let page = query.page::<i64>(GRANTS_PAGE_MAX)?;
    let grants = state.engine.plugin_grant_history(caller.workspace, &name, page.after, page.rows()).await?;
    let (grants, next_cursor) = page.cut(grants, |grant| grant.revision.unwrap_or_default());
    Ok(Json(GrantsResponse { grants: grants.into_iter().map(GrantBody::from).collect(), next_cursor }))
}
