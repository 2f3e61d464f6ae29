//! The component's outer layer, for [`plugin!`](crate::plugin!) alone: from the contract's types to ours and back.

use crate::{Code, Context, Error, Plugin};
use armilla::plugin::types::ErrorCode;
use std::time::Duration;

pub use armilla::plugin::types::{CallContext, ToolError};
pub use exports::armilla::plugin::tools::{Description, Guest};

wit_bindgen::generate!({
    path: "wit",
    world: "tool-plugin",
    pub_export_macro: true,
    export_macro_name: "export_tools",
});

pub fn describe(plugin: &Plugin) -> Description {
    // There is no way to refuse a description but a trap, and the host shows its message.
    if let Some(fault) = plugin.faults().into_iter().next() {
        panic!("{fault}");
    }
    let needs = plugin.needs();
    Description {
        plugin: armilla::plugin::types::PluginInfo {
            name: plugin.name.clone(),
            version: plugin.version.clone().unwrap_or_default(),
            description: plugin.description.clone(),
        },
        tools: plugin
            .tools()
            .iter()
            .map(|tool| exports::armilla::plugin::tools::Tool {
                name: tool.name.clone(),
                title: tool.title.clone(),
                description: tool.description.clone(),
                input_schema: tool.input_schema().to_string(),
                output_schema: Some(tool.output_schema().to_string()),
                read_only: tool.read_only,
                destructive: tool.destructive,
                idempotent: tool.idempotent,
                open_world: tool.open_world,
            })
            .collect(),
        needs: armilla::plugin::types::Needs {
            http_hosts: needs.http_hosts.clone(),
            secrets: needs.secrets.clone(),
            config_keys: needs.config_keys.clone(),
            kv: needs.kv.clone(),
            clock: needs.clock,
            random: needs.random,
        },
    }
}

pub fn call(plugin: &Plugin, tool: &str, input: &str, context: CallContext) -> Result<String, ToolError> {
    let context = Context {
        run: context.run,
        step: context.step,
        visit: context.visit,
        attempt: context.attempt,
        idempotency_key: context.idempotency_key,
        timeout: Duration::from_millis(context.timeout_milliseconds),
    };
    plugin.call(tool, input, &context).map_err(ToolError::from)
}

impl From<Error> for ToolError {
    fn from(error: Error) -> Self {
        Self {
            code: match error.code() {
                Code::InvalidInput => ErrorCode::InvalidInput,
                Code::Denied => ErrorCode::Denied,
                Code::Unavailable => ErrorCode::Unavailable,
                Code::RateLimited => ErrorCode::RateLimited,
                Code::Failed => ErrorCode::Failed,
            },
            message: error.message().to_owned(),
            retryable: error.is_retryable(),
            retry_after_milliseconds: error.wait().map(|wait| u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)),
            details: error.more().map(ToString::to_string),
        }
    }
}
