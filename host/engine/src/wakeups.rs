//! Words between hosts and inside this one: that there is something to look at.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use armilla_domain::id::RunId;
use armilla_store::RUNS_PER_WAKEUP_MAX;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::host::Host;

/// How long words gather before they are sent as one: next to a second, which is how long a lost one costs, nothing.
const GATHER: Duration = Duration::from_millis(10);
/// Words that may wait to be sent. One more is dropped: the tables are looked at anyway.
const WORDS_MAX: usize = 10_000;
/// How long to wait before listening is tried again.
const RELISTEN_DELAY: Duration = Duration::from_secs(1);

/// Where words for other hosts go.
pub(crate) struct Words {
    sender: mpsc::Sender<RunId>,
    receiver: std::sync::Mutex<Option<mpsc::Receiver<RunId>>>,
}

impl Default for Words {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(WORDS_MAX);
        Self { sender, receiver: std::sync::Mutex::new(Some(receiver)) }
    }
}

impl Host {
    /// These runs are worth a look, on whatever host.
    pub(crate) fn wake(&self, runs: &[RunId]) {
        for run in runs {
            if !self.nudge(*run) {
                self.due.notify_one();
                self.tell_others(*run);
            }
        }
    }

    /// A run is worth a look on another host.
    pub(crate) fn tell_others(&self, run: RunId) {
        let _ = self.words.sender.try_send(run);
    }
}

/// Sends words to other hosts, those that came close together as one.
pub(crate) async fn speak(host: Arc<Host>) {
    let receiver = host.words.receiver.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    let Some(mut receiver) = receiver else { return };
    loop {
        let mut words = Vec::new();
        tokio::select! {
            n = receiver.recv_many(&mut words, RUNS_PER_WAKEUP_MAX) => if n == 0 { return },
            () = host.stopped.cancelled() => return,
        }
        tokio::time::sleep(GATHER).await;
        while words.len() <= RUNS_PER_WAKEUP_MAX
            && let Ok(word) = receiver.try_recv()
        {
            words.push(word);
        }
        let words: Vec<RunId> = words.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        if let Err(error) = host.store.wake_hosts(&words).await {
            debug!("Other hosts could not be woken: {error}");
        }
    }
}

/// Hears the words of other hosts.
pub(crate) async fn listen(host: Arc<Host>) {
    loop {
        let heard = tokio::select! {
            heard = hear(&host) => heard,
            () = host.stopped.cancelled() => return,
        };
        if let Err(error) = heard {
            warn!("Other hosts cannot be heard: {error}");
        }
        tokio::select! {
            () = tokio::time::sleep(RELISTEN_DELAY) => {}
            () = host.stopped.cancelled() => return,
        }
    }
}

async fn hear(host: &Host) -> Result<(), armilla_store::StoreError> {
    let mut wakeups = host.store.wakeups().await?;
    loop {
        let runs = wakeups.next().await?;
        let mut all_here = !runs.is_empty();
        for run in runs {
            host.waiting.poke(run);
            all_here &= host.nudge(run);
        }
        if !all_here {
            host.due.notify_one();
        }
    }
}
