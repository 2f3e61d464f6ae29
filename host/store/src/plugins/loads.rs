//! Components on their way in.

use armilla_domain::id::WorkspaceId;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{Store, StoreError};

/// A component on its way in, or arrived, or refused.
#[derive(Debug, Clone)]
pub struct LoadRow {
    /// Time-ordered.
    pub id: Uuid,
    /// `loading`, `loaded` or `failed`.
    pub status: String,
    /// The plugin it became.
    pub name: Option<String>,
    /// The version it became.
    pub version: Option<i32>,
    /// JSON: `code` and `detail` of why it failed.
    pub problem: Option<String>,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it was decided.
    pub finished_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Notes that a component is on its way. What is older than a day is forgotten.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn begin_load(&self, workspace: WorkspaceId, id: Uuid) -> Result<(), StoreError> {
        sqlx::query!(
            "with workspace as (insert into workspaces (id) values ($2) on conflict do nothing),
            forgotten as (delete from plugin_loads where created_at < now() - interval '1 day')
            insert into plugin_loads (id, workspace_id, status) values ($1, $2, 'loading')",
            id,
            workspace.uuid(),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Notes what became of it: a version of a plugin, or a problem.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn end_load(
        &self,
        id: Uuid,
        loaded: Option<(&str, i32)>,
        problem: Option<&str>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update plugin_loads set status = $2, name = $3, version = $4, problem = $5, finished_at = now()
            where id = $1",
            id,
            if loaded.is_some() { "loaded" } else { "failed" },
            loaded.map(|(name, _)| name),
            loaded.map(|(_, version)| version),
            problem,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// What became of it. One that nobody has decided within an hour has lost its host.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn plugin_load(&self, workspace: WorkspaceId, id: Uuid) -> Result<Option<LoadRow>, StoreError> {
        let row = sqlx::query_as!(
            LoadRow,
            r#"select id, name, version, created_at, finished_at, problem,
                case when status = 'loading' and created_at < now() - interval '1 hour' then 'failed' else status end
                    as "status!"
            from plugin_loads where id = $1 and workspace_id = $2"#,
            id,
            workspace.uuid(),
        );
        Ok(row.fetch_optional(&self.pool).await?)
    }
}
