//! Connections for the statements that runs wait for most. The pool asks a connection for a sign of life whenever it comes back, which is
//! a second way to the server and back for each statement; these are kept here, and asked only after a rest, or after one of them has failed.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::{Map, QueryScalar};
use sqlx::{Connection, PgConnection, PgPool, Postgres};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::{CONNECTION_WAIT_MAX, IDLE_UNTESTED_MAX, StoreError};

/// Connections that are kept: more statements of this kind at once only take the processor from each other.
pub(crate) const KEPT_CONNECTIONS_MAX: u32 = 6;
/// How long a statement may take before it is given up, here and by the server: a network that swallows packets gives no answer at all, and
/// a server that nobody listens to must not go on.
const STATEMENT_MAX: Duration = Duration::from_secs(15);
const STATEMENT_TIMEOUT: &str = "set statement_timeout = '15s'";
/// How long one is kept that nobody needs.
const RESTED_MAX: Duration = Duration::from_secs(60);
/// How long one is kept at all: what the server remembers for a connection grows with what it was asked.
const AGE_MAX: Duration = Duration::from_secs(30 * 60);

/// The connections that are kept, and the pool that new ones come from.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pool: PgPool,
    room: Arc<Semaphore>,
    resting: Arc<Mutex<Resting>>,
}

#[derive(Debug, Default)]
struct Resting {
    connections: Vec<Rested>,
    /// When one failed last: the others, as they were then, may be as broken.
    doubted: Option<Instant>,
}

#[derive(Debug)]
struct Rested {
    connection: PgConnection,
    opened: Instant,
    since: Instant,
}

/// A connection for one statement. It is kept only where [`KeptConnection::done`] says that the statement went well: one whose statement
/// failed, or was given up half-way, is closed.
struct KeptConnection {
    connection: PgConnection,
    opened: Instant,
    doubt: Doubt,
    _room: OwnedSemaphorePermit,
}

/// Dropped before the statement is known to have gone well, it lets the others be asked before they are used.
struct Doubt {
    resting: Arc<Mutex<Resting>>,
    went_well: bool,
}

impl Kept {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool, room: Arc::new(Semaphore::new(KEPT_CONNECTIONS_MAX as usize)), resting: Arc::default() }
    }

    /// The connection that was used last, or a new one.
    async fn connection(&self) -> Result<KeptConnection, StoreError> {
        let room = timeout(CONNECTION_WAIT_MAX, Arc::clone(&self.room).acquire_owned()).await;
        // The room is closed with the store.
        let room = room.ok().and_then(Result::ok).ok_or(StoreError::TimedOut)?;
        let (connection, opened) = match self.take_rested().await {
            Some(rested) => rested,
            None => (self.open().await?, Instant::now()),
        };
        let doubt = Doubt { resting: Arc::clone(&self.resting), went_well: false };
        Ok(KeptConnection { connection, opened, doubt, _room: room })
    }

    /// The ids that a statement gives.
    pub(crate) async fn fetch_ids(
        &self,
        statement: QueryScalar<'_, Postgres, Uuid, PgArguments>,
    ) -> Result<Vec<Uuid>, StoreError> {
        let mut connection = self.connection().await?;
        let ids = in_time(statement.fetch_all(&mut *connection)).await?;
        connection.done();
        Ok(ids)
    }

    /// The row of a statement that gives one at most.
    pub(crate) async fn fetch_optional<F, T>(
        &self,
        statement: Map<'_, Postgres, F, PgArguments>,
    ) -> Result<Option<T>, StoreError>
    where
        F: FnMut(PgRow) -> Result<T, sqlx::Error> + Send,
        T: Send + Unpin,
    {
        let mut connection = self.connection().await?;
        let row = in_time(statement.fetch_optional(&mut *connection)).await?;
        connection.done();
        Ok(row)
    }

    async fn open(&self) -> Result<PgConnection, StoreError> {
        let mut connection = self.pool.acquire().await?.detach();
        in_time(sqlx::raw_sql(STATEMENT_TIMEOUT).execute(&mut connection)).await?;
        Ok(connection)
    }

    async fn take_rested(&self) -> Option<(PgConnection, Instant)> {
        loop {
            let (rested, doubted) = {
                let mut resting = lock(&self.resting);
                (resting.connections.pop()?, resting.doubted)
            };
            let Rested { mut connection, opened, since } = rested;
            let is_trusted = since.elapsed() <= IDLE_UNTESTED_MAX && doubted.is_none_or(|doubted| since > doubted);
            if is_trusted || matches!(timeout(CONNECTION_WAIT_MAX, connection.ping()).await, Ok(Ok(()))) {
                return Some((connection, opened));
            }
        }
    }

    /// Closes those that nobody has needed for a while. The one that was used last is taken first, so there are such as soon as there is
    /// less to do.
    pub(crate) async fn close_rested(&self) {
        let is_over = |rested: &mut Rested| rested.since.elapsed() > RESTED_MAX;
        let over: Vec<Rested> = lock(&self.resting).connections.extract_if(.., is_over).collect();
        close(over).await;
    }

    /// Closes all of them, after what is under way.
    pub(crate) async fn close(&self) {
        let _all = self.room.acquire_many(KEPT_CONNECTIONS_MAX).await;
        self.room.close();
        let all = std::mem::take(&mut lock(&self.resting).connections);
        close(all).await;
    }
}

async fn in_time<T>(statement: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
    Ok(timeout(STATEMENT_MAX, statement).await.map_err(|_| StoreError::TimedOut)??)
}

fn lock(resting: &Mutex<Resting>) -> MutexGuard<'_, Resting> {
    resting.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn close(all: Vec<Rested>) {
    for Rested { connection, .. } in all {
        // One that is broken is closed all the same.
        let _ = timeout(CONNECTION_WAIT_MAX, connection.close()).await;
    }
}

impl KeptConnection {
    /// The statement went well.
    fn done(self) {
        let Self { connection, opened, mut doubt, _room } = self;
        doubt.went_well = true;
        if opened.elapsed() < AGE_MAX {
            lock(&doubt.resting).connections.push(Rested { connection, opened, since: Instant::now() });
        }
    }
}

impl Drop for Doubt {
    fn drop(&mut self) {
        if !self.went_well {
            lock(&self.resting).doubted = Some(Instant::now());
        }
    }
}

impl Deref for KeptConnection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for KeptConnection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
