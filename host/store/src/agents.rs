//! Agents' configurations.

use armilla_domain::id::WorkspaceId;
use chrono::{DateTime, Utc};

use crate::{Store, StoreError};

/// An agent's configuration as it is now.
#[derive(Debug, Clone)]
pub struct AgentRow {
    /// Chosen by the caller, unique in its workspace.
    pub id: String,
    /// Counts the changes, from 1.
    pub version: i32,
    /// JSON: an `armilla_domain::agent::AgentConfig`.
    pub config: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl Store {
    /// Keeps an agent as version 1, and its workspace if that is new. `None` where the id is taken.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn create_agent(
        &self,
        workspace: WorkspaceId,
        id: &str,
        config: &str,
    ) -> Result<Option<AgentRow>, StoreError> {
        let agent = sqlx::query_as!(
            AgentRow,
            "with workspace as (insert into workspaces (id) values ($1) on conflict do nothing)
            insert into agents (workspace_id, id, version, config) values ($1, $2, 1, $3)
            on conflict do nothing
            returning id, version, config, created_at, updated_at",
            workspace.uuid(),
            id,
            config,
        );
        Ok(agent.fetch_optional(&self.pool).await?)
    }

    /// Gives an agent another configuration, which is its next version. `None` where there is no such agent.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn replace_agent(
        &self,
        workspace: WorkspaceId,
        id: &str,
        config: &str,
    ) -> Result<Option<AgentRow>, StoreError> {
        let agent = sqlx::query_as!(
            AgentRow,
            "update agents set version = version + 1, config = $3, updated_at = now()
            where workspace_id = $1 and id = $2
            returning id, version, config, created_at, updated_at",
            workspace.uuid(),
            id,
            config,
        );
        Ok(agent.fetch_optional(&self.pool).await?)
    }

    /// An agent of a workspace.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn agent(&self, workspace: WorkspaceId, id: &str) -> Result<Option<AgentRow>, StoreError> {
        let agent = sqlx::query_as!(
            AgentRow,
            "select id, version, config, created_at, updated_at from agents where workspace_id = $1 and id = $2",
            workspace.uuid(),
            id,
        );
        Ok(agent.fetch_optional(&self.pool).await?)
    }

    /// Agents of a workspace by id, from after `after` on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn agents(
        &self,
        workspace: WorkspaceId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<AgentRow>, StoreError> {
        let agents = sqlx::query_as!(
            AgentRow,
            "select id, version, config, created_at, updated_at from agents
            where workspace_id = $1 and ($2::text is null or id > $2) order by id limit $3",
            workspace.uuid(),
            after,
            i64::from(limit),
        );
        Ok(agents.fetch_all(&self.pool).await?)
    }

    /// Which of `ids` are agents of a workspace.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn agents_among(&self, workspace: WorkspaceId, ids: &[String]) -> Result<Vec<String>, StoreError> {
        let known = sqlx::query_scalar!(
            "select id from agents where workspace_id = $1 and id = any($2)",
            workspace.uuid(),
            ids,
        );
        Ok(known.fetch_all(&self.pool).await?)
    }

    /// Deletes an agent. Says whether there was one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delete_agent(&self, workspace: WorkspaceId, id: &str) -> Result<bool, StoreError> {
        let done = sqlx::query!("delete from agents where workspace_id = $1 and id = $2", workspace.uuid(), id);
        Ok(done.execute(&self.pool).await?.rows_affected() == 1)
    }
}
