//! Events of a workspace as they happen: server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use armilla_domain::event::EventType;
use armilla_domain::id::{EventId, WorkspaceId};
use armilla_engine::{CommandError, Engine, EventPlace, EventView};
use axum::Extension;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::body::EventBody;
use super::query::{FollowQuery, types_of};
use crate::auth::Caller;
use crate::problem::{Code, Problem};
use crate::request::Query;
use crate::runs::{KEEP_ALIVE, StreamRoom};
use crate::state::ApiState;

/// How often events are looked for that other hosts write: two cheap statements.
const EVENTS_POLL: Duration = Duration::from_secs(1);
/// How long two looks are apart at least, however much this host writes.
const EVENTS_REST: Duration = Duration::from_millis(100);
/// How long a look rests after the database was away.
const AWAY_PAUSE: Duration = Duration::from_secs(2);
/// Events read at once: some MiB at most.
const EVENTS_READ_MAX: u32 = 100;

/// Which events, and from where on.
pub(crate) struct Following {
    kinds: Option<Vec<EventType>>,
    after: Option<EventId>,
}

impl<S: Sync> FromRequestParts<S> for Following {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(query) = Query::<FollowQuery>::from_request_parts(parts, state).await?;
        let kinds = query.r#type.as_deref().map(types_of).transpose()?;
        Ok(Self { kinds, after: last_known(query.after.as_deref(), &parts.headers)? })
    }
}

/// Follow the events
///
/// Server-sent events: each event as it happens, whichever host writes it, in an order in which none comes late; `id` is the event's id,
/// `event` its type, `data` the event as JSON. `Last-Event-ID` goes on after the last one that came. A comment every 15 seconds shows that
/// the stream is there.
#[utoipa::path(get, path = "/events/stream", operation_id = "followEvents", tag = "events",
    params(FollowQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that is known already.")),
    responses((status = 200, description = "The stream; this is the `data` of its events.", body = EventBody,
        content_type = "text/event-stream")))]
pub(crate) async fn follow_events(
    State(state): State<ApiState>,
    caller: Caller,
    Extension(room): Extension<StreamRoom>,
    Following { kinds, after }: Following,
) -> Result<Response, Problem> {
    let place = room.take()?;
    let told = state.engine.told();
    // Before the head of the answer is sent, so that an event that is not there is a problem like everywhere.
    let at = match state.engine.event_place(caller.workspace, after).await {
        Err(CommandError::UnknownEvent(_)) => return Err(Problem::not_found(Code::EventNotFound)),
        at => at?,
    };
    let engine = state.engine;
    let stopping = Box::pin(engine.stopping());
    let follower =
        Follower { engine, workspace: caller.workspace, kinds, at, ahead: VecDeque::new(), told, _place: place };
    let events = stream::unfold((follower, stopping), async |(mut follower, mut stopping)| {
        tokio::select! {
            biased;
            () = &mut stopping => None,
            next = follower.next() => next.map(|event| (Ok::<_, Infallible>(event), (follower, stopping))),
        }
    });
    // Proxies that gather answers before they pass them on would hold back what is live.
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"))];
    Ok((unbuffered, Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))).into_response())
}

fn last_known(query: Option<&str>, headers: &HeaderMap) -> Result<Option<EventId>, Problem> {
    let wrong = |code, name: &str| Problem::new(code, format!("`{name}` must be the id of an event."));
    if let Some(id) = headers.get("last-event-id") {
        let id = id.to_str().ok().and_then(|text| text.parse().ok());
        return id.map(Some).ok_or_else(|| wrong(Code::HeaderInvalid, "Last-Event-ID"));
    }
    query.map(|text| text.parse().map_err(|_| wrong(Code::QueryInvalid, "after"))).transpose()
}

/// One who looks on.
struct Follower {
    engine: Engine,
    workspace: WorkspaceId,
    kinds: Option<Vec<EventType>>,
    /// After which events it looks next.
    at: EventPlace,
    ahead: VecDeque<EventView>,
    told: watch::Receiver<()>,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// The next event; nothing where no more can come.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(view) = self.ahead.pop_front() {
                let (id, kind) = (view.id.to_string(), view.kind.clone());
                // Values that were read from JSON are written as JSON.
                return Event::default().id(id).event(kind).json_data(EventBody::from(view)).ok();
            }
            let looked_at = Instant::now();
            self.told.mark_unchanged();
            let kinds = self.kinds.as_deref();
            match self.engine.events_after(self.workspace, self.at, kinds, EVENTS_READ_MAX).await {
                Ok((events, at)) => (self.ahead, self.at) = (events.into(), at),
                Err(CommandError::Store(error)) if error.is_unavailable() => {
                    tokio::time::sleep(AWAY_PAUSE).await;
                    continue;
                }
                Err(_) => return None,
            }
            if self.ahead.is_empty() {
                // Fails only where the engine is gone, and then the stream is ended anyway.
                let _ = tokio::time::timeout(EVENTS_POLL, self.told.changed()).await;
                tokio::time::sleep_until(looked_at + EVENTS_REST).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_caller_saw_last_counts_and_not_what_its_address_says() {
        let (one, two) = (EventId::from_parts(1, [1; 10]), EventId::from_parts(2, [2; 10]));
        let read = |query: Option<&str>, id: Option<&str>| {
            let headers = id.map(|id| (HeaderName::from_static("last-event-id"), id.parse().unwrap()));
            last_known(query, &headers.into_iter().collect()).map_err(|problem| problem.code())
        };
        assert_eq!(read(None, None), Ok(None));
        assert_eq!(read(Some(&one.to_string()), None), Ok(Some(one)));
        assert_eq!(read(Some(&one.to_string()), Some(&two.to_string())), Ok(Some(two)));
        assert_eq!(read(Some("run_1"), None), Err(Code::QueryInvalid));
        assert_eq!(read(None, Some("7")), Err(Code::HeaderInvalid));
    }
}
