//! What happens to every request, whatever its route: its id, its log line, its bounds.

mod body;
mod idempotency;
mod if_match;
pub(crate) mod once;
mod path;
mod query;
mod unread;

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

pub use self::body::{BODY_BYTES_MAX, JSON_DEPTH_MAX, JsonBody, OptionalJsonBody};
pub(crate) use self::body::{SoundBody, any_json, bytes_of, is_json};
pub(crate) use self::idempotency::{IDEMPOTENCY_REPLAYED, IdempotencyKey};
pub(crate) use self::if_match::IfMatch;
pub(crate) use self::path::{PathBetween, PathNumbered};
pub use self::path::{PathText, Query};
pub(crate) use self::query::{QueryNames, refuse_unknown_queries};
pub(crate) use self::unread::read_what_is_left;
use crate::problem::{Code, Problem};
use crate::state::ApiState;

/// A caller's own request id may be a UUID, a trace id or a path of hops; it is written into every log line.
pub(crate) const REQUEST_ID_BYTES_MAX: usize = 128;

/// Longer than the longest wait for a run, so that it only ends what hangs.
pub const REQUEST_DURATION_MAX: Duration = Duration::from_secs(330);

/// A log line shows where a request went, not all that somebody wrote into its path.
const LOGGED_PATH_CHARS_MAX: usize = 200;

/// Where inbound hooks are called.
const HOOKS: &str = "/hooks/";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a request is called in its answer and in every log line: the caller's `X-Request-ID`, or one of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The caller's, where it is one that can be written anywhere without a second thought.
    fn taken(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(REQUEST_ID)?.to_str().ok()?;
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte);
        let fits = (1..=REQUEST_ID_BYTES_MAX).contains(&text.len());
        (fits && text.bytes().all(harmless)).then(|| Self(text.into()))
    }

    fn made(state: &ApiState) -> Self {
        let millis = u64::try_from(state.clock.now().timestamp_millis()).unwrap_or_default();
        let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &state.chance.bytes()).into_uuid();
        Self(format!("req_{}", uuid.simple()).into())
    }
}

/// A W3C `traceparent` that has been found well-formed, in the spelling of version 00.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceParent(Arc<str>);

impl TraceParent {
    /// The header's value, to be passed on.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    // Trace Context level 1, section 3.2. A later version may be longer and is read as far as version 00 goes.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hex =
            |part: &str, len: usize| part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let zero = |part: &str| part.bytes().all(|b| b == b'0');
        let well_formed = hex(version, 2) && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
        if !well_formed || version == "ff" || zero(trace) || zero(parent) || (version == "00" && parts.next().is_some())
        {
            return None;
        }
        Some(Self(format!("00-{trace}-{parent}-{flags}").into()))
    }
}

/// The outermost layer: names the request, tells its end in the log, and writes the id into the answer.
pub(crate) async fn identify(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = RequestId::taken(request.headers()).unwrap_or_else(|| RequestId::made(&state));
    request.extensions_mut().insert(id.clone());
    let traceparent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    if let Some(traceparent) = traceparent.and_then(TraceParent::parse) {
        request.extensions_mut().insert(traceparent);
    }
    let method = request.method().clone();
    let path = logged_path(request.uri().path());

    let span = tracing::info_span!("request", request.id = %id.as_str());
    async move {
        let mut response = next.run(request).await;
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            // Its length changes with the id in it.
            response.headers_mut().remove(CONTENT_LENGTH);
            *response.body_mut() = problem.body(Some(&id));
        }
        let headers = response.headers_mut();
        if let Ok(value) = HeaderValue::from_str(id.as_str()) {
            headers.insert(REQUEST_ID, value);
        }
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));

        let status = response.status().as_u16();
        let duration_ms = started.elapsed().as_millis();
        // Probes come every few seconds, for ever.
        if matches!(path.as_str(), "/healthz" | "/readyz") && status < 400 {
            tracing::debug!(http.method = %method, http.path = path, http.status = status, duration_ms, "{method} {path} answered {status}");
        } else {
            tracing::info!(http.method = %method, http.path = path, http.status = status, duration_ms, "{method} {path} answered {status}");
        }
        response
    }
    .instrument(span)
    .await
}

/// What the log shows of a path. What stands behind `/hooks/` is a secret: whoever has it may call the hook.
fn logged_path(path: &str) -> String {
    match path.strip_prefix(HOOKS) {
        Some(_) => format!("{HOOKS}…"),
        None => path.chars().take(LOGGED_PATH_CHARS_MAX).flat_map(char::escape_default).collect(),
    }
}

/// Ends what hangs before it answers. An answer that is a stream may last longer.
pub(crate) async fn bound_duration(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_DURATION_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = format!("The server did not answer within {} seconds.", REQUEST_DURATION_MAX.as_secs());
            Problem::new(Code::ServerTimeout, detail).into_response()
        }
    }
}

/// What a handler's panic becomes: one log line and a problem, and the server goes on.
pub(crate) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    tracing::error!(panic = text, "A handler panicked");
    Problem::internal_without_cause().into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_shows_where_a_request_went_and_no_token_of_a_hook() {
        assert_eq!(logged_path("/runs/a\nb"), "/runs/a\\nb");
        assert_eq!(logged_path("/hooks/hk_secret"), "/hooks/…");
        assert_eq!(logged_path("/hooks/hk_secret/more"), "/hooks/…");
    }

    #[test]
    fn a_well_formed_traceparent_is_taken_and_others_are_not() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(TraceParent::parse(good).map(|t| t.as_str().to_owned()), Some(good.to_owned()));
        let later = TraceParent::parse("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-follows");
        assert_eq!(later.map(|t| t.as_str().to_owned()), Some(good.to_owned()));
        for bad in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        ] {
            assert_eq!(TraceParent::parse(bad), None, "{bad}");
        }
    }
}
