//! Agents' configurations.

use armilla_domain::id::WorkspaceId;
use chrono::{DateTime, Utc};

use crate::prompts::{keep_prompt_of_config, lock_prompts};
use crate::{ConfigPrompt, Store, StoreError};

/// Versions of one agent that are kept, the newest: more are no use to anybody who wants to go back.
pub const AGENT_VERSIONS_KEPT: i32 = 1_000;

/// An agent's configuration as it is now.
#[derive(Debug, Clone)]
pub struct AgentRow {
    /// Chosen by the caller, unique in its workspace.
    pub id: String,
    /// Counts the changes, from 1.
    pub version: i32,
    /// JSON: an `armilla_domain::agent::AgentConfig`.
    pub config: String,
    /// The text of the newest version of its prompt.
    pub newest_prompt: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// What an agent was.
#[derive(Debug, Clone)]
pub struct AgentVersionRow {
    /// From 1.
    pub version: i32,
    /// JSON: an `armilla_domain::agent::AgentConfig`.
    pub config: String,
    /// Who made it.
    pub created_by: Option<String>,
    /// The version whose configuration it took up again.
    pub restored_from: Option<i32>,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// What became of an agent that was to have another configuration.
#[derive(Debug, Clone)]
pub enum ReplacedAgent {
    /// It has it.
    Done(AgentRow),
    /// Nothing was changed: its prompt has as many versions as it may.
    TooManyPrompts,
}

impl Store {
    /// Keeps an agent as version 1, its prompt, where it has one, as version 1 of that, and its workspace if that is new. `None` where
    /// the id is taken. The versions of one that was deleted go on where they ended.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn create_agent(
        &self,
        workspace: WorkspaceId,
        id: &str,
        config: &str,
        prompt: Option<ConfigPrompt<'_>>,
        by: &str,
    ) -> Result<Option<AgentRow>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let agent = sqlx::query_as!(
            AgentRow,
            r#"with workspace as (insert into workspaces (id) values ($1) on conflict do nothing),
            made as (
                insert into agents (workspace_id, id, version, config)
                values ($1, $2, 1 + coalesce((select max(version) from agent_versions where workspace_id = $1 and agent_id = $2), 0), $3)
                on conflict do nothing
                returning id, version, config, created_at, updated_at
            ), version as (
                insert into agent_versions (workspace_id, agent_id, version, config, created_by)
                select $1, id, version, config, $4 from made
            )
            select id, version, config, $5::text as "newest_prompt?", created_at, updated_at from made"#,
            workspace.uuid(),
            id,
            config,
            by,
            prompt.map(|prompt| prompt.system_prompt),
        );
        let Some(agent) = agent.fetch_optional(&mut *transaction).await? else { return Ok(None) };
        if let Some(prompt) = prompt {
            keep_prompt_of_config(&mut transaction, workspace, id, prompt, by).await?;
        }
        transaction.commit().await?;
        Ok(Some(agent))
    }

    /// Gives an agent another configuration, which is its next version, and makes a version of its prompt, where it has one and that is
    /// another one than the newest. `None` where there is no such agent.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn replace_agent(
        &self,
        workspace: WorkspaceId,
        id: &str,
        config: &str,
        prompt: Option<ConfigPrompt<'_>>,
        by: &str,
        restored_from: Option<i32>,
    ) -> Result<Option<ReplacedAgent>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        if !lock_prompts(&mut transaction, workspace, id).await? {
            return Ok(None);
        }
        if let Some(prompt) = prompt
            && !keep_prompt_of_config(&mut transaction, workspace, id, prompt, by).await?
        {
            transaction.rollback().await?;
            return Ok(Some(ReplacedAgent::TooManyPrompts));
        }
        let agent = sqlx::query_as!(
            AgentRow,
            r#"with changed as (
                update agents set version = version + 1, config = $3, updated_at = now()
                where workspace_id = $1 and id = $2
                returning id, version, config, created_at, updated_at
            ), version as (
                insert into agent_versions (workspace_id, agent_id, version, config, created_by, restored_from)
                select $1, id, version, config, $4, $5::int from changed
            ), pruned as (
                delete from agent_versions v using changed
                where v.workspace_id = $1 and v.agent_id = $2 and v.version <= changed.version - $6
            )
            select id, version, config, (
                select p.system_prompt from prompt_versions p where p.workspace_id = $1 and p.agent_id = $2
                order by p.version desc limit 1
            ) as newest_prompt, created_at, updated_at from changed"#,
            workspace.uuid(),
            id,
            config,
            by,
            restored_from,
            AGENT_VERSIONS_KEPT,
        );
        let agent = agent.fetch_optional(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(agent.map(ReplacedAgent::Done))
    }

    /// Versions of an agent, newest first, from before `before` on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn agent_versions(
        &self,
        workspace: WorkspaceId,
        id: &str,
        before: Option<i32>,
        limit: u32,
    ) -> Result<Vec<AgentVersionRow>, StoreError> {
        let versions = sqlx::query_as!(
            AgentVersionRow,
            "select version, config, created_by, restored_from, created_at from agent_versions
            where workspace_id = $1 and agent_id = $2 and ($3::int is null or version < $3)
            order by version desc limit $4",
            workspace.uuid(),
            id,
            before,
            i64::from(limit),
        );
        Ok(versions.fetch_all(&self.pool).await?)
    }

    /// One version of an agent.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn agent_version(
        &self,
        workspace: WorkspaceId,
        id: &str,
        version: i32,
    ) -> Result<Option<AgentVersionRow>, StoreError> {
        let found = sqlx::query_as!(
            AgentVersionRow,
            "select version, config, created_by, restored_from, created_at from agent_versions
            where workspace_id = $1 and agent_id = $2 and version = $3",
            workspace.uuid(),
            id,
            version,
        );
        Ok(found.fetch_optional(&self.pool).await?)
    }

    /// An agent of a workspace.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn agent(&self, workspace: WorkspaceId, id: &str) -> Result<Option<AgentRow>, StoreError> {
        let agent = sqlx::query_as!(
            AgentRow,
            "select id, version, config, (
                select p.system_prompt from prompt_versions p where p.workspace_id = $1 and p.agent_id = $2
                order by p.version desc limit 1
            ) as newest_prompt, created_at, updated_at
            from agents where workspace_id = $1 and id = $2",
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
            "select a.id, a.version, a.config, (
                select p.system_prompt from prompt_versions p where p.workspace_id = $1 and p.agent_id = a.id
                order by p.version desc limit 1
            ) as newest_prompt, a.created_at, a.updated_at
            from agents a where a.workspace_id = $1 and ($2::text is null or a.id > $2) order by a.id limit $3",
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
