//! An agent that answers at once, or keeps everybody waiting until it is told not to.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::watch;

const ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":0,"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":"Yes."},"finish_reason":"stop"}]}"#;

/// Serves it on loopback for as long as the process lives. While `is_open` holds false nobody is answered.
pub(crate) async fn serve(is_open: watch::Receiver<bool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let is_open = Arc::new(is_open);
    let answer = async move |_: Bytes| {
        let mut is_open = (*is_open).clone();
        let _ = is_open.wait_for(|open| *open).await;
        ([(CONTENT_TYPE, "application/json")], ANSWER)
    };
    let router = Router::new().route("/chat/completions", post(answer));
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    address
}
