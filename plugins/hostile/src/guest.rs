//! The component's outer layer: from the contract's types to ours and back.

use armilla::plugin::log::{self, Level};
use armilla::plugin::types::ErrorCode;
use exports::armilla::plugin::tools::{CallContext, Description, Guest, PluginInfo, Tool, ToolError};

wit_bindgen::generate!({ path: "../../wit", world: "tool-plugin" });

struct Hostile;

export!(Hostile);

impl Guest for Hostile {
    fn describe() -> Description {
        Description {
            plugin: PluginInfo {
                name: "hostile".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                description: "Test only: does what no plugin should.".to_owned(),
            },
            tools: crate::TOOLS.iter().map(|name| tool(name)).collect(),
        }
    }

    fn call(tool: String, input: String, _context: CallContext) -> Result<String, ToolError> {
        crate::call(&tool, &input, |line| log::write(Level::Info, line)).map_err(|message| ToolError {
            code: ErrorCode::Failed,
            message: message.to_owned(),
            retryable: true,
            retry_after_milliseconds: Some(250),
            details: None,
        })
    }
}

fn tool(name: &str) -> Tool {
    Tool {
        name: name.to_owned(),
        title: name.to_owned(),
        description: "Test only.".to_owned(),
        input_schema: r#"{"type":"object"}"#.to_owned(),
        output_schema: (name != "probe").then(|| r#"{"type":"object","required":["text"]}"#.to_owned()),
        read_only: None,
        destructive: None,
        idempotent: None,
        open_world: None,
    }
}
