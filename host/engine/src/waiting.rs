//! Wakes whoever waits for the end of a run on this host.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use armilla_domain::id::RunId;
use tokio::sync::watch;

use crate::RunView;

type Ending = Option<Arc<RunView>>;

/// Who waits for which run. An entry lives as long as somebody waits.
#[derive(Default)]
pub(crate) struct Waiting {
    runs: Mutex<HashMap<RunId, watch::Sender<Ending>>>,
}

impl Waiting {
    /// To be called before the run is looked at, so that no end is missed in between.
    pub(crate) fn join(&self, run: RunId) -> watch::Receiver<Ending> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.entry(run).or_insert_with(|| watch::channel(None).0).subscribe()
    }

    /// To be called by whoever joined, when it waits no more.
    pub(crate) fn leave(&self, run: RunId, receiver: watch::Receiver<Ending>) {
        drop(receiver);
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if runs.get(&run).is_some_and(|sender| sender.receiver_count() == 0) {
            runs.remove(&run);
        }
    }

    /// Whether anybody waits for a run on this host.
    pub(crate) fn is_awaited(&self, run: RunId) -> bool {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&run)
    }

    /// Tells how a run ended.
    pub(crate) fn announce(&self, run: RunId, view: RunView) {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = runs.get(&run) {
            sender.send_replace(Some(Arc::new(view)));
        }
    }
}
