//! Lists: newest first, a page at a time.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Client, TestServer};

/// A workflow that ends at once.
fn trivial() -> Value {
    let never = json!([{ "type": "tool", "id": "never", "toolName": "jq", "params": { "filter": "." } }]);
    json!({ "steps": [{ "type": "condition", "id": "check", "expr": "false", "then": never }] })
}

/// All pages of a list, and how long each was.
async fn pages(client: &Client, path: &str, things: &str, limit: u32) -> (Vec<String>, Vec<usize>) {
    let (mut ids, mut lengths, mut cursor) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{path}?limit={limit}{cursor}")).await.expect(200);
        let found = page[things].as_array().unwrap();
        lengths.push(found.len());
        ids.extend(found.iter().map(|thing| thing["id"].as_str().unwrap().to_owned()));
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (ids, lengths),
        }
    }
}

#[tokio::test]
async fn workflows_are_listed_newest_first_page_by_page() {
    let server = TestServer::start().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(server.admin.create(trivial()).await);
    }
    made.reverse();
    // Ids of one millisecond are in the order of chance; the list's order is the ids'.
    made.sort_unstable_by(|one, other| other.cmp(one));
    let (ids, lengths) = pages(&server.admin, "/workflows", "workflows", 2).await;
    assert_eq!((ids, lengths), (made, vec![2, 2, 1]));
}

#[tokio::test]
async fn a_list_of_workflows_gives_at_most_a_hundred() {
    let server = TestServer::start().await;
    let mut making = JoinSet::new();
    for _ in 0..101 {
        let client = server.admin.clone();
        making.spawn(async move { client.create(trivial()).await });
    }
    making.join_all().await;
    let list = server.admin.get("/workflows").await.expect(200);
    assert_eq!(list["workflows"].as_array().unwrap().len(), 100);
    assert!(list["nextCursor"].is_string());
    server.admin.get("/workflows?limit=101").await.problem(400, "query.invalid");
}

#[tokio::test]
async fn runs_are_listed_newest_first_and_at_most_fifty_without_what_they_work_on() {
    let server = TestServer::start().await;
    let workflow = server.admin.create(trivial()).await;
    let mut running = JoinSet::new();
    for n in 0..51 {
        let (client, workflow) = (server.admin.clone(), workflow.clone());
        running.spawn(async move { client.run(&workflow, json!({ "n": n })).await });
    }
    for run in running.join_all().await {
        assert_eq!(run["status"], "success");
    }
    let path = format!("/workflows/{workflow}/runs");
    let list = server.admin.get(&path).await.expect(200);
    let runs = list["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 50);
    let ids: Vec<_> = runs.iter().map(|run| run["id"].as_str().unwrap()).collect();
    assert!(ids.is_sorted_by(|newer, older| newer > older));
    assert!(runs.iter().all(|run| run.get("input").is_none() && run.get("vars").is_none()));
    let (all, lengths) = pages(&server.admin, &path, "runs", 40).await;
    assert_eq!((all.len(), lengths), (51, vec![40, 11]));
    server.admin.get(&format!("{path}?limit=51")).await.problem(400, "query.invalid");
}

#[tokio::test]
async fn a_page_that_cannot_be_meant_is_refused() {
    let server = TestServer::start().await;
    for query in ["limit=0", "limit=-1", "limit=many", "cursor=nonsense", "cursor=run_00000000000000000000000000000000"]
    {
        server.admin.get(&format!("/workflows?{query}")).await.problem(400, "query.invalid");
    }
}

#[tokio::test]
async fn agents_are_listed_by_id_page_by_page() {
    let server = TestServer::start().await;
    for id in ["c", "a", "b"] {
        let config = json!({ "id": id, "protocol": "http", "endpoint": "http://127.0.0.1:1" });
        server.admin.post("/agents", &config).await.expect(201);
    }
    let (ids, lengths) = pages(&server.admin, "/agents", "agents", 2).await;
    assert_eq!((ids, lengths), (vec!["a".to_owned(), "b".to_owned(), "c".to_owned()], vec![2, 1]));
}
