//! What workspaces granted plugins: revisions that are never changed.

use armilla_domain::id::WorkspaceId;
use chrono::{DateTime, Utc};

use crate::events::{EventColumns, NewEvent};
use crate::{Store, StoreError};

/// One revision of a grant.
#[derive(Debug, Clone)]
pub struct GrantRow {
    /// Whose grant it is.
    pub workspace: WorkspaceId,
    /// Whose plugin it is.
    pub owner: WorkspaceId,
    /// The plugin.
    pub name: String,
    /// Grows.
    pub revision: i64,
    /// JSON.
    pub body: String,
    /// Who granted it.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
}

impl Store {
    /// Puts a grant in force. `None` where there is no such plugin.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn put_grant(
        &self,
        workspace: WorkspaceId,
        owner: WorkspaceId,
        name: &str,
        body: &str,
        by: &str,
        events: &[NewEvent],
    ) -> Result<Option<GrantRow>, StoreError> {
        let EventColumns { id, kind, data, .. } = EventColumns::of(events);
        let row = sqlx::query!(
            "with workspace as (insert into workspaces (id) values ($1) on conflict do nothing),
            made as (
                insert into plugin_grants (workspace_id, owner_id, name, body, by)
                select $1, $2, name, $4, $5 from plugins where workspace_id = $2 and name = $3
                returning revision, at
            ), changed as (
                update plugin_changes set revision = revision + 1 where exists (select 1 from made)
            ), told as (
                insert into events (id, workspace_id, type, data)
                select e.id, $1, e.type, e.data from made, unnest($6::uuid[], $7::text[], $8::text[]) as e(id, type, data)
            )
            select revision, at from made",
            workspace.uuid(),
            owner.uuid(),
            name,
            body,
            by,
            &id,
            &kind as &[&str],
            &data as &[&str],
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| GrantRow {
            workspace,
            owner,
            name: name.to_owned(),
            revision: row.revision,
            body: body.to_owned(),
            by: by.to_owned(),
            at: row.at,
        }))
    }

    /// Every revision of a workspace's grant of a plugin, newest first, from before `before` on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn grant_history(
        &self,
        workspace: WorkspaceId,
        owner: WorkspaceId,
        name: &str,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<GrantRow>, StoreError> {
        let rows = sqlx::query!(
            "select revision, body, by, at from plugin_grants
            where workspace_id = $1 and owner_id = $2 and name = $3 and ($4::bigint is null or revision < $4)
            order by revision desc limit $5",
            workspace.uuid(),
            owner.uuid(),
            name,
            before,
            i64::from(limit),
        );
        let rows = rows.fetch_all(&self.pool).await?;
        Ok(rows
            .into_iter()
            .map(|row| GrantRow {
                workspace,
                owner,
                name: name.to_owned(),
                revision: row.revision,
                body: row.body,
                by: row.by,
                at: row.at,
            })
            .collect())
    }
}
