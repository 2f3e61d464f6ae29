//! Machine code, kept between starts.
//!
//! Machine code is trusted: it runs with the host's rights. So a file counts only if it carries the mark (HMAC-SHA-256) of
//! a key that this host alone has; anything else is made anew from the component.

use std::fs::{self, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tracing::{info, warn};
use wasmtime::Engine;
use wasmtime::component::Component;

/// In bytes: the mark in front of the machine code.
const MARK_BYTES: usize = 32;

/// Tells apart the writers of one process.
static WRITERS: AtomicU64 = AtomicU64::new(0);

/// A folder of machine code.
pub(crate) struct Cache {
    folder: PathBuf,
    key: [u8; 32],
}

impl Cache {
    pub(crate) fn new(folder: PathBuf, key: [u8; 32]) -> Self {
        Self { folder, key }
    }

    /// The component with this digest, if its machine code is here, ours and for this engine.
    pub(crate) fn load(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let name = name(engine, digest);
        let file = match fs::read(self.folder.join(&name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                warn!(cache.file = name, error = %error.kind(), "Machine code cannot be read; it is made anew");
                return None;
            }
        };
        let (mark, code) = file.split_at_checked(MARK_BYTES).unwrap_or((&[], &file));
        if self.mac(&name, code).verify_slice(mark).is_err() {
            warn!(cache.file = name, "Machine code is not what this host wrote; it is made anew");
            return None;
        }
        // SAFETY: the code carries a mark that only the holder of the key can make, over a name that says which component
        // and which engine it belongs to; this host writes nothing under it but what `Component::serialize` gave it.
        #[expect(unsafe_code, reason = "the only way to load machine code; the mark says that it is ours")]
        let component = unsafe { Component::deserialize(engine, code) };
        match component {
            Ok(component) => Some(component),
            Err(error) => {
                info!(cache.file = name, error = %error, "Machine code is of another engine; it is made anew");
                None
            }
        }
    }

    /// Keeps a component's machine code. A cache that cannot be written costs time at the next start, nothing else.
    pub(crate) fn keep(&self, engine: &Engine, digest: &str, component: &Component) {
        let kept = component
            .serialize()
            .map_err(|error| error.to_string())
            .and_then(|code| self.write(&name(engine, digest), &code).map_err(|error| error.kind().to_string()));
        if let Err(error) = kept {
            warn!(plugin.digest = digest, error, "Machine code cannot be kept; the next start makes it anew");
        }
    }

    fn write(&self, name: &str, code: &[u8]) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        // Others may write the same file: each under a name of its own, and the last one wins with the same code.
        let writer = WRITERS.fetch_add(1, Relaxed);
        let temporary = self.folder.join(format!(".{name}.{}.{writer}.new", std::process::id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&self.mac(name, code).finalize().into_bytes())?;
        file.write_all(code)?;
        drop(file);
        fs::rename(&temporary, self.folder.join(name))
    }

    fn mac(&self, name: &str, code: &[u8]) -> Hmac<Sha256> {
        // HMAC fills a key that is shorter than its block with zeros.
        let mut block = [0; 64];
        block[..self.key.len()].copy_from_slice(&self.key);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        // The name too, so that one component's code cannot be put in another's place. It has no zero byte in it.
        mac.update(name.as_bytes());
        mac.update(&[0]);
        mac.update(code);
        mac
    }
}

fn name(engine: &Engine, digest: &str) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{digest}-{:016x}.cwasm", hasher.finish())
}
