//! Everything before the first start: the lock, the account, the place, the programs, and `initdb`.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tracing::info;

use super::account::{Account, AccountFacts, choose_account};
use super::finder::{find, parse_major};
use super::lock::DataDirLock;
use super::place::{Home, PORT, make_folder, make_home, make_socket_dir};
use super::process::{Log, child};
use super::supervise::Shared;
use super::{ClusterConfig, ClusterError, DATABASE, Durability, ROLE, io_at};

/// A cluster that can be started.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    durability: Durability,
    account: Option<Account>,
    bin_dir: PathBuf,
    home: Home,
    socket_dir: PathBuf,
    log: Log,
}

/// Takes the data folder and makes its cluster ready to start. `None`: told to stop meanwhile.
pub(super) fn prepare(
    shared: &Shared,
    config: &ClusterConfig,
) -> Result<Option<(Prepared, DataDirLock)>, ClusterError> {
    let lock = DataDirLock::acquire(&config.data_dir)?;
    let data_dir = config.data_dir.canonicalize().map_err(io_at("find", &config.data_dir))?;
    let existing = Home::existing(&data_dir).map_err(io_at("read", &data_dir))?;
    let account = account_for(&data_dir, existing.as_ref())?;
    let cluster_major = existing.as_ref().map(|home| cluster_major(&home.data())).transpose()?;
    let bin_dir = find(config.postgres_bin.as_deref(), &config.extra_bin_dirs, account.as_ref(), cluster_major)?;
    let home = make_home(&data_dir, config.durability, account.as_ref())?;
    let socket_dir = make_socket_dir(&home, account.as_ref())?;
    let log_path = data_dir.join("postgres.log");
    let log = Log::new(log_path.clone()).map_err(io_at("put aside", &log_path))?;
    let prepared = Prepared { durability: config.durability, account, bin_dir, home, socket_dir, log };
    let is_there = cluster_major.is_some() || prepared.init(shared)?;
    Ok(is_there.then_some((prepared, lock)))
}

fn account_for(data_dir: &Path, existing: Option<&Home>) -> Result<Option<Account>, ClusterError> {
    let owner = |path: &Path| fs::metadata(path).map(|facts| (facts.uid(), facts.gid())).map_err(io_at("read", path));
    let cluster_owner = existing.map(|home| owner(&home.data())).transpose()?;
    let euid = rustix::process::geteuid().as_raw();
    if let (Some((owner, _)), Some(home)) = (cluster_owner, existing)
        && euid != 0
        && owner != euid
    {
        return Err(ClusterError::Foreign { folder: home.data(), owner });
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let facts = AccountFacts { euid, cluster_owner, data_dir_owner: Some(owner(data_dir)?), passwd: &passwd };
    choose_account(&facts).map_err(|()| ClusterError::NoAccount)
}

fn cluster_major(data: &Path) -> Result<u32, ClusterError> {
    let path = data.join("PG_VERSION");
    let text = fs::read_to_string(&path).map_err(io_at("read", &path))?;
    parse_major(&text).ok_or_else(|| io_at("understand", &path)(std::io::ErrorKind::InvalidData.into()))
}

impl Prepared {
    /// Makes the cluster under a temporary name and renames it: a half-made one is never mistaken for a whole one.
    fn init(&self, shared: &Shared) -> Result<bool, ClusterError> {
        let unfinished = self.home.unfinished();
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(io_at("remove", &unfinished))?;
        }
        info!(cluster.home = %self.home.path().display(), "Making a new Postgres cluster");
        make_folder(&unfinished, 0o700, self.account.as_ref())?;
        let initdb = self.bin_dir.join("initdb");
        let mut command =
            child(&initdb, self.account.as_ref(), Signal::INT, &self.log).map_err(io_at("run", &initdb))?;
        command.arg("--pgdata").arg(&unfinished);
        command.args(["--username", ROLE, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions"]);
        if self.durability == Durability::Disposable {
            command.arg("--no-sync");
        }
        let Some(status) = shared.run(&mut command).map_err(io_at("run", &initdb))? else { return Ok(false) };
        if !status.success() {
            return Err(ClusterError::Init { status, log: self.log.tail() });
        }
        let data = self.home.data();
        fs::rename(&unfinished, &data).map_err(io_at("name", &data))?;
        if self.durability == Durability::Durable {
            let home = self.home.path();
            File::open(home).and_then(|folder| folder.sync_all()).map_err(io_at("sync", home))?;
        }
        Ok(true)
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.bin_dir.join("postgres")
    }

    pub(super) fn postgres_command(&self) -> Result<Command, ClusterError> {
        // Fast shutdown saves what a restart would have to recover; a disposable cluster just goes.
        let death_signal = match self.durability {
            Durability::Durable => Signal::INT,
            Durability::Disposable => Signal::QUIT,
        };
        let mut command = child(&self.postgres(), self.account.as_ref(), death_signal, &self.log)
            .map_err(io_at("run", &self.postgres()))?;
        command.arg("-D").arg(self.home.data()).arg("-k").arg(&self.socket_dir);
        for setting in settings(self.durability) {
            command.args(["-c", setting]);
        }
        command.args(["-c", &format!("port={PORT}")]);
        Ok(command)
    }

    pub(super) fn connect_options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.socket_dir)
            .port(PORT)
            .username(ROLE)
            .database(DATABASE)
            .ssl_mode(PgSslMode::Disable)
            .application_name("armilla")
    }

    pub(super) fn database_url(&self) -> String {
        let socket_dir = percent_encode(&self.socket_dir);
        format!("postgres://{ROLE}@{socket_dir}:{PORT}/{DATABASE}")
    }

    pub(super) fn log_tail(&self) -> String {
        self.log.tail()
    }

    fn pid_file(&self) -> PathBuf {
        self.home.data().join("postmaster.pid")
    }

    pub(super) fn has_pid_file(&self) -> bool {
        self.pid_file().exists()
    }

    /// The process that the pid file names.
    pub(super) fn pid_in_file(&self) -> Option<u32> {
        fs::read_to_string(self.pid_file()).ok()?.lines().next()?.trim().parse().ok()
    }

    /// Whether a pid file is there. One that names no running Postgres is removed first: after a crash ids repeat, in a
    /// container at once, and Postgres would refuse to start for as long as that id is taken. Sessions that outlive
    /// their postmaster are still noticed, by the shared memory they hold.
    pub(super) fn judge_pid_file(&self) -> bool {
        let Some(pid) = self.pid_in_file() else { return self.has_pid_file() };
        // Where there is no /proc, or no such process, Postgres decides.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
        if is_running_postgres(&stat) {
            return true;
        }
        info!(process.pid = pid, "Removing the pid file of a Postgres that is gone; its process id is another's now");
        fs::remove_file(self.pid_file()).is_err()
    }
}

/// Judges the text of `/proc/PID/stat`: `23591 (postgres) S 1 …`. A zombie runs no more, but keeps its id until its
/// parent looks, which not every container's first process does.
fn is_running_postgres(stat: &str) -> bool {
    stat.split_once(" (postgres) ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn settings(durability: Durability) -> impl Iterator<Item = &'static str> {
    const COMMON: [&str; 6] = [
        "listen_addresses=",
        "unix_socket_permissions=0700",
        "shared_buffers=128MB",
        "timezone=UTC",
        "log_timezone=UTC",
        "lc_messages=C",
    ];
    let own: &[&str] = match durability {
        Durability::Durable => &["max_connections=100"],
        Durability::Disposable => &[
            "max_connections=200",
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "wal_level=minimal",
            "max_wal_senders=0",
        ],
    };
    COMMON.iter().chain(own).copied()
}

fn percent_encode(path: &Path) -> String {
    let encode = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(*byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    path.as_os_str().as_encoded_bytes().iter().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_no_postgres_or_has_ended_does_not_hold_a_cluster() {
        assert!(is_running_postgres("23591 (postgres) S 23586 23591 23591 0"));
        assert!(!is_running_postgres("23591 (postgres) Z 1 23591 23591 0"));
        assert!(!is_running_postgres("23591 (tokio-runtime-w) S 1 23591 23591 0"));
    }

    #[test]
    fn only_a_disposable_cluster_gives_up_durability() {
        assert!(!settings(Durability::Durable).any(|setting| setting.contains("=off")));
        assert!(settings(Durability::Disposable).any(|setting| setting == "fsync=off"));
        for durability in [Durability::Durable, Durability::Disposable] {
            assert!(settings(durability).any(|setting| setting == "listen_addresses="));
        }
    }

    #[test]
    fn a_socket_folder_is_written_into_a_url_byte_by_byte() {
        assert_eq!(percent_encode(Path::new("/a b/ü@:x-1.d")), "%2Fa%20b%2F%C3%BC%40%3Ax-1.d");
    }
}
