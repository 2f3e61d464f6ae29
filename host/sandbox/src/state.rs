//! What one call's store holds: what it may touch, its limits, its log, and WASI with nothing behind it that was not granted.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use armilla_domain::plugin::{Denial, Needs};
use armilla_egress::Egress;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::warn;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::access::Access;
use crate::bindings::{log, types};
use crate::call::shortened;
use crate::capabilities::Placeholders;
use crate::cpu::CpuClock;
use crate::limits::{
    CORE_INSTANCES_MAX, HANDLES_MAX, HOST_CALL_BYTES_MAX, Limits, MEMORIES_MAX, TABLE_ELEMENTS_MAX, TABLES_MAX,
};
use crate::log::{CallLog, on_one_line};
use crate::wasi;

/// Denials that one call's answer names: one is what a message has room for, the rest is for the log.
const DENIALS_KEPT_MAX: usize = 10;

/// A limit that a guest ran into, as the error that ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LimitHit {
    #[error("the call computed longer than it may")]
    Cpu,
    #[error("the call asked for more memory than it may have")]
    Memory,
    #[error("all calls on this host together have all the memory there is for them")]
    HostMemory,
    #[error("the call asked for more table elements than it may have")]
    Table,
    #[error("the call called the host more often than it may")]
    HostCalls,
    #[error("what the call needs of the host's store cannot be read")]
    Store,
}

/// What a call was refused, seen by the host after the call is gone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Denials(Arc<Mutex<Vec<Denial>>>);

impl Denials {
    pub(crate) fn taken(&self) -> Vec<Denial> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn keep(&self, denial: &Denial) -> bool {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = kept.len() < DENIALS_KEPT_MAX && !kept.contains(denial);
        if new {
            kept.push(denial.clone());
        }
        new
    }
}

/// Everything that a call is given.
pub(crate) struct Given {
    pub(crate) plugin: String,
    pub(crate) needs: Needs,
    pub(crate) access: Access,
    pub(crate) limits: Limits,
    pub(crate) egress: Option<Egress>,
    pub(crate) log: Arc<CallLog>,
    /// Where time stands, since 1970, unless the clock is granted.
    pub(crate) now: Duration,
    /// Where chance comes from, unless it is granted.
    pub(crate) seed: String,
    /// When the call is over whatever happens.
    pub(crate) deadline: Instant,
    pub(crate) denials: Denials,
    /// What all calls together may have: on this host, and of this workspace.
    pub(crate) memory: [HostMemory; 2],
    /// The runtime of whoever called: connections to the database and to other hosts are its own, and must not wait among guests
    /// that spin.
    pub(crate) runtime: Handle,
}

/// The state of one call.
pub(crate) struct State {
    pub(crate) given: Given,
    pub(crate) host_calls_left: u64,
    pub(crate) http_bytes_left: u64,
    pub(crate) placeholders: Placeholders,
    /// Made when the guest first asks for it: many never do.
    wasi: Option<WasiCtx>,
    table: ResourceTable,
    memory: Memory,
}

/// The bytes of all memories of all calls on this host.
#[derive(Debug, Clone)]
pub(crate) struct HostMemory {
    used: Arc<AtomicUsize>,
    bytes_max: usize,
}

impl HostMemory {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { used: Arc::new(AtomicUsize::new(0)), bytes_max }
    }

    /// Another count, with a part of the room.
    pub(crate) fn share(&self, part: usize) -> Self {
        Self::new(self.bytes_max / part.max(1))
    }

    fn take(&self, bytes: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.bytes_max);
        self.used.fetch_update(Relaxed, Relaxed, fits).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Relaxed);
    }
}

/// Counts the bytes of all memories of one call.
struct Memory {
    bytes: usize,
    bytes_max: usize,
    counts: [HostMemory; 2],
}

impl Drop for Memory {
    fn drop(&mut self) {
        for count in &self.counts {
            count.give_back(self.bytes);
        }
    }
}

/// A store for one call.
pub(crate) fn store(engine: &Engine, given: Given, clock: Arc<CpuClock>) -> Store<State> {
    let limits = given.limits;
    let mut table = ResourceTable::new();
    table.set_max_capacity(HANDLES_MAX);
    let memory = Memory { bytes: 0, bytes_max: limits.memory_bytes, counts: given.memory.clone() };
    let mut store = Store::new(
        engine,
        State {
            given,
            host_calls_left: limits.host_calls,
            http_bytes_left: limits.http_bytes,
            placeholders: Placeholders::default(),
            wasi: None,
            table,
            memory,
        },
    );
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(HOST_CALL_BYTES_MAX);
    store.set_max_component_handles(HANDLES_MAX);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        if clock.spent() >= limits.cpu {
            return Err(LimitHit::Cpu.into());
        }
        // By the runtime's own yield: it lets timers and the other guests of this thread have their turn.
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    });
    store
}

impl State {
    /// What its memories take.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory.bytes
    }

    /// Has something done by the host, on the host's own runtime.
    pub(crate) fn on_host<T, W>(&self, work: W) -> impl Future<Output = wasmtime::Result<T>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: Future<Output = T> + Send + 'static,
    {
        let task = self.given.runtime.spawn(work);
        // Fails only where the host is going.
        async move { task.await.map_err(|error| wasmtime::Error::msg(error.to_string())) }
    }

    /// Counts one call of a host function.
    pub(crate) fn count(&mut self) -> Result<(), LimitHit> {
        self.host_calls_left = self.host_calls_left.checked_sub(1).ok_or(LimitHit::HostCalls)?;
        Ok(())
    }

    /// Notes what the guest was refused, for the step's error and for the operator's log, and says it in the contract's words.
    pub(crate) fn denied(&self, denial: Denial) -> types::Denial {
        // What the guest asked for is named by its own text, and may be as long and as odd as that.
        let Denial { capability, message } = denial;
        let plain = |text: &str| shortened(&on_one_line(text));
        let denial = Denial { capability: plain(&capability), message: plain(&message) };
        if self.given.denials.keep(&denial) {
            warn!(
                plugin.name = self.given.plugin,
                plugin.call = self.given.seed,
                capability = denial.capability,
                "The plugin `{}` was denied `{}`",
                self.given.plugin,
                denial.capability
            );
        }
        types::Denial { capability: denial.capability, message: denial.message }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let given = &self.given;
        let ctx = self.wasi.get_or_insert_with(|| wasi::context(given));
        WasiCtxView { ctx, table: &mut self.table }
    }
}

impl log::Host for State {
    async fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        self.count()?;
        self.given.log.line(level, &message);
        Ok(())
    }
}

impl types::Host for State {}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        if self.bytes.saturating_add(more) > self.bytes_max {
            return Err(LimitHit::Memory.into());
        }
        let [host, share] = &self.counts;
        if !host.take(more) {
            return Err(LimitHit::HostMemory.into());
        }
        if !share.take(more) {
            host.give_back(more);
            return Err(LimitHit::HostMemory.into());
        }
        self.bytes += more;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(LimitHit::Memory.into())
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS_MAX {
            return Err(LimitHit::Table.into());
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX as usize
    }

    fn tables(&self) -> usize {
        TABLES_MAX as usize
    }
}
