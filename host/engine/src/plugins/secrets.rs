//! Commands on secrets. A value comes in and never goes out.

use armilla_domain::fault::Fault;
use armilla_domain::id::WorkspaceId;
use armilla_store::{SecretRow, StoreError};
use chrono::{DateTime, Utc};
use tracing::info;

use crate::{CommandError, Engine};

/// In bytes of a secret: the largest tokens and keys in use.
pub const SECRET_BYTES_MAX: usize = 16 << 10;
/// In bytes of a secret: a shorter one is found in any text by accident, and where a server repeats it, it is taken out.
pub const SECRET_BYTES_MIN: usize = 8;
/// In bytes of a secret's name.
const NAME_BYTES_MAX: usize = 64;

/// What is told of a secret.
#[derive(Debug, Clone)]
pub struct SecretView {
    /// Its name.
    pub name: String,
    /// Who set it last.
    pub updated_by: String,
    /// When it was first set.
    pub created_at: DateTime<Utc>,
    /// When it was last set.
    pub updated_at: DateTime<Utc>,
}

impl From<SecretRow> for SecretView {
    fn from(SecretRow { name, updated_by, created_at, updated_at }: SecretRow) -> Self {
        Self { name, updated_by, created_at, updated_at }
    }
}

impl Engine {
    /// Keeps a secret, in place of one of the same name, from the next call on.
    ///
    /// # Errors
    /// [`CommandError::Invalid`] where name or value cannot be.
    pub async fn put_secret(
        &self,
        workspace: WorkspaceId,
        name: &str,
        value: &str,
        by: &str,
    ) -> Result<SecretView, CommandError> {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let mut faults = Vec::new();
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(good) {
            let detail = format!("a secret's name has 1 to {NAME_BYTES_MAX} of A-Z a-z 0-9 - _ .");
            faults.push(Fault::new("", "secret.name", detail));
        }
        if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&value.len()) {
            let detail = format!("a secret has {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes");
            faults.push(Fault::new("/value", "secret.length", detail));
        }
        if !faults.is_empty() {
            return Err(CommandError::Invalid(faults));
        }
        let sealed = self.host.sealing.seal(workspace, name, value, self.host.chance.nonce());
        let sealed = sealed.ok_or_else(|| StoreError::Corrupt("a secret could not be sealed".to_owned()))?;
        let row = self.host.store.put_secret(workspace, name, &sealed, by).await?;
        info!(secret.name = name, workspace.id = %workspace, by, "The secret `{name}` was set");
        Ok(row.into())
    }

    /// The secrets of a workspace by name, without their values.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn secrets(
        &self,
        workspace: WorkspaceId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<SecretView>, CommandError> {
        let rows = self.host.store.secrets(workspace, after, limit).await?;
        Ok(rows.into_iter().map(SecretView::from).collect())
    }

    /// Deletes a secret.
    ///
    /// # Errors
    /// Where there is none, or the database is away.
    pub async fn delete_secret(&self, workspace: WorkspaceId, name: &str, by: &str) -> Result<(), CommandError> {
        if !self.host.store.delete_secret(workspace, name).await? {
            return Err(CommandError::UnknownSecret(name.to_owned()));
        }
        info!(secret.name = name, workspace.id = %workspace, by, "The secret `{name}` was deleted");
        Ok(())
    }
}
