//! Serves the router on a listener.

use std::io;

use tokio::net::TcpListener;

use crate::routes::router;
use crate::state::ApiState;

/// Answers requests until `shutdown` is done, and then those that are under way.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(
    listener: TcpListener,
    state: ApiState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router(state)).with_graceful_shutdown(shutdown).await
}
