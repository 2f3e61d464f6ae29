//! What a plugin wants, what an operator granted it, and what follows from both. Deny by default: a thing must be stated by the
//! plugin *and* named by the grant, and neither widens the other.

mod access;
mod grant;
mod pattern;
mod read;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use access::{Denial, HttpTarget, permit_config, permit_http, permit_kv, permit_secret, permit_secret_at};
pub use grant::{
    CONCURRENCY_MAX, CPU_MAX, Grant, GrantLimits, HOST_CALLS_MAX, HTTP_BYTES_MAX, HttpGrant, LogLevel,
    MEMORY_BYTES_MAX, MEMORY_BYTES_MIN, QUEUE_MAX, SecretGrant, TIMEOUT_MAX,
};
pub use pattern::{check_host_pattern, host_matches};

/// A plugin's name: one to so many of `a-z 0-9 -`, starting with a letter.
pub const PLUGIN_NAME_BYTES_MAX: usize = 64;

/// Whether a text can be a plugin's name.
pub fn is_plugin_name(name: &str) -> bool {
    name.len() <= PLUGIN_NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// What a plugin says it wants, shown to operators beside what they granted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Needs {
    /// Hosts it sends requests to: names, `*.name`, or `*`.
    pub http_hosts: Vec<String>,
    /// Secrets it puts into requests, or `*`.
    pub secrets: Vec<String>,
    /// Configuration values it reads, or `*`.
    pub config_keys: Vec<String>,
    /// Key-value namespaces, or `*`.
    pub kv: Vec<String>,
    /// A clock that moves.
    pub clock: bool,
    /// Chance that nobody can foretell.
    pub random: bool,
}

impl Needs {
    /// Whether it wants nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The version of a plugin that a run stays on to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pin {
    /// The plugin.
    pub name: String,
    /// Its version's number on this installation, from 1.
    pub version: i32,
    /// SHA-256 of the component, in hexadecimal: exactly what runs.
    pub digest: String,
}
