//! One call in one fresh instance, under every limit.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use armilla_domain::call::{CallContext, CallError, ErrorClass};
use chrono::{DateTime, Utc};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tracing::error;
use wasmtime::{Engine, Store, Trap};

use crate::cpu::{CpuClock, Metered};
use crate::engine::Ticker;
use crate::limits::{Limits, OUTPUT_BYTES_MAX};
use crate::log::CallLog;
use crate::state::{self, LimitHit, State};

/// What every call needs from the host.
pub(crate) struct Host {
    pub(crate) engine: Engine,
    pub(crate) limits: Limits,
    pub(crate) ticker: Ticker,
    /// The guests' own runtime.
    pub(crate) guests: Handle,
    /// One permit for each instance that the engine has room for.
    pub(crate) slots: Arc<Semaphore>,
}

/// The turns of one plugin's calls.
pub(crate) struct Turns {
    running: Arc<Semaphore>,
    queued: AtomicUsize,
}

impl Turns {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { running: Arc::new(Semaphore::new(limits.calls_at_once)), queued: AtomicUsize::new(0) }
    }
}

/// What a call is told about itself, and what its messages and log lines say.
pub(crate) struct Frame {
    pub(crate) plugin: String,
    /// "The tool `x` of the plugin `y`", to begin a sentence with.
    pub(crate) subject: String,
    /// The call's clock stands here.
    pub(crate) now: DateTime<Utc>,
    /// The call's chance comes from this, and its log lines carry it.
    pub(crate) key: String,
    pub(crate) timeout: Duration,
}

impl Frame {
    pub(crate) fn of_run(plugin: &str, subject: String, context: &CallContext) -> Self {
        Self {
            plugin: plugin.to_owned(),
            subject,
            now: context.run_started_at,
            key: context.idempotency_key(),
            timeout: context.timeout,
        }
    }

    /// A call that belongs to no run.
    pub(crate) fn of_host(plugin: &str, subject: String, key: &str) -> Self {
        let timeout = Duration::MAX;
        Self { plugin: plugin.to_owned(), subject, now: DateTime::UNIX_EPOCH, key: key.to_owned(), timeout }
    }
}

/// A future that a guest's work is, inside its store.
pub(crate) type Work<'a, T> = Pin<Box<dyn Future<Output = wasmtime::Result<T>> + Send + 'a>>;

impl Host {
    /// Runs `work` on a store of its own, and sees that it ends.
    pub(crate) async fn run<T, F>(&self, turns: &Turns, frame: Frame, work: F) -> Result<T, CallError>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Store<State>) -> Work<'a, T> + Send + 'static,
    {
        let subject = frame.subject.clone();
        let wall = self.limits.wall.min(frame.timeout);
        let _ticks = self.ticker.tick();
        match tokio::time::timeout(wall, self.take_turn_and_run(turns, frame, work)).await {
            Ok(result) => result,
            Err(_) => Err(CallError::new(
                ErrorClass::Timeout,
                "tool.deadline",
                format!("{subject} did not answer within {} ms", wall.as_millis()),
            )),
        }
    }

    async fn take_turn_and_run<T, F>(&self, turns: &Turns, frame: Frame, work: F) -> Result<T, CallError>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Store<State>) -> Work<'a, T> + Send + 'static,
    {
        let permits = (turns.take(&frame, &self.limits).await?, acquire(&self.slots).await);
        let subject = frame.subject.clone();
        let (engine, limits) = (self.engine.clone(), self.limits);
        let task = self.guests.spawn(async move {
            // Given back when the instance is gone, which may be later than the caller stops to wait for it.
            let _permits = permits;
            let clock = CpuClock::new();
            let log = Arc::new(CallLog::new(&frame.plugin, &frame.key));
            let now = Duration::from_millis(u64::try_from(frame.now.timestamp_millis()).unwrap_or(0));
            let mut store = state::store(&engine, &limits, log, now, frame.key, Arc::clone(&clock));
            Metered::new(clock, work(&mut store)).await
        });
        match AbortOnDrop(task).join().await {
            Ok(result) => result.map_err(|error| self.ended(&subject, &error)),
            Err(join_error) => {
                error!(error = %join_error, "{subject} broke the host's own code");
                Err(CallError::permanent("tool.trap", format!("{subject} ended in a way that the host did not expect")))
            }
        }
    }

    /// Why a guest came to no good end. Messages of the engine name neither paths nor values.
    fn ended(&self, subject: &str, error: &wasmtime::Error) -> CallError {
        if let Some(limit) = error.downcast_ref::<LimitHit>() {
            let (code, what) = match limit {
                LimitHit::Cpu => ("tool.deadline", format!("computed longer than {} ms", self.limits.cpu.as_millis())),
                LimitHit::Memory => {
                    ("tool.memory_limit", format!("asked for more than {} bytes of memory", self.limits.memory_bytes))
                }
                LimitHit::Table => ("tool.memory_limit", "asked for too large a table".to_owned()),
            };
            return CallError::permanent(code, format!("{subject} {what}"));
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::StackOverflow) => {
                CallError::permanent("tool.stack_overflow", format!("{subject} ran out of stack"))
            }
            Some(trap) => CallError::permanent("tool.trap", format!("{subject} trapped: {trap}")),
            // The engine has no type of its own for it.
            None if error.root_cause().to_string().contains("fuel allocated for hostcalls") => too_large(subject),
            None => CallError::permanent("tool.trap", format!("{subject} ended: {}", error.root_cause())),
        }
    }
}

pub(crate) fn too_large(subject: &str) -> CallError {
    CallError::permanent("tool.output_too_large", format!("{subject} answered with more than {OUTPUT_BYTES_MAX} bytes"))
}

impl Turns {
    async fn take(&self, frame: &Frame, limits: &Limits) -> Result<Option<OwnedSemaphorePermit>, CallError> {
        if let Ok(permit) = Arc::clone(&self.running).try_acquire_owned() {
            return Ok(Some(permit));
        }
        let place = Place::take(&self.queued);
        if place.ahead >= limits.calls_queued {
            return Err(CallError::new(
                ErrorClass::RateLimited,
                "tool.overloaded",
                format!("{} has {} calls waiting already", frame.subject, limits.calls_queued),
            ));
        }
        Ok(acquire(&self.running).await)
    }
}

/// A place in a queue, given up when it is dropped.
struct Place<'a> {
    queued: &'a AtomicUsize,
    ahead: usize,
}

impl<'a> Place<'a> {
    fn take(queued: &'a AtomicUsize) -> Self {
        Self { queued, ahead: queued.fetch_add(1, Relaxed) }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queued.fetch_sub(1, Relaxed);
    }
}

async fn acquire(semaphore: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    // Nobody closes these semaphores; a closed one would limit nothing, which is no reason to fail.
    Arc::clone(semaphore).acquire_owned().await.ok()
}

/// A task that ends with whoever waits for it: a call whose caller has gone is nobody's.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> AbortOnDrop<T> {
    async fn join(mut self) -> Result<T, tokio::task::JoinError> {
        (&mut self.0).await
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
