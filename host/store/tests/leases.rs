//! Leases and the journal's fence, on a real Postgres.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use armilla_domain::id::{RunId, WorkflowId, WorkspaceId};
use armilla_domain::journal::{Entry, Event};
use armilla_domain::run::RunStatus;
use armilla_store::{Append, Lease, LeasedRun, NewRun, NewWorkflow, Rows, RunEnd, Started, Store, Then};
use armilla_testkit::db::TestDatabase;
use chrono::DateTime;
use serde_json::{Value, json};
use uuid::Uuid;

const WORKSPACE: WorkspaceId = WorkspaceId::DEFAULT;
const LEASE: Duration = Duration::from_secs(30);

struct Bench {
    store: Store,
    workflow: WorkflowId,
    _database: TestDatabase,
}

impl Bench {
    async fn new() -> Self {
        let database = TestDatabase::create().await;
        let store = Store::new(database.connect_options());
        let workflow = WorkflowId::from_parts(1_700_000_000_000, [1; 10]);
        let new = NewWorkflow {
            id: workflow,
            workspace: WORKSPACE,
            name: "w",
            description: None,
            definition: "{}",
            warnings: "[]",
            by: "ada",
        };
        store.create_workflow(new).await.unwrap();
        Self { store, workflow, _database: database }
    }

    async fn start(&self, chance: u8, owner: Option<Uuid>) -> RunId {
        let id = RunId::from_parts(1_800_000_000_000, [chance; 10]);
        let new = NewRun {
            id,
            workspace: WORKSPACE,
            workflow: self.workflow,
            version: 1,
            started_at: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
            lease: owner.map(lease_of),
            traceparent: None,
            entries: &rows([Event::RunStarted { input: Arc::new(json!({})), plugins: Vec::new() }]),
            plugins: None,
            parent: None,
            place_in_line: None,
            idempotency: None,
        };
        assert_eq!(self.store.start_run(&new).await.unwrap(), Started::Yes { admitted: true });
        id
    }

    async fn claim(&self, owner: Uuid) -> Vec<LeasedRun> {
        self.store.claim_runs(lease_of(owner), 10).await.unwrap()
    }

    /// Appends the end of a run, as a host that holds `epoch` and knows of `journal_len` entries.
    async fn end(&self, run: RunId, epoch: i64, journal_len: i32) -> bool {
        self.append(end_of(run, epoch, journal_len, json!("done"))).await
    }

    async fn append(&self, append: Append) -> bool {
        self.store.append(&[&append]).await.unwrap()[0]
    }
}

fn end_of(run: RunId, epoch: i64, journal_len: i32, output: Value) -> Append {
    let end = RunEnd {
        status: RunStatus::Success,
        vars: "{}".into(),
        output: "null".into(),
        error: None,
        error_code: None,
        retain: None,
        told_parent: None,
    };
    Append {
        run,
        epoch,
        journal_len,
        entries: rows([Event::RunSucceeded { output }]),
        then: Then::End(Box::new(end)),
        consumed: Vec::new(),
        abandoned: Vec::new(),
        approvals: None,
    }
}

fn rows<const N: usize>(events: [Event; N]) -> Rows {
    Rows::of(&events.map(entry)).unwrap()
}

fn entry(event: Event) -> Entry {
    Entry { at: DateTime::from_timestamp(1_800_000_000, 0).unwrap(), event }
}

fn lease_of(owner: Uuid) -> Lease {
    Lease { owner, duration: LEASE }
}

fn host(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

#[tokio::test]
async fn a_run_that_its_owner_does_not_drive_is_not_renewed_with_the_others() {
    let bench = Bench::new().await;
    let driven = bench.start(1, Some(host(1))).await;
    let forgotten = bench.start(2, Some(host(1))).await;
    let renewed = bench.store.renew_leases(lease_of(host(1)), &[(driven, 1)]).await.unwrap();
    assert_eq!(renewed, [(driven, 1)]);
    assert_ne!(driven, forgotten);
}

#[tokio::test]
async fn a_lease_is_renewed_neither_under_another_epoch_nor_by_another_host() {
    let bench = Bench::new().await;
    let run = bench.start(1, Some(host(1))).await;
    assert_eq!(bench.store.renew_leases(lease_of(host(1)), &[(run, 2)]).await.unwrap(), []);
    assert_eq!(bench.store.renew_leases(lease_of(host(2)), &[(run, 1)]).await.unwrap(), []);
}

#[tokio::test]
async fn a_run_is_claimed_by_one_host_and_only_when_it_is_nobodys() {
    let bench = Bench::new().await;
    let held = bench.start(1, Some(host(1))).await;
    let queued = bench.start(2, None).await;
    let (first, second) = tokio::join!(bench.claim(host(2)), bench.claim(host(3)));
    let claimed: Vec<_> = first.iter().chain(&second).map(|run| (run.id, run.epoch)).collect();
    assert_eq!(claimed, [(queued, 1)]);

    assert_eq!(bench.store.release_runs_of(host(1)).await.unwrap(), 1);
    let claimed: Vec<_> = bench.claim(host(2)).await.iter().map(|run| (run.id, run.epoch)).collect();
    assert_eq!(claimed, [(held, 2)]);
}

#[tokio::test]
async fn an_append_under_an_old_epoch_changes_nothing() {
    let bench = Bench::new().await;
    let run = bench.start(1, Some(host(1))).await;
    bench.store.release_runs_of(host(1)).await.unwrap();
    assert_eq!(bench.claim(host(2)).await.len(), 1);
    assert!(!bench.end(run, 1, 1).await);
    assert_eq!(bench.store.journal(run).await.unwrap().len(), 1);
    assert!(bench.end(run, 2, 1).await);
}

#[tokio::test]
async fn an_append_whose_answer_was_lost_is_recognised_when_it_is_made_again() {
    let bench = Bench::new().await;
    let run = bench.start(1, Some(host(1))).await;
    assert!(bench.end(run, 1, 1).await);
    assert!(bench.end(run, 1, 1).await);
    assert_eq!(bench.store.journal(run).await.unwrap().len(), 2);
}

#[tokio::test]
async fn claims_are_counted_until_the_run_gets_on_or_is_let_go_without_blame() {
    let bench = Bench::new().await;
    let run = bench.start(1, None).await;
    for (claims, blameless) in [(1, false), (2, false), (3, true), (1, false)] {
        let claimed = bench.claim(host(1)).await.remove(0);
        assert_eq!(claimed.claims, claims);
        bench.store.release_run(run, claimed.epoch, blameless).await.unwrap();
    }
}

#[tokio::test]
async fn a_long_body_is_kept_whole_beside_the_journal() {
    let bench = Bench::new().await;
    let run = bench.start(1, Some(host(1))).await;
    let long = json!("\u{0} and much more ".repeat(2_000));
    let append = end_of(run, 1, 1, long.clone());
    assert!(append.entries.bytes() > 30_000);
    assert!(bench.append(append).await);
    assert_eq!(bench.store.journal(run).await.unwrap()[1..], [entry(Event::RunSucceeded { output: long })]);
    assert_eq!(bench.store.has_ended(WORKSPACE, run).await.unwrap(), Some(true));
}
