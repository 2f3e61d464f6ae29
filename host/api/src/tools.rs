//! Tools: what plugins offer.

use std::sync::Arc;

use armilla_domain::call::ErrorClass;
use armilla_engine::ToolView;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::auth::{Caller, Member};
use crate::problem::{Code, Problem};
use crate::request::{OptionalJsonBody, PathText};
use crate::state::ApiState;

/// List the tools
///
/// Every tool that this workspace's `tool` steps can call, by name.
#[utoipa::path(get, path = "/tools", operation_id = "listTools", tag = "tools",
    responses((status = 200, description = "All of them.", body = ToolsResponse)))]
pub(crate) async fn list_tools(State(state): State<ApiState>, caller: Caller) -> Json<ToolsResponse> {
    let tools = state.engine.tools(caller.workspace).into_iter().map(ToolBody::from).collect();
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
    caller: Caller,
    PathText(name): PathText,
) -> Result<Json<ToolResponse>, Problem> {
    Ok(Json(ToolResponse { tool: state.engine.tool(caller.workspace, &name)?.into() }))
}

/// Call a tool
///
/// Once, outside of any run and without retries, under the same grant and limits as a step: for trying a tool out.
#[utoipa::path(post, path = "/tools/{name}/invoke", operation_id = "invokeTool", tag = "tools",
    params(("name" = String, Path, description = "What `toolName` calls it.", example = "text.slugify")),
    request_body(content = Option<InvokeTool>, example = json!({ "input": { "text": "Crème brûlée" } })),
    responses(
        (status = 200, description = "Its answer.", body = InvokedResponse),
        (status = 422, description = "It failed, or does not take this input: `tool` has the error's own code.",
            body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "It cannot be called at the moment.",
            body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn invoke_tool(
    State(state): State<ApiState>,
    Member(caller): Member,
    PathText(name): PathText,
    OptionalJsonBody(body): OptionalJsonBody<InvokeTool>,
) -> Result<Json<InvokedResponse>, Problem> {
    let input = Value::Object(body.unwrap_or_default().input);
    let answer = state.engine.invoke_tool(caller.workspace, &name, &input, &caller.subject).await?;
    let answer = answer.map_err(|error| {
        let unavailable = matches!(error.class, ErrorClass::Unavailable | ErrorClass::RateLimited);
        let code = if unavailable { Code::ToolUnavailable } else { Code::ToolFailed };
        let problem = Problem::new(code, error.message.clone()).with("tool", json!({ "code": error.code }));
        match error.retry_after {
            Some(delay) if unavailable => problem.retry_after(delay),
            _ => problem,
        }
    })?;
    let plugin =
        PluginBody { name: answer.answerer.name, version: answer.answerer.version, digest: answer.answerer.digest };
    Ok(Json(InvokedResponse { output: answer.value, plugin }))
}

/// What a tool is called with.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct InvokeTool {
    /// What fits the tool's input schema; an empty object where absent.
    #[serde(default)]
    #[schema(value_type = Object)]
    input: Map<String, Value>,
}

/// What a tool answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct InvokedResponse {
    /// What fits the tool's output schema.
    pub output: Value,
    /// The plugin that answered.
    pub plugin: PluginBody,
}

impl From<ToolView> for ToolBody {
    fn from(view: ToolView) -> Self {
        let ToolView { tool, pure, plugin, stated_version, version: _, digest } = view;
        Self {
            name: tool.name,
            title: tool.title,
            description: tool.description,
            input_schema: tool.input_schema,
            output_schema: tool.output_schema,
            read_only: tool.hints.read_only,
            destructive: tool.hints.destructive,
            idempotent: tool.hints.idempotent,
            open_world: tool.hints.open_world,
            pure,
            plugin: PluginBody { name: plugin, version: stated_version, digest },
        }
    }
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
#[schema(as = ToolPlugin)]
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
