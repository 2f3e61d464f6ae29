//! What is refused, and to whom.

use armilla_api::auth::Role;
use armilla_domain::id::WorkspaceId;
use serde_json::{Value, json};

use super::World;
use crate::harness::with;

fn faults(problem: &Value) -> Vec<(&str, &str)> {
    let faults = problem["errors"].as_array().unwrap().iter();
    faults.map(|fault| (fault["pointer"].as_str().unwrap(), fault["code"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn every_fault_of_a_schedule_is_told_at_once() {
    let world = World::new().await;
    let strict = json!({ "inputSchema": { "required": ["topic"] }, "steps": [{ "type": "return", "id": "r" }] });
    let workflow = world.client.create(strict).await;
    let body = json!({
        "name": "s", "workflowId": workflow, "cron": "0 0 30 2 *", "timezone": "Europe/Atlantis", "every": "1ms",
        "at": "2020-01-01T00:00:00Z", "overlap": "both", "catchUp": "a while", "jitter": "5 m", "input": {},
    });
    let problem = world.client.post("/schedules", &body).await.problem(422, "schedule.invalid");
    let expected = [
        ("/timezone", "schedule.timezone"),
        ("", "schedule.timing"),
        ("/every", "schedule.every"),
        ("/at", "schedule.past"),
        ("/overlap", "schedule.value"),
        ("/catchUp", "schedule.duration"),
        ("/jitter", "schedule.duration"),
        ("/cron", "schedule.never"),
        ("/input", "input.schema"),
    ];
    assert_eq!(faults(&problem), expected, "{problem:#}");
    let body = json!({ "name": "s", "workflowId": "wf_x", "every": "1m", "jitter": "2m" });
    let problem = world.client.post("/schedules", &body).await.problem(422, "schedule.invalid");
    assert_eq!(faults(&problem), [("/jitter", "schedule.jitter"), ("/workflowId", "schedule.unknown_workflow")]);
    let problem = world.client.post("/schedules", &json!({ "name": "", "cron": 1 })).await.problem(422, "body.invalid");
    assert!(faults(&problem).len() >= 3, "{problem:#}");
    let array = json!({ "name": "s", "workflowId": workflow, "every": "1m", "input": [] });
    world.client.post("/schedules", &array).await.expect(422);
    let large = json!({ "name": "s", "workflowId": workflow, "every": "1m", "input": { "topic": "x".repeat(65_536) } });
    let problem = world.client.post("/schedules", &large).await.problem(422, "schedule.invalid");
    assert_eq!(faults(&problem), [("/input", "schedule.input_too_large")]);
    assert_eq!(world.client.get("/schedules").await.expect(200)["schedules"], json!([]));

    let id = world.schedule(&workflow, json!({ "input": { "topic": "tides" } })).await;
    let worse = json!({ "name": "s", "workflowId": workflow, "cron": "* * * *", "input": { "topic": "tides" } });
    world.client.put(&format!("/schedules/{id}"), &worse).await.problem(422, "schedule.invalid");
    assert_eq!(world.show(&id).await["every"], "1d");
}

#[tokio::test]
async fn a_backfill_is_bounded_and_of_the_past() {
    let world = World::new().await;
    let workflow = world.quick().await;
    let id = world.schedule(&workflow, json!({ "every": "1m" })).await;
    let path = format!("/schedules/{id}/backfill");
    let refused = async |from: &str, to: &str| {
        let body = json!({ "from": from, "to": to, "dryRun": true });
        world.client.post(&path, &body).await.problem(422, "body.invalid")
    };
    let many = refused("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z").await;
    assert_eq!(faults(&many), [("", "schedule.too_many_occurrences")]);
    assert_eq!(faults(&refused("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z").await), [("/from", "schedule.range")]);
    let to_come = refused("2998-12-31T23:59:00Z", "2999-01-01T00:00:00Z").await;
    assert_eq!(faults(&to_come), [("/to", "schedule.range")]);
    let days =
        |from: u32| json!({ "from": format!("2026-01-0{from}T00:00:00Z"), "to": format!("2026-01-0{from}T16:40:00Z") });
    world.client.post(&format!("/schedules/{id}/pause"), &json!({})).await.expect(200);
    assert_eq!(world.client.post(&path, &days(1)).await.expect(200)["occurrences"], 1_000);
    world.client.post(&path, &days(2)).await.problem(409, "schedule.too_many_queued");
    assert_eq!(world.show(&id).await["queued"], 1_000);
}

#[tokio::test]
async fn viewers_read_and_members_do_and_another_workspace_finds_nothing() {
    let world = World::new().await;
    let workflow = world.quick().await;
    let id = world.schedule(&workflow, json!({})).await;
    let one = format!("/schedules/{id}");
    let body = json!({ "name": "s", "workflowId": workflow, "every": "1d" });
    let range = json!({ "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z" });
    let writes = [("pause", json!({})), ("resume", json!({})), ("run", json!({})), ("backfill", range)];

    let viewer = world.server.client(Role::Viewer);
    viewer.get("/schedules").await.expect(200);
    viewer.get(&one).await.expect(200);
    viewer.get(&format!("{one}/occurrences")).await.expect(200);
    viewer.post("/schedules", &body).await.problem(403, "auth.role");
    viewer.put(&one, &body).await.problem(403, "auth.role");
    viewer.delete(&one).await.problem(403, "auth.role");
    let stranger = world.server.admin_of(WorkspaceId::from_parts(1, [9; 10]));
    assert_eq!(stranger.get("/schedules").await.expect(200)["schedules"], json!([]));
    stranger.get(&one).await.problem(404, "schedule.not_found");
    stranger.get(&format!("{one}/occurrences")).await.problem(404, "schedule.not_found");
    stranger.put(&one, &body).await.problem(404, "schedule.not_found");
    stranger.delete(&one).await.problem(404, "schedule.not_found");
    let problem = stranger.post("/schedules", &body).await.problem(422, "schedule.invalid");
    assert_eq!(faults(&problem), [("/workflowId", "schedule.unknown_workflow")]);
    for (command, body) in &writes {
        let path = format!("{one}/{command}");
        viewer.post(&path, body).await.problem(403, "auth.role");
        stranger.post(&path, body).await.problem(404, "schedule.not_found");
    }
    assert!(world.occurrences(&id).await.is_empty());

    let member = world.server.client(Role::Member);
    member.post("/schedules", &with(body.clone(), json!({ "name": "t" }))).await.expect(201);
    member.put(&one, &body).await.expect(200);
    member.post(&format!("{one}/run"), &json!({})).await.expect(202);
    member.delete(&one).await.expect(204);
    for path in ["/schedules/x", "/schedules/sch_00000000000070008000000000000000"] {
        member.get(path).await.problem(404, "schedule.not_found");
    }
}
