//! The signals that end the program.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

/// SIGTERM and ^C. The first asks for a clean end, the second for an end.
pub(crate) struct Ending {
    terminate: Signal,
    interrupt: Signal,
}

impl Ending {
    /// From now on neither ends the program by itself.
    pub(crate) fn watch() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Returns with the first signal; a second one ends the program at once, and what runs is resumed at the next start.
    pub(crate) async fn asked(mut self) {
        self.next().await;
        info!("Stopping: running steps may end, the rest is resumed at the next start");
        tokio::spawn(async move {
            self.next().await;
            warn!("Stopped at once");
            std::process::exit(130);
        });
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
