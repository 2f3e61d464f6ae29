//! Events as they happen: none missing, none twice, whichever host writes it.

use std::collections::BTreeSet;
use std::time::Duration;

use armilla_domain::id::WorkspaceId;
use armilla_testkit::db::TestDatabase;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Schemas, events, of_run, set, types};
use crate::harness::{Client, PATIENCE, Stream, TestServer};

const PATH: &str = "/events/stream";

async fn follow(client: &Client, query: &str, last_seen: Option<&str>) -> Stream {
    let mut request = client.request(Method::GET, &format!("{PATH}{query}"));
    if let Some(id) = last_seen {
        request = request.header("last-event-id", id);
    }
    Stream::of(request).await
}

/// The next `count` events.
async fn take(stream: &mut Stream, count: usize) -> Vec<Value> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let event = stream.next().await.expect("the stream goes on");
        assert_eq!(
            (event.id.as_deref(), &*event.kind),
            (event.data["id"].as_str(), event.data["type"].as_str().unwrap())
        );
        taken.push(event.data);
    }
    taken
}

#[tokio::test]
async fn a_stream_begins_now_and_has_what_comes() {
    let server = TestServer::start().await;
    server.admin.run_steps(json!([set("before")])).await;
    let mut stream = follow(&server.admin, "", None).await;
    assert_eq!(stream.headers()["x-accel-buffering"], "no");
    let run = server.admin.run_steps(json!([set("after")])).await;
    let taken = take(&mut stream, 4).await;
    assert_eq!(types(&taken), ["workflow.created", "run.started", "step.succeeded", "run.succeeded"]);
    assert_eq!(taken[1]["data"]["runId"], run["id"]);
    Schemas::of(&server.admin).await.check_all(&taken);
    let listed = events(&server.admin, "").await;
    assert_eq!(listed[listed.len() - 4..], taken, "it is what the list has");
}

#[tokio::test]
async fn a_stream_goes_on_after_the_event_that_is_known_and_the_header_comes_first() {
    let server = TestServer::start().await;
    server.admin.run_steps(json!([set("a"), set("b")])).await;
    let all = events(&server.admin, "").await;
    let id = |n: usize| all[n]["id"].as_str().unwrap();
    let mut stream = follow(&server.admin, &format!("?after={}", id(0)), None).await;
    assert_eq!(take(&mut stream, all.len() - 1).await, all[1..]);
    let mut stream = follow(&server.admin, "", Some(id(1))).await;
    assert_eq!(take(&mut stream, all.len() - 2).await, all[2..]);
    let mut stream = follow(&server.admin, &format!("?after={}", id(0)), Some(id(2))).await;
    assert_eq!(take(&mut stream, all.len() - 3).await, all[3..]);
}

#[tokio::test]
async fn a_stream_is_of_the_types_that_are_named_and_of_one_workspace() {
    let server = TestServer::start().await;
    let stranger = server.admin_of(WorkspaceId::from_parts(1, [1; 10]));
    let mut elsewhere = follow(&stranger, "", None).await;
    let mut stream = follow(&server.admin, "?type=run_failed,run.succeeded", None).await;
    let run = server.admin.run_steps(json!([set("a")])).await;
    server.admin.run_steps(json!([{ "type": "fail", "id": "no", "message": "never" }])).await;
    let taken = take(&mut stream, 2).await;
    assert_eq!(types(&taken), ["run.succeeded", "run.failed"]);
    stranger.create(json!({ "steps": [set("theirs")] })).await;
    let theirs = take(&mut elsewhere, 1).await;
    assert_eq!(types(&theirs), ["workflow.created"]);
    assert!(of_run(&theirs, run["id"].as_str().unwrap()).is_empty());

    let id = taken[0]["id"].as_str().unwrap();
    for client in [&stranger, &server.admin] {
        let unknown = if std::ptr::eq(client, &stranger) { id } else { "evt_0196f0c45e7a7c3f8d1b2a3c4d5e6f70" };
        client.get(&format!("{PATH}?after={unknown}")).await.problem(404, "event.not_found");
        let request = client.request(Method::GET, PATH).header("last-event-id", unknown);
        client.send(request).await.problem(404, "event.not_found");
    }
    for wrong in ["type=run.exploded", "after=run_1"] {
        server.admin.get(&format!("{PATH}?{wrong}")).await.problem(400, "query.invalid");
    }
    let request = server.admin.request(Method::GET, PATH).header("last-event-id", "7");
    server.admin.send(request).await.problem(400, "header.invalid");
    server.admin.without_token().get(PATH).await.problem(401, "auth.missing");
}

#[tokio::test]
async fn a_stream_has_what_another_host_writes() {
    let database = TestDatabase::create().await;
    let (one, two) = tokio::join!(TestServer::on(&database, 1), TestServer::on(&database, 2));
    let mut stream = follow(&two.admin, "?type=run.succeeded", None).await;
    let run = one.admin.run_steps(json!([set("a")])).await;
    assert_eq!(take(&mut stream, 1).await[0]["data"]["runId"], run["id"]);
}

/// Follows until `enough` of a type have come, and lets the stream break off after every few events.
async fn follow_with_cuts(
    clients: [Client; 2],
    first: String,
    kind: &str,
    enough: usize,
    cut_after: usize,
) -> Vec<Value> {
    let mut seen: Vec<Value> = Vec::new();
    let mut last = first;
    let mut ends = 0;
    for client in clients.iter().cycle() {
        let mut stream = follow(client, "", Some(&last)).await;
        for _ in 0..cut_after {
            let event = stream.next().await.expect("the stream goes on").data;
            ends += usize::from(event["type"] == kind);
            last = event["id"].as_str().unwrap().to_owned();
            seen.push(event);
            if ends == enough {
                return seen;
            }
        }
    }
    seen
}

#[tokio::test]
async fn nothing_is_missing_and_nothing_twice_while_two_hosts_write_and_the_stream_is_cut_again_and_again() {
    const RUNS: usize = 120;
    let database = TestDatabase::create().await;
    let (one, two) = tokio::join!(TestServer::on(&database, 1), TestServer::on(&database, 2));
    let workflow = one.admin.create(json!({ "steps": [set("a"), set("b"), set("c")] })).await;
    let first = events(&one.admin, "").await.pop().unwrap();
    let first = first["id"].as_str().unwrap().to_owned();
    let mut following = JoinSet::new();
    for cut_after in [7, 61, 10_000] {
        let (clients, first) = ([one.admin.clone(), two.admin.clone()], first.clone());
        following.spawn(follow_with_cuts(clients, first, "run.succeeded", RUNS, cut_after));
    }
    let mut starting = JoinSet::new();
    for n in 0..6 {
        let client = if n % 2 == 0 { &one.admin } else { &two.admin };
        let (client, workflow) = (client.clone(), workflow.clone());
        starting.spawn(async move {
            for _ in 0..RUNS / 6 {
                client.run(&workflow, json!({})).await;
            }
        });
    }
    starting.join_all().await;
    let seen = tokio::time::timeout(PATIENCE, following.join_all()).await.expect("every run ends, and each is told");
    let listed = events(&one.admin, "").await;
    for seen in seen {
        let ids: BTreeSet<&str> = seen.iter().map(|event| event["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), seen.len(), "nothing comes twice");
        assert_eq!((seen.len(), seen), (RUNS * 5, listed[1..].to_vec()), "and nothing is missing, in the same order");
    }
}

#[tokio::test]
async fn a_host_that_stops_ends_its_streams_and_another_goes_on_with_them() {
    let database = TestDatabase::create().await;
    let (one, two) = tokio::join!(TestServer::on(&database, 1), TestServer::on(&database, 2));
    let mut stream = follow(&one.admin, "?type=run.succeeded", None).await;
    one.admin.run_steps(json!([set("a")])).await;
    let first = take(&mut stream, 1).await.remove(0);
    let ended = tokio::spawn(stream.rest());
    one.engine.stop().await;
    assert!(tokio::time::timeout(Duration::from_secs(10), ended).await.unwrap().unwrap().is_empty());
    let run = two.admin.run_steps(json!([set("a")])).await;
    let mut stream = follow(&two.admin, "?type=run.succeeded", first["id"].as_str()).await;
    assert_eq!(take(&mut stream, 1).await[0]["data"]["runId"], run["id"]);
}
