//! Leases and the journal's fence, on a real Postgres.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use armilla_domain::event::EventType;
use armilla_domain::id::{EventId, RunId, WorkflowId, WorkspaceId};
use armilla_domain::journal::{Entry, Event};
use armilla_domain::run::{Message, RunStatus};
use armilla_store::{
    Append, CLAIMS_WITHOUT_PROGRESS_MAX, Lease, LeasedRun, Line, NewEvent, NewRun, NewWorkflow, PlaceInLine, Rows,
    RunEnd, Started, Store, Then, Told,
};
use armilla_testkit::db::TestDatabase;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

const WORKSPACE: WorkspaceId = WorkspaceId::DEFAULT;
const LEASE: Duration = Duration::from_secs(30);

struct Bench {
    store: Store,
    workflow: WorkflowId,
    database: TestDatabase,
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
            on_events: None,
            by: "ada",
        };
        let id = EventId::from_parts(1_700_000_000_000, [1; 10]);
        let event = NewEvent { id, kind: EventType::WorkflowCreated, data: "{}".to_owned(), depth: 0 };
        store.create_workflow(new, &event).await.unwrap();
        Self { store, workflow, database }
    }

    async fn start(&self, chance: u8, owner: Option<Uuid>) -> RunId {
        self.start_in(chance, owner, None).await
    }

    async fn start_in(&self, chance: u8, owner: Option<Uuid>, place_in_line: Option<PlaceInLine>) -> RunId {
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
            place_in_line,
            idempotency: None,
            event_depth: 0,
            events: &[],
        };
        assert!(matches!(self.store.start_run(&new).await.unwrap(), Started::Yes { .. }));
        id
    }

    async fn claim(&self, owner: Uuid) -> Vec<LeasedRun> {
        self.store.claim_runs(lease_of(owner), 10).await.unwrap()
    }

    /// Appends the end of a run, as a host that holds `epoch` and knows of `journal_len` entries.
    async fn end(&self, run: RunId, epoch: i64, journal_len: i32) -> bool {
        self.append(end_of(run, epoch, journal_len, json!("done"))).await
    }

    async fn signal(&self, run: RunId) {
        let message = Message::Signal { name: "go".into(), payload: Arc::new(json!({})), by: "ada".into() };
        assert_eq!(self.store.tell_run(WORKSPACE, run, &message, &[], i64::MAX).await.unwrap(), Told::Yes);
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
        usage: None,
        told_parent: None,
    };
    Append {
        run,
        workspace: WORKSPACE,
        epoch,
        journal_len,
        entries: rows([Event::RunSucceeded { output }]),
        then: Then::End(Box::new(end)),
        consumed: Vec::new(),
        abandoned: Vec::new(),
        approvals: None,
        events: Vec::new(),
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

#[tokio::test]
async fn a_run_that_is_admitted_while_a_host_looks_at_its_messages_is_not_put_back_to_sleep() {
    let bench = Bench::new().await;
    let line = Line { workflow: bench.workflow, key: String::new() };
    let place = Some(PlaceInLine { line: line.clone(), max: 1, rejects: false });
    let first = bench.start_in(1, None, place.clone()).await;
    let second = bench.start_in(2, None, place).await;
    let epoch_of_first = bench.claim(host(1)).await[0].epoch;
    bench.signal(second).await;
    let looked_at = bench.claim(host(1)).await.remove(0);
    assert_eq!((looked_at.id, looked_at.admitted), (second, false));

    assert!(bench.end(first, epoch_of_first, 1).await);
    assert_eq!(bench.store.admit_next(&line).await.unwrap(), [second]);
    let park = Append {
        entries: Rows::default(),
        then: Then::LetGo { status: RunStatus::Queued, due_at: None },
        ..end_of(second, looked_at.epoch, 1, json!(null))
    };
    assert!(!bench.append(park).await, "whoever knows it as one that waits in line does not hold it any more");
    let claimed = bench.claim(host(2)).await;
    assert_eq!(claimed.iter().map(|run| (run.id, run.admitted)).collect::<Vec<_>>(), [(second, true)]);
}

#[tokio::test]
async fn messages_for_runs_that_have_ended_do_not_stand_in_the_way_of_others() {
    let bench = Bench::new().await;
    let run = bench.start(1, None).await;
    let claimed = bench.claim(host(1)).await.remove(0);
    let park = Append {
        entries: Rows::default(),
        then: Then::LetGo { status: RunStatus::Waiting, due_at: None },
        ..end_of(run, claimed.epoch, 1, json!(null))
    };
    assert!(bench.append(park).await);
    let mut connection = PgConnection::connect_with(&bench.database.connect_options()).await.unwrap();
    let dead = "insert into run_inbox (run_id, body) select lpad(to_hex(n), 32, '0')::uuid, '{}' from generate_series(1, 2000) n";
    sqlx::query(dead).execute(&mut connection).await.unwrap();
    bench.signal(run).await;
    assert_eq!(bench.claim(host(1)).await.iter().map(|run| run.id).collect::<Vec<_>>(), [run]);
}

#[tokio::test]
async fn a_run_that_stopped_hosts_and_was_paused_meets_another_only_when_it_is_told_to_go_on() {
    let bench = Bench::new().await;
    let run = bench.start(1, None).await;
    bench.signal(run).await;
    let mut claimed = bench.claim(host(1)).await.remove(0);
    while claimed.claims <= CLAIMS_WITHOUT_PROGRESS_MAX {
        bench.store.release_run(run, claimed.epoch, false).await.unwrap();
        claimed = bench.claim(host(1)).await.remove(0);
    }
    let paused = Event::RunPaused { by: "armilla".into(), reason: None };
    let pause = Append {
        entries: rows([paused]),
        then: Then::LetGo { status: RunStatus::Paused, due_at: None },
        ..end_of(run, claimed.epoch, 1, json!(null))
    };
    assert!(bench.append(pause).await);
    bench.signal(run).await;
    assert!(bench.claim(host(1)).await.is_empty(), "its messages wait with it");
    let resume = Message::Resume { by: "ada".into() };
    assert_eq!(bench.store.tell_run(WORKSPACE, run, &resume, &[RunStatus::Paused], i64::MAX).await.unwrap(), Told::Yes);
    assert_eq!(bench.claim(host(1)).await[0].claims, 1);
}

/// Any other index that names what has not ended holds, until it is cleaned, what has.
#[tokio::test]
async fn appends_find_their_runs_by_the_primary_key_alone_however_few_go_on() {
    const RUNS: u8 = 40;
    let bench = Bench::new().await;
    for first in (0..RUNS).step_by(4) {
        let mut ends = Vec::new();
        for chance in first..first + 4 {
            ends.push(end_of(bench.start(chance, Some(host(1))).await, 1, 1, json!("done")));
        }
        assert_eq!(bench.store.append(&ends.iter().collect::<Vec<_>>()).await.unwrap(), [true; 4]);
    }
    // What a connection did is counted when it is closed.
    bench.store.close().await;
    let mut connection = PgConnection::connect_with(&bench.database.connect_options()).await.unwrap();
    let ended = "select n_tup_upd from pg_stat_user_tables where relname = 'runs'";
    while sqlx::query_scalar::<_, i64>(ended).fetch_one(&mut connection).await.unwrap() < i64::from(RUNS) {}
    let used = "select indexrelname::text from pg_stat_user_indexes where relname = 'runs' and idx_scan > 0";
    let used: Vec<String> = sqlx::query_scalar(used).fetch_all(&mut connection).await.unwrap();
    assert_eq!(used, ["runs_pkey"]);
}

#[tokio::test]
async fn it_is_known_in_how_long_the_next_run_is_due_where_that_is_soon() {
    let bench = Bench::new().await;
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let mut connection = PgConnection::connect_with(&bench.database.connect_options()).await.unwrap();
    let now: DateTime<Utc> = sqlx::query_scalar("select now()").fetch_one(&mut connection).await.unwrap();
    assert_eq!(bench.store.next_due_within(minutes(60)).await.unwrap(), None);
    let nap = |run, minutes| Append {
        then: Then::LetGo { status: RunStatus::Waiting, due_at: Some(now + chrono::Duration::minutes(minutes)) },
        ..end_of(run, 1, 1, json!(null))
    };
    for (chance, minutes) in [(1, 20), (2, 10), (3, -10)] {
        assert!(bench.append(nap(bench.start(chance, Some(host(1))).await, minutes)).await);
    }
    let next = bench.store.next_due_within(minutes(60)).await.unwrap().unwrap();
    assert!((minutes(9)..=minutes(10)).contains(&next), "{next:?}: what is due already is for a claim");
    assert_eq!(bench.store.next_due_within(minutes(5)).await.unwrap(), None);
}

#[tokio::test]
async fn renewals_and_appends_of_many_runs_wait_for_each_other_in_no_circle() {
    const ROUNDS: i32 = 20;
    let bench = Bench::new().await;
    // They lie in the table the other way round than their ids say.
    let mut runs = Vec::new();
    for chance in (0..150).rev() {
        runs.push((bench.start(chance, Some(host(1))).await, 1));
    }
    let mut ordered = runs.clone();
    ordered.sort_unstable();
    for round in 0..ROUNDS {
        let go_on = |(run, epoch): &(RunId, i64)| Append {
            entries: rows([Event::RunResumed { by: "ada".into() }]),
            then: Then::GoOn { status: RunStatus::Running },
            ..end_of(*run, *epoch, 1 + round, json!(null))
        };
        let appends: Vec<Append> = ordered.iter().map(go_on).collect();
        let appends: Vec<&Append> = appends.iter().collect();
        let (renewed, appended) =
            tokio::join!(bench.store.renew_leases(lease_of(host(1)), &runs), bench.store.append(&appends));
        assert_eq!((renewed.unwrap().len(), appended.unwrap()), (runs.len(), vec![true; runs.len()]));
    }
}
