//! What is told of plugins.

use std::sync::Arc;

use armilla_domain::id::WorkspaceId;
use armilla_domain::plugin::Grant;
use armilla_sandbox::PluginDescription;
use armilla_store::{GrantRow, LoadRow, StoreError};
use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::SHARED;
use super::catalog::{Entry, Snapshot, Version};

/// A plugin, as a workspace sees it.
#[derive(Debug, Clone)]
pub struct PluginView {
    /// Its name.
    pub name: String,
    /// Whether every workspace can call it.
    pub shared: bool,
    /// Whether it may be called at all.
    pub enabled: bool,
    /// The version that new runs use.
    pub active: Option<VersionView>,
    /// The newest version's number.
    pub newest: i32,
    /// What the workspace granted it.
    pub grant: Arc<Grant>,
    /// Which revision of the grant is in force; none where nothing was ever granted.
    pub grant_revision: Option<i64>,
    /// When its first version came.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// A version of a plugin.
#[derive(Debug, Clone)]
pub struct VersionView {
    /// From 1.
    pub version: i32,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// How long the component is.
    pub bytes: i64,
    /// What it says of itself.
    pub description: Arc<PluginDescription>,
    /// Where it came from.
    pub source: String,
    /// The trusted key that signed it.
    pub signed_by: Option<String>,
    /// Who brought it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Whether it is the active one.
    pub active: bool,
    /// The version that runs on this one go on with.
    pub replaced_by: Option<i32>,
}

/// A revision of a grant.
#[derive(Debug, Clone)]
pub struct GrantView {
    /// Grows; none where nothing was ever granted.
    pub revision: Option<i64>,
    /// What is granted.
    pub grant: Arc<Grant>,
    /// Who granted it.
    pub by: Option<String>,
    /// When.
    pub at: Option<DateTime<Utc>>,
}

/// Where a component is on its way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadStatus {
    /// It is being compiled.
    Loading,
    /// It is a version of a plugin.
    Loaded,
    /// It is none.
    Failed,
}

/// A component on its way in.
#[derive(Debug, Clone)]
pub struct LoadView {
    /// Which.
    pub id: Uuid,
    /// How far it is.
    pub status: LoadStatus,
    /// The plugin and the version it became.
    pub became: Option<(String, i32)>,
    /// Why it became nothing: code and detail.
    pub problem: Option<(String, String)>,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it was decided.
    pub finished_at: Option<DateTime<Utc>>,
}

impl PluginView {
    pub(super) fn new(snapshot: &Snapshot, workspace: WorkspaceId, entry: &Entry) -> Self {
        let row = &entry.row;
        let granted = snapshot.granted(workspace, row.workspace, &row.name);
        Self {
            name: row.name.clone(),
            shared: row.workspace == SHARED,
            enabled: row.enabled,
            active: entry.active().map(|version| VersionView::new(entry, version)),
            newest: entry.versions.keys().next_back().copied().unwrap_or_default(),
            grant: snapshot.grant(workspace, row.workspace, &row.name),
            grant_revision: granted.map(|granted| granted.row.revision),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl VersionView {
    pub(super) fn new(entry: &Entry, version: &Version) -> Self {
        let row = &version.row;
        Self {
            version: row.version,
            digest: row.digest.clone(),
            bytes: row.bytes,
            description: Arc::clone(&version.description),
            source: row.source.clone(),
            signed_by: row.signed_by.clone(),
            created_by: row.created_by.clone(),
            created_at: row.created_at,
            active: entry.row.active == Some(row.version),
            replaced_by: row.replaced_by,
        }
    }
}

impl TryFrom<GrantRow> for GrantView {
    type Error = StoreError;

    fn try_from(row: GrantRow) -> Result<Self, StoreError> {
        let grant = serde_json::from_str(&row.body);
        let grant = grant.map_err(|error| StoreError::Corrupt(format!("a grant of `{}`: {error}", row.name)))?;
        Ok(Self { revision: Some(row.revision), grant: Arc::new(grant), by: Some(row.by), at: Some(row.at) })
    }
}

impl From<LoadRow> for LoadView {
    fn from(row: LoadRow) -> Self {
        let status = match row.status.as_str() {
            "loading" => LoadStatus::Loading,
            "loaded" => LoadStatus::Loaded,
            _ => LoadStatus::Failed,
        };
        let problem = row.problem.and_then(|text| serde_json::from_str::<Value>(&text).ok()).map(|problem| {
            let text = |key: &str| problem[key].as_str().unwrap_or_default().to_owned();
            (text("code"), text("detail"))
        });
        let lost = || ("server.internal".to_owned(), "The host that loaded it has stopped; send it again.".to_owned());
        Self {
            id: row.id,
            problem: if status == LoadStatus::Failed { Some(problem.unwrap_or_else(lost)) } else { None },
            status,
            became: row.name.zip(row.version),
            created_at: row.created_at,
            finished_at: row.finished_at,
        }
    }
}
