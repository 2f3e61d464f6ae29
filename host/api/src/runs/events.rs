//! A run's journal as it grows: server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use armilla_domain::id::{RunId, WorkspaceId};
use armilla_engine::{CommandError, Engine, RunEventView};
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::ToSchema;

use super::after::{After, AfterQuery};
use crate::auth::Caller;
use crate::problem::{Code, Problem};
use crate::request::PathText;
use crate::state::ApiState;
use crate::wire::Timestamp;

/// Streams at once on one host: a third of its connections, so that nobody who looks on keeps others from working.
pub const EVENT_STREAMS_MAX: usize = 256;
/// How often a run is looked at that says nothing new, whichever host drives it: one cheap statement.
const EVENTS_POLL: Duration = Duration::from_millis(300);
/// How long a look rests after the database was away.
const AWAY_PAUSE: Duration = Duration::from_secs(2);
/// Entries read at once: with the largest outputs some tens of MiB.
const EVENTS_READ_MAX: u32 = 32;
/// How often a stream that has nothing to say shows that it is there: proxies cut what is silent for longer.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Somebody else may have gone away by then.
const CROWDED_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Room for streams on this host.
#[derive(Clone)]
pub(crate) struct StreamRoom(Arc<Semaphore>);

impl StreamRoom {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(EVENT_STREAMS_MAX)))
    }

    pub(crate) fn take(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.0).try_acquire_owned().map_err(|_| Problem::unavailable(CROWDED_RETRY_AFTER))
    }
}

/// What the `data` of an event is: one entry of the run's journal. Its other fields are those of its kind.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RunEvent)]
pub(crate) struct RunEventBody {
    /// Its place in the journal, from 1, without gaps: the `id` of the event.
    #[schema(minimum = 1)]
    number: i32,
    /// When.
    at: Timestamp,
    /// The step that it tells of; absent where it tells of the run itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    step_id: Option<String>,
    /// Which execution of the step; absent likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1)]
    visit: Option<u32>,
    /// The list in which the step runs, as the steps of the run say it; absent likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    scope: Option<String>,
    /// What happened: the `event` of the event.
    #[schema(example = "step.succeeded")]
    kind: &'static str,
    /// Whatever else this kind tells.
    #[serde(flatten)]
    rest: Value,
}

impl From<RunEventView> for RunEventBody {
    fn from(RunEventView { number, at, event }: RunEventView) -> Self {
        let mut rest = serde_json::to_value(&event).unwrap_or_default();
        if let Some(fields) = rest.as_object_mut() {
            fields.shift_remove("kind");
            // The number of a signal, which steps that took it call so too.
            if let Some(signal) = fields.shift_remove("number") {
                fields.insert("signal".to_owned(), signal);
            }
        }
        let visit = event.visit();
        Self {
            number,
            at: at.into(),
            step_id: visit.map(|visit| visit.step.clone()),
            visit: visit.map(|visit| visit.number),
            scope: visit.map(|visit| visit.scope.to_string()),
            kind: event.kind(),
            rest,
        }
    }
}

/// Follow a run
///
/// Server-sent events: every entry of the run's journal in order, first those that are there, then each as it comes, whichever
/// host drives the run. `id` is the entry's number, `event` its kind, `data` the entry as JSON. After the last entry of a run
/// that has ended comes `event: end`, whose data is `{ "status": … }`, and the stream is over; a run that is retried has more
/// entries later. A comment every 15 seconds shows that the stream is there.
#[utoipa::path(get, path = "/runs/{id}/events", operation_id = "followRun", tag = "runs",
    params(
        ("id" = String, Path, description = "The run's id.", example = "run_0196f0c45e7a7c3f8d1b2a3c4d5e6f70"),
        AfterQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "The number of the last entry that is known already."),
    ),
    responses((status = 200, description = "The stream; this is the `data` of its events.", body = RunEventBody,
        content_type = "text/event-stream")))]
pub(crate) async fn follow_run(
    State(state): State<ApiState>,
    caller: Caller,
    Extension(room): Extension<StreamRoom>,
    path: PathText,
    After(after): After,
) -> Result<Response, Problem> {
    let run = path.id(Code::RunNotFound)?;
    let place = room.take()?;
    // Before the head of the answer is sent, so that a run that is not there is a problem like everywhere.
    let (events, is_over) = state.engine.run_events(caller.workspace, run, after, EVENTS_READ_MAX).await?;
    let follower = Follower {
        engine: state.engine,
        workspace: caller.workspace,
        run,
        after,
        ahead: events.into(),
        is_over,
        _place: place,
    };
    let stopping = Box::pin(follower.engine.stopping());
    let events = stream::unfold((Some(follower), stopping), async |(follower, mut stopping)| {
        let follower: Follower = follower?;
        tokio::select! {
            biased;
            () = &mut stopping => None,
            next = follower.next() => next.map(|(event, follower)| (Ok::<_, Infallible>(event), (follower, stopping))),
        }
    });
    // Proxies that gather answers before they pass them on would hold back what is live.
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"))];
    Ok((unbuffered, Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))).into_response())
}

/// One who looks on.
struct Follower {
    engine: Engine,
    workspace: WorkspaceId,
    run: RunId,
    /// The last entry that was sent or is in `ahead`.
    after: i32,
    ahead: VecDeque<RunEventView>,
    /// The run has ended, and `ahead` are its last entries.
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// The next event, and who goes on looking: nobody after the last one.
    async fn next(mut self) -> Option<(Event, Option<Self>)> {
        loop {
            if let Some(view) = self.ahead.pop_front() {
                self.after = view.number;
                let body = RunEventBody::from(view);
                let event = Event::default().id(body.number.to_string()).event(body.kind);
                // Values that were read from JSON are written as JSON.
                return event.json_data(body).ok().map(|event| (event, Some(self)));
            }
            let look = match self.is_over {
                true => match self.engine.run(self.workspace, self.run).await {
                    Ok(run) if run.status.is_final() => {
                        let data = json!({ "status": run.status }).to_string();
                        return Some((Event::default().event("end").data(data), None));
                    }
                    // Retried in this moment.
                    other => other.map(|_| self.is_over = false),
                },
                false => self.look().await,
            };
            match look {
                Ok(()) if !self.ahead.is_empty() || self.is_over => {}
                Ok(()) => tokio::time::sleep(EVENTS_POLL).await,
                Err(CommandError::Store(error)) if error.is_unavailable() => tokio::time::sleep(AWAY_PAUSE).await,
                // Removed meanwhile. Whoever asks again is told.
                Err(_) => return None,
            }
        }
    }

    async fn look(&mut self) -> Result<(), CommandError> {
        let (events, is_over) = self.engine.run_events(self.workspace, self.run, self.after, EVENTS_READ_MAX).await?;
        (self.ahead, self.is_over) = (events.into(), is_over);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use armilla_domain::journal::{Event as JournalEvent, ScopePath, Signal, Visit};
    use chrono::DateTime;

    use super::*;

    fn told(event: JournalEvent) -> Value {
        json!(RunEventBody::from(RunEventView { number: 7, at: DateTime::UNIX_EPOCH, event }))
    }

    #[test]
    fn an_entry_is_told_with_its_place_and_what_its_kind_tells() {
        let visit = Visit { scope: ScopePath::default(), step: "draft".into(), number: 2 };
        let output = Arc::new(json!("text"));
        let event = JournalEvent::StepSucceeded { visit, attempt: 1, output, measured: None, signal: None };
        assert_eq!(
            told(event),
            json!({
                "number": 7, "at": "1970-01-01T00:00:00.000Z", "stepId": "draft", "visit": 2, "scope": "",
                "kind": "step.succeeded", "attempt": 1, "output": "text",
            })
        );
    }

    #[test]
    fn the_number_of_a_signal_is_not_taken_for_that_of_the_entry() {
        let signal = Signal { number: 1, name: "go".into(), payload: Arc::new(Value::Null), by: "ada".into() };
        assert_eq!(
            told(JournalEvent::SignalReceived { signal }),
            json!({
                "number": 7, "at": "1970-01-01T00:00:00.000Z", "kind": "signal.received", "signal": 1, "name": "go",
                "payload": null, "by": "ada",
            })
        );
    }

    #[test]
    fn a_stream_too_many_is_asked_to_come_back() {
        let room = StreamRoom::new();
        let mut taken: Vec<_> = (0..EVENT_STREAMS_MAX).map(|_| room.take().unwrap()).collect();
        assert_eq!(room.take().unwrap_err().code(), Code::ServerUnavailable);
        taken.pop();
        assert!(room.take().is_ok());
    }
}
