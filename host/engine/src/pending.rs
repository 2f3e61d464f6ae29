//! Entries that were decided and are not durable yet.

use std::time::Duration;

use armilla_domain::id::RunId;
use armilla_domain::journal::{Entry, Event};
use armilla_domain::run::State;
use armilla_store::{Append, Appended, LeasedRun, RunEnd, Store, StoreError};
use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::time::timeout;
use tracing::warn;

/// How long one append may take before it is made again: a network that swallows packets gives no answer at all.
const APPEND_MAX: Duration = Duration::from_secs(15);
/// The first wait after an append that met an absent database; it doubles up to [`RETRY_DELAY_MAX`].
const RETRY_DELAY: Duration = Duration::from_millis(50);
/// The longest such wait: a database that is back is noticed within it.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(1);

/// The end of one run's journal: what is durable, and what is to be.
pub(crate) struct Pending {
    run: RunId,
    epoch: i64,
    journal_len: i32,
    /// What the durable part weighs.
    journal_bytes: i64,
    entries: Vec<Entry>,
}

impl Pending {
    pub(crate) fn new(run: &LeasedRun, entries: Vec<Entry>) -> Self {
        let LeasedRun { id, epoch, journal_len, journal_bytes, .. } = *run;
        Self { run: id, epoch, journal_len, journal_bytes, entries }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What the run's journal weighs, as far as it is durable.
    pub(crate) fn journal_bytes(&self) -> i64 {
        self.journal_bytes
    }

    pub(crate) fn push(&mut self, at: DateTime<Utc>, event: Event) {
        self.entries.push(Entry { at, event });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// When the last entry was made.
    pub(crate) fn last_at(&self) -> Option<DateTime<Utc>> {
        self.entries.last().map(|entry| entry.at)
    }

    /// Makes everything durable in one statement, however long the database is away. `Ok(false)` where the lease is lost.
    ///
    /// # Errors
    /// Where the statement itself is refused, which no waiting mends.
    pub(crate) async fn append(&mut self, store: &Store, state: &State) -> Result<bool, StoreError> {
        if self.entries.is_empty() {
            return Ok(true);
        }
        let append = Append {
            run: self.run,
            epoch: self.epoch,
            journal_len: self.journal_len,
            entries: &self.entries,
            end: run_end(state),
        };
        let mut delay = RETRY_DELAY;
        let appended = loop {
            let appended = timeout(APPEND_MAX, store.append(&append)).await.unwrap_or(Err(StoreError::TimedOut));
            match appended {
                Err(error) if error.is_unavailable() => {
                    warn!(run.id = %self.run, delay_ms = delay.as_millis() as u64, "The journal of `{}` waits: {error}", self.run);
                    tokio::time::sleep(delay).await;
                    delay = (delay * 2).min(RETRY_DELAY_MAX);
                }
                settled => break settled?,
            }
        };
        self.journal_len += self.entries.len() as i32;
        self.entries.clear();
        match appended {
            Appended::Yes { bytes } => {
                self.journal_bytes += bytes;
                Ok(true)
            }
            Appended::LeaseLost => Ok(false),
        }
    }
}

fn run_end(state: &State) -> Option<RunEnd> {
    let status = state.status();
    status.is_final().then(|| RunEnd {
        status,
        vars: vars_json(state).to_string(),
        output: state.output().to_string(),
        error: state.error().and_then(|error| serde_json::to_string(error).ok()),
    })
}

/// The variables of a run as one JSON object.
pub(crate) fn vars_json(state: &State) -> Value {
    Value::Object(state.variables().iter().map(|(name, value)| (name.clone(), Value::clone(value))).collect())
}
