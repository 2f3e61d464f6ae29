//! Inbound hooks: what they are, and what was done with them.

mod calls;

use armilla_domain::id::{InboundHookId, WorkspaceId};
use chrono::{DateTime, Utc};

pub use self::calls::{HOOK_CALLS_KEPT, HookCallRow, NewHookCall};
use crate::{Store, StoreError};

/// Hooks of one workspace: more than systems that call one, few enough to be read by people. About so many: those that are made at once
/// may go past it by their number.
pub const HOOKS_PER_WORKSPACE_MAX: i64 = 1_000;

/// A hook as it is now, without its token.
#[derive(Debug, Clone)]
pub struct HookRow {
    /// Its id.
    pub id: uuid::Uuid,
    /// Whose.
    pub workspace_id: uuid::Uuid,
    /// JSON: an `armilla_domain::hook::Hook`.
    pub config: String,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl Store {
    /// Keeps a hook, and its workspace if that is new. `token_hash` is SHA-256 of its token. Nothing is kept where the workspace has
    /// [`HOOKS_PER_WORKSPACE_MAX`].
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn create_hook(
        &self,
        workspace: WorkspaceId,
        id: InboundHookId,
        config: &str,
        token_hash: &[u8; 32],
        by: &str,
    ) -> Result<Option<HookRow>, StoreError> {
        let row = sqlx::query_as!(
            HookRow,
            "with workspace as (insert into workspaces (id) values ($1) on conflict do nothing)
            insert into inbound_hooks (id, workspace_id, config, token_hash, created_by)
            select $2, $1, $3, $4, $5 where (select count(*) from inbound_hooks where workspace_id = $1) < $6
            returning id, workspace_id, config, created_by, created_at, updated_at",
            workspace.uuid(),
            id.uuid(),
            config,
            token_hash.as_slice(),
            by,
            HOOKS_PER_WORKSPACE_MAX,
        );
        Ok(row.fetch_optional(&self.pool).await?)
    }

    /// Hooks of a workspace, newest first, from before `before` on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn hooks(
        &self,
        workspace: WorkspaceId,
        before: Option<InboundHookId>,
        limit: u32,
    ) -> Result<Vec<HookRow>, StoreError> {
        let rows = sqlx::query_as!(
            HookRow,
            "select id, workspace_id, config, created_by, created_at, updated_at from inbound_hooks
            where workspace_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3",
            workspace.uuid(),
            before.map(InboundHookId::uuid),
            i64::from(limit),
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// A hook of a workspace.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn hook(&self, workspace: WorkspaceId, id: InboundHookId) -> Result<Option<HookRow>, StoreError> {
        let row = sqlx::query_as!(
            HookRow,
            "select id, workspace_id, config, created_by, created_at, updated_at from inbound_hooks
            where id = $1 and workspace_id = $2",
            id.uuid(),
            workspace.uuid(),
        );
        Ok(row.fetch_optional(&self.pool).await?)
    }

    /// The hook whose token has this SHA-256, whosever.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn hook_of_token(&self, token_hash: &[u8; 32]) -> Result<Option<HookRow>, StoreError> {
        let row = sqlx::query_as!(
            HookRow,
            "select id, workspace_id, config, created_by, created_at, updated_at from inbound_hooks where token_hash = $1",
            token_hash.as_slice(),
        );
        Ok(row.fetch_optional(&self.pool).await?)
    }

    /// Makes something else of a hook. `None` where there is none.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn replace_hook(
        &self,
        workspace: WorkspaceId,
        id: InboundHookId,
        config: &str,
    ) -> Result<Option<HookRow>, StoreError> {
        let row = sqlx::query_as!(
            HookRow,
            "update inbound_hooks set config = $3, updated_at = now() where id = $1 and workspace_id = $2
            returning id, workspace_id, config, created_by, created_at, updated_at",
            id.uuid(),
            workspace.uuid(),
            config,
        );
        Ok(row.fetch_optional(&self.pool).await?)
    }

    /// Gives a hook another token. `None` where there is no such hook.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn rotate_hook_token(
        &self,
        workspace: WorkspaceId,
        id: InboundHookId,
        token_hash: &[u8; 32],
    ) -> Result<Option<HookRow>, StoreError> {
        let row = sqlx::query_as!(
            HookRow,
            "update inbound_hooks set token_hash = $3, updated_at = now() where id = $1 and workspace_id = $2
            returning id, workspace_id, config, created_by, created_at, updated_at",
            id.uuid(),
            workspace.uuid(),
            token_hash.as_slice(),
        );
        Ok(row.fetch_optional(&self.pool).await?)
    }

    /// Deletes a hook, with what is known of its calls. Says whether there was one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delete_hook(&self, workspace: WorkspaceId, id: InboundHookId) -> Result<bool, StoreError> {
        let done =
            sqlx::query!("delete from inbound_hooks where id = $1 and workspace_id = $2", id.uuid(), workspace.uuid());
        Ok(done.execute(&self.pool).await?.rows_affected() == 1)
    }
}
