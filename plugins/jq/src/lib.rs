//! The `jq` plugin: one tool of the same name that runs a jq program on a JSON value, by way of the jaq crates.
//!
//! The program is compiled anew in each call, because each call has an instance of its own.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod filter;
#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "the generated half of the component's interface speaks raw pointers")]
mod guest;

pub use filter::{Failure, Input, Output, RESULTS_DEFAULT, run};

/// The tool's name, texts and schemas: a JSON object with the fields `name`, `title`, `description`, `inputSchema` and
/// `outputSchema`.
pub const TOOL: &str = include_str!("../tools/jq.json");
