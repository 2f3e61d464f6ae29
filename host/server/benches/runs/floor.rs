//! The floor: what one would write by hand, with Postgres and nothing else, to keep a run of five steps. No HTTP, no engine, no
//! agents, no plugins.

use std::sync::{Arc, Mutex};

use armilla_domain::id::{RunId, WorkflowId, WorkspaceId};
use armilla_engine::{Chance, Clock, SystemChance, SystemClock};
use armilla_store::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::server::Server;

/// A run's first attempt at anything may be slow and make one commit more; the fewest of so many is what it takes.
const SAMPLES: usize = 5;
/// As many statements at once as calls are in flight in the middle contest; a server has half of that.
const CONNECTIONS: usize = 32;
/// What an outcome weighs in the server's journal, about.
const BODY: &str = r#"{"kind":"step.succeeded","attempt":1,"output":{"slug":"the-armillary-sphere-once-more"},"measured":{"durationMs":0,"inputBytes":40,"outputBytes":42,"answerer":{"kind":"plugin","name":"text","version":"0.1.0","digest":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}}}"#;

const BEGIN: &str = "with run as (
        insert into runs (id, workspace_id, workflow_id, workflow_version, first_version, status, journal_len, lease_epoch,
            lease_owner, due_at, created_at, started_at)
        values ($1, $2, $3, 1, 1, 'running', 1, 1, $4, now() + interval '30 seconds', now(), now())
    )
    insert into journal (run_id, seq, at, kind, body) values ($1, 1, now(), 'run.started', $5)";

const STEP: &str = "with held as (
        update runs set journal_len = journal_len + 1 where id = $1 and lease_epoch = 1 and journal_len = $2 returning id
    )
    insert into journal (run_id, seq, at, kind, scope, step_id, visit, body)
    select id, $2 + 1, now(), 'step.succeeded', '', 's', 1, $3 from held";

const END: &str = "with held as (
        update runs set journal_len = journal_len + 1, status = 'success', finished_at = now(), lease_owner = null, due_at = null
        where id = $1 and lease_epoch = 1 and journal_len = $2 returning id
    ), result as (insert into run_results (run_id, vars, output) select id, $3, 'null' from held)
    insert into journal (run_id, seq, at, kind, body) select id, $2 + 1, now(), 'run.succeeded', $3 from held";

/// Bare SQL on the server's database. A run has a connection to itself, and hands it on as it is: nothing is sent but the statements.
#[derive(Clone)]
pub(crate) struct Floor {
    options: PgConnectOptions,
    room: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<PgConnection>>>,
}

/// A run that is kept.
pub(crate) struct Kept {
    id: Uuid,
    /// Entries in its journal.
    len: i32,
    connection: PgConnection,
    _room: OwnedSemaphorePermit,
}

impl Floor {
    pub(crate) fn new(options: PgConnectOptions) -> Self {
        Self { options, room: Arc::new(Semaphore::new(CONNECTIONS)), idle: Arc::default() }
    }

    async fn connect(options: &PgConnectOptions) -> PgConnection {
        PgConnection::connect_with(options).await.unwrap()
    }

    /// How many commits the server makes for a run, at least.
    pub(crate) async fn commits_of(&self, server: &Server, workflow: WorkflowId) -> usize {
        let mut fewest = usize::MAX;
        let mut connection = Self::connect(&self.options).await;
        for _ in 0..SAMPLES {
            let run = server.run_and_name(workflow).await;
            // The transaction that wrote a row is in the row.
            let commits: i64 = sqlx::query_scalar("select count(distinct xmin::text) from journal where run_id = $1")
                .bind(run.uuid())
                .fetch_one(&mut connection)
                .await
                .unwrap();
            fewest = fewest.min(commits as usize);
        }
        fewest
    }

    /// Keeps one run in so many commits: its beginning, its end, and a step for each one between them.
    pub(crate) fn run(&self, workflow: WorkflowId, commits: usize) -> impl Future<Output = ()> + Send + use<> {
        let floor = self.clone();
        async move {
            let mut run = floor.begin(workflow).await;
            for _ in 2..commits {
                run = floor.step(run).await;
            }
            floor.end(run).await;
        }
    }

    pub(crate) async fn begin(&self, workflow: WorkflowId) -> Kept {
        let room = Arc::clone(&self.room).acquire_owned().await.unwrap();
        let rested = self.idle.lock().unwrap().pop();
        let mut connection = match rested {
            Some(connection) => connection,
            None => Self::connect(&self.options).await,
        };
        let now = SystemClock.now().timestamp_millis().unsigned_abs();
        let id = RunId::from_parts(now, SystemChance.bytes()).uuid();
        let workspace = WorkspaceId::DEFAULT.uuid();
        let begin =
            sqlx::query(BEGIN).bind(id).bind(workspace).bind(workflow.uuid()).bind(Uuid::from_u128(1)).bind(BODY);
        begin.execute(&mut connection).await.unwrap();
        Kept { id, len: 1, connection, _room: room }
    }

    pub(crate) async fn step(&self, mut run: Kept) -> Kept {
        sqlx::query(STEP).bind(run.id).bind(run.len).bind(BODY).execute(&mut run.connection).await.unwrap();
        run.len += 1;
        run
    }

    pub(crate) async fn end(&self, mut run: Kept) {
        sqlx::query(END).bind(run.id).bind(run.len).bind(BODY).execute(&mut run.connection).await.unwrap();
        self.idle.lock().unwrap().push(run.connection);
    }

    /// One of the server's settings, as it states it.
    pub(crate) async fn setting(&self, name: &str) -> String {
        let mut connection = Self::connect(&self.options).await;
        sqlx::query_scalar("select current_setting($1)").bind(name).fetch_one(&mut connection).await.unwrap()
    }
}
