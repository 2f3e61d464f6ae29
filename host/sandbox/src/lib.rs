//! Runs plugins: WebAssembly components that offer tools or judge conditions. This crate alone knows wasmtime.
//!
//! Every call gets a fresh instance that holds nothing but its input and what an operator granted by name. Without a grant there
//! are no files, no network, no environment, a clock that stands at the run's start and chance that is derived from the run: the
//! plugin is a pure function. What it does wrong (a trap, an endless loop, too much memory, too long an answer) ends that call
//! alone, with a code of its own.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod access;
mod bindings;
mod cache;
mod call;
mod capabilities;
#[doc(hidden)]
pub mod checks;
mod cpu;
mod engine;
mod error;
mod instance;
mod limits;
mod load;
mod log;
mod outline;
mod plugin;
mod results;
mod sandbox;
mod schema;
mod state;
mod wasi;

pub use access::{Access, KvEntry, MemoryServices, SecretValue, Served, ServiceError, Services};
pub use armilla_domain::breaker::FAULTS_MAX;
pub use call::{Answer, Called};
pub use capabilities::{KV_KEY_BYTES_MAX, KV_LIST_MAX, KV_VALUE_BYTES_MAX};
pub use error::{CheckError, ExpressionFault, LoadFault, SandboxError};
pub use instance::Used;
pub use limits::{
    CALLS_AT_ONCE_TOTAL, COMPONENT_BYTES_MAX, HANDLES_MAX, INPUT_BYTES_MAX, LOG_BYTES_MAX, Limits, MEMORY_BYTES_TOTAL,
    OUTPUT_BYTES_MAX, RANDOM_BYTES_MAX, SCHEMA_BYTES_MAX, STACK_BYTES_MAX, TABLE_ELEMENTS_MAX, TOOLS_PER_PLUGIN_MAX,
};
pub use load::digest_of;
pub use plugin::{Hints, Plugin, PluginDescription, ToolDescription};
pub use sandbox::{Sandbox, SandboxConfig};

/// How long a plugin's open breaker refuses calls before it lets one through to try.
pub const OPEN_FOR: std::time::Duration = std::time::Duration::from_secs(30);
