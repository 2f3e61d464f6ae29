//! One run for each occurrence, whichever hosts there are and whatever becomes of them.

use armilla_domain::id::RunId;
use armilla_engine::{Clock, SystemClock};
use armilla_store::Store;
use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::Row;

use super::{World, uuid_of};
use crate::harness::{TestServer, until};

#[tokio::test]
async fn each_of_many_due_occurrences_starts_one_run_on_two_hosts() {
    let world = World::new().await;
    let _other = TestServer::on(&world.database, 2).await;
    let workflow = world.quick().await;
    let id = world.schedule(&workflow, json!({ "every": "10m", "catchUp": "30d", "overlap": "allow" })).await;
    world.ago(&id, 250).await;
    let count = "select count(*) filter (where outcome = 'started') as started, count(distinct run_id) as runs,
        (select count(*) from runs where workflow_id = $2) as made from schedule_occurrences where schedule_id = $1";
    let row = until("all of them have started", || async {
        let counted = sqlx::query(count).bind(uuid_of(&id)).bind(uuid_of(&workflow));
        let row = counted.fetch_one(&mut world.sql().await).await.unwrap();
        (row.get::<i64, _>("started") == 251).then_some(row)
    })
    .await;
    assert_eq!((row.get::<i64, _>("runs"), row.get::<i64, _>("made")), (251, 251));
    let next = world.show(&id).await["nextAt"].as_str().unwrap().to_owned();
    assert!(next.as_str() > world.occurrences(&id).await[0]["at"].as_str().unwrap());
}

#[tokio::test]
async fn a_host_that_is_killed_between_claim_and_start_leaves_one_run() {
    let world = World::new().await;
    let workflow = world.quick().await;
    let id = world.schedule(&workflow, json!({})).await;
    // What a host wrote down before it was killed.
    let claimed =
        "insert into schedule_occurrences (schedule_id, instant, brought_by, outcome, run_id, goes_on, claimed_until)
        values ($1, '2026-01-31T09:30:00Z', 'time', 'starting', $2, true, now() - interval '1 second')";
    // Of this month, since the journal of another one may have no place.
    let run_id = RunId::from_parts(SystemClock.now().timestamp_millis().unsigned_abs(), [7; 10]).uuid();
    let mut sql = world.sql().await;
    sqlx::query(claimed).bind(uuid_of(&id)).bind(run_id).execute(&mut sql).await.unwrap();
    assert_eq!(world.outcomes(&id, 1).await, ["started"]);
    let runs = world.runs(&workflow).await;
    assert_eq!(runs.len(), 1);
    assert_eq!(uuid_of(runs[0]["id"].as_str().unwrap()), run_id);

    // And what it would have written down last, it did not.
    world.client.ended(runs[0]["id"].as_str().unwrap()).await;
    let undone =
        "update schedule_occurrences set outcome = 'starting', claimed_until = '-infinity' where schedule_id = $1";
    sqlx::query(undone).bind(uuid_of(&id)).execute(&mut sql).await.unwrap();
    assert_eq!(world.outcomes(&id, 1).await, ["started"]);
    assert_eq!(world.runs(&workflow).await.len(), 1);
}

#[tokio::test]
async fn a_run_stays_until_it_is_written_down_that_it_was_started() {
    let world = World::new().await;
    let workflow = world.quick().await;
    let id = world.schedule(&workflow, json!({})).await;
    world.client.post(&format!("/schedules/{id}/run"), &json!({})).await.expect(202);
    assert_eq!(world.outcomes(&id, 1).await, ["started"]);
    world.client.ended(world.runs(&workflow).await[0]["id"].as_str().unwrap()).await;
    // As a host leaves it that is killed before it writes the last of it down, and nobody comes for longer than the run is kept.
    let mut sql = world.sql().await;
    let until_when = "update schedule_occurrences set outcome = 'starting', claimed_until = $2 where schedule_id = $1";
    let undone =
        |at: &'static str| sqlx::query(until_when).bind(uuid_of(&id)).bind(at.parse::<DateTime<Utc>>().unwrap());
    undone("2100-01-01T00:00:00Z").execute(&mut sql).await.unwrap();
    let over = "update runs set retain_until = now() - interval '1 day' where workflow_id = $1";
    sqlx::query(over).bind(uuid_of(&workflow)).execute(&mut sql).await.unwrap();
    let store = Store::new(world.database.connect_options());
    assert_eq!(store.remove_expired_runs(10).await.unwrap(), 0);
    assert_eq!(world.runs(&workflow).await.len(), 1);

    undone("2026-01-01T00:00:00Z").execute(&mut sql).await.unwrap();
    assert_eq!(world.outcomes(&id, 1).await, ["started"]);
    store.remove_expired_runs(10).await.unwrap();
    assert_eq!(world.runs(&workflow).await.len(), 0, "it is not begun again");
}

#[tokio::test]
async fn what_came_while_no_host_was_up_is_missed_unless_it_is_made_up_for() {
    let world = World::new().await;
    let workflow = world.quick().await;
    let id = world.schedule(&workflow, json!({ "every": "1h", "overlap": "allow" })).await;
    world.ago(&id, 5).await;
    assert_eq!(world.outcomes(&id, 2).await, ["missed", "started"], "only the newest is on time");
    let missed = &world.occurrences(&id).await[1];
    assert_eq!((&missed["missed"], &missed["runId"]), (&json!(5), &json!(null)), "{missed:#}");
    assert!(missed["detail"].as_str().unwrap().contains("no host"), "{missed:#}");

    let id = world.schedule(&workflow, json!({ "every": "1h", "overlap": "allow", "catchUp": "150m" })).await;
    world.ago(&id, 5).await;
    assert_eq!(world.outcomes(&id, 4).await, ["missed", "started", "started", "started"]);
    assert_eq!(world.occurrences(&id).await[3]["missed"], 3);
}

#[tokio::test]
async fn once_is_once_and_nothing_follows() {
    let world = World::new().await;
    let workflow = world.quick().await;
    let id = world.schedule(&workflow, json!({ "every": null, "at": "2999-01-01T00:00:00Z" })).await;
    assert_eq!(world.show(&id).await["nextAt"], "2999-01-01T00:00:00.000Z");
    let moved = "update schedules set once_at = date_trunc('milliseconds', now()), next_at = date_trunc('milliseconds', now()), due_at = now()";
    sqlx::query(moved).execute(&mut world.sql().await).await.unwrap();
    assert_eq!(world.outcomes(&id, 1).await, ["started"]);
    let shown = world.show(&id).await;
    assert_eq!(shown["nextAt"], json!(null), "{shown:#}");
    assert_eq!(shown["lastRunId"], world.runs(&workflow).await[0]["id"]);
    assert!(shown["lastAt"].is_string(), "{shown:#}");
}

#[tokio::test]
async fn a_schedule_whose_workflow_is_gone_rests_and_says_why() {
    let world = World::new().await;
    let workflow = world.quick().await;
    let id = world.schedule(&workflow, json!({})).await;
    world.client.delete(&format!("/workflows/{workflow}")).await.expect(204);
    world.ago(&id, 0).await;
    assert_eq!(world.outcomes(&id, 1).await, ["missed"]);
    let shown = until("it rests", || async {
        let shown = world.show(&id).await;
        (shown["paused"] == true).then_some(shown)
    })
    .await;
    assert_eq!((&shown["pausedReason"], &shown["nextAt"]), (&json!("its workflow is gone"), &json!(null)), "{shown:#}");
    assert_eq!(world.occurrences(&id).await[0]["detail"], "its workflow is gone");
    let problem =
        world.client.post(&format!("/schedules/{id}/run"), &json!({})).await.problem(409, "schedule.not_started");
    assert_eq!(problem["detail"], "No run was started: its workflow is gone.");
}

#[tokio::test]
async fn a_schedule_that_is_not_understood_keeps_no_other_from_its_turn() {
    let world = World::new().await;
    let workflow = world.quick().await;
    let later = world.schedule(&workflow, json!({})).await;
    let broken = world.schedule(&workflow, json!({ "every": null, "cron": "@daily" })).await;
    let breaks = "update schedules set timezone = 'Europe/Atlantis', due_at = now() - interval '1 hour' where id = $1";
    sqlx::query(breaks).bind(uuid_of(&broken)).execute(&mut world.sql().await).await.unwrap();
    world.ago(&later, 0).await;
    assert_eq!(world.outcomes(&later, 1).await, ["started"]);
    let shown = world.client.get(&format!("/schedules/{broken}?next=0")).await.expect(200)["schedule"].take();
    assert_eq!(shown["paused"], true, "{shown:#}");
    assert!(shown["pausedReason"].as_str().unwrap().contains("not understood"), "{shown:#}");
}

#[tokio::test]
async fn a_run_is_given_the_input_of_the_schedule_and_the_newest_version() {
    let world = World::new().await;
    let workflow = world.quick().await;
    let id = world.schedule(&workflow, json!({ "input": { "topic": "tides" } })).await;
    let output = json!({ "definition": { "steps": [{ "type": "return", "id": "r" }], "output": { "said": "topic" } } });
    world.client.put(&format!("/workflows/{workflow}"), &output).await.expect(200);
    world.ago(&id, 0).await;
    world.outcomes(&id, 1).await;
    let run = world.runs(&workflow).await[0]["id"].as_str().unwrap().to_owned();
    let run = world.client.ended(&run).await;
    assert_eq!((&run["input"], &run["workflowVersion"]), (&json!({ "topic": "tides" }), &json!(2)), "{run:#}");

    let strict = json!({ "definition": { "inputSchema": { "required": ["depth"] }, "steps": [{ "type": "return", "id": "r" }] } });
    world.client.put(&format!("/workflows/{workflow}"), &strict).await.expect(200);
    world.ago(&id, 0).await;
    assert_eq!(world.outcomes(&id, 2).await, ["started", "missed"]);
    assert!(world.occurrences(&id).await[0]["detail"].as_str().unwrap().contains("depth"));
    assert_eq!(world.show(&id).await["paused"], true);
}
