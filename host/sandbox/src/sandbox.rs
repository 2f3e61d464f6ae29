//! The sandbox itself: what it is made of.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::available_parallelism;

use armilla_egress::Egress;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi::p2;

use crate::bindings::ToolPlugin;
use crate::cache::Cache;
use crate::engine::{Ticker, engine};
use crate::error::SandboxError;
use crate::instance::{Gates, Host};
use crate::limits::{
    CALLS_AT_ONCE_TOTAL, COMPILED_AT_ONCE, Limits, MEMORY_BYTES_TOTAL, RESULT_CACHE_BYTES_MAX, SHARE_OF_ONE_WORKSPACE,
};
use crate::plugin::Plugin;
use crate::results::Results;
use crate::state::{HostMemory, State};

/// What a sandbox is made of.
#[derive(Clone)]
pub struct SandboxConfig {
    /// Where machine code is kept between starts; nowhere if absent.
    pub code_cache: Option<PathBuf>,
    /// The key that marks machine code as this host's own. Whoever has it can make the host run anything.
    pub mac_key: [u8; 32],
    /// The limits of one call and of one plugin, where no grant says otherwise.
    pub limits: Limits,
    /// How many calls run at the same time, of all plugins.
    pub calls_at_once: u32,
    /// In bytes, of all calls' memories together.
    pub memory_bytes_total: u64,
    /// How requests leave; none leaves if absent.
    pub egress: Option<Egress>,
}

impl Default for SandboxConfig {
    /// No cache and no way out.
    fn default() -> Self {
        Self {
            code_cache: None,
            mac_key: [0; 32],
            limits: Limits::default(),
            calls_at_once: CALLS_AT_ONCE_TOTAL,
            memory_bytes_total: MEMORY_BYTES_TOTAL,
            egress: None,
        }
    }
}

/// What plugins are loaded into and run on. Cheap to clone; the last clone to go takes the threads with it.
#[derive(Clone)]
pub struct Sandbox {
    pub(crate) inner: Arc<Inner>,
    pub(crate) gates: Arc<Gates>,
    pub(crate) results: Arc<Results>,
}

pub(crate) struct Inner {
    pub(crate) host: Host,
    pub(crate) linker: Linker<State>,
    pub(crate) cache: Option<Cache>,
    /// What is loaded, by digest, as long as somebody has it: two workspaces with the same component share its machine code.
    pub(crate) loaded: Mutex<HashMap<Arc<str>, Weak<Plugin>>>,
    /// One permit for each component that is compiled.
    pub(crate) compiling: Arc<Semaphore>,
    pub(crate) compiles_queued: AtomicUsize,
    /// Apart from the host's runtime: guests that spin must not hold up the database, timers and connections.
    runtime: Option<Runtime>,
}

impl Sandbox {
    /// A sandbox. Takes some milliseconds and starts threads.
    pub fn new(config: SandboxConfig) -> Result<Self, SandboxError> {
        let slots = config.calls_at_once.max(1);
        let engine = engine(slots)?;
        let mut linker = Linker::new(&engine);
        p2::add_to_linker_async(&mut linker)
            .and_then(|()| ToolPlugin::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state))
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
            slots: Arc::new(Semaphore::new(slots as usize)),
            calls_per_workspace: (slots as usize / SHARE_OF_ONE_WORKSPACE).max(1),
            memory: HostMemory::new(usize::try_from(config.memory_bytes_total).unwrap_or(usize::MAX)),
            egress: config.egress,
        };
        let inner = Inner {
            host,
            linker,
            cache: config.code_cache.map(|folder| Cache::new(folder, config.mac_key)),
            loaded: Mutex::default(),
            compiling: Arc::new(Semaphore::new(COMPILED_AT_ONCE)),
            compiles_queued: AtomicUsize::new(0),
            runtime: Some(runtime),
        };
        Ok(Self { inner: Arc::new(inner), gates: Arc::default(), results: results() })
    }

    /// The same engine and the same loaded components, with turns, breakers and kept results of its own: another host's, as far
    /// as calls can tell.
    pub fn apart(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), gates: Arc::default(), results: results() }
    }
}

fn results() -> Arc<Results> {
    Arc::new(Results::new(RESULT_CACHE_BYTES_MAX))
}

impl Inner {
    /// The component of this digest, where somebody has it loaded.
    pub(crate) fn known(&self, digest: &str) -> Option<Arc<Plugin>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).get(digest)?.upgrade()
    }

    /// Notes a component that was just loaded, and forgets those that nobody has any more.
    pub(crate) fn note(&self, plugin: Plugin) -> Arc<Plugin> {
        let plugin = Arc::new(plugin);
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|_, known| known.strong_count() > 0);
        loaded.insert(Arc::clone(&plugin.digest), Arc::downgrade(&plugin));
        plugin
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
