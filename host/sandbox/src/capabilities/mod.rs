//! What a guest can ask of the host beyond computing. Every function counts, judges by the grant, and only then does anything.

mod config;
mod http;
mod kv;
mod secrets;

pub use kv::{KV_KEY_BYTES_MAX, KV_LIST_MAX, KV_VALUE_BYTES_MAX};
pub(crate) use secrets::Placeholders;
