//! Workflows and their versions.

use armilla_domain::event::EventType;
use armilla_domain::id::{WorkflowId, WorkspaceId};
use chrono::{DateTime, Utc};

use crate::event_cursors::{EventConsumer, start_cursor};
use crate::events::names_of;
use crate::{NewEvent, Store, StoreError};

/// A workflow to be.
#[derive(Debug)]
pub struct NewWorkflow<'a> {
    /// Its id.
    pub id: WorkflowId,
    /// Whose.
    pub workspace: WorkspaceId,
    /// For people.
    pub name: &'a str,
    /// For people.
    pub description: Option<&'a str>,
    /// JSON, as its author wrote it.
    pub definition: &'a str,
    /// JSON: an array of faults.
    pub warnings: &'a str,
    /// Who makes it.
    pub by: &'a str,
    /// The types of events that start runs of it, where any do.
    pub on_events: Option<&'a [EventType]>,
}

/// A workflow at its newest version.
#[derive(Debug, Clone)]
pub struct WorkflowRow {
    /// Its id.
    pub id: WorkflowId,
    /// For people.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// JSON, as its author wrote it.
    pub definition: String,
    /// JSON: an array of faults.
    pub warnings: String,
    /// What it was made of, where nobody made it: `pipeline`, `chat`.
    pub origin: Option<String>,
    /// The newest version, from 1.
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl Store {
    /// Keeps a workflow as version 1, and its workspace if that is new.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn create_workflow(&self, new: NewWorkflow<'_>, event: &NewEvent) -> Result<WorkflowRow, StoreError> {
        let on_events = new.on_events.map(names_of);
        let horizon = self.event_horizon().await?;
        let mut transaction = self.pool.begin().await?;
        let made = sqlx::query!(
            r#"with workspace as (insert into workspaces (id) values ($2) on conflict do nothing),
            made as (
                insert into workflows (id, workspace_id, name, description, version, definition_digest, on_events,
                    on_events_since)
                values ($1, $2, $3, $4, 1, sha256(convert_to($5, 'UTF8')), $8,
                    case when $8::text[] is not null then pg_current_xact_id()::text::bigint end)
                returning created_at, updated_at
            ), version as (
                insert into workflow_versions (workflow_id, version, definition, warnings, created_by)
                values ($1, 1, $5, $6, $7)
            ), told as (
                insert into events (id, workspace_id, type, data) values ($9, $2, $10, $11)
            )
            select created_at as "created_at!", updated_at as "updated_at!" from made"#,
            new.id.uuid(),
            new.workspace.uuid(),
            new.name,
            new.description,
            new.definition,
            new.warnings,
            new.by,
            on_events.as_deref() as Option<&[&str]>,
            event.id.uuid(),
            event.kind.as_str(),
            event.data,
        )
        .fetch_one(&mut *transaction)
        .await?;
        if on_events.is_some() {
            start_cursor(&mut transaction, EventConsumer::Triggers, new.workspace, horizon).await?;
        }
        transaction.commit().await?;
        Ok(WorkflowRow {
            id: new.id,
            name: new.name.to_owned(),
            description: new.description.map(str::to_owned),
            definition: new.definition.to_owned(),
            warnings: new.warnings.to_owned(),
            origin: None,
            version: 1,
            created_at: made.created_at,
            updated_at: made.updated_at,
        })
    }

    /// Sees to it that a workflow is there which is made of something else than a definition that somebody wrote, as version 1.
    /// Its id says what it does, so one that is there already is the same.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn ensure_ad_hoc_workflow(&self, new: NewWorkflow<'_>, origin: &str) -> Result<(), StoreError> {
        let made = sqlx::query!(
            "with workspace as (insert into workspaces (id) values ($2) on conflict do nothing),
            made as (
                insert into workflows (id, workspace_id, name, description, version, definition_digest, origin)
                values ($1, $2, $3, $4, 1, sha256(convert_to($5, 'UTF8')), $8)
                on conflict (id) do nothing
                returning id
            )
            insert into workflow_versions (workflow_id, version, definition, warnings, created_by)
            select id, 1, $5, $6, $7 from made",
            new.id.uuid(),
            new.workspace.uuid(),
            new.name,
            new.description,
            new.definition,
            new.warnings,
            new.by,
            origin,
        );
        made.execute(&self.pool).await?;
        Ok(())
    }

    /// A workflow of a workspace.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn workflow(&self, workspace: WorkspaceId, id: WorkflowId) -> Result<Option<WorkflowRow>, StoreError> {
        let row = sqlx::query!(
            "select w.name, w.description, w.origin, w.version, w.created_at, w.updated_at, v.definition, v.warnings
            from workflows w join workflow_versions v on v.workflow_id = w.id and v.version = w.version
            where w.id = $1 and w.workspace_id = $2 and w.deleted_at is null",
            id.uuid(),
            workspace.uuid(),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| WorkflowRow {
            id,
            name: row.name,
            description: row.description,
            definition: row.definition,
            warnings: row.warnings,
            origin: row.origin,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }))
    }

    /// The newest version of a workflow: what a run of it starts on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn newest_version(&self, workspace: WorkspaceId, id: WorkflowId) -> Result<Option<i32>, StoreError> {
        let version = sqlx::query_scalar!(
            "select version from workflows where id = $1 and workspace_id = $2 and deleted_at is null",
            id.uuid(),
            workspace.uuid(),
        );
        Ok(version.fetch_optional(&self.pool).await?)
    }

    /// Which of these workflows a workspace has.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn workflows_among(
        &self,
        workspace: WorkspaceId,
        ids: &[WorkflowId],
    ) -> Result<Vec<WorkflowId>, StoreError> {
        let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.uuid()).collect();
        let known = sqlx::query_scalar!(
            "select id from workflows where workspace_id = $1 and id = any($2) and deleted_at is null",
            workspace.uuid(),
            &ids,
        );
        Ok(known.fetch_all(&self.pool).await?.into_iter().map(WorkflowId::from_uuid).collect())
    }

    /// Workflows that somebody made in a workspace, newest first, from before `before` on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn workflows(
        &self,
        workspace: WorkspaceId,
        before: Option<WorkflowId>,
        limit: u32,
    ) -> Result<Vec<WorkflowRow>, StoreError> {
        let rows = sqlx::query!(
            "select w.id, w.name, w.description, w.version, w.created_at, w.updated_at, v.definition, v.warnings
            from workflows w join workflow_versions v on v.workflow_id = w.id and v.version = w.version
            where w.workspace_id = $1 and w.deleted_at is null and w.origin is null and ($2::uuid is null or w.id < $2)
            order by w.id desc limit $3",
            workspace.uuid(),
            before.map(WorkflowId::uuid),
            i64::from(limit),
        )
        .fetch_all(&self.pool)
        .await?;
        let workflow = rows.into_iter().map(|row| WorkflowRow {
            id: WorkflowId::from_uuid(row.id),
            name: row.name,
            description: row.description,
            definition: row.definition,
            warnings: row.warnings,
            origin: None,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        });
        Ok(workflow.collect())
    }

    /// The definition of one version, deleted or not, for a run that is on it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn definition(&self, id: WorkflowId, version: i32) -> Result<Option<String>, StoreError> {
        let definition = sqlx::query_scalar!(
            "select definition from workflow_versions where workflow_id = $1 and version = $2",
            id.uuid(),
            version,
        );
        Ok(definition.fetch_optional(&self.pool).await?)
    }

    /// Deletes a workflow that somebody made. Its runs stay, and go on. Says whether there was one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delete_workflow(
        &self,
        workspace: WorkspaceId,
        id: WorkflowId,
        event: &NewEvent,
    ) -> Result<bool, StoreError> {
        let deleted = sqlx::query_scalar!(
            r#"with deleted as (
                update workflows set deleted_at = now()
                where id = $1 and workspace_id = $2 and deleted_at is null and origin is null
                returning id
            ), told as (
                insert into events (id, workspace_id, type, data) select $3, $2, $4, $5 from deleted
            )
            select count(*) as "deleted!" from deleted"#,
            id.uuid(),
            workspace.uuid(),
            event.id.uuid(),
            event.kind.as_str(),
            event.data,
        );
        Ok(deleted.fetch_one(&self.pool).await? == 1)
    }
}
