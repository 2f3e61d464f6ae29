//! Events, read.

use armilla_domain::id::EventId;
use armilla_engine::CommandError;
use axum::Json;
use axum::extract::State;

use super::body::{EventBody, EventResponse, EventStart, EventStartsResponse, EventsResponse};
use super::query::EventsQuery;
use crate::auth::Caller;
use crate::page::PageQuery;
use crate::problem::{Code, Problem};
use crate::request::{PathText, Query};
use crate::state::ApiState;

/// The most that a list of events gives at once.
const EVENTS_PAGE_MAX: u32 = 100;

/// List the events
///
/// The last ones written first. They are kept for 30 days at least, and go by whole months.
#[utoipa::path(get, path = "/events", operation_id = "listEvents", tag = "events", params(EventsQuery),
    responses((status = 200, description = "A page of them.", body = EventsResponse)))]
pub(crate) async fn list_events(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<EventsQuery>,
) -> Result<Json<EventsResponse>, Problem> {
    let (filter, page) = query.parts()?;
    let page = page.page::<EventId>(EVENTS_PAGE_MAX)?;
    let events = state.engine.events(caller.workspace, &filter, page.after, page.rows()).await;
    let events = events.map_err(|error| match error {
        CommandError::UnknownEvent(id) => {
            Problem::new(Code::QueryInvalid, format!("`cursor` names the event `{id}`, which is not kept any more."))
        }
        other => other.into(),
    })?;
    let (events, next_cursor) = page.cut(events, |event| event.id);
    Ok(Json(EventsResponse { events: events.into_iter().map(EventBody::from).collect(), next_cursor }))
}

/// Get an event
#[utoipa::path(get, path = "/events/{id}", operation_id = "getEvent", tag = "events",
    params(("id" = String, Path, description = "The event's id.", example = "evt_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    responses((status = 200, description = "The event.", body = EventResponse)))]
pub(crate) async fn get_event(
    State(state): State<ApiState>,
    caller: Caller,
    path: PathText,
) -> Result<Json<EventResponse>, Problem> {
    let event = state.engine.event(caller.workspace, path.id(Code::EventNotFound)?).await?;
    Ok(Json(EventResponse { event: event.into() }))
}

/// List what events did to a workflow
///
/// One for each event that matched the workflow's `onEvent`, newest event first: the run that it started, or why it started none. Kept for
/// 30 days.
#[utoipa::path(get, path = "/workflows/{id}/event-starts", operation_id = "listEventStarts", tag = "events",
    params(("id" = String, Path, description = "The workflow's id.", example = "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70"), PageQuery),
    responses((status = 200, description = "A page of them.", body = EventStartsResponse)))]
pub(crate) async fn list_event_starts(
    State(state): State<ApiState>,
    caller: Caller,
    path: PathText,
    Query(query): Query<PageQuery>,
) -> Result<Json<EventStartsResponse>, Problem> {
    let page = query.page::<EventId>(EVENTS_PAGE_MAX)?;
    let workflow = path.id(Code::WorkflowNotFound)?;
    let starts = state.engine.event_starts(caller.workspace, workflow, page.after, page.rows()).await?;
    let (starts, next_cursor) = page.cut(starts, |start| start.event);
    Ok(Json(EventStartsResponse { event_starts: starts.into_iter().map(EventStart::from).collect(), next_cursor }))
}
