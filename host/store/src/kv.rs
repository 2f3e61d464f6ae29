//! What plugins keep: text by key, compared and set by its row alone, so that no two writers can both be right.

use armilla_domain::id::WorkspaceId;

use crate::{Store, StoreError};

/// Keys of one namespace. About so many: writers that come at once may go past it by their number.
pub const KV_KEYS_PER_NAMESPACE_MAX: i64 = 10_000;

/// What is kept under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvRow {
    /// UTF-8.
    pub value: Vec<u8>,
    /// From 1.
    pub revision: i64,
}

/// What came of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvChange<T> {
    /// It was made.
    Made(T),
    /// The key is at this revision instead.
    Conflict(Option<i64>),
    /// The namespace holds [`KV_KEYS_PER_NAMESPACE_MAX`] keys already.
    Full,
}

impl Store {
    /// What is kept under a key.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn kv_get(
        &self,
        workspace: WorkspaceId,
        namespace: &str,
        key: &str,
    ) -> Result<Option<KvRow>, StoreError> {
        let row = sqlx::query_as!(
            KvRow,
            "select value, revision from kv_entries where workspace_id = $1 and namespace = $2 and key = $3",
            workspace.uuid(),
            namespace,
            key,
        );
        Ok(row.fetch_optional(&self.pool).await?)
    }

    /// Keeps a value. `expected`: none for whatever is there, 0 for nothing, else the revision that must be there.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn kv_put(
        &self,
        workspace: WorkspaceId,
        namespace: &str,
        key: &str,
        value: &[u8],
        expected: Option<i64>,
    ) -> Result<KvChange<i64>, StoreError> {
        let replaced = match expected {
            Some(0) => None,
            expected => self.kv_replace(workspace, namespace, key, value, expected).await?,
        };
        if let Some(revision) = replaced {
            return Ok(KvChange::Made(revision));
        }
        match expected {
            None | Some(0) => {}
            Some(_) => return Ok(KvChange::Conflict(self.kv_revision(workspace, namespace, key).await?)),
        }
        if let Some(revision) = self.kv_insert(workspace, namespace, key, value).await? {
            return Ok(KvChange::Made(revision));
        }
        // Either the key is there, perhaps since a moment, or there is no room.
        let actual = self.kv_revision(workspace, namespace, key).await?;
        match (actual, expected) {
            (None, _) => Ok(KvChange::Full),
            (Some(_), Some(_)) => Ok(KvChange::Conflict(actual)),
            (Some(_), None) => {
                let replaced = self.kv_replace(workspace, namespace, key, value, None).await?;
                Ok(replaced.map_or(KvChange::Conflict(None), KvChange::Made))
            }
        }
    }

    async fn kv_replace(
        &self,
        workspace: WorkspaceId,
        namespace: &str,
        key: &str,
        value: &[u8],
        expected: Option<i64>,
    ) -> Result<Option<i64>, StoreError> {
        let revision = sqlx::query_scalar!(
            "update kv_entries set value = $4, revision = nextval('kv_revisions'), updated_at = now()
            where workspace_id = $1 and namespace = $2 and key = $3 and ($5::bigint is null or revision = $5)
            returning revision",
            workspace.uuid(),
            namespace,
            key,
            value,
            expected,
        );
        Ok(revision.fetch_optional(&self.pool).await?)
    }

    async fn kv_insert(
        &self,
        workspace: WorkspaceId,
        namespace: &str,
        key: &str,
        value: &[u8],
    ) -> Result<Option<i64>, StoreError> {
        let revision = sqlx::query_scalar!(
            "with workspace as (insert into workspaces (id) values ($1) on conflict do nothing)
            insert into kv_entries (workspace_id, namespace, key, value, revision)
            select $1, $2, $3, $4, nextval('kv_revisions')
            where (select count(*) from (
                select 1 from kv_entries where workspace_id = $1 and namespace = $2 limit $5) as kept) < $5
            on conflict do nothing
            returning revision",
            workspace.uuid(),
            namespace,
            key,
            value,
            KV_KEYS_PER_NAMESPACE_MAX,
        );
        Ok(revision.fetch_optional(&self.pool).await?)
    }

    async fn kv_revision(&self, workspace: WorkspaceId, namespace: &str, key: &str) -> Result<Option<i64>, StoreError> {
        let revision = sqlx::query_scalar!(
            "select revision from kv_entries where workspace_id = $1 and namespace = $2 and key = $3",
            workspace.uuid(),
            namespace,
            key,
        );
        Ok(revision.fetch_optional(&self.pool).await?)
    }

    /// Removes a key, under the same condition, and says whether it was there.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn kv_delete(
        &self,
        workspace: WorkspaceId,
        namespace: &str,
        key: &str,
        expected: Option<i64>,
    ) -> Result<KvChange<bool>, StoreError> {
        let done = sqlx::query!(
            "delete from kv_entries where workspace_id = $1 and namespace = $2 and key = $3
                and ($4::bigint is null or revision = $4)",
            workspace.uuid(),
            namespace,
            key,
            expected,
        );
        if done.execute(&self.pool).await?.rows_affected() == 1 {
            return Ok(KvChange::Made(true));
        }
        let actual = self.kv_revision(workspace, namespace, key).await?;
        match expected {
            None | Some(0) if actual.is_none() => Ok(KvChange::Made(false)),
            _ => Ok(KvChange::Conflict(actual)),
        }
    }

    /// Keys that begin with `prefix`, in the order of their bytes, from after `after` on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn kv_list(
        &self,
        workspace: WorkspaceId,
        namespace: &str,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>, StoreError> {
        let keys = sqlx::query_scalar!(
            r#"select key from kv_entries
            where workspace_id = $1 and namespace = $2 and key >= $3 collate "C" and starts_with(key, $3)
                and ($4::text is null or key > $4 collate "C")
            order by key limit $5"#,
            workspace.uuid(),
            namespace,
            prefix,
            after,
            i64::from(limit),
        );
        Ok(keys.fetch_all(&self.pool).await?)
    }
}
