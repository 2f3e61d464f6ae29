//! Commands that bring components in.

use std::sync::Arc;
use std::time::Duration;

use armilla_domain::id::WorkspaceId;
use armilla_registry::signature::Signature;
use serde_json::json;
use tokio::task::JoinHandle;
use tracing::warn;
use uuid::Uuid;

use super::install::{Activation, Install, InstallError, Installed, Loading};
use super::{LoadView, OciSource, Upload, UploadError};
use crate::{CommandError, Engine};

impl Engine {
    /// Begins to receive a component.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub async fn begin_upload(&self) -> Result<Upload, UploadError> {
        let place = Arc::clone(&self.host.uploads).try_acquire_owned().map_err(|_| UploadError::TooMany)?;
        let name = format!("upload-{}.wasm", self.host.next_id::<Uuid>().simple());
        Upload::begin(&self.host.policy.uploads, &name, place).await
    }

    /// Makes a version of a plugin of a component that was received, and answers with its end where that comes within `bound`,
    /// else with what to ask for. It goes on either way.
    ///
    /// # Errors
    /// What is wrong with the component; where the database is away.
    pub async fn install_upload(
        &self,
        workspace: WorkspaceId,
        upload: Upload,
        signature: Option<Signature>,
        by: &str,
        activate: bool,
        bound: Duration,
    ) -> Result<Loading, InstallError> {
        let (host, by) = (Arc::clone(&self.host), by.to_owned());
        let work = async move {
            let received = upload.finish().await?;
            let activate = if activate { Activation::Now } else { Activation::Later };
            let install = Install { workspace, received, source: "upload".to_owned(), signature, by, activate };
            host.install(install).await
        };
        self.load_within(workspace, work, bound).await
    }

    /// As [`Engine::install_upload`], with a component from a registry.
    ///
    /// # Errors
    /// As [`Engine::install_upload`], and where it cannot be fetched.
    pub async fn install_from_registry(
        &self,
        workspace: WorkspaceId,
        source: OciSource,
        signature: Option<Signature>,
        by: &str,
        activate: bool,
        bound: Duration,
    ) -> Result<Loading, InstallError> {
        let (host, by) = (Arc::clone(&self.host), by.to_owned());
        let work = async move { host.pull(workspace, source, signature, by, activate).await };
        self.load_within(workspace, work, bound).await
    }

    async fn load_within(
        &self,
        workspace: WorkspaceId,
        work: impl Future<Output = Result<Installed, InstallError>> + Send + 'static,
        bound: Duration,
    ) -> Result<Loading, InstallError> {
        let mut task: JoinHandle<_> = tokio::spawn(work);
        // Who does not wait is always answered with where to look, however quick it was.
        if !bound.is_zero()
            && let Ok(ended) = tokio::time::timeout(bound, &mut task).await
        {
            return ended.unwrap_or(Err(InstallError::Panicked)).map(Loading::Ended);
        }
        // It takes longer: noted, so that any host can say how it ended.
        let id = self.host.next_id::<Uuid>();
        self.host.store.begin_load(workspace, id).await?;
        let host = Arc::clone(&self.host);
        tokio::spawn(async move {
            let ended = task.await.unwrap_or(Err(InstallError::Panicked));
            let noted = match &ended {
                Ok(installed) => host.store.end_load(id, Some((&installed.name, installed.version)), None).await,
                Err(error) => {
                    let problem = json!({ "code": error.code(), "detail": error.told() }).to_string();
                    host.store.end_load(id, None, Some(&problem)).await
                }
            };
            if let Err(error) = noted {
                warn!("How a plugin's loading ended could not be kept: {error}");
            }
        });
        let load = self.plugin_load(workspace, id).await.map_err(|error| match error {
            CommandError::Store(error) => InstallError::Store(error),
            _ => InstallError::Panicked,
        })?;
        Ok(Loading::GoesOn(Box::new(load)))
    }

    /// How far a component is on its way in.
    ///
    /// # Errors
    /// Where there is none of this id.
    pub async fn plugin_load(&self, workspace: WorkspaceId, id: Uuid) -> Result<LoadView, CommandError> {
        let row = self.host.store.plugin_load(workspace, id).await?;
        Ok(row.ok_or(CommandError::UnknownLoad)?.into())
    }
}
