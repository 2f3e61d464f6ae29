//! Five agents for trying workflows and pipelines out: research, writer, review, ops and summary. No model stands behind them: the same message
//! always gets the same answer. They speak the chat completions protocol over real HTTP, as any agent would.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod reply;

use std::io;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub use reply::MARKER;

/// The same bound that the host puts on an agent's answer.
pub const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// One of the agents.
#[derive(Debug, Clone, Copy)]
pub struct Agent {
    /// The id that the example workflows call it by.
    pub id: &'static str,
    /// Where it is served: its endpoint is `http://HOST:PORT` and this.
    pub path: &'static str,
    /// What it does, for people.
    pub about: &'static str,
    answer: fn(&str) -> String,
}

/// All of them.
pub const AGENTS: [Agent; 5] = [
    Agent { id: "research-agent", path: "/research", about: "collects notes on a topic", answer: reply::research },
    Agent { id: "writer-agent", path: "/writer", about: "writes or revises an article", answer: reply::write },
    Agent { id: "review-agent", path: "/review", about: "judges an article, in JSON", answer: reply::review },
    Agent { id: "ops-agent", path: "/ops", about: "publishes an article", answer: reply::publish },
    Agent { id: "summary-agent", path: "/summary", about: "says in short what a text says", answer: reply::summarize },
];

/// Serves the agents until `shutdown` is done, and then finishes what is in flight. Each answer takes `latency`, as work would.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(
    listener: TcpListener,
    latency: Duration,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = Router::new()
        .route("/", get(index))
        .route("/{agent}/chat/completions", post(complete))
        .fallback(|| async { failed(StatusCode::NOT_FOUND, "there is nothing here; GET / lists the agents") })
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(latency);
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

async fn index() -> Json<Value> {
    let agents = AGENTS.map(|agent| json!({ "id": agent.id, "path": agent.path, "about": agent.about }));
    Json(json!({ "agents": agents, "protocol": "openai" }))
}

async fn complete(State(latency): State<Duration>, Path(name): Path<String>, body: Bytes) -> Response {
    let Some(agent) = AGENTS.iter().find(|agent| agent.path[1..] == name) else {
        return failed(StatusCode::NOT_FOUND, "there is no such agent; GET / lists them");
    };
    let request: Request = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => return failed(StatusCode::BAD_REQUEST, &format!("not a chat completion request: {error}")),
    };
    let Some(said) = request.messages.iter().rfind(|message| message.role == "user") else {
        return failed(StatusCode::BAD_REQUEST, "`messages` holds none of the user");
    };

    tokio::time::sleep(latency).await;
    let text = (agent.answer)(&said.content);
    let read: usize = request.messages.iter().map(|message| words(&message.content)).sum();
    let written = words(&text);
    let id = format!("chatcmpl-{}", reply::fingerprint(&text));
    let model = format!("example-{name}");
    // Words, for want of a tokenizer.
    let usage = json!({ "prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written });
    if request.stream {
        let with_usage = request.stream_options.is_some_and(|options| options.include_usage);
        return in_pieces(&id, &model, &text, with_usage.then_some(&usage));
    }
    Json(json!({
        "id": id,
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
        "usage": usage,
    }))
    .into_response()
}

/// The answer as server-sent events, a word in each.
fn in_pieces(id: &str, model: &str, text: &str, usage: Option<&Value>) -> Response {
    let chunk = |choices: Value, usage: Option<&Value>| {
        let chunk = json!({
            "id": id, "object": "chat.completion.chunk", "created": 0, "model": model, "choices": choices, "usage": usage,
        });
        format!("data: {chunk}\n\n")
    };
    let choice = |delta: Value, finish: Value| json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
    let mut body = chunk(choice(json!({ "role": "assistant", "content": "" }), Value::Null), None);
    for word in text.split_inclusive(char::is_whitespace) {
        body.push_str(&chunk(choice(json!({ "content": word }), Value::Null), None));
    }
    body.push_str(&chunk(choice(json!({}), json!("stop")), None));
    if usage.is_some() {
        body.push_str(&chunk(json!([]), usage));
    }
    body.push_str("data: [DONE]\n\n");
    ([(CONTENT_TYPE, "text/event-stream")], body).into_response()
}

#[derive(Deserialize)]
struct Request {
    messages: Vec<Message>,
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: String,
}

fn failed(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": { "message": message, "type": "invalid_request_error" } }))).into_response()
}

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}
