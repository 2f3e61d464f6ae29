//! Serves the router on a listener, with bounds on what a connection may cost.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use crate::routes::router;
use crate::state::ApiState;

/// Connections at once; more wait to be accepted. Each costs some tens of KiB, and a file of which a process often has 1,024.
pub const CONNECTIONS_MAX: usize = 768;
/// How long the head of a request may take to arrive, from the first moment of the connection on.
pub const HEAD_READ_MAX: Duration = Duration::from_secs(15);
/// How long to rest when no connection can be accepted, mostly for want of files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers requests until `shutdown` is done, and then those that are under way.
///
/// # Errors
/// Where the listener is none any more.
pub async fn serve(
    listener: TcpListener,
    state: ApiState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_READ_MAX);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_READ_MAX);
    let service = TowerToHyperService::new(router(state));
    let open = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = async {
            let place = Arc::clone(&room).acquire_owned().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((accept(&listener).await, place))
        };
        let (stream, place) = tokio::select! {
            accepted = accepted => accepted?,
            () = &mut shutdown => break,
        };
        let connection = builder.serve_connection(TokioIo::new(stream), service.clone()).into_owned();
        let connection = open.watch(connection);
        tokio::spawn(async move {
            // A client that breaks off is nobody's fault here.
            if let Err(error) = connection.await {
                debug!("A connection ended early: {error}");
            }
            drop(place);
        });
    }
    drop(listener);
    open.shutdown().await;
    Ok(())
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are small and written whole.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            Err(error) => {
                warn!("No connection can be accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
