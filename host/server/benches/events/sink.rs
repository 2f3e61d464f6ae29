//! A receiver of deliveries: it notes when each came, and answers at once, or never where its path says so.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use armilla_engine::{Clock, SystemClock};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// An event's id, and when it came, in microseconds since 1970.
pub(crate) type Receipt = (String, i64);

#[derive(Clone)]
struct Shared {
    receipts: Arc<Mutex<Vec<Receipt>>>,
    count: Arc<watch::Sender<usize>>,
}

pub(crate) struct Sink {
    address: SocketAddr,
    shared: Shared,
    server: JoinHandle<()>,
}

impl Sink {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared { receipts: Arc::default(), count: Arc::new(watch::Sender::new(0)) };
        let router = Router::new().fallback(receive).with_state(shared.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared, server }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Waits until so many have come.
    pub(crate) async fn received(&self, count: usize, patience: Duration) {
        let mut seen = self.shared.count.subscribe();
        let enough = tokio::time::timeout(patience, seen.wait_for(|seen| *seen >= count)).await;
        assert!(enough.is_ok(), "waited for {count} deliveries, {} came", self.shared.receipts.lock().unwrap().len());
    }

    /// All that came.
    pub(crate) fn receipts(&self) -> Vec<Receipt> {
        self.shared.receipts.lock().unwrap().clone()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn receive(State(shared): State<Shared>, uri: Uri, headers: HeaderMap, _: Bytes) -> StatusCode {
    if uri.path() == "/hang" {
        return std::future::pending().await;
    }
    let at = now();
    let id = headers["webhook-id"].to_str().unwrap().to_owned();
    let count = {
        let mut receipts = shared.receipts.lock().unwrap();
        receipts.push((id, at));
        receipts.len()
    };
    shared.count.send_replace(count);
    StatusCode::NO_CONTENT
}

/// The time of the clock that Postgres reads too, to the millisecond.
fn now() -> i64 {
    SystemClock.now().timestamp_micros()
}
