//! How long a guest has computed. Only the time inside polls counts: what a guest waits is its own.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// The computing time of one call. Shared between the future that is polled and the engine's callback inside it, which
/// run on one thread at any moment.
#[derive(Debug)]
pub(crate) struct CpuClock {
    base: Instant,
    /// Spent in polls that have ended.
    spent_nanos: AtomicU64,
    /// When the poll that is going on began, after `base`.
    poll_began_nanos: AtomicU64,
}

impl CpuClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { base: Instant::now(), spent_nanos: AtomicU64::new(0), poll_began_nanos: AtomicU64::new(0) })
    }

    /// Asked from inside a poll.
    pub(crate) fn spent(&self) -> Duration {
        let this_poll = self.now_nanos().saturating_sub(self.poll_began_nanos.load(Relaxed));
        Duration::from_nanos(self.spent_nanos.load(Relaxed) + this_poll)
    }

    /// Spent in all polls that have ended.
    pub(crate) fn total(&self) -> Duration {
        Duration::from_nanos(self.spent_nanos.load(Relaxed))
    }

    fn now_nanos(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A future whose polls the clock measures.
pub(crate) struct Metered<F> {
    inner: Pin<Box<F>>,
    clock: Arc<CpuClock>,
}

impl<F> Metered<F> {
    pub(crate) fn new(clock: Arc<CpuClock>, inner: F) -> Self {
        Self { inner: Box::pin(inner), clock }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.clock.poll_began_nanos.store(self.clock.now_nanos(), Relaxed);
        let poll = self.inner.as_mut().poll(cx);
        let spent = self.clock.spent();
        self.clock.spent_nanos.store(u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        poll
    }
}
