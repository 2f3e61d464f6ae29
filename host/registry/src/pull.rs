//! From a reference to a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use armilla_egress::Egress;
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tracing::debug;

use crate::digest::Digest;
use crate::error::{Part, PullError};
use crate::exchange::{Credentials, Exchange, read};
use crate::host::{BadPattern, HostPattern};
use crate::manifest::{ACCEPT, Layer, MANIFEST_BYTES_MAX, component_layer};
use crate::reference::Reference;

/// The registries that plugins may come from.
#[derive(Clone)]
pub struct Registries {
    egress: Egress,
    /// As the operator wrote them, for messages.
    named: Vec<String>,
    /// Empty for any.
    allowed: Vec<HostPattern>,
    insecure: Vec<HostPattern>,
}

/// A plugin that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// Where it came from, pinned: `registry/name@sha256:…`. It names the same bytes for ever.
    pub reference: String,
    /// The manifest's digest, `sha256:…`.
    pub manifest_digest: String,
    /// The component's digest, `sha256:…`.
    pub layer_digest: String,
    /// The component's size in bytes.
    pub bytes: u64,
}

impl Registries {
    /// Registries reached through `egress`. Each entry is a `host`, a `host:port` or `*.domain` for the hosts below a
    /// domain; without a port, the default one is meant.
    ///
    /// Plugins may come from the registries in `allowed`, or from any if it is empty. This bounds where a pull begins;
    /// token servers and storage that a registry sends to are bound by the address rule. Those in `insecure` are spoken to
    /// in plain http, all others in https.
    pub fn new(egress: Egress, allowed: &[String], insecure: &[String]) -> Result<Self, Vec<BadPattern>> {
        match (HostPattern::parse_all(allowed), HostPattern::parse_all(insecure)) {
            (Ok(patterns), Ok(insecure)) => Ok(Self { egress, named: allowed.to_vec(), allowed: patterns, insecure }),
            (allowed, insecure) => {
                let bad = [allowed.err(), insecure.err()];
                Err(bad.into_iter().flatten().flatten().collect())
            }
        }
    }

    /// Pulls the component that `reference` names into the new file `into`, which must not exist.
    ///
    /// The component has at most `bytes_max` bytes, and everything together takes at most `timeout`. The bytes are checked
    /// against the manifest while they come in, and the manifest against the reference if that names a digest. On every
    /// error, and if the future is dropped, the file is gone again.
    pub async fn pull(
        &self,
        reference: &str,
        credentials: Option<&Credentials>,
        into: &Path,
        bytes_max: u64,
        timeout: Duration,
    ) -> Result<Pulled, PullError> {
        let reference: Reference = reference.parse()?;
        if !(self.allowed.is_empty() || self.allowed.iter().any(|pattern| pattern.matches(reference.registry()))) {
            let registry = reference.registry().to_owned();
            return Err(PullError::RegistryNotAllowed { registry, allowed: self.named.clone() });
        }
        let exchange = Exchange {
            egress: &self.egress,
            insecure: &self.insecure,
            reference: &reference,
            credentials,
            limit: timeout,
            authorization: None,
        };
        match tokio::time::timeout(timeout, pull(exchange, into, bytes_max)).await {
            Ok(result) => result,
            Err(_) => Err(PullError::Timeout { limit: timeout }),
        }
    }
}

async fn pull(mut exchange: Exchange<'_>, into: &Path, bytes_max: u64) -> Result<Pulled, PullError> {
    let (manifest_digest, manifest) = fetch_manifest(&mut exchange).await?;
    let layer = component_layer(&manifest)?;
    if layer.size > bytes_max {
        return Err(PullError::TooLarge { part: Part::Component, bytes_max });
    }

    fetch_layer(&mut exchange, &layer, into).await?;

    let reference = exchange.reference.pin(&manifest_digest).to_string();
    debug!(plugin.reference = %reference, plugin.bytes = layer.size, "Pulled `{reference}`");
    Ok(Pulled {
        reference,
        manifest_digest: manifest_digest.to_string(),
        layer_digest: layer.digest.to_string(),
        bytes: layer.size,
    })
}

async fn fetch_manifest(exchange: &mut Exchange<'_>) -> Result<(Digest, Vec<u8>), PullError> {
    let path = format!("manifests/{}", exchange.reference.wanted());
    let mut answer = exchange.get(&path, ACCEPT, Part::Manifest, MANIFEST_BYTES_MAX).await?;
    let body = read(&mut answer, exchange.reference.endpoint(), Part::Manifest).await?;
    let found = Digest::of(&body);
    match exchange.reference.pinned() {
        Some(expected) if *expected != found => Err(mismatch(Part::Manifest, expected, found.to_string())),
        _ => Ok((found, body)),
    }
}

async fn fetch_layer(exchange: &mut Exchange<'_>, layer: &Layer, into: &Path) -> Result<(), PullError> {
    let path = format!("blobs/{}", layer.digest);
    // More than the manifest says cannot be right, so that is the bound.
    let bound = usize::try_from(layer.size).unwrap_or(usize::MAX);
    let mut answer = exchange.get(&path, "*/*", Part::Component, bound).await?;

    let host = exchange.reference.endpoint();
    let mut draft = Draft::create(into).await?;
    let mut hash = Sha256::new();
    let mut bytes: u64 = 0;
    loop {
        let chunk =
            answer.chunk().await.map_err(|error| match PullError::from_egress(error, host, Part::Component) {
                PullError::TooLarge { .. } => {
                    mismatch(Part::Component, &layer.digest, format!("more than its {} bytes", layer.size))
                }
                other => other,
            })?;
        let Some(chunk) = chunk else { break };
        let chunk = chunk.as_ref();
        hash.update(chunk);
        bytes += chunk.len() as u64;
        draft.file.write_all(chunk).await.map_err(|error| not_written(&error))?;
    }
    let found = Digest::finish(hash);
    if found != layer.digest {
        return Err(mismatch(Part::Component, &layer.digest, found.to_string()));
    }
    // Bytes of the right digest whose number is not that of the manifest: the manifest lies, and its sizes are shown.
    if bytes != layer.size {
        return Err(mismatch(Part::Component, &layer.digest, format!("{bytes} bytes instead of {}", layer.size)));
    }
    draft.keep().await
}

/// A file that vanishes unless it is kept, however the work on it ends.
struct Draft {
    path: PathBuf,
    file: File,
    kept: bool,
}

impl Draft {
    async fn create(path: &Path) -> Result<Self, PullError> {
        // Somebody else's file is neither overwritten nor removed.
        let file = File::create_new(path).await.map_err(|error| not_written(&error))?;
        Ok(Self { path: path.to_owned(), file, kept: false })
    }

    async fn keep(mut self) -> Result<(), PullError> {
        // Who calls will note that the plugin is there, and must not note it before it is.
        self.file.flush().await.map_err(|error| not_written(&error))?;
        self.file.sync_all().await.map_err(|error| not_written(&error))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            debug!("An unfinished plugin at `{}` could not be removed: {error}", self.path.display());
        }
    }
}

fn mismatch(part: Part, expected: &Digest, found: String) -> PullError {
    PullError::DigestMismatch { part, expected: expected.to_string(), found }
}

fn not_written(error: &std::io::Error) -> PullError {
    PullError::File { reason: error.to_string() }
}
