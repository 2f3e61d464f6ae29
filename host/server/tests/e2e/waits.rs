//! Waits hold no host, and are over in time on any of them.

use armilla_engine::{Clock, SystemClock};
use armilla_testkit::db::TestDatabase;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};

use crate::harness::{TestServer, until};

/// What the database says of who holds a run, and when somebody has to look at it.
async fn held(database: &TestDatabase, run: &str) -> (bool, Option<DateTime<Utc>>) {
    let mut connection = PgConnection::connect_with(&database.connect_options()).await.unwrap();
    let row =
        sqlx::query("select lease_owner is not null, due_at from runs where 'run_' || replace(id::text, '-', '') = $1");
    let row = row.bind(run).fetch_one(&mut connection).await.unwrap();
    (row.get(0), row.get(1))
}

/// Waits until a run is parked, and gives when it is due.
async fn parked(database: &TestDatabase, run: &str) -> Option<DateTime<Utc>> {
    until("nobody holds the run", || async {
        let (is_held, due_at) = held(database, run).await;
        (!is_held).then_some(due_at)
    })
    .await
}

fn seconds_after(value: &Value, deadline: DateTime<Utc>) -> f64 {
    let at: DateTime<Utc> = value.as_str().unwrap().parse().unwrap();
    (at - deadline).as_seconds_f64()
}

#[tokio::test]
async fn a_wait_that_one_host_began_is_over_in_time_on_another() {
    let database = TestDatabase::create().await;
    let one = TestServer::on(&database, 1).await;
    let run = one.admin.start_steps(json!([{ "type": "wait", "id": "nap", "duration": "3s" }])).await;
    let due_at = parked(&database, &run).await.expect("a time");
    assert_eq!(one.admin.comes_to(&run, "waiting").await["status"], "waiting");
    one.engine.stop().await;
    let other = TestServer::on(&database, 2).await;
    let ended = other.admin.ended(&run).await;
    assert_eq!(ended["status"], "success", "{ended:#}");
    let late = seconds_after(&ended["finishedAt"], due_at);
    assert!((0.0..1.5).contains(&late), "{late} s late");
}

#[tokio::test]
async fn a_short_wait_is_over_in_time() {
    let server = TestServer::start().await;
    let run = server.admin.run_steps(json!([{ "type": "wait", "id": "nap", "duration": "300ms" }])).await;
    let step = server.admin.steps(run["id"].as_str().unwrap()).await.remove(0);
    let deadline = step["deadline"].as_str().unwrap().parse().unwrap();
    let late = seconds_after(&step["finishedAt"], deadline);
    assert!((0.0..1.0).contains(&late), "{late} s late");
}

#[tokio::test]
async fn a_run_waits_until_an_instant_and_not_for_one_that_is_past() {
    let server = TestServer::start().await;
    let workflow =
        server.admin.create(json!({ "steps": [{ "type": "wait", "id": "nap", "until": "{{ at }}" }] })).await;
    let at = SystemClock.now() + chrono::Duration::milliseconds(400);
    let run = server.admin.run(&workflow, json!({ "at": at.to_rfc3339() })).await;
    let late = seconds_after(&run["finishedAt"], at);
    assert!((-0.001..1.0).contains(&late), "{late} s late");
    let past = server.admin.run(&workflow, json!({ "at": "2020-01-01T00:00:00Z" })).await;
    assert_eq!(past["status"], "success", "{past:#}");
    let wrong = server.admin.run(&workflow, json!({ "at": "tomorrow" })).await;
    assert_eq!((&wrong["status"], &wrong["error"]["stepId"]), (&json!("failed"), &json!("nap")), "{wrong:#}");
}

#[tokio::test]
async fn a_run_that_only_somebody_can_wake_is_due_never() {
    let database = TestDatabase::create().await;
    let server = TestServer::on(&database, 1).await;
    for step in [
        json!({ "type": "wait", "id": "s", "event": "go" }),
        json!({ "type": "approval", "id": "s", "message": "Go?" }),
    ] {
        let run = server.admin.start_steps(json!([step])).await;
        assert_eq!(parked(&database, &run).await, None);
    }
}
