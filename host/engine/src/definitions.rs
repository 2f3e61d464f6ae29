//! Definitions as the interpreter runs them, read and checked once per version.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use armilla_domain::definition::{Known, Workflow, check};
use armilla_domain::id::{WorkflowId, WorkspaceId};
use armilla_domain::template::Templates;
use armilla_store::{Store, StoreError};
use lru::LruCache;

/// Definitions longer than this are read anew for each run: as values they weigh some forty times their text.
const DEFINITION_BYTES_MAX: usize = 64 * 1024;
/// Versions kept in memory: what runs at the same time on one host.
const DEFINITIONS_MAX: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// The versions in use. A version never changes, so nothing here grows old.
pub(crate) struct Definitions {
    known: Mutex<LruCache<(WorkflowId, i32), Arc<Workflow>>>,
    /// The newest version of each, as far as is known: whoever begins a run with it lets the database have the last word.
    newest: Mutex<LruCache<(WorkspaceId, WorkflowId), i32>>,
}

impl Definitions {
    pub(crate) fn new() -> Self {
        let newest = Mutex::new(LruCache::new(DEFINITIONS_MAX));
        Self { known: Mutex::new(LruCache::new(DEFINITIONS_MAX)), newest }
    }

    /// The newest version as it was when it was last asked for.
    pub(crate) fn newest(&self, workspace: WorkspaceId, id: WorkflowId) -> Option<i32> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).get(&(workspace, id)).copied()
    }

    /// Asks for the newest version.
    pub(crate) async fn ask_newest(
        &self,
        store: &Store,
        workspace: WorkspaceId,
        id: WorkflowId,
    ) -> Result<Option<i32>, StoreError> {
        let newest = store.newest_version(workspace, id).await?;
        let mut known = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        match newest {
            Some(version) => known.put((workspace, id), version),
            None => known.pop(&(workspace, id)),
        };
        Ok(newest)
    }

    pub(crate) fn keep(&self, id: WorkflowId, version: i32, text: &str, workflow: Arc<Workflow>) {
        if text.len() > DEFINITION_BYTES_MAX {
            return;
        }
        self.known.lock().unwrap_or_else(PoisonError::into_inner).put((id, version), workflow);
    }

    /// The workflow of a version, deleted or not.
    pub(crate) async fn get(
        &self,
        store: &Store,
        templates: &Templates,
        id: WorkflowId,
        version: i32,
    ) -> Result<Arc<Workflow>, StoreError> {
        if let Some(workflow) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&(id, version)) {
            return Ok(Arc::clone(workflow));
        }
        let corrupt = |why: String| StoreError::Corrupt(format!("version {version} of {id}: {why}"));
        let text = store.definition(id, version).await?.ok_or_else(|| corrupt("is missing".to_owned()))?;
        let definition = serde_json::from_str(&text).map_err(|error| corrupt(error.to_string()))?;
        let checked = check(&definition, &Known::default(), templates)
            .map_err(|faults| corrupt(faults.first().map(ToString::to_string).unwrap_or_default()))?;
        let workflow = Arc::new(checked.workflow);
        self.keep(id, version, &text, Arc::clone(&workflow));
        Ok(workflow)
    }
}
