//! Commands on the labels of versions.

use armilla_domain::event::EventType;
use armilla_domain::event::data::PromptTold;
use armilla_domain::fault::Fault;
use armilla_domain::id::WorkspaceId;
use armilla_domain::prompt::is_label;
use armilla_store::{LabelMove, MovedLabel, PromptLabelRow, PromptMoveRow};
use chrono::{DateTime, Utc};
use tracing::info;

use super::PromptError;
use crate::{CommandError, Engine};

/// What is said of a text that cannot be a label.
pub(super) const BAD_LABEL: &str = "a label has 1 to 64 characters, no slash, and no blank at its ends";

/// A label and where it is.
#[derive(Debug, Clone)]
pub struct PromptLabelView {
    /// The label.
    pub label: String,
    /// The version that it names.
    pub version: i32,
    /// Who put it there.
    pub moved_by: String,
    /// Why.
    pub message: Option<String>,
    /// When.
    pub moved_at: DateTime<Utc>,
}

/// A move of a label.
#[derive(Debug, Clone)]
pub struct PromptMoveView {
    /// Grows from move to move.
    pub id: i64,
    /// Where it was; nowhere where absent.
    pub from: Option<i32>,
    /// Where it went; nowhere where absent.
    pub to: Option<i32>,
    /// Who moved it.
    pub moved_by: String,
    /// Why.
    pub message: Option<String>,
    /// When.
    pub moved_at: DateTime<Utc>,
}

impl Engine {
    /// Puts a label on a version, from the next call on where the agent goes by it.
    ///
    /// # Errors
    /// [`CommandError::UnknownAgent`], [`CommandError::Invalid`] where it is no label, or there is no such version.
    pub async fn move_prompt_label(
        &self,
        workspace: WorkspaceId,
        agent: &str,
        label: &str,
        version: i32,
        message: Option<&str>,
        by: &str,
    ) -> Result<PromptLabelView, CommandError> {
        if !is_label(label) {
            return Err(CommandError::Invalid(vec![Fault::new("", "prompt.label", BAD_LABEL)]));
        }
        let told = PromptTold { agent_id: agent, label: Some(label), message, by: Some(by), ..PromptTold::default() };
        let event = &self.host.event(EventType::PromptLabelMoved, &told);
        let to = LabelMove { workspace, agent, label, version, message, by, event };
        let moved = self.host.store.move_prompt_label(to).await?;
        match moved.ok_or_else(|| CommandError::UnknownAgent(agent.to_owned()))? {
            MovedLabel::Done => {
                self.host.told.send_replace(());
                info!(agent.id = %agent, version, workspace.id = %workspace, "A label of `{agent}` is on version {version}");
                self.prompt_label(workspace, agent, label).await
            }
            MovedLabel::NoVersion => {
                let detail = format!("the prompt of `{agent}` has no version {version}");
                Err(CommandError::Invalid(vec![Fault::new("/version", "prompt.unknown_version", detail)]))
            }
        }
    }

    /// Takes a label away. An agent that goes by it fails at its next call.
    ///
    /// # Errors
    /// [`CommandError::UnknownAgent`], [`PromptError::UnknownLabel`], or where the database is away.
    pub async fn delete_prompt_label(
        &self,
        workspace: WorkspaceId,
        agent: &str,
        label: &str,
        by: &str,
    ) -> Result<(), CommandError> {
        let told = PromptTold { agent_id: agent, label: Some(label), by: Some(by), ..PromptTold::default() };
        let event = self.host.event(EventType::PromptLabelMoved, &told);
        if !self.host.store.delete_prompt_label(workspace, agent, label, by, &event).await? {
            return Err(self.no_label(workspace, agent, label).await?);
        }
        self.host.told.send_replace(());
        info!(agent.id = %agent, workspace.id = %workspace, "A label of `{agent}` is gone");
        Ok(())
    }

    /// The labels of an agent by name, from after `after` on.
    ///
    /// # Errors
    /// [`CommandError::UnknownAgent`], or where the database is away.
    pub async fn prompt_labels(
        &self,
        workspace: WorkspaceId,
        agent: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<PromptLabelView>, CommandError> {
        let rows = self.host.store.prompt_labels(workspace, agent, None, after, limit).await?;
        if rows.is_empty() {
            self.agent(workspace, agent).await?;
        }
        Ok(rows.into_iter().map(view).collect())
    }

    /// The moves of a label, newest first, from before `before` on. They stay when the label is gone.
    ///
    /// # Errors
    /// [`CommandError::UnknownAgent`], [`PromptError::UnknownLabel`] where there was never such a label, or where the database is away.
    pub async fn prompt_label_history(
        &self,
        workspace: WorkspaceId,
        agent: &str,
        label: &str,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<PromptMoveView>, CommandError> {
        let rows = self.host.store.prompt_label_moves(workspace, agent, label, before, limit).await?;
        if rows.is_empty() && before.is_none() {
            return Err(self.no_label(workspace, agent, label).await?);
        }
        let moves =
            rows.into_iter().map(|PromptMoveRow { id, from_version, to_version, moved_by, message, moved_at }| {
                PromptMoveView { id, from: from_version, to: to_version, moved_by, message, moved_at }
            });
        Ok(moves.collect())
    }

    async fn prompt_label(
        &self,
        workspace: WorkspaceId,
        agent: &str,
        label: &str,
    ) -> Result<PromptLabelView, CommandError> {
        let row = self.host.store.prompt_labels(workspace, agent, Some(label), None, 1).await?.pop();
        match row {
            Some(row) => Ok(view(row)),
            None => Err(self.no_label(workspace, agent, label).await?),
        }
    }

    async fn no_label(&self, workspace: WorkspaceId, agent: &str, label: &str) -> Result<CommandError, CommandError> {
        self.agent(workspace, agent).await?;
        Ok(PromptError::UnknownLabel { agent: agent.to_owned(), label: label.to_owned() }.into())
    }
}

fn view(PromptLabelRow { label, version, moved_by, message, moved_at }: PromptLabelRow) -> PromptLabelView {
    PromptLabelView { label, version, moved_by, message, moved_at }
}
