//! Events: made for the statements that write them, and read.

use armilla_domain::event::{EventType, Told};
use armilla_domain::id::{EventId, WorkspaceId};
use armilla_store::{EventPosition, EventRow, NewEvent, StoreError};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::host::Host;
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

impl Host {
    /// Something that nothing but a caller brought about.
    pub(crate) fn event(&self, kind: EventType, data: &impl Serialize) -> NewEvent {
        self.event_of(&Told::new(kind, data), 0)
    }

    /// What is told, as the database takes it.
    pub(crate) fn event_of(&self, Told { kind, data }: &Told, depth: i16) -> NewEvent {
        NewEvent { id: self.next_id(), kind: *kind, data: data.clone(), depth }
    }
}

/// Which events of a workspace are meant.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Those of these types; of any where absent.
    pub kinds: Option<Vec<EventType>>,
    /// Those that happened then or later.
    pub from: Option<DateTime<Utc>>,
    /// Those that happened before then.
    pub before: Option<DateTime<Utc>>,
}

/// A place among the events of a workspace, to go on from.
#[derive(Debug, Clone, Copy)]
pub struct EventPlace(EventPosition);

impl Engine {
    /// Events of a workspace, the last ones written first, from before `before` on.
    ///
    /// # Errors
    /// [`CommandError::UnknownEvent`] where there is no event `before`, or no more.
    pub async fn events(
        &self,
        workspace: WorkspaceId,
        filter: &EventFilter,
        before: Option<EventId>,
        limit: u32,
    ) -> Result<Vec<EventView>, CommandError> {
        let before = match before {
            Some(id) => Some(self.event_position(workspace, id).await?),
            None => None,
        };
        let EventFilter { kinds, from, before: until } = filter;
        let rows = self.host.store.events(workspace, kinds.as_deref(), *from, *until, before, limit).await?;
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

    /// The place after an event, or before what is written from now on.
    ///
    /// # Errors
    /// [`CommandError::UnknownEvent`].
    pub async fn event_place(
        &self,
        workspace: WorkspaceId,
        after: Option<EventId>,
    ) -> Result<EventPlace, CommandError> {
        Ok(EventPlace(match after {
            Some(id) => self.event_position(workspace, id).await?,
            None => EventPosition::before(self.host.store.event_horizon().await?),
        }))
    }

    /// The next events of a workspace in order, and the place to go on from: none comes later that belongs before it.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn events_after(
        &self,
        workspace: WorkspaceId,
        place: EventPlace,
        kinds: Option<&[EventType]>,
        limit: u32,
    ) -> Result<(Vec<EventView>, EventPlace), CommandError> {
        let horizon = self.host.store.event_horizon().await?;
        let rows = self.host.store.events_after(workspace, place.0, horizon, kinds, limit).await?;
        let next = match rows.last() {
            Some(last) if rows.len() == limit as usize => last.position(),
            // There is nothing else before the horizon.
            _ => EventPosition::before(horizon).max(place.0),
        };
        Ok((rows.into_iter().map(EventView::try_from).collect::<Result<_, _>>()?, EventPlace(next)))
    }

    async fn event_position(&self, workspace: WorkspaceId, id: EventId) -> Result<EventPosition, CommandError> {
        let row = self.host.store.event(workspace, id).await?;
        Ok(row.ok_or(CommandError::UnknownEvent(id))?.position())
    }
}
