//! A loaded plugin: its component, linked, and what it says of itself.

use std::sync::Arc;

use armilla_domain::call::Answerer;
use armilla_domain::plugin::Needs;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bindings::{ConditionPluginPre, ToolPluginPre};
use crate::schema::Schema;
use crate::state::State;

/// What a plugin says of itself. It never changes for a component, so it is asked once and kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginDescription {
    /// Its name.
    pub name: String,
    /// The version that it states.
    pub version: String,
    /// One or two sentences for people.
    pub description: String,
    /// Its tools, in its own order.
    pub tools: Vec<ToolDescription>,
    /// Whether it judges conditions, under its own name.
    pub evaluator: bool,
    /// What it wants.
    pub needs: Needs,
    /// What its component imports, without the contract's types.
    pub imports: Vec<String>,
}

/// A tool as its plugin describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolDescription {
    /// Its name.
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
    #[serde(flatten)]
    pub hints: Hints,
}

/// A tool's effects as its author states them; what is not stated is taken to be the worst case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

/// A plugin that can be called.
pub struct Plugin {
    pub(crate) description: Arc<PluginDescription>,
    pub(crate) digest: Arc<str>,
    pub(crate) code_bytes: usize,
    pub(crate) from_cache: bool,
    /// Links that are made already: an instance costs microseconds.
    pub(crate) tools_pre: Option<ToolPluginPre<State>>,
    pub(crate) condition_pre: Option<ConditionPluginPre<State>>,
    pub(crate) tools: Vec<Tool>,
}

/// A tool's name and its compiled schemas.
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) input: Schema,
    pub(crate) output: Option<Schema>,
}

impl Plugin {
    /// What it says of itself.
    pub fn description(&self) -> &Arc<PluginDescription> {
        &self.description
    }

    /// SHA-256 of its component, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether its machine code was found ready in the cache.
    pub fn is_from_cache(&self) -> bool {
        self.from_cache
    }

    /// In bytes, what its machine code takes.
    pub fn code_bytes(&self) -> usize {
        self.code_bytes
    }

    pub(crate) fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    pub(crate) fn answerer(&self) -> Answerer {
        Answerer {
            kind: "plugin".into(),
            name: self.description.name.clone(),
            version: self.description.version.clone(),
            digest: self.digest.as_ref().to_owned(),
        }
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("name", &self.description.name).field("digest", &self.digest).finish()
    }
}
