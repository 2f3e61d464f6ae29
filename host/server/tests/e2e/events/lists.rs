//! Lists of events.

use std::collections::BTreeSet;

use armilla_testkit::db::TestDatabase;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

use super::{events, set, types};
use crate::harness::TestServer;

#[tokio::test]
async fn a_list_is_of_the_types_that_are_named_in_either_spelling() {
    let server = TestServer::start().await;
    let client = &server.admin;
    client.run_steps(json!([set("a")])).await;
    client.run_steps(json!([{ "type": "fail", "id": "no", "message": "never" }])).await;
    let failed = events(client, "&type=run.failed").await;
    assert_eq!(types(&failed), ["run.failed"]);
    assert_eq!(events(client, "&type=run_failed").await, failed);
    let both = events(client, "&type=run_failed,run.succeeded").await;
    assert_eq!(types(&both), ["run.succeeded", "run.failed"]);
    assert_eq!(events(client, "&type=plugin.loaded").await, [] as [Value; 0]);
    for wrong in
        ["type=run.exploded", "type=", "type=run.failed,", "from=yesterday", "limit=0", "limit=101", "cursor=x"]
    {
        client.get(&format!("/events?{wrong}")).await.problem(400, "query.invalid");
    }
    client.get("/events/x").await.problem(404, "event.not_found");
    client.get("/event-types/run.exploded").await.problem(404, "event_type.not_found");
    let type_ = client.get("/event-types/run_failed").await.expect(200)["eventType"].take();
    assert_eq!(type_["type"], "run.failed");
}

#[tokio::test]
async fn a_list_is_of_the_time_that_is_named() {
    let server = TestServer::start().await;
    let client = &server.admin;
    for _ in 0..3 {
        client.run_steps(json!([set("a")])).await;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let all = events(client, "").await;
    let at = all[all.len() / 2]["timestamp"].as_str().unwrap();
    let since = events(client, &format!("&from={at}")).await;
    let until = events(client, &format!("&before={at}")).await;
    assert!(!since.is_empty() && !until.is_empty());
    assert_eq!([until, since].concat(), all, "each is in one of both");
    assert_eq!(events(client, &format!("&from={at}&before={at}")).await, [] as [Value; 0]);
}

#[tokio::test]
async fn pages_have_neither_gaps_nor_repeats_while_more_is_told() {
    let server = TestServer::start().await;
    let client = server.admin.clone();
    let workflow = client.create(json!({ "steps": [set("a"), set("b")] })).await;
    for _ in 0..10 {
        client.run(&workflow, json!({})).await;
    }
    let before = events(&client, "").await;
    let mut telling = JoinSet::new();
    let (teller, told_by) = (client.clone(), workflow.clone());
    telling.spawn(async move {
        loop {
            teller.run(&told_by, json!({})).await;
        }
    });
    for limit in [1, 3, 7] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = client.get(&format!("/events?limit={limit}{cursor}")).await.expect(200);
            seen.extend(page["events"].as_array().unwrap().iter().cloned());
            let Some(next) = page["nextCursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        seen.reverse();
        let ids: BTreeSet<&str> = seen.iter().map(|event| event["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), seen.len());
        assert_eq!(seen[..before.len()], before);
    }
    telling.shutdown().await;
}

#[tokio::test]
async fn a_cursor_whose_event_is_gone_says_so() {
    let database = TestDatabase::create().await;
    let server = TestServer::on(&database, 1).await;
    server.admin.run_steps(json!([set("a"), set("b")])).await;
    let page = server.admin.get("/events?limit=2").await.expect(200);
    let cursor = page["nextCursor"].as_str().unwrap();
    server.admin.get(&format!("/events?cursor={cursor}")).await.expect(200);
    let mut sql = PgConnection::connect_with(&database.connect_options()).await.unwrap();
    sqlx::query("delete from events").execute(&mut sql).await.unwrap();
    let problem = server.admin.get(&format!("/events?cursor={cursor}")).await.problem(400, "query.invalid");
    assert!(problem["detail"].as_str().unwrap().contains("not kept any more"), "{problem:#}");
}
