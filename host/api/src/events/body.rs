//! Events on the wire.

use armilla_engine::{EventStartView, EventView};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::wire::Timestamp;

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct EventBody {
    /// Its id.
    #[schema(example = "evt_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    id: String,
    /// Its type: dotted. `GET /event-types` lists them.
    #[schema(example = "run.succeeded")]
    r#type: String,
    /// When.
    timestamp: Timestamp,
    /// What; which fields there are, the type says.
    #[schema(value_type = Object)]
    data: Value,
}

/// An event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventResponse {
    /// The event.
    pub(super) event: EventBody,
}

/// A page of events, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventsResponse {
    /// The events.
    pub(super) events: Vec<EventBody>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    pub(super) next_cursor: Option<String>,
}

/// What became of an event for a workflow.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventStart {
    /// The event.
    #[schema(example = "evt_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    event_id: String,
    /// Its type.
    event_type: String,
    /// `started`, `starting` (a host is about to), or `refused`.
    outcome: String,
    /// The run; null where there is none.
    #[schema(required = true)]
    run_id: Option<String>,
    /// Why there is none; null where there is one.
    #[schema(required = true)]
    detail: Option<String>,
    /// When it was decided.
    at: Timestamp,
}

/// A page of what became of events for a workflow, newest event first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventStartsResponse {
    /// One for each event that matched.
    pub(super) event_starts: Vec<EventStart>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    pub(super) next_cursor: Option<String>,
}

impl From<EventView> for EventBody {
    fn from(EventView { id, kind, at, data, position: _ }: EventView) -> Self {
        Self { id: id.to_string(), r#type: kind, timestamp: at.into(), data }
    }
}

impl From<EventStartView> for EventStart {
    fn from(EventStartView { event, event_type, outcome, run, detail, at }: EventStartView) -> Self {
        let run_id = run.map(|run| run.to_string());
        Self { event_id: event.to_string(), event_type, outcome, run_id, detail, at: at.into() }
    }
}
