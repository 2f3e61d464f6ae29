//! The embedded default: a private Postgres cluster in the host's data folder, on a unix socket without TCP, that comes
//! up with the host, is started again when it falls, and goes down with the host however the host ends.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use tracing::info;

mod account;
pub mod databases;
mod finder;
mod lock;
mod place;
mod prepare;
mod process;
mod supervise;

pub use finder::POSTGRES_MAJOR_MIN;
pub use lock::{DataDirLock, LockError};
pub use place::SOCKET_PATH_BYTES_MAX;
pub use process::{LOG_BYTES_MAX, LOG_TAIL_BYTES_MAX};
/// How to reach a database: named here for callers that know no sqlx.
pub use sqlx::postgres::PgConnectOptions;
pub use supervise::{LEFTOVER_SECONDS_MAX, RESTART_MILLIS_MAX, RESTART_MILLIS_MIN};

use prepare::Prepared;
use supervise::{Progress, Shared, supervise};

/// Until the first answer. Long, because a cluster that was cut off replays its log first, which may be a gigabyte.
pub const START_SECONDS_MAX: u64 = 300;
/// For a fast shutdown, which writes a checkpoint; after it sessions are cut off.
pub const STOP_SECONDS_MAX: u64 = 30;
/// For an immediate shutdown: Postgres itself kills its children after five seconds.
const QUIT_SECONDS_MAX: u64 = 8;

const PROBE_PAUSE: Duration = Duration::from_millis(10);
const PROBE_SECONDS_MAX: u64 = 10;
const STILL_STARTING_SECONDS: u64 = 5;

/// The superuser of a private cluster. Whoever comes through the socket's folder is it.
const ROLE: &str = "armilla";
/// The host's database in a private cluster.
const DATABASE: &str = "armilla";

/// What a crash of the machine may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing that was committed.
    Durable,
    /// Everything: for tests.
    Disposable,
}

/// Which cluster, and what to run it with.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// The host's data folder. The cluster lives in its subfolder `postgres`.
    pub data_dir: PathBuf,
    /// The folder with `initdb` and `postgres`; where it is not given they are looked for.
    pub postgres_bin: Option<PathBuf>,
    /// What a crash of the machine may cost.
    pub durability: Durability,
    /// Looked into last.
    pub extra_bin_dirs: Vec<PathBuf>,
}

/// Why a private cluster is not there. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The data folder is another host's, or not usable.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// No Postgres that fits.
    #[error(
        "no Postgres {wanted} to run: {found}. Install it (`apt-get install postgresql`, `dnf install postgresql-server`, \
         `apk add postgresql`, `brew install postgresql`), name the folder of its programs in ARMILLA_POSTGRES_BIN, or use a \
         server of your own with --database-url"
    )]
    NoPostgres {
        /// The versions that would do.
        wanted: String,
        /// What is there instead.
        found: String,
    },
    /// The cluster needs its own major version.
    #[error(
        "the cluster was made by Postgres {cluster_major}, which alone can open it, and {found}. Install Postgres \
         {cluster_major}, name the folder of its programs in ARMILLA_POSTGRES_BIN, move the cluster with pg_upgrade, or \
         begin an empty one with another --data-dir"
    )]
    OtherMajor {
        /// Of the cluster.
        cluster_major: u32,
        /// What is there instead.
        found: String,
    },
    /// Root, and nobody else to run Postgres as.
    #[error(
        "Postgres refuses to run as root, and there is neither an account `postgres` nor `nobody`: run armilla as an \
         ordinary user, or use a server of your own with --database-url"
    )]
    NoAccount,
    /// The account that runs Postgres cannot come to the files.
    #[error(
        "{account} runs Postgres here and cannot come to {}: let it pass with `chmod o+x {}`", .home.display(), .closed.display()
    )]
    Unreachable {
        /// Where it would have to go.
        home: PathBuf,
        /// Who.
        account: String,
        /// The folder it may not enter.
        closed: PathBuf,
    },
    /// A folder we need is somebody else's.
    #[error(
        "{} is no folder of the account that needs it, but of user id {owner}: run armilla as that user, hand the folder \
         over with chown, or choose another --data-dir", .folder.display()
    )]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// The cluster was placed elsewhere and is not there any more.
    #[error(
        "the cluster of this data folder was in {}, which is gone: bring it back or, to begin with an empty one, remove {}",
        .home.display(), .marker.display()
    )]
    Gone {
        /// Where it was.
        home: PathBuf,
        /// The file that says so.
        marker: PathBuf,
    },
    /// No folder whose path is short enough for a socket.
    #[error(
        "a socket's path may have {SOCKET_PATH_BYTES_MAX} bytes, and those in {} and {} have more: choose a shorter --data-dir \
         or set TMPDIR to a shorter folder", .folder.display(), .temporary.display()
    )]
    SocketPath {
        /// The usual folder.
        folder: PathBuf,
        /// The one tried in its place.
        temporary: PathBuf,
    },
    /// `initdb` failed.
    #[error("initdb failed ({status}); {log}")]
    Init {
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its output.
        log: String,
    },
    /// `postgres` ended before it answered.
    #[error("Postgres did not start ({status}); {log}")]
    Start {
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// `postgres` runs and does not answer.
    #[error("Postgres did not answer within {START_SECONDS_MAX} s; {log}")]
    NoAnswer {
        /// The last lines of its log.
        log: String,
    },
    /// `postgres` answered with an error.
    #[error("the new cluster refuses its owner: {0}")]
    Connect(#[from] sqlx::Error),
    /// The file system said no.
    #[error("could not {action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The supervising thread ended without an error of its own.
    #[error("the thread that supervises Postgres ended unexpectedly")]
    Abandoned,
}

fn io_at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ClusterError {
    let path = path.to_owned();
    move |source| ClusterError::Io { action, path, source }
}

/// A running private cluster. It goes down when this is dropped, gently with [`Cluster::stop`].
#[derive(Debug)]
pub struct Cluster {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    prepared: Prepared,
}

impl Cluster {
    /// Takes the data folder, makes the cluster where there is none, and returns once it answers.
    pub async fn start(config: ClusterConfig) -> Result<Self, ClusterError> {
        let started_at = Instant::now();
        let starting = Starting::spawn(config)?;
        let mut progress = starting.shared.progress.subscribe();
        let prepared = match progress.wait_for(|progress| !matches!(progress, Progress::Preparing)).await.as_deref() {
            Ok(Progress::Supervising(prepared)) => prepared.clone(),
            _ => return Err(starting.error()),
        };
        let ended = progress.wait_for(|progress| matches!(progress, Progress::Ended));
        tokio::select! {
            _ = ended => return Err(starting.error()),
            answered = tokio::time::timeout(Duration::from_secs(START_SECONDS_MAX), first_answer(&starting.shared, &prepared)) => {
                answered.map_err(|_| ClusterError::NoAnswer { log: prepared.log_tail() })??;
            }
        }
        starting.shared.set_ready();
        let cluster = starting.into_cluster(prepared);
        info!(duration_ms = started_at.elapsed().as_millis() as u64, "The private Postgres cluster answers");
        Ok(cluster)
    }

    /// How to reach the host's database.
    pub fn connect_options(&self) -> PgConnectOptions {
        self.prepared.connect_options()
    }

    /// The same for `psql` and other programs.
    pub fn database_url(&self) -> String {
        self.prepared.database_url()
    }

    /// The postmaster's process id; `None` while it is down.
    pub fn pid(&self) -> Option<u32> {
        self.shared.child()
    }

    /// Shuts Postgres down: fast, and immediately when that takes more than [`STOP_SECONDS_MAX`].
    pub async fn stop(self) {
        let mut progress = self.shared.progress.subscribe();
        self.shared.stop(Signal::INT);
        let ended = progress.wait_for(|progress| matches!(progress, Progress::Ended));
        if tokio::time::timeout(Duration::from_secs(STOP_SECONDS_MAX), ended).await.is_err() {
            tracing::warn!("Postgres did not shut down within {STOP_SECONDS_MAX} s and is cut off");
        }
        // What is left to do, if anything, is the drop's.
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        end(&self.shared, self.thread.take());
    }
}

/// Removes the cluster of a data folder together with the folder, unless a host uses it. For disposable clusters whose
/// process is gone.
pub fn remove_abandoned(data_dir: &Path) -> Result<(), ClusterError> {
    let _lock = DataDirLock::acquire(data_dir)?;
    let data_dir = data_dir.canonicalize().map_err(io_at("find", data_dir))?;
    place::remove(&data_dir).map_err(io_at("remove", &data_dir))
}

/// The thread before the first answer; dropped, it takes everything down again.
struct Starting {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Starting {
    fn spawn(config: ClusterConfig) -> Result<Self, ClusterError> {
        let data_dir = config.data_dir.clone();
        let shared = Arc::new(Shared::new());
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("postgres-supervisor".into())
            .spawn(move || supervise(&of_thread, &config))
            .map_err(io_at("start a thread for", &data_dir))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    fn error(&self) -> ClusterError {
        self.shared.take_error().unwrap_or(ClusterError::Abandoned)
    }

    fn into_cluster(mut self, prepared: Prepared) -> Cluster {
        Cluster { shared: Arc::clone(&self.shared), thread: self.thread.take(), prepared }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        end(&self.shared, self.thread.take());
    }
}

fn end(shared: &Shared, thread: Option<JoinHandle<()>>) {
    let Some(thread) = thread else { return };
    shared.stop(Signal::QUIT);
    if !shared.wait_for_end(Duration::from_secs(QUIT_SECONDS_MAX)) {
        shared.stop(Signal::KILL);
    }
    // Fails only if the thread panicked, which the panic has told already.
    let _ = thread.join();
}

/// Waits until the Postgres that we started answers as `armilla` in its own database, which is made at the first start.
async fn first_answer(shared: &Shared, prepared: &Prepared) -> Result<(), ClusterError> {
    let options = prepared.connect_options();
    let mut told_at = Instant::now();
    loop {
        // The socket may still be that of a Postgres whose host was killed: its pid file says whose it is.
        let is_ours = shared.child().is_some() && prepared.pid_in_file() == shared.child();
        if is_ours
            && let Ok(answer) = tokio::time::timeout(Duration::from_secs(PROBE_SECONDS_MAX), probe(&options)).await
        {
            match answer {
                Ok(()) => return Ok(()),
                Err(error) if is_not_yet(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if told_at.elapsed() > Duration::from_secs(STILL_STARTING_SECONDS) {
            info!("Postgres is still starting");
            told_at = Instant::now();
        }
        tokio::time::sleep(PROBE_PAUSE).await;
    }
}

async fn probe(options: &PgConnectOptions) -> Result<(), sqlx::Error> {
    match PgConnection::connect_with(options).await {
        Ok(connection) => connection.close().await,
        Err(error) if has_code(&error, "3D000") => {
            let mut connection = PgConnection::connect_with(&options.clone().database("postgres")).await?;
            sqlx::raw_sql(AssertSqlSafe(format!("create database {DATABASE}"))).execute(&mut connection).await?;
            connection.close().await
        }
        Err(error) => Err(error),
    }
}

/// No socket, nobody at it, or "the database system is starting up".
fn is_not_yet(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(_)) || has_code(error, "57P03")
}

fn has_code(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|found| found == code)
}
