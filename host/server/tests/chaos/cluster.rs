//! Three hosts on one durable database, and a way to whichever of them lives.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use armilla_api::auth::{Role, mint};
use armilla_store::cluster::{Cluster, ClusterConfig, Durability, PgConnectOptions};
use reqwest::{Method, RequestBuilder};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};

use crate::harness::{Answer, Client, ServerProcess, auth_config, claims, cluster_folder, component, target};
use crate::history::{Micros, Trouble, TroubleKind};

/// How many.
pub(crate) const HOSTS: usize = 3;
/// What the campaign's hosts sign and seal with.
const JWT_SECRET: &str = "signs tokens of the end-to-end tests";
const SECRETS_KEY: &str = "0909090909090909090909090909090909090909090909090909090909090909";
/// The plugins that its workflows call.
const PLUGINS: [&str; 3] = ["text", "jq", "kv"];
/// What a host's machine code is marked with.
const CODE_KEY: &str = "code.key";
/// How long a request may take: a host that stands still does not answer.
const REQUEST_MAX: Duration = Duration::from_secs(5);
/// How often a host is started that ends at once, as it does while its database is away.
const STARTS_MAX: u32 = 60;
const START_PAUSE: Duration = Duration::from_millis(500);

/// Everything that serves.
pub(crate) struct Deployment {
    pub(crate) folder: PathBuf,
    pub(crate) lease: Duration,
    postgres: Cluster,
    hosts: Vec<tokio::sync::Mutex<Option<ServerProcess>>>,
    /// Where each serves, or did so last.
    urls: Mutex<Vec<String>>,
    client: Client,
}

impl Deployment {
    pub(crate) async fn start(lease: Duration) -> Arc<Self> {
        let folder = cluster_folder("chaos");
        let config = ClusterConfig {
            data_dir: folder.join("database"),
            postgres_bin: std::env::var_os("ARMILLA_POSTGRES_BIN").map(Into::into),
            durability: Durability::Durable,
            extra_bin_dirs: Vec::new(),
        };
        let postgres = Cluster::start(config).await.unwrap();
        let plugins = folder.join("plugins");
        std::fs::create_dir_all(&plugins).unwrap();
        for name in PLUGINS {
            std::fs::copy(component("plugins", name), plugins.join(format!("{name}.wasm"))).unwrap();
        }
        let token = mint(&auth_config().current_secret, &claims(Role::Owner)).unwrap();
        let deployment = Arc::new(Self {
            folder,
            lease,
            postgres,
            hosts: (0..HOSTS).map(|_| tokio::sync::Mutex::default()).collect(),
            urls: Mutex::new(vec![String::new(); HOSTS]),
            client: Client::new("", Some(token)),
        });
        for host in 0..HOSTS {
            deployment.give_code(host);
            deployment.start_host(host).await;
            if host == 0 {
                deployment.keep_code(host);
            }
        }
        deployment
    }

    /// A folder of a host: the same in every life.
    pub(crate) fn folder_of(&self, host: usize) -> PathBuf {
        self.folder.join(format!("host-{host}"))
    }

    /// A host's machine code is its own, and takes long to make: what one campaign's hosts have made, the next ones' find.
    fn give_code(&self, host: usize) {
        let (kept, folder) = (code_folder(), self.folder_of(host));
        std::fs::create_dir_all(folder.join("code")).unwrap();
        for file in files(&kept) {
            let name = file.file_name().unwrap();
            let place = if name == CODE_KEY { folder.join(name) } else { folder.join("code").join(name) };
            std::fs::copy(&file, place).unwrap();
        }
    }

    fn keep_code(&self, host: usize) {
        let (kept, folder) = (code_folder(), self.folder_of(host));
        std::fs::create_dir_all(&kept).unwrap();
        for file in files(&folder.join("code")).into_iter().chain([folder.join(CODE_KEY)]) {
            std::fs::copy(&file, kept.join(file.file_name().unwrap())).unwrap();
        }
    }

    /// Starts a host, however often that takes.
    pub(crate) async fn start_host(&self, host: usize) {
        let (folder, plugins) = (self.folder_of(host), self.folder.join("plugins"));
        let (lease, plugins) = (self.lease.as_secs().to_string(), plugins.to_str().unwrap().to_owned());
        let set = [
            ("ARMILLA_LEASE", lease.as_str()),
            ("ARMILLA_PLUGINS", &plugins),
            ("ARMILLA_JWT_SECRET", JWT_SECRET),
            ("ARMILLA_SECRETS_KEY", SECRETS_KEY),
        ];
        let url = self.postgres.database_url();
        for _ in 0..STARTS_MAX {
            match ServerProcess::try_start_with(&folder, Some(&url), &set).await {
                Ok(server) => {
                    self.urls.lock().unwrap()[host] = server.url().to_owned();
                    *self.hosts[host].lock().await = Some(server);
                    return;
                }
                Err(_) => tokio::time::sleep(START_PAUSE).await,
            }
        }
        panic!("host {host} cannot be started: {}", log_of(&folder));
    }

    pub(crate) async fn kill_host(&self, host: usize) {
        if let Some(server) = self.hosts[host].lock().await.take() {
            server.kill().await;
        }
    }

    /// Asks a host to stop, and waits until it has.
    pub(crate) async fn stop_host(&self, host: usize) {
        if let Some(mut server) = self.hosts[host].lock().await.take() {
            server.signal(Signal::TERM);
            let status = server.ended().await;
            assert_eq!(status.code(), Some(0), "host {host} did not stop well: {}", log_of(&self.folder_of(host)));
        }
    }

    pub(crate) async fn signal_host(&self, host: usize, signal: Signal) {
        if let Some(server) = &*self.hosts[host].lock().await {
            server.signal(signal);
        }
    }

    /// Cuts up to `most` connections of hosts.
    pub(crate) async fn cut(&self, most: i64) -> Result<i64, sqlx::Error> {
        let mut connection = PgConnection::connect_with(&self.options()).await?;
        let cut = sqlx::query(
            "select count(pg_terminate_backend(pid)) as cut from (
                select pid from pg_stat_activity where application_name = 'armilla' order by random() limit $1
            ) some",
        );
        Ok(cut.bind(most).fetch_one(&mut connection).await?.get("cut"))
    }

    /// Ends Postgres's first process with a signal, and waits until its successor answers.
    pub(crate) async fn restart_database(&self, signal: Signal) {
        let before = self.postgres.pid();
        if let Some(pid) = before.and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            let _ = kill_process(pid, signal);
        }
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let is_new = self.postgres.pid().is_some_and(|pid| Some(pid) != before);
            if is_new && PgConnection::connect_with(&self.options()).await.is_ok() {
                return;
            }
        }
    }

    pub(crate) fn options(&self) -> PgConnectOptions {
        self.postgres.connect_options().application_name("chaos")
    }

    /// Sends a request to one host; `None` where nobody knows what became of it.
    pub(crate) async fn ask(&self, host: usize, method: Method, path: &str, body: Option<&Value>) -> Option<Answer> {
        self.ask_with(host, method, path, body, |request| request).await
    }

    /// The same with more in it.
    pub(crate) async fn ask_with(
        &self,
        host: usize,
        method: Method,
        path: &str,
        body: Option<&Value>,
        more: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Option<Answer> {
        let url = self.urls.lock().unwrap()[host % HOSTS].clone();
        let request = self.client.request(method, &format!("{url}{path}"));
        let request = more(match body {
            Some(body) => request.json(body),
            None => request,
        });
        tokio::time::timeout(REQUEST_MAX, self.client.try_send(request)).await.ok()?.ok()
    }

    /// What hosts said of leases that they lost.
    pub(crate) fn leases_lost(&self) -> Vec<Trouble> {
        let logs = (0..HOSTS).map(|host| log_of(&self.folder_of(host)));
        let lost = |line: &str| {
            let line: Value = serde_json::from_str(line).ok()?;
            line["message"].as_str().filter(|message| message.starts_with("The lease of"))?;
            let at = line["timestamp"].as_str()?;
            let at: Micros = sqlx::types::chrono::DateTime::parse_from_rfc3339(at).ok()?.timestamp_micros();
            // Until another host has taken the run up and made the call again.
            let to = at + 2 * self.lease.as_micros() as Micros;
            let run = Some(line["run.id"].as_str()?.to_owned());
            Some(Trouble { kind: TroubleKind::LeaseLost, run, from: at, to })
        };
        logs.flat_map(|log| log.lines().filter_map(lost).collect::<Vec<_>>()).collect()
    }

    /// Takes everything down, and keeps the folder only where `keep` says so.
    pub(crate) async fn end(self: Arc<Self>, keep: bool) {
        for host in 0..HOSTS {
            self.kill_host(host).await;
        }
        let folder = self.folder.clone();
        if let Ok(this) = Arc::try_unwrap(self) {
            this.postgres.stop().await;
        }
        if !keep {
            let _ = armilla_store::cluster::remove_abandoned(&folder.join("database"));
            let _ = std::fs::remove_dir_all(&folder);
        }
    }
}

/// Where machine code is kept between campaigns.
fn code_folder() -> PathBuf {
    target().join("chaos-code")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect()
}

fn log_of(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("serve.log")).unwrap_or_default()
}

/// Where what is left of a campaign that failed is put.
pub(crate) fn evidence() -> PathBuf {
    target().join("chaos")
}
