//! The tasks of one host: begun before it serves, ended before its database is closed.

use std::sync::Arc;
use std::time::Duration;

use armilla_store::StoreError;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::{DELIVERIES_KEPT_DAYS, Inner, STOP_GRACE, WebhookError, Webhooks};

/// How often is removed what is over.
const REMOVAL_INTERVAL: Duration = Duration::from_secs(60);
/// Deliveries removed by one statement: some milliseconds of locks.
const REMOVED_AT_ONCE: u32 = 500;

/// What runs in the background.
#[derive(Default)]
pub(crate) struct Tasks {
    pub(crate) stopping: CancellationToken,
    pub(crate) tracker: TaskTracker,
}

impl Webhooks {
    /// Gives up what this host had claimed before it was stopped or killed, and begins to follow events and to send deliveries.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn start(&self) -> Result<(), WebhookError> {
        let inner = &self.inner;
        let released = inner.store.release_deliveries(inner.host_id).await?;
        if released > 0 {
            info!(deliveries = released, "{released} deliveries that this host was at are tried again");
        }
        // The recorder ends with the last that could send it something.
        let (done, ended) = mpsc::unbounded_channel();
        let tracker = &inner.tasks.tracker;
        tracker.spawn(Arc::clone(inner).fan_out_forever());
        tracker.spawn(Arc::clone(inner).dispatch_forever(done));
        tracker.spawn(Arc::clone(inner).record_forever(ended));
        tracker.spawn(Arc::clone(inner).remove_forever());
        tracker.close();
        Ok(())
    }

    /// Begins nothing new, gives deliveries under way [`STOP_GRACE`] to end, and gives up the rest, for another host to send.
    pub async fn stop(&self) {
        let inner = &self.inner;
        inner.tasks.stopping.cancel();
        if tokio::time::timeout(STOP_GRACE, inner.tasks.tracker.wait()).await.is_ok() {
            return;
        }
        if let Err(error) = inner.store.release_deliveries(inner.host_id).await {
            warn!("Deliveries under way could not be given up, and are sent again when their claims end: {error}");
        }
    }
}

impl Inner {
    async fn remove_forever(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(REMOVAL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.tasks.stopping.cancelled() => return,
            }
            if let Err(error) = self.remove_old().await {
                warn!("Old deliveries could not be removed: {error}");
            }
        }
    }

    /// Removes deliveries whose time is over, a few at a time.
    pub(crate) async fn remove_old(&self) -> Result<(), StoreError> {
        self.store.remove_old_webhook_keys().await?;
        while self.store.remove_old_deliveries(DELIVERIES_KEPT_DAYS, REMOVED_AT_ONCE).await?
            == u64::from(REMOVED_AT_ONCE)
        {
            if self.tasks.stopping.is_cancelled() {
                break;
            }
        }
        Ok(())
    }
}
