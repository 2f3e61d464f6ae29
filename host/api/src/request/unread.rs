//! Answers that come before the body was read: the token was none, there is no such route, it is asked too often.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Error;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::{CONNECTION, EXPECT};
use axum::http::{HeaderValue, Version};
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Frame, SizeHint};

/// Bytes of a body nobody wants that are read all the same: more cost more than another connection.
const READ_IN_VAIN_BYTES_MAX: u64 = 256 * 1024;
/// How long that may take.
const READ_IN_VAIN_MAX: Duration = Duration::from_secs(1);

/// Reads what the answer did not need, so that the connection serves for the next request. Where that is too much, the answer says that the
/// connection ends (RFC 9112, section 9.6): a client that sends on would find it broken, and never see why.
pub(crate) async fn read_what_is_left(request: Request, next: Next) -> Response {
    // HTTP/2 ends a request without the others of its connection.
    if request.version() >= Version::HTTP_2 || request.body().is_end_stream() {
        return next.run(request).await;
    }
    // Who asks first whether to send it (RFC 9110, section 10.1.1) would be told to by our reading.
    let asks_first = request.headers().contains_key(EXPECT);
    let (parts, body) = request.into_parts();
    let left = Shared(Arc::new(Mutex::new(body)));
    let mut response = next.run(Request::from_parts(parts, Body::new(left.clone()))).await;
    let ended = left.is_end_stream()
        || (!asks_first && tokio::time::timeout(READ_IN_VAIN_MAX, left.read_to_its_end()).await == Ok(true));
    if !ended {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A body that outlives whoever reads it.
#[derive(Clone)]
struct Shared(Arc<Mutex<Body>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there was an end within bounds.
    async fn read_to_its_end(mut self) -> bool {
        let mut room = READ_IN_VAIN_BYTES_MAX;
        loop {
            if self.is_end_stream() {
                return true;
            }
            if self.size_hint().lower() > room {
                return false;
            }
            match std::future::poll_fn(|context| Pin::new(&mut self).poll_frame(context)).await {
                None => return true,
                Some(Err(_)) => return false,
                Some(Ok(frame)) => {
                    let Some(left) = room.checked_sub(frame.data_ref().map_or(0, |data| data.len() as u64)) else {
                        return false;
                    };
                    room = left;
                }
            }
        }
    }
}

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut *self.lock()).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().size_hint()
    }
}
