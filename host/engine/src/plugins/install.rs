//! From a component to a version of a plugin: signature, inspection, names, the database. Nothing of it is left half done.

use std::collections::HashMap;
use std::sync::Arc;

use armilla_domain::event::EventType;
use armilla_domain::event::data::PluginTold;
use armilla_domain::id::WorkspaceId;
use armilla_registry::PullError;
use armilla_registry::signature::{Signature, SignatureError};
use armilla_sandbox::{LoadFault, PluginDescription};
use armilla_store::{NewPluginVersion, StoreError};
use tracing::{info, warn};

use super::catalog::Snapshot;
use super::upload::{Received, UploadError};
use super::views::LoadView;
use super::{PLUGINS_PER_WORKSPACE_MAX, SHARED};
use crate::host::Host;

/// Versions of one plugin: whoever needs more keeps none of the old ones.
const VERSIONS_PER_PLUGIN_MAX: usize = 200;
/// In bytes of all components of one workspace, which lie in the database.
const COMPONENTS_BYTES_MAX: u64 = 4 << 30;
/// In bytes of all descriptions of one workspace's versions, which every host holds in memory.
const DESCRIPTIONS_BYTES_MAX: usize = 32 << 20;

/// A component that is to become a version.
pub(super) struct Install {
    pub(super) workspace: WorkspaceId,
    pub(super) received: Received,
    pub(super) source: String,
    pub(super) signature: Option<Signature>,
    pub(super) by: String,
    /// Whether its version becomes the active one.
    pub(super) activate: Activation,
}

/// Whether a component's version becomes the active one. A plugin's first does in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    /// It waits for somebody to say so.
    Later,
    /// Where it is new: a file that is still there must not undo a rollback.
    IfNew,
    /// Whether it is new or was there before.
    Now,
}

/// What a component became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The plugin.
    pub name: String,
    /// Its version, from 1.
    pub version: i32,
    /// Whether the version is active.
    pub active: bool,
    /// Whether it was there before.
    pub existed: bool,
}

/// What there is to say of a component when its caller has waited long enough.
#[derive(Debug)]
pub enum Loading {
    /// It is a version.
    Ended(Installed),
    /// It takes longer; this can be asked for.
    GoesOn(Box<LoadView>),
}

/// Why a component became nothing.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// It is no plugin for this host.
    #[error("the component is not loaded: {0}")]
    Fault(#[from] LoadFault),
    /// It could not be received.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// It could not be fetched.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// It is not signed as the operator wants it.
    #[error("the component is not trusted: {0}")]
    Signature(#[from] SignatureError),
    /// A name in it belongs to another plugin.
    #[error("the {kind} `{name}` of the plugin `{plugin}` is taken by the plugin `{other}`")]
    NameTaken {
        /// `tool` or `plugin`.
        kind: &'static str,
        /// The name both want.
        name: String,
        /// The plugin that came.
        plugin: String,
        /// The plugin that has it.
        other: String,
    },
    /// The workspace has as many plugins as it may.
    #[error("the workspace has {PLUGINS_PER_WORKSPACE_MAX} plugins already")]
    TooMany,
    /// The plugin has as many versions as it may, or the workspace's components take as much as they may.
    #[error("{0}; delete versions that are not needed first")]
    Full(String),
    /// Fetching is not set up.
    #[error("this server fetches plugins from no registry")]
    NoRegistries,
    /// The request names a secret that is not there.
    #[error("there is no secret `{0}`")]
    UnknownSecret(String),
    /// A fault of this program ended it.
    #[error("loading the component failed inside the server")]
    Panicked,
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Host {
    /// Makes a version of a component, and tells of it either way.
    pub(super) async fn install(&self, install: Install) -> Result<Installed, InstallError> {
        let (workspace, source) = (install.workspace, install.source.clone());
        let digest = install.received.digest.clone();
        let installed = self.try_install(install).await;
        match &installed {
            Ok(installed) if installed.existed => {}
            Ok(Installed { name, version, active, .. }) => info!(
                plugin.name = name, plugin.version = version, plugin.digest = digest, plugin.active = active, source,
                workspace.id = %workspace, "Version {version} of the plugin `{name}` is loaded"
            ),
            Err(error) => {
                warn!(plugin.digest = digest, source, workspace.id = %workspace, "A plugin was not loaded: {error}");
                let detail = error.told();
                let told = PluginTold {
                    digest: Some(&digest),
                    source: Some(&source),
                    detail: Some(&detail),
                    ..PluginTold::default()
                };
                let event = self.event(EventType::PluginFailed, &told);
                if let Err(error) = self.store.add_event(workspace, &event).await {
                    warn!("The event `plugin.failed` could not be kept: {error}");
                }
            }
        }
        installed
    }

    async fn try_install(&self, install: Install) -> Result<Installed, InstallError> {
        let Install { workspace, received: Received { bytes, digest, _place }, source, signature, by, activate } =
            install;
        let signed_by = self.signer(&digest, signature.as_ref())?;
        self.catalog.refresh().await?;
        let plugin = self.sandbox.inspect(Arc::clone(&bytes)).await?;
        let description = plugin.description();
        check_names(&self.catalog.snapshot(), workspace, description)?;

        let text = serde_json::to_string(&**description).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let told = PluginTold {
            plugin: Some(&description.name),
            digest: Some(&digest),
            source: Some(&source),
            by: Some(&by),
            ..PluginTold::default()
        };
        let events = [self.event(EventType::PluginLoaded, &told), self.event(EventType::PluginActivated, &told)];
        self.store.keep_component(&digest, &bytes).await?;
        let new = NewPluginVersion {
            workspace,
            name: &description.name,
            digest: &digest,
            bytes: bytes.len() as i64,
            description: &text,
            source: &source,
            signed_by: signed_by.as_deref(),
            by: &by,
            activate: activate != Activation::Later,
        };
        let mut added = self.store.add_plugin_version(&new, &events).await?;
        if let (true, Some(key)) = (added.existed, &signed_by) {
            self.store.note_plugin_signature(workspace, &description.name, &digest, key).await?;
        }
        if added.existed && !added.active && activate == Activation::Now {
            let told = PluginTold { version: Some(added.version), source: None, ..told };
            let event = [self.event(EventType::PluginActivated, &told)];
            let activated = self.store.activate_plugin(workspace, &description.name, added.version, false, &by, &event);
            added.active = activated.await?;
        }
        self.catalog.keep_loaded(&plugin);
        self.catalog.refresh().await?;
        Ok(Installed {
            name: description.name.clone(),
            version: added.version,
            active: added.active,
            existed: added.existed,
        })
    }

    /// Whose signature it carries. One that is there must be good, whether or not one must be there.
    fn signer(&self, digest: &str, signature: Option<&Signature>) -> Result<Option<String>, SignatureError> {
        match (signature, self.policy.require_signature) {
            (None, false) => Ok(None),
            (signature, _) => self.policy.trusted_keys.verify(digest, signature).map(|key| Some(key.to_owned())),
        }
    }
}

/// Whether every name of a plugin is free, or its own already.
fn check_names(
    snapshot: &Snapshot,
    workspace: WorkspaceId,
    description: &PluginDescription,
) -> Result<(), InstallError> {
    let plugin = &description.name;
    let taken = |kind, name: &str, other: &str| InstallError::NameTaken {
        kind,
        name: name.to_owned(),
        plugin: plugin.clone(),
        other: other.to_owned(),
    };
    if workspace != SHARED && snapshot.plugin(SHARED, plugin).is_some() {
        return Err(taken("plugin", plugin, plugin));
    }
    let of = |owner| snapshot.plugins.values().filter(move |entry| entry.row.workspace == owner);
    if snapshot.plugin(workspace, plugin).is_none() && of(workspace).count() >= PLUGINS_PER_WORKSPACE_MAX {
        return Err(InstallError::TooMany);
    }
    let versions = || of(workspace).flat_map(|entry| entry.versions.values());
    if snapshot.plugin(workspace, plugin).is_some_and(|entry| entry.versions.len() >= VERSIONS_PER_PLUGIN_MAX) {
        return Err(InstallError::Full(format!("the plugin has {VERSIONS_PER_PLUGIN_MAX} versions already")));
    }
    if versions().map(|version| version.row.bytes.unsigned_abs()).sum::<u64>() > COMPONENTS_BYTES_MAX {
        let why = format!("the components of the workspace have more than {COMPONENTS_BYTES_MAX} bytes");
        return Err(InstallError::Full(why));
    }
    if versions().map(|version| version.row.description.len()).sum::<usize>() > DESCRIPTIONS_BYTES_MAX {
        let why = format!("the descriptions of the workspace's plugins have more than {DESCRIPTIONS_BYTES_MAX} bytes");
        return Err(InstallError::Full(why));
    }
    let mut names: HashMap<&str, &str> = HashMap::new();
    for entry in of(workspace).chain(of(SHARED)) {
        let tools = entry.active().map(|version| version.description.tools.as_slice()).unwrap_or_default();
        names.extend(tools.iter().map(|tool| (tool.name.as_str(), entry.row.name.as_str())));
    }
    for tool in &description.tools {
        if let Some(other) = names.get(tool.name.as_str()).filter(|other| **other != plugin) {
            return Err(taken("tool", &tool.name, other));
        }
    }
    Ok(())
}
