//! Commands on plugins and their versions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use armilla_domain::event::EventType;
use armilla_domain::event::data::PluginTold;
use armilla_domain::id::{RunId, WorkspaceId};
use armilla_store::StoreError;
use tracing::info;

use super::catalog::Entry;
use super::resolve::Resolved;
use super::{FolderFault, PluginView, SHARED, VersionView};
use crate::{CommandError, Engine};

/// How long an activation waits for its component: within what a request may take.
const LOAD_MAX: Duration = Duration::from_secs(240);
/// Runs that an answer lists: enough to see what is going on.
const RUNS_LISTED_MAX: u32 = 100;

/// Which version shall be active.
#[derive(Debug, Clone, Copy)]
pub struct Activate {
    /// From 1.
    pub version: i32,
    /// Whether runs that are on another version go on with this one.
    pub move_runs: bool,
}

/// Why something was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// The version is the active one.
    #[error("version {0} is the active one; activate another first")]
    Active(i32),
    /// Unfinished runs are on it.
    #[error("unfinished runs are on it")]
    InUse {
        /// Those of the caller's workspace, the oldest first, up to 100.
        runs: Vec<RunId>,
        /// Whether runs of other workspaces are among them.
        elsewhere: bool,
    },
    /// It could not be done.
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl From<StoreError> for DeleteError {
    fn from(error: StoreError) -> Self {
        Self::Command(error.into())
    }
}

impl Engine {
    /// Every plugin that a workspace can call, by name.
    pub fn plugins(&self, workspace: WorkspaceId) -> Vec<PluginView> {
        let snapshot = self.host.catalog.snapshot();
        let mut plugins = BTreeMap::new();
        for owner in [SHARED, workspace] {
            for entry in snapshot.plugins.values().filter(|entry| entry.row.workspace == owner) {
                plugins.insert(entry.row.name.clone(), PluginView::new(&snapshot, workspace, entry));
            }
        }
        plugins.into_values().collect()
    }

    /// A plugin that a workspace can call.
    ///
    /// # Errors
    /// Where there is none.
    pub fn plugin(&self, workspace: WorkspaceId, name: &str) -> Result<PluginView, CommandError> {
        let snapshot = self.host.catalog.snapshot();
        let entry = snapshot.visible(workspace, name).ok_or_else(|| CommandError::UnknownPlugin(name.to_owned()))?;
        Ok(PluginView::new(&snapshot, workspace, entry))
    }

    /// The versions of a plugin, newest first.
    ///
    /// # Errors
    /// Where there is no such plugin.
    pub fn plugin_versions(&self, workspace: WorkspaceId, name: &str) -> Result<Vec<VersionView>, CommandError> {
        let snapshot = self.host.catalog.snapshot();
        let entry = snapshot.visible(workspace, name).ok_or_else(|| CommandError::UnknownPlugin(name.to_owned()))?;
        Ok(entry.versions.values().rev().map(|version| VersionView::new(entry, version)).collect())
    }

    /// A plugin that a workspace may change: its own.
    async fn own(&self, workspace: WorkspaceId, name: &str) -> Result<Arc<Entry>, CommandError> {
        // What another host did a moment ago counts.
        self.host.catalog.refresh().await?;
        let snapshot = self.host.catalog.snapshot();
        if let Some(entry) = snapshot.plugin(workspace, name) {
            return Ok(Arc::clone(entry));
        }
        Err(match snapshot.plugin(SHARED, name) {
            Some(_) => CommandError::SharedPlugin(name.to_owned()),
            None => CommandError::UnknownPlugin(name.to_owned()),
        })
    }

    /// Makes a version the active one: new runs use it, calls in flight end on theirs, and runs stay on theirs unless they are
    /// moved.
    ///
    /// # Errors
    /// Where there is no such plugin or version, or a tool's name is taken by now.
    pub async fn activate_plugin(
        &self,
        workspace: WorkspaceId,
        name: &str,
        activate: Activate,
        by: &str,
    ) -> Result<PluginView, CommandError> {
        let entry = self.own(workspace, name).await?;
        let Activate { version, move_runs } = activate;
        let unknown = || CommandError::UnknownPluginVersion { name: name.to_owned(), version };
        let target = entry.versions.get(&version).ok_or_else(unknown)?;
        let snapshot = self.host.catalog.snapshot();
        for tool in &target.description.tools {
            let other = snapshot.tools.get(&(workspace, tool.name.clone()));
            if let Some(other) = other.filter(|other| other.row.name != name) {
                let (tool, other) = (tool.name.clone(), other.row.name.clone());
                return Err(CommandError::ToolTaken { tool, other });
            }
        }
        // Loaded before it is needed, so that no call waits for it or finds that it cannot be loaded.
        let resolved = Resolved { version: Arc::clone(target), grant: Arc::default() };
        self.host.component(&resolved, LOAD_MAX).await.map_err(CommandError::Unloadable)?;
        let told = PluginTold {
            version: Some(version),
            from: entry.row.active,
            digest: Some(&target.row.digest),
            moved_runs: Some(move_runs),
            ..told_of(name, by)
        };
        let events = [self.host.event(EventType::PluginActivated, &told)];
        if !self.host.store.activate_plugin(workspace, name, version, move_runs, by, &events).await? {
            return Err(unknown());
        }
        self.host.catalog.refresh().await?;
        info!(plugin.name = name, plugin.version = version, workspace.id = %workspace, by, "Version {version} of the plugin `{name}` is active");
        self.plugin(workspace, name)
    }

    /// Makes the version active that was so before the present one.
    ///
    /// # Errors
    /// Where there is no such plugin, or nothing to go back to.
    pub async fn roll_back_plugin(
        &self,
        workspace: WorkspaceId,
        name: &str,
        move_runs: bool,
        by: &str,
    ) -> Result<PluginView, CommandError> {
        self.own(workspace, name).await?;
        let previous = self.host.store.previous_plugin_version(workspace, name).await?;
        let version = previous.ok_or_else(|| CommandError::NothingToRollBackTo(name.to_owned()))?;
        self.activate_plugin(workspace, name, Activate { version, move_runs }, by).await
    }

    /// Lets a plugin be called, or not at all, from the next call on.
    ///
    /// # Errors
    /// Where there is no such plugin.
    pub async fn set_plugin_enabled(
        &self,
        workspace: WorkspaceId,
        name: &str,
        enabled: bool,
        by: &str,
    ) -> Result<PluginView, CommandError> {
        self.own(workspace, name).await?;
        let kind = if enabled { EventType::PluginEnabled } else { EventType::PluginDisabled };
        let events = [self.host.event(kind, &told_of(name, by))];
        if !self.host.store.set_plugin_enabled(workspace, name, enabled, &events).await? {
            return Err(CommandError::UnknownPlugin(name.to_owned()));
        }
        self.host.catalog.refresh().await?;
        info!(plugin.name = name, enabled, workspace.id = %workspace, by, "The plugin `{name}` was switched");
        self.plugin(workspace, name)
    }

    /// Deletes one version that is neither active nor in use.
    ///
    /// # Errors
    /// See [`DeleteError`].
    pub async fn delete_plugin_version(
        &self,
        workspace: WorkspaceId,
        name: &str,
        version: i32,
        by: &str,
    ) -> Result<(), DeleteError> {
        let entry = self.own(workspace, name).await?;
        let unknown = || CommandError::UnknownPluginVersion { name: name.to_owned(), version };
        let found = entry.versions.get(&version).ok_or_else(unknown)?;
        if entry.row.active == Some(version) {
            return Err(DeleteError::Active(version));
        }
        // Runs that were moved to another version, too: it is this one that knows where to.
        self.refuse_in_use(workspace, std::slice::from_ref(&found.row.digest)).await?;
        if !self.host.store.delete_plugin_version(workspace, name, version).await? {
            return Err(unknown().into());
        }
        self.host.catalog.refresh().await?;
        info!(plugin.name = name, plugin.version = version, workspace.id = %workspace, by, "Version {version} of the plugin `{name}` was deleted");
        Ok(())
    }

    /// Deletes a plugin with all its versions. What was granted to it is over.
    ///
    /// # Errors
    /// See [`DeleteError`].
    pub async fn delete_plugin(&self, workspace: WorkspaceId, name: &str, by: &str) -> Result<(), DeleteError> {
        let entry = self.own(workspace, name).await?;
        let digests: Vec<String> = entry.versions.values().map(|version| version.row.digest.clone()).collect();
        self.refuse_in_use(workspace, &digests).await?;
        let events = [self.host.event(EventType::PluginDeleted, &told_of(name, by))];
        if !self.host.store.delete_plugin(workspace, name, &events).await? {
            return Err(CommandError::UnknownPlugin(name.to_owned()).into());
        }
        self.host.catalog.refresh().await?;
        info!(plugin.name = name, workspace.id = %workspace, by, "The plugin `{name}` was deleted");
        Ok(())
    }

    async fn refuse_in_use(&self, workspace: WorkspaceId, digests: &[String]) -> Result<(), DeleteError> {
        // Runs of other workspaces are on it too where it is shared; what they are is not told.
        let runs = self.host.store.runs_on_components(workspace, workspace == SHARED, digests, RUNS_LISTED_MAX).await?;
        if runs.is_empty() {
            return Ok(());
        }
        let elsewhere = runs.iter().any(|(_, owner)| *owner != workspace);
        let runs = runs.into_iter().filter(|(_, owner)| *owner == workspace).map(|(run, _)| run).collect();
        Err(DeleteError::InUse { runs, elsewhere })
    }

    /// Files of the plugins folder that are not loaded, and why.
    pub fn folder_faults(&self) -> Vec<FolderFault> {
        self.host.folder_faults.all()
    }
}

fn told_of<'a>(plugin: &'a str, by: &'a str) -> PluginTold<'a> {
    PluginTold { plugin: Some(plugin), by: Some(by), ..PluginTold::default() }
}
