//! What happened. Written by the statements that make it happen; here is what else is done with it.

use armilla_domain::id::WorkspaceId;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{Store, StoreError};

/// Something that is to be told.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Time-ordered.
    pub id: Uuid,
    /// Its type: dotted.
    pub kind: &'static str,
    /// JSON.
    pub data: String,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub struct EventRow {
    /// Time-ordered.
    pub id: Uuid,
    /// Its type: dotted.
    pub kind: String,
    /// When.
    pub at: DateTime<Utc>,
    /// JSON.
    pub data: String,
}

/// Events as columns, the shape in which `unnest` takes them.
pub(crate) struct EventColumns<'a> {
    pub(crate) id: Vec<Uuid>,
    pub(crate) kind: Vec<&'static str>,
    pub(crate) data: Vec<&'a str>,
}

impl<'a> EventColumns<'a> {
    pub(crate) fn of(events: &'a [NewEvent]) -> Self {
        Self {
            id: events.iter().map(|event| event.id).collect(),
            kind: events.iter().map(|event| event.kind).collect(),
            data: events.iter().map(|event| event.data.as_str()).collect(),
        }
    }
}

impl Store {
    /// Tells of something that no other statement writes down.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn add_event(&self, workspace: WorkspaceId, event: &NewEvent) -> Result<(), StoreError> {
        sqlx::query!(
            "with workspace as (insert into workspaces (id) values ($2) on conflict do nothing)
            insert into events (id, workspace_id, type, data) values ($1, $2, $3, $4)",
            event.id,
            workspace.uuid(),
            event.kind,
            event.data,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Events of a workspace, newest first, from before `before` on; of one type where it is named.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn events(
        &self,
        workspace: WorkspaceId,
        kind: Option<&str>,
        before: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<EventRow>, StoreError> {
        let events = sqlx::query_as!(
            EventRow,
            "select id, type as kind, at, data from events
            where workspace_id = $1 and ($2::text is null or type = $2) and ($3::uuid is null or id < $3)
            order by id desc limit $4",
            workspace.uuid(),
            kind,
            before,
            i64::from(limit),
        );
        Ok(events.fetch_all(&self.pool).await?)
    }

    /// Removes events that are older than so many days.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delete_old_events(&self, days: u32) -> Result<u64, StoreError> {
        let done = sqlx::query!("delete from events where at < now() - make_interval(days => $1)", days as i32);
        Ok(done.execute(&self.pool).await?.rows_affected())
    }
}
