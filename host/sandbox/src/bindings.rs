//! The host's half of the contract in `wit/`, generated.

/// The interface that a plugin with tools exports.
pub(crate) const TOOLS: &str = "armilla:plugin/tools@0.1.0";
/// The interface that an evaluator exports.
pub(crate) const CONDITION: &str = "armilla:plugin/condition@0.1.0";

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated; the contract has the comments")]
mod generated {
    pub mod tool {
        wasmtime::component::bindgen!({
            path: "../../wit",
            world: "tool-plugin",
            exports: { default: async },
        });
    }

    pub mod condition {
        wasmtime::component::bindgen!({
            path: "../../wit",
            world: "condition-plugin",
            exports: { default: async },
            with: {
                "armilla:plugin/log": super::tool::armilla::plugin::log,
                "armilla:plugin/types": super::tool::armilla::plugin::types,
            },
        });
    }
}

pub(crate) use generated::condition::ConditionPluginPre;
pub(crate) use generated::condition::exports::armilla::plugin::condition;
pub(crate) use generated::tool::ToolPluginPre;
pub(crate) use generated::tool::armilla::plugin::{log, types};
pub(crate) use generated::tool::exports::armilla::plugin::tools;
