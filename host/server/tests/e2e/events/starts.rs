//! Runs that start by events.

use armilla_domain::event::EVENT_DEPTH_MAX;
use armilla_domain::id::WorkspaceId;
use armilla_testkit::db::TestDatabase;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

use super::{approval, events, set};
use crate::harness::{Client, ServerProcess, TestServer, until};

/// A workflow whose runs fail, or answer, as their input says.
async fn failing(client: &Client) -> String {
    let fails = json!({ "type": "fail", "id": "no", "message": "never", "when": "not input.well" });
    client.create(json!({ "steps": [fails, set("yes")] })).await
}

/// A workflow that starts by events and answers what it was given.
async fn started_by(client: &Client, on_event: Value) -> String {
    client
        .create(
            json!({ "onEvent": on_event, "steps": [{ "type": "return", "id": "r" }], "output": { "given": "input" } }),
        )
        .await
}

async fn runs(client: &Client, workflow: &str) -> Vec<Value> {
    let mut runs = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("/workflows/{workflow}/runs?limit=50{cursor}")).await.expect(200);
        runs.extend(page["runs"].as_array().unwrap().iter().cloned());
        let Some(next) = page["nextCursor"].as_str() else { return runs };
        cursor = format!("&cursor={next}");
    }
}

async fn starts(client: &Client, workflow: &str) -> Vec<Value> {
    let list = client.get(&format!("/workflows/{workflow}/event-starts")).await.expect(200)["eventStarts"].take();
    list.as_array().unwrap().clone()
}

/// What events did to a workflow, newest first, as soon as there are so many and none is about to be started.
async fn settled(client: &Client, workflow: &str, count: usize) -> Vec<Value> {
    until(&format!("{count} starts of {workflow}"), || async {
        let starts = starts(client, workflow).await;
        (starts.len() >= count && starts.iter().all(|start| start["outcome"] != "starting")).then_some(starts)
    })
    .await
}

/// Waits until what happened before is followed: by a workflow that starts by the creation of another, which is the last thing that happened.
async fn followed(client: &Client) {
    let witness = started_by(client, json!({ "event": "workflow.created" })).await;
    let last = client.create(json!({ "steps": [set("last")] })).await;
    let start = settled(client, &witness, 1).await.remove(0);
    let run = client.ended(start["runId"].as_str().unwrap()).await;
    assert_eq!(run["input"]["event"]["data"]["workflowId"], last);
    client.delete(&format!("/workflows/{witness}")).await.expect(204);
}

#[tokio::test]
async fn an_event_that_matches_starts_one_run_with_what_is_picked_out_of_it() {
    let server = TestServer::start().await;
    let client = &server.admin;
    let (watched, other) = (failing(client).await, failing(client).await);
    let on_event = json!({
        "event": ["run.failed"], "match": format!("event.data.workflowId == '{watched}'"),
        "input": { "run": "event.data.runId", "code": "event.data.error.code", "type": "event.type" },
    });
    let workflow = started_by(client, on_event).await;
    client.run(&other, json!({ "well": false })).await;
    client.run(&watched, json!({ "well": true })).await;
    let failed = client.run(&watched, json!({ "well": false })).await;
    let start = settled(client, &workflow, 1).await.remove(0);
    let run = client.ended(start["runId"].as_str().unwrap()).await;
    assert_eq!(run["input"], json!({ "run": failed["id"], "code": "run.failed", "type": "run.failed" }), "{run:#}");
    let event = events(client, "&type=run.failed").await.pop().unwrap();
    let expected = json!({
        "eventId": event["id"], "eventType": "run.failed", "outcome": "started", "runId": run["id"], "detail": null,
        "at": start["at"],
    });
    assert_eq!(start, expected);
    followed(client).await;
    assert_eq!((runs(client, &workflow).await.len(), starts(client, &workflow).await.len()), (1, 1));

    let stranger = server.admin_of(WorkspaceId::from_parts(1, [1; 10]));
    stranger.get(&format!("/workflows/{workflow}/event-starts")).await.problem(404, "workflow.not_found");
}

#[tokio::test]
async fn without_a_mapping_a_run_is_given_the_event_as_it_is_listed() {
    let server = TestServer::start().await;
    let workflow = started_by(&server.admin, json!({ "event": "run_failed" })).await;
    let watched = failing(&server.admin).await;
    server.admin.run(&watched, json!({ "well": false })).await;
    let start = settled(&server.admin, &workflow, 1).await.remove(0);
    let run = server.admin.ended(start["runId"].as_str().unwrap()).await;
    let event = events(&server.admin, "&type=run.failed").await.pop().unwrap();
    assert_eq!(run["input"], json!({ "event": event }));
}

#[tokio::test]
async fn what_happened_before_a_workflow_was_made_does_not_start_it() {
    let server = TestServer::start().await;
    let client = &server.admin;
    // So that events are followed already.
    started_by(client, json!({ "event": "run.failed", "match": "false" })).await;
    let watched = failing(client).await;
    client.run(&watched, json!({ "well": false })).await;
    let workflow = started_by(client, json!({ "event": ["run.failed", "workflow.created"] })).await;
    let asked_late = client.create(json!({ "steps": [set("a")] })).await;
    client.run(&watched, json!({ "well": false })).await;
    let revised = json!({ "definition": { "onEvent": { "event": "run.failed" }, "steps": [set("a")] } });
    client.put(&format!("/workflows/{asked_late}"), &revised).await.expect(200);
    followed(client).await;
    let told: Vec<Value> = starts(client, &workflow).await.iter().map(|start| start["eventType"].clone()).collect();
    assert_eq!(told, ["workflow.created", "workflow.created", "run.failed", "workflow.created"]);
    assert_eq!(starts(client, &asked_late).await, [] as [Value; 0]);
}

#[tokio::test]
async fn each_event_starts_one_run_on_two_hosts_of_which_one_is_killed() {
    const FAILURES: usize = 60;
    let database = TestDatabase::create().await;
    let (folder, other_folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let lease = [("ARMILLA_LEASE", "2")];
    let killed = ServerProcess::start_with(folder.path(), Some(&database.url()), &lease).await;
    let other = ServerProcess::start_with(other_folder.path(), Some(&database.url()), &lease).await;
    let client = other.client("admin").await;
    let input = json!({ "run": "event.data.runId" });
    let workflow = started_by(&client, json!({ "event": "run.failed", "input": input })).await;
    let watched = failing(&client).await;
    let mut failures = JoinSet::new();
    for _ in 0..4 {
        let (client, watched) = (client.clone(), watched.clone());
        failures.spawn(async move {
            let mut failed = Vec::new();
            for _ in 0..FAILURES / 4 {
                failed.push(client.run(&watched, json!({ "well": false })).await["id"].as_str().unwrap().to_owned());
            }
            failed
        });
    }
    until("some are started", || async { (runs(&client, &workflow).await.len() > 5).then_some(()) }).await;
    killed.kill().await;
    let mut failed: Vec<String> = failures.join_all().await.into_iter().flatten().collect();
    settled(&client, &workflow, FAILURES).await;
    followed(&client).await;
    let mut given = Vec::new();
    for run in runs(&client, &workflow).await {
        let run = client.ended(run["id"].as_str().unwrap()).await;
        given.push(run["input"]["run"].as_str().unwrap().to_owned());
    }
    failed.sort_unstable();
    given.sort_unstable();
    assert_eq!(given, failed, "one for each, and no other");
    assert!(starts(&client, &workflow).await.iter().all(|start| start["outcome"] == "started"));
}

#[tokio::test]
async fn a_start_that_a_host_left_halfway_is_made_once() {
    let database = TestDatabase::create().await;
    let server = TestServer::on(&database, 1).await;
    let workflow = started_by(&server.admin, json!({ "event": "run.failed" })).await;
    let watched = failing(&server.admin).await;
    server.admin.run(&watched, json!({ "well": false })).await;
    let before = settled(&server.admin, &workflow, 1).await;
    // The run was started, and its host died before it wrote that down.
    let undone = "update event_starts set outcome = 'starting', claimed_until = '-infinity', input = '{}'";
    let mut sql = PgConnection::connect_with(&database.connect_options()).await.unwrap();
    sqlx::query(undone).execute(&mut sql).await.unwrap();
    assert_eq!(settled(&server.admin, &workflow, 1).await, before);
    assert_eq!(runs(&server.admin, &workflow).await.len(), 1);
    // Even where its workflow is gone by now.
    sqlx::query(undone).execute(&mut sql).await.unwrap();
    sqlx::query("update workflows set deleted_at = now() where on_events is not null").execute(&mut sql).await.unwrap();
    until("it is settled", || async {
        let outcome: String = sqlx::query_scalar("select outcome from event_starts")
            .fetch_one(&mut PgConnection::connect_with(&database.connect_options()).await.unwrap())
            .await
            .unwrap();
        (outcome == "started").then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_event_that_starts_nothing_though_it_matches_says_why() {
    let server = TestServer::start().await;
    let client = &server.admin;
    let schema = json!({ "type": "object", "required": ["topic"] });
    let strict = json!({ "onEvent": { "event": "run.failed", "input": { "run": "event.data.runId" } }, "inputSchema": schema,
        "steps": [set("a")] });
    let strict = client.create(strict).await;
    let puzzled = started_by(client, json!({ "event": "run.failed", "match": "event.data.runId + 1 == 2" })).await;
    let full = json!({ "onEvent": { "event": "run.failed" }, "concurrency": { "max": 1, "onLimit": "reject" }, "steps": [approval("ok")] });
    let full = client.create(full).await;
    let watched = failing(client).await;
    client.run(&watched, json!({ "well": false })).await;
    settled(client, &full, 1).await;
    client.run(&watched, json!({ "well": false })).await;

    let refused = settled(client, &strict, 2).await;
    for start in &refused {
        assert_eq!((&start["outcome"], &start["runId"]), (&json!("refused"), &Value::Null), "{start:#}");
        assert!(start["detail"].as_str().unwrap().contains("topic"), "{start:#}");
    }
    assert!(runs(client, &strict).await.is_empty());
    let page = client.get(&format!("/workflows/{strict}/event-starts?limit=1")).await.expect(200);
    let cursor = page["nextCursor"].as_str().unwrap();
    let rest = client.get(&format!("/workflows/{strict}/event-starts?limit=1&cursor={cursor}")).await.expect(200);
    assert_eq!((&rest["eventStarts"][0], &rest["nextCursor"]), (&refused[1], &Value::Null));

    let detail = settled(client, &puzzled, 2).await[0]["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("onEvent"), "{detail}");
    let second = settled(client, &full, 2).await;
    let outcomes: Vec<&Value> = second.iter().map(|start| &start["outcome"]).collect();
    assert_eq!(outcomes, ["refused", "started"], "{second:#?}");
}

#[tokio::test]
async fn a_definition_that_is_not_understood_keeps_no_other_workflow_from_starting() {
    let database = TestDatabase::create().await;
    let server = TestServer::on(&database, 1).await;
    let client = &server.admin;
    let broken = started_by(client, json!({ "event": "run.failed" })).await;
    let sound = started_by(client, json!({ "event": "run.failed" })).await;
    let watched = failing(client).await;
    // As one of another program's version would be.
    let mut sql = PgConnection::connect_with(&database.connect_options()).await.unwrap();
    let breaks = "update workflow_versions set version = 2, definition = '{\"steps\": 7}' where workflow_id = $1";
    sqlx::query(breaks).bind(uuid_of(&broken)).execute(&mut sql).await.unwrap();
    sqlx::query("update workflows set version = 2 where id = $1")
        .bind(uuid_of(&broken))
        .execute(&mut sql)
        .await
        .unwrap();
    client.run(&watched, json!({ "well": false })).await;
    settled(client, &sound, 1).await;
    let kept: (String, String) = sqlx::query_as("select outcome, detail from event_starts where workflow_id = $1")
        .bind(uuid_of(&broken))
        .fetch_one(&mut sql)
        .await
        .unwrap();
    assert_eq!((kept.0.as_str(), kept.1.contains("not understood")), ("refused", true));
}

fn uuid_of(id: &str) -> uuid::Uuid {
    id.split_once('_').unwrap().1.parse().unwrap()
}

#[tokio::test]
async fn a_workflow_that_starts_itself_is_cut_off_and_says_so() {
    let server = TestServer::start().await;
    let client = &server.admin;
    let steps = json!([{ "type": "return", "id": "r" }]);
    let workflow = client.create(json!({ "steps": steps })).await;
    let matches = format!("event.data.workflowId == '{workflow}'");
    let loops = json!({ "definition": { "onEvent": { "event": "run.succeeded", "match": matches }, "steps": steps } });
    client.put(&format!("/workflows/{workflow}"), &loops).await.expect(200);
    client.run(&workflow, json!({})).await;
    let most = EVENT_DEPTH_MAX.unsigned_abs() as usize;
    let started = settled(client, &workflow, most + 1).await;
    followed(client).await;
    assert_eq!(starts(client, &workflow).await.len(), most + 1);
    assert_eq!(runs(client, &workflow).await.len(), most + 1, "the first one was started by nobody's event");
    let outcomes: Vec<&str> = started.iter().map(|start| start["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, [["refused"].as_slice(), &vec!["started"; most]].concat());
    assert!(started[0]["detail"].as_str().unwrap().contains("loop"), "{:#}", started[0]);
}

#[tokio::test]
async fn runs_of_runs_carry_on_how_deep_they_are() {
    let server = TestServer::start().await;
    let client = &server.admin;
    // What the event starts runs a child, and it is the child's end that starts the next one.
    let child = client.create(json!({ "steps": [{ "type": "return", "id": "r" }] })).await;
    let steps = json!([{ "type": "workflow", "id": "child", "workflowId": child }]);
    let on_event = json!({ "event": "run.succeeded", "match": format!("event.data.workflowId == '{child}'") });
    let workflow = client.create(json!({ "onEvent": on_event, "steps": steps })).await;
    client.run(&child, json!({})).await;
    let most = EVENT_DEPTH_MAX.unsigned_abs() as usize;
    let started = settled(client, &workflow, most + 1).await;
    followed(client).await;
    assert_eq!((started.len(), runs(client, &workflow).await.len()), (most + 1, most));
    assert_eq!((&started[0]["outcome"], runs(client, &child).await.len()), (&json!("refused"), most + 1));
}

#[tokio::test]
async fn decisions_of_people_do_not_make_a_loop_shorter_or_longer() {
    let server = TestServer::start().await;
    let client = &server.admin;
    let on_event = json!({ "event": "approval.decided" });
    let workflow = client.create(json!({ "onEvent": on_event, "steps": [approval("ok")] })).await;
    let mut run = client.start(&workflow, json!({})).await;
    for n in 1..=usize::from(EVENT_DEPTH_MAX.unsigned_abs()) + 1 {
        let asked = client.asked(&run, 1).await.remove(0);
        client.post(&format!("/approvals/{asked}/approve"), &json!({})).await.expect(200);
        let start = settled(client, &workflow, n).await.remove(0);
        match start["runId"].as_str() {
            Some(next) => run = next.to_owned(),
            None => assert_eq!(n, usize::from(EVENT_DEPTH_MAX.unsigned_abs()) + 1, "{start:#}"),
        }
    }
    assert_eq!(starts(client, &workflow).await[0]["outcome"], "refused");
}

#[tokio::test]
async fn a_definition_without_it_and_a_workflow_that_is_gone_start_no_more() {
    let server = TestServer::start().await;
    let client = &server.admin;
    let on_event = json!({ "event": "run.failed" });
    let (revised, deleted) = (started_by(client, on_event.clone()).await, started_by(client, on_event.clone()).await);
    let stays = started_by(client, on_event.clone()).await;
    let watched = failing(client).await;
    client.run(&watched, json!({ "well": false })).await;
    for workflow in [&revised, &deleted, &stays] {
        settled(client, workflow, 1).await;
    }
    let without = json!({ "definition": { "steps": [{ "type": "return", "id": "r" }] } });
    client.put(&format!("/workflows/{revised}"), &without).await.expect(200);
    client.delete(&format!("/workflows/{deleted}")).await.expect(204);
    client.run(&watched, json!({ "well": false })).await;
    settled(client, &stays, 2).await;
    followed(client).await;
    assert_eq!((runs(client, &revised).await.len(), runs(client, &deleted).await.len()), (1, 1));
    assert_eq!(starts(client, &revised).await.len(), 1);

    // And an earlier version brings it back.
    client.post(&format!("/workflows/{revised}/versions/1/restore"), &json!({})).await;
    client.run(&watched, json!({ "well": false })).await;
    settled(client, &revised, 2).await;
}
