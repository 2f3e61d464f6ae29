//! What a call, a condition and a loaded plugin cost, beside what wasmtime alone costs in the same process: `cargo bench -p
//! armilla-sandbox --bench tool_call` after `make plugins`. With `--smoke` behind `--` it only shows that everything runs.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use armilla_domain::call::CallContext;
use armilla_domain::id::{RunId, WorkspaceId};
use armilla_domain::plugin::Grant;
use armilla_sandbox::{Access, LoadFault, MemoryServices, Plugin, Sandbox, SandboxConfig};
use chrono::DateTime;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
mod bindings {
    wasmtime::component::bindgen!({ path: "../../wit", world: "pure-tool-plugin", exports: { default: async } });
}

/// How long each measurement goes on, after a tenth of it to warm up.
const MEASURED: Duration = Duration::from_secs(3);
const SMOKED: Duration = Duration::from_millis(60);
const TOOL: &str = "text.word_count";
/// In bytes that are added to a component to see what swapping a large one does to calls.
const PADDING_BYTES: usize = 10 << 20;
/// Calls that spin at the same time: as many as one plugin may have, and some that wait.
const SPINNING: usize = 24;

fn main() {
    let given = |flag: &str| std::env::args().any(|argument| argument == flag);
    // `cargo test --benches` runs this, too, without the flag that `cargo bench` gives.
    let measured = if given("--smoke") || !given("--bench") { SMOKED } else { MEASURED };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let bench = Bench::new().await;
        calls(&bench, measured).await;
        hammered(&bench, measured).await;
        loading().await;
        swapping(&bench, measured).await;
    });
}

async fn calls(bench: &Bench, measured: Duration) {
    let params = json!({ "text": "seven words in a line of text ".repeat(34) });
    let bare = Arc::new(Bare::new());
    let cores = available_parallelism().map_or(1, usize::from);
    say(["calls, 1 KiB of JSON", "at once", "p50 us", "p99 us", "calls/s", "ratio of p50"]);
    for at_once in if cores == 1 { vec![1] } else { vec![1, cores] } {
        let input = Arc::new(params.to_string());
        let alone = measure(measured, at_once, || {
            let (bare, input) = (Arc::clone(&bare), Arc::clone(&input));
            Box::pin(async move { bare.call(&input).await })
        });
        let alone = alone.await;
        alone.print("wasmtime alone", at_once, None);
        let through = measure(measured, at_once, || bench.tool(TOOL, &params)).await;
        through.print("Sandbox::call_tool", at_once, Some(&alone));
    }
    let filter = json!({ "filter": ".text | length", "input": params });
    measure(measured, 1, || bench.tool("jq", &filter)).await.print("the tool `jq`", 1, None);
    let variables = json!({ "feedback": { "approved": true } });
    for (evaluator, expression) in [("cel", "feedback.approved"), ("jsonlogic", r#"{"var":"feedback.approved"}"#)] {
        let judged = measure(measured, 1, || bench.condition(evaluator, expression, &variables)).await;
        judged.print(&format!("a condition by `{evaluator}`"), 1, None);
    }
}

/// A good plugin's calls while a bad one spins in every slot that it can get.
async fn hammered(bench: &Bench, measured: Duration) {
    let params = json!({ "text": "seven words in a line of text ".repeat(34) });
    say(["while another plugin spins", "at once", "p50 us", "p99 us", "calls/s", "ratio of p50"]);
    let idle = measure(measured, 1, || bench.tool(TOOL, &params)).await;
    idle.print("idle", 1, None);
    let Some(hostile) = bench.plugins.get("hostile") else {
        say(["no hostile plugin: scripts/build-plugins --test", "", "", "", "", ""]);
        return;
    };
    let mut spinning = JoinSet::new();
    let bad = access(&json!({ "limits": { "cpu": "60s", "timeout": "5m" } }), [9; 10]);
    for _ in 0..SPINNING {
        let (sandbox, hostile, bad) = (bench.sandbox.clone(), Arc::clone(hostile), bad.clone());
        let mut context = context();
        context.timeout = Duration::from_secs(300);
        spinning.spawn(async move { sandbox.call_tool(&hostile, "loop", &json!({}), &context, &bad).await });
    }
    tokio::time::sleep(measured / 10).await;
    let beside = measure(measured, 1, || bench.tool(TOOL, &params)).await;
    beside.print(&format!("{SPINNING} endless loops"), 1, Some(&idle));
    spinning.shutdown().await;
}

/// Each shipped plugin: first seen, and found with its machine code.
async fn loading() {
    say(["loading", "file KiB", "code KiB", "first ms", "again ms", ""]);
    let cache = tempfile::tempdir().unwrap();
    let config = || SandboxConfig { code_cache: Some(cache.path().to_owned()), ..SandboxConfig::default() };
    let (mut known, mut firsts) = (Vec::new(), Vec::new());
    let sandbox = Sandbox::new(config()).unwrap();
    for (_, bytes) in components("plugins") {
        let start = Instant::now();
        let plugin = sandbox.inspect(Arc::clone(&bytes)).await.unwrap();
        firsts.push(start.elapsed());
        known.push((plugin, bytes.len()));
    }
    let sandbox = Sandbox::new(config()).unwrap();
    let mut kept = Vec::new();
    let millis = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1e3);
    let (mut total, mut code) = (Duration::ZERO, 0);
    for ((plugin, bytes), first) in known.iter().zip(firsts) {
        let start = Instant::now();
        let nowhere = async || Err(LoadFault::Absent("it must not be asked for".to_owned()));
        let again = sandbox.load(plugin.digest(), Arc::clone(plugin.description()), nowhere).await.unwrap();
        let elapsed = start.elapsed();
        total += elapsed;
        code += again.code_bytes();
        let kib = |bytes: usize| (bytes >> 10).to_string();
        let name = again.description().name.clone();
        say([&name, &kib(*bytes), &kib(again.code_bytes()), &millis(first), &millis(elapsed), ""]);
        kept.push(again);
    }
    say([&format!("all {}", kept.len()), "", &(code >> 10).to_string(), "", &millis(total), ""]);
}

/// A large component is loaded, called and let go again and again, while calls go on.
async fn swapping(bench: &Bench, measured: Duration) {
    let params = json!({ "text": "seven words in a line of text ".repeat(34) });
    let text = fs::read(target().join("plugins/text.wasm")).unwrap();
    let swapped = tokio::spawn({
        let sandbox = bench.sandbox.clone();
        async move {
            let (start, mut loads) = (Instant::now(), Vec::new());
            while start.elapsed() < measured || loads.is_empty() {
                let bytes = padded(&text, loads.len());
                let start = Instant::now();
                let plugin = sandbox.inspect(bytes).await.unwrap();
                loads.push(start.elapsed());
                let input = json!({ "text": "one two" });
                let access = access(&json!({}), [1; 10]);
                sandbox.call_tool(&plugin, TOOL, &input, &context(), &access).await.result.unwrap();
            }
            loads.sort();
            loads
        }
    });
    // Each of these calls stops the program where it fails.
    let beside = measure(measured, 1, || bench.tool(TOOL, &params)).await;
    let loads = swapped.await.unwrap();
    say(["swapping 10 MiB under traffic", "loads", "p50 ms", "max ms", "", "failed calls"]);
    let millis = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
    let (middle, last) = (loads[loads.len() / 2], loads[loads.len() - 1]);
    say(["inspect", &loads.len().to_string(), &millis(middle), &millis(last), "", "0"]);
    beside.print("calls beside it", 1, None);
}

/// A component with a custom section of so many bytes at its end, each with a digest of its own.
fn padded(component: &[u8], n: usize) -> Arc<[u8]> {
    let mut section = vec![7];
    section.extend(b"padding");
    section.extend(n.to_le_bytes());
    section.resize(PADDING_BYTES, b'x');
    let mut bytes = component.to_vec();
    bytes.push(0);
    // The section's length in LEB128.
    let mut left = section.len();
    loop {
        let low = (left & 0x7f) as u8;
        left >>= 7;
        bytes.push(if left == 0 { low } else { low | 0x80 });
        if left == 0 {
            break;
        }
    }
    bytes.extend(section);
    bytes.into()
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from)
}

/// The components in a folder of the target folder; none where there is no such folder.
fn components(folder: &str) -> BTreeMap<PathBuf, Arc<[u8]>> {
    let files = fs::read_dir(target().join(folder)).into_iter().flatten().map(|file| file.unwrap().path());
    let files = files.filter(|file| file.extension().is_some_and(|extension| extension == "wasm"));
    files.map(|file| (file.clone(), fs::read(file).unwrap().into())).collect()
}

struct Bench {
    sandbox: Sandbox,
    plugins: BTreeMap<String, Arc<Plugin>>,
    access: Access,
}

impl Bench {
    async fn new() -> Self {
        // Without a cache: swapping must make machine code every time.
        let sandbox = Sandbox::new(SandboxConfig::default()).unwrap();
        let mut plugins = BTreeMap::new();
        for bytes in components("plugins").into_values().chain(components("test-plugins").into_values()) {
            let plugin = sandbox.inspect(bytes).await.unwrap();
            plugins.insert(plugin.description().name.clone(), plugin);
        }
        assert!(plugins.contains_key("text"), "no plugins: build them with `make plugins`");
        Self { sandbox, plugins, access: access(&json!({}), [1; 10]) }
    }

    fn tool(&self, tool: &'static str, params: &Value) -> Work {
        let offers = |plugin: &&Arc<Plugin>| plugin.description().tools.iter().any(|offered| offered.name == tool);
        let plugin = Arc::clone(self.plugins.values().find(offers).unwrap());
        let (sandbox, params, access) = (self.sandbox.clone(), params.clone(), self.access.clone());
        Box::pin(async move {
            drop(sandbox.call_tool(&plugin, tool, &params, &context(), &access).await.result.unwrap());
        })
    }

    fn condition(&self, evaluator: &str, expression: &'static str, variables: &Value) -> Work {
        let plugin = Arc::clone(&self.plugins[evaluator]);
        let (sandbox, variables, access) = (self.sandbox.clone(), variables.clone(), self.access.clone());
        Box::pin(async move {
            drop(sandbox.evaluate(&plugin, expression, &variables, &context(), &access).await.unwrap());
        })
    }
}

fn access(grant: &Value, workspace: [u8; 10]) -> Access {
    Access {
        workspace: WorkspaceId::from_parts(1_700_000_000_000, workspace),
        grant: Arc::new(Grant::check(grant).unwrap()),
        services: Arc::new(MemoryServices::default()),
    }
}

fn context() -> CallContext {
    CallContext {
        run_id: RunId::from_parts(1_700_000_000_000, [7; 10]),
        run_started_at: DateTime::UNIX_EPOCH,
        step_id: "step".to_owned(),
        visit: 1,
        attempt: 1,
        turn: 0,
        timeout: Duration::from_secs(30),
        traceparent: None,
    }
}

/// What one would write with wasmtime and nothing else: a pool, an instance per call, WASI as it comes.
struct Bare {
    engine: Engine,
    plugin: bindings::PureToolPluginPre<BareState>,
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
        let file = target().join("plugins/text.wasm");
        let component = Component::from_file(&engine, file).expect("build the plugins with `make plugins`");
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
        bindings::PureToolPlugin::add_to_linker::<_, HasSelf<BareState>>(&mut linker, |state| state).unwrap();
        let plugin = bindings::PureToolPluginPre::new(linker.instantiate_pre(&component).unwrap()).unwrap();
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
    fn print(&self, what: &str, at_once: usize, beside: Option<&Measured>) {
        let micros = |duration: Duration| format!("{:.1}", duration.as_secs_f64() * 1e6);
        let ratio =
            beside.map_or(String::new(), |other| format!("{:.2}", self.p50.as_secs_f64() / other.p50.as_secs_f64()));
        let calls = format!("{:.0}", self.calls_per_second);
        say([what, &at_once.to_string(), &micros(self.p50), &micros(self.p99), &calls, &ratio]);
    }
}

#[allow(clippy::print_stdout, reason = "its output is what a benchmark is for")]
fn say([what, one, two, three, four, five]: [&str; 6]) {
    println!("{what:30} {one:>8} {two:>10} {three:>10} {four:>10} {five:>14}");
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Works `at_once` at the same time, each beginning the next when it has ended one.
async fn measure(measured: Duration, at_once: usize, work: impl Fn() -> Work) -> Measured {
    let start = Instant::now();
    while start.elapsed() < measured / 10 {
        tokio::spawn(work()).await.unwrap();
    }
    let start = Instant::now();
    let mut times = Vec::new();
    let mut running = JoinSet::new();
    let timed = |work: Work| async move {
        let start = Instant::now();
        work.await;
        start.elapsed()
    };
    for _ in 0..at_once {
        running.spawn(timed(work()));
    }
    while let Some(time) = running.join_next().await {
        times.push(time.unwrap());
        if start.elapsed() < measured {
            running.spawn(timed(work()));
        }
    }
    let calls_per_second = times.len() as f64 / start.elapsed().as_secs_f64();
    times.sort();
    Measured { p50: times[times.len() / 2], p99: times[times.len() * 99 / 100], calls_per_second }
}
