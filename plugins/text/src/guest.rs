//! The component's outer layer: from the contract's types to ours and back.

use armilla::plugin::types::{ErrorCode, Needs};
use exports::armilla::plugin::tools::{CallContext, Description, Guest, PluginInfo, Tool, ToolError};
use serde_json::Value;

wit_bindgen::generate!({ path: "../../wit", world: "pure-tool-plugin" });

struct Text;

export!(Text);

impl Guest for Text {
    fn describe() -> Description {
        Description {
            plugin: PluginInfo {
                name: "text".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                description: "Tools for plain text: extract, replace, split, slugify, count words, strip Markdown."
                    .to_owned(),
            },
            tools: crate::TOOLS.map(tool).into(),
            needs: Needs {
                http_hosts: Vec::new(),
                secrets: Vec::new(),
                config_keys: Vec::new(),
                kv: Vec::new(),
                clock: false,
                random: false,
            },
        }
    }

    fn call(tool: String, input: String, _context: CallContext) -> Result<String, ToolError> {
        crate::call(&tool, &input).map_err(|error| ToolError {
            code: ErrorCode::InvalidInput,
            message: error.0,
            retryable: false,
            retry_after_milliseconds: None,
            details: None,
        })
    }
}

fn tool(tool: &str) -> Tool {
    let tool: Value = serde_json::from_str(tool).unwrap_or_default();
    let text = |field: &str| tool[field].as_str().unwrap_or_default().to_owned();
    Tool {
        name: text("name"),
        title: text("title"),
        description: text("description"),
        input_schema: tool["inputSchema"].to_string(),
        output_schema: Some(tool["outputSchema"].to_string()),
        read_only: Some(true),
        destructive: Some(false),
        idempotent: Some(true),
        open_world: Some(false),
    }
}
