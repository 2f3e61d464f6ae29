//! What is read of events.

use armilla_domain::event::EventType;
use armilla_domain::id::{EventId, WorkspaceId};
use armilla_store::{EventPosition, EventRow, StoreError};
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::{CommandError, Engine};

/// How long events are kept at least, in days; they go by whole months.
pub const EVENTS_KEPT_DAYS: i32 = 30;

/// Something that happened.
#[derive(Debug, Clone)]
pub struct EventView {
    /// Its id.
    pub id: EventId,
    /// Its type: dotted.
    pub kind: String,
    /// When.
    pub at: DateTime<Utc>,
    /// What: an object.
    pub data: Value,
    /// Its place among the others.
    pub position: EventPosition,
}

impl TryFrom<EventRow> for EventView {
    type Error = StoreError;

    fn try_from(row: EventRow) -> Result<Self, StoreError> {
        let position = row.position();
        let data = serde_json::from_str(&row.data);
        let data = data.map_err(|error| StoreError::Corrupt(format!("the event {}: {error}", row.id)))?;
        Ok(Self { id: row.id, kind: row.kind, at: row.at, data, position })
    }
}

impl Engine {
    /// Events of a workspace, the last ones written first, from before `before` on; of some types where they are named.
    ///
    /// # Errors
    /// [`CommandError::UnknownEvent`] where there is no event `before`, or no more.
    pub async fn events(
        &self,
        workspace: WorkspaceId,
        kinds: Option<&[EventType]>,
        before: Option<EventId>,
        limit: u32,
    ) -> Result<Vec<EventView>, CommandError> {
        let store = &self.host.store;
        let before = match before {
            Some(id) => Some(self.event_position(workspace, id).await?),
            None => None,
        };
        let rows = store.events(workspace, kinds, before, limit).await?;
        Ok(rows.into_iter().map(EventView::try_from).collect::<Result<_, _>>()?)
    }

    /// An event of a workspace.
    ///
    /// # Errors
    /// [`CommandError::UnknownEvent`].
    pub async fn event(&self, workspace: WorkspaceId, id: EventId) -> Result<EventView, CommandError> {
        let row = self.host.store.event(workspace, id).await?.ok_or(CommandError::UnknownEvent(id))?;
        Ok(EventView::try_from(row)?)
    }

    async fn event_position(&self, workspace: WorkspaceId, id: EventId) -> Result<EventPosition, CommandError> {
        let row = self.host.store.event(workspace, id).await?;
        Ok(row.ok_or(CommandError::UnknownEvent(id))?.position())
    }
}
