//! The plugins folder: a component that is put there is loaded, and becomes the operator's own.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use armilla_registry::signature::Signature;
use armilla_sandbox::{COMPONENT_BYTES_MAX, LoadFault, digest_of};
use tokio::time::MissedTickBehavior;
use tracing::warn;

use super::SHARED;
use super::install::{Activation, Install, InstallError};
use super::upload::Received;
use crate::host::Host;

/// How often the folder is looked at: a file is loaded a moment after it was put there.
pub const FOLDER_INTERVAL: Duration = Duration::from_millis(500);
/// Files that are loaded at the same time; the sandbox compiles fewer still.
const LOADED_AT_ONCE: usize = 4;
/// Files that are looked at: a folder with more is not a plugins folder.
const FILES_MAX: usize = 1_000;

/// A file of the plugins folder that is not loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderFault {
    /// Its name, without the folder.
    pub file: String,
    /// What is wrong with it.
    pub detail: String,
}

/// What is wrong with files of the folder, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<BTreeMap<String, String>>>);

impl Faults {
    pub(crate) fn all(&self) -> Vec<FolderFault> {
        let faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        faults.iter().map(|(file, detail)| FolderFault { file: file.clone(), detail: detail.clone() }).collect()
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, String>)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// What a file looked like: another look tells whether it was changed.
type Stamp = (u64, Option<SystemTime>, Option<SystemTime>);

/// The folder as it was last seen.
pub(crate) struct Folder {
    path: PathBuf,
    /// Files that were dealt with, as they looked then.
    done: HashMap<PathBuf, Stamp>,
    /// Files that have changed, as they look now: they are loaded when they still look the same at the next look, since whoever
    /// writes one may not be through.
    changing: HashMap<PathBuf, Stamp>,
}

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, done: HashMap::new(), changing: HashMap::new() }
    }

    /// Files that are to be loaded now. `at_start` takes them as they are.
    fn look(&mut self, at_start: bool) -> Vec<PathBuf> {
        let seen = match wasm_files(&self.path) {
            Ok(seen) => seen,
            // It may come, or come back.
            Err(_) => return Vec::new(),
        };
        self.done.retain(|file, _| seen.contains_key(file));
        let mut ready = Vec::new();
        let mut changing = HashMap::new();
        for (file, stamp) in seen {
            if self.done.get(&file) == Some(&stamp) {
                continue;
            }
            if at_start || self.changing.get(&file) == Some(&stamp) {
                self.done.insert(file.clone(), stamp);
                ready.push(file);
            } else {
                changing.insert(file, stamp);
            }
        }
        self.changing = changing;
        ready.sort();
        ready
    }

    /// Loads what is new or changed. What is wrong with a file is told once, and changes nothing.
    pub(crate) async fn load(&mut self, host: &Arc<Host>, at_start: bool) {
        let ready = self.look(at_start);
        let known: Vec<String> = self.done.keys().chain(self.changing.keys()).map(|file| name_of(file)).collect();
        host.folder_faults.change(|faults| faults.retain(|file, _| known.contains(file)));
        for batch in ready.chunks(LOADED_AT_ONCE) {
            let loading = batch.iter().map(|file| async move { (name_of(file), load_file(host, file).await) });
            for (name, loaded) in futures::future::join_all(loading).await {
                match loaded {
                    Ok(()) => host.folder_faults.change(|faults| {
                        faults.remove(&name);
                    }),
                    Err(error) => {
                        if error.may_pass() {
                            self.done.retain(|file, _| name_of(file) != name);
                        }
                        host.folder_faults.change(|faults| {
                            faults.insert(name, error.told());
                        });
                    }
                }
            }
        }
    }
}

async fn load_file(host: &Arc<Host>, file: &Path) -> Result<(), InstallError> {
    let name = name_of(file);
    let unreadable = |error: std::io::Error| LoadFault::Absent(error.kind().to_string());
    let length = tokio::fs::metadata(file).await.map_err(unreadable)?.len();
    if length > COMPONENT_BYTES_MAX {
        return Err(LoadFault::TooLarge.into());
    }
    let bytes = tokio::fs::read(file).await.map_err(unreadable)?;
    let signature = match tokio::fs::read_to_string(signature_file(file)).await {
        Ok(text) => match text.trim().parse::<Signature>() {
            Ok(signature) => Some(signature),
            Err(error) => return Err(LoadFault::Invalid(format!("its signature cannot be read: {error}")).into()),
        },
        Err(_) => None,
    };
    let received = Received { digest: digest_of(&bytes), bytes: bytes.into(), _place: None };
    let install = Install {
        workspace: SHARED,
        received,
        source: format!("folder:{name}"),
        signature,
        by: "the plugins folder".to_owned(),
        activate: Activation::IfNew,
    };
    host.install(install).await.map(|_| ())
}

/// `x.wasm.sig` beside `x.wasm`.
fn signature_file(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".sig");
    PathBuf::from(name)
}

fn wasm_files(folder: &Path) -> std::io::Result<HashMap<PathBuf, Stamp>> {
    let mut files = HashMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "wasm") {
            continue;
        }
        if files.len() >= FILES_MAX {
            warn!("The plugins folder has more than {FILES_MAX} files; the rest is not looked at");
            break;
        }
        // One that is gone again is not there.
        if let Ok(metadata) = std::fs::metadata(&path)
            && metadata.is_file()
        {
            // A signature that comes later makes another file of it.
            let signed = std::fs::metadata(signature_file(&path)).and_then(|signature| signature.modified()).ok();
            files.insert(path, (metadata.len(), metadata.modified().ok(), signed));
        }
    }
    Ok(files)
}

fn name_of(file: &Path) -> String {
    file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// Looks after the folder until the host stops.
pub(crate) async fn watch(host: Arc<Host>, mut folder: Folder) {
    let mut looks = tokio::time::interval(FOLDER_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = host.stopping.cancelled() => return,
        }
        folder.load(&host, false).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_taken_when_it_has_come_to_rest_and_once() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("a.wasm");
        std::fs::write(&file, "one").unwrap();
        std::fs::write(place.path().join("readme.txt"), "not a component").unwrap();
        let mut folder = Folder::new(place.path().to_owned());
        assert_eq!(folder.look(true), std::slice::from_ref(&file));
        assert!(folder.look(false).is_empty(), "it was dealt with");

        std::fs::write(&file, "longer").unwrap();
        assert!(folder.look(false).is_empty(), "it may still be written");
        std::fs::write(&file, "longer still").unwrap();
        assert!(folder.look(false).is_empty(), "it was");
        assert_eq!(folder.look(false), std::slice::from_ref(&file));
        assert!(folder.look(false).is_empty());

        std::fs::remove_file(&file).unwrap();
        assert!(folder.look(false).is_empty());
        std::fs::write(&file, "longer still").unwrap();
        folder.look(false);
        assert_eq!(folder.look(false), [file], "it came back");
    }

    #[test]
    fn a_folder_that_is_not_there_has_no_files() {
        assert!(Folder::new("/nonesuch".into()).look(true).is_empty());
    }
}
