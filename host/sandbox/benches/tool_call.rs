//! What the sandbox costs: the same tool of the same component, once called by wasmtime alone and once through
//! `Sandbox::call_tool`, each time in a fresh instance, with 1 KiB of JSON.
//!
//! `cargo bench -p armilla-sandbox --bench tool_call` after `make plugins`. One line for each, in microseconds.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use armilla_domain::call::CallContext;
use armilla_domain::id::RunId;
use armilla_sandbox::{Limits, Sandbox, SandboxConfig};
use chrono::DateTime;
use serde_json::{Value, json};
use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
mod bindings {
    wasmtime::component::bindgen!({ path: "../../wit", world: "tool-plugin", exports: { default: async } });
}

/// How long each measurement goes on, after a tenth of it to warm up.
const MEASURED: Duration = Duration::from_secs(3);
const TOOL: &str = "text.word_count";
const JQ: &str = "jq";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let params = json!({ "text": "seven words in a line of text ".repeat(34) });
    runtime.block_on(async {
        let bare = Arc::new(Bare::new());
        let sandbox = sandbox().await;
        say("what", "threads", "p50 us", "p99 us", "calls/s", "ratio of p50");
        for threads in [1, 2] {
            let input = Arc::new(params.to_string());
            let alone = measure(threads, || {
                let (bare, input) = (Arc::clone(&bare), Arc::clone(&input));
                async move { bare.call(&input).await }
            })
            .await;
            alone.print("wasmtime alone", threads, None);
            let through = measure(threads, || tool(&sandbox, TOOL, &params)).await;
            through.print("Sandbox::call_tool", threads, Some(&alone));
        }
        let filter = json!({ "filter": ".text | length", "input": params });
        measure(1, || tool(&sandbox, JQ, &filter)).await.print("the tool `jq`", 1, None);
        let variables = json!({ "feedback": { "approved": true } });
        let judged = || {
            let (sandbox, variables) = (sandbox.clone(), variables.clone());
            async move { drop(sandbox.evaluate("cel", "feedback.approved", &variables, &context()).await.unwrap()) }
        };
        measure(1, judged).await.print("a condition by `cel`", 1, None);
    });
}

async fn sandbox() -> Sandbox {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-code");
    let config =
        SandboxConfig { code_cache: Some(cache), mac_key: [7; 32], limits: Limits::default(), ..Default::default() };
    let sandbox = Sandbox::new(config).unwrap();
    for loaded in sandbox.load_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins")).await {
        loaded.unwrap();
    }
    assert!(sandbox.tool(TOOL).is_some(), "no plugins: build them with `make plugins`");
    sandbox
}

fn tool(sandbox: &Sandbox, tool: &'static str, params: &Value) -> impl Future<Output = ()> + Send + 'static {
    let (sandbox, params) = (sandbox.clone(), params.clone());
    async move { drop(sandbox.call_tool(None, tool, &params, &context()).await.unwrap()) }
}

fn context() -> CallContext {
    CallContext {
        run_id: RunId::from_parts(1_700_000_000_000, [7; 10]),
        run_started_at: DateTime::UNIX_EPOCH,
        step_id: "step".to_owned(),
        visit: 1,
        attempt: 1,
        timeout: Duration::from_secs(10),
        traceparent: None,
    }
}

/// What one would write with wasmtime and nothing else: a pool, an instance per call, WASI as it comes.
struct Bare {
    engine: Engine,
    plugin: bindings::ToolPluginPre<BareState>,
}

struct BareState {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for BareState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl bindings::armilla::plugin::types::Host for BareState {}

impl bindings::armilla::plugin::log::Host for BareState {
    fn write(&mut self, _level: bindings::armilla::plugin::log::Level, _message: String) {}
}

impl Bare {
    fn new() -> Self {
        let mut pool = PoolingAllocationConfig::new();
        pool.linear_memory_keep_resident(1 << 20).pagemap_scan(wasmtime::Enabled::Auto);
        let mut config = Config::new();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool)).concurrency_support(false);
        let engine = Engine::new(&config).unwrap();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins/text.wasm");
        let component = Component::from_file(&engine, file).expect("build the plugins with `make plugins`");
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
        bindings::ToolPlugin::add_to_linker::<_, HasSelf<BareState>>(&mut linker, |state| state).unwrap();
        let plugin = bindings::ToolPluginPre::new(linker.instantiate_pre(&component).unwrap()).unwrap();
        Self { engine, plugin }
    }

    async fn call(&self, input: &str) {
        let state = BareState { wasi: WasiCtx::builder().build(), table: ResourceTable::new() };
        let mut store = Store::new(&self.engine, state);
        let plugin = self.plugin.instantiate_async(&mut store).await.unwrap();
        let context = bindings::exports::armilla::plugin::tools::CallContext {
            run: String::new(),
            step: String::new(),
            visit: 1,
            attempt: 1,
            idempotency_key: String::new(),
            timeout_milliseconds: 1_000,
        };
        let answer = plugin.armilla_plugin_tools().call_call(&mut store, TOOL, input, &context).await.unwrap();
        // The bare call parses its answer too: that is no cost of the sandbox.
        let _: Value = serde_json::from_str(&answer.unwrap()).unwrap();
    }
}

struct Measured {
    p50: Duration,
    p99: Duration,
    calls_per_second: f64,
}

impl Measured {
    fn print(&self, what: &str, threads: usize, bare: Option<&Measured>) {
        let micros = |duration: Duration| format!("{:.1}", duration.as_secs_f64() * 1e6);
        let ratio =
            bare.map_or(String::new(), |bare| format!("{:.2}", self.p50.as_secs_f64() / bare.p50.as_secs_f64()));
        let calls = format!("{:.0}", self.calls_per_second);
        say(what, &threads.to_string(), &micros(self.p50), &micros(self.p99), &calls, &ratio);
    }
}

#[allow(clippy::print_stdout, reason = "its output is what a benchmark is for")]
fn say(what: &str, threads: &str, p50: &str, p99: &str, calls: &str, ratio: &str) {
    println!("{what:22} {threads:>8} {p50:>10} {p99:>10} {calls:>10} {ratio:>14}");
}

/// Calls from `threads` tasks at the same time, each making the next call when the last has ended.
async fn measure<F, C>(threads: usize, call: C) -> Measured
where
    C: Fn() -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let start = Instant::now();
    while start.elapsed() < MEASURED / 10 {
        tokio::spawn(call()).await.unwrap();
    }
    let start = Instant::now();
    let mut times = Vec::new();
    let mut running = tokio::task::JoinSet::new();
    let timed = |work: F| async move {
        let start = Instant::now();
        work.await;
        start.elapsed()
    };
    for _ in 0..threads {
        running.spawn(timed(call()));
    }
    while let Some(time) = running.join_next().await {
        times.push(time.unwrap());
        if start.elapsed() < MEASURED {
            running.spawn(timed(call()));
        }
    }
    let calls_per_second = times.len() as f64 / start.elapsed().as_secs_f64();
    times.sort();
    Measured { p50: times[times.len() / 2], p99: times[times.len() * 99 / 100], calls_per_second }
}
