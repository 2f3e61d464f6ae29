//! Runs plugins: WebAssembly components that offer tools or judge conditions. This crate alone knows wasmtime.
//!
//! Every call gets a fresh instance that holds nothing but its input: no files, no network, no environment, a clock that
//! stands at the run's start and chance that is derived from the run. So a plugin is a pure function, and what it does
//! wrong (a trap, an endless loop, too much memory, too long an answer) ends that call alone, with a code of its own.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bindings;
mod cache;
mod call;
mod cpu;
mod engine;
mod error;
mod info;
mod instance;
mod limits;
mod load;
mod log;
mod registry;
mod sandbox;
mod schema;
mod state;
mod wasi;

pub use error::{CheckError, ExpressionFault, LoadError, LoadFault, SandboxError};
pub use info::{Answer, Hints, PluginInfo, ToolInfo};
pub use limits::{
    COMPONENT_BYTES_MAX, HANDLES_MAX, INPUT_BYTES_MAX, LOG_BYTES_MAX, Limits, OUTPUT_BYTES_MAX, RANDOM_BYTES_MAX,
    SCHEMA_BYTES_MAX, STACK_BYTES_MAX, TABLE_ELEMENTS_MAX, TOOLS_PER_PLUGIN_MAX,
};
pub use sandbox::{Sandbox, SandboxConfig};
