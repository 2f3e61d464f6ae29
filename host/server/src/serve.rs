//! `armilla serve`: puts everything together, serves, and takes it apart in the right order.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use armilla_agents::Agents;
use armilla_api::auth::Authenticator;
use armilla_api::{ApiState, Check, Readiness};
use armilla_egress::{Egress, EgressPolicy};
use armilla_engine::{
    Clock, Engine, Parts, PipelineTemplates, PluginPolicy, SystemChance, SystemClock, TemplatesFileError,
};
use armilla_registry::Registries;
use armilla_sandbox::{Sandbox, SandboxConfig, SandboxError};
use armilla_store::cluster::{
    Cluster, ClusterConfig, ClusterError, DataDirLock, Durability, LockError, PgConnectOptions,
};
use armilla_store::{Store, StoreError};
use armilla_webhooks::{WebhookError, Webhooks};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tracing::info;

use crate::keys::KeyError;
use crate::memory;
use crate::settings::Settings;
use crate::signals::Ending;
use crate::transform::EngineTools;

/// The file in the data folder that tells where the server listens, while it does.
pub(crate) const ADDRESS_FILE: &str = "address";

/// How long connections may outlive the engine: a caller that never finishes its request must not keep the host.
const CONNECTIONS_GRACE: Duration = Duration::from_secs(1);

/// Why the server does not serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error("cannot listen on {address}: {source}")]
    Listen { address: std::net::SocketAddr, source: io::Error },
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("the database: {source}{}", cause(.source))]
    Store {
        #[from]
        source: StoreError,
    },
    #[error("the database's URL cannot be read; it looks like postgres://user:password@host:5432/database")]
    DatabaseUrl,
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error("the HTTP client: {0}")]
    Egress(#[from] armilla_egress::EgressError),
    #[error("the tokens' settings: {0}")]
    Auth(#[from] armilla_api::auth::AuthConfigError),
    #[error("serving failed: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    PipelineTemplates(#[from] TemplatesFileError),
    #[error("the registries: {0}")]
    Registries(String),
    #[error("the engine could not start: {0}")]
    Engine(#[from] armilla_engine::CommandError),
    #[error("webhooks could not start: {0}")]
    Webhooks(#[from] WebhookError),
}

/// What a database says of itself, which its error leaves out.
fn cause(error: &StoreError) -> String {
    std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default()
}

/// The database, and what this host keeps running for it.
pub(crate) struct Database {
    pub(crate) store: Store,
    /// Taken in any case: keys, cache and host id are one host's.
    _lock: Option<DataDirLock>,
    cluster: Option<Cluster>,
}

impl Database {
    pub(crate) async fn open(settings: &Settings) -> Result<Self, ServeError> {
        if let Some(url) = &settings.database_url {
            let lock = DataDirLock::acquire(&settings.data_dir)?;
            // The parser's own message may quote the URL, which holds a password.
            let options: PgConnectOptions = url.parse().map_err(|_| ServeError::DatabaseUrl)?;
            return Ok(Self { store: Store::new(options), _lock: Some(lock), cluster: None });
        }
        let cluster = Cluster::start(ClusterConfig {
            data_dir: settings.data_dir.clone(),
            postgres_bin: settings.postgres_bin.clone(),
            durability: Durability::Durable,
            extra_bin_dirs: Vec::new(),
        })
        .await?;
        Ok(Self { store: Store::new(cluster.connect_options()), _lock: None, cluster: Some(cluster) })
    }

    /// Closes the connections, then the private cluster.
    pub(crate) async fn close(self) {
        self.store.close().await;
        if let Some(cluster) = self.cluster {
            cluster.stop().await;
        }
    }
}

/// Serves until a signal, then ends in order: no new runs, the running steps' grace, connections, the private cluster.
pub(crate) async fn serve(settings: Settings) -> Result<(), ServeError> {
    let ending = Ending::watch()?;
    let pipeline_templates = match &settings.pipeline_templates {
        Some(file) => PipelineTemplates::open(file, SystemClock.now())?,
        None => PipelineTemplates::built_in(),
    };
    let address = settings.listen;
    let listener = TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })?;
    let egress = Egress::new(EgressPolicy { allowed: settings.egress_allow.clone() })?;
    let sandbox = Sandbox::new(SandboxConfig {
        code_cache: Some(settings.data_dir.join("code")),
        mac_key: settings.keys.code_key()?,
        egress: Some(egress.clone()),
        ..SandboxConfig::default()
    })?;
    // Whoever has the database has the data folder: only then may anything in it be cleared.
    let database = Database::open(&settings).await?;
    let policy = match policy(&settings, &egress) {
        Ok(policy) => policy,
        Err(error) => {
            database.close().await;
            return Err(error);
        }
    };
    let equipment = Equipment { egress, sandbox, policy, pipeline_templates };
    let served = serve_on(listener, ending, &settings, &database, equipment).await;
    database.close().await;
    info!("Stopped");
    served
}

/// What the engine works with besides the database.
struct Equipment {
    egress: Egress,
    sandbox: Sandbox,
    policy: PluginPolicy,
    pipeline_templates: PipelineTemplates,
}

async fn serve_on(
    listener: TcpListener,
    ending: Ending,
    settings: &Settings,
    database: &Database,
    equipment: Equipment,
) -> Result<(), ServeError> {
    database.store.migrate().await?;
    let Equipment { egress, sandbox, policy, pipeline_templates } = equipment;
    let (clock, chance) = (Arc::new(SystemClock), Arc::new(SystemChance));
    let engine = Engine::new(Parts {
        store: database.store.clone(),
        agents: Agents::new(egress.clone()),
        sandbox,
        policy,
        sealing: settings.sealing.clone(),
        limits: settings.limits.clone(),
        pipeline_templates,
        clock: clock.clone(),
        chance: chance.clone(),
        host_id: settings.keys.host_id()?,
    });
    let webhooks = webhooks(settings, database, egress, engine.clone())?;
    let state = ApiState {
        authenticator: Arc::new(Authenticator::new(&settings.auth)?),
        clock,
        chance,
        readiness: readiness(database.store.clone(), engine.clone()),
        engine: engine.clone(),
        webhooks: webhooks.clone(),
    };
    engine.start().await?;
    if let Err(error) = webhooks.start().await {
        engine.stop().await;
        return Err(error.into());
    }
    webhooks.poke_on(engine.told());

    let address = listener.local_addr()?;
    let address_file = settings.data_dir.join(ADDRESS_FILE);
    std::fs::write(&address_file, format!("{address}\n"))?;
    info!(address = %address, "Ready on http://{address}");
    let (ask, asked) = oneshot::channel();
    let begins_nothing_new = engine.stopping();
    let serving = armilla_api::serve(listener, state, async move {
        ending.asked().await;
        // Nobody hears it only where serving is over already.
        let _ = ask.send(());
        // Whoever finds nobody listening knows that this host begins nothing new.
        begins_nothing_new.await;
    });
    let stopping = async {
        // Fails only where serving failed, and then the stop is the same.
        let _ = asked.await;
        // Whoever waits for a run is answered as soon as the engine stops, so most connections end by themselves.
        engine.stop().await;
        // What the last runs told goes out if there is time; it is in the database in any case.
        webhooks.stop().await;
        tokio::time::sleep(CONNECTIONS_GRACE).await;
    };
    let served = tokio::select! {
        served = serving => served,
        () = stopping => Ok(()),
        () = memory::give_back_while_resting(engine.clone()) => Ok(()),
    };
    engine.stop().await;
    webhooks.stop().await;
    // Already gone, if somebody cleared the folder; nothing is lost with it.
    let _ = std::fs::remove_file(&address_file);
    Ok(served?)
}

/// Sends nothing yet.
fn webhooks(settings: &Settings, database: &Database, egress: Egress, engine: Engine) -> Result<Webhooks, ServeError> {
    Ok(Webhooks::new(armilla_webhooks::Parts {
        store: database.store.clone(),
        egress,
        sealing: settings.sealing.clone(),
        clock: Arc::new(SystemClock),
        chance: Arc::new(SystemChance),
        host_id: settings.keys.host_id()?,
        tools: Some(Arc::new(EngineTools(engine))),
    }))
}

/// What was decided about plugins.
fn policy(settings: &Settings, egress: &Egress) -> Result<PluginPolicy, ServeError> {
    let registries = Registries::new(egress.clone(), &settings.registries, &settings.insecure_registries);
    let registries = registries.map_err(|bad| {
        let bad: Vec<String> = bad.iter().map(ToString::to_string).collect();
        ServeError::Registries(bad.join("; "))
    })?;
    let uploads = settings.data_dir.join("uploads");
    if uploads.exists() {
        // What a host that was killed had not received to its end.
        std::fs::remove_dir_all(&uploads)?;
    }
    Ok(PluginPolicy {
        uploads,
        folder: Some(settings.plugins.clone()),
        trusted_keys: Arc::new(settings.plugin_keys.clone()),
        require_signature: settings.require_plugin_signature,
        registries: Some(registries),
    })
}

/// Ready means: the database answers. A file of the plugins folder that could not be loaded is told, and so is what is wrong with
/// the pipeline templates; neither takes the host out of service.
fn readiness(store: Store, engine: Engine) -> Readiness {
    Arc::new(move || {
        let store = store.clone();
        let faults: Vec<String> =
            engine.folder_faults().into_iter().map(|fault| format!("{}: {}", fault.file, fault.detail)).collect();
        let detail = (!faults.is_empty()).then(|| faults.join("; "));
        let plugins = Check { name: "plugins".to_owned(), ok: true, detail };
        let faults: Vec<String> = engine.pipeline_templates().faults.iter().map(ToString::to_string).collect();
        let detail = (!faults.is_empty()).then(|| faults.join("; "));
        let templates = Check { name: "pipeline templates".to_owned(), ok: true, detail };
        Box::pin(async move {
            let answers = store.ping().await.is_ok();
            let detail = (!answers).then(|| "the database does not answer".to_owned());
            vec![Check { name: "database".to_owned(), ok: answers, detail }, plugins, templates]
        })
    })
}
