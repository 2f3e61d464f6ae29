//! One call in one fresh instance, under every limit.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use armilla_domain::breaker::Breaker;
use armilla_domain::call::{CallContext, CallError, ErrorClass};
use armilla_domain::id::WorkspaceId;
use armilla_domain::plugin::{Denial, Needs};
use armilla_egress::Egress;
use chrono::{DateTime, Utc};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{error, warn};
use wasmtime::{Engine, Store, Trap};

use crate::OPEN_FOR;
use crate::access::Access;
use crate::cpu::{CpuClock, Metered};
use crate::engine::Ticker;
use crate::limits::{Limits, SHARE_OF_ONE_WORKSPACE};
use crate::log::CallLog;
use crate::state::{self, Denials, Given, HostMemory, LimitHit, State};

/// Gates that are kept although nobody is at them: a plugin's faults are remembered for some time after its last call.
const GATES_KEPT_MAX: usize = 10_000;

/// What every call needs from the host.
pub(crate) struct Host {
    pub(crate) engine: Engine,
    pub(crate) limits: Limits,
    pub(crate) ticker: Ticker,
    /// The guests' own runtime.
    pub(crate) guests: Handle,
    /// One permit for each instance that the engine has room for.
    pub(crate) slots: Arc<Semaphore>,
    /// How many of them one workspace may have.
    pub(crate) calls_per_workspace: usize,
    pub(crate) memory: HostMemory,
    pub(crate) egress: Option<Egress>,
}

/// The gates of all plugins, for each workspace its own: one that overloads or breaks a plugin does so for itself.
#[derive(Default)]
pub(crate) struct Gates(Mutex<Known>);

#[derive(Default)]
struct Known {
    gates: HashMap<GateKey, Arc<Gate>>,
    workspaces: HashMap<WorkspaceId, Arc<Share>>,
}

/// What one workspace may have of the host, for all its plugins together.
pub(crate) struct Share {
    /// One permit for each call at the same time.
    calls: Arc<Semaphore>,
    memory: HostMemory,
}

impl Share {
    fn new(calls: usize, memory: HostMemory) -> Self {
        Self { calls: Arc::new(Semaphore::new(calls)), memory }
    }
}

/// Whose calls, of which component.
type GateKey = (WorkspaceId, Arc<str>);

/// Where calls of one plugin take turns, and where it is held back when it traps too often.
pub(crate) struct Gate {
    calls_at_once: usize,
    running: Arc<Semaphore>,
    share: Arc<Share>,
    queued: AtomicUsize,
    breaker: Arc<Breaker>,
}

impl Gate {
    fn new(calls_at_once: usize, share: Arc<Share>, breaker: Arc<Breaker>) -> Self {
        let running = Arc::new(Semaphore::new(calls_at_once));
        Self { calls_at_once, running, share, queued: AtomicUsize::new(0), breaker }
    }

    /// A gate for one call that is nobody's.
    pub(crate) fn once() -> Arc<Self> {
        Arc::new(Self::new(1, Arc::new(Share::new(1, HostMemory::new(usize::MAX))), Arc::new(Breaker::new(OPEN_FOR))))
    }
}

impl Gates {
    /// The gate of a plugin. One whose width a grant has changed is built anew; calls inside the old one end there.
    pub(crate) fn of(&self, host: &Host, workspace: WorkspaceId, digest: &Arc<str>, limits: &Limits) -> Arc<Gate> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { gates, workspaces } = &mut *known;
        if let Some(gate) = gates.get(&(workspace, Arc::clone(digest))) {
            if gate.calls_at_once == limits.calls_at_once {
                return Arc::clone(gate);
            }
        } else if gates.len() >= GATES_KEPT_MAX {
            gates.retain(|_, gate| Arc::strong_count(gate) > 1);
            workspaces.retain(|_, share| Arc::strong_count(share) > 1);
        }
        let share = workspaces.entry(workspace).or_insert_with(|| Arc::new(host.share()));
        let key = (workspace, Arc::clone(digest));
        let breaker = gates.get(&key).map(|gate| Arc::clone(&gate.breaker));
        let breaker = breaker.unwrap_or_else(|| Arc::new(Breaker::new(OPEN_FOR)));
        let gate = Arc::new(Gate::new(limits.calls_at_once, Arc::clone(share), breaker));
        gates.insert(key, Arc::clone(&gate));
        gate
    }
}

/// What a call is told about itself, and what its messages and log lines say.
pub(crate) struct Frame {
    pub(crate) plugin: String,
    /// "The tool `x` of the plugin `y`", to begin a sentence with.
    pub(crate) subject: String,
    pub(crate) needs: Needs,
    pub(crate) access: Access,
    pub(crate) limits: Limits,
    /// The call's clock stands here.
    pub(crate) now: DateTime<Utc>,
    /// The call's chance comes from this, and its log lines carry it.
    pub(crate) key: String,
    pub(crate) timeout: Duration,
}

impl Frame {
    /// Tells a call of a run when its clock stands and how long it may take.
    pub(crate) fn of_run(mut self, context: &CallContext) -> Self {
        self.now = context.run_started_at;
        self.key = context.idempotency_key();
        self.timeout = context.timeout;
        self
    }
}

/// A future that a guest's work is, inside its store.
pub(crate) type Work<'a, T> = Pin<Box<dyn Future<Output = wasmtime::Result<T>> + Send + 'a>>;

/// How a call ended, what it was refused on the way, and what it used.
pub(crate) struct Ran<T> {
    pub(crate) result: Result<T, CallError>,
    pub(crate) denied: Vec<Denial>,
    pub(crate) used: Used,
}

impl<T> Ran<T> {
    pub(crate) fn refused(error: CallError) -> Self {
        Self { result: Err(error), denied: Vec::new(), used: Used::default() }
    }
}

/// What one call used; nothing where it was given up before its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// How long it computed.
    pub cpu: Duration,
    /// In bytes, its memories at the end: they never shrink.
    pub memory_bytes: usize,
}

impl Host {
    /// What one workspace may have.
    fn share(&self) -> Share {
        Share::new(self.calls_per_workspace, self.memory.share(SHARE_OF_ONE_WORKSPACE))
    }

    /// Runs `work` on a store of its own, and sees that it ends.
    pub(crate) async fn run<T, F>(&self, gate: &Gate, frame: Frame, work: F) -> Ran<T>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Store<State>) -> Work<'a, T> + Send + 'static,
    {
        let subject = frame.subject.clone();
        let wall = frame.limits.wall.min(frame.timeout);
        let deadline = Instant::now() + wall;
        let denials = Denials::default();
        let admission = match gate.breaker.admit(std::time::Instant::now()) {
            Ok(admission) => admission,
            Err(wait) => {
                let message = format!("{subject} failed too often and is out of service for the moment");
                let mut error = CallError::new(ErrorClass::Unavailable, "tool.circuit_open", message);
                error.retry_after = Some(wait);
                return Ran::refused(error);
            }
        };
        let _ticks = self.ticker.tick();
        let working = self.take_turn_and_run(gate, frame, deadline, denials.clone(), work);
        let ended = tokio::time::timeout_at(deadline, working).await;
        let (result, used) = ended.unwrap_or_else(|_| {
            let message = format!("{subject} did not answer within {} ms", wall.as_millis());
            (Err(CallError::new(ErrorClass::Timeout, "tool.deadline", message)), Used::default())
        });
        let faulty = result.as_ref().is_err_and(is_fault_of_the_plugin);
        if admission.settle(std::time::Instant::now(), faulty) {
            warn!("{subject} failed too often; it is out of service until a call goes well");
        }
        Ran { result, denied: denials.taken(), used }
    }

    async fn take_turn_and_run<T, F>(
        &self,
        gate: &Gate,
        frame: Frame,
        deadline: Instant,
        denials: Denials,
        work: F,
    ) -> (Result<T, CallError>, Used)
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Store<State>) -> Work<'a, T> + Send + 'static,
    {
        let turn = match gate.take(&frame).await {
            Ok(turn) => turn,
            Err(error) => return (Err(error), Used::default()),
        };
        let permits = (turn, acquire(&gate.share.calls).await, acquire(&self.slots).await);
        let Frame { plugin, subject, needs, access, limits, now, key, timeout: _ } = frame;
        let engine = self.engine.clone();
        let log = Arc::new(CallLog::new(&plugin, &key, access.grant.log_level));
        let given = Given {
            plugin,
            needs,
            access,
            limits,
            egress: self.egress.clone(),
            log,
            now: Duration::from_millis(u64::try_from(now.timestamp_millis()).unwrap_or(0)),
            seed: key,
            deadline,
            denials,
            memory: [self.memory.clone(), gate.share.memory.clone()],
            runtime: Handle::current(),
        };
        let mut run = Box::pin(async move {
            // Given back when the instance is gone, which may be later than the caller stops to wait for it.
            let _permits = permits;
            let clock = CpuClock::new();
            let mut store = state::store(&engine, given, Arc::clone(&clock));
            let result = Metered::new(Arc::clone(&clock), work(&mut store)).await;
            (result, Used { cpu: clock.total(), memory_bytes: store.data().memory_bytes() })
        });
        // Here, up to the first tick or the first thing it waits for: most calls end within that, and are spared the way to
        // another thread and back, which takes as long as they do. What takes longer goes on among the guests' own threads.
        let at_once = poll_fn(|context| Poll::Ready(run.as_mut().poll(context))).await;
        let ran = match at_once {
            Poll::Ready(ran) => Ok(ran),
            Poll::Pending => AbortOnDrop(self.guests.spawn(run)).join().await,
        };
        match ran {
            Ok((result, used)) => (result.map_err(|error| ended(&subject, &limits, &error)), used),
            Err(join_error) => {
                error!(error = %join_error, "{subject} broke the host's own code");
                let message = format!("{subject} ended in a way that the host did not expect");
                (Err(CallError::permanent("tool.trap", message)), Used::default())
            }
        }
    }
}

/// Whether a call says that its plugin is broken, rather than what it depends on.
fn is_fault_of_the_plugin(error: &CallError) -> bool {
    match error.code.as_ref() {
        "tool.trap" | "tool.stack_overflow" | "tool.memory_limit" | "tool.host_call_limit" => true,
        // One that waited too long may wait for somebody else; one that computed too long does not.
        "tool.deadline" => error.class == ErrorClass::Permanent,
        _ => false,
    }
}

/// Why a guest came to no good end. Messages of the engine name neither paths nor values.
fn ended(subject: &str, limits: &Limits, error: &wasmtime::Error) -> CallError {
    if let Some(limit) = error.downcast_ref::<LimitHit>() {
        let (code, what) = match limit {
            LimitHit::Cpu => ("tool.deadline", format!("computed longer than {} ms", limits.cpu.as_millis())),
            LimitHit::Memory => {
                ("tool.memory_limit", format!("asked for more than {} bytes of memory", limits.memory_bytes))
            }
            LimitHit::HostMemory => {
                let message = format!("{subject} found no memory: all calls together have what there is for them");
                return CallError::new(ErrorClass::RateLimited, "tool.host_memory", message);
            }
            LimitHit::Store => {
                let message = format!("{subject} needs a secret that cannot be read at the moment");
                return CallError::new(ErrorClass::Unavailable, "tool.store_unavailable", message);
            }
            LimitHit::Table => ("tool.memory_limit", "asked for too large a table".to_owned()),
            LimitHit::HostCalls => {
                ("tool.host_call_limit", format!("called the host more than {} times", limits.host_calls))
            }
        };
        return CallError::permanent(code, format!("{subject} {what}"));
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => CallError::permanent("tool.stack_overflow", format!("{subject} ran out of stack")),
        Some(trap) => CallError::permanent("tool.trap", format!("{subject} trapped: {trap}")),
        // The engine has no type of its own for it.
        None if error.root_cause().to_string().contains("fuel allocated for hostcalls") => {
            too_large(subject, limits.output_bytes)
        }
        None => CallError::permanent("tool.trap", format!("{subject} ended: {}", error.root_cause())),
    }
}

pub(crate) fn too_large(subject: &str, bytes_max: usize) -> CallError {
    CallError::permanent("tool.output_too_large", format!("{subject} answered with more than {bytes_max} bytes"))
}

impl Gate {
    async fn take(&self, frame: &Frame) -> Result<Option<OwnedSemaphorePermit>, CallError> {
        if let Ok(permit) = Arc::clone(&self.running).try_acquire_owned() {
            return Ok(Some(permit));
        }
        let place = Place::take(&self.queued);
        let queue = frame.limits.calls_queued;
        if place.ahead >= queue {
            return Err(CallError::new(
                ErrorClass::RateLimited,
                "tool.overloaded",
                format!("{} has {queue} calls waiting already", frame.subject),
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
