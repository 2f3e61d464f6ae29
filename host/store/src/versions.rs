//! Versions of workflows: made, and read again. A version never changes, and none is taken away.

use armilla_domain::event::EventType;
use armilla_domain::id::{EventId, WorkflowId, WorkspaceId};
use chrono::{DateTime, Utc};

use crate::event_cursors::{EventConsumer, start_cursor};
use crate::events::{in_turn, names_of};
use crate::{Store, StoreError};

/// Versions of one workflow: a change every hour for a year.
pub const WORKFLOW_VERSIONS_MAX: i32 = 10_000;

/// What is to become of a workflow. What is not there stays as it is.
#[derive(Debug)]
pub struct Revision<'a> {
    /// Which workflow.
    pub workflow: WorkflowId,
    /// Whose.
    pub workspace: WorkspaceId,
    /// For people.
    pub name: Option<&'a str>,
    /// For people; the inner `None` takes it away.
    pub description: Option<Option<&'a str>>,
    /// What the next version does.
    pub definition: Option<NewDefinition<'a>>,
    /// The version that must be the newest, where that matters.
    pub expected: Option<i32>,
    /// Who makes the change.
    pub by: &'a str,
}

/// What the next version does.
#[derive(Debug, Clone, Copy)]
pub struct NewDefinition<'a> {
    /// JSON, as its author wrote it. The newest version's own text makes no version, unless it is restored.
    pub definition: &'a str,
    /// JSON: an array of faults.
    pub warnings: &'a str,
    /// The earlier version that it is taken from.
    pub restored_from: Option<i32>,
    /// The types of events that start runs of it, where any do.
    pub on_events: Option<&'a [EventType]>,
}

/// What became of a workflow that was to be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revised {
    /// It is so now.
    Done(RevisedRow),
    /// Nothing was changed: another version than the expected one is the newest.
    Conflict {
        /// The newest version.
        newest: i32,
    },
    /// Nothing was changed: it has [`WORKFLOW_VERSIONS_MAX`] versions already.
    TooMany,
}

/// A workflow as a change left it, without what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisedRow {
    /// For people.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// The newest version.
    pub version: i32,
    /// Whether the change made that version.
    pub is_new: bool,
    /// When the workflow was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// One version of a workflow.
#[derive(Debug, Clone)]
pub struct WorkflowVersionRow {
    /// From 1.
    pub version: i32,
    /// JSON, as its author wrote it.
    pub definition: String,
    /// JSON: an array of faults.
    pub warnings: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Who made it; not known of the oldest ones.
    pub created_by: Option<String>,
    /// The earlier version that its definition is taken from, where it is.
    pub restored_from: Option<i32>,
}

/// One version of a workflow, without what it does.
#[derive(Debug, Clone)]
pub struct WorkflowVersionSummaryRow {
    /// From 1.
    pub version: i32,
    /// How much its author was warned of.
    pub warnings: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Who made it; not known of the oldest ones.
    pub created_by: Option<String>,
    /// The earlier version that its definition is taken from, where it is.
    pub restored_from: Option<i32>,
}

impl Store {
    /// Changes a workflow. Of changes at the same time each sees what the one before it left, so every definition gets a
    /// version of its own. `None` where there is no such workflow that somebody made. Where something changed, it is told under `event`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn revise_workflow(
        &self,
        revision: &Revision<'_>,
        event: EventId,
    ) -> Result<Option<Revised>, StoreError> {
        let new = revision.definition;
        let on_events = new.and_then(|new| new.on_events).map(names_of);
        let horizon = self.event_horizon().await?;
        let mut transaction = self.pool.begin().await?;
        in_turn(&mut transaction, &revision.workflow.to_string()).await?;
        // What `current` reads is what the row holds once it is locked, not what it held when the statement began.
        let row = sqlx::query!(
            r#"with current as (
                select id, version, name, description, $6::text is not null
                    and ($8::int is not null or definition_digest is distinct from sha256(convert_to($6, 'UTF8')))
                    as is_new, updated_at
                from workflows where id = $1 and workspace_id = $2 and deleted_at is null and origin is null
                for no key update
            ), changed as (
                update workflows w set
                    name = coalesce($3, c.name),
                    description = case when $4 then $5 else c.description end,
                    version = case when c.is_new then c.version + 1 else c.version end,
                    definition_digest = case when c.is_new then sha256(convert_to($6, 'UTF8')) else w.definition_digest end,
                    on_events = case when c.is_new then $12 else w.on_events end,
                    on_events_since = case when c.is_new and w.on_events is null then pg_current_xact_id()::text::bigint
                        else w.on_events_since end,
                    updated_at = case when c.is_new or $3 <> c.name or ($4 and $5 is distinct from c.description)
                        then clock_timestamp() else w.updated_at end
                from current c
                where w.id = c.id and ($9::int is null or c.version = $9) and not (c.is_new and c.version >= $11)
                returning w.name, w.description, w.version, w.created_at, w.updated_at
            ), made as (
                insert into workflow_versions
                    (workflow_id, version, definition, warnings, restored_from, created_by, created_at)
                select $1, changed.version, $6, $7, $8, $10, changed.updated_at
                from changed, current where current.is_new
            ), told as (
                insert into events (id, workspace_id, type, data)
                select $13, $2, $14, json_build_object('workflowId', 'wf_' || replace(current.id::text, '-', ''),
                    'name', changed.name, 'version', changed.version, 'by', $10::text)::text
                from changed, current where changed.updated_at <> current.updated_at
            )
            select current.version as newest, current.is_new as "is_new!", changed.name as "name?",
                changed.description as "description?", changed.version as "version?", changed.created_at as "created_at?",
                changed.updated_at as "updated_at?"
            from current left join changed on true"#,
            revision.workflow.uuid(),
            revision.workspace.uuid(),
            revision.name,
            revision.description.is_some(),
            revision.description.flatten(),
            new.map(|new| new.definition),
            new.map(|new| new.warnings),
            new.and_then(|new| new.restored_from),
            revision.expected,
            revision.by,
            WORKFLOW_VERSIONS_MAX,
            on_events.as_deref() as Option<&[&str]>,
            event.uuid(),
            EventType::WorkflowUpdated.as_str(),
        );
        let Some(row) = row.fetch_optional(&mut *transaction).await? else { return Ok(None) };
        if on_events.is_some() {
            start_cursor(&mut transaction, EventConsumer::Triggers, revision.workspace, horizon).await?;
        }
        transaction.commit().await?;
        Ok(Some(match (row.name, row.version, row.created_at, row.updated_at) {
            (Some(name), Some(version), Some(created_at), Some(updated_at)) => {
                let (description, is_new) = (row.description, row.is_new);
                Revised::Done(RevisedRow { name, description, version, is_new, created_at, updated_at })
            }
            _ if revision.expected.is_some_and(|expected| expected != row.newest) => {
                Revised::Conflict { newest: row.newest }
            }
            _ => Revised::TooMany,
        }))
    }

    /// One version of a workflow of a workspace.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn workflow_version(
        &self,
        workspace: WorkspaceId,
        id: WorkflowId,
        version: i32,
    ) -> Result<Option<WorkflowVersionRow>, StoreError> {
        let row = sqlx::query_as!(
            WorkflowVersionRow,
            "select v.version, v.definition, v.warnings, v.created_at, v.created_by, v.restored_from
            from workflow_versions v join workflows w on w.id = v.workflow_id
            where w.id = $1 and w.workspace_id = $2 and w.deleted_at is null and v.version = $3",
            id.uuid(),
            workspace.uuid(),
            version,
        );
        Ok(row.fetch_optional(&self.pool).await?)
    }

    /// Versions of a workflow of a workspace, newest first, from before `before` on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn workflow_versions(
        &self,
        workspace: WorkspaceId,
        id: WorkflowId,
        before: Option<i32>,
        limit: u32,
    ) -> Result<Vec<WorkflowVersionSummaryRow>, StoreError> {
        let rows = sqlx::query_as!(
            WorkflowVersionSummaryRow,
            r#"select v.version, json_array_length(v.warnings::json) as "warnings!", v.created_at, v.created_by,
                v.restored_from
            from workflow_versions v join workflows w on w.id = v.workflow_id
            where w.id = $1 and w.workspace_id = $2 and w.deleted_at is null and ($3::int is null or v.version < $3)
            order by v.version desc limit $4"#,
            id.uuid(),
            workspace.uuid(),
            before,
            i64::from(limit),
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }
}
