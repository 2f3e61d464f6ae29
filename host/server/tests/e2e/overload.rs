//! More than a host has room for is refused at once, and what was accepted is not lost.

use armilla_api::EVENT_STREAMS_MAX;
use armilla_engine::STARTS_AT_ONCE_MAX;
use armilla_testkit::db::TestDatabase;
use reqwest::Method;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

use crate::harness::{Stream, TestServer};

#[tokio::test]
async fn starts_beyond_the_host_s_room_are_refused_at_once_and_the_others_all_take_place() {
    let database = TestDatabase::create().await;
    let server = TestServer::on(&database, 1).await;
    let set = json!({ "type": "set", "id": "set", "vars": { "a": "1" } });
    let workflow = server.admin.create(json!({ "steps": [set] })).await;
    // What the host knows of the workflow then keeps the others from asking for it.
    server.admin.run(&workflow, json!({})).await;

    // A database that lets nothing be written is how a host comes to have too much to do.
    let mut busy = PgConnection::connect_with(&database.connect_options()).await.unwrap();
    let mut transaction = busy.begin().await.unwrap();
    sqlx::query("lock table journal in exclusive mode").execute(&mut *transaction).await.unwrap();
    let path = format!("/workflows/{workflow}/run");
    let mut requests = JoinSet::new();
    for _ in 0..STARTS_AT_ONCE_MAX + 40 {
        let (client, path) = (server.admin.clone(), path.clone());
        requests.spawn(async move { client.post(&path, &json!({ "input": {} })).await });
    }
    for _ in 0..40 {
        let refused = requests.join_next().await.unwrap().unwrap();
        assert!(refused.header("retry-after").parse::<u32>().unwrap() >= 1);
        refused.problem(503, "server.unavailable");
    }
    transaction.rollback().await.unwrap();
    let mut started = 0;
    while let Some(answer) = requests.join_next().await {
        assert_eq!(answer.unwrap().expect(200)["run"]["status"], "success");
        started += 1;
    }
    assert_eq!(started, STARTS_AT_ONCE_MAX);
    let kept: i64 = sqlx::query_scalar("select count(*) from runs where finished_at is not null")
        .fetch_one(&mut busy)
        .await
        .unwrap();
    assert_eq!(kept, 1 + STARTS_AT_ONCE_MAX as i64, "none twice, none of the refused");
}

#[tokio::test]
async fn event_streams_beyond_the_host_s_room_are_refused_until_one_is_closed() {
    let server = TestServer::start().await;
    let nap = json!({ "type": "wait", "id": "nap", "duration": "30d" });
    let workflow = server.admin.create(json!({ "steps": [nap] })).await;
    let run = server.admin.start(&workflow, json!({})).await;
    let mut streams = Vec::new();
    for _ in 0..EVENT_STREAMS_MAX {
        streams.push(Stream::open(&server.admin, &run, None).await);
    }
    let path = format!("/runs/{run}/events");
    let refused = server.admin.send(server.admin.request(Method::GET, &path)).await;
    assert!(refused.header("retry-after").parse::<u32>().unwrap() >= 1);
    refused.problem(503, "server.unavailable");
    streams.pop();
    crate::harness::until("there is room again", || async {
        let answer = server.admin.request(Method::GET, &path).send().await.unwrap();
        (answer.status() == 200).then_some(())
    })
    .await;
}
