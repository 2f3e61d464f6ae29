//! `armilla serve`: puts everything together, serves, and takes it apart in the right order.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use armilla_agents::Agents;
use armilla_api::auth::Authenticator;
use armilla_api::{ApiState, Check, Readiness};
use armilla_egress::{Egress, EgressPolicy};
use armilla_engine::{Engine, Parts, SystemChance, SystemClock};
use armilla_sandbox::{Sandbox, SandboxConfig, SandboxError};
use armilla_store::cluster::{
    Cluster, ClusterConfig, ClusterError, DataDirLock, Durability, LockError, PgConnectOptions,
};
use armilla_store::{Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::keys::KeyError;
use crate::settings::Settings;
use crate::signals::Ending;

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
    #[error("the engine could not start: {0}")]
    Engine(#[from] armilla_engine::CommandError),
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
    let address = settings.listen;
    let listener = TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })?;
    let sandbox = Sandbox::new(SandboxConfig {
        code_cache: Some(settings.data_dir.join("code")),
        mac_key: settings.keys.code_key()?,
        ..SandboxConfig::default()
    })?;
    // Both take their time, and neither needs the other.
    let (database, plugin_faults) = tokio::join!(Database::open(&settings), load_plugins(&sandbox, &settings.plugins));
    let database = database?;
    let served = serve_on(listener, ending, &settings, &database, sandbox, plugin_faults).await;
    database.close().await;
    info!("Stopped");
    served
}

async fn serve_on(
    listener: TcpListener,
    ending: Ending,
    settings: &Settings,
    database: &Database,
    sandbox: Sandbox,
    plugin_faults: Vec<String>,
) -> Result<(), ServeError> {
    database.store.migrate().await?;
    let (clock, chance) = (Arc::new(SystemClock), Arc::new(SystemChance));
    let engine = Engine::new(Parts {
        store: database.store.clone(),
        agents: Agents::new(Egress::new(EgressPolicy { allowed: settings.egress_allow.clone() })?),
        sandbox,
        clock: clock.clone(),
        chance: chance.clone(),
        host_id: settings.keys.host_id()?,
    });
    let state = ApiState {
        authenticator: Arc::new(Authenticator::new(&settings.auth)?),
        clock,
        chance,
        readiness: readiness(database.store.clone(), plugin_faults),
        engine: engine.clone(),
    };
    engine.start().await?;

    let address = listener.local_addr()?;
    let address_file = settings.data_dir.join(ADDRESS_FILE);
    std::fs::write(&address_file, format!("{address}\n"))?;
    info!(address = %address, "Ready on http://{address}");
    let (ask, asked) = oneshot::channel();
    let serving = armilla_api::serve(listener, state, async move {
        ending.asked().await;
        // Nobody hears it only where serving is over already.
        let _ = ask.send(());
    });
    let stopping = async {
        // Fails only where serving failed, and then the stop is the same.
        let _ = asked.await;
        // Whoever waits for a run is answered as soon as the engine stops, so most connections end by themselves.
        engine.stop().await;
        tokio::time::sleep(CONNECTIONS_GRACE).await;
    };
    let served = tokio::select! {
        served = serving => served,
        () = stopping => Ok(()),
    };
    engine.stop().await;
    // Already gone, if somebody cleared the folder; nothing is lost with it.
    let _ = std::fs::remove_file(&address_file);
    Ok(served?)
}

/// Loads what the folder holds, and gives what is wrong with the rest.
async fn load_plugins(sandbox: &Sandbox, folder: &Path) -> Vec<String> {
    if !folder.is_dir() {
        info!("No plugins: there is no folder {}", folder.display());
        return Vec::new();
    }
    let mut faults = Vec::new();
    for loaded in sandbox.load_folder(folder).await {
        match loaded {
            Ok(plugin) => info!(
                plugin.name = %plugin.name, plugin.digest = %plugin.digest, from_cache = plugin.from_cache,
                "Plugin `{}` {} is loaded", plugin.name, plugin.version
            ),
            Err(error) => {
                warn!("A plugin was not loaded: {error}");
                faults.push(error.to_string());
            }
        }
    }
    faults
}

/// Ready means: the database answers. A plugin that could not be loaded is told, and does not take the host out of service.
fn readiness(store: Store, plugin_faults: Vec<String>) -> Readiness {
    let plugins = Check {
        name: "plugins".to_owned(),
        ok: true,
        detail: (!plugin_faults.is_empty()).then(|| plugin_faults.join("; ")),
    };
    Arc::new(move || {
        let (store, plugins) = (store.clone(), plugins.clone());
        Box::pin(async move {
            let answers = store.ping().await.is_ok();
            let detail = (!answers).then(|| "the database does not answer".to_owned());
            vec![Check { name: "database".to_owned(), ok: answers, detail }, plugins]
        })
    })
}
