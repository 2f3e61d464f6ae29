//! The engine's settings, and the thread whose ticks interrupt guests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use armilla_domain::plugin::MEMORY_BYTES_MAX;
use tracing::warn;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::error::SandboxError;
use crate::limits::{
    CORE_INSTANCES_MAX, FIBER_BYTES, MEMORIES_MAX, STACK_BYTES_MAX, TABLE_ELEMENTS_MAX, TABLES_MAX, WARM_SLOTS_MAX,
};

/// How often guests are interrupted: how exactly computing time is limited, and how long one guest keeps a thread from
/// the others.
const TICK: Duration = Duration::from_millis(1);
/// How many ticks without a call go by until the thread rests: waking it costs a call some microseconds.
const IDLE_TICKS_MAX: u32 = 1_000;
/// In bytes of each memory that stay mapped between calls, so that a fresh instance does not fault them in again.
const RESIDENT_BYTES: usize = 1 << 20;

/// An engine with room for `slots` calls at the same time.
pub(crate) fn engine(slots: u32) -> Result<Engine, SandboxError> {
    let mut config = settings();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots)));
    Engine::new(&config).or_else(|error| {
        // A pool reserves much address space, which containers and `ulimit -v` may refuse. Calls are slower without it.
        warn!(error = %error, "The pool of instances is refused; plugins run without it, and slower");
        Engine::new(&settings()).map_err(|error| SandboxError::Engine(error.to_string()))
    })
}

fn settings() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES_MAX)
        .async_stack_size(FIBER_BYTES)
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false);
    // What plugins do not need is switched off by name: the defaults of a newer engine must not widen the contract.
    config
        .wasm_memory64(false)
        .wasm_wide_arithmetic(false)
        .wasm_custom_page_sizes(false)
        .wasm_stack_switching(false)
        .shared_memory(false)
        .concurrency_support(false)
        .gc_support(false);
    // The same input gives the same bytes on every machine.
    config.wasm_relaxed_simd(false).cranelift_nan_canonicalization(true);
    config
}

fn pool(slots: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    // Every slot has all that one call may use, so that a call which has a slot is never refused by the pool.
    pool.total_component_instances(slots)
        .total_core_instances(slots * CORE_INSTANCES_MAX)
        .total_memories(slots * MEMORIES_MAX)
        .total_tables(slots * TABLES_MAX)
        .total_stacks(slots)
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .max_tables_per_component(TABLES_MAX)
        // What the largest grant may say; each call's own limit is the store's affair.
        .max_memory_size(MEMORY_BYTES_MAX as usize)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_unused_warm_slots(slots.min(WARM_SLOTS_MAX))
        .linear_memory_keep_resident(RESIDENT_BYTES)
        .table_keep_resident(64 << 10)
        .async_stack_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// The thread that counts the engine's epochs while calls are running.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    calls: AtomicUsize,
    resting: AtomicBool,
    stopped: AtomicBool,
}

impl Ticker {
    /// A plain thread of the operating system: guests that keep every other thread busy cannot hold it up.
    pub(crate) fn start(engine: &Engine) -> Result<Self, SandboxError> {
        let shared = Arc::new(Shared {
            calls: AtomicUsize::new(0),
            resting: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        });
        let (engine, state) = (engine.weak(), Arc::clone(&shared));
        let thread = thread::Builder::new().name("plugin-ticks".to_owned()).spawn(move || {
            let mut idle_ticks = 0;
            while !state.stopped.load(SeqCst) {
                thread::sleep(TICK);
                let Some(engine) = engine.upgrade() else { return };
                engine.increment_epoch();
                idle_ticks = if state.calls.load(SeqCst) == 0 { idle_ticks + 1 } else { 0 };
                if idle_ticks > IDLE_TICKS_MAX {
                    state.resting.store(true, SeqCst);
                    while state.calls.load(SeqCst) == 0 && !state.stopped.load(SeqCst) {
                        thread::park();
                    }
                    state.resting.store(false, SeqCst);
                }
            }
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Ticks come at least until the guard is dropped.
    pub(crate) fn tick(&self) -> TickGuard {
        self.shared.calls.fetch_add(1, SeqCst);
        if self.shared.resting.load(SeqCst) {
            self.wake();
        }
        TickGuard(Arc::clone(&self.shared))
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, SeqCst);
        self.wake();
        if let Some(thread) = self.thread.take() {
            // It panics nowhere, and if it did there is nothing left to do about it.
            let _ = thread.join();
        }
    }
}

/// A call that wants ticks.
pub(crate) struct TickGuard(Arc<Shared>);

impl Drop for TickGuard {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, SeqCst);
    }
}
