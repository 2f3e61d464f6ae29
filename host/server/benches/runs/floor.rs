//! The floor: the statements that the server makes durable for one run, and nothing else. No HTTP, no engine, no agents, no
//! plugins: entries that lie ready, through the same functions of the same driver.

use std::sync::Arc;

use armilla_domain::id::{RunId, WorkflowId, WorkspaceId};
use armilla_domain::journal::Entry;
use armilla_domain::run::RunStatus;
use armilla_engine::{Chance, Clock, LEASE, SystemChance, SystemClock};
use armilla_store::{Append, Lease, NewRun, PgConnectOptions, Rows, RunEnd, RunRow, Started, Store, Then};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::server::Server;

/// A run's first attempt at anything may be slow and make one commit more; the quickest of so many is the one to repeat.
const SAMPLES: usize = 5;

/// What a server wrote for one run.
#[derive(Clone)]
pub(crate) struct Journal {
    entries: Arc<Vec<Entry>>,
    /// How many entries became durable together, commit by commit.
    commits: Arc<Vec<usize>>,
    ended: Arc<RunRow>,
}

impl Journal {
    pub(crate) fn commits(&self) -> usize {
        self.commits.len()
    }

    pub(crate) fn entries(&self) -> usize {
        self.entries.len()
    }

    fn end(&self) -> RunEnd {
        let RunRow { status, vars, output, error, .. } = RunRow::clone(&self.ended);
        RunEnd {
            status,
            vars: vars.unwrap(),
            output: output.unwrap(),
            error,
            error_code: None,
            retain: None,
            told_parent: None,
        }
    }
}

/// Bare SQL on the server's database.
pub(crate) struct Floor {
    options: PgConnectOptions,
    /// A store opens 16 connections at most: with two of them, 32 statements are under way at once.
    stores: [Store; 2],
    lease: Lease,
}

impl Floor {
    pub(crate) fn new(options: PgConnectOptions) -> Self {
        let stores = [Store::new(options.clone()), Store::new(options.clone())];
        // Another host, so that the server does not look after these runs.
        Self { options, stores, lease: Lease { owner: Uuid::from_u128(1), duration: LEASE } }
    }

    /// Runs the workflow some times, and reads what was written for the run that took the fewest commits.
    pub(crate) async fn journal_of(&self, server: &Server, workflow: WorkflowId) -> Journal {
        let mut journals = Vec::new();
        for _ in 0..SAMPLES {
            let run = server.run_and_name(workflow).await;
            journals.push(self.read(run).await);
        }
        journals.into_iter().min_by_key(Journal::commits).unwrap()
    }

    async fn read(&self, run: RunId) -> Journal {
        // The transaction that wrote a row is in the row.
        let commits: Vec<i64> =
            sqlx::query_scalar("select count(*) from journal where run_id = $1 group by xmin::text order by min(seq)")
                .bind(run.uuid())
                .fetch_all(&mut self.connect().await)
                .await
                .unwrap();
        let store = &self.stores[0];
        Journal {
            entries: Arc::new(store.journal(run).await.unwrap()),
            commits: Arc::new(commits.into_iter().map(|entries| entries as usize).collect()),
            ended: Arc::new(store.run(WorkspaceId::DEFAULT, run).await.unwrap().unwrap()),
        }
    }

    /// Writes a run of its own as the journal was written: the same statements with the same entries, commit by commit.
    pub(crate) fn replay(
        &self,
        worker: usize,
        workflow: WorkflowId,
        journal: &Journal,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (store, lease, journal) = (self.stores[worker % self.stores.len()].clone(), self.lease, journal.clone());
        async move {
            let now = SystemClock.now();
            let id = RunId::from_parts(now.timestamp_millis().unsigned_abs(), SystemChance.bytes());
            let mut written = journal.commits[0];
            let rows = Rows::of(&journal.entries[..written]).unwrap();
            let new = NewRun {
                id,
                workspace: WorkspaceId::DEFAULT,
                workflow,
                version: 1,
                started_at: now,
                lease: Some(lease),
                traceparent: None,
                plugins: None,
                entries: &rows,
                parent: None,
                place_in_line: None,
                idempotency: None,
            };
            assert_eq!(store.start_run(&new).await.unwrap(), Started::Yes { admitted: true });
            for count in &journal.commits[1..] {
                let next = written + count;
                let append = Append {
                    run: id,
                    epoch: 1,
                    journal_len: written as i32,
                    entries: Rows::of(&journal.entries[written..next]).unwrap(),
                    then: if next == journal.entries.len() {
                        Then::End(Box::new(journal.end()))
                    } else {
                        Then::GoOn { status: RunStatus::Running }
                    },
                    consumed: Vec::new(),
                    abandoned: Vec::new(),
                    approvals: None,
                };
                assert_eq!(store.append(&[&append]).await.unwrap(), [true]);
                written = next;
            }
        }
    }

    /// One of the server's settings, as it states it.
    pub(crate) async fn setting(&self, name: &str) -> String {
        let query = sqlx::query_scalar("select current_setting($1)").bind(name);
        query.fetch_one(&mut self.connect().await).await.unwrap()
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect_with(&self.options).await.unwrap()
    }

    pub(crate) async fn close(self) {
        for store in self.stores {
            store.close().await;
        }
    }
}
