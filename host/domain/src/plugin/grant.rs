//! What an operator granted a plugin.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::duration;

/// In bytes: an interpreter and its largest document. The sandbox reserves address space for it, not memory.
pub const MEMORY_BYTES_MAX: u64 = 512 << 20;
/// In bytes: less than any guest with a heap starts with is a mistake.
pub const MEMORY_BYTES_MIN: u64 = 1 << 20;
/// Computing keeps a core busy: what takes longer is not one call.
pub const CPU_MAX: Duration = Duration::from_secs(60);
/// A call holds an instance all the time, waiting included.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(10 * 60);
/// Calls of one plugin at the same time, at most.
pub const CONCURRENCY_MAX: u64 = 256;
/// Calls of one plugin that wait, at most.
pub const QUEUE_MAX: u64 = 10_000;
/// Calls to host functions in one call, at most.
pub const HOST_CALLS_MAX: u64 = 1_000_000;
/// In bytes that all requests and answers of one call may have together, at most: they pass through memory.
pub const HTTP_BYTES_MAX: u64 = 64 << 20;

/// Everything that one plugin may touch, and how much it may use. The default grants nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Grant {
    /// Hosts it may send requests to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpGrant>,
    /// Secrets it may put into requests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretGrant>,
    /// Key-value namespaces it may read and write.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kv: Vec<String>,
    /// Values it may read, by name; also its environment variables. They are not secret.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// A clock that moves, instead of one that stands at the run's start.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub clock: bool,
    /// Chance that nobody can foretell, instead of numbers derived from the run.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub random: bool,
    /// The least that its own log lines must matter to be written.
    #[serde(skip_serializing_if = "LogLevel::is_default")]
    pub log_level: LogLevel,
    /// Bounds other than the host's own.
    #[serde(skip_serializing_if = "GrantLimits::is_default")]
    pub limits: GrantLimits,
    /// The same input gives the kept result without a call. Only for a plugin that may touch nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cache_results: bool,
}

/// Hosts that requests may go to, and which requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpGrant {
    /// A name, `*.name` for every name below it, or `*`.
    pub host: String,
    /// `https` alone by default.
    #[serde(default = "https")]
    pub schemes: Vec<String>,
    /// The scheme's own port by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
    /// `GET` and `HEAD` by default; `*` for all.
    #[serde(default = "reading")]
    pub methods: Vec<String>,
}

fn https() -> Vec<String> {
    vec!["https".to_owned()]
}

fn reading() -> Vec<String> {
    vec!["GET".to_owned(), "HEAD".to_owned()]
}

/// A secret, and where it may travel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretGrant {
    /// The secret's name.
    pub name: String,
    /// Hosts it may be sent to: patterns as in [`HttpGrant::host`].
    pub hosts: Vec<String>,
}

/// How much a line of a plugin's log matters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// For the plugin's author.
    Debug,
    /// Worth knowing.
    #[default]
    Info,
    /// Worth looking at.
    Warn,
    /// Worth waking up for.
    Error,
    /// Nothing is written.
    Off,
}

impl LogLevel {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Bounds of one call and of one plugin; what is absent is the host's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrantLimits {
    /// In bytes, of all memories of one call together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// How long one call may compute.
    #[serde(with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Duration>,
    /// How long one call may take, waiting included.
    #[serde(with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// In bytes of JSON that one call may answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    /// Calls at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u64>,
    /// Calls that wait for their turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<u64>,
    /// Calls to host functions in one call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_calls: Option<u64>,
    /// In bytes, of all requests and answers of one call together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_bytes: Option<u64>,
}

impl GrantLimits {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Grant {
    /// Whether a plugin with this grant can touch nothing: then it is a function of its input, the run and the visit.
    pub fn is_pure(&self) -> bool {
        self.http.is_empty()
            && self.secrets.is_empty()
            && self.kv.is_empty()
            && self.config.is_empty()
            && !self.clock
            && !self.random
    }
}
