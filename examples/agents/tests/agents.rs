//! The example agents, over HTTP.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use armilla_egress::{Egress, EgressPolicy, HeaderMap, Method, OutboundAnswer, OutboundRequest};
use armilla_example_agents::{AGENTS, REQUEST_BYTES_MAX, serve};
use armilla_testkit::peer::PeerKit;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

#[tokio::test]
async fn a_chain_of_agents_takes_a_topic_to_a_published_article() {
    let agents = start(Duration::ZERO).await;
    let notes = agents.say("/research", "Research tidal power").await;
    let draft = agents.say("/writer", &format!("Write article using: {notes}")).await;
    let review: Value = serde_json::from_str(&agents.say("/review", &format!("Review: {draft}")).await).unwrap();
    assert_eq!(review["approved"], true);
    let receipt = agents.say("/ops", &format!("Publish: {draft}")).await;
    assert!(receipt.starts_with("Published as \"Tidal power\" ("), "{receipt}");
}

#[tokio::test]
async fn the_same_message_gets_the_same_answer() {
    let agents = start(Duration::ZERO).await;
    for agent in AGENTS {
        assert_eq!(agents.say(agent.path, "Review: a text").await, agents.say(agent.path, "Review: a text").await);
    }
}

#[tokio::test]
async fn an_answer_is_a_chat_completion_with_its_usage() {
    let agents = start(Duration::ZERO).await;
    let request = json!({ "messages": [
        { "role": "system", "content": "You research." },
        { "role": "user", "content": "Research tidal power" },
    ] });
    let answer = agents.post("/research", request.to_string().into_bytes()).await;
    assert_eq!(answer.status, 200);
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "example-research");
    assert_eq!(body["usage"]["prompt_tokens"], 5);
}

#[tokio::test]
async fn the_official_client_of_openai_reads_the_answers_and_the_refusals() {
    let Some(kit) = PeerKit::named("openai").await else { return };
    let agents = start(Duration::ZERO).await;
    let mut client = kit.python(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/official_client.py"));
    let output = client.arg(format!("http://{}/research", agents.address)).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let got: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&got["object"], &got["model"]), (&json!("chat.completion"), &json!("example-research")));
    assert_eq!((&got["finish"], &got["tokens"]), (&json!("stop"), &json!(0)));
    assert_eq!(got["text"], agents.say("/research", "Research tidal power").await);
    assert_eq!(got["streamed"], got["text"]);
}

#[tokio::test]
async fn an_answer_takes_the_latency_that_was_asked_for() {
    let latency = Duration::from_millis(40);
    let agents = start(latency).await;
    let started = Instant::now();
    agents.say("/research", "Research tidal power").await;
    assert!(started.elapsed() >= latency);
}

#[tokio::test]
async fn bad_requests_are_refused_with_a_reason() {
    let agents = start(Duration::ZERO).await;
    for (path, body, status, reason) in [
        ("/research", "{", 400, "not a chat completion request"),
        ("/research", r#"{"messages": []}"#, 400, "none of the user"),
        ("/nobody", "{}", 404, "no such agent"),
        ("/a/b", "{}", 404, "nothing here"),
    ] {
        let answer = agents.post(path, body.into()).await;
        let problem: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer.status, status, "{path} {body}");
        assert!(problem["error"]["message"].as_str().unwrap().contains(reason), "{problem}");
    }
    let huge = vec![b' '; REQUEST_BYTES_MAX + 1];
    assert_eq!(agents.post("/research", huge).await.status, 413);
}

#[tokio::test]
async fn the_front_page_lists_the_agents() {
    let agents = start(Duration::ZERO).await;
    let answer = agents.send(Method::GET, "/", Vec::new()).await;
    let page: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(page["agents"][1], json!({ "id": "writer-agent", "path": "/writer", "about": AGENTS[1].about }));
}

#[tokio::test]
async fn a_shutdown_lets_the_call_in_flight_finish() {
    let agents = start(Duration::ZERO).await;
    let body = json!({ "messages": [{ "role": "user", "content": "Research tidal power" }] }).to_string();
    let mut call = agents.open_call(body.len()).await;
    // The server asks for the body once it handles the call.
    assert_eq!(read_head(&mut call).await, "HTTP/1.1 100 Continue");

    agents.stop.send(()).unwrap();
    call.write_all(body.as_bytes()).await.unwrap();

    assert_eq!(read_head(&mut call).await, "HTTP/1.1 200 OK");
    agents.ended.await.unwrap();
}

struct Running {
    address: SocketAddr,
    egress: Egress,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<()>,
}

async fn start(latency: Duration) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(async move {
        let shutdown = async move {
            let _ = stopped.await;
        };
        serve(listener, latency, shutdown).await.unwrap();
    });
    let egress = Egress::new(EgressPolicy { allowed: vec!["127.0.0.0/8".parse().unwrap()] }).unwrap();
    Running { address, egress, stop, ended }
}

impl Running {
    async fn say(&self, path: &str, message: &str) -> String {
        let body = json!({ "messages": [{ "role": "user", "content": message }] }).to_string();
        let answer = self.post(path, body.into_bytes()).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        body["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
    }

    /// A connection with the head of a call on it, whose body is held back until the server asks for it.
    async fn open_call(&self, body_bytes: usize) -> TcpStream {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        let head = format!(
            "POST /research/chat/completions HTTP/1.1\r\nhost: agents\r\nexpect: 100-continue\r\n\
             content-length: {body_bytes}\r\n\r\n"
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        connection
    }

    async fn post(&self, path: &str, body: Vec<u8>) -> OutboundAnswer {
        self.send(Method::POST, &format!("{path}/chat/completions"), body).await
    }

    async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> OutboundAnswer {
        let request = OutboundRequest {
            method,
            url: format!("http://{}{path}", self.address),
            headers: HeaderMap::new(),
            body,
            timeout: Duration::from_secs(10),
            answer_bytes_max: 1024 * 1024,
        };
        self.egress.send(request).await.unwrap()
    }
}

/// The first line of the next answer; reads to the end of its head.
async fn read_head(connection: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap().lines().next().unwrap().to_owned()
}
