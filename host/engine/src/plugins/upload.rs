//! A component while it is received: written to a file as it comes, hashed on the way, and gone with its owner.

use std::path::{Path, PathBuf};

use armilla_sandbox::COMPONENT_BYTES_MAX;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::sync::OwnedSemaphorePermit;

/// Components that are received and loaded at the same time: each may take 64 MiB of disk, and of memory as often.
pub(crate) const UPLOADS_AT_ONCE: usize = 8;

/// A component on its way in. Its file is removed when this is dropped.
#[derive(Debug)]
pub struct Upload {
    file: File,
    path: TemporaryFile,
    hash: Sha256,
    bytes: u64,
    place: OwnedSemaphorePermit,
}

/// Why a component could not be received.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// It is longer than any plugin may be.
    #[error("longer than the {COMPONENT_BYTES_MAX} bytes that a plugin may have")]
    TooLarge,
    /// So many are being received and loaded already.
    #[error("{UPLOADS_AT_ONCE} plugins are being received and loaded already; try again later")]
    TooMany,
    /// The disk does not take it.
    #[error("the component cannot be kept: {0}")]
    Io(#[from] std::io::Error),
}

/// A file that goes with its owner.
#[derive(Debug)]
pub(super) struct TemporaryFile(PathBuf);

impl TemporaryFile {
    /// A place in `folder`, which is made where it is missing. There is no file there yet.
    pub(super) fn place(folder: &Path, name: &str) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self(folder.join(name)))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // Never made, or gone already: as good.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Upload {
    pub(crate) async fn begin(folder: &Path, name: &str, place: OwnedSemaphorePermit) -> Result<Self, UploadError> {
        let path = TemporaryFile::place(folder, name)?;
        let file = File::options().write(true).create_new(true).open(path.path()).await?;
        Ok(Self { file, path, hash: Sha256::new(), bytes: 0, place })
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// Where it is one too many.
    pub async fn write(&mut self, piece: &[u8]) -> Result<(), UploadError> {
        self.bytes += piece.len() as u64;
        if self.bytes > COMPONENT_BYTES_MAX {
            return Err(UploadError::TooLarge);
        }
        self.hash.update(piece);
        self.file.write_all(piece).await?;
        Ok(())
    }

    /// The whole of it, with its digest.
    pub(super) async fn finish(mut self) -> Result<Received, UploadError> {
        self.file.flush().await?;
        let bytes = tokio::fs::read(self.path.path()).await?;
        let digest = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Received { bytes: bytes.into(), digest, _place: Some(self.place) })
    }
}

/// A component that has arrived.
pub(super) struct Received {
    pub(super) bytes: std::sync::Arc<[u8]>,
    pub(super) digest: String,
    /// Held until it is loaded: a component lies in memory as a whole by then.
    pub(super) _place: Option<OwnedSemaphorePermit>,
}
