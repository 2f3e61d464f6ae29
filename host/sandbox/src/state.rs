//! What one call's store holds: its log, its limits, and WASI with nothing behind it.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::ResourceTable;
use wasmtime::{Engine, ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::bindings::log::{Host, Level};
use crate::bindings::types;
use crate::cpu::CpuClock;
use crate::limits::{
    CORE_INSTANCES_MAX, HANDLES_MAX, HOST_CALL_BYTES_MAX, Limits, MEMORIES_MAX, TABLE_ELEMENTS_MAX, TABLES_MAX,
};
use crate::log::CallLog;
use crate::wasi;

/// A limit that a guest ran into, as the error that ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LimitHit {
    #[error("the call computed longer than it may")]
    Cpu,
    #[error("the call asked for more memory than it may have")]
    Memory,
    #[error("the call asked for more table elements than it may have")]
    Table,
}

/// The state of one call.
pub(crate) struct State {
    log: Arc<CallLog>,
    now: Duration,
    seed: String,
    /// Made when the guest first asks for it: many never do.
    wasi: Option<WasiCtx>,
    table: ResourceTable,
    memory: Memory,
}

/// Counts the bytes of all memories of one call.
struct Memory {
    bytes: usize,
    bytes_max: usize,
}

/// A store for one call in which time stands at `now` (since 1970) and chance comes from `seed`.
pub(crate) fn store(
    engine: &Engine,
    limits: &Limits,
    log: Arc<CallLog>,
    now: Duration,
    seed: String,
    clock: Arc<CpuClock>,
) -> Store<State> {
    let mut table = ResourceTable::new();
    table.set_max_capacity(HANDLES_MAX);
    let memory = Memory { bytes: 0, bytes_max: limits.memory_bytes };
    let mut store = Store::new(engine, State { log, now, seed, wasi: None, table, memory });
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(HOST_CALL_BYTES_MAX);
    store.set_max_component_handles(HANDLES_MAX);
    let budget = limits.cpu;
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        if clock.spent() >= budget {
            return Err(LimitHit::Cpu.into());
        }
        // By the runtime's own yield: it lets timers and the other guests of this thread have their turn.
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    });
    store
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let ctx = self.wasi.get_or_insert_with(|| wasi::context(self.now, &self.seed, &self.log));
        WasiCtxView { ctx, table: &mut self.table }
    }
}

impl Host for State {
    fn write(&mut self, level: Level, message: String) {
        self.log.line(level, &message);
    }
}

impl types::Host for State {}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = self.bytes.saturating_sub(current).saturating_add(desired);
        if bytes > self.bytes_max {
            return Err(LimitHit::Memory.into());
        }
        self.bytes = bytes;
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
