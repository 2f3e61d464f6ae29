//! Plugins: what is sent and answered.

mod handlers;
mod upload;

use std::sync::Arc;

use armilla_domain::plugin::{Grant, Needs};
use armilla_engine::{GrantView, LoadStatus, LoadView, PluginView, VersionView};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

pub(crate) use self::handlers::*;
pub(crate) use self::upload::*;
use crate::wire::Timestamp;

/// What becomes of the component.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct InstallQuery {
    /// Whether a new version becomes the active one at once. A plugin's first version does in any case.
    #[serde(default)]
    #[param(required = false)]
    pub(crate) activate: bool,
}

/// A plugin, as this workspace sees it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Plugin)]
pub struct PluginBody {
    /// Its name.
    #[schema(example = "text")]
    pub name: String,
    /// Whether every workspace can call it: it belongs to the default one.
    pub shared: bool,
    /// Whether it may be called at all.
    pub enabled: bool,
    /// The version that new runs use; null where there is none.
    #[schema(required = true)]
    pub active: Option<VersionBody>,
    /// The newest version's number.
    pub newest_version: i32,
    /// What it wants, as its author states it: nothing of it is granted by that.
    #[schema(value_type = Object)]
    pub needs: Needs,
    /// What this workspace granted it: nothing where this is empty.
    #[schema(value_type = Object)]
    pub grant: Arc<Grant>,
    /// Which revision of the grant is in force; null where nothing was ever granted.
    #[schema(required = true)]
    pub grant_revision: Option<i64>,
    /// When its first version came.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A version of a plugin. It never changes.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PluginVersion)]
pub struct VersionBody {
    /// Its number here, from 1.
    pub version: i32,
    /// The version that the plugin states of itself.
    #[schema(example = "0.1.0")]
    pub stated_version: String,
    /// What it is for.
    pub description: String,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// How long the component is.
    pub bytes: i64,
    /// Its tools, with their schemas.
    #[schema(value_type = Vec<Object>)]
    pub tools: Value,
    /// Whether it judges conditions, under its own name.
    pub evaluator: bool,
    /// What it wants, as its author states it.
    #[schema(value_type = Object)]
    pub needs: Needs,
    /// What its component imports: what it can ask for at all.
    pub imports: Vec<String>,
    /// Where it came from: `upload`, `folder:<file>`, `oci:<reference with digest>`.
    pub source: String,
    /// The trusted key that signed it; null where none did.
    #[schema(required = true)]
    pub signed_by: Option<String>,
    /// Whether it is the active one.
    pub active: bool,
    /// The version that runs on this one go on with; null where they stay.
    #[schema(required = true)]
    pub replaced_by: Option<i32>,
    /// Who brought it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
}

impl From<PluginView> for PluginBody {
    fn from(view: PluginView) -> Self {
        Self {
            name: view.name,
            shared: view.shared,
            enabled: view.enabled,
            newest_version: view.newest,
            needs: view.active.as_ref().map(|active| active.description.needs.clone()).unwrap_or_default(),
            active: view.active.map(VersionBody::from),
            grant: view.grant,
            grant_revision: view.grant_revision,
            created_at: view.created_at.into(),
            updated_at: view.updated_at.into(),
        }
    }
}

impl From<VersionView> for VersionBody {
    fn from(view: VersionView) -> Self {
        let description = &*view.description;
        Self {
            version: view.version,
            stated_version: description.version.clone(),
            description: description.description.clone(),
            digest: view.digest,
            bytes: view.bytes,
            // Made of JSON and of flags: it serialises.
            tools: serde_json::to_value(&description.tools).unwrap_or_default(),
            evaluator: description.evaluator,
            needs: description.needs.clone(),
            imports: description.imports.clone(),
            source: view.source,
            signed_by: view.signed_by,
            active: view.active,
            replaced_by: view.replaced_by,
            created_by: view.created_by,
            created_at: view.created_at.into(),
        }
    }
}

/// One plugin.
#[derive(Debug, Serialize, ToSchema)]
pub struct PluginResponse {
    /// The plugin.
    pub plugin: PluginBody,
}

/// A plugin, and the version that a component became.
#[derive(Debug, Serialize, ToSchema)]
pub struct InstalledResponse {
    /// The plugin.
    pub plugin: PluginBody,
    /// The version.
    pub version: VersionBody,
}

/// Every plugin, by name.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PluginsResponse {
    /// The plugins.
    pub plugins: Vec<PluginBody>,
    /// Always null: the list is whole.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// Every version of a plugin, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionsResponse {
    /// The versions.
    pub versions: Vec<VersionBody>,
    /// Always null: the list is whole.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// A component on its way in.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PluginLoad)]
pub struct LoadBody {
    /// Its id.
    #[schema(example = "pld_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    pub id: String,
    /// `loading`, `loaded` or `failed`.
    #[schema(example = "loading")]
    pub status: &'static str,
    /// The plugin that it became; null before the end, and where it became none.
    #[schema(required = true)]
    pub plugin: Option<String>,
    /// The version that it became.
    #[schema(required = true)]
    pub version: Option<i32>,
    /// Why it became none.
    #[schema(required = true)]
    pub problem: Option<LoadProblemBody>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was decided.
    #[schema(required = true)]
    pub finished_at: Option<Timestamp>,
}

/// Why a component became no plugin.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PluginLoadProblem)]
pub struct LoadProblemBody {
    /// As in the problem that an upload is answered with.
    #[schema(example = "plugin.unknown_world")]
    pub code: String,
    /// For people.
    pub detail: String,
}

impl From<LoadView> for LoadBody {
    fn from(view: LoadView) -> Self {
        let (plugin, version) = view.became.unzip();
        Self {
            id: format!("pld_{}", view.id.simple()),
            status: match view.status {
                LoadStatus::Loading => "loading",
                LoadStatus::Loaded => "loaded",
                LoadStatus::Failed => "failed",
            },
            plugin,
            version,
            problem: view.problem.map(|(code, detail)| LoadProblemBody { code, detail }),
            created_at: view.created_at.into(),
            finished_at: view.finished_at.map(Timestamp::from),
        }
    }
}

/// A component on its way in.
#[derive(Debug, Serialize, ToSchema)]
pub struct LoadResponse {
    /// How far it is.
    pub load: LoadBody,
}

/// A revision of a grant.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PluginGrant)]
pub struct GrantBody {
    /// Grows with every change; null where nothing was ever granted.
    #[schema(required = true)]
    pub revision: Option<i64>,
    /// What is granted.
    #[schema(value_type = Object)]
    pub grant: Arc<Grant>,
    /// Who granted it.
    #[schema(required = true)]
    pub by: Option<String>,
    /// When.
    #[schema(required = true)]
    pub at: Option<Timestamp>,
}

impl From<GrantView> for GrantBody {
    fn from(GrantView { revision, grant, by, at }: GrantView) -> Self {
        Self { revision, grant, by, at: at.map(Timestamp::from) }
    }
}

/// What a plugin wants, beside what it was granted.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrantResponse {
    /// What the active version wants, as its author states it.
    #[schema(value_type = Object)]
    pub needs: Needs,
    /// What this workspace granted it.
    #[serde(flatten)]
    pub in_force: GrantBody,
}

/// A page of a grant's revisions, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrantsResponse {
    /// The revisions.
    pub grants: Vec<GrantBody>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// What becomes of runs that are on another version.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MoveRuns {
    /// Whether they go on with this version from their next call on; they stay where absent.
    #[serde(default)]
    move_runs: bool,
}

/// A component in a registry.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = PluginFromRegistry)]
pub(crate) struct FromRegistry {
    /// `registry/name:tag`, or `registry/name@sha256:…`.
    #[schema(example = "registry.example.com/tools/shout:1.0.0")]
    oci: String,
    /// Whom the registry is told it is.
    #[serde(default)]
    #[schema(nullable = false)]
    credentials: Option<RegistryCredentials>,
    /// `key:base64`, as `armilla plugin sign` prints it.
    #[serde(default)]
    #[schema(nullable = false)]
    signature: Option<String>,
}

/// Whom a registry is told it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RegistryCredentials {
    /// The user's name.
    username: String,
    /// The name of the secret that is their password.
    secret: String,
}
