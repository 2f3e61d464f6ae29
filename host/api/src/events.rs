//! Events: what happened, newest first.

mod query;

use armilla_domain::event::EventType;
use armilla_domain::id::EventId;
use armilla_engine::{CommandError, EventView};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use self::query::EventsQuery;
use crate::auth::Caller;
use crate::page::PageQuery;
use crate::problem::{Code, Problem};
use crate::request::Query;
use crate::state::ApiState;
use crate::wire::Timestamp;

/// The most that a list of events gives at once.
const EVENTS_PAGE_MAX: u32 = 100;

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
    fn from(EventView { id, kind, at, data, .. }: EventView) -> Self {
        Self { id: id.to_string(), r#type: kind, timestamp: at.into(), data }
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
    let EventsQuery { r#type: kinds, limit, cursor } = query;
    let kinds = kinds.as_deref().map(types_of).transpose()?;
    let page = PageQuery { limit, cursor }.page::<EventId>(EVENTS_PAGE_MAX)?;
    let events = state.engine.events(caller.workspace, kinds.as_deref(), page.after, page.rows()).await;
    let events = events.map_err(|error| match error {
        CommandError::UnknownEvent(id) => {
            Problem::new(Code::QueryInvalid, format!("`cursor` names the event `{id}`, which is not kept any more."))
        }
        other => other.into(),
    })?;
    let (events, next_cursor) = page.cut(events, |event| event.id);
    Ok(Json(EventsResponse { events: events.into_iter().map(EventBody::from).collect(), next_cursor }))
}

/// Types of events by their names, separated by commas; either spelling.
fn types_of(names: &str) -> Result<Vec<EventType>, Problem> {
    let parsed = names.split(',').map(|name| EventType::parse(name.trim()).ok_or(name.trim()));
    parsed.collect::<Result<_, _>>().map_err(|name| {
        let name: String = name.chars().take(64).collect();
        Problem::new(Code::QueryInvalid, format!("`type` names `{name}`, and there are no such events."))
    })
}
