//! Commands on agents.

use armilla_domain::agent::AgentConfig;
use armilla_domain::event::EventType;
use armilla_domain::event::data::PromptTold;
use armilla_domain::fault::{Fault, pointer};
use armilla_domain::id::WorkspaceId;
use armilla_domain::template::Templates;
use armilla_store::{AgentRow, AgentVersionRow, ConfigPrompt, NewEvent, ReplacedAgent, StoreError};
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

/// What an agent was.
#[derive(Debug, Clone)]
pub struct AgentVersionView {
    /// How it was reached and what it was told.
    pub config: AgentConfig,
    /// From 1.
    pub version: i32,
    /// Who made it.
    pub created_by: Option<String>,
    /// The version whose configuration it took up again.
    pub restored_from: Option<i32>,
    /// When.
    pub created_at: DateTime<Utc>,
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
        self.keep_new(workspace, config, by).await
    }

    async fn keep_new(&self, workspace: WorkspaceId, config: AgentConfig, by: &str) -> Result<AgentView, CommandError> {
        let (text, event) = (text_of(&config)?, self.prompt_event(&config.id, by));
        let row = self.host.store.create_agent(workspace, &config.id, &text, prompt_of(&config, &event), by).await?;
        let row = row.ok_or_else(|| CommandError::AgentExists(config.id.clone()))?;
        self.host.told.send_replace(());
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
        let row = self.replace(workspace, id, &config, by, None).await?;
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

    async fn replace(
        &self,
        workspace: WorkspaceId,
        id: &str,
        config: &AgentConfig,
        by: &str,
        restored_from: Option<i32>,
    ) -> Result<AgentRow, CommandError> {
        let (text, event) = (text_of(config)?, self.prompt_event(id, by));
        let prompt = prompt_of(config, &event);
        match self.host.store.replace_agent(workspace, id, &text, prompt, by, restored_from).await? {
            None => Err(CommandError::UnknownAgent(id.to_owned())),
            Some(ReplacedAgent::TooManyPrompts) => Err(PromptError::TooManyVersions.into()),
            Some(ReplacedAgent::Done(row)) => {
                self.host.told.send_replace(());
                Ok(row)
            }
        }
    }

    /// What is told where an agent's configuration brings a prompt that is new.
    fn prompt_event(&self, agent: &str, by: &str) -> NewEvent {
        let told = PromptTold { agent_id: agent, by: Some(by), ..PromptTold::default() };
        self.host.event(EventType::PromptVersionCreated, &told)
    }

    /// Versions of an agent, newest first, from before `before` on.
    ///
    /// # Errors
    /// Where there is no such agent, or the database is away.
    pub async fn agent_versions(
        &self,
        workspace: WorkspaceId,
        id: &str,
        before: Option<i32>,
        limit: u32,
    ) -> Result<Vec<AgentVersionView>, CommandError> {
        self.agent(workspace, id).await?;
        let rows = self.host.store.agent_versions(workspace, id, before, limit).await?;
        Ok(rows.into_iter().map(|row| version_view(id, row)).collect::<Result<_, _>>()?)
    }

    /// One version of an agent.
    ///
    /// # Errors
    /// Where there is no such agent or version, or the database is away.
    pub async fn agent_version(
        &self,
        workspace: WorkspaceId,
        id: &str,
        version: i32,
    ) -> Result<AgentVersionView, CommandError> {
        self.agent(workspace, id).await?;
        let row = self.host.store.agent_version(workspace, id, version).await?;
        let row = row.ok_or_else(|| CommandError::UnknownAgentVersion { agent: id.to_owned(), version })?;
        Ok(version_view(id, row)?)
    }

    /// Gives an agent the configuration of an earlier version, which becomes its next one.
    ///
    /// # Errors
    /// As [`Engine::agent_version`].
    pub async fn roll_back_agent(
        &self,
        workspace: WorkspaceId,
        id: &str,
        version: i32,
        by: &str,
    ) -> Result<AgentView, CommandError> {
        let earlier = self.agent_version(workspace, id, version).await?;
        let row = self.replace(workspace, id, &earlier.config, by, Some(version)).await?;
        info!(agent.id = %id, agent.version = row.version, workspace.id = %workspace, by, "Agent `{id}` is again what it was in version {version}");
        Ok(view(row)?)
    }

    /// Keeps a copy of an agent under another id, as version 1 of that.
    ///
    /// # Errors
    /// Where there is no such agent, where the other id cannot be one or is taken, or the database is away.
    pub async fn clone_agent(
        &self,
        workspace: WorkspaceId,
        id: &str,
        new_id: &str,
        display_name: Option<&str>,
        by: &str,
    ) -> Result<AgentView, CommandError> {
        let AgentView { mut config, .. } = self.agent(workspace, id).await?;
        // Labels are the original's own, so the copy begins with what its label chose.
        if config.prompt_label.take().is_some() {
            let found = self.host.store.agent_for_call(workspace, id).await?;
            config.system_prompt_template = found.and_then(|found| found.prompt).map(|prompt| prompt.system_prompt);
        }
        let mut copy = serde_json::to_value(&config).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        copy["id"] = Value::String(new_id.to_owned());
        if let Some(name) = display_name {
            copy["displayName"] = Value::String(name.to_owned());
        }
        let config = self.check_agent(workspace, &copy).await?;
        self.keep_new(workspace, config, by).await
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
        let mut faults = Vec::new();
        if let Some(request) = &config.request {
            check_deep(&self.host.templates, request, "/request".to_owned(), &mut faults);
        }
        if let Some(response) = &config.response
            && let Err(why) = self.host.templates.check_expression(response)
        {
            faults.push(Fault::new("/response", "agent.expression", format!("does not parse: {why}")));
        }
        if faults.is_empty() { Ok(config) } else { Err(CommandError::Invalid(faults)) }
    }
}

/// The templates in a value's strings, of any depth.
fn check_deep(templates: &Templates, value: &Value, place: String, faults: &mut Vec<Fault>) {
    match value {
        Value::String(source) => {
            if let Err(why) = templates.check_template(source) {
                faults.push(Fault::new(place, "agent.template", format!("does not parse: {why}")));
            }
        }
        Value::Array(items) => {
            for (position, item) in items.iter().enumerate() {
                check_deep(templates, item, pointer(&place, position), faults);
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields {
                check_deep(templates, field, pointer(&place, key), faults);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn version_view(id: &str, row: AgentVersionRow) -> Result<AgentVersionView, StoreError> {
    let config = serde_json::from_str(&row.config);
    Ok(AgentVersionView {
        config: config.map_err(|error| StoreError::Corrupt(format!("the agent `{id}`: {error}")))?,
        version: row.version,
        created_by: row.created_by,
        restored_from: row.restored_from,
        created_at: row.created_at,
    })
}

fn prompt_of<'a>(config: &'a AgentConfig, event: &'a NewEvent) -> Option<ConfigPrompt<'a>> {
    config.system_prompt_template.as_deref().map(|system_prompt| ConfigPrompt { system_prompt, event })
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
