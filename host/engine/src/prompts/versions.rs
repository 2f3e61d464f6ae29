//! Commands on the versions of agents' prompts.

use armilla_domain::agent::ModelSettings;
use armilla_domain::event::EventType;
use armilla_domain::event::data::PromptTold;
use armilla_domain::fault::Fault;
use armilla_domain::id::WorkspaceId;
use armilla_domain::prompt::diff::{Content, PromptDiff, diff};
use armilla_domain::prompt::is_label;
use armilla_store::{MadePromptVersion as Made, NewPromptVersion as NewRow, PromptVersionRow, StoreError};
use chrono::{DateTime, Utc};
use serde_json::Value;
use tracing::info;

use super::counts::flush_now;
use super::{PromptError, PromptMetrics, content_hash};
use crate::{CommandError, Engine};

/// A version to be.
#[derive(Debug)]
pub struct NewPromptVersion {
    /// The text.
    pub system_prompt: String,
    /// Settings of the model, to be checked.
    pub model: Option<Value>,
    /// A label to put on it.
    pub label: Option<String>,
    /// What its author says of it.
    pub message: Option<String>,
}

/// A version that was asked for.
#[derive(Debug, Clone)]
pub struct MadePromptVersion {
    /// It.
    pub version: PromptVersionView,
    /// Whether it is new: the newest one may have said the same already.
    pub is_new: bool,
}

/// A version of an agent's prompt.
#[derive(Debug, Clone)]
pub struct PromptVersionView {
    /// Whose.
    pub agent: String,
    /// From 1.
    pub version: i32,
    /// The text.
    pub system_prompt: String,
    /// Settings that come before the agent's own.
    pub model: ModelSettings,
    /// SHA-256, in hexadecimal, of the text, or of the text, a zero byte and the settings as JSON.
    pub hash: String,
    /// The label that it was made with.
    pub label: Option<String>,
    /// The labels that are on it now.
    pub labels: Vec<String>,
    /// What its author said of it.
    pub message: Option<String>,
    /// The earlier version that it is taken from.
    pub restored_from: Option<i32>,
    /// Who made it; not known of the oldest ones.
    pub author: Option<String>,
    /// When.
    pub created_at: DateTime<Utc>,
}

impl Engine {
    /// Makes the next version of an agent's prompt, unless the newest one says the same. It is what the agent is told from the next call
    /// on, where no override and no label says otherwise.
    ///
    /// # Errors
    /// [`CommandError::UnknownAgent`], [`PromptError::TooManyVersions`], or [`CommandError::Invalid`] with every fault.
    pub async fn make_prompt_version(
        &self,
        workspace: WorkspaceId,
        agent: &str,
        new: NewPromptVersion,
        by: &str,
    ) -> Result<MadePromptVersion, CommandError> {
        let NewPromptVersion { system_prompt, model, label, message } = new;
        let model = self.check_prompt_version(workspace, &system_prompt, model.as_ref(), label.as_deref()).await?;
        let model = settings_text(&model)?;
        let hash = content_hash(&system_prompt, model.as_deref());
        let told = PromptTold {
            agent_id: agent,
            hash: Some(&hash),
            label: label.as_deref(),
            message: message.as_deref(),
            by: Some(by),
            ..PromptTold::default()
        };
        let moved = PromptTold { hash: None, ..told };
        let row = NewRow {
            workspace,
            agent,
            system_prompt: &system_prompt,
            model: model.as_deref(),
            hash: &hash,
            label: label.as_deref(),
            message: message.as_deref(),
            restored_from: None,
            by,
            event: &self.host.event(EventType::PromptVersionCreated, &told),
            label_event: &self.host.event(EventType::PromptLabelMoved, &moved),
        };
        self.keep_prompt_version(row).await
    }

    /// Makes the next version of an agent's prompt with the content of an earlier one, checked again: what it includes may be gone.
    ///
    /// # Errors
    /// As [`Engine::make_prompt_version`], and [`PromptError::UnknownVersion`].
    pub async fn restore_prompt_version(
        &self,
        workspace: WorkspaceId,
        agent: &str,
        version: i32,
        by: &str,
    ) -> Result<PromptVersionView, CommandError> {
        let old = self.prompt_version(workspace, agent, version).await?;
        self.check_prompt_version(workspace, &old.system_prompt, None, None).await?;
        let model = settings_text(&old.model)?;
        let told = PromptTold {
            agent_id: agent,
            hash: Some(&old.hash),
            restored_from: Some(version),
            by: Some(by),
            ..PromptTold::default()
        };
        let event = self.host.event(EventType::PromptVersionCreated, &told);
        let row = NewRow {
            workspace,
            agent,
            system_prompt: &old.system_prompt,
            model: model.as_deref(),
            hash: &old.hash,
            label: None,
            message: None,
            restored_from: Some(version),
            by,
            event: &event,
            // It has no label.
            label_event: &event,
        };
        Ok(self.keep_prompt_version(row).await?.version)
    }

    /// A version of an agent's prompt.
    ///
    /// # Errors
    /// [`CommandError::UnknownAgent`], [`PromptError::UnknownVersion`], or where the database is away.
    pub async fn prompt_version(
        &self,
        workspace: WorkspaceId,
        agent: &str,
        version: i32,
    ) -> Result<PromptVersionView, CommandError> {
        match self.host.store.prompt_version(workspace, agent, version).await? {
            Some(row) => Ok(view(agent, row)?),
            None => {
                self.agent(workspace, agent).await?;
                Err(PromptError::UnknownVersion { agent: agent.to_owned(), version }.into())
            }
        }
    }

    /// Versions of an agent's prompt, newest first, from before `before` on.
    ///
    /// # Errors
    /// [`CommandError::UnknownAgent`], or where the database is away.
    pub async fn prompt_versions(
        &self,
        workspace: WorkspaceId,
        agent: &str,
        before: Option<i32>,
        limit: u32,
    ) -> Result<Vec<PromptVersionView>, CommandError> {
        let rows = self.host.store.prompt_versions(workspace, agent, before, limit).await?;
        if rows.is_empty() {
            self.agent(workspace, agent).await?;
        }
        Ok(rows.into_iter().map(|row| view(agent, row)).collect::<Result<_, _>>()?)
    }

    /// What changed from one version to another.
    ///
    /// # Errors
    /// As [`Engine::prompt_version`].
    pub async fn diff_prompt_versions(
        &self,
        workspace: WorkspaceId,
        agent: &str,
        from: i32,
        to: i32,
    ) -> Result<PromptDiff, CommandError> {
        let from = self.prompt_version(workspace, agent, from).await?;
        let to = self.prompt_version(workspace, agent, to).await?;
        let host = std::sync::Arc::clone(&self.host);
        let compared = tokio::task::spawn_blocking(move || {
            fn content(view: &PromptVersionView) -> Content<'_> {
                Content { system_prompt: &view.system_prompt, model: &view.model }
            }
            diff(&host.templates, content(&from), content(&to))
        });
        compared.await.map_err(|_| CommandError::Panicked)
    }

    /// What was done with a version, under overrides or not.
    ///
    /// # Errors
    /// As [`Engine::prompt_version`].
    pub async fn prompt_metrics(
        &self,
        workspace: WorkspaceId,
        agent: &str,
        version: i32,
    ) -> Result<PromptMetrics, CommandError> {
        self.prompt_version(workspace, agent, version).await?;
        // What this host counted is told at once, what others did within a second.
        flush_now(&self.host).await;
        Ok(self.host.store.prompt_metrics(workspace, agent, version).await?.into())
    }

    async fn keep_prompt_version(&self, row: NewRow<'_>) -> Result<MadePromptVersion, CommandError> {
        let (workspace, agent) = (row.workspace, row.agent);
        let made = self.host.store.make_prompt_version(row).await?;
        let (version, is_new) = match made.ok_or_else(|| CommandError::UnknownAgent(agent.to_owned()))? {
            Made::New(version) => (version, true),
            Made::Same(version) => (version, false),
            Made::TooMany => return Err(PromptError::TooManyVersions.into()),
        };
        self.host.told.send_replace(());
        if is_new {
            info!(agent.id = %agent, version, workspace.id = %workspace, "The prompt of `{agent}` has version {version}");
        }
        Ok(MadePromptVersion { version: self.prompt_version(workspace, agent, version).await?, is_new })
    }

    async fn check_prompt_version(
        &self,
        workspace: WorkspaceId,
        system_prompt: &str,
        model: Option<&Value>,
        label: Option<&str>,
    ) -> Result<ModelSettings, CommandError> {
        let mut faults: Vec<Fault> =
            self.prompt_fault(workspace, system_prompt, "/systemPrompt").await?.into_iter().collect();
        let model = model.map(ModelSettings::check).transpose().unwrap_or_else(|more| {
            let placed = more.into_iter().map(|fault| Fault { pointer: format!("/model{}", fault.pointer), ..fault });
            faults.extend(placed);
            None
        });
        if label.is_some_and(|label| !is_label(label)) {
            faults.push(Fault::new("/label", "prompt.label", super::labels::BAD_LABEL));
        }
        if faults.is_empty() { Ok(model.unwrap_or_default()) } else { Err(CommandError::Invalid(faults)) }
    }
}

fn settings_text(model: &ModelSettings) -> Result<Option<String>, StoreError> {
    if model.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(model).map(Some).map_err(|error| StoreError::Corrupt(error.to_string()))
}

fn view(agent: &str, row: PromptVersionRow) -> Result<PromptVersionView, StoreError> {
    let model = row.model.as_deref().map(serde_json::from_str).transpose();
    let model = model.map_err(|error| StoreError::Corrupt(format!("the prompt of `{agent}`: {error}")))?;
    Ok(PromptVersionView {
        agent: agent.to_owned(),
        version: row.version,
        system_prompt: row.system_prompt,
        model: model.unwrap_or_default(),
        hash: row.hash,
        label: row.label,
        labels: row.labels,
        message: row.message,
        restored_from: row.restored_from,
        author: row.author,
        created_at: row.created_at,
    })
}
