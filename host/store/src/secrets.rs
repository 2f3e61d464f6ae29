//! Secrets, sealed before they come here.

use armilla_domain::id::WorkspaceId;
use chrono::{DateTime, Utc};

use crate::{Store, StoreError};

/// What is told of a secret: everything but its value.
#[derive(Debug, Clone)]
pub struct SecretRow {
    /// Its name.
    pub name: String,
    /// Who set it last.
    pub updated_by: String,
    /// When it was first set.
    pub created_at: DateTime<Utc>,
    /// When it was last set.
    pub updated_at: DateTime<Utc>,
}

impl Store {
    /// Keeps a sealed secret, in place of one of the same name.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn put_secret(
        &self,
        workspace: WorkspaceId,
        name: &str,
        sealed: &[u8],
        by: &str,
    ) -> Result<SecretRow, StoreError> {
        let row = sqlx::query_as!(
            SecretRow,
            "with workspace as (insert into workspaces (id) values ($1) on conflict do nothing)
            insert into secrets (workspace_id, name, sealed, updated_by) values ($1, $2, $3, $4)
            on conflict (workspace_id, name) do update
                set sealed = excluded.sealed, updated_by = excluded.updated_by, updated_at = now()
            returning name, updated_by, created_at, updated_at",
            workspace.uuid(),
            name,
            sealed,
            by,
        );
        Ok(row.fetch_one(&self.pool).await?)
    }

    /// A sealed secret.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn sealed_secret(&self, workspace: WorkspaceId, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let sealed = sqlx::query_scalar!(
            "select sealed from secrets where workspace_id = $1 and name = $2",
            workspace.uuid(),
            name,
        );
        Ok(sealed.fetch_optional(&self.pool).await?)
    }

    /// The secrets of a workspace by name, from after `after` on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn secrets(
        &self,
        workspace: WorkspaceId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<SecretRow>, StoreError> {
        let rows = sqlx::query_as!(
            SecretRow,
            "select name, updated_by, created_at, updated_at from secrets
            where workspace_id = $1 and ($2::text is null or name > $2) order by name limit $3",
            workspace.uuid(),
            after,
            i64::from(limit),
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// Deletes a secret. Says whether there was one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delete_secret(&self, workspace: WorkspaceId, name: &str) -> Result<bool, StoreError> {
        let done = sqlx::query!("delete from secrets where workspace_id = $1 and name = $2", workspace.uuid(), name);
        Ok(done.execute(&self.pool).await?.rows_affected() == 1)
    }
}
