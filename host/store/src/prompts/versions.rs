//! Versions of agents' prompts: made, and read again. A version never changes, and none is taken away while the agent is there.

use armilla_domain::id::WorkspaceId;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::labels::move_label;
use super::{LabelMove, lock_prompts};
use crate::{NewEvent, Store, StoreError};

/// Versions of one agent's prompt: a change every hour for a year.
pub const PROMPT_VERSIONS_MAX: i32 = 10_000;

/// A version to be.
#[derive(Debug, Clone, Copy)]
pub struct NewPromptVersion<'a> {
    /// Whose.
    pub workspace: WorkspaceId,
    /// Of which agent.
    pub agent: &'a str,
    /// The text.
    pub system_prompt: &'a str,
    /// JSON: settings of the model.
    pub model: Option<&'a str>,
    /// SHA-256, in hexadecimal, of both.
    pub hash: &'a str,
    /// A label to put on it.
    pub label: Option<&'a str>,
    /// What its author says of it.
    pub message: Option<&'a str>,
    /// The earlier version that it is taken from. The newest version's own content makes no version, unless it is restored.
    pub restored_from: Option<i32>,
    /// Who makes it.
    pub by: &'a str,
    /// What is told where it is new; its number is added.
    pub event: &'a NewEvent,
    /// What is told where its label moves; from where and to where is added.
    pub label_event: &'a NewEvent,
}

/// The template of an agent's configuration.
#[derive(Debug, Clone, Copy)]
pub struct ConfigPrompt<'a> {
    /// The text.
    pub system_prompt: &'a str,
    /// What is told where it makes a version; the version's number and hash are added.
    pub event: &'a NewEvent,
}

/// What became of a version to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MadePromptVersion {
    /// This is its number.
    New(i32),
    /// The newest version says the same: this one.
    Same(i32),
    /// There are [`PROMPT_VERSIONS_MAX`] versions already.
    TooMany,
}

/// A version of an agent's prompt.
#[derive(Debug, Clone)]
pub struct PromptVersionRow {
    /// From 1.
    pub version: i32,
    /// The text.
    pub system_prompt: String,
    /// JSON: settings of the model.
    pub model: Option<String>,
    /// SHA-256, in hexadecimal, of both.
    pub hash: String,
    /// The label that it was made with.
    pub label: Option<String>,
    /// The labels that are on it now, by name.
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

/// Makes a version of the template of an agent's configuration, where its text is another one than the newest version's. Says whether
/// that could be: there may be [`PROMPT_VERSIONS_MAX`] already. The agent's row is locked, or new, in this transaction.
pub(crate) async fn keep_prompt_of_config(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    agent: &str,
    prompt: ConfigPrompt<'_>,
    by: &str,
) -> Result<bool, StoreError> {
    let ConfigPrompt { system_prompt, event } = prompt;
    let made = sqlx::query_scalar!(
        r#"with made as (
            insert into prompt_versions (workspace_id, agent_id, version, system_prompt, hash, author)
            select $1, $2, coalesce(newest.version, 0) + 1, $3, encode(sha256(convert_to($3, 'UTF8')), 'hex'), $4
            from (select 1) one left join lateral (
                select version, system_prompt from prompt_versions where workspace_id = $1 and agent_id = $2
                order by version desc limit 1
            ) newest on true
            where newest.system_prompt is distinct from $3
            returning version, hash
        ), told as (
            insert into events (id, workspace_id, type, data)
            select $5, $1, $6, ($7::text::jsonb || jsonb_build_object('version', version, 'hash', hash))::text from made
        )
        select version as "version!" from made"#,
        workspace.uuid(),
        agent,
        system_prompt,
        by,
        event.id.uuid(),
        event.kind.as_str(),
        event.data,
    );
    Ok(made.fetch_optional(connection).await?.is_none_or(|version| version <= PROMPT_VERSIONS_MAX))
}

impl Store {
    /// Makes a version and puts its label on it. Of two at the same time each sees what the one before it left. `None` where there is
    /// no such agent.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn make_prompt_version(
        &self,
        new: NewPromptVersion<'_>,
    ) -> Result<Option<MadePromptVersion>, StoreError> {
        let NewPromptVersion { workspace, agent, .. } = new;
        let mut transaction = self.pool.begin().await?;
        if !lock_prompts(&mut transaction, workspace, agent).await? {
            return Ok(None);
        }
        let newest = sqlx::query!(
            "select version, hash from prompt_versions where workspace_id = $1 and agent_id = $2 order by version desc limit 1",
            workspace.uuid(),
            agent,
        );
        let newest = newest.fetch_optional(&mut *transaction).await?;
        let same = newest.as_ref().filter(|newest| new.restored_from.is_none() && newest.hash == new.hash);
        let made = match (same, newest.as_ref().map_or(1, |newest| newest.version + 1)) {
            (Some(newest), _) => MadePromptVersion::Same(newest.version),
            (None, version) if version > PROMPT_VERSIONS_MAX => return Ok(Some(MadePromptVersion::TooMany)),
            (None, version) => MadePromptVersion::New(version),
        };
        if let MadePromptVersion::New(version) = made {
            sqlx::query!(
                "with made as (
                    insert into prompt_versions
                        (workspace_id, agent_id, version, system_prompt, model, hash, label, message, restored_from, author)
                    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                    returning version
                )
                insert into events (id, workspace_id, type, data)
                select $11, $1, $12, ($13::text::jsonb || jsonb_build_object('version', version))::text from made",
                workspace.uuid(),
                agent,
                version,
                new.system_prompt,
                new.model,
                new.hash,
                new.label,
                new.message,
                new.restored_from,
                new.by,
                new.event.id.uuid(),
                new.event.kind.as_str(),
                new.event.data,
            )
            .execute(&mut *transaction)
            .await?;
        }
        if let (Some(label), MadePromptVersion::New(version) | MadePromptVersion::Same(version)) = (new.label, made) {
            let (message, by, event) = (new.message, new.by, new.label_event);
            let to = LabelMove { workspace, agent, label, version, message, by, event };
            move_label(&mut transaction, to).await?;
        }
        transaction.commit().await?;
        Ok(Some(made))
    }

    /// A version of the prompt of an agent of a workspace.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn prompt_version(
        &self,
        workspace: WorkspaceId,
        agent: &str,
        version: i32,
    ) -> Result<Option<PromptVersionRow>, StoreError> {
        let row = sqlx::query_as!(
            PromptVersionRow,
            r#"select v.version, v.system_prompt, v.model, v.hash, v.label, array(
                select l.label from prompt_labels l
                where l.workspace_id = $1 and l.agent_id = $2 and l.version = v.version order by l.label
            ) as "labels!", v.message, v.restored_from, v.author, v.created_at
            from prompt_versions v where v.workspace_id = $1 and v.agent_id = $2 and v.version = $3"#,
            workspace.uuid(),
            agent,
            version,
        );
        Ok(row.fetch_optional(&self.pool).await?)
    }

    /// Versions of the prompt of an agent of a workspace, newest first, from before `before` on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn prompt_versions(
        &self,
        workspace: WorkspaceId,
        agent: &str,
        before: Option<i32>,
        limit: u32,
    ) -> Result<Vec<PromptVersionRow>, StoreError> {
        let rows = sqlx::query_as!(
            PromptVersionRow,
            r#"select v.version, v.system_prompt, v.model, v.hash, v.label, array(
                select l.label from prompt_labels l
                where l.workspace_id = $1 and l.agent_id = $2 and l.version = v.version order by l.label
            ) as "labels!", v.message, v.restored_from, v.author, v.created_at
            from prompt_versions v
            where v.workspace_id = $1 and v.agent_id = $2 and ($3::int is null or v.version < $3)
            order by v.version desc limit $4"#,
            workspace.uuid(),
            agent,
            before,
            i64::from(limit),
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }
}
