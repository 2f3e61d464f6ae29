//! The agents of a campaign: they write each call to a file before they answer, take their time, and fail at random.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::history::Call;
use crate::now;

/// How often an agent that could answer does not.
const FAILS_PERCENT: u32 = 8;
/// How often it takes long.
const SLOW_PERCENT: u32 = 4;
/// The longest of most answers, and of the slow ones.
const DELAY_MILLIS_MAX: (u64, u64) = (80, 1_500);

/// An agent on a loopback port.
pub(crate) struct Agents {
    endpoint: String,
    log: PathBuf,
}

struct Shared {
    log: Mutex<File>,
    chance: Mutex<StdRng>,
    /// Runs that were told `no` once.
    refused: Mutex<BTreeSet<String>>,
}

impl Agents {
    pub(crate) async fn start(folder: &Path, seed: u64) -> Self {
        let log = folder.join("agents.log");
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let chance = Mutex::new(StdRng::seed_from_u64(seed));
        let shared = Arc::new(Shared { log: Mutex::new(file), chance, refused: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/v1", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(shared);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { endpoint, log }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Every call so far, in the order in which they came.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let text = std::fs::read_to_string(&self.log).unwrap();
        let call = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            Call {
                at: line["at"].as_i64().unwrap(),
                run: line["run"].as_str().unwrap().to_owned(),
                step: line["step"].as_str().unwrap().to_owned(),
                visit: line["visit"].as_str().unwrap().parse().unwrap(),
                attempt: line["attempt"].as_str().unwrap().parse().unwrap(),
            }
        };
        text.lines().map(call).collect()
    }
}

/// `double N` is answered with an object of twice that, `heal N` likewise but for the first time in a run, `fail` never.
async fn answer(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let told = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let line = json!({
        "at": now(), "key": told("idempotency-key"), "run": told("x-armilla-run"), "step": told("x-armilla-step"),
        "visit": told("x-armilla-visit"), "attempt": told("x-armilla-attempt"),
    });
    shared.log.lock().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    let (fails, delay) = {
        let mut chance = shared.chance.lock().unwrap();
        let slow = chance.random_range(0..100) < SLOW_PERCENT;
        let most = if slow { DELAY_MILLIS_MAX.1 } else { DELAY_MILLIS_MAX.0 };
        (chance.random_range(0..100) < FAILS_PERCENT, chance.random_range(0..most))
    };
    tokio::time::sleep(Duration::from_millis(delay)).await;
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let messages = body["messages"].as_array().cloned().unwrap_or_default();
    let message = messages.last().and_then(|message| message["content"].as_str()).unwrap_or_default();
    let json = [(header::CONTENT_TYPE, "application/json")];
    if message.starts_with("heal ") && !fails && shared.refused.lock().unwrap().insert(told("x-armilla-run")) {
        return (StatusCode::BAD_REQUEST, json, json!({ "error": { "message": "no" } }).to_string()).into_response();
    }
    let number = message
        .strip_prefix("double ")
        .or(message.strip_prefix("heal "))
        .and_then(|text| text.trim().parse::<i64>().ok());
    let Some(number) = number.filter(|_| !fails) else {
        let status = if fails { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR };
        return (status, json, json!({ "error": { "message": "not now" } }).to_string()).into_response();
    };
    let content = json!({ "value": number * 2 }).to_string();
    let message = json!({ "role": "assistant", "content": content });
    let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
    let answer = json!({ "id": "c", "object": "chat.completion", "created": 0, "model": "fake", "choices": [choice] });
    (StatusCode::OK, json, answer.to_string()).into_response()
}
