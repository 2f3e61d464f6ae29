//! The component's outer layer: from the contract's types to ours and back.

use crate::filter::{Failure, Input, run};
use armilla::plugin::types::{ErrorCode, Needs};
use exports::armilla::plugin::tools::{CallContext, Description, Guest, PluginInfo, Tool, ToolError};
use serde_json::{Value, json};

wit_bindgen::generate!({ path: "../../wit", world: "pure-tool-plugin" });

struct Jq;

export!(Jq);

impl Guest for Jq {
    fn describe() -> Description {
        let tool: Value = serde_json::from_str(crate::TOOL).unwrap_or_default();
        let text = |field: &str| tool[field].as_str().unwrap_or_default().to_owned();
        Description {
            plugin: PluginInfo {
                name: "jq".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                description: "Filters JSON with jq programs.".to_owned(),
            },
            tools: vec![Tool {
                name: text("name"),
                title: text("title"),
                description: text("description"),
                input_schema: tool["inputSchema"].to_string(),
                output_schema: Some(tool["outputSchema"].to_string()),
                read_only: Some(true),
                destructive: Some(false),
                idempotent: Some(true),
                open_world: Some(false),
            }],
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

    fn call(_tool: String, input: String, _context: CallContext) -> Result<String, ToolError> {
        let input: Input =
            serde_json::from_str(&input).map_err(|error| failure(ErrorCode::InvalidInput, error.to_string(), None))?;
        let output = run(input).map_err(|error| match error {
            Failure::Invalid { message, offset } => failure(
                ErrorCode::InvalidInput,
                format!("the filter is not a jq program: {message}"),
                Some(json!({ "offset": offset }).to_string()),
            ),
            Failure::Failed(message) => failure(ErrorCode::Failed, message, None),
        })?;
        serde_json::to_string(&output).map_err(|error| failure(ErrorCode::Failed, error.to_string(), None))
    }
}

fn failure(code: ErrorCode, message: String, details: Option<String>) -> ToolError {
    ToolError { code, message, retryable: false, retry_after_milliseconds: None, details }
}
