//! Commands on agents.

use armilla_domain::agent::AgentConfig;
use armilla_domain::fault::Fault;
use armilla_domain::id::WorkspaceId;
use armilla_store::{AgentRow, ReplacedAgent, StoreError};
use chrono::{DateTime, Utc};
use serde_json::Value;
use tracing::info;

use crate::{CommandError, Engine, PromptError};

/// An agent's configuration as it is now.
#[derive(Debug, Clone)]
pub struct AgentView {
    /// How it is reached and what it is told.
    pub config: AgentConfig,
    /// Counts the changes, from 1.
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl Engine {
    /// Checks a configuration and keeps it as a new agent.
    ///
    /// # Errors
    /// [`CommandError::Invalid`] with every fault, [`CommandError::AgentExists`] where the id is taken.
    pub async fn create_agent(
        &self,
        workspace: WorkspaceId,
        config: &Value,
        by: &str,
    ) -> Result<AgentView, CommandError> {
        let config = self.check_agent(workspace, config).await?;
        let (text, prompt) = (text_of(&config)?, config.system_prompt_template.as_deref());
        let row = self.host.store.create_agent(workspace, &config.id, &text, prompt, by).await?;
        let row = row.ok_or_else(|| CommandError::AgentExists(config.id.clone()))?;
        info!(agent.id = %config.id, workspace.id = %workspace, "Agent `{}` was created", config.id);
        Ok(view(row)?)
    }

    /// Gives an agent another configuration, from the next call on.
    ///
    /// # Errors
    /// As [`Engine::create_agent`], and where there is no such agent.
    pub async fn replace_agent(
        &self,
        workspace: WorkspaceId,
        id: &str,
        config: &Value,
        by: &str,
    ) -> Result<AgentView, CommandError> {
        let mut config = config.clone();
        // The id is in the address already; a body may repeat it, and may not contradict it.
        if let Some(fields) = config.as_object_mut() {
            let stated = fields.entry("id").or_insert_with(|| Value::String(id.to_owned()));
            if stated.as_str().is_some_and(|stated| stated != id) {
                let fault = Fault::new("/id", "agent.id_mismatch", format!("the address says `{id}`"));
                return Err(CommandError::Invalid(vec![fault]));
            }
        }
        let config = self.check_agent(workspace, &config).await?;
        let (text, prompt) = (text_of(&config)?, config.system_prompt_template.as_deref());
        let row = match self.host.store.replace_agent(workspace, id, &text, prompt, by).await? {
            None => return Err(CommandError::UnknownAgent(id.to_owned())),
            Some(ReplacedAgent::TooManyPrompts) => return Err(PromptError::TooManyVersions.into()),
            Some(ReplacedAgent::Done(row)) => row,
        };
        info!(agent.id = %id, agent.version = row.version, workspace.id = %workspace, "Agent `{id}` was changed");
        Ok(view(row)?)
    }

    /// An agent of a workspace.
    ///
    /// # Errors
    /// Where there is none, or the database is away.
    pub async fn agent(&self, workspace: WorkspaceId, id: &str) -> Result<AgentView, CommandError> {
        let row = self.host.store.agent(workspace, id).await?;
        Ok(view(row.ok_or_else(|| CommandError::UnknownAgent(id.to_owned()))?)?)
    }

    /// Agents of a workspace, by id, from after `after` on.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn agents(
        &self,
        workspace: WorkspaceId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<AgentView>, CommandError> {
        let rows = self.host.store.agents(workspace, after, limit).await?;
        Ok(rows.into_iter().map(view).collect::<Result<_, _>>()?)
    }

    /// Deletes an agent. A run that comes to a step of it fails there.
    ///
    /// # Errors
    /// Where there is none, or the database is away.
    pub async fn delete_agent(&self, workspace: WorkspaceId, id: &str) -> Result<(), CommandError> {
        if !self.host.store.delete_agent(workspace, id).await? {
            return Err(CommandError::UnknownAgent(id.to_owned()));
        }
        info!(agent.id = %id, workspace.id = %workspace, "Agent `{id}` was deleted");
        Ok(())
    }

    async fn check_agent(&self, workspace: WorkspaceId, config: &Value) -> Result<AgentConfig, CommandError> {
        let config = AgentConfig::check(config).map_err(CommandError::Invalid)?;
        if let Some(template) = &config.system_prompt_template {
            let fault = self.prompt_fault(workspace, template, "/systemPromptTemplate").await?;
            if let Some(fault) = fault {
                return Err(CommandError::Invalid(vec![fault]));
            }
        }
        Ok(config)
    }
}

fn text_of(config: &AgentConfig) -> Result<String, StoreError> {
    serde_json::to_string(config).map_err(|error| StoreError::Corrupt(error.to_string()))
}

fn view(row: AgentRow) -> Result<AgentView, StoreError> {
    let config: Result<AgentConfig, _> = serde_json::from_str(&row.config);
    let mut config = config.map_err(|error| StoreError::Corrupt(format!("the agent `{}`: {error}", row.id)))?;
    // The configuration says what the prompt was when it was written.
    config.system_prompt_template = row.newest_prompt.or(config.system_prompt_template);
    Ok(AgentView { config, version: row.version, created_at: row.created_at, updated_at: row.updated_at })
}
