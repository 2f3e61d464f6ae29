//! An agent that answers at once: what a run costs beside its agents.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use tokio::net::TcpListener;

/// A chat completion with some 200 bytes of text.
const ANSWER: &str = concat!(
    r#"{"id":"chatcmpl-1","object":"chat.completion","created":0,"model":"instant","choices":[{"index":0,"message":"#,
    r#"{"role":"assistant","content":"The armillary sphere shows the circles of the sky as rings: the horizon, the meridian,"#,
    r#" the equator, the tropics and the ecliptic. It was made to teach astronomy and to measure the stars' places."},"#,
    r#""finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":40,"total_tokens":60}}"#,
);

/// Serves it on loopback for as long as the process lives.
pub(crate) async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = async |_: Bytes| ([(CONTENT_TYPE, "application/json")], ANSWER);
    let router = Router::new().route("/chat/completions", post(answer));
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    address
}
