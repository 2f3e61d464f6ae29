//! A whole server in this process, put together as `armilla serve` does it, and its client.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use armilla_agents::Agents;
use armilla_api::ApiState;
use armilla_api::auth::{AuthConfig, Authenticator, Claims, Role, Secret, mint};
use armilla_domain::id::{RunId, WorkflowId};
use armilla_egress::{Egress, EgressPolicy};
use armilla_engine::{Clock, Engine, Parts, PipelineTemplates, PluginPolicy, SealingKey, SystemChance, SystemClock};
use armilla_sandbox::{Sandbox, SandboxConfig};
use armilla_store::Store;
use armilla_store::cluster::{Cluster, ClusterConfig, Durability, PgConnectOptions, remove_abandoned};
use armilla_webhooks::Webhooks;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing_subscriber::EnvFilter;
use uuid::Uuid;

use crate::agent;

pub(crate) const AGENT_ID: &str = "instant-agent";
const TOKEN_SECONDS: i64 = 3_600;

pub(crate) struct Server {
    data_dir: PathBuf,
    cluster: Cluster,
    store: Store,
    engine: Engine,
    sandbox: Sandbox,
    agent: String,
    client: reqwest::Client,
    url: String,
    token: String,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let data_dir = folder.join("bench-runs");
        if data_dir.exists() {
            // One that was stopped half-way.
            remove_abandoned(&data_dir).unwrap();
        }
        log_to(&folder.join("bench-runs.log"));
        let cluster = Cluster::start(ClusterConfig {
            data_dir: data_dir.clone(),
            postgres_bin: std::env::var_os("ARMILLA_POSTGRES_BIN").map(PathBuf::from),
            durability: Durability::Durable,
            extra_bin_dirs: Vec::new(),
        })
        .await
        .unwrap();
        let store = Store::new(cluster.connect_options());
        store.migrate().await.unwrap();
        let (clock, chance) = (Arc::new(SystemClock), Arc::new(SystemChance));
        let allowed = vec!["127.0.0.0/8".parse().unwrap()];
        let egress = Egress::new(EgressPolicy { allowed }).unwrap();
        let host_id = Uuid::from_u128(2);
        let sandbox = sandbox(folder);
        let engine = Engine::new(Parts {
            store: store.clone(),
            agents: Agents::new(egress.clone()),
            sandbox: sandbox.clone(),
            policy: PluginPolicy {
                uploads: data_dir.join("uploads"),
                folder: Some(plugins()),
                ..PluginPolicy::default()
            },
            sealing: SealingKey::new([9; 32]),
            limits: armilla_engine::RunLimits::default(),
            pipeline_templates: PipelineTemplates::built_in(),
            clock: clock.clone(),
            chance: chance.clone(),
            host_id,
        });
        let webhooks = Webhooks::new(armilla_webhooks::Parts {
            store: store.clone(),
            egress,
            sealing: SealingKey::new([9; 32]),
            clock: clock.clone(),
            chance: chance.clone(),
            host_id,
            tools: None,
        });
        let auth = AuthConfig {
            current_secret: Secret::new([7; 32]).unwrap(),
            previous_secret: None,
            issuer: "armilla".to_owned(),
            audience: "armilla".to_owned(),
            leeway: Duration::ZERO,
        };
        let state = ApiState {
            authenticator: Arc::new(Authenticator::new(&auth).unwrap()),
            clock,
            chance,
            readiness: Arc::new(|| Box::pin(async { Vec::new() })),
            engine: engine.clone(),
            webhooks: webhooks.clone(),
        };
        engine.start().await.unwrap();
        webhooks.start().await.unwrap();
        webhooks.poke_on(engine.told());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(async {
            let until = async { drop(stopped.await) };
            armilla_api::serve(listener, state, until).await.unwrap();
        });
        let (client, token) = (reqwest::Client::new(), token(&auth));
        let agent = format!("http://{}", agent::serve().await);
        let server = Self { data_dir, cluster, store, engine, sandbox, agent, client, url, token, stop, serving };
        server.grant_the_clock().await;
        server.post("/agents", &json!({ "id": AGENT_ID, "protocol": "openai", "endpoint": &server.agent })).await;
        server
    }

    pub(crate) fn connect_options(&self) -> PgConnectOptions {
        self.cluster.connect_options()
    }

    /// The process that all of Postgres descends from.
    pub(crate) fn postmaster(&self) -> u32 {
        self.cluster.pid().unwrap()
    }

    /// What its tools run in.
    pub(crate) fn sandbox(&self) -> Sandbox {
        self.sandbox.clone()
    }

    /// Where its agent is.
    pub(crate) fn agent(&self) -> &str {
        &self.agent
    }

    async fn grant_the_clock(&self) {
        let grants = format!("{}/plugins/time/grants", self.url);
        let request = self.client.put(grants).bearer_auth(&self.token).json(&json!({ "clock": true }));
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    pub(crate) async fn create_workflow(&self, name: &str, definition: &Value) -> WorkflowId {
        let created = self.post("/workflows", &json!({ "name": name, "definition": definition })).await;
        let created: Value = serde_json::from_slice(&created).unwrap();
        created["workflow"]["id"].as_str().unwrap().parse().unwrap()
    }

    /// Starts a run and waits for its end, as one request.
    pub(crate) fn run(&self, workflow: WorkflowId) -> impl Future<Output = ()> + Send + use<> {
        let run = self.run_and_name(workflow);
        async {
            run.await;
        }
    }

    pub(crate) fn run_and_name(&self, workflow: WorkflowId) -> impl Future<Output = RunId> + Send + use<> {
        let input = json!({ "input": { "topic": "the armillary sphere" } });
        let answered = self.post(&format!("/workflows/{workflow}/run"), &input);
        async {
            let Answer { run } = serde_json::from_slice(&answered.await).unwrap();
            assert_eq!(run.status, "success");
            run.id
        }
    }

    fn post(&self, path: &str, body: &Value) -> impl Future<Output = Vec<u8>> + Send + use<> {
        let request = self.client.post(format!("{}{path}", self.url)).bearer_auth(&self.token).json(body);
        async {
            let answer = request.send().await.unwrap();
            let (status, body) = (answer.status(), answer.bytes().await.unwrap());
            assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
            body.into()
        }
    }

    pub(crate) async fn stop(self) {
        let Self { data_dir, cluster, store, engine, client, stop, serving, .. } = self;
        // Its idle connections would be waited for.
        drop(client);
        engine.stop().await;
        stop.send(()).unwrap();
        serving.await.unwrap();
        store.close().await;
        cluster.stop().await;
        remove_abandoned(&data_dir).unwrap();
    }
}

#[derive(Deserialize)]
struct Answer {
    run: Run,
}

#[derive(Deserialize)]
struct Run {
    id: RunId,
    status: String,
}

fn sandbox(folder: &Path) -> Sandbox {
    let code_cache = Some(folder.join("plugin-code"));
    Sandbox::new(SandboxConfig { code_cache, mac_key: [7; 32], ..Default::default() }).unwrap()
}

/// The shipped plugins, which `make plugins` builds.
pub(crate) fn plugins() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins");
    assert!(folder.join("text.wasm").is_file(), "no plugins: build them with `make plugins`");
    folder
}

fn token(auth: &AuthConfig) -> String {
    let now = SystemClock.now().timestamp();
    let claims = Claims {
        sub: "bench".to_owned(),
        role: Role::Admin,
        ws: None,
        iat: now,
        nbf: None,
        exp: now + TOKEN_SECONDS,
        iss: auth.issuer.clone(),
        aud: auth.audience.clone(),
    };
    mint(&auth.current_secret, &claims).unwrap()
}

/// Log lines cost as much as those of a server whose standard error is a file.
fn log_to(file: &Path) {
    let filter = EnvFilter::try_from_env("ARMILLA_LOG").unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Arc::new(File::create(file).unwrap()));
    lines.json().flatten_event(true).with_current_span(true).with_span_list(false).init();
}
