//! Makes beginnings and outcomes durable: one statement for all that wait, so that many runs share a flush.

use std::sync::Arc;

use armilla_domain::id::RunId;
use armilla_store::{Append, PlainRun, Store, StoreError};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Statements under way at once. While fewer outcomes wait than this, each has a statement of its own and waits for no other; when
/// more do, they gather while these work.
const STATEMENTS_AT_ONCE: usize = 4;
/// Appends, or beginnings, of one statement: beyond this a statement takes longer than what it saves.
const PER_STATEMENT_MAX: usize = 256;
/// Those that may wait in line: each belongs to a run that is driven here.
const LINE_MAX: usize = crate::RUNS_PER_HOST_MAX * 2;

/// What becomes durable together with others of its kind.
pub(crate) trait Durable: Send + Sync + 'static {
    /// The run that it is about.
    fn run(&self) -> RunId;

    /// Writes all of them, and says for each whether it took place.
    fn write(store: &Store, all: &[&Self]) -> impl Future<Output = Result<Vec<bool>, StoreError>> + Send;
}

impl Durable for Append {
    fn run(&self) -> RunId {
        self.run
    }

    async fn write(store: &Store, all: &[&Self]) -> Result<Vec<bool>, StoreError> {
        store.append(all).await
    }
}

impl Durable for PlainRun {
    fn run(&self) -> RunId {
        self.id
    }

    async fn write(store: &Store, all: &[&Self]) -> Result<Vec<bool>, StoreError> {
        store.start_runs(all).await
    }
}

struct Request<T> {
    what: Arc<T>,
    answer: oneshot::Sender<Result<bool, StoreError>>,
}

/// Hands what is to be durable to the tasks that write it.
pub(crate) struct Committer<T> {
    sender: mpsc::Sender<Request<T>>,
    receiver: Arc<Mutex<mpsc::Receiver<Request<T>>>>,
}

impl<T: Durable> Committer<T> {
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

    /// Whether it took place.
    pub(crate) async fn write(&self, what: Arc<T>) -> Result<bool, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.sender.send(Request { what, answer }).await.map_err(|_| StoreError::TimedOut)?;
        answered.await.unwrap_or(Err(StoreError::TimedOut))
    }
}

async fn write_forever<T: Durable>(
    store: Store,
    line: Arc<Mutex<mpsc::Receiver<Request<T>>>>,
    stopped: CancellationToken,
) {
    loop {
        let mut requests = Vec::new();
        tokio::select! {
            () = stopped.cancelled() => return,
            () = async {
                line.lock().await.recv_many(&mut requests, PER_STATEMENT_MAX).await;
            } => {}
        }
        if requests.is_empty() {
            return;
        }
        // Who lock several rows at once do so in one order.
        requests.sort_unstable_by_key(|request| request.what.run());
        write(&store, requests).await;
    }
}

async fn write<T: Durable>(store: &Store, requests: Vec<Request<T>>) {
    let all: Vec<&T> = requests.iter().map(|request| &*request.what).collect();
    match T::write(store, &all).await {
        Ok(outcomes) => {
            for (request, outcome) in requests.into_iter().zip(outcomes) {
                // Who does not wait any more has let the run go.
                let _ = request.answer.send(Ok(outcome));
            }
        }
        // One that the database refuses must not take the others with it.
        Err(error) if requests.len() > 1 && !error.is_unavailable() => {
            for request in requests {
                let outcome = T::write(store, &[&request.what]).await.map(|outcomes| outcomes.first() == Some(&true));
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
