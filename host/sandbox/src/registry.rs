//! The plugins that are loaded, by the names that others call them by.

use std::collections::HashMap;
use std::sync::Arc;

use armilla_domain::call::Answerer;

use crate::bindings::{ConditionPluginPre, ToolPluginPre};
use crate::error::LoadFault;
use crate::info::{Hints, PluginInfo, ToolInfo};
use crate::instance::Turns;
use crate::schema::Schema;
use crate::state::State;

/// A loaded plugin.
pub(crate) struct Plugin {
    pub(crate) info: PluginInfo,
    /// Links that are made already: an instance costs microseconds.
    pub(crate) tools_pre: Option<ToolPluginPre<State>>,
    pub(crate) condition_pre: Option<ConditionPluginPre<State>>,
    pub(crate) tools: Vec<Arc<Tool>>,
    pub(crate) turns: Turns,
}

/// A tool and its compiled schemas.
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) input: Schema,
    pub(crate) output: Option<Schema>,
    pub(crate) hints: Hints,
}

impl Plugin {
    pub(crate) fn answerer(&self) -> Answerer {
        Answerer {
            kind: "plugin".into(),
            name: self.info.name.clone(),
            version: self.info.version.clone(),
            digest: self.info.digest.clone(),
        }
    }

    pub(crate) fn tool_info(&self, tool: &Tool) -> ToolInfo {
        ToolInfo {
            name: tool.name.clone(),
            title: tool.title.clone(),
            description: tool.description.clone(),
            input_schema: Arc::clone(&tool.input.value),
            output_schema: tool.output.as_ref().map(|schema| Arc::clone(&schema.value)),
            hints: tool.hints,
            // No plugin can be granted anything yet.
            pure: true,
            plugin: self.info.name.clone(),
            version: self.info.version.clone(),
            digest: self.info.digest.clone(),
        }
    }
}

/// Every plugin, in the order of loading. Replaced as a whole when one is added, so that calls read it without waiting.
#[derive(Clone, Default)]
pub(crate) struct Registry {
    pub(crate) plugins: Vec<Arc<Plugin>>,
    pub(crate) tools: HashMap<String, (Arc<Plugin>, Arc<Tool>)>,
    pub(crate) evaluators: HashMap<String, Arc<Plugin>>,
}

impl Registry {
    /// Adds a plugin whose names are all free.
    pub(crate) fn add(&mut self, plugin: Arc<Plugin>) -> Result<(), LoadFault> {
        let taken = |kind, name: &str, other: &Plugin| LoadFault::NameTaken {
            kind,
            name: name.to_owned(),
            plugin: plugin.info.name.clone(),
            other: other.info.name.clone(),
        };
        if let Some(other) = self.plugins.iter().find(|other| other.info.name == plugin.info.name) {
            return Err(taken("name", &plugin.info.name, other));
        }
        for tool in &plugin.tools {
            if let Some((other, _)) = self.tools.get(&tool.name) {
                return Err(taken("tool", &tool.name, other));
            }
        }
        if let Some(name) = &plugin.info.evaluator
            && let Some(other) = self.evaluators.get(name)
        {
            return Err(taken("evaluator", name, other));
        }
        for tool in &plugin.tools {
            self.tools.insert(tool.name.clone(), (Arc::clone(&plugin), Arc::clone(tool)));
        }
        if let Some(name) = &plugin.info.evaluator {
            self.evaluators.insert(name.clone(), Arc::clone(&plugin));
        }
        self.plugins.push(plugin);
        Ok(())
    }
}
