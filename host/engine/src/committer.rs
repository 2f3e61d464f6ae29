//! Makes beginnings and outcomes durable: one statement for all that wait, so that many runs share a flush. What comes while nothing is
//! under way is written where it comes from, without the way to another task and back.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use armilla_domain::id::RunId;
use armilla_store::{Append, PlainRun, Store, StoreError};
use tokio::sync::{Mutex, Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Statements under way at once: more only take the processor from each other.
const STATEMENTS_AT_ONCE: usize = 4;
/// Appends, or beginnings, that are worth a statement beside those under way. Fewer wait until one of these has ended: to begin a
/// statement, and a transaction, takes Postgres longer than many rows more.
const WORTH_ANOTHER: usize = 16;
/// How long they wait for that at most: a statement that waits for a lock, or for a connection that is gone, must not keep the others.
const GATHERED_FOR_MAX: Duration = Duration::from_millis(10);
/// How long a statement may take before it is given up: a network that swallows packets gives no answer at all.
const STATEMENT_MAX: Duration = Duration::from_secs(15);
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
    line: Arc<Line<T>>,
}

/// What waits to be written.
struct Line<T> {
    waiting: Mutex<mpsc::Receiver<Request<T>>>,
    /// Whether some of what waits is in the hands of a task that will write it.
    is_gathered: AtomicBool,
    /// Statements under way.
    under_way: AtomicUsize,
    /// One of them has ended.
    ended: Notify,
}

impl<T> Line<T> {
    fn of(waiting: mpsc::Receiver<Request<T>>, under_way: usize) -> Self {
        Self {
            waiting: Mutex::new(waiting),
            is_gathered: AtomicBool::new(false),
            under_way: AtomicUsize::new(under_way),
            ended: Notify::new(),
        }
    }

    /// Takes what waits as soon as no statement is under way, or there is enough of it to be worth another one beside those; nothing
    /// where nothing comes any more.
    async fn gather(&self) -> Vec<Request<T>> {
        let mut gathered = Vec::new();
        let mut waiting = self.waiting.lock().await;
        waiting.recv_many(&mut gathered, PER_STATEMENT_MAX).await;
        self.is_gathered.store(true, Ordering::Relaxed);
        let mut patience = pin!(tokio::time::sleep(GATHERED_FOR_MAX));
        while gathered.len() < WORTH_ANOTHER && self.under_way.load(Ordering::Relaxed) > 0 {
            let room = PER_STATEMENT_MAX - gathered.len();
            tokio::select! {
                // What has come goes with the statement that may begin.
                biased;
                more = waiting.recv_many(&mut gathered, room) => if more == 0 { break },
                () = self.ended.notified() => {}
                () = &mut patience => break,
            }
        }
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.is_gathered.store(false, Ordering::Relaxed);
        gathered
    }

    /// Begins a statement of one alone, where none is under way and nobody waits. Whoever comes meanwhile waits for its end.
    fn begin_alone(&self, waiting: &mpsc::Sender<Request<T>>) -> Option<UnderWay<'_, T>> {
        let is_first = waiting.capacity() == LINE_MAX
            && !self.is_gathered.load(Ordering::Relaxed)
            && self.under_way.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        is_first.then(|| UnderWay(self))
    }
}

/// A statement under way. It ends however whoever began it goes on.
struct UnderWay<'a, T>(&'a Line<T>);

impl<T> Drop for UnderWay<'_, T> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
        self.0.ended.notify_one();
    }
}

impl<T: Durable> Committer<T> {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(LINE_MAX);
        Self { sender, line: Arc::new(Line::of(receiver, 0)) }
    }

    /// Begins to write, until `stopped`.
    pub(crate) fn start(&self, store: &Store, stopped: &CancellationToken) {
        for _ in 0..STATEMENTS_AT_ONCE {
            tokio::spawn(write_forever(store.clone(), Arc::clone(&self.line), stopped.clone()));
        }
    }

    /// Whether it took place.
    pub(crate) async fn write(&self, store: &Store, what: Arc<T>) -> Result<bool, StoreError> {
        if let Some(_under_way) = self.line.begin_alone(&self.sender) {
            return Ok(in_time(T::write(store, &[&what])).await?.first() == Some(&true));
        }
        let (answer, answered) = oneshot::channel();
        self.sender.send(Request { what, answer }).await.map_err(|_| StoreError::TimedOut)?;
        answered.await.unwrap_or(Err(StoreError::TimedOut))
    }
}

async fn write_forever<T: Durable>(store: Store, line: Arc<Line<T>>, stopped: CancellationToken) {
    loop {
        let mut requests = tokio::select! {
            () = stopped.cancelled() => return,
            gathered = line.gather() => gathered,
        };
        if requests.is_empty() {
            return;
        }
        let _under_way = UnderWay(&line);
        // Who lock several rows at once do so in one order.
        requests.sort_unstable_by_key(|request| request.what.run());
        write(&store, requests).await;
    }
}

async fn in_time<T>(statement: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(STATEMENT_MAX, statement).await.unwrap_or(Err(StoreError::TimedOut))
}

async fn write<T: Durable>(store: &Store, requests: Vec<Request<T>>) {
    let all: Vec<&T> = requests.iter().map(|request| &*request.what).collect();
    match in_time(T::write(store, &all)).await {
        Ok(outcomes) => {
            for (request, outcome) in requests.into_iter().zip(outcomes) {
                // Who does not wait any more has let the run go.
                let _ = request.answer.send(Ok(outcome));
            }
        }
        // One that the database refuses must not take the others with it.
        Err(error) if requests.len() > 1 && !error.is_unavailable() => {
            let mut is_away = false;
            for request in requests {
                let outcome = match is_away {
                    // None of the others would fare better, and each would wait as long.
                    true => Err(StoreError::TimedOut),
                    false => in_time(T::write(store, &[&request.what])).await,
                };
                is_away = outcome.as_ref().is_err_and(StoreError::is_unavailable);
                let _ = request.answer.send(outcome.map(|outcomes| outcomes.first() == Some(&true)));
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

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::time::Instant;

    use super::*;

    /// A line in which so many wait, while so many statements are under way.
    fn line(waiting: usize, under_way: usize) -> (mpsc::Sender<Request<()>>, Line<()>) {
        let (sender, receiver) = mpsc::channel(LINE_MAX);
        for _ in 0..waiting {
            assert!(sender.try_send(request()).is_ok());
        }
        (sender, Line::of(receiver, under_way))
    }

    fn request() -> Request<()> {
        Request { what: Arc::new(()), answer: oneshot::channel().0 }
    }

    #[tokio::test(start_paused = true)]
    async fn one_alone_waits_for_nothing_and_neither_do_many_beside_a_statement() {
        let began = Instant::now();
        assert_eq!(line(1, 0).1.gather().await.len(), 1);
        assert_eq!(line(WORTH_ANOTHER, 1).1.gather().await.len(), WORTH_ANOTHER);
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(line(PER_STATEMENT_MAX + 1, 0).1.gather().await.len(), PER_STATEMENT_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_wait_for_the_end_of_what_is_under_way_and_go_with_those_that_come_meanwhile() {
        let (sender, line) = line(1, 1);
        let began = Instant::now();
        let others = async {
            assert!(sender.try_send(request()).is_ok());
            tokio::task::yield_now().await;
            drop(UnderWay(&line));
        };
        let (gathered, ()) = tokio::join!(line.gather(), others);
        assert_eq!((gathered.len(), began.elapsed()), (2, Duration::ZERO));
        assert_eq!(line.under_way.load(Ordering::Relaxed), 1, "the one that begins with them");
    }

    #[tokio::test]
    async fn what_comes_while_nothing_is_under_way_is_written_at_once_and_overtakes_nobody() {
        let (sender, line) = line(0, 0);
        let alone = line.begin_alone(&sender);
        assert!(alone.is_some());
        assert!(line.begin_alone(&sender).is_none(), "beside a statement under way");
        assert!(sender.try_send(request()).is_ok());
        let mut gathering = Box::pin(line.gather());
        assert!((&mut gathering).now_or_never().is_none());
        drop(alone);
        assert!(line.begin_alone(&sender).is_none(), "before those who wait");
        assert_eq!(gathering.await.len(), 1);
        drop(UnderWay(&line));
        assert!(line.begin_alone(&sender).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_statement_that_hangs_keeps_the_others_for_some_milliseconds_at_most() {
        let (_sender, line) = line(1, 1);
        let began = Instant::now();
        assert_eq!(line.gather().await.len(), 1);
        assert!((GATHERED_FOR_MAX..GATHERED_FOR_MAX * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_line_to_which_nothing_comes_any_more_gives_nothing() {
        let (sender, line) = line(0, 1);
        drop(sender);
        assert!(line.gather().await.is_empty());
    }
}
