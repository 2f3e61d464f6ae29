//! Which version of which plugin answers a call, and under which grant.

use std::collections::BTreeMap;
use std::sync::Arc;

use armilla_domain::call::CallError;
use armilla_domain::definition::{AgentTool, StepKind, ToolStep, Workflow};
use armilla_domain::id::WorkspaceId;
use armilla_domain::plugin::{Grant, Pin};
use armilla_sandbox::ToolDescription;

use super::SHARED;
use super::catalog::{Entry, Snapshot, Version};

/// What a call goes to.
pub(crate) struct Resolved {
    pub(crate) version: Arc<Version>,
    pub(crate) grant: Arc<Grant>,
}

/// A tool that a workspace can call.
#[derive(Debug, Clone)]
pub struct ToolView {
    /// The tool as its plugin describes it.
    pub tool: ToolDescription,
    /// Whether it can touch nothing outside under the present grant.
    pub pure: bool,
    /// The plugin's name.
    pub plugin: String,
    /// The version that the plugin states of itself.
    pub stated_version: String,
    /// The version's number here, from 1.
    pub version: i32,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
}

impl ToolView {
    fn new(tool: &ToolDescription, version: &Version, pure: bool) -> Self {
        Self {
            tool: tool.clone(),
            pure,
            plugin: version.row.name.clone(),
            stated_version: version.description.version.clone(),
            version: version.row.version,
            digest: version.row.digest.clone(),
        }
    }
}

impl Resolved {
    /// Whether a call can touch nothing outside.
    pub(crate) fn is_pure(&self) -> bool {
        self.grant.is_pure()
    }

    /// What its tool says about its effects.
    pub(crate) fn is_idempotent(&self, tool: &str) -> bool {
        let tool = self.version.description.tools.iter().find(|described| described.name == tool);
        tool.is_some_and(|tool| tool.hints.idempotent || tool.hints.read_only)
    }
}

impl Version {
    fn has_tool(&self, name: &str) -> bool {
        self.description.tools.iter().any(|tool| tool.name == name)
    }
}

impl Snapshot {
    /// What a tool's name means to a workspace and, within it, to a run that stays on `pins`.
    pub(crate) fn tool(
        &self,
        workspace: WorkspaceId,
        pins: &[Pin],
        tool: &str,
        plugin: Option<&str>,
        version: Option<i32>,
    ) -> Result<Resolved, CallError> {
        let entry = match plugin {
            Some(plugin) => self.visible(workspace, plugin),
            None => self.with_tool(workspace, pins, tool),
        };
        let entry = entry.ok_or_else(|| {
            let place = plugin.map_or_else(String::new, |plugin| format!(" in a plugin `{plugin}`"));
            CallError::permanent("tool.unknown", format!("There is no tool `{tool}`{place}"))
        })?;
        let resolved = self.version_of(workspace, entry, pins, version)?;
        if resolved.version.has_tool(tool) {
            return Ok(resolved);
        }
        let message =
            format!("Version {} of the plugin `{}` has no tool `{tool}`", resolved.version.row.version, entry.row.name);
        Err(CallError::permanent("tool.unknown", message))
    }

    /// What an evaluator's name means.
    pub(crate) fn evaluator(&self, workspace: WorkspaceId, pins: &[Pin], name: &str) -> Result<Resolved, CallError> {
        let unknown = || CallError::permanent("expr.unknown_evaluator", format!("There is no evaluator `{name}`"));
        let entry = self.visible(workspace, name).ok_or_else(unknown)?;
        let resolved = self.version_of(workspace, entry, pins, None)?;
        if resolved.version.description.evaluator { Ok(resolved) } else { Err(unknown()) }
    }

    /// A workspace's own plugin, else the operator's.
    pub(super) fn visible(&self, workspace: WorkspaceId, name: &str) -> Option<&Arc<Entry>> {
        self.plugin(workspace, name).or_else(|| self.plugin(SHARED, name))
    }

    fn with_tool(&self, workspace: WorkspaceId, pins: &[Pin], tool: &str) -> Option<&Arc<Entry>> {
        // What a run stays on comes first: a newer version may have given the tool to another plugin.
        let pinned = pins.iter().find_map(|pin| {
            let entry = self.visible(workspace, &pin.name)?;
            let version = entry.versions.values().find(|version| version.row.digest == pin.digest)?;
            version.has_tool(tool).then_some(entry)
        });
        let named = |owner| self.tools.get(&(owner, tool.to_owned()));
        pinned.or_else(|| named(workspace)).or_else(|| named(SHARED))
    }

    fn version_of(
        &self,
        workspace: WorkspaceId,
        entry: &Entry,
        pins: &[Pin],
        wanted: Option<i32>,
    ) -> Result<Resolved, CallError> {
        let name = &entry.row.name;
        if !entry.row.enabled {
            return Err(CallError::permanent("tool.disabled", format!("The plugin `{name}` is disabled")));
        }
        let gone = |version: i32| {
            let message = format!("Version {version} of the plugin `{name}` is not there any more");
            CallError::permanent("tool.version_gone", message)
        };
        let pin = pins.iter().find(|pin| pin.name == *name);
        let version = match (wanted, pin) {
            (Some(wanted), _) => entry.versions.get(&wanted).ok_or_else(|| gone(wanted))?,
            (None, Some(pin)) => {
                let pinned = entry.versions.values().find(|version| version.row.digest == pin.digest);
                follow(&entry.versions, pinned.ok_or_else(|| gone(pin.version))?)
            }
            (None, None) => entry.active().ok_or_else(|| {
                CallError::permanent("tool.unknown", format!("The plugin `{name}` has no active version"))
            })?,
        };
        Ok(Resolved { version: Arc::clone(version), grant: self.grant(workspace, entry.row.workspace, name) })
    }

    /// What a workspace granted a plugin; nothing where it said nothing.
    pub(super) fn grant(&self, workspace: WorkspaceId, owner: WorkspaceId, name: &str) -> Arc<Grant> {
        self.granted(workspace, owner, name).map(|granted| Arc::clone(&granted.grant)).unwrap_or_default()
    }

    /// The versions that a run of `workflow` stays on: of every plugin that it names now, the one it would get now.
    pub(crate) fn pins(&self, workspace: WorkspaceId, workflow: &Workflow) -> Vec<Pin> {
        let mut pins: Vec<Pin> = Vec::new();
        let mut explicit: Vec<Pin> = Vec::new();
        let named = workflow.steps.iter().flat_map(|step| self.named_by(workspace, &step.kind));
        for (resolved, names_a_version) in named {
            // What is not there yet may be added before its step is reached.
            let Ok(Resolved { version, .. }) = resolved else { continue };
            let row = &version.row;
            let pin = Pin { name: row.name.clone(), version: row.version, digest: row.digest.clone() };
            let into = if names_a_version { &mut explicit } else { &mut pins };
            if !into.contains(&pin) {
                into.push(pin);
            }
        }
        // A step that names a version finds it by the number; the others find the first pin of a plugin.
        explicit.retain(|pin| !pins.contains(pin));
        pins.extend(explicit);
        pins
    }

    /// What a step's names of tools and plugins mean now, each with whether it names a version.
    fn named_by(&self, workspace: WorkspaceId, kind: &StepKind) -> Vec<(Result<Resolved, CallError>, bool)> {
        match kind {
            StepKind::Tool(ToolStep { tool_name, plugin, version, .. }) => {
                vec![(self.tool(workspace, &[], tool_name, plugin.as_deref(), *version), version.is_some())]
            }
            StepKind::Agent(agent) => agent
                .tools
                .iter()
                .map(|AgentTool { tool_name, plugin, version, .. }| {
                    (self.tool(workspace, &[], tool_name, plugin.as_deref(), *version), version.is_some())
                })
                .collect(),
            StepKind::Condition(condition) => {
                let evaluator = condition.evaluator.iter();
                evaluator.map(|evaluator| (self.evaluator(workspace, &[], evaluator), false)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What a tool's author says of it: its description, and the schema of what it takes.
    pub(crate) fn described(
        &self,
        workspace: WorkspaceId,
        pins: &[Pin],
        tool: &str,
        plugin: Option<&str>,
        version: Option<i32>,
    ) -> Option<(String, serde_json::Value)> {
        let Resolved { version, .. } = self.tool(workspace, pins, tool, plugin, version).ok()?;
        let tool = version.description.tools.iter().find(|known| known.name == tool)?;
        Some((tool.description.clone(), serde_json::Value::clone(&tool.input_schema)))
    }

    /// One tool that a workspace can call.
    pub(crate) fn tool_view(&self, workspace: WorkspaceId, name: &str) -> Option<ToolView> {
        let Resolved { version, grant } = self.tool(workspace, &[], name, None, None).ok()?;
        let tool = version.description.tools.iter().find(|tool| tool.name == name)?;
        Some(ToolView::new(tool, &version, grant.is_pure()))
    }

    /// Every tool that a workspace can call, by name.
    pub(crate) fn tools_of(&self, workspace: WorkspaceId) -> BTreeMap<String, ToolView> {
        let mut tools = BTreeMap::new();
        // The workspace's own come last, and so stand in front of the operator's.
        for owner in [SHARED, workspace] {
            let entries = self.plugins.values().filter(|entry| entry.row.workspace == owner && entry.row.enabled);
            for entry in entries {
                let Some(version) = entry.active() else { continue };
                let pure = self.grant(workspace, owner, &entry.row.name).is_pure();
                for tool in &version.description.tools {
                    tools.insert(tool.name.clone(), ToolView::new(tool, version, pure));
                }
            }
        }
        tools
    }

    /// The names of every evaluator that a workspace can name.
    pub(crate) fn evaluators_of(&self, workspace: WorkspaceId) -> Vec<String> {
        let entries = self.plugins.values().filter(|entry| {
            (entry.row.workspace == workspace || entry.row.workspace == SHARED)
                && entry.row.enabled
                && entry.active().is_some_and(|version| version.description.evaluator)
        });
        entries.map(|entry| entry.row.name.clone()).collect()
    }
}

/// Where an operator moved the runs of a version to.
fn follow<'a>(versions: &'a BTreeMap<i32, Arc<Version>>, from: &'a Arc<Version>) -> &'a Arc<Version> {
    let mut current = from;
    // Each is visited once at most, so a ring of them ends.
    for _ in 0..versions.len() {
        match current.row.replaced_by.and_then(|next| versions.get(&next)) {
            Some(next) => current = next,
            None => break,
        }
    }
    current
}
