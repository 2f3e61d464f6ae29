//! Labels: names of versions that move. Every move is kept.

use armilla_domain::id::WorkspaceId;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::lock_prompts;
use crate::{NewEvent, Store, StoreError};

/// Where a label is to go.
#[derive(Debug, Clone, Copy)]
pub struct LabelMove<'a> {
    /// Whose.
    pub workspace: WorkspaceId,
    /// Of which agent.
    pub agent: &'a str,
    /// The label.
    pub label: &'a str,
    /// The version that it names from now on.
    pub version: i32,
    /// Why.
    pub message: Option<&'a str>,
    /// Who moves it.
    pub by: &'a str,
    /// What is told where it moves; from where and to where is added.
    pub event: &'a NewEvent,
}

/// What became of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MovedLabel {
    /// The label is there.
    Done,
    /// There is no such version.
    NoVersion,
}

/// A label and where it is.
#[derive(Debug, Clone)]
pub struct PromptLabelRow {
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
pub struct PromptMoveRow {
    /// Grows from move to move.
    pub id: i64,
    /// Where it was; nowhere where absent.
    pub from_version: Option<i32>,
    /// Where it went; nowhere where absent.
    pub to_version: Option<i32>,
    /// Who moved it.
    pub moved_by: String,
    /// Why.
    pub message: Option<String>,
    /// When.
    pub moved_at: DateTime<Utc>,
}

/// Moves a label, and keeps the move where it is one. The agent's prompts are locked.
pub(super) async fn move_label(connection: &mut PgConnection, to: LabelMove<'_>) -> Result<(), StoreError> {
    sqlx::query!(
        "with before as (
            select version from prompt_labels where workspace_id = $1 and agent_id = $2 and label = $3
        ), moved as (
            insert into prompt_labels (workspace_id, agent_id, label, version, moved_by, message)
            values ($1, $2, $3, $4, $5, $6)
            on conflict (workspace_id, agent_id, label) do update
                set version = excluded.version, moved_by = excluded.moved_by, message = excluded.message,
                    moved_at = excluded.moved_at
                where prompt_labels.version <> excluded.version
            returning version as to_version, (select version from before) as from_version
        ), told as (
            insert into events (id, workspace_id, type, data)
            select $7, $1, $8, ($9::text::jsonb
                || jsonb_strip_nulls(jsonb_build_object('version', to_version, 'fromVersion', from_version)))::text
            from moved
        )
        insert into prompt_label_moves (workspace_id, agent_id, label, from_version, to_version, moved_by, message)
        select $1, $2, $3, from_version, to_version, $5, $6 from moved",
        to.workspace.uuid(),
        to.agent,
        to.label,
        to.version,
        to.by,
        to.message,
        to.event.id.uuid(),
        to.event.kind.as_str(),
        to.event.data,
    )
    .execute(connection)
    .await?;
    Ok(())
}

impl Store {
    /// Puts a label on a version. `None` where there is no such agent.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn move_prompt_label(&self, to: LabelMove<'_>) -> Result<Option<MovedLabel>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        if !lock_prompts(&mut transaction, to.workspace, to.agent).await? {
            return Ok(None);
        }
        let version = sqlx::query_scalar!(
            "select version from prompt_versions where workspace_id = $1 and agent_id = $2 and version = $3",
            to.workspace.uuid(),
            to.agent,
            to.version,
        );
        if version.fetch_optional(&mut *transaction).await?.is_none() {
            return Ok(Some(MovedLabel::NoVersion));
        }
        move_label(&mut transaction, to).await?;
        transaction.commit().await?;
        Ok(Some(MovedLabel::Done))
    }

    /// Takes a label away, and tells of it; the version that it named is added. Says whether there was one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delete_prompt_label(
        &self,
        workspace: WorkspaceId,
        agent: &str,
        label: &str,
        by: &str,
        event: &NewEvent,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        if !lock_prompts(&mut transaction, workspace, agent).await? {
            return Ok(false);
        }
        let done = sqlx::query!(
            "with gone as (
                delete from prompt_labels where workspace_id = $1 and agent_id = $2 and label = $3 returning version
            ), told as (
                insert into events (id, workspace_id, type, data)
                select $5, $1, $6, ($7::text::jsonb || jsonb_build_object('fromVersion', version))::text from gone
            )
            insert into prompt_label_moves (workspace_id, agent_id, label, from_version, to_version, moved_by)
            select $1, $2, $3, version, null, $4 from gone",
            workspace.uuid(),
            agent,
            label,
            by,
            event.id.uuid(),
            event.kind.as_str(),
            event.data,
        );
        let done = done.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// The labels of an agent of a workspace by name, from after `after` on; one of them where it is named.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn prompt_labels(
        &self,
        workspace: WorkspaceId,
        agent: &str,
        only: Option<&str>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<PromptLabelRow>, StoreError> {
        let rows = sqlx::query_as!(
            PromptLabelRow,
            "select label, version, moved_by, message, moved_at from prompt_labels
            where workspace_id = $1 and agent_id = $2 and ($3::text is null or label = $3) and ($4::text is null or label > $4)
            order by label limit $5",
            workspace.uuid(),
            agent,
            only,
            after,
            i64::from(limit),
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// The moves of a label, newest first, from before `before` on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn prompt_label_moves(
        &self,
        workspace: WorkspaceId,
        agent: &str,
        label: &str,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<PromptMoveRow>, StoreError> {
        let rows = sqlx::query_as!(
            PromptMoveRow,
            "select id, from_version, to_version, moved_by, message, moved_at from prompt_label_moves
            where workspace_id = $1 and agent_id = $2 and label = $3 and ($4::bigint is null or id < $4)
            order by id desc limit $5",
            workspace.uuid(),
            agent,
            label,
            before,
            i64::from(limit),
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }
}
