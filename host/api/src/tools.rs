//! Tools: what the plugins on this host offer.

use std::sync::Arc;

use armilla_engine::Engine;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::problem::{Code, Problem};
use crate::request::PathText;
use crate::state::ApiState;

/// List the tools
///
/// Every tool that a workflow's `tool` steps can call on this server, by name.
#[utoipa::path(get, path = "/tools", operation_id = "listTools", tag = "tools",
    responses((status = 200, description = "All of them.", body = ToolsResponse)))]
pub(crate) async fn list_tools(State(state): State<ApiState>) -> Json<ToolsResponse> {
    let mut tools: Vec<_> = tools(&state.engine).collect();
    tools.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Json(ToolsResponse { tools, next_cursor: None })
}

/// Get a tool
///
/// With the schemas of its input and output, and what it says about its effects.
#[utoipa::path(get, path = "/tools/{name}", operation_id = "getTool", tag = "tools",
    params(("name" = String, Path, description = "What `toolName` calls it.", example = "text.slugify")),
    responses((status = 200, description = "The tool.", body = ToolResponse)))]
pub(crate) async fn get_tool(
    State(state): State<ApiState>,
    PathText(name): PathText,
) -> Result<Json<ToolResponse>, Problem> {
    let tool = tools(&state.engine).find(|tool| tool.name == name);
    let tool = tool.ok_or_else(|| Problem::not_found(Code::ToolNotFound))?;
    Ok(Json(ToolResponse { tool }))
}

fn tools(engine: &Engine) -> impl Iterator<Item = ToolBody> {
    engine.sandbox().tools().into_iter().map(|tool| ToolBody {
        name: tool.name,
        title: tool.title,
        description: tool.description,
        input_schema: tool.input_schema,
        output_schema: tool.output_schema,
        read_only: tool.hints.read_only,
        destructive: tool.hints.destructive,
        idempotent: tool.hints.idempotent,
        open_world: tool.hints.open_world,
        pure: tool.pure,
        plugin: PluginBody { name: tool.plugin, version: tool.version, digest: tool.digest },
    })
}

/// A function from JSON to JSON that a workflow's `tool` steps call by name.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Tool)]
pub struct ToolBody {
    /// What `toolName` calls it.
    #[schema(example = "text.slugify")]
    pub name: String,
    /// What people call it.
    pub title: String,
    /// What it does and when to use it.
    pub description: String,
    /// What its input must fit: JSON Schema 2020-12.
    #[schema(value_type = Object)]
    pub input_schema: Arc<Value>,
    /// What its output fits, where it says: JSON Schema 2020-12.
    #[schema(required = true, value_type = Option<Object>)]
    pub output_schema: Option<Arc<Value>>,
    /// It changes nothing outside.
    pub read_only: bool,
    /// What it changes may destroy something.
    pub destructive: bool,
    /// Calling it again with the same input has no further effect.
    pub idempotent: bool,
    /// It reaches beyond what the host controls.
    pub open_world: bool,
    /// It cannot touch anything outside, whatever it says: an attempt that failed is simply made again.
    pub pure: bool,
    /// The plugin that offers it.
    pub plugin: PluginBody,
}

/// The plugin that offers a tool.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Plugin)]
pub struct PluginBody {
    /// Its name.
    pub name: String,
    /// The version it states of itself.
    pub version: String,
    /// SHA-256 of its component, in hexadecimal.
    pub digest: String,
}

/// One tool.
#[derive(Debug, Serialize, ToSchema)]
pub struct ToolResponse {
    /// The tool.
    pub tool: ToolBody,
}

/// Every tool, by name. A host has few enough of them for one answer.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolsResponse {
    /// The tools.
    pub tools: Vec<ToolBody>,
    /// Always null: the list is whole.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}
