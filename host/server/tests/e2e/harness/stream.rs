//! Reads server-sent events as any client would.

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

use super::{Client, PATIENCE};

/// A stream of events that is being read.
pub(crate) struct Stream {
    response: Response,
    text: String,
}

/// One event.
#[derive(Debug, Clone)]
pub(crate) struct StreamEvent {
    pub(crate) id: Option<String>,
    pub(crate) kind: String,
    pub(crate) data: Value,
}

impl Stream {
    /// Follows a run, from after the entry of number `after` on where there is one.
    pub(crate) async fn open(client: &Client, run: &str, after: Option<i64>) -> Self {
        let mut request = client.request(Method::GET, &format!("/runs/{run}/events"));
        if let Some(after) = after {
            request = request.header("last-event-id", after.to_string());
        }
        Self::of(request).await
    }

    /// The stream that a request is answered with.
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The next event; none where the stream is over.
    pub(crate) async fn next(&mut self) -> Option<StreamEvent> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let event = read(block);
                self.text = rest.to_owned();
                match event {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("an event in time");
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }

    /// Every event up to the end of the stream.
    pub(crate) async fn rest(mut self) -> Vec<StreamEvent> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

impl StreamEvent {
    /// Its id, where that is the number of an entry.
    pub(crate) fn number(&self) -> Option<i64> {
        self.id.as_ref().map(|id| id.parse().unwrap())
    }
}

/// None where it is a comment.
fn read(block: &str) -> Option<StreamEvent> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let kind = field("event")?.to_owned();
    let id = field("id").map(str::to_owned);
    Some(StreamEvent { id, kind, data: serde_json::from_str(field("data").unwrap()).unwrap() })
}
