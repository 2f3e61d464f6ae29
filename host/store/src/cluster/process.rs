//! Child processes that end with us, and the log they write.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;

use super::account::Account;

/// Above this size the log is put aside at the next start; one older file is kept.
pub const LOG_BYTES_MAX: u64 = 10 * 1024 * 1024;
/// How much of the log an error carries: the last lines tell, the rest is in the file.
pub const LOG_TAIL_BYTES_MAX: u64 = 2 * 1024;

/// What a child gets of our environment. All else stays here: other accounts can read a child's environment, ours may
/// hold secrets, and `PG…` variables would change what Postgres does.
const ENVIRONMENT_KEPT: [&str; 4] = ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR"];

/// A command that runs as `account`, writes to `log`, and gets `death_signal` when the thread that spawns it ends.
#[expect(unsafe_code, reason = "the parent-death signal can only be asked for between fork and exec")]
pub(super) fn child(program: &Path, account: Option<&Account>, death_signal: Signal, log: &Log) -> io::Result<Command> {
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs(ENVIRONMENT_KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .env("LC_ALL", "C")
        // Spares initdb the search for the name of the system's zone.
        .env("TZ", "UTC")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.open()?)
        .stderr(log.open()?)
        // A ^C in the terminal is for us: the cluster stops last.
        .process_group(0);
    if let Some(account) = account {
        command.gid(account.gid).uid(account.uid);
    }
    let host = rustix::process::getpid();
    let before_exec = move || {
        #[cfg(target_os = "linux")]
        {
            rustix::process::set_parent_process_death_signal(Some(death_signal))?;
            // We may have died before the signal was asked for.
            if rustix::process::getppid() != Some(host) {
                return Err(io::Error::from(rustix::io::Errno::SRCH));
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (host, death_signal);
        Ok(())
    };
    // SAFETY: the closure runs in the forked child, where only async-signal-safe work is allowed: it makes two system
    // calls, allocates nothing and takes no lock. It runs after the change of account, which clears the signal.
    unsafe { command.pre_exec(before_exec) };
    Ok(command)
}

/// The file that Postgres and initdb write to.
#[derive(Debug, Clone)]
pub(super) struct Log {
    path: PathBuf,
    /// Where this start began: an error shows nothing older.
    begin: u64,
}

impl Log {
    pub(super) fn new(path: PathBuf) -> io::Result<Self> {
        let mut begin = fs::metadata(&path).map_or(0, |facts| facts.len());
        if begin > LOG_BYTES_MAX {
            fs::rename(&path, path.with_extension("log.old"))?;
            begin = 0;
        }
        Ok(Self { path, begin })
    }

    fn open(&self) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)
    }

    /// The last lines since the start, for an error, with the file's name.
    pub(super) fn tail(&self) -> String {
        let text = self.read_tail().unwrap_or_default();
        match text.trim() {
            "" => format!("it wrote nothing to {}", self.path.display()),
            text => format!("the end of {}:\n{text}", self.path.display()),
        }
    }

    fn read_tail(&self) -> io::Result<String> {
        let mut file = File::open(&self.path)?;
        let end = file.metadata()?.len();
        let from = end.saturating_sub(LOG_TAIL_BYTES_MAX).max(self.begin);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(LOG_TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errors_excerpt_of_the_log_is_bounded_and_has_nothing_of_earlier_starts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("postgres.log");
        fs::write(&path, "earlier\n").unwrap();
        let log = Log::new(path.clone()).unwrap();
        assert!(log.tail().contains("wrote nothing"));
        fs::write(&path, format!("earlier\n{}\nlast\n", "x".repeat(5_000))).unwrap();
        let tail = log.tail();
        assert!(tail.ends_with("last") && tail.len() < 2_500, "{tail}");
        fs::write(&path, "earlier\nnow\n").unwrap();
        assert!(!log.tail().contains("earlier"));
    }

    #[test]
    fn a_log_over_its_bound_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("postgres.log");
        File::create(&path).unwrap().set_len(LOG_BYTES_MAX + 1).unwrap();
        Log::new(path.clone()).unwrap();
        assert!(!path.exists() && folder.path().join("postgres.log.old").exists());
    }
}
