//! A real HTTP server that answers chat completions as a test scripts them, and remembers what it was asked.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Barrier, watch};
use tokio::task::JoinHandle;

/// How long a test waits for a call before it fails: long enough for a busy machine, short enough to be noticed.
pub const CALL_WAIT_MAX: Duration = Duration::from_secs(20);

/// An agent on a loopback port. It answers `ok` wherever nothing else was scripted, and stops when it is dropped.
pub struct ScriptedAgent {
    address: SocketAddr,
    script: Arc<Script>,
    server: JoinHandle<()>,
}

/// One request that came.
#[derive(Debug, Clone)]
pub struct Call {
    /// Path and query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as JSON; null where it is not JSON.
    pub body: Value,
}

/// One answer to give.
#[derive(Debug, Clone)]
pub struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Body,
    gate: Option<Gate>,
}

/// Holds answers back until the test opens it.
#[derive(Debug, Clone)]
pub struct Gate(watch::Sender<bool>);

#[derive(Debug, Clone)]
enum Body {
    Completion(String),
    Raw(Vec<u8>),
    Never,
}

struct Script {
    calls: Mutex<Vec<Call>>,
    called: watch::Sender<usize>,
    hung_up: watch::Sender<usize>,
    answers: Mutex<VecDeque<Answer>>,
    otherwise: Mutex<Answer>,
    barrier: Mutex<Option<Arc<Barrier>>>,
}

impl ScriptedAgent {
    /// Starts an agent.
    ///
    /// # Panics
    /// Where no loopback port can be had.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let address = listener.local_addr().expect("the port's address");
        let script = Arc::new(Script {
            calls: Mutex::default(),
            called: watch::Sender::new(0),
            hung_up: watch::Sender::new(0),
            answers: Mutex::default(),
            otherwise: Mutex::new(Answer::text("ok")),
            barrier: Mutex::default(),
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&script));
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("a server on a bound port");
        });
        Self { address, script, server }
    }

    /// What to register the agent with.
    pub fn endpoint(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Adds an answer to the queue; each call takes one, in the order in which calls come.
    pub fn answers(&self, answer: impl Into<Answer>) {
        locked(&self.script.answers).push_back(answer.into());
    }

    /// What to answer from now on where the queue is empty.
    pub fn answers_otherwise(&self, answer: impl Into<Answer>) {
        *locked(&self.script.otherwise) = answer.into();
    }

    /// From now on answers only when `calls` calls are in flight at the same time, again and again.
    pub fn answers_only_together(&self, calls: usize) {
        *locked(&self.script.barrier) = Some(Arc::new(Barrier::new(calls)));
    }

    /// Every call so far, in the order in which they came.
    pub fn calls(&self) -> Vec<Call> {
        locked(&self.script.calls).clone()
    }

    /// Waits until `calls` calls have come in all, answered or not.
    ///
    /// # Panics
    /// Where they do not come within [`CALL_WAIT_MAX`].
    pub async fn called(&self, calls: usize) {
        let mut seen = self.script.called.subscribe();
        let enough = tokio::time::timeout(CALL_WAIT_MAX, seen.wait_for(|seen| *seen >= calls)).await;
        assert!(enough.is_ok(), "waited for {calls} calls, only {} came", self.calls().len());
    }

    /// Waits until `calls` callers have hung up in all before they were answered.
    ///
    /// # Panics
    /// Where they do not within [`CALL_WAIT_MAX`].
    pub async fn hung_up(&self, calls: usize) {
        let mut seen = self.script.hung_up.subscribe();
        let enough = tokio::time::timeout(CALL_WAIT_MAX, seen.wait_for(|seen| *seen >= calls)).await;
        assert!(enough.is_ok(), "waited for {calls} callers to hang up");
    }
}

/// Tells that a caller hung up, unless it was answered.
struct Unanswered(Option<Arc<Script>>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(script) = &self.0 {
            script.hung_up.send_modify(|seen| *seen += 1);
        }
    }
}

impl Drop for ScriptedAgent {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Call {
    /// A header's text; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// What the user says in a chat completion; empty where there is none.
    pub fn message(&self) -> &str {
        self.said_by("user")
    }

    /// What the system says in a chat completion; empty where there is none.
    pub fn system_prompt(&self) -> &str {
        self.said_by("system")
    }

    fn said_by(&self, role: &str) -> &str {
        let messages = self.body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let said = messages.iter().find(|message| message["role"] == role);
        said.and_then(|message| message["content"].as_str()).unwrap_or_default()
    }
}

impl Answer {
    /// A chat completion whose content is `text`.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(StatusCode::OK, Body::Completion(text.into()))
    }

    /// A chat completion whose content is `value` as JSON text.
    pub fn json(value: &Value) -> Self {
        Self::text(value.to_string())
    }

    /// A chat completion that asks for tools: the id, the name and the arguments of each call.
    pub fn asks_for(calls: &[(&str, &str, Value)]) -> Self {
        let calls = calls.iter().map(|(id, name, arguments)| {
            json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments.to_string() } })
        });
        let message = json!({ "role": "assistant", "content": null, "tool_calls": calls.collect::<Vec<_>>() });
        let body = json!({
            "id": "chatcmpl-tools", "object": "chat.completion", "created": 0, "model": "scripted-1",
            "choices": [{ "index": 0, "message": message, "finish_reason": "tool_calls" }],
            "usage": { "prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13 },
        });
        Self::raw(200, "application/json", body.to_string())
    }

    /// A chat completion in pieces, as server-sent events; the last pieces are the tokens and the end.
    pub fn in_pieces(pieces: &[&str]) -> Self {
        let mut body = String::new();
        let mut add = |chunk: Value| body.push_str(&format!("data: {chunk}\n\n"));
        let chunk = |delta: Value, finish: Value| {
            json!({ "object": "chat.completion.chunk", "model": "scripted-1",
                "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] })
        };
        for piece in pieces {
            add(chunk(json!({ "content": piece }), Value::Null));
        }
        add(chunk(json!({}), json!("stop")));
        add(json!({ "choices": [], "usage": { "prompt_tokens": 7, "completion_tokens": 5 } }));
        body.push_str("data: [DONE]\n\n");
        Self::raw(200, "text/event-stream", body)
    }

    /// An error as the protocol writes it.
    ///
    /// # Panics
    /// Where `status` is not an HTTP status.
    pub fn error(status: u16, message: &str) -> Self {
        let body = json!({ "error": { "message": message, "type": "scripted" } });
        Self::raw(status, "application/json", body.to_string())
    }

    /// Exactly these bytes.
    ///
    /// # Panics
    /// Where `status` is not an HTTP status.
    pub fn raw(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        let status = StatusCode::from_u16(status).expect("an HTTP status");
        Self::new(status, Body::Raw(body.into())).header("content-type", content_type)
    }

    /// No answer: the call is taken and never ends.
    pub fn never() -> Self {
        Self::new(StatusCode::OK, Body::Never)
    }

    /// The answer with one more header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    /// The answer, held back until `gate` opens.
    #[must_use]
    pub fn behind(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    fn new(status: StatusCode, body: Body) -> Self {
        Self { status, headers: HeaderMap::new(), body, gate: None }
    }
}

impl From<&str> for Answer {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl Gate {
    /// A closed gate.
    pub fn closed() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Lets everything through that waits or will come.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    async fn pass(&self) {
        // Fails only without a sender, and `self` is one.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

async fn answer(State(script): State<Arc<Script>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let (number, answer) = {
        let mut calls = locked(&script.calls);
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        calls.push(Call { path: uri.to_string(), headers, body });
        let queued = locked(&script.answers).pop_front();
        (calls.len(), queued.unwrap_or_else(|| locked(&script.otherwise).clone()))
    };
    script.called.send_modify(|seen| *seen = number.max(*seen));
    let mut unanswered = Unanswered(Some(Arc::clone(&script)));

    let barrier = locked(&script.barrier).clone();
    if let Some(barrier) = barrier {
        barrier.wait().await;
    }
    if let Some(gate) = &answer.gate {
        gate.pass().await;
    }
    if !matches!(answer.body, Body::Never) {
        unanswered.0 = None;
    }
    match answer.body {
        Body::Completion(text) => {
            let json = [(header::CONTENT_TYPE, "application/json")];
            (answer.status, json, answer.headers, completion(number, &text)).into_response()
        }
        Body::Raw(bytes) => (answer.status, answer.headers, bytes).into_response(),
        Body::Never => std::future::pending().await,
    }
}

fn completion(number: usize, text: &str) -> String {
    json!({
        "id": format!("chatcmpl-{number}"),
        "object": "chat.completion",
        "created": 0,
        "model": "scripted-1",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12 },
    })
    .to_string()
}

/// A test that panicked elsewhere has failed already; what it leaves behind is still good to read.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn a_gate_holds_one_answer_back_and_no_other() {
        let agent = ScriptedAgent::start().await;
        let gate = Gate::closed();
        agent.answers(Answer::text("late").behind(&gate));
        agent.answers("early");

        let late = tokio::spawn(ask(agent.address));
        agent.called(1).await;
        assert!(ask(agent.address).await.contains("early"));
        assert!(!late.is_finished());
        gate.open();

        assert!(late.await.unwrap().contains("late"));
        assert!(ask(agent.address).await.contains("ok"));
        assert_eq!(agent.calls().len(), 3);
        assert_eq!(agent.calls()[0].message(), "hi");
    }

    async fn ask(address: SocketAddr) -> String {
        let body = json!({ "messages": [{ "role": "user", "content": "hi" }] }).to_string();
        let mut connection = TcpStream::connect(address).await.unwrap();
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        connection.write_all((head + &body).as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        answer
    }
}
