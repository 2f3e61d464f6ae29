//! One sandbox with every built plugin in it, callers to call them, and servers for them to talk to.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use armilla_domain::call::{CallContext, CallError};
use armilla_domain::id::{RunId, WorkspaceId};
use armilla_domain::plugin::Grant;
use armilla_egress::{Egress, EgressPolicy};
use armilla_sandbox::{
    Access, Called, LoadFault, MemoryServices, Plugin, Sandbox, SandboxConfig, SecretValue, Services, ToolDescription,
};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tracing::field::{Field, Visit};
use tracing::{Metadata, Subscriber, span};

/// The value of the secret `api-key`. It must never be seen but by the servers that it was granted for.
pub(crate) const SECRET: &str = "hunter2-7d1f0c";
/// The value of the secret `odd-key`: with marks that URLs and JSON write in other ways.
pub(crate) const ODD_SECRET: &str = "odd 9e44/+&?#%\u{fc}";

/// What stands before the hostile plugin's guise in its component, and how many bytes the guise has.
const GUISE_PREFIX: &str = "armilla-hostile-guise:";
const GUISE_BYTES: usize = 16;

/// A folder of the target folder, which `scripts/build-plugins --test` fills.
pub(crate) fn built(folder: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    let folder = target.join(folder);
    assert!(folder.is_dir(), "no plugins in {}: run scripts/build-plugins --test", folder.display());
    folder
}

/// The hostile plugin's bytes.
pub(crate) fn hostile() -> Arc<[u8]> {
    fs::read(built("test-plugins").join("hostile.wasm")).unwrap().into()
}

/// The hostile plugin in another guise.
pub(crate) fn hostile_as(guise: &str) -> Arc<[u8]> {
    let mut bytes = hostile().to_vec();
    let prefix = GUISE_PREFIX.as_bytes();
    let at = bytes.windows(prefix.len()).position(|window| window == prefix).expect("the built plugin is older");
    let place = &mut bytes[at + prefix.len()..][..GUISE_BYTES];
    place.fill(b'.');
    place[..guise.len()].copy_from_slice(guise.as_bytes());
    bytes.into()
}

/// Room for a few calls, and everything else as a host has it. Machine code is shared with other sandboxes and with earlier
/// runs of the tests: an engine built for development takes seconds to make it.
pub(crate) fn config() -> SandboxConfig {
    let code_cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-code"));
    SandboxConfig { code_cache, mac_key: [7; 32], calls_at_once: 24, egress: Some(open()), ..SandboxConfig::default() }
}

/// Leads to this machine, where the servers of the tests are.
pub(crate) fn open() -> Egress {
    Egress::new(EgressPolicy { allowed: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()] }).unwrap()
}

/// As operators have it.
pub(crate) fn closed() -> Egress {
    Egress::new(EgressPolicy::default()).unwrap()
}

/// A sandbox and what is loaded into it.
pub(crate) struct Bench {
    pub(crate) sandbox: Sandbox,
    pub(crate) plugins: BTreeMap<String, Arc<Plugin>>,
}

impl Bench {
    pub(crate) async fn of(config: SandboxConfig, components: impl IntoIterator<Item = Arc<[u8]>>) -> Self {
        let sandbox = Sandbox::new(config).unwrap();
        let mut plugins = BTreeMap::new();
        for bytes in components {
            let plugin = sandbox.inspect(bytes).await.unwrap();
            plugins.insert(plugin.description().name.clone(), plugin);
        }
        Self { sandbox, plugins }
    }

    /// A workspace of its own, with this grant for every plugin.
    pub(crate) fn grant(&self, grant: Value) -> Caller<'_> {
        self.caller(Arc::new(Grant::check(&grant).unwrap()))
    }

    /// A workspace of its own that grants nothing.
    pub(crate) fn without_grant(&self) -> Caller<'_> {
        self.caller(Arc::default())
    }

    fn caller(&self, grant: Arc<Grant>) -> Caller<'_> {
        let long = "long-7c1e ".repeat(100);
        let secrets = [
            ("api-key", SECRET),
            ("odd-key", ODD_SECRET),
            ("line-key", "two\r\nlines-3b9a"),
            ("long-key", long.trim()),
        ];
        let secrets = secrets.map(|(name, value)| (name.to_owned(), SecretValue::new(value.to_owned())));
        let services: Arc<dyn Services> = Arc::new(MemoryServices::new(secrets));
        Caller { bench: self, access: Access { workspace: workspace(), grant, services } }
    }

    pub(crate) fn plugin_of(&self, tool: &str) -> &Arc<Plugin> {
        let offers = |plugin: &&Arc<Plugin>| plugin.description().tools.iter().any(|offered| offered.name == tool);
        self.plugins.values().find(offers).unwrap_or_else(|| panic!("no plugin has the tool `{tool}`"))
    }

    pub(crate) fn tools(&self) -> impl Iterator<Item = (&Arc<Plugin>, &ToolDescription)> {
        self.plugins.values().flat_map(|plugin| plugin.description().tools.iter().map(move |tool| (plugin, tool)))
    }
}

/// Everything that was built, in one sandbox for all tests: each test calls from a workspace of its own.
pub(crate) async fn bench() -> &'static Bench {
    static BENCH: OnceCell<Bench> = OnceCell::const_new();
    let all = || async { Bench::of(config(), shipped().into_values().chain([hostile()])).await };
    listen();
    BENCH.get_or_init(all).await
}

/// The shipped plugins' bytes by the names of their files.
pub(crate) fn shipped() -> BTreeMap<String, Arc<[u8]>> {
    let files = fs::read_dir(built("plugins")).unwrap().map(|file| file.unwrap().path());
    let files = files.filter(|file| file.extension().is_some_and(|extension| extension == "wasm"));
    files.map(|file| (name_of(&file), fs::read(&file).unwrap().into())).collect()
}

fn name_of(file: &Path) -> String {
    file.file_stem().unwrap().to_string_lossy().into_owned()
}

/// A workspace that calls.
#[derive(Clone)]
pub(crate) struct Caller<'a> {
    bench: &'a Bench,
    pub(crate) access: Access,
}

impl Caller<'_> {
    pub(crate) async fn call(&self, tool: &str, params: Value) -> Called {
        self.call_in(tool, params, &context("a")).await
    }

    pub(crate) async fn call_in(&self, tool: &str, params: Value, context: &CallContext) -> Called {
        self.bench.sandbox.call_tool(self.bench.plugin_of(tool), tool, &params, context, &self.access).await
    }

    /// What a tool answers; it must.
    pub(crate) async fn answer(&self, tool: &str, params: Value) -> Value {
        let called = self.call(tool, params).await;
        called.result.unwrap_or_else(|error| panic!("`{tool}`: {error}")).value
    }

    /// Why a tool does not answer; it must not. Afterwards everybody else is still served.
    pub(crate) async fn error(&self, tool: &str, params: Value) -> CallError {
        let error = self.call(tool, params).await.result.unwrap_err();
        assert!(error.message.contains(&format!("`{tool}`")) && error.message.contains("`hostile`"), "{error}");
        assert!(!error.message.contains(".rs") && !error.message.contains("/target"), "{error}");
        self.bench.still_serves().await;
        error
    }
}

impl Bench {
    pub(crate) async fn still_serves(&self) {
        let answer = self.without_grant().answer("echo", json!({ "a": 1 })).await;
        assert_eq!(answer, json!({ "text": r#"{"a":1}"# }));
    }
}

/// Does all of it at the same time.
pub(crate) async fn at_once<F>(works: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let works: Vec<_> = works.into_iter().map(tokio::spawn).collect();
    let mut done = Vec::new();
    for work in works {
        done.push(work.await.unwrap());
    }
    done
}

/// A workspace that nobody else has.
pub(crate) fn workspace() -> WorkspaceId {
    static WORKSPACES: AtomicU64 = AtomicU64::new(1);
    WorkspaceId::from_parts(WORKSPACES.fetch_add(1, Relaxed), [3; 10])
}

pub(crate) fn context(step_id: &str) -> CallContext {
    CallContext {
        run_id: RunId::from_parts(1_700_000_000_000, [7; 10]),
        run_started_at: "2026-01-02T03:04:05.678Z".parse::<DateTime<Utc>>().unwrap(),
        step_id: step_id.to_owned(),
        visit: 1,
        attempt: 1,
        turn: 0,
        timeout: Duration::from_secs(60),
        traceparent: None,
    }
}

/// What is wrong with a component.
pub(crate) async fn fault_of(bytes: impl Into<Arc<[u8]>>) -> LoadFault {
    let Bench { sandbox, .. } = bench().await;
    sandbox.inspect(bytes.into()).await.unwrap_err()
}

pub(crate) fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// A server on a thread of its own, for as long as the tests run. It remembers what it heard.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers every request with what `answer` makes of it: head, empty line and body.
    pub(crate) fn start(answer: impl Fn(&str) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.unwrap();
                let request = read_request(&mut socket);
                hears.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
                // Whoever asked may have gone.
                let _ = socket.write_all(answer(&request).as_bytes());
            }
        });
        Self { address, heard }
    }

    /// Answers with the request.
    pub(crate) fn echo() -> Self {
        Self::start(|request| answer("200 OK", "x-kind: echo", request))
    }

    pub(crate) fn url(&self, rest: &str) -> String {
        format!("http://{}{rest}", self.address)
    }

    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A grant's rule for this server.
    pub(crate) fn rule(&self) -> Value {
        json!({ "host": "127.0.0.1", "schemes": ["http"], "ports": [self.address.port()], "methods": ["*"] })
    }
}

pub(crate) fn answer(status: &str, header: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{header}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn read_request(socket: &mut TcpStream) -> String {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        match socket.read(&mut piece) {
            Ok(0) | Err(_) => return text,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
        }
    }
}

/// Every line that anything in this program logs, of any level.
static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Listener).unwrap());
}

/// All lines so far.
pub(crate) fn log_lines() -> Vec<String> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The lines that belong to the calls of this context.
pub(crate) fn log_lines_of(context: &CallContext) -> Vec<String> {
    let call = format!("plugin.call={:?}", context.idempotency_key());
    log_lines().into_iter().filter(|line| line.contains(&call)).collect()
}

struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        LOG.lock().unwrap_or_else(PoisonError::into_inner).push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // The message as a format has it: text, not a quoted text.
        self.0.push_str(&format!(" {field}={value:?}"));
    }
}
