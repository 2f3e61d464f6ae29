//! What a data folder keeps of its host: made once from good chance, readable by nobody else, never shipped.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rand::TryRng;
use rand::rngs::SysRng;
use rustix::fs::OFlags;
use rustix::process::geteuid;
use tracing::info;
use uuid::Uuid;

/// Bytes of every key: as many as the hashes they are used with.
const KEY_BYTES: usize = 32;

/// More than any key's file has.
const KEY_FILE_BYTES_MAX: u64 = 256;

/// A key that cannot be read or made.
#[derive(Debug, thiserror::Error)]
#[error("the key {} cannot be used: {source}", .file.display())]
pub struct KeyError {
    file: PathBuf,
    source: io::Error,
}

/// The keys of one data folder.
#[derive(Debug, Clone)]
pub struct Keys {
    folder: PathBuf,
}

impl Keys {
    /// The keys of a folder, which is made where it is missing.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn open(data_dir: &Path) -> Result<Self, KeyError> {
        let folder = data_dir.to_owned();
        match DirBuilder::new().recursive(true).mode(0o700).create(&folder) {
            Ok(()) => Ok(Self { folder }),
            Err(source) => Err(KeyError { file: folder, source }),
        }
    }

    /// Signs tokens where no secret is configured: 64 hexadecimal digits.
    pub(crate) fn token_secret(&self) -> Result<String, KeyError> {
        self.read_or_make("jwt.secret", "signs this server's tokens")
    }

    /// Marks machine code as this host's own.
    pub(crate) fn code_key(&self) -> Result<[u8; KEY_BYTES], KeyError> {
        self.key("code.key", "marks compiled plugins as this host's own")
    }

    /// Seals secrets where no key is configured.
    pub(crate) fn secrets_key(&self) -> Result<[u8; KEY_BYTES], KeyError> {
        self.key("secrets.key", "seals the secrets in the database")
    }

    fn key(&self, name: &str, purpose: &str) -> Result<[u8; KEY_BYTES], KeyError> {
        let digits = self.read_or_make(name, purpose)?;
        let mut key = [0; KEY_BYTES];
        for (place, byte) in key.iter_mut().enumerate() {
            let pair = digits.get(2 * place..2 * place + 2);
            *byte = pair
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                .ok_or_else(|| self.error(name, io::Error::new(ErrorKind::InvalidData, "not 64 hexadecimal digits")))?;
        }
        Ok(key)
    }

    /// This host, the same after every restart.
    pub(crate) fn host_id(&self) -> Result<Uuid, KeyError> {
        let name = "host.id";
        let digits = self.read_or_make(name, "tells this host from others on the same database")?;
        let digits = digits.get(..32).unwrap_or_default();
        Uuid::try_parse(digits).map_err(|error| self.error(name, io::Error::new(ErrorKind::InvalidData, error)))
    }

    fn read_or_make(&self, name: &str, purpose: &str) -> Result<String, KeyError> {
        let file = self.folder.join(name);
        match self.make(&file) {
            Ok(()) => info!(file = %file.display(), "A new key was made, which {purpose}: {}", file.display()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(self.error(name, error)),
        }
        let text = read_own(&file).map_err(|error| self.error(name, error))?;
        Ok(text.trim().to_owned())
    }

    /// Writes aside and links into place, so that whoever finds the file finds it whole.
    fn make(&self, file: &Path) -> io::Result<()> {
        if file.try_exists()? {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let mut key = [0; KEY_BYTES];
        SysRng.try_fill_bytes(&mut key).map_err(io::Error::other)?;
        let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let aside = file.with_extension(format!("{}.new", std::process::id()));
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)
            .and_then(|mut new| writeln!(new, "{digits}").and_then(|()| new.sync_all()))
            .and_then(|()| std::fs::hard_link(&aside, file));
        std::fs::remove_file(&aside)?;
        written
    }

    fn error(&self, name: &str, source: io::Error) -> KeyError {
        KeyError { file: self.folder.join(name), source }
    }
}

/// Reads a file that only this process's user can have written and can read: whoever else could write it would hold the key.
fn read_own(file: &Path) -> io::Result<String> {
    let mut opened = OpenOptions::new().read(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(file)?;
    let metadata = opened.metadata()?;
    if metadata.uid() != geteuid().as_raw() || metadata.mode() & 0o077 != 0 {
        let why = "it must belong to the user that runs armilla, and be closed to all others (chmod 600)";
        return Err(io::Error::new(ErrorKind::PermissionDenied, why));
    }
    let mut text = String::new();
    Read::by_ref(&mut opened).take(KEY_FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path()).unwrap();
        let first = keys.token_secret().unwrap();
        assert_eq!(keys.token_secret().unwrap(), first);
        assert_eq!(first.len(), 64);
        let mode = std::fs::metadata(folder.path().join("jwt.secret")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_ne!(keys.code_key().unwrap(), [0; 32]);
        assert_eq!(keys.host_id().unwrap(), keys.host_id().unwrap());
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path()).unwrap();
        keys.token_secret().unwrap();
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(folder.path().join("jwt.secret"), open).unwrap();
        assert!(keys.token_secret().unwrap_err().to_string().contains("chmod 600"));
    }

    #[test]
    fn a_key_that_is_a_link_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        std::fs::write(&elsewhere, "0".repeat(64)).unwrap();
        std::os::unix::fs::symlink(&elsewhere, folder.path().join("code.key")).unwrap();
        assert!(Keys::open(folder.path()).unwrap().code_key().is_err());
    }

    #[test]
    fn two_folders_have_two_keys() {
        let secret = || Keys::open(tempfile::tempdir().unwrap().path()).unwrap().token_secret().unwrap();
        assert_ne!(secret(), secret());
    }

    #[test]
    fn a_key_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("code.key");
        std::fs::write(&file, "nonsense").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(Keys::open(folder.path()).unwrap().code_key().unwrap_err().to_string().contains("hexadecimal"));
    }
}
