//! Wakes whoever waits for the end of a run on this host.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use armilla_domain::id::RunId;
use tokio::sync::watch;

use crate::RunView;

/// How it ended, or how often somebody said that it is worth a look.
#[derive(Debug, Clone, Default)]
struct Ending {
    view: Option<Arc<RunView>>,
    looks: u64,
}

type Runs = Arc<Mutex<HashMap<RunId, watch::Sender<Ending>>>>;

/// Who waits for which run. An entry lives as long as somebody waits.
#[derive(Default)]
pub(crate) struct Waiting {
    runs: Runs,
}

/// One who waits. Whoever goes away, by whatever way, waits no more.
pub(crate) struct Waiter {
    run: RunId,
    runs: Runs,
    /// Taken when this is dropped, before the others are counted.
    ending: Option<watch::Receiver<Ending>>,
}

impl Waiting {
    /// To be called before the run is looked at, so that no end is missed in between.
    pub(crate) fn join(&self, run: RunId) -> Waiter {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let ending = runs.entry(run).or_insert_with(|| watch::channel(Ending::default()).0).subscribe();
        Waiter { run, runs: Arc::clone(&self.runs), ending: Some(ending) }
    }

    /// Whether anybody waits for a run on this host.
    pub(crate) fn is_awaited(&self, run: RunId) -> bool {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&run)
    }

    /// Tells how a run ended.
    pub(crate) fn announce(&self, run: RunId, view: RunView) {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = runs.get(&run) {
            sender.send_modify(|ending| ending.view = Some(Arc::new(view)));
        }
    }

    /// Another host says that a run is worth a look.
    pub(crate) fn poke(&self, run: RunId) {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = runs.get(&run) {
            sender.send_modify(|ending| ending.looks += 1);
        }
    }
}

impl Waiter {
    /// How the run ended, as soon as it is told; `None` where somebody says that it is worth a look. Dropping the future misses
    /// nothing.
    pub(crate) async fn ending(&mut self) -> Option<RunView> {
        let Some(ending) = &mut self.ending else { return std::future::pending().await };
        let seen = ending.borrow().looks;
        // The sender lives in the map for as long as this waiter does, so the channel does not close.
        let told = ending.wait_for(|ending| ending.view.is_some() || ending.looks > seen).await;
        let told = told.ok().map(|ending| ending.view.as_deref().cloned());
        match told {
            Some(view) => view,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        self.ending = None;
        if runs.get(&self.run).is_some_and(|sender| sender.receiver_count() == 0) {
            runs.remove(&self.run);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_kept_for_those_who_went_away() {
        let waiting = Waiting::default();
        let run = RunId::from_parts(1, [1; 10]);
        let (first, second) = (waiting.join(run), waiting.join(run));
        drop(first);
        assert!(waiting.is_awaited(run));
        drop(second);
        assert!(!waiting.is_awaited(run));
    }
}
