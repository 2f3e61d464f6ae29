//! A chat whose answer comes in pieces: server-sent events.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use armilla_domain::id::{RunId, WorkspaceId};
use armilla_domain::pipeline::StageRecord;
use armilla_domain::run::RunStatus;
use armilla_engine::{AnswerPieces, Asking, Chat as ChatCommand, CommandError, Engine, Piece, RunView};
use axum::Extension;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;

use super::{Chat, answer_of, failed};
use crate::auth::Member;
use crate::problem::{Code, Problem};
use crate::request::{IdempotencyKey, JsonBody, TraceParent};
use crate::runs::StreamRoom;
use crate::state::ApiState;

/// How long one look at the run waits for its end; the stream goes on as long as the run does.
const LOOK: Duration = Duration::from_secs(60);
/// How long a look rests that found nothing.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a stream that has nothing to say shows that it is there: proxies cut what is silent for longer.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The `data` of the events of such a stream: `event: run` first, with `runId`; `event: delta` for each piece of the answer, with `text`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ChatPiece)]
pub(crate) struct ChatPieceBody {
    /// With `run`: the run that asks the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    run_id: Option<RunId>,
    /// With `delta`: what the answer goes on with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    text: Option<String>,
}

/// Send a message to an agent and read its answer as it comes
///
/// As `POST /agent/chat`, by server-sent events: `run` with the run's id, a `delta` for each piece of the answer, and at last `message` with
/// what `POST /agent/chat` answers, or `error` with a problem. An agent whose protocol knows no pieces gives its answer as one. Where a call
/// fails in the middle and is made again, `restart` says that the pieces so far are void. The run goes on when the caller hangs up.
#[utoipa::path(post, path = "/agent/chat/stream", operation_id = "chatInPieces", tag = "agents",
    params(
        ("Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 visible ASCII characters, the caller's own; also as `X-Idempotency-Key`. A repeated request gives the answer as one piece."),
    ),
    request_body(content = Chat, example = json!({ "agentId": "research-agent", "message": "Research tidal power" })),
    responses((status = 200, description = "The stream; this is the `data` of its first events, and that of the last is a `ChatResponse`.",
        body = ChatPieceBody, content_type = "text/event-stream",
        headers(("Location" = String, description = "The run: `/runs/{id}`.")))))]
pub(crate) async fn chat_in_pieces(
    State(state): State<ApiState>,
    Member(caller): Member,
    Extension(room): Extension<StreamRoom>,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    traceparent: Option<Extension<TraceParent>>,
    JsonBody(body): JsonBody<Chat>,
) -> Result<Response, Problem> {
    let Chat { agent_id, message, system_prompt_suffix } = body;
    let place = room.take()?;
    let command = ChatCommand { agent_id: agent_id.clone(), message, system_prompt_suffix };
    let traceparent = traceparent.map(|traceparent| traceparent.as_str().to_owned());
    let asking = Asking { by: caller.subject, traceparent, idempotency_key, bound: Duration::ZERO };
    let begun = state.engine.chat_in_pieces(caller.workspace, command, asking).await;
    let (started, pieces) = begun.map_err(|error| Problem::in_document(error, Code::ChatInvalid, ""))?;
    let run = started.run.id;
    let (engine, workspace) = (state.engine, caller.workspace);
    let at = Place::Beginning;
    let follower = Follower { engine, workspace, run, agent_id, pieces, look: None, told: false, at, _place: place };
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    let headers = response.headers_mut();
    // A proxy that gathers pieces before it passes them on makes a stream pointless.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    if let Ok(location) = HeaderValue::try_from(format!("/runs/{run}")) {
        headers.insert(LOCATION, location);
    }
    Ok(response)
}

/// Where a stream stands.
enum Place {
    Beginning,
    Middle,
    /// The run has ended, and this is still to be told.
    Ended(Box<(RunView, Vec<StageRecord>)>),
    Over,
}

type Look = Pin<Box<dyn Future<Output = Result<(RunView, Vec<StageRecord>), CommandError>> + Send>>;

struct Follower {
    engine: Engine,
    workspace: WorkspaceId,
    run: RunId,
    agent_id: String,
    pieces: AnswerPieces,
    /// How the run stands, once it has ended or [`LOOK`] is over: looked for once, however many pieces come meanwhile.
    look: Option<Look>,
    /// Whether a piece was told already.
    told: bool,
    at: Place,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        loop {
            match std::mem::replace(&mut self.at, Place::Over) {
                Place::Beginning => {
                    self.at = Place::Middle;
                    return Some(event("run", &ChatPieceBody { run_id: Some(self.run), text: None }));
                }
                Place::Middle => {
                    let look = self.look.get_or_insert_with(|| {
                        let (engine, workspace, run) = (self.engine.clone(), self.workspace, self.run);
                        Box::pin(async move { engine.ended_pipeline(workspace, run, LOOK).await })
                    });
                    tokio::select! {
                        biased;
                        piece = self.pieces.next() => {
                            self.at = Place::Middle;
                            if let Some(event) = self.piece(piece) {
                                return Some(event);
                            }
                        }
                        ended = look => {
                            self.look = None;
                            match ended {
                                Ok((run, stages)) if run.status.is_final() => {
                                    self.at = Place::Ended(Box::new((run, stages)));
                                }
                                // A host that stops waits for nobody's end: another one goes on with the run.
                                Ok(_) => {
                                    tokio::time::sleep(PAUSE).await;
                                    self.at = Place::Middle;
                                }
                                Err(CommandError::Store(error)) if error.is_unavailable() => {
                                    tokio::time::sleep(PAUSE).await;
                                    self.at = Place::Middle;
                                }
                                Err(error) => return Some(problem(error.into())),
                            }
                        }
                    }
                }
                Place::Ended(ended) => {
                    if let Some(piece) = self.pieces.try_next() {
                        self.at = Place::Ended(ended);
                        match self.piece(piece) {
                            Some(event) => return Some(event),
                            None => continue,
                        }
                    }
                    let (run, stages) = *ended;
                    if run.status != RunStatus::Success {
                        return Some(problem(failed(run.id, run.status, run.error.as_ref())));
                    }
                    let answer = answer_of(&self.agent_id, &run, &stages);
                    if !self.told && answer.message.is_some() {
                        // A run that another host drives, or that was there before.
                        self.told = true;
                        let text = answer.message.clone();
                        self.at = Place::Ended(Box::new((run, stages)));
                        return Some(event("delta", &ChatPieceBody { run_id: None, text }));
                    }
                    return Some(event("message", &answer));
                }
                Place::Over => return None,
            }
        }
    }

    fn piece(&mut self, piece: Piece) -> Option<Event> {
        match piece {
            Piece::Text(text) => {
                self.told = true;
                Some(event("delta", &ChatPieceBody { run_id: None, text: Some(text) }))
            }
            // Of what was told nobody, nothing need be taken back.
            Piece::Begins if std::mem::take(&mut self.told) => {
                Some(event("restart", &ChatPieceBody { run_id: None, text: None }))
            }
            Piece::Begins => None,
        }
    }
}

fn event(name: &str, data: &impl Serialize) -> Event {
    // What is sent is JSON always.
    Event::default().event(name).json_data(data).unwrap_or_else(|_| Event::default().event(name))
}

fn problem(problem: Problem) -> Event {
    event("error", &problem.as_json())
}
