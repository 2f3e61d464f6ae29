//! What a host reads of plugins, and when.

use armilla_domain::id::{RunId, WorkspaceId};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::{GrantRow, Store, StoreError};

/// A plugin.
#[derive(Debug, Clone)]
pub struct PluginRow {
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// Its name.
    pub name: String,
    /// Whether it may be called at all.
    pub enabled: bool,
    /// The version that new runs use.
    pub active: Option<i32>,
    /// When its first version came.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// One version of a plugin.
#[derive(Debug, Clone)]
pub struct PluginVersionRow {
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// The plugin.
    pub name: String,
    /// From 1.
    pub version: i32,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// How long the component is.
    pub bytes: i64,
    /// JSON: what the component says of itself.
    pub description: String,
    /// Where it came from.
    pub source: String,
    /// The trusted key that signed it.
    pub signed_by: Option<String>,
    /// Who brought it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// The version that runs on this one go on with.
    pub replaced_by: Option<i32>,
}

impl Store {
    /// Counts the changes of plugins, versions and grants.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn plugin_changes(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar!("select revision from plugin_changes").fetch_one(&self.pool).await?)
    }

    /// Every plugin, every version and every grant in force, of every workspace, as they were at one moment.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn plugin_catalog(&self) -> Result<(Vec<PluginRow>, Vec<PluginVersionRow>, Vec<GrantRow>), StoreError> {
        let mut tx = self.pool.begin_with("begin isolation level repeatable read read only").await?;
        let plugins = Self::all_plugins(&mut tx).await?;
        let versions = Self::all_plugin_versions(&mut tx).await?;
        let grants = Self::all_grants(&mut tx).await?;
        tx.commit().await?;
        Ok((plugins, versions, grants))
    }

    async fn all_plugins(connection: &mut PgConnection) -> Result<Vec<PluginRow>, StoreError> {
        let rows = sqlx::query!(
            "select workspace_id, name, enabled, active_version, created_at, updated_at from plugins order by name"
        );
        let rows = rows.fetch_all(&mut *connection).await?;
        Ok(rows
            .into_iter()
            .map(|row| PluginRow {
                workspace: WorkspaceId::from_uuid(row.workspace_id),
                name: row.name,
                enabled: row.enabled,
                active: row.active_version,
                created_at: row.created_at,
                updated_at: row.updated_at,
            })
            .collect())
    }

    async fn all_plugin_versions(connection: &mut PgConnection) -> Result<Vec<PluginVersionRow>, StoreError> {
        let rows = sqlx::query!(
            "select workspace_id, name, version, digest, bytes, description, source, signed_by, created_by, created_at,
                replaced_by from plugin_versions"
        );
        let rows = rows.fetch_all(&mut *connection).await?;
        Ok(rows
            .into_iter()
            .map(|row| PluginVersionRow {
                workspace: WorkspaceId::from_uuid(row.workspace_id),
                name: row.name,
                version: row.version,
                digest: row.digest,
                bytes: row.bytes,
                description: row.description,
                source: row.source,
                signed_by: row.signed_by,
                created_by: row.created_by,
                created_at: row.created_at,
                replaced_by: row.replaced_by,
            })
            .collect())
    }

    /// The grants in force: the newest revision of each, for plugins that are there.
    async fn all_grants(connection: &mut PgConnection) -> Result<Vec<GrantRow>, StoreError> {
        let rows = sqlx::query!(
            "select distinct on (g.workspace_id, g.owner_id, g.name)
                g.workspace_id, g.owner_id, g.name, g.revision, g.body, g.by, g.at
            from plugin_grants g
            join plugins p on p.workspace_id = g.owner_id and p.name = g.name and g.at >= p.created_at
            order by g.workspace_id, g.owner_id, g.name, g.revision desc"
        );
        let rows = rows.fetch_all(&mut *connection).await?;
        Ok(rows
            .into_iter()
            .map(|row| GrantRow {
                workspace: WorkspaceId::from_uuid(row.workspace_id),
                owner: WorkspaceId::from_uuid(row.owner_id),
                name: row.name,
                revision: row.revision,
                body: row.body,
                by: row.by,
                at: row.at,
            })
            .collect())
    }

    /// Unfinished runs that are on any of these components: those of the workspace first, and the others' where they count too.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn runs_on_components(
        &self,
        workspace: WorkspaceId,
        others_too: bool,
        digests: &[String],
        limit: u32,
    ) -> Result<Vec<(RunId, WorkspaceId)>, StoreError> {
        let rows = sqlx::query!(
            "select id, workspace_id from runs
            where finished_at is null and plugins && $1 and ($3 or workspace_id = $2)
            order by workspace_id <> $2, id limit $4",
            digests,
            workspace.uuid(),
            others_too,
            i64::from(limit),
        );
        let rows = rows.fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|row| (RunId::from_uuid(row.id), WorkspaceId::from_uuid(row.workspace_id))).collect())
    }
}
