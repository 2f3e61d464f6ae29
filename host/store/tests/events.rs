//! The order of events, on a real Postgres: none comes late, whoever writes at the same time, and each is followed once.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use armilla_domain::event::EventType;
use armilla_domain::id::{EventId, RunId, WorkflowId, WorkspaceId};
use armilla_store::{
    DecidedStarts, EventConsumer, EventPosition, EventRow, NewEvent, NewEventStart, NewWorkflow, Store, StoreError,
    TriggeredWorkflow,
};
use armilla_testkit::db::TestDatabase;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::task::JoinSet;

const WORKSPACE: WorkspaceId = WorkspaceId::DEFAULT;

async fn connect(database: &TestDatabase) -> PgConnection {
    PgConnection::connect_with(&database.connect_options()).await.unwrap()
}

fn event(kind: EventType) -> NewEvent {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let id = EventId::from_parts(COUNT.fetch_add(1, Ordering::Relaxed), [0; 10]);
    NewEvent { id, kind, data: "{}".to_owned(), depth: 0 }
}

/// Writes an event in a transaction of the caller's own.
async fn write(connection: &mut PgConnection) -> EventId {
    let NewEvent { id, kind, data, .. } = event(EventType::RunFailed);
    sqlx::query("insert into events (id, workspace_id, type, data) values ($1, $2, $3, $4)")
        .bind(id.uuid())
        .bind(WORKSPACE.uuid())
        .bind(kind.as_str())
        .bind(data)
        .execute(connection)
        .await
        .unwrap();
    id
}

/// Follows what there is, from a place on, and moves the place.
async fn follow(store: &Store, place: &mut EventPosition) -> Vec<EventId> {
    let horizon = store.event_horizon().await.unwrap();
    let rows = store.events_after(WORKSPACE, *place, horizon, None, 10_000).await.unwrap();
    *place = EventPosition::before(horizon).max(*place);
    rows.iter().map(|row| row.id).collect()
}

async fn from_now_on(store: &Store) -> EventPosition {
    EventPosition::before(store.event_horizon().await.unwrap())
}

#[tokio::test]
async fn what_began_earlier_and_is_committed_later_is_not_passed_over() {
    let database = TestDatabase::create().await;
    let store = Store::new(database.connect_options());
    let mut place = from_now_on(&store).await;
    let (mut slow, mut quick) = (connect(&database).await, connect(&database).await);
    let mut earlier = slow.begin().await.unwrap();
    let first = write(&mut earlier).await;
    let second = write(&mut quick).await;
    let third = write(&mut quick).await;
    for _ in 0..3 {
        assert_eq!(follow(&store, &mut place).await, [], "what is open holds back what came after it");
    }
    earlier.commit().await.unwrap();
    assert_eq!(follow(&store, &mut place).await, [first, second, third]);
    assert_eq!(follow(&store, &mut place).await, []);

    let mut given_up = slow.begin().await.unwrap();
    write(&mut given_up).await;
    let fourth = write(&mut quick).await;
    assert_eq!(follow(&store, &mut place).await, []);
    given_up.rollback().await.unwrap();
    assert_eq!(follow(&store, &mut place).await, [fourth], "what was given up holds back nothing");
}

#[tokio::test]
async fn what_only_reads_holds_nothing_back() {
    let database = TestDatabase::create().await;
    let store = Store::new(database.connect_options());
    let mut place = from_now_on(&store).await;
    let (mut reader, mut writer) = (connect(&database).await, connect(&database).await);
    let mut reads = reader.begin().await.unwrap();
    sqlx::query("select count(*) from events").execute(&mut *reads).await.unwrap();
    let written = write(&mut writer).await;
    assert_eq!(follow(&store, &mut place).await, [written]);
}

#[tokio::test]
async fn neither_another_database_nor_another_role_holds_back_the_horizon() {
    let (database, other) = tokio::join!(TestDatabase::create(), TestDatabase::create());
    let store = Store::new(database.connect_options());
    let mut place = from_now_on(&store).await;
    let mut elsewhere = connect(&other).await;
    let mut open_elsewhere = elsewhere.begin().await.unwrap();
    write(&mut open_elsewhere).await;

    let mut admin = connect(&database).await;
    let role = format!("armilla_test_reporter_{}", std::process::id());
    let prepare = format!(
        "drop role if exists {role}; create role {role} login password 'x'; create table reports (n integer);
        grant insert on reports to {role}"
    );
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut admin).await.unwrap();
    let options = database.connect_options().username(&role).password("x");
    let mut reporter = PgConnection::connect_with(&options).await.unwrap();
    let mut open = reporter.begin().await.unwrap();
    sqlx::query("insert into reports values (1)").execute(&mut *open).await.unwrap();

    let written = write(&mut admin).await;
    assert_eq!(follow(&store, &mut place).await, [written]);
    open.rollback().await.unwrap();
    reporter.close().await.unwrap();
    let remove = format!("drop table reports; drop role {role}");
    sqlx::raw_sql(AssertSqlSafe(remove)).execute(&mut admin).await.unwrap();
}

#[tokio::test]
async fn of_many_who_write_at_once_each_event_is_followed_once_and_in_one_order() {
    let database = TestDatabase::create().await;
    let store = Store::new(database.connect_options());
    let start = from_now_on(&store).await;
    let mut writing = JoinSet::new();
    for writer in 0..8_u64 {
        let database = database.clone();
        writing.spawn(async move {
            let mut connection = connect(&database).await;
            let mut written = Vec::new();
            for n in 0..40 {
                let mut transaction = connection.begin().await.unwrap();
                let ids = [write(&mut transaction).await, write(&mut transaction).await];
                // Some take their time, and some change their minds.
                tokio::time::sleep(std::time::Duration::from_millis((writer * 7 + n) % 5)).await;
                if n % 7 == 6 {
                    transaction.rollback().await.unwrap();
                } else {
                    transaction.commit().await.unwrap();
                    written.extend(ids);
                }
            }
            written
        });
    }
    let (mut place, mut seen, mut written) = (start, Vec::new(), BTreeSet::new());
    while !writing.is_empty() {
        seen.extend(follow(&store, &mut place).await);
        while let Some(done) = writing.try_join_next() {
            written.extend(done.unwrap());
        }
    }
    seen.extend(follow(&store, &mut place).await);
    assert_eq!(seen.len(), written.len(), "none twice");
    assert_eq!(seen.iter().copied().collect::<BTreeSet<_>>(), written, "and none missing");
    let mut again = start;
    assert_eq!(follow(&store, &mut again).await, seen, "whoever follows later sees the same order");
}

async fn workflow(store: &Store, number: u64, on_events: &[EventType]) -> WorkflowId {
    let id = WorkflowId::from_parts(number, [1; 10]);
    let new = NewWorkflow {
        id,
        workspace: WORKSPACE,
        name: "A test's",
        description: None,
        definition: "{}",
        warnings: "[]",
        by: "ada",
        on_events: Some(on_events),
    };
    store.create_workflow(new, &event(EventType::WorkflowCreated)).await.unwrap();
    id
}

fn start_of(workflow: &TriggeredWorkflow, event: &EventRow) -> NewEventStart {
    let run = RunId::from_parts(event.id.uuid().as_u128() as u64 & 0xffff, [2; 10]);
    NewEventStart {
        event: event.id,
        event_type: event.kind.clone(),
        workflow: workflow.workflow,
        depth: 1,
        start: Ok((run, "{}".to_owned())),
    }
}

#[tokio::test]
async fn two_hosts_that_follow_triggers_at_once_decide_each_event_once() {
    const EVENTS: usize = 300;
    let database = TestDatabase::create().await;
    let store = Store::new(database.connect_options());
    let id = workflow(&store, 1, &[EventType::RunFailed]).await;
    let mut following = JoinSet::new();
    for _ in 0..2 {
        let store = Store::new(database.connect_options());
        following.spawn(async move {
            let mut decided = Vec::new();
            loop {
                let horizon = store.event_horizon().await.unwrap();
                for workspace in store.workspaces_to_follow(EventConsumer::Triggers, horizon).await.unwrap() {
                    let seen = &mut decided;
                    let decide = async |workflows: &[TriggeredWorkflow], events: &[EventRow]| {
                        assert_eq!(workflows.len(), 1);
                        seen.extend(events.iter().map(|event| event.id));
                        Ok(DecidedStarts {
                            starts: events.iter().map(|event| start_of(&workflows[0], event)).collect(),
                            looked_at: events.len(),
                        })
                    };
                    store.follow_triggers(workspace, horizon, 7, decide).await.unwrap();
                }
                if store.event_starts(WORKSPACE, id, None, 1_000).await.unwrap().len() == EVENTS {
                    return decided;
                }
            }
        });
    }
    let mut writing = JoinSet::new();
    for _ in 0..3 {
        let store = store.clone();
        writing.spawn(async move {
            for _ in 0..EVENTS / 3 {
                store.add_event(WORKSPACE, &event(EventType::RunFailed)).await.unwrap();
                store.add_event(WORKSPACE, &event(EventType::RunSucceeded)).await.unwrap();
            }
        });
    }
    writing.join_all().await;
    let decided: Vec<EventId> = following.join_all().await.into_iter().flatten().collect();
    assert_eq!(decided.len(), EVENTS);
    assert_eq!(decided.iter().collect::<BTreeSet<_>>().len(), EVENTS);
}

#[tokio::test]
async fn what_could_not_be_decided_is_decided_by_the_next_who_looks() {
    let database = TestDatabase::create().await;
    let store = Store::new(database.connect_options());
    let id = workflow(&store, 1, &[EventType::RunFailed]).await;
    store.add_event(WORKSPACE, &event(EventType::RunFailed)).await.unwrap();
    let horizon = store.event_horizon().await.unwrap();
    let fails = async |_: &[TriggeredWorkflow], _: &[EventRow]| Err(StoreError::Corrupt("no".to_owned()));
    store.follow_triggers(WORKSPACE, horizon, 10, fails).await.unwrap_err();
    assert!(store.event_starts(WORKSPACE, id, None, 10).await.unwrap().is_empty());
    let decides = async |workflows: &[TriggeredWorkflow], events: &[EventRow]| {
        Ok(DecidedStarts {
            starts: events.iter().map(|event| start_of(&workflows[0], event)).collect(),
            looked_at: events.len(),
        })
    };
    assert_eq!(store.follow_triggers(WORKSPACE, horizon, 10, decides).await.unwrap(), Some(false));
    assert_eq!(store.event_starts(WORKSPACE, id, None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_event_is_given_to_a_workflow_with_where_that_began_to_listen() {
    let database = TestDatabase::create().await;
    let store = Store::new(database.connect_options());
    workflow(&store, 1, &[EventType::RunFailed]).await;
    store.add_event(WORKSPACE, &event(EventType::RunFailed)).await.unwrap();
    workflow(&store, 2, &[EventType::RunFailed]).await;
    store.add_event(WORKSPACE, &event(EventType::RunFailed)).await.unwrap();
    let horizon = store.event_horizon().await.unwrap();
    let decides = async |workflows: &[TriggeredWorkflow], events: &[EventRow]| {
        let heard = |workflow: &TriggeredWorkflow| {
            events.iter().map(|event| event.transaction > workflow.since).collect::<Vec<_>>()
        };
        assert_eq!(workflows.iter().map(heard).collect::<Vec<_>>(), [[true, true], [false, true]]);
        Ok(DecidedStarts { starts: Vec::new(), looked_at: events.len() })
    };
    assert_eq!(store.follow_triggers(WORKSPACE, horizon, 10, decides).await.unwrap(), Some(false));
}
