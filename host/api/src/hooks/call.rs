//! Calls of inbound hooks. Whoever knows the URL may make them, so nothing is read of one before it is known to be somebody's.

use std::collections::BTreeMap;
use std::time::Duration;

use armilla_domain::hook::{Call, Respond};
use armilla_domain::id::RunId;
use armilla_domain::run::RunStatus;
use armilla_engine::{FoundHook, HookCallOutcome, HookCallRecord, RunView};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tracing::Instrument;
use url::form_urlencoded;
use utoipa::ToSchema;

use crate::problem::{Code, Problem};
use crate::request::{PathText, TraceParent, any_json, bytes_of, is_json};
use crate::runs::{RUN_WAIT_DEFAULT, RunStatusSchema};
use crate::state::ApiState;

/// Bytes of a call's headers, names and values: what an expression is given to read.
pub(crate) const HOOK_HEADERS_BYTES_MAX: usize = 32 * 1024;

const RUN: &str = "x-armilla-run";

/// What became of a call.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HookCallResponse {
    /// `started`, `repeated` where an earlier call of the same delivery started the run, `ignored` where the hook is not for it.
    #[schema(example = "started")]
    pub outcome: &'static str,
    /// The run; null where there is none.
    #[schema(required = true, value_type = Option<String>)]
    pub run_id: Option<RunId>,
    /// What the run is doing, or how it ended; null where there is none.
    #[schema(required = true, value_type = Option<RunStatusSchema>)]
    pub status: Option<RunStatus>,
}

/// An answer, with what is kept of it.
struct Answered {
    outcome: &'static str,
    code: Option<Code>,
    run: Option<RunId>,
    response: Response,
}

/// A handler's task panicked, which is logged where it did.
#[derive(Debug, thiserror::Error)]
#[error("the call of a hook panicked")]
struct Panicked;

/// Call an inbound hook
///
/// The token in the path, and where the hook says so the call's signature, take the place of a bearer token. JSON, a form or text.
/// The same delivery within a day starts nothing and is answered as the first one. A hook that responds with the `result` answers
/// what the run answers, or a problem where it failed, and 202 where it does not end within 60 seconds.
#[utoipa::path(post, path = "/hooks/{token}", operation_id = "callHook", tag = "inbound hooks",
    params(("token" = String, Path, description = "The hook's token.", example = "hk_5Zk0vR3b…")),
    request_body(content = Value, example = json!({ "action": "opened" })),
    responses(
        (status = 200, description = "What the run answers, of a hook that responds with the result.", body = Value,
            headers(("X-Armilla-Run" = String, description = "The run's id."))),
        (status = 202, description = "The call was accepted.", body = HookCallResponse),
        (status = 401, description = "The call is not signed, wrongly, too long ago, or as another one was.",
            body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "The hook is called more than 600 times a minute, or its workflow has as many runs as it may.",
            body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 502, description = "The run failed, of a hook that responds with the result.",
            body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 504, description = "The run took longer than it may, of a hook that responds with the result.",
            body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn call_hook(
    State(state): State<ApiState>,
    PathText(token): PathText,
    traceparent: Option<Extension<TraceParent>>,
    request: Request,
) -> Result<Response, Problem> {
    let found = state.engine.hook_of_token(&token).await?;
    let traceparent = traceparent.map(|traceparent| traceparent.as_str().to_owned());
    // In a task of its own: of a caller that hangs up it is written down all the same what became of the call.
    let answer = tokio::spawn(answer(state, found, traceparent, request).in_current_span());
    answer.await.map_err(|_| Problem::internal(&Panicked))
}

async fn answer(state: ApiState, found: FoundHook, traceparent: Option<String>, request: Request) -> Response {
    let answered = match take(&state, &found, traceparent, request).await {
        Ok(answered) => answered,
        Err(problem) => {
            let code = Some(problem.code());
            Answered { outcome: "refused", code, run: None, response: problem.into_response() }
        }
    };
    let Answered { outcome, code, run, response } = answered;
    let status = response.status().as_u16();
    state.engine.keep_hook_call(found.id, HookCallRecord { outcome, code: code.map(Code::as_str), run, status }).await;
    response
}

async fn take(
    state: &ApiState,
    found: &FoundHook,
    traceparent: Option<String>,
    request: Request,
) -> Result<Answered, Problem> {
    let (parts, body) = request.into_parts();
    let headers = headers_of(&parts.headers)?;
    let bytes = bytes_of(body).await?;
    let verified = state.engine.verify_hook_call(found, &headers, &bytes).await?;
    let body = body_of(&parts.headers, bytes)?;
    let call = Call { method: parts.method.to_string(), headers, query: query_of(&parts), body };
    let bound = match found.hook.respond {
        Respond::Accepted => Duration::ZERO,
        Respond::Result => RUN_WAIT_DEFAULT,
    };
    let outcome = state.engine.take_hook_call(found, verified, call, traceparent, bound).await;
    match outcome.map_err(|error| Problem::in_document(error, Code::RunInvalidInput, "/input"))? {
        HookCallOutcome::Ignored => {
            let answer = HookCallResponse { outcome: "ignored", run_id: None, status: None };
            let response = (StatusCode::ACCEPTED, Json(answer)).into_response();
            Ok(Answered { outcome: "ignored", code: None, run: None, response })
        }
        HookCallOutcome::Challenged(challenge) => {
            let response = Json(json!({ "challenge": challenge })).into_response();
            Ok(Answered { outcome: "ignored", code: None, run: None, response })
        }
        HookCallOutcome::Run { run, is_repeat } => {
            let outcome = if is_repeat { "repeated" } else { "started" };
            Ok(answered_by(*run, outcome, found.hook.respond))
        }
    }
}

/// What is answered to whoever waited, as long as the hook says.
fn answered_by(run: RunView, outcome: &'static str, respond: Respond) -> Answered {
    let (id, status) = (run.id, run.status);
    let failed = |code: Code| {
        let error = run.error.as_ref().map(|failure| json!({ "code": failure.code }));
        let problem = Problem::new(code, code.title()).with("runId", json!(id)).with("error", json!(error));
        (Some(code), problem.into_response())
    };
    let (code, response) = match (respond, status) {
        (Respond::Result, RunStatus::Success) => (None, Json(run.output).into_response()),
        (Respond::Result, RunStatus::Failed) => failed(Code::HookRunFailed),
        (Respond::Result, RunStatus::TimedOut) => failed(Code::HookRunTimedOut),
        (Respond::Result, RunStatus::Cancelled) => failed(Code::HookRunCancelled),
        _ => {
            let answer = HookCallResponse { outcome, run_id: Some(id), status: Some(status) };
            (None, (StatusCode::ACCEPTED, Json(answer)).into_response())
        }
    };
    let mut response = response;
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(RUN, id);
    }
    Answered { outcome, code, run: Some(id), response }
}

/// The headers by their names in small letters; several of one name as one (RFC 9110 section 5.3).
fn headers_of(headers: &HeaderMap) -> Result<BTreeMap<String, String>, Problem> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > HOOK_HEADERS_BYTES_MAX {
        let detail = format!("The headers have {bytes} bytes; a hook takes {HOOK_HEADERS_BYTES_MAX}.");
        return Err(Problem::new(Code::HeaderInvalid, detail));
    }
    let values = |name| headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let all = headers.keys().map(|name| (name.to_string(), values(name).collect::<Vec<_>>().join(", ")));
    Ok(all.collect())
}

fn query_of(parts: &Parts) -> BTreeMap<String, String> {
    form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect()
}

/// What the body says: JSON and forms where they are called that, else text.
fn body_of(headers: &HeaderMap, bytes: Vec<u8>) -> Result<Value, Problem> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    if is_json(headers) {
        return any_json(&bytes);
    }
    let named = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let named = named.split(';').next().unwrap_or_default().trim();
    if named.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        let fields = form_urlencoded::parse(&bytes).into_owned();
        return Ok(Value::Object(fields.map(|(name, value)| (name, Value::String(value))).collect::<Map<_, _>>()));
    }
    let text = String::from_utf8(bytes);
    text.map(Value::String).map_err(|_| Problem::new(Code::BodyMediaType, "Send JSON, a form, or text in UTF-8."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content_type: &'static str, bytes: &[u8]) -> Result<Value, Code> {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
        body_of(&headers, bytes.to_vec()).map_err(|problem| problem.code())
    }

    #[test]
    fn a_body_is_what_it_is_called() {
        assert_eq!(read("application/json", b"{\"a\":1}"), Ok(json!({ "a": 1 })));
        assert_eq!(read("application/json", b"{"), Err(Code::BodyMalformed));
        assert_eq!(read("application/json", "[".repeat(65).as_bytes()), Err(Code::BodyTooDeep));
        assert_eq!(read("application/x-www-form-urlencoded", b"a=1&b=%2B"), Ok(json!({ "a": "1", "b": "+" })));
        assert_eq!(read("text/plain", b"{\"a\":1}"), Ok(json!("{\"a\":1}")));
        assert_eq!(read("text/plain", b""), Ok(Value::Null));
        assert_eq!(read("application/octet-stream", b"\xff"), Err(Code::BodyMediaType));
    }

    #[test]
    fn headers_of_one_name_are_one_and_all_together_are_bounded() {
        let mut headers = HeaderMap::new();
        headers.append("x-a", HeaderValue::from_static("1"));
        headers.append("x-a", HeaderValue::from_static("2"));
        assert_eq!(headers_of(&headers).unwrap(), BTreeMap::from([("x-a".to_owned(), "1, 2".to_owned())]));
        headers.insert("x-b", HeaderValue::from_str(&"b".repeat(HOOK_HEADERS_BYTES_MAX)).unwrap());
        assert_eq!(headers_of(&headers).unwrap_err().code(), Code::HeaderInvalid);
    }
}
