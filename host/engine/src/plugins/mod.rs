//! Plugins as an operator sees them: versions, the one that is active, what was granted, and what a run stays on.

mod calls;
mod catalog;
mod commands;
mod folder;
mod grants;
mod install;
mod loads;
mod oci;
mod resolve;
mod secrets;
mod services;
mod upload;
mod views;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use armilla_domain::id::WorkspaceId;
use armilla_registry::Registries;
use armilla_registry::signature::TrustedKeys;

pub(crate) use catalog::Catalog;
pub use commands::{Activate, DeleteError};
pub use folder::{FOLDER_INTERVAL, FolderFault};
pub(crate) use folder::{Faults, Folder, watch};
pub use install::{InstallError, Installed, Loading};
pub use oci::OciSource;
pub use resolve::ToolView;
pub use secrets::{SECRET_BYTES_MAX, SECRET_BYTES_MIN, SecretView};
pub(crate) use services::StoreServices;
pub(crate) use upload::UPLOADS_AT_ONCE;
pub use upload::{Upload, UploadError};
pub use views::{GrantView, LoadStatus, LoadView, PluginView, VersionView};

/// How often a host asks whether plugins or grants were changed by another: well within the second that is promised.
pub const CATALOG_INTERVAL: Duration = Duration::from_millis(500);
/// Plugins of one workspace: more have outgrown one list.
pub const PLUGINS_PER_WORKSPACE_MAX: usize = 1_000;

/// What an operator decided about plugins.
#[derive(Clone, Default)]
pub struct PluginPolicy {
    /// Where uploads are received, and nothing else lies.
    pub uploads: PathBuf,
    /// Whose components are loaded as they appear; nobody's where absent.
    pub folder: Option<PathBuf>,
    /// Keys whose signatures count.
    pub trusted_keys: Arc<TrustedKeys>,
    /// Whether a component must carry one.
    pub require_signature: bool,
    /// Where components may be fetched from; nowhere where absent.
    pub registries: Option<Registries>,
}

/// Plugins of this workspace can be called from every workspace: they are the operator's own.
pub(crate) const SHARED: WorkspaceId = WorkspaceId::DEFAULT;
