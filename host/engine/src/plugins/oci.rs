//! Components from OCI registries.

use std::sync::Arc;
use std::time::Duration;

use armilla_domain::id::WorkspaceId;
use armilla_registry::Credentials;
use armilla_registry::signature::Signature;
use armilla_sandbox::COMPONENT_BYTES_MAX;
use uuid::Uuid;

use super::install::{Activation, Install, InstallError, Installed};
use super::upload::{Received, TemporaryFile, UploadError};
use crate::host::Host;

/// How long a registry may take to give a component of the largest size.
const PULL_MAX: Duration = Duration::from_secs(120);

/// Where a component is fetched from.
#[derive(Debug, Clone)]
pub struct OciSource {
    /// `registry/name:tag` or `registry/name@sha256:…`.
    pub reference: String,
    /// A user's name, and the name of the secret that is their password.
    pub credentials: Option<(String, String)>,
}

impl Host {
    pub(super) async fn pull(
        &self,
        workspace: WorkspaceId,
        source: OciSource,
        signature: Option<Signature>,
        by: String,
        activate: bool,
    ) -> Result<Installed, InstallError> {
        let registries = self.policy.registries.as_ref().ok_or(InstallError::NoRegistries)?;
        let credentials = match &source.credentials {
            None => None,
            Some((username, secret)) => {
                let sealed = self.store.sealed_secret(workspace, secret).await?;
                let password = sealed.and_then(|sealed| self.sealing.open(workspace, secret, &sealed));
                let password = password.ok_or_else(|| InstallError::UnknownSecret(secret.clone()))?;
                Some(Credentials { username: username.clone(), password })
            }
        };
        let place = Arc::clone(&self.uploads).try_acquire_owned().map_err(|_| UploadError::TooMany)?;
        let name = format!("pull-{}.wasm", self.next_id::<Uuid>().simple());
        let file = TemporaryFile::place(&self.policy.uploads, &name).map_err(UploadError::Io)?;
        let pulled = registries
            .pull(&source.reference, credentials.as_ref(), file.path(), COMPONENT_BYTES_MAX, PULL_MAX)
            .await?;
        let bytes = tokio::fs::read(file.path()).await.map_err(UploadError::Io)?;
        let digest = pulled.layer_digest.trim_start_matches("sha256:").to_owned();
        let received = Received { bytes: bytes.into(), digest, _place: Some(place) };
        let source = format!("oci:{}", pulled.reference);
        let activate = if activate { Activation::Now } else { Activation::Later };
        self.install(Install { workspace, received, source, signature, by, activate }).await
    }
}
