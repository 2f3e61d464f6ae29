//! Makes outcomes durable: one statement for all that wait, so that many runs share a flush.

use std::sync::Arc;

use armilla_store::{Append, Store, StoreError};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Statements under way at once. While fewer outcomes wait than this, each has a statement of its own and waits for no other; when
/// more do, they gather while these work.
const STATEMENTS_AT_ONCE: usize = 4;
/// Appends of one statement: beyond this a statement takes longer than what it saves.
const APPENDS_PER_STATEMENT_MAX: usize = 256;
/// Appends that may wait in line: each belongs to a run that is driven here.
const LINE_MAX: usize = crate::RUNS_PER_HOST_MAX * 2;

struct Request {
    append: Arc<Append>,
    answer: oneshot::Sender<Result<bool, StoreError>>,
}

/// Hands appends to the tasks that write them.
pub(crate) struct Committer {
    sender: mpsc::Sender<Request>,
    receiver: Arc<Mutex<mpsc::Receiver<Request>>>,
}

impl Committer {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(LINE_MAX);
        Self { sender, receiver: Arc::new(Mutex::new(receiver)) }
    }

    /// Begins to write, until `stopped`.
    pub(crate) fn start(&self, store: &Store, stopped: &CancellationToken) {
        for _ in 0..STATEMENTS_AT_ONCE {
            tokio::spawn(write_forever(store.clone(), Arc::clone(&self.receiver), stopped.clone()));
        }
    }

    /// Whether the append took place; `Ok(false)` where the lease is lost.
    pub(crate) async fn append(&self, append: Arc<Append>) -> Result<bool, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.sender.send(Request { append, answer }).await.map_err(|_| StoreError::TimedOut)?;
        answered.await.unwrap_or(Err(StoreError::TimedOut))
    }
}

async fn write_forever(store: Store, line: Arc<Mutex<mpsc::Receiver<Request>>>, stopped: CancellationToken) {
    loop {
        let mut requests = Vec::new();
        tokio::select! {
            () = stopped.cancelled() => return,
            () = async {
                line.lock().await.recv_many(&mut requests, APPENDS_PER_STATEMENT_MAX).await;
            } => {}
        }
        if requests.is_empty() {
            return;
        }
        // Who lock several rows at once do so in one order.
        requests.sort_unstable_by_key(|request| request.append.run);
        write(&store, requests).await;
    }
}

async fn write(store: &Store, requests: Vec<Request>) {
    let appends: Vec<&Append> = requests.iter().map(|request| &*request.append).collect();
    match store.append(&appends).await {
        Ok(outcomes) => {
            for (request, outcome) in requests.into_iter().zip(outcomes) {
                // Who does not wait any more has let the run go.
                let _ = request.answer.send(Ok(outcome));
            }
        }
        // One that the database refuses must not take the others with it.
        Err(error) if requests.len() > 1 && !error.is_unavailable() => {
            for request in requests {
                let outcome = store.append(&[&request.append]).await.map(|outcomes| outcomes.first() == Some(&true));
                let _ = request.answer.send(outcome);
            }
        }
        Err(error) => {
            let mut error = Some(error);
            for request in requests {
                // Each of them tries again; only one of them needs to know the words.
                let _ = request.answer.send(Err(error.take().unwrap_or(StoreError::TimedOut)));
            }
        }
    }
}
