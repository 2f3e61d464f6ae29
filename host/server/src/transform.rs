//! What webhooks need of the engine: tools that make other bodies.

use std::pin::Pin;

use armilla_domain::id::WorkspaceId;
use armilla_domain::webhook::Transform;
use armilla_engine::Engine;
use armilla_webhooks::{TRANSFORM_WAIT_MAX, Tools, TransformCall};
use serde_json::Value;

/// Calls the tools of a workspace, under its grants.
pub struct EngineTools(pub Engine);

impl Tools for EngineTools {
    fn call(&self, call: TransformCall) -> Pin<Box<dyn Future<Output = Result<Value, String>> + Send>> {
        let engine = self.0.clone();
        Box::pin(async move {
            let TransformCall { workspace, tool, plugin, input } = call;
            let answer = engine.call_tool(workspace, &tool, plugin.as_deref(), &input, TRANSFORM_WAIT_MAX).await;
            answer.map(|answer| answer.value).map_err(|error| format!("{}: {}", error.code, error.message))
        })
    }

    fn missing(&self, workspace: WorkspaceId, by: &Transform) -> Option<String> {
        self.0.why_no_tool(workspace, &by.tool, by.plugin.as_deref())
    }
}
