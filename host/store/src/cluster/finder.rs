//! Finds the Postgres to run.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::ClusterError;
use super::account::{Account, first_closed_folder};

/// The oldest major version whose SQL the project uses.
pub const POSTGRES_MAJOR_MIN: u32 = 14;

/// A folder that has both programs a cluster needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) bin_dir: PathBuf,
    /// The major version, or why the folder cannot be used.
    pub(super) major: Result<u32, String>,
}

/// The folder to run Postgres from: one of the cluster's own major where there is a cluster, else the first new enough.
pub(super) fn find(
    explicit: Option<&Path>,
    extra: &[PathBuf],
    account: Option<&Account>,
    cluster_major: Option<u32>,
) -> Result<PathBuf, ClusterError> {
    let candidates: Vec<Candidate> = bin_dirs(explicit, extra)
        .into_iter()
        .map(|bin_dir| Candidate { major: usable_major(&bin_dir, account), bin_dir })
        .collect();
    judge(&candidates, explicit, cluster_major).map(|candidate| candidate.bin_dir.clone())
}

fn judge<'a>(
    candidates: &'a [Candidate],
    explicit: Option<&Path>,
    cluster_major: Option<u32>,
) -> Result<&'a Candidate, ClusterError> {
    let is_fit = |candidate: &&Candidate| match (&candidate.major, cluster_major) {
        (Ok(major), Some(wanted)) => *major == wanted,
        (Ok(major), None) => *major >= POSTGRES_MAJOR_MIN,
        (Err(_), _) => false,
    };
    if let Some(fit) = candidates.iter().find(is_fit) {
        return Ok(fit);
    }
    let found = describe(candidates, explicit);
    Err(match cluster_major {
        Some(cluster_major) if candidates.iter().any(|candidate| candidate.major.is_ok()) => {
            ClusterError::OtherMajor { cluster_major, found }
        }
        Some(wanted) => ClusterError::NoPostgres { wanted: wanted.to_string(), found },
        None => ClusterError::NoPostgres { wanted: format!("{POSTGRES_MAJOR_MIN} or newer"), found },
    })
}

fn describe(candidates: &[Candidate], explicit: Option<&Path>) -> String {
    if candidates.is_empty() {
        return match explicit {
            Some(folder) => format!("{} does not have both `initdb` and `postgres`", folder.display()),
            None => "none was found in PATH or in the usual folders".to_owned(),
        };
    }
    let each = candidates.iter().map(|candidate| match &candidate.major {
        Ok(major) => format!("{} is version {major}", candidate.bin_dir.display()),
        Err(reason) => format!("{} {reason}", candidate.bin_dir.display()),
    });
    each.collect::<Vec<_>>().join("; ")
}

/// Folders with both programs, the wanted first, none twice.
fn bin_dirs(explicit: Option<&Path>, extra: &[PathBuf]) -> Vec<PathBuf> {
    let places = match explicit {
        Some(folder) => vec![folder.to_owned()],
        None => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).chain(usual_folders()).chain(extra.iter().cloned()).collect()
        }
    };
    let mut found: Vec<PathBuf> = Vec::new();
    for place in places {
        if let Some(bin_dir) = resolve(&place).filter(|bin_dir| !found.contains(bin_dir)) {
            found.push(bin_dir);
        }
    }
    found
}

fn usual_folders() -> impl Iterator<Item = PathBuf> {
    let versioned = |parent: &str, prefix: &str, suffix: &str| {
        let names = std::fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.file_name());
        highest_first(names, prefix).into_iter().map(move |name| Path::new(parent).join(name).join(suffix)).collect()
    };
    let folders: [Vec<PathBuf>; 6] = [
        versioned("/usr/lib/postgresql", "", "bin"),
        versioned("/usr", "pgsql-", "bin"),
        versioned("/usr/libexec", "postgresql", ""),
        versioned("/opt/homebrew/opt", "postgresql@", "bin"),
        versioned("/usr/local/opt", "postgresql@", "bin"),
        vec!["/usr/local/pgsql/bin".into()],
    ];
    folders.into_iter().flatten()
}

/// The names that are `prefix` and a whole number, the highest number first.
fn highest_first<N: AsRef<OsStr>>(names: impl Iterator<Item = N>, prefix: &str) -> Vec<String> {
    let mut versions: Vec<(u32, String)> = names
        .filter_map(|name| {
            let name = name.as_ref().to_str()?;
            Some((name.strip_prefix(prefix)?.parse().ok()?, name.to_owned()))
        })
        .collect();
    versions.sort_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, name)| name).collect()
}

/// `place` itself or, where its `postgres` is a link, the folder that the link leads to.
fn resolve(place: &Path) -> Option<PathBuf> {
    let has_both = |folder: &Path| folder.join("initdb").is_file() && folder.join("postgres").is_file();
    if !place.is_absolute() && place.as_os_str().is_empty() {
        return None;
    }
    let real = place.join("postgres").canonicalize().ok()?;
    let real_folder = real.parent()?;
    if has_both(real_folder) {
        return Some(real_folder.to_owned());
    }
    let place = place.canonicalize().ok()?;
    has_both(&place).then_some(place)
}

fn usable_major(bin_dir: &Path, account: Option<&Account>) -> Result<u32, String> {
    if let Some(account) = account {
        match first_closed_folder(bin_dir, account) {
            Ok(None) => {}
            Ok(Some(closed)) => {
                return Err(format!("is out of reach for {}, which may not enter {}", account.name, closed.display()));
            }
            Err(error) => return Err(format!("cannot be read: {error}")),
        }
    }
    let output = Command::new(bin_dir.join("postgres"))
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot be run: {error}"))?;
    parse_major(&String::from_utf8_lossy(&output.stdout)).ok_or_else(|| "does not tell its version".to_owned())
}

/// The major of `postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)`, of `… 18beta1` and of a `PG_VERSION` file.
pub(super) fn parse_major(text: &str) -> Option<u32> {
    let version = text.rsplit_once("(PostgreSQL) ").map_or(text, |(_, version)| version).trim_start();
    let end = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(majors: &[u32]) -> Vec<Candidate> {
        majors.iter().map(|major| Candidate { bin_dir: format!("/pg/{major}").into(), major: Ok(*major) }).collect()
    }

    #[test]
    fn the_first_that_is_new_enough_is_taken_for_a_new_cluster() {
        let found = candidates(&[13, 15, 17]);
        assert_eq!(judge(&found, None, None).unwrap().bin_dir, Path::new("/pg/15"));
    }

    #[test]
    fn a_cluster_is_served_by_its_own_major_even_where_a_newer_one_comes_first() {
        let found = candidates(&[17, 15]);
        assert_eq!(judge(&found, None, Some(15)).unwrap().bin_dir, Path::new("/pg/15"));
    }

    #[test]
    fn a_cluster_of_another_major_is_refused_with_the_versions_and_the_ways_out() {
        for cluster_major in [14, 18] {
            let message = judge(&candidates(&[15]), None, Some(cluster_major)).unwrap_err().to_string();
            assert!(message.contains(&format!("made by Postgres {cluster_major}")), "{message}");
            assert!(message.contains("/pg/15 is version 15") && message.contains("ARMILLA_POSTGRES_BIN"), "{message}");
        }
    }

    #[test]
    fn a_missing_postgres_is_refused_with_what_to_install_and_what_to_set() {
        let message = judge(&[], None, None).unwrap_err().to_string();
        for part in ["14 or newer", "apt-get install postgresql", "ARMILLA_POSTGRES_BIN", "--database-url"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        let message = judge(&candidates(&[12]), None, None).unwrap_err().to_string();
        assert!(message.contains("/pg/12 is version 12"), "{message}");
        let message = judge(&[], Some(Path::new("/nowhere")), None).unwrap_err().to_string();
        assert!(message.contains("/nowhere does not have both"), "{message}");
    }

    #[test]
    fn versions_are_read_from_releases_betas_and_version_files() {
        assert_eq!(parse_major("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(parse_major("16\n"), Some(16));
        assert_eq!(parse_major("a shell script"), None);
    }

    #[test]
    fn folders_are_tried_from_the_highest_version_down_as_numbers() {
        let names = ["pgsql-9", "pgsql-16", "pgsql-15", "pgsql-old", "lib"];
        assert_eq!(highest_first(names.iter(), "pgsql-"), ["pgsql-16", "pgsql-15", "pgsql-9"]);
    }

    #[test]
    fn a_linked_program_leads_to_the_folder_it_lives_in() {
        let folder = tempfile::tempdir().unwrap();
        let (real, links) = (folder.path().canonicalize().unwrap().join("real"), folder.path().join("links"));
        std::fs::create_dir(&real).unwrap();
        std::fs::create_dir(&links).unwrap();
        for program in ["initdb", "postgres"] {
            std::fs::write(real.join(program), "").unwrap();
        }
        std::os::unix::fs::symlink(real.join("postgres"), links.join("postgres")).unwrap();
        assert_eq!(resolve(&links), Some(real));
        assert_eq!(resolve(Path::new("")), None);
    }
}
