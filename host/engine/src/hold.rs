//! How the task that drives a run is reached, and how long it may go on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How a run that is driven here is reached.
#[derive(Clone)]
pub(crate) struct Hold {
    /// Set once, when the lease is another host's.
    pub(crate) lost: CancellationToken,
    /// Until when the lease is ours for certain, by this host's own clock.
    good_until: Arc<Mutex<Instant>>,
    bell: Arc<Bell>,
}

#[derive(Default)]
struct Bell {
    has_rung: AtomicBool,
    ring: Notify,
}

impl Hold {
    pub(crate) fn new(good_until: Instant) -> Self {
        let good_until = Arc::new(Mutex::new(good_until));
        Self { lost: CancellationToken::new(), good_until, bell: Arc::default() }
    }

    pub(crate) fn extend(&self, until: Instant) {
        *self.good_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// Whether the lease is ours for certain. A process that stood still for a while learns by nothing else that it is not:
    /// every timer has come due, and nobody has told it anything yet.
    pub(crate) fn is_good(&self) -> bool {
        !self.lost.is_cancelled() && Instant::now() < *self.good_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn nudge(&self) {
        self.bell.has_rung.store(true, Ordering::Release);
        self.bell.ring.notify_one();
    }

    /// Whether there may be messages that were not asked for since.
    pub(crate) fn is_nudged(&self) -> bool {
        self.bell.has_rung.load(Ordering::Acquire)
    }

    /// Waits until there may be messages. Dropping the future misses nothing.
    pub(crate) async fn nudged(&self) {
        while !self.bell.has_rung.swap(false, Ordering::AcqRel) {
            self.bell.ring.notified().await;
        }
    }
}
