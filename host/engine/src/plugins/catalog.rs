//! What a host knows of plugins: a snapshot of the database, replaced as a whole, and the components that are loaded.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use armilla_domain::call::{CallError, ErrorClass};
use armilla_domain::id::WorkspaceId;
use armilla_domain::plugin::Grant;
use armilla_sandbox::{LoadFault, Plugin, PluginDescription, Sandbox};
use armilla_store::{GrantRow, PluginRow, PluginVersionRow, Store, StoreError};
use tokio::sync::OnceCell;
use tracing::{error, warn};

/// Every plugin, version and grant, as they were at one moment.
#[derive(Default)]
pub(crate) struct Snapshot {
    /// What the database's count of changes was before it was read.
    changes: i64,
    pub(super) plugins: HashMap<(WorkspaceId, String), Arc<Entry>>,
    /// By who granted, whose plugin, which.
    grants: HashMap<(WorkspaceId, WorkspaceId, String), Arc<Granted>>,
    /// Which plugin of a workspace has the active version with this tool.
    pub(super) tools: HashMap<(WorkspaceId, String), Arc<Entry>>,
}

/// One plugin.
pub(crate) struct Entry {
    pub(super) row: PluginRow,
    pub(super) versions: BTreeMap<i32, Arc<Version>>,
}

/// One version of a plugin.
pub(crate) struct Version {
    pub(super) row: PluginVersionRow,
    pub(super) description: Arc<PluginDescription>,
}

/// A grant in force.
pub(crate) struct Granted {
    pub(super) row: GrantRow,
    pub(super) grant: Arc<Grant>,
}

impl Entry {
    pub(super) fn active(&self) -> Option<&Arc<Version>> {
        self.versions.get(&self.row.active?)
    }
}

impl Snapshot {
    pub(super) fn plugin(&self, workspace: WorkspaceId, name: &str) -> Option<&Arc<Entry>> {
        self.plugins.get(&(workspace, name.to_owned()))
    }

    pub(super) fn granted(&self, workspace: WorkspaceId, owner: WorkspaceId, name: &str) -> Option<&Arc<Granted>> {
        self.grants.get(&(workspace, owner, name.to_owned()))
    }

    fn new(
        changes: i64,
        plugins: Vec<PluginRow>,
        versions: Vec<PluginVersionRow>,
        grants: Vec<GrantRow>,
        before: &Self,
    ) -> Self {
        let mut by_plugin: HashMap<(WorkspaceId, String), BTreeMap<i32, Arc<Version>>> = HashMap::new();
        for row in versions {
            let known = before.plugin(row.workspace, &row.name).and_then(|entry| entry.versions.get(&row.version));
            // A version never changes, so what was read of its description stays good.
            let known =
                known.filter(|known| known.row.digest == row.digest).map(|known| Arc::clone(&known.description));
            let description = match known {
                Some(description) => description,
                None => match serde_json::from_str(&row.description) {
                    Ok(description) => Arc::new(description),
                    Err(error) => {
                        warn!(plugin.name = row.name, "A description of `{}` is not understood: {error}", row.name);
                        continue;
                    }
                },
            };
            let versions = by_plugin.entry((row.workspace, row.name.clone())).or_default();
            versions.insert(row.version, Arc::new(Version { row, description }));
        }
        let mut next = Self { changes, ..Self::default() };
        for row in plugins {
            let key = (row.workspace, row.name.clone());
            let entry = Arc::new(Entry { versions: by_plugin.remove(&key).unwrap_or_default(), row });
            for tool in entry.active().map(|version| version.description.tools.as_slice()).unwrap_or_default() {
                next.tools.insert((key.0, tool.name.clone()), Arc::clone(&entry));
            }
            next.plugins.insert(key, entry);
        }
        for row in grants {
            match serde_json::from_str::<Grant>(&row.body) {
                Ok(grant) => {
                    let key = (row.workspace, row.owner, row.name.clone());
                    next.grants.insert(key, Arc::new(Granted { row, grant: Arc::new(grant) }));
                }
                // What is not understood grants nothing.
                Err(error) => error!(plugin.name = row.name, "A grant of `{}` is not understood: {error}", row.name),
            }
        }
        next
    }
}

/// What is loaded, or being loaded, by digest: whoever comes second waits for the first.
type Loaded = HashMap<Arc<str>, Arc<OnceCell<Arc<Plugin>>>>;

/// The plugins of one host.
pub(crate) struct Catalog {
    pub(super) store: Store,
    pub(super) sandbox: Sandbox,
    current: RwLock<Arc<Snapshot>>,
    /// One reader of the database at a time, so that an older answer never replaces a newer one.
    reading: tokio::sync::Mutex<()>,
    loaded: Mutex<Loaded>,
}

impl Catalog {
    pub(crate) fn new(store: Store, sandbox: Sandbox) -> Self {
        Self {
            store,
            sandbox,
            current: RwLock::default(),
            reading: tokio::sync::Mutex::default(),
            loaded: Mutex::default(),
        }
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads what has changed, where anything has. Says whether so.
    pub(crate) async fn refresh(&self) -> Result<bool, StoreError> {
        let _reading = self.reading.lock().await;
        let before = self.snapshot();
        let changes = self.store.plugin_changes().await?;
        // A database starts at nothing changed, and so does a snapshot.
        if changes == before.changes {
            return Ok(false);
        }
        let (plugins, versions, grants) = self.store.plugin_catalog().await?;
        let next = Arc::new(Snapshot::new(changes, plugins, versions, grants, &before));
        self.forget_all_but(&next);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(true)
    }

    /// Lets go of components that no version is made of any more. Calls in flight hold theirs to their end.
    fn forget_all_but(&self, snapshot: &Snapshot) {
        let versions = snapshot.plugins.values().flat_map(|entry| entry.versions.values());
        let kept: std::collections::HashSet<&str> = versions.map(|version| version.row.digest.as_str()).collect();
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|digest, _| kept.contains(&**digest));
    }

    fn cell(&self, digest: &str) -> Arc<OnceCell<Arc<Plugin>>> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = loaded.get(digest) {
            return Arc::clone(cell);
        }
        Arc::clone(loaded.entry(digest.into()).or_default())
    }

    /// Notes a component that was loaded otherwise.
    pub(super) fn keep_loaded(&self, plugin: &Arc<Plugin>) {
        // One that is there already is the same.
        let _ = self.cell(plugin.digest()).set(Arc::clone(plugin));
    }

    /// The component of a version, loaded.
    pub(crate) async fn component(&self, version: &Version) -> Result<Arc<Plugin>, CallError> {
        let digest = &version.row.digest;
        let cell = self.cell(digest);
        if let Some(plugin) = cell.get() {
            return Ok(Arc::clone(plugin));
        }
        let plugin = cell.get_or_try_init(|| self.load(version)).await;
        plugin.map(Arc::clone).map_err(|fault| {
            let name = &version.row.name;
            warn!(plugin.name = name, plugin.digest = digest, "The plugin `{name}` cannot be loaded: {fault}");
            let message = format!("The plugin `{name}` cannot be loaded at the moment");
            match fault {
                LoadFault::Busy | LoadFault::Absent(_) => {
                    CallError::new(ErrorClass::Unavailable, "tool.plugin_unavailable", message)
                }
                _ => CallError::permanent("tool.plugin_unavailable", message),
            }
        })
    }

    async fn load(&self, version: &Version) -> Result<Arc<Plugin>, LoadFault> {
        let digest = &version.row.digest;
        let bytes = async || match self.store.component(digest).await {
            Ok(Some(bytes)) => Ok(Arc::<[u8]>::from(bytes)),
            Ok(None) => Err(LoadFault::OtherDigest),
            Err(error) => Err(LoadFault::Absent(error.to_string())),
        };
        self.sandbox.load(digest, Arc::clone(&version.description), bytes).await
    }

    /// Loads every active version that is not loaded yet, of one workspace where it is named, so that the first call does not
    /// wait for it.
    pub(crate) async fn load_active(&self, of: Option<WorkspaceId>) {
        let snapshot = self.snapshot();
        let entries = snapshot.plugins.values().filter(|entry| of.is_none_or(|of| entry.row.workspace == of));
        let active = entries.filter(|entry| entry.row.enabled).filter_map(|entry| entry.active());
        let loading = active.map(|version| self.component(version));
        // What cannot be loaded has said so in the log, and says so to whoever calls it.
        futures::future::join_all(loading).await;
    }
}
