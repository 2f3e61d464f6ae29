//! `armilla serve` as a process of its own, and whoever calls it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const START_MAX: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);

pub(crate) struct Host {
    child: Process,
    client: reqwest::Client,
    url: String,
    token: String,
}

impl Host {
    /// Starts it with a data folder of its own, and waits until it serves.
    pub(crate) async fn start(folder: &Path, name: &str, database_url: &str, plugins: Option<&Path>) -> Self {
        let data_dir = folder.join(name);
        fs::create_dir_all(&data_dir).unwrap();
        let address_file = data_dir.join("address");
        let _ = fs::remove_file(&address_file);
        let log = File::create(data_dir.join("serve.log")).unwrap();
        let mut command = armilla();
        command.args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--egress-allow",
            "127.0.0.0/8",
            "--database-url",
            database_url,
        ]);
        command.arg("--data-dir").arg(&data_dir).stdout(log.try_clone().unwrap()).stderr(log);
        if let Some(plugins) = plugins {
            command.arg("--plugins").arg(plugins);
        }
        let child = Process(command.spawn().unwrap());
        let began = Instant::now();
        let address = loop {
            match fs::read_to_string(&address_file) {
                Ok(text) if text.ends_with('\n') => break text,
                _ => assert!(began.elapsed() < START_MAX, "no server; see {}", data_dir.display()),
            }
            tokio::time::sleep(POLL).await;
        };
        let mut command = armilla();
        command.args(["token", "--sub", "bench", "--role", "admin", "--ttl", "12h", "--data-dir"]).arg(&data_dir);
        let token = String::from_utf8(command.output().unwrap().stdout).unwrap().trim().to_owned();
        let url = format!("http://{}", address.trim());
        Self { child, client: reqwest::Client::new(), url, token }
    }

    pub(crate) async fn send(&self, method: reqwest::Method, path: &str, body: &Value) -> Value {
        let request = self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token).json(body);
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status}: {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Creates a workflow of these steps and gives its id.
    pub(crate) async fn create_workflow(&self, steps: &[Value]) -> String {
        let body = json!({ "name": "bench", "definition": { "steps": steps } });
        let created = self.send(reqwest::Method::POST, "/workflows", &body).await;
        created["workflow"]["id"].as_str().unwrap().to_owned()
    }

    /// Starts a run and waits for its end, as one request.
    pub(crate) fn run(&self, workflow: &str) -> impl Future<Output = ()> + Send + use<> {
        let answered = self.start_run(workflow, "");
        async {
            assert_eq!(answered.await["run"]["status"], "success");
        }
    }

    /// Starts a run and does not wait for it.
    pub(crate) fn begin(&self, workflow: &str) -> impl Future<Output = Value> + Send + use<> {
        self.start_run(workflow, "?wait=0")
    }

    fn start_run(&self, workflow: &str, query: &str) -> impl Future<Output = Value> + Send + use<> {
        let url = format!("{}/workflows/{workflow}/run{query}", self.url);
        let body = json!({ "input": { "topic": "the armillary sphere" } });
        let request = self.client.post(url).bearer_auth(&self.token).json(&body);
        async {
            let answer = request.send().await.unwrap();
            let (status, text) = (answer.status(), answer.text().await.unwrap());
            assert!(status.is_success(), "{status}: {text}");
            serde_json::from_str(&text).unwrap()
        }
    }

    /// What of it is in memory, in MB (10^6 bytes): all, and without what is only mapped from files.
    pub(crate) fn memory(&self) -> (f64, f64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.0.id())).unwrap();
        let kib = |field: &str| -> f64 {
            let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
            line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
        };
        (kib("VmRSS") * 1.024e-3, kib("RssAnon") * 1.024e-3)
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(self) {
        drop(self.child);
    }
}

/// Killed when it is dropped, however the benchmark ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn armilla() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_armilla"));
    command.stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ARMILLA_") || name == "DATABASE_URL") {
        command.env_remove(name);
    }
    command
}

/// The shipped plugins, which `make plugins` builds.
pub(crate) fn plugins() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins");
    assert!(folder.join("time.wasm").is_file(), "no plugins: build them with `make plugins`");
    folder.canonicalize().unwrap()
}
