//! What the host does for a plugin. Natively, where there is no host, everything but log lines is an error that says so.

#[cfg(not(target_arch = "wasm32"))]
mod absent;
#[cfg(target_arch = "wasm32")]
mod present;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use absent::*;
#[cfg(target_arch = "wasm32")]
pub(crate) use present::*;
