//! The host's half of the contract in `wit/`, generated.

/// The package of the contract, without its version.
pub(crate) const PACKAGE: &str = "armilla:plugin/";
/// The version of the contract that this host speaks.
pub(crate) const CONTRACT: &str = "0.1.0";
/// The interface that a plugin with tools exports.
pub(crate) const TOOLS: &str = "armilla:plugin/tools@0.1.0";
/// The interface that an evaluator exports.
pub(crate) const CONDITION: &str = "armilla:plugin/condition@0.1.0";
/// The interfaces that a plugin may import, without package and version; each but the first two is a capability.
pub(crate) const IMPORTS: [&str; 6] = ["types", "log", "config", "secrets", "http", "kv"];

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated; the contract has the comments")]
mod generated {
    pub mod tool {
        wasmtime::component::bindgen!({
            path: "../../wit",
            world: "tool-plugin",
            imports: { default: async | trappable },
            exports: { default: async },
        });
    }

    pub mod condition {
        wasmtime::component::bindgen!({
            path: "../../wit",
            world: "condition-plugin",
            imports: { default: async | trappable },
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
pub(crate) use generated::tool::armilla::plugin::{config, http, kv, log, secrets, types};
pub(crate) use generated::tool::exports::armilla::plugin::tools;
pub(crate) use generated::tool::{ToolPlugin, ToolPluginPre};
