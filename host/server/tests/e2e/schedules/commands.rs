//! What somebody does to a schedule.

use serde_json::{Value, json};

use super::World;
use crate::harness::{until, with};

#[tokio::test]
async fn a_schedule_says_what_is_ahead_of_it() {
    let world = World::new().await;
    let workflow = world.quick().await;
    let cron = json!({ "every": null, "cron": "30 9 * * MON-FRI", "timezone": "Europe/Berlin", "jitter": "5m" });
    let id = world.schedule(&workflow, cron).await;
    let shown = world.client.get(&format!("/schedules/{id}?next=20")).await.expect(200);
    let next: Vec<&str> = shown["next"].as_array().unwrap().iter().map(|at| at.as_str().unwrap()).collect();
    assert_eq!(next.len(), 20);
    assert!(next.iter().all(|at| at.ends_with("T07:30:00.000Z") || at.ends_with("T08:30:00.000Z")), "{next:?}");
    assert_eq!(shown["schedule"]["nextAt"], next[0]);
    assert_eq!(world.client.get(&format!("/schedules/{id}")).await.expect(200)["next"].as_array().unwrap().len(), 5);
    let schedule = &shown["schedule"];
    let said = ["cron", "timezone", "overlap", "catchUp", "jitter"].map(|field| schedule[field].as_str().unwrap());
    assert_eq!(said, ["30 9 * * MON-FRI", "Europe/Berlin", "skip", "0ms", "5m"]);
    assert_eq!((&schedule["createdBy"], &schedule["input"]), (&json!("ada"), &json!({})));
    world.client.get(&format!("/schedules/{id}?next=101")).await.problem(400, "query.invalid");
}

#[tokio::test]
async fn a_schedule_that_rests_starts_nothing_and_goes_on_from_then_on() {
    let world = World::new().await;
    let (workflow, other) = (world.quick().await, world.quick().await);
    let rests = world.schedule(&workflow, json!({ "catchUp": "30d" })).await;
    let paused = world.client.post(&format!("/schedules/{rests}/pause"), &json!({})).await.expect(200);
    assert_eq!((&paused["schedule"]["paused"], &paused["schedule"]["nextAt"]), (&json!(true), &json!(null)));
    let wakes = world.schedule(&other, json!({ "catchUp": "30d" })).await;
    world.ago(&rests, 3).await;
    world.ago(&wakes, 3).await;
    world.outcomes(&wakes, 4).await;
    assert!(world.occurrences(&rests).await.is_empty());

    let resumed =
        world.client.post(&format!("/schedules/{rests}/resume"), &json!({})).await.expect(200)["schedule"].take();
    assert_eq!((&resumed["paused"], &resumed["pausedReason"]), (&json!(false), &json!(null)));
    world.ago(&wakes, 0).await;
    world.outcomes(&wakes, 5).await;
    assert!(world.occurrences(&rests).await.is_empty(), "what was passed over is not made up for");
    assert_eq!(world.show(&rests).await["nextAt"], resumed["nextAt"]);
}

#[tokio::test]
async fn a_run_may_be_had_now_whether_the_schedule_rests_or_another_one_goes_on() {
    let world = World::new().await;
    let workflow = world.slow().await;
    let id = world.schedule(&workflow, json!({ "paused": true, "input": { "n": 1 } })).await;
    for _ in 0..2 {
        let occurrence =
            world.client.post(&format!("/schedules/{id}/run"), &json!({})).await.expect(202)["occurrence"].take();
        assert_eq!((&occurrence["outcome"], &occurrence["trigger"]), (&json!("started"), &json!("manual")));
        let run = world.client.comes_to(occurrence["runId"].as_str().unwrap(), "waiting").await;
        assert_eq!(run["input"], json!({ "n": 1 }));
    }
    assert_eq!(world.runs(&workflow).await.len(), 2);
    let path = format!("/schedules/{id}/run");
    let occurrence = world.client.post(&path, &json!({ "input": { "n": 2 } })).await.expect(202)["occurrence"].take();
    let run = world.client.comes_to(occurrence["runId"].as_str().unwrap(), "waiting").await;
    assert_eq!(run["input"], json!({ "n": 2 }));
    assert_eq!(world.show(&id).await["input"], json!({ "n": 1 }), "the schedule's own stays");
    let too_long = json!({ "input": { "n": "n".repeat(64 * 1024) } });
    world.client.post(&path, &too_long).await.problem(422, "schedule.invalid");
    world.client.post(&path, &json!({ "inputs": {} })).await.problem(422, "body.invalid");
    assert_eq!(world.runs(&workflow).await.len(), 3);
}

async fn backfill(world: &World, id: &str, fields: Value) -> Value {
    let range = json!({ "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z" });
    world.client.post(&format!("/schedules/{id}/backfill"), &with(range, fields)).await.expect(200)
}

#[tokio::test]
async fn a_backfill_starts_a_run_for_each_instant_of_the_past_that_has_none() {
    let world = World::new().await;
    let workflow = world.quick().await;
    let hourly = json!({ "every": null, "cron": "0 */6 * * *", "input": {} });
    let id = world.schedule(&workflow, hourly).await;
    let counted = backfill(&world, &id, json!({ "dryRun": true })).await;
    assert_eq!(counted, json!({ "occurrences": 4, "already": 0, "dryRun": true }));
    assert!(world.occurrences(&id).await.is_empty());

    let done = backfill(&world, &id, json!({ "to": "2026-01-01T06:00:01Z" })).await;
    assert_eq!(done, json!({ "occurrences": 2, "already": 0, "dryRun": false }));
    until("both had their turns", || async { (world.outcomes(&id, 2).await == ["started", "started"]).then_some(()) })
        .await;
    let counted = backfill(&world, &id, json!({ "dryRun": true })).await;
    assert_eq!((&counted["occurrences"], &counted["already"]), (&json!(4), &json!(2)));
    let done = backfill(&world, &id, json!({ "overlap": "allow" })).await;
    assert_eq!(done["already"], 2);
    assert_eq!(world.outcomes(&id, 4).await, ["started"; 4]);
    assert_eq!(world.runs(&workflow).await.len(), 4);
    let occurrences = world.occurrences(&id).await;
    assert_eq!(occurrences[0]["at"], "2026-01-01T18:00:00.000Z");
    assert!(occurrences.iter().all(|one| one["trigger"] == "backfill"));
    assert_eq!(world.show(&id).await["lastAt"], "2026-01-01T18:00:00.000Z");
}

#[tokio::test]
async fn occurrences_are_listed_newest_first_page_by_page() {
    let world = World::new().await;
    let workflow = world.quick().await;
    let id = world.schedule(&workflow, json!({ "every": null, "cron": "0 * * * *" })).await;
    backfill(&world, &id, json!({ "to": "2026-01-01T05:00:00Z", "overlap": "allow" })).await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/schedules/{id}/occurrences?limit=2{cursor}");
        let page = world.client.get(&path).await.expect(200);
        seen.extend(page["occurrences"].as_array().unwrap().iter().map(|one| one["at"].as_str().unwrap().to_owned()));
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let expected: Vec<String> = (0..5).rev().map(|hour| format!("2026-01-01T0{hour}:00:00.000Z")).collect();
    assert_eq!(seen, expected);
    for cursor in ["x", "9223372036854775807", "-9223372036854775808"] {
        let path = format!("/schedules/{id}/occurrences?cursor={cursor}");
        world.client.get(&path).await.problem(400, "query.invalid");
    }
}

#[tokio::test]
async fn a_schedule_is_replaced_and_keeps_its_times_where_they_are_the_same() {
    let world = World::new().await;
    let workflow = world.quick().await;
    let id = world.schedule(&workflow, json!({ "every": "7d", "overlap": "queue" })).await;
    let before = world.show(&id).await;
    let path = format!("/schedules/{id}");
    let renamed = json!({ "name": "Renamed", "workflowId": workflow, "every": "168h" });
    let after = world.client.put(&path, &renamed).await.expect(200)["schedule"].take();
    assert_eq!(
        (&after["name"], &after["overlap"]),
        (&json!("Renamed"), &json!("skip")),
        "what is absent is the default"
    );
    assert_eq!((&after["nextAt"], &after["every"]), (&before["nextAt"], &json!("7d")));
    let other = json!({ "name": "Renamed", "workflowId": workflow, "cron": "@daily" });
    let other = world.client.put(&path, &other).await.expect(200)["schedule"].take();
    assert!(other["every"].is_null() && other["nextAt"].as_str().unwrap() < after["nextAt"].as_str().unwrap());

    let list = world.client.get("/schedules").await.expect(200);
    assert_eq!((list["schedules"].as_array().unwrap().len(), &list["nextCursor"]), (1, &json!(null)));
    world.client.delete(&path).await.expect(204);
    world.client.get(&path).await.problem(404, "schedule.not_found");
    assert_eq!(world.client.get("/schedules").await.expect(200)["schedules"], json!([]));
}
