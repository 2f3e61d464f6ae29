//! The sandbox itself: what it is made of, and what is in it.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi::p2;

use crate::bindings::log;
use crate::cache::Cache;
use crate::engine::{Ticker, engine};
use crate::error::SandboxError;
use crate::info::{PluginInfo, ToolInfo};
use crate::instance::Host;
use crate::limits::Limits;
use crate::registry::Registry;
use crate::state::State;

/// How many calls there is room for at most, however much memory there is: each slot costs some kilobytes of its own.
const SLOTS_MAX: usize = 1_000;

/// What a sandbox is made of.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// Where machine code is kept between starts; nowhere if absent.
    pub code_cache: Option<PathBuf>,
    /// The key that marks machine code as this host's own. Whoever has it can make the host run anything.
    pub mac_key: [u8; 32],
    /// The limits of one call and of one plugin.
    pub limits: Limits,
    /// In bytes, of all calls' memories together: how many calls run at the same time is this by the limit of one.
    pub memory_bytes_total: usize,
}

impl Default for SandboxConfig {
    /// No cache, and room for 64 calls.
    fn default() -> Self {
        Self { code_cache: None, mac_key: [0; 32], limits: Limits::default(), memory_bytes_total: 4 << 30 }
    }
}

/// Plugins, and everything they run on. Cheap to clone; the last clone to go takes the threads with it.
#[derive(Clone)]
pub struct Sandbox {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) host: Host,
    pub(crate) linker: Linker<State>,
    pub(crate) cache: Option<Cache>,
    registry: RwLock<Arc<Registry>>,
    /// Apart from the host's runtime: guests that spin must not hold up the database, timers and connections.
    runtime: Option<Runtime>,
}

impl Sandbox {
    /// A sandbox without plugins. Takes some milliseconds and starts threads.
    pub fn new(config: SandboxConfig) -> Result<Self, SandboxError> {
        let slots = (config.memory_bytes_total / config.limits.memory_bytes.max(1)).clamp(1, SLOTS_MAX);
        let engine = engine(&config.limits, u32::try_from(slots).unwrap_or(u32::MAX))?;
        let mut linker = Linker::new(&engine);
        p2::add_to_linker_async(&mut linker)
            .and_then(|()| log::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state))
            .map_err(|error| SandboxError::Engine(error.to_string()))?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(available_parallelism().map_or(1, usize::from))
            .thread_name("plugins")
            .enable_all()
            .build()?;
        let host = Host {
            ticker: Ticker::start(&engine)?,
            engine,
            limits: config.limits,
            guests: runtime.handle().clone(),
            slots: Arc::new(Semaphore::new(slots)),
        };
        let cache = config.code_cache.map(|folder| Cache::new(folder, config.mac_key));
        let inner = Inner { host, linker, cache, registry: RwLock::default(), runtime: Some(runtime) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Every plugin, in the order of loading.
    pub fn plugins(&self) -> Vec<PluginInfo> {
        self.inner.registry().plugins.iter().map(|plugin| plugin.info.clone()).collect()
    }

    /// Every tool, plugin by plugin.
    pub fn tools(&self) -> Vec<ToolInfo> {
        let registry = self.inner.registry();
        let tools = registry.plugins.iter().flat_map(|plugin| plugin.tools.iter().map(|tool| plugin.tool_info(tool)));
        tools.collect()
    }

    /// The tool of this name.
    pub fn tool(&self, name: &str) -> Option<ToolInfo> {
        self.inner.registry().tools.get(name).map(|(plugin, tool)| plugin.tool_info(tool))
    }

    /// The names of the evaluators, sorted.
    pub fn evaluators(&self) -> Vec<String> {
        let mut names: Vec<String> = self.inner.registry().evaluators.keys().cloned().collect();
        names.sort();
        names
    }
}

impl Inner {
    pub(crate) fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes a copy of the registry and puts it in the place of the one that calls read.
    pub(crate) fn change_registry<T>(&self, change: impl FnOnce(&mut Registry) -> T) -> T {
        let mut current = self.registry.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Registry::clone(&current);
        let result = change(&mut next);
        *current = Arc::new(next);
        result
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Not by waiting: the last clone may go inside an asynchronous task, where waiting is a panic.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
