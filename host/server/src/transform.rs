//! What webhooks need of the engine: tools that make other bodies.

use std::sync::Arc;

use armilla_engine::Engine;
use armilla_webhooks::{TRANSFORM_WAIT_MAX, TransformCall, TransformTool};

/// Calls the tools of a workspace, under its grants.
pub fn transform_by_tools(engine: Engine) -> TransformTool {
    Arc::new(move |call: TransformCall| {
        let engine = engine.clone();
        Box::pin(async move {
            let TransformCall { workspace, tool, plugin, input } = call;
            let answer = engine.call_tool(workspace, &tool, plugin.as_deref(), &input, TRANSFORM_WAIT_MAX).await;
            answer.map(|answer| answer.value).map_err(|error| format!("{}: {}", error.code, error.message))
        })
    })
}
