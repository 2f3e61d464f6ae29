//! Words between hosts: that there is something to look at. Never the truth, which is in the tables and looked at anyway; a word
//! that is lost costs a second.

use armilla_domain::id::RunId;
use sqlx::postgres::PgListener;

use crate::{Store, StoreError};

const CHANNEL: &str = "armilla_runs";
/// Runs named by one word: what fits the 8,000 bytes that Postgres carries.
pub const RUNS_PER_WAKEUP_MAX: usize = 200;

/// Hears what hosts tell each other.
#[derive(Debug)]
pub struct Wakeups {
    listener: PgListener,
}

impl Store {
    /// Tells every host that these runs are worth a look. At most [`RUNS_PER_WAKEUP_MAX`] of them are named; where there are more,
    /// or none, all that is due is meant.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn wake_hosts(&self, runs: &[RunId]) -> Result<(), StoreError> {
        let words = if runs.len() > RUNS_PER_WAKEUP_MAX { &[] } else { runs };
        let words = words.iter().map(|run| run.uuid().simple().to_string()).collect::<Vec<_>>().join(",");
        sqlx::query!("select pg_notify($1, $2)", CHANNEL, words).execute(&self.pool).await?;
        Ok(())
    }

    /// Begins to listen, on a connection of its own.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn wakeups(&self) -> Result<Wakeups, StoreError> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(Wakeups { listener })
    }
}

impl Wakeups {
    /// The runs that the next word names; none means all that is due. Words that came while the connection was lost are lost.
    ///
    /// # Errors
    /// Where the server is away; to be asked again later.
    pub async fn next(&mut self) -> Result<Vec<RunId>, StoreError> {
        let word = self.listener.recv().await?;
        let runs = word.payload().split(',').filter_map(|word| uuid::Uuid::try_parse(word).ok());
        Ok(runs.map(RunId::from_uuid).collect())
    }
}
