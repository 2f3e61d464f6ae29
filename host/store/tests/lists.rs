//! Lists take what is asked for, however much else there is: measured in rows that Postgres reads for them, on a real Postgres.

#![allow(clippy::unwrap_used)]

use armilla_domain::event::EventType;
use armilla_domain::id::{DeliveryId, EventId, RunId, WorkflowId, WorkspaceId};
use armilla_domain::run::RunStatus;
use armilla_store::{DeliveryFilter, EventPosition, NewEvent, NewWorkflow, RunFilter, Store};
use armilla_testkit::db::TestDatabase;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Connection, PgConnection};

const WORKSPACE: WorkspaceId = WorkspaceId::DEFAULT;
/// Runs, events and deliveries, one a minute, the last of them now.
const MANY: i32 = 20_000;
const PAGE: u32 = 20;
/// After so many executions Postgres may take a plan that fits whatever is asked; some more show whether it did.
const TIMES: i64 = 8;
/// Rows that a list may read for a page: those on it, what belongs to them, and what lies on the same pages of the disk.
const ROWS_PER_LIST_MAX: i64 = 2_500;

struct Filled {
    database: TestDatabase,
    connection: PgConnection,
    workflow: WorkflowId,
    now: DateTime<Utc>,
}

impl Filled {
    async fn new() -> Self {
        let database = TestDatabase::create().await;
        let store = Store::new(database.connect_options());
        let workflow = WorkflowId::from_parts(1, [1; 10]);
        let new = NewWorkflow {
            id: workflow,
            workspace: WORKSPACE,
            name: "A test's",
            description: None,
            definition: "{}",
            warnings: "[]",
            by: "ada",
            on_events: None,
        };
        let told = EventId::from_parts(1, [1; 10]);
        let told = NewEvent { id: told, kind: EventType::WorkflowCreated, data: "{}".to_owned(), depth: 0 };
        store.create_workflow(new, &told).await.unwrap();
        store.close().await;
        let mut connection = PgConnection::connect_with(&database.connect_options()).await.unwrap();
        let now = sqlx::query_scalar("select now()").fetch_one(&mut connection).await.unwrap();
        Self { database, connection, workflow, now }
    }

    async fn fill(&mut self, statement: &'static str) {
        let filled = sqlx::query(statement).bind(WORKSPACE.uuid()).bind(self.workflow.uuid()).bind(MANY).bind(self.now);
        assert_eq!(filled.execute(&mut self.connection).await.unwrap().rows_affected(), MANY as u64);
        sqlx::raw_sql("vacuum analyze").execute(&mut self.connection).await.unwrap();
    }

    fn ago(&self, minutes: i32) -> DateTime<Utc> {
        self.now - TimeDelta::minutes(minutes.into())
    }

    /// How many rows of all tables that hold what is filled Postgres has read so far. Who asks has read none.
    async fn read_so_far(&mut self) -> i64 {
        // What a connection has read is told when it ends; this waits for those that are about to.
        let ended = "select pg_terminate_backend(pid, 10000) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'";
        sqlx::query(ended).execute(&mut self.connection).await.unwrap();
        let read = "select coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::bigint from pg_stat_user_tables
            where relname ~ '^(runs|events|webhook_deliveries)'";
        sqlx::query_scalar(read).fetch_one(&mut self.connection).await.unwrap()
    }

    /// What a list gives, after it was asked for often enough by one connection, and shown to have read little each time.
    async fn list<T>(&mut self, what: &str, list: impl AsyncFn(Store) -> Vec<T>) -> Vec<T> {
        let before = self.read_so_far().await;
        let store = Store::new(self.database.connect_options());
        let mut given = Vec::new();
        for _ in 0..TIMES {
            given = list(store.clone()).await;
        }
        store.close().await;
        let read = (self.read_so_far().await - before) / TIMES;
        assert!(read <= ROWS_PER_LIST_MAX, "{what}: {read} rows were read for {}", given.len());
        given
    }

    async fn runs(&mut self, what: &str, filter: RunFilter, before: Option<RunId>) -> usize {
        self.list(what, async |store| store.runs(WORKSPACE, &filter, before, PAGE).await.unwrap()).await.len()
    }
}

/// An id of the time of row `n`, as all that are made at a time have one.
macro_rules! filling {
    ($what:literal) => {
        concat!(
            "with made as (
                select n, $4::timestamptz - make_interval(mins => $3::int - n) as at,
                    (left(replace(first_run_id($4::timestamptz - make_interval(mins => $3::int - n))::text, '-', ''), 12)
                        || '7000' || '8000' || lpad(to_hex(n), 12, '0'))::uuid as id
                from generate_series(1, $3::int) n
            ) ",
            $what
        )
    };
}

#[tokio::test]
async fn runs_of_a_time_a_workflow_or_a_page_are_found_among_many_that_have_ended() {
    let mut filled = Filled::new().await;
    filled
        .fill(filling!(
            "insert into runs (id, workspace_id, workflow_id, workflow_version, first_version, status, error_code, created_at, started_at,
                finished_at)
            select id, $1, $2, 1, 1, case when n % 1000 = 0 then 'failed' else 'success' end,
                case when n % 1000 = 0 then 'x' end, at, at, at from made"
        ))
        .await;
    let all = RunFilter::default;
    let since = Some(filled.ago(9));
    assert_eq!(filled.runs("of the last minutes", RunFilter { created_from: since, ..all() }, None).await, 10);
    let long_ago = Some(filled.ago(MANY - 10));
    let first = RunFilter { created_before: long_ago, ..all() };
    assert_eq!(filled.runs("of long ago", first, None).await, 9);
    let (from, before) = (Some(filled.ago(10_005)), Some(filled.ago(10_000)));
    let between = RunFilter { created_from: from, created_before: before, ..all() };
    assert_eq!(filled.runs("of some minutes", between, None).await, 5);
    let failed = RunFilter { statuses: vec![RunStatus::Failed], ..all() };
    assert_eq!(filled.runs("that failed", failed.clone(), None).await, PAGE as usize);
    let old_failed = RunFilter { created_before: long_ago, ..failed };
    assert_eq!(filled.runs("that failed long ago", old_failed, None).await, 0);
    let other = RunFilter { workflow: Some(WorkflowId::from_parts(2, [2; 10])), ..all() };
    assert_eq!(filled.runs("of a workflow that has none", other, None).await, 0);
    let deep = RunId::from_parts(filled.ago(MANY - 30).timestamp_millis().unsigned_abs(), [0; 10]);
    assert_eq!(filled.runs("far down", all(), Some(deep)).await, PAGE as usize);
}

#[tokio::test]
async fn a_run_whose_id_is_much_older_than_itself_is_found_by_its_time() {
    let mut filled = Filled::new().await;
    // A child has the time of its parent's start in its id.
    filled
        .fill(filling!(
            "insert into runs (id, workspace_id, workflow_id, workflow_version, first_version, status, created_at, started_at, finished_at)
            select id, $1, $2, 1, 1, 'success', case when n = 7 then $4::timestamptz else at end, at, at from made"
        ))
        .await;
    let since = RunFilter { created_from: Some(filled.ago(1)), ..RunFilter::default() };
    assert_eq!(filled.runs("of the last minute", since, None).await, 3);
}

#[tokio::test]
async fn events_of_a_seldom_type_or_a_time_are_found_among_many() {
    let mut filled = Filled::new().await;
    filled
        .fill(filling!(
            "insert into events (id, workspace_id, type, at, data, transaction)
            select id, $1, case when n in (17, 170) then 'webhook.disabled' when $2::uuid is null then 'x' else 'step.succeeded' end,
                at, '{}', n from made"
        ))
        .await;
    let kinds = [EventType::WebhookDisabled];
    let seldom = async |store: Store| store.events(WORKSPACE, Some(&kinds), None, None, None, PAGE).await.unwrap();
    assert_eq!(filled.list("of a seldom type", seldom).await.len(), 2);
    let none = [EventType::PluginFailed, EventType::RunFailed];
    let none = async |store: Store| store.events(WORKSPACE, Some(&none), None, None, None, PAGE).await.unwrap();
    assert_eq!(filled.list("of types that there are none of", none).await.len(), 0);
    let (from, until) = (filled.ago(MANY - 10), filled.ago(MANY - 15));
    let old = async |store: Store| store.events(WORKSPACE, None, None, Some(from), None, PAGE).await.unwrap();
    assert_eq!(filled.list("of long ago", old).await.len(), 9);
    let between =
        async |store: Store| store.events(WORKSPACE, None, Some(from), Some(until), None, PAGE).await.unwrap();
    assert_eq!(filled.list("of some minutes", between).await.len(), 5);
    let first_of_all = Some(DateTime::UNIX_EPOCH - TimeDelta::days(400));
    let all = async |store: Store| store.events(WORKSPACE, None, first_of_all, None, None, PAGE).await.unwrap();
    assert_eq!(filled.list("of all times", all).await.len(), PAGE as usize);
    let recent = filled.ago(9);
    let recent = async |store: Store| store.events(WORKSPACE, None, Some(recent), None, None, PAGE).await.unwrap();
    assert_eq!(filled.list("of the last minutes", recent).await.len(), 10);
    let place = EventPosition { transaction: 30, id: EventId::from_parts(1, [0; 10]) };
    let deep = async |store: Store| store.events(WORKSPACE, None, None, None, Some(place), PAGE).await.unwrap();
    assert_eq!(filled.list("far down", deep).await.len(), PAGE as usize);
}

#[tokio::test]
async fn a_delivery_of_its_id_or_its_time_is_found_among_many() {
    let mut filled = Filled::new().await;
    filled
        .fill(filling!(
            "insert into webhook_deliveries (id, workspace_id, webhook_id, event_id, event_type, body, status, created_at, ended_at)
            select id, $1, $2, id, 'run.started', '', 'succeeded', at, at from made"
        ))
        .await;
    let all = DeliveryFilter::default;
    let old = DeliveryFilter { until: Some(filled.ago(MANY - 10)), ..all() };
    let old = async |store: Store| store.webhook_deliveries(WORKSPACE, &old, None, PAGE).await.unwrap();
    let old = filled.list("of long ago", old).await;
    assert_eq!(old.len(), 9);
    let id = old[3].id;
    let one = async |store: Store| Vec::from_iter(store.webhook_delivery(WORKSPACE, id).await.unwrap());
    assert_eq!(filled.list("of an id", one).await.len(), 1);
    let failed = DeliveryFilter { status: Some("failed".to_owned()), ..all() };
    let failed = async |store: Store| store.webhook_deliveries(WORKSPACE, &failed, None, PAGE).await.unwrap();
    assert_eq!(filled.list("that failed", failed).await.len(), 0);
    let deep = DeliveryId::from_parts(filled.ago(MANY - 30).timestamp_millis().unsigned_abs(), [0; 10]);
    let deep = async |store: Store| store.webhook_deliveries(WORKSPACE, &all(), Some(deep), PAGE).await.unwrap();
    assert_eq!(filled.list("far down", deep).await.len(), PAGE as usize);
}
