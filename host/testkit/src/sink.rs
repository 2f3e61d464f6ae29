//! A real HTTP server that webhooks are sent to: it answers as a test scripts it, and remembers what came.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a test waits for something to come before it fails: long enough for a busy machine, short enough to be noticed.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// A receiver on a loopback port. It takes everything with 204 wherever nothing else was scripted, and stops when it is dropped.
pub struct WebhookSink {
    address: SocketAddr,
    script: Arc<Script>,
    server: JoinHandle<()>,
}

/// One request that came.
#[derive(Debug, Clone)]
pub struct Received {
    /// Path and query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, to the byte.
    pub body: Vec<u8>,
    /// How many requests were under way when it came, itself included.
    pub under_way: usize,
}

/// One answer to give.
#[derive(Debug, Clone)]
pub struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: ReplyBody,
    after: Duration,
}

#[derive(Debug, Clone)]
enum ReplyBody {
    Whole(Vec<u8>),
    /// One byte now and then, without an end.
    Dripping,
    /// Not even a head.
    Never,
}

struct Script {
    received: Mutex<Vec<Received>>,
    count: watch::Sender<usize>,
    under_way: Mutex<usize>,
    replies: Mutex<VecDeque<Reply>>,
    otherwise: Mutex<Reply>,
}

impl From<u16> for Reply {
    fn from(status: u16) -> Self {
        let status = StatusCode::from_u16(status).expect("a status");
        Self { status, headers: HeaderMap::new(), body: ReplyBody::Whole(Vec::new()), after: Duration::ZERO }
    }
}

impl Reply {
    /// With one header more.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("a header's value");
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = ReplyBody::Whole(body.into());
        self
    }

    /// Given only after a while.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.after = wait;
        self
    }

    /// 200, and then a byte now and then for ever.
    pub fn dripping() -> Self {
        Self { body: ReplyBody::Dripping, ..Self::from(200) }
    }

    /// None at all: the connection stays open.
    pub fn never() -> Self {
        Self { body: ReplyBody::Never, ..Self::from(200) }
    }
}

impl Received {
    /// A header as text; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl WebhookSink {
    /// Starts a receiver.
    ///
    /// # Panics
    /// Where no loopback port can be had.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let address = listener.local_addr().expect("the port's address");
        let script = Arc::new(Script {
            received: Mutex::default(),
            count: watch::Sender::new(0),
            under_way: Mutex::default(),
            replies: Mutex::default(),
            otherwise: Mutex::new(Reply::from(204)),
        });
        let router = Router::new().fallback(receive).with_state(Arc::clone(&script));
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("a server on a bound port");
        });
        Self { address, script, server }
    }

    /// Where to send.
    pub fn url(&self) -> String {
        format!("http://{}/in", self.address)
    }

    /// Adds an answer to the queue; each request takes one.
    pub fn replies(&self, reply: impl Into<Reply>) {
        locked(&self.script.replies).push_back(reply.into());
    }

    /// What to answer from now on where the queue is empty.
    pub fn replies_otherwise(&self, reply: impl Into<Reply>) {
        *locked(&self.script.otherwise) = reply.into();
    }

    /// Every request so far, in the order in which they came.
    pub fn received(&self) -> Vec<Received> {
        locked(&self.script.received).clone()
    }

    /// Waits until `count` requests have come in all, and gives them.
    ///
    /// # Panics
    /// Where they do not come in time.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        let mut seen = self.script.count.subscribe();
        let enough = tokio::time::timeout(WAIT_MAX, seen.wait_for(|seen| *seen >= count)).await.is_ok();
        assert!(enough, "waited for {count} requests, only {} came", self.received().len());
        self.received()
    }
}

impl Drop for WebhookSink {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Counts a request as under way until it is answered, or its sender has hung up.
struct UnderWay(Arc<Script>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        *locked(&self.0.under_way) -= 1;
    }
}

async fn receive(State(script): State<Arc<Script>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let under_way = {
        let mut under_way = locked(&script.under_way);
        *under_way += 1;
        *under_way
    };
    let _counted = UnderWay(Arc::clone(&script));
    let reply = locked(&script.replies).pop_front().unwrap_or_else(|| locked(&script.otherwise).clone());
    let received = Received { path: uri.to_string(), headers, body: body.to_vec(), under_way };
    locked(&script.received).push(received);
    script.count.send_modify(|count| *count += 1);

    tokio::time::sleep(reply.after).await;
    let body = match reply.body {
        ReplyBody::Whole(bytes) => Body::from(bytes),
        ReplyBody::Dripping => Body::from_stream(drops()),
        ReplyBody::Never => std::future::pending().await,
    };
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}

fn drops() -> impl futures::Stream<Item = Result<Bytes, std::convert::Infallible>> {
    futures::stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Some((Ok(Bytes::from_static(b".")), ()))
    })
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
