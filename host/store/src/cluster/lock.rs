//! One host per data folder.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// The file whose lock means "a host uses this folder". It stays behind: removing it would let two hosts in.
const LOCK_FILE: &str = "armilla.lock";

/// More than any process id has digits.
const PID_BYTES_MAX: u64 = 20;

/// Held for as long as a process uses a data folder. The kernel releases it however the process ends.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

/// Why a data folder could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error(
        "another armilla{} uses the data folder {}: stop it, or choose another folder with --data-dir",
        .pid.as_deref().map(|pid| format!(" (process {pid})")).unwrap_or_default(), .data_dir.display()
    )]
    InUse {
        /// The folder.
        data_dir: PathBuf,
        /// Who has it, where the holder could write it down.
        pid: Option<String>,
    },
    /// The folder cannot be made, or its lock file not be opened.
    #[error("the data folder {} cannot be used: {source}", .data_dir.display())]
    Io {
        /// The folder.
        data_dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl DataDirLock {
    /// Makes the folder (mode 0700) where it is missing and takes it, or says at once who has it.
    pub fn acquire(data_dir: &Path) -> Result<Self, LockError> {
        let io_error = |source| LockError::Io { data_dir: data_dir.to_owned(), source };
        make_private_folder(data_dir).map_err(io_error)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(data_dir.join(LOCK_FILE))
            .map_err(io_error)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(LockError::InUse { data_dir: data_dir.to_owned(), pid: read_pid(&mut file) });
            }
            Err(error) => return Err(io_error(error.into())),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(io_error)?;
        Ok(Self { _file: file })
    }
}

/// Missing folders above are made as any program makes them: an account that runs Postgres may have to pass.
fn make_private_folder(folder: &Path) -> io::Result<()> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        made => made,
    }
}

fn read_pid(file: &mut File) -> Option<String> {
    let mut text = String::new();
    file.take(PID_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse::<u32>().ok().map(|pid| pid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_of_a_data_folder_is_told_who_has_it_and_the_folder_is_free_after_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("deep/data");
        let first = DataDirLock::acquire(&data_dir).unwrap();
        let refusal = DataDirLock::acquire(&data_dir).unwrap_err().to_string();
        assert!(refusal.contains(&format!("(process {})", std::process::id())), "{refusal}");
        drop(first);
        DataDirLock::acquire(&data_dir).unwrap();
    }
}
