//! Events: what happened, newest first.

mod query;

use std::fmt;
use std::str::FromStr;

use armilla_engine::EventView;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use self::query::EventsQuery;
use crate::auth::Caller;
use crate::page::PageQuery;
use crate::problem::{Code, Problem};
use crate::request::Query;
use crate::state::ApiState;
use crate::wire::Timestamp;

/// The most that a list of events gives at once.
const EVENTS_PAGE_MAX: u32 = 100;

/// An event's id on the wire: `evt_` and 32 hexadecimal digits.
#[derive(Debug, Clone, Copy)]
struct EventId(Uuid);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "evt_{}", self.0.simple())
    }
}

impl FromStr for EventId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.strip_prefix("evt_").filter(|digits| digits.len() == 32);
        digits.and_then(|digits| Uuid::try_parse(digits).ok()).map(Self).ok_or(())
    }
}

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct EventBody {
    /// Its id.
    #[schema(example = "evt_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    id: String,
    /// Its type: dotted.
    #[schema(example = "plugin.activated")]
    r#type: String,
    /// When.
    timestamp: Timestamp,
    /// What.
    #[schema(value_type = Object)]
    data: Value,
}

/// A page of events, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventsResponse {
    /// The events.
    events: Vec<EventBody>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

impl From<EventView> for EventBody {
    fn from(EventView { id, kind, at, data }: EventView) -> Self {
        Self { id: EventId(id).to_string(), r#type: kind, timestamp: at.into(), data }
    }
}

/// List the events
///
/// Newest first: what happened to plugins, grants and what they were denied. They are kept for 30 days.
#[utoipa::path(get, path = "/events", operation_id = "listEvents", tag = "events", params(EventsQuery),
    responses((status = 200, description = "A page of them.", body = EventsResponse)))]
pub(crate) async fn list_events(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<EventsQuery>,
) -> Result<Json<EventsResponse>, Problem> {
    let EventsQuery { r#type: kind, limit, cursor } = query;
    if kind.as_ref().is_some_and(|kind| kind.contains('\0')) {
        return Err(Problem::new(Code::QueryInvalid, "`type` has the character U+0000."));
    }
    let page = PageQuery { limit, cursor }.page::<EventId>(EVENTS_PAGE_MAX)?;
    let before = page.after.map(|id| id.0);
    let events = state.engine.events(caller.workspace, kind.as_deref(), before, page.rows()).await?;
    let (events, next_cursor) = page.cut(events, |event| EventId(event.id));
    Ok(Json(EventsResponse { events: events.into_iter().map(EventBody::from).collect(), next_cursor }))
}
