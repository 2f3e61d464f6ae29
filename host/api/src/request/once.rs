//! Requests that take place once: the same one with the same `Idempotency-Key` is answered as the first one was, and does nothing more.
//!
//! Operations that start a run know the key themselves, and answer with the run as it stands. All others that are asked for by `POST` are
//! kept here. What is not known to have done nothing keeps its key: a request whose host went away in the middle may have taken place, and
//! then must not take place again.

use std::collections::HashSet;
use std::sync::Arc;

use armilla_domain::id::WorkspaceId;
use armilla_engine::{Engine, Repeat};
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tracing::{Instrument, Span, warn};
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{OpenApi, RefOr, Required};

use super::idempotency::{IDEMPOTENCY_REPLAYED, key};
use super::{bytes_of, is_json};
use crate::auth::Caller;
use crate::problem::{Code, Problem};
use crate::state::ApiState;

const HEADER: &str = "Idempotency-Key";

/// In bytes, of an answer that is kept: the longest is a definition that was sent, or an output of a tool, with what belongs to it. What is
/// longer is sent, and not kept.
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Operations that do nothing, so that nothing is done twice.
const WITHOUT_EFFECT: [&str; 3] = ["validateWorkflow", "testWorkflow", "renderPromptTemplate"];

/// The operations whose repeated requests are answered here, by their path.
#[derive(Debug, Clone)]
pub(crate) struct OncePaths(Arc<HashSet<String>>);

impl OncePaths {
    /// Those that the document does not say more of.
    pub(crate) fn of(document: &OpenApi) -> Self {
        let posts = document.paths.paths.iter().filter_map(|(path, item)| Some((path, item.post.as_ref()?)));
        Self(Arc::new(posts.filter(|(_, post)| documents_ours(post)).map(|(path, _)| path.clone()).collect()))
    }
}

/// Adds the header to an operation that does not know it itself. What is uploaded is known by its digest, and too long to be read twice.
pub(crate) fn describe(operation: &mut Operation) {
    let takes_json = match &operation.request_body {
        Some(RefOr::T(body)) => body.content.keys().all(|media_type| media_type == "application/json"),
        // The document refers to none.
        Some(RefOr::Ref(_)) | None => true,
    };
    let does_nothing = operation.operation_id.as_deref().is_some_and(|id| WITHOUT_EFFECT.contains(&id));
    if parameter(operation).is_none() && takes_json && !does_nothing {
        operation.parameters.get_or_insert_default().push(RefOr::T(ours()));
    }
}

fn ours() -> Parameter {
    let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(255));
    ParameterBuilder::new()
        .name(HEADER)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(DESCRIPTION))
        .schema(Some(text))
        .build()
}

const DESCRIPTION: &str = "The same request with the same key is answered for 24 hours as the first one was, with \
    `Idempotency-Replayed: true`, and does nothing more. 1 to 255 visible ASCII characters; also as `X-Idempotency-Key`.";

fn parameter(operation: &Operation) -> Option<&Parameter> {
    operation.parameters.iter().flatten().find_map(|one| match one {
        RefOr::T(parameter) if parameter.name == HEADER => Some(parameter),
        RefOr::T(_) | RefOr::Ref(_) => None,
    })
}

fn documents_ours(operation: &Operation) -> bool {
    parameter(operation).is_some_and(|one| one.description.as_deref() == Some(DESCRIPTION))
}

/// An answer, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// The layer around the operations.
pub(crate) async fn answer_once(
    State((state, paths)): State<(ApiState, OncePaths)>,
    path: MatchedPath,
    caller: Caller,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if request.method() != Method::POST || !paths.0.contains(path.as_str()) {
        return Ok(next.run(request).await);
    }
    let Some(key) = key(request.headers())? else { return Ok(next.run(request).await) };
    let (parts, body) = request.into_parts();
    let bytes = bytes_of(body).await?;
    // What the server understands as the same is the same, however it is written.
    let asked = serde_json::from_slice(&bytes).ok().filter(|_| is_json(&parts.headers)).map_or_else(
        || Bytes::copy_from_slice(&bytes),
        |mut asked: Value| {
            asked.sort_all_objects();
            Bytes::from(asked.to_string())
        },
    );
    let target = parts.uri.path_and_query().map_or_else(|| parts.uri.path(), |target| target.as_str());
    let once = Once {
        engine: state.engine.clone(),
        workspace: caller.workspace,
        // Each caller's keys are their own.
        key: digest_of(&[caller.subject.as_bytes(), caller.role.as_str().as_bytes(), key.as_bytes()]),
        digest: digest_of(&[target.as_bytes(), &asked]),
    };
    let request = Request::from_parts(parts, Body::from(bytes));
    // In a task of its own: a caller that hangs up must not leave a key without its request, or what was done without its answer.
    let work = once.answer(request, next).instrument(Span::current());
    tokio::spawn(work).await.unwrap_or_else(|_| Err(Problem::internal_without_cause()))
}

/// A request with a key.
struct Once {
    engine: Engine,
    workspace: WorkspaceId,
    key: String,
    digest: String,
}

/// What becomes of the key of a request that was answered.
#[derive(Debug, PartialEq, Eq)]
enum Then {
    /// The answer is given again to whoever repeats the request.
    Keep,
    /// It did nothing, and may be made again.
    GiveBack,
    /// It may have done something, and must not do it again.
    Nothing,
}

impl Once {
    async fn answer(self, request: Request, next: Next) -> Result<Response, Problem> {
        match self.engine.begin_request(self.workspace, &self.key, &self.digest).await? {
            Repeat::First => Ok(self.carry_out(request, next).await),
            Repeat::Answered(answer) => replayed(&answer),
            Repeat::Unsettled => {
                let detail = "A request with this idempotency key is worked on, or ended without an answer that is known: whether it took \
                    place is not known then. Ask again in a moment; if that does not help, look for what it was to do, and use another key.";
                Err(Problem::new(Code::IdempotencyUnsettled, detail))
            }
            Repeat::Other => {
                Err(Problem::new(Code::IdempotencyKeyReused, "This idempotency key was used for another request."))
            }
        }
    }

    async fn carry_out(&self, request: Request, next: Next) -> Response {
        let response = next.run(request).await;
        let settled = match then(&response) {
            Then::Keep => return self.keep(response).await,
            Then::GiveBack => self.engine.give_key_back(self.workspace, &self.key).await,
            Then::Nothing => Ok(()),
        };
        if let Err(error) = settled {
            warn!("An idempotency key whose request did nothing could not be given back: {error}");
        }
        response
    }

    async fn keep(&self, response: Response) -> Response {
        if response.body().size_hint().upper().is_none_or(|bytes| bytes > ANSWER_BYTES_MAX) {
            warn!("An answer is too long to be kept for those who repeat its request");
            return response;
        }
        let (parts, body) = response.into_parts();
        let body = match to_bytes(body, ANSWER_BYTES_MAX as usize).await {
            Ok(body) => body,
            Err(error) => return Problem::internal(&error).into_response(),
        };
        let text =
            |(name, value): (&HeaderName, &HeaderValue)| Some((name.to_string(), value.to_str().ok()?.to_owned()));
        let kept = Kept {
            status: parts.status.as_u16(),
            headers: parts.headers.iter().filter_map(text).collect(),
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        // Strings and numbers always serialise.
        let kept = serde_json::to_string(&kept).unwrap_or_default();
        if let Err(error) = self.engine.keep_answer(self.workspace, &self.key, &kept).await {
            warn!("An answer could not be kept for those who repeat its request: {error}");
        }
        Response::from_parts(parts, Body::from(body))
    }
}

/// A server that failed, or whose database went away, may have done what it was asked for; a tool that failed was called.
fn then(response: &Response) -> Then {
    let code = response.extensions().get::<Problem>().map(Problem::code);
    match code {
        _ if response.status().is_success() => Then::Keep,
        Some(Code::ToolFailed | Code::ToolUnavailable) => Then::Keep,
        Some(Code::ServerUnavailable | Code::PluginBusy | Code::PluginAbsent) => Then::GiveBack,
        _ if response.status().is_client_error() => Then::GiveBack,
        _ => Then::Nothing,
    }
}

fn replayed(kept: &str) -> Result<Response, Problem> {
    let Kept { status, headers, body } = serde_json::from_str(kept).map_err(|error| Problem::internal(&error))?;
    let status = StatusCode::from_u16(status).map_err(|error| Problem::internal(&error))?;
    let mut response = (status, body).into_response();
    response.headers_mut().clear();
    for (name, value) in headers {
        // They were headers when they were kept.
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse()) {
            response.headers_mut().append(name, value);
        }
    }
    response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

fn digest_of(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
