//! What others are told about plugins and their answers.

use std::sync::Arc;

use armilla_domain::call::Answerer;
use serde::Serialize;
use serde_json::Value;

/// A result, and who gave it.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<T> {
    /// The result.
    pub value: T,
    /// The plugin that gave it: name, version, and the digest that says exactly what ran.
    pub answerer: Answerer,
}

/// A loaded plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginInfo {
    /// Unique on this host.
    pub name: String,
    /// The version that the plugin states.
    pub version: String,
    /// One or two sentences for people.
    pub description: String,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// The names of its tools.
    pub tools: Vec<String>,
    /// The name that conditions call it by, if it judges any.
    pub evaluator: Option<String>,
    /// Whether its machine code was found ready in the cache.
    pub from_cache: bool,
}

/// A tool that can be called.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolInfo {
    /// Unique on this host.
    pub name: String,
    /// The name that people see.
    pub title: String,
    /// What it does and when to use it.
    pub description: String,
    /// JSON Schema 2020-12 of its input.
    pub input_schema: Arc<Value>,
    /// JSON Schema 2020-12 of its output, where it says one.
    pub output_schema: Option<Arc<Value>>,
    /// What the author says about its effects.
    pub hints: Hints,
    /// Whether it cannot touch anything outside: then the same call gives the same answer, and may simply be made again.
    pub pure: bool,
    /// The plugin's name.
    pub plugin: String,
    /// The plugin's version.
    pub version: String,
    /// SHA-256 of the plugin's component, in hexadecimal.
    pub digest: String,
}

/// A tool's effects as its author states them; what is not stated is taken to be the worst case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hints {
    /// It changes nothing outside.
    pub read_only: bool,
    /// What it changes may destroy something.
    pub destructive: bool,
    /// Calling it again with the same input has no further effect.
    pub idempotent: bool,
    /// It reaches beyond what the host controls.
    pub open_world: bool,
}
