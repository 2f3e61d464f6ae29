//! Where a cluster's files and its socket live.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tracing::info;

use super::account::{Account, first_closed_folder, may_enter};
use super::{ClusterError, Durability, io_at};

/// What `sun_path` of a socket address holds without its closing zero.
pub const SOCKET_PATH_BYTES_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// How many abandoned clusters of one data folder may lie beside each other before somebody has to look.
const ELSEWHERE_NAMES_MAX: u32 = 100;

/// Only part of the socket's name: nothing listens on TCP.
pub(super) const PORT: u16 = 5432;

const MARKER_FILE: &str = "postgres.location";
const DURABLE_ELSEWHERE: &str = "/var/lib/armilla";

/// The folder of one cluster. Where another account runs Postgres it stays ours, so that nothing in it can be swapped
/// for a link under our hands, and only `data` and `socket` are that account's.
#[derive(Debug, Clone)]
pub(super) struct Home(PathBuf);

impl Home {
    pub(super) fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    pub(super) fn unfinished(&self) -> PathBuf {
        self.0.join("initdb-unfinished")
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The home that a data folder's cluster already has, in it or elsewhere.
    pub(super) fn existing(data_dir: &Path) -> io::Result<Option<Self>> {
        let home = Self(recorded(data_dir)?.unwrap_or_else(|| local(data_dir)));
        Ok(home.data().join("PG_VERSION").exists().then_some(home))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    InDataDir,
    Recorded,
    Elsewhere,
}

#[derive(Debug, Clone, Copy)]
struct PlaceFacts {
    durability: Durability,
    /// A marker in the data folder names a place.
    is_recorded: bool,
    /// … and that place is there.
    recorded_exists: bool,
    /// The data folder itself has a cluster.
    local_exists: bool,
    /// The account that runs Postgres can come to the data folder.
    is_reachable: bool,
}

/// `None`: a durable cluster was recorded elsewhere and is gone, which only an operator can judge.
fn choose_place(facts: PlaceFacts) -> Option<Place> {
    match facts {
        PlaceFacts { is_recorded: true, recorded_exists: true, .. } => Some(Place::Recorded),
        PlaceFacts { is_recorded: true, durability: Durability::Durable, .. } => None,
        PlaceFacts { local_exists: true, .. } | PlaceFacts { is_reachable: true, .. } => Some(Place::InDataDir),
        _ => Some(Place::Elsewhere),
    }
}

/// Chooses and makes the home of the cluster of `data_dir`, which exists and is canonical.
pub(super) fn make_home(
    data_dir: &Path,
    durability: Durability,
    account: Option<&Account>,
) -> Result<Home, ClusterError> {
    let closed = match account {
        Some(account) => closed_to(data_dir, account)?,
        None => None,
    };
    let recorded = recorded(data_dir).map_err(io_at("read", data_dir))?;
    let facts = PlaceFacts {
        durability,
        is_recorded: recorded.is_some(),
        recorded_exists: recorded.as_ref().is_some_and(|home| home.exists()),
        local_exists: local(data_dir).join("data").exists(),
        is_reachable: closed.is_none(),
    };
    let marker = data_dir.join(MARKER_FILE);
    let place = choose_place(facts)
        .ok_or_else(|| ClusterError::Gone { home: recorded.clone().unwrap_or_default(), marker: marker.clone() })?;
    match (place, account, closed) {
        (Place::Recorded, ..) => Ok(Home(recorded.unwrap_or_default())),
        (Place::InDataDir, Some(account), Some(closed)) => {
            Err(ClusterError::Unreachable { home: local(data_dir), account: account.name.clone(), closed })
        }
        (Place::Elsewhere, Some(account), Some(closed)) => {
            let home = make_elsewhere(data_dir, durability, account)?;
            fs::write(&marker, home.as_os_str().as_bytes()).map_err(io_at("write", &marker))?;
            info!(
                cluster.home = %home.display(),
                "The cluster lives in {}: {} runs Postgres here and may not enter {}",
                home.display(), account.name, closed.display()
            );
            Ok(Home(home))
        }
        _ => {
            let home = local(data_dir);
            if let Some(account) = account {
                open_for_passage(data_dir, account)?;
            }
            make_folder(&home, if account.is_some() { 0o711 } else { 0o700 }, None)?;
            Ok(Home(home))
        }
    }
}

/// The folder for the socket, made if need be: in the home where the path is short enough, else in the temporary folder.
pub(super) fn make_socket_dir(home: &Home, account: Option<&Account>) -> Result<PathBuf, ClusterError> {
    let folder = choose_socket_dir(home.path(), &std::env::temp_dir())?;
    if let Some(account) = account.filter(|_| !folder.starts_with(home.path()))
        && let Some(closed) = first_closed_folder(&std::env::temp_dir(), account).map_err(io_at("read", &folder))?
    {
        return Err(ClusterError::Unreachable { home: folder, account: account.name.clone(), closed });
    }
    make_folder(&folder, 0o700, account)?;
    Ok(folder)
}

fn choose_socket_dir(home: &Path, temporary: &Path) -> Result<PathBuf, ClusterError> {
    let socket_bytes = |folder: &Path| folder.as_os_str().len() + format!("/.s.PGSQL.{PORT}").len();
    let folders = [home.join("socket"), temporary.join(format!("armilla-{}", short_hash(home)))];
    let fit = folders.iter().find(|folder| socket_bytes(folder) <= SOCKET_PATH_BYTES_MAX);
    fit.cloned().ok_or_else(|| ClusterError::SocketPath { folder: folders[0].clone(), temporary: folders[1].clone() })
}

/// Removes a cluster and its data folder. Only for a folder whose lock the caller holds.
pub(super) fn remove(data_dir: &Path) -> io::Result<()> {
    let home = Home(recorded(data_dir)?.unwrap_or_else(|| local(data_dir)));
    let socket_dir = choose_socket_dir(home.path(), &std::env::temp_dir());
    for folder in [Some(home.path()), socket_dir.as_deref().ok(), Some(data_dir)].into_iter().flatten() {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The first 16 hexadecimal digits of a path's SHA-256: names differ where paths differ.
fn short_hash(path: &Path) -> String {
    Sha256::digest(path.as_os_str().as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn local(data_dir: &Path) -> PathBuf {
    data_dir.join("postgres")
}

fn recorded(data_dir: &Path) -> io::Result<Option<PathBuf>> {
    match fs::read_to_string(data_dir.join(MARKER_FILE)) {
        Ok(home) => Ok(Some(home.trim_end().into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What keeps `account` from the data folder and is not for us to open: a folder above it, or itself if another's.
fn closed_to(data_dir: &Path, account: &Account) -> Result<Option<PathBuf>, ClusterError> {
    let closed = first_closed_folder(data_dir, account).map_err(io_at("read", data_dir))?;
    let owner = fs::metadata(data_dir).map_err(io_at("read", data_dir))?.uid();
    Ok(closed.filter(|closed| closed != data_dir || owner != rustix::process::geteuid().as_raw()))
}

/// Lets `account` pass through our data folder without seeing what else is in it.
fn open_for_passage(data_dir: &Path, account: &Account) -> Result<(), ClusterError> {
    let facts = fs::metadata(data_dir).map_err(io_at("read", data_dir))?;
    if may_enter(account, facts.mode(), facts.uid(), facts.gid()) {
        return Ok(());
    }
    let bit = if facts.gid() == account.gid { 0o010 } else { 0o001 };
    let mode = fs::Permissions::from_mode((facts.mode() & 0o7777) | bit);
    fs::set_permissions(data_dir, mode).map_err(io_at("open for passage", data_dir))
}

fn make_elsewhere(data_dir: &Path, durability: Durability, account: &Account) -> Result<PathBuf, ClusterError> {
    let name = short_hash(data_dir);
    let (base, name) = match durability {
        Durability::Durable => (PathBuf::from(DURABLE_ELSEWHERE), name),
        Durability::Disposable => (std::env::temp_dir(), format!("armilla-cluster-{name}")),
    };
    DirBuilder::new().recursive(true).mode(0o755).create(&base).map_err(io_at("make", &base))?;
    if let Some(closed) = first_closed_folder(&base, account).map_err(io_at("read", &base))? {
        return Err(ClusterError::Unreachable { home: base, account: account.name.clone(), closed });
    }
    let mut home = base.join(&name);
    if durability == Durability::Disposable && home.exists() {
        fs::remove_dir_all(&home).map_err(io_at("remove", &home))?;
    }
    // A home that no marker names belonged to a data folder that somebody removed to begin anew: it is neither used
    // again nor destroyed.
    let mut number = 1;
    while home.exists() && number < ELSEWHERE_NAMES_MAX {
        number += 1;
        home = base.join(format!("{name}-{number}"));
    }
    DirBuilder::new().mode(0o711).create(&home).map_err(io_at("make", &home))?;
    Ok(home)
}

/// Makes `folder` with exactly `mode`, owned by `account` or us, or checks that it already is so. What another account
/// put there, as it may in the temporary folder, is refused.
pub(super) fn make_folder(folder: &Path, mode: u32, account: Option<&Account>) -> Result<(), ClusterError> {
    match DirBuilder::new().mode(mode).create(folder) {
        Ok(()) => {
            // The process's umask may have taken more away than wanted.
            fs::set_permissions(folder, fs::Permissions::from_mode(mode)).map_err(io_at("set the mode of", folder))?;
            match account {
                Some(account) => {
                    lchown(folder, Some(account.uid), Some(account.gid)).map_err(io_at("hand over", folder))
                }
                None => Ok(()),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let facts = fs::symlink_metadata(folder).map_err(io_at("read", folder))?;
            let owner = account.map_or_else(|| rustix::process::geteuid().as_raw(), |account| account.uid);
            if !facts.is_dir() || facts.uid() != owner {
                return Err(ClusterError::Foreign { folder: folder.to_owned(), owner: facts.uid() });
            }
            if facts.mode() & 0o777 != mode {
                fs::set_permissions(folder, fs::Permissions::from_mode(mode))
                    .map_err(io_at("set the mode of", folder))?;
            }
            Ok(())
        }
        Err(error) => Err(io_at("make", folder)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: PlaceFacts = PlaceFacts {
        durability: Durability::Durable,
        is_recorded: false,
        recorded_exists: false,
        local_exists: false,
        is_reachable: true,
    };

    #[test]
    fn a_new_cluster_lives_in_the_data_folder_unless_the_account_cannot_come_there() {
        assert_eq!(choose_place(NEW), Some(Place::InDataDir));
        assert_eq!(choose_place(PlaceFacts { is_reachable: false, ..NEW }), Some(Place::Elsewhere));
    }

    #[test]
    fn a_recorded_place_is_used_even_where_the_data_folder_has_become_reachable() {
        let recorded = PlaceFacts { is_recorded: true, recorded_exists: true, ..NEW };
        assert_eq!(choose_place(recorded), Some(Place::Recorded));
    }

    #[test]
    fn a_recorded_cluster_that_is_gone_is_replaced_only_where_it_was_disposable() {
        let gone = PlaceFacts { is_recorded: true, is_reachable: false, ..NEW };
        assert_eq!(choose_place(gone), None);
        assert_eq!(choose_place(PlaceFacts { durability: Durability::Disposable, ..gone }), Some(Place::Elsewhere));
    }

    #[test]
    fn an_existing_cluster_is_never_left_for_an_empty_one_elsewhere() {
        let closed = PlaceFacts { local_exists: true, is_reachable: false, ..NEW };
        assert_eq!(choose_place(closed), Some(Place::InDataDir));
    }

    #[test]
    fn a_socket_moves_to_the_temporary_folder_when_its_path_is_too_long_for_an_address() {
        // "/socket/.s.PGSQL.5432" takes 21 bytes.
        let fits = PathBuf::from(format!("/{}", "d".repeat(SOCKET_PATH_BYTES_MAX - 22)));
        assert_eq!(choose_socket_dir(&fits, Path::new("/tmp")).unwrap(), fits.join("socket"));
        let long = PathBuf::from(format!("/{}", "d".repeat(SOCKET_PATH_BYTES_MAX - 21)));
        let moved = choose_socket_dir(&long, Path::new("/tmp")).unwrap();
        assert_eq!(moved, Path::new("/tmp").join(format!("armilla-{}", short_hash(&long))));
        let refusal = choose_socket_dir(&long, &long).unwrap_err().to_string();
        assert!(refusal.contains("--data-dir") && refusal.contains("TMPDIR"), "{refusal}");
    }

    #[test]
    fn a_folder_that_is_a_link_or_anothers_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert!(matches!(make_folder(&link, 0o700, None), Err(ClusterError::Foreign { .. })));
        let own = folder.path().join("own");
        make_folder(&own, 0o700, None).unwrap();
        let stranger = Account { name: "stranger".into(), uid: 4242, gid: 4242 };
        assert!(matches!(make_folder(&own, 0o700, Some(&stranger)), Err(ClusterError::Foreign { .. })));
    }
}
