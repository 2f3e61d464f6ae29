//! What happens to prompts is told by the statements that do it, and once.

use armilla_testkit::db::TestDatabase;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

use super::{Schemas, events, types};
use crate::harness::{Client, TestServer, until};

const VERSIONS: &str = "/agents/scripted/prompt-versions";
const OVERRIDE: &str = "/agents/scripted/prompt-override";

fn config(prompt: &str) -> Value {
    json!({ "id": "scripted", "protocol": "openai", "endpoint": "http://127.0.0.1:1", "systemPromptTemplate": prompt })
}

async fn told(client: &Client) -> Vec<Value> {
    let told: Vec<Value> = events(client, "").await;
    Schemas::of(client).await.check_all(&told);
    told.into_iter().map(|mut event| json!({ "type": event["type"].take(), "data": event["data"].take() })).collect()
}

async fn asking() -> TestServer {
    let server = TestServer::start().await;
    server.admin.post("/agents", &config("One.")).await.expect(201);
    server
}

#[tokio::test]
async fn each_new_version_is_told_whatever_brings_it_and_each_label_where_it_goes() {
    let server = asking().await;
    let client = &server.admin;
    let version = async |n: i32| client.get(&format!("{VERSIONS}/{n}")).await.expect(200)["promptVersion"].take();
    // Neither the same configuration nor one with the same prompt brings a version.
    client.put("/agents/scripted", &config("One.")).await.expect(200);
    client.put("/agents/scripted", &config("Two.")).await.expect(200);
    let body = json!({ "systemPrompt": "Three.", "label": "live", "message": "shorter" });
    client.post(VERSIONS, &body).await.expect(201);
    client.post(VERSIONS, &json!({ "systemPrompt": "Three." })).await.expect(200);
    client.post(&format!("{VERSIONS}/1/restore"), &json!({})).await.expect(201);
    let label = "/agents/scripted/prompt-labels/live";
    client.put(label, &json!({ "version": 1, "message": "back" })).await.expect(200);
    client.put(label, &json!({ "version": 1, "message": "again" })).await.expect(200);
    client.delete(label).await.expect(204);
    client.delete(label).await.problem(404, "prompt.label_not_found");
    client.post(VERSIONS, &json!({ "systemPrompt": "{{ x" })).await.problem(422, "prompt.invalid");

    let (agent, by) = ("scripted", "ada");
    let created = |n: i32, hash: &Value| json!({ "agentId": agent, "version": n, "hash": hash, "by": by });
    let mut third = created(3, &version(3).await["hash"]);
    third["label"] = json!("live");
    third["message"] = json!("shorter");
    let mut fourth = created(4, &version(1).await["hash"]);
    fourth["restoredFrom"] = json!(1);
    let expected = [
        ("prompt.version_created", created(1, &version(1).await["hash"])),
        ("prompt.version_created", created(2, &version(2).await["hash"])),
        ("prompt.version_created", third),
        (
            "prompt.label_moved",
            json!({ "agentId": agent, "label": "live", "version": 3, "message": "shorter", "by": by }),
        ),
        ("prompt.version_created", fourth),
        (
            "prompt.label_moved",
            json!({ "agentId": agent, "label": "live", "version": 1, "fromVersion": 3, "message": "back", "by": by }),
        ),
        ("prompt.label_moved", json!({ "agentId": agent, "label": "live", "fromVersion": 1, "by": by })),
    ];
    let expected: Vec<Value> = expected.into_iter().map(|(kind, data)| json!({ "type": kind, "data": data })).collect();
    assert_eq!(told(client).await, expected);
}

#[tokio::test]
async fn an_override_is_told_when_it_starts_and_when_it_is_replaced_or_ended() {
    let server = asking().await;
    let client = &server.admin;
    let first = client.put(OVERRIDE, &json!({ "systemPrompt": "Instead.", "reason": "an incident" })).await.expect(200);
    let second = client.put(OVERRIDE, &json!({ "version": 1 })).await.expect(200);
    client.delete(OVERRIDE).await.expect(204);
    client.delete(OVERRIDE).await.problem(404, "prompt.override_not_found");
    let told = told(client).await;
    let kinds = [
        "prompt.version_created",
        "prompt.override_started",
        "prompt.override_ended",
        "prompt.override_started",
        "prompt.override_ended",
    ];
    assert_eq!(types(&told), kinds);
    let (first, second) = (&first["promptOverride"], &second["promptOverride"]);
    let started = json!({
        "agentId": "scripted", "overrideId": first["id"], "hash": first["hash"], "reason": "an incident",
        "expiresAt": first["expiresAt"], "by": "ada",
    });
    assert_eq!(told[1]["data"], started);
    assert_eq!((&told[2]["data"]["overrideId"], &told[2]["data"]["status"]), (&first["id"], &json!("replaced")));
    assert_eq!(told[2]["data"]["by"], "ada");
    assert_eq!((&told[3]["data"]["overrideId"], &told[3]["data"]["version"]), (&second["id"], &json!(1)));
    let ended = json!({
        "agentId": "scripted", "overrideId": second["id"], "version": 1, "hash": second["hash"],
        "expiresAt": second["expiresAt"], "status": "ended", "by": "ada",
    });
    assert_eq!(told[4]["data"], ended);
}

/// An hour passes for the database.
const HOUR: &str = "update prompt_overrides set created_at = created_at - interval '1 hour', expires_at = expires_at - interval '1 hour'";

#[tokio::test]
async fn an_override_that_time_ends_is_told_once_on_however_many_hosts() {
    let database = TestDatabase::create().await;
    let first = TestServer::on(&database, 1).await;
    let mut hosts = vec![first];
    for host in 2..=4 {
        hosts.push(TestServer::on(&database, host).await);
    }
    let client = &hosts[0].admin;
    let mut ids = Vec::new();
    for n in 0..6 {
        let agent = json!({ "id": format!("a{n}"), "protocol": "openai", "endpoint": "http://127.0.0.1:1", "systemPromptTemplate": "One." });
        client.post("/agents", &agent).await.expect(201);
        let body = json!({ "version": 1, "reason": "an incident" });
        let set = client.put(&format!("/agents/a{n}/prompt-override"), &body).await.expect(200);
        ids.push(set["promptOverride"]["id"].as_str().unwrap().to_owned());
    }
    let mut sql = PgConnection::connect_with(&database.connect_options()).await.unwrap();
    sqlx::query(HOUR).execute(&mut sql).await.unwrap();
    let ended = until("all are told", || async {
        let ended = events(client, "&type=prompt.override_ended").await;
        (ended.len() >= ids.len()).then_some(ended)
    })
    .await;
    // Another sweep of each host finds nothing.
    for host in &hosts {
        host.engine.store().tell_of_ended_overrides(100).await.unwrap();
    }
    let again = events(client, "&type=prompt.override_ended").await;
    assert_eq!(again, ended);
    Schemas::of(client).await.check_all(&ended);
    let mut told: Vec<&str> = ended.iter().map(|event| event["data"]["overrideId"].as_str().unwrap()).collect();
    told.sort_unstable();
    ids.sort_unstable();
    assert_eq!(told, ids);
    for event in &ended {
        let data = &event["data"];
        assert_eq!(
            (&data["status"], data.get("by"), &data["reason"]),
            (&json!("expired"), None, &json!("an incident"))
        );
    }
}

#[tokio::test]
async fn that_an_override_is_over_is_told_before_the_next_one_starts() {
    let database = TestDatabase::create().await;
    let server = TestServer::on(&database, 1).await;
    server.admin.post("/agents", &config("One.")).await.expect(201);
    server.admin.put(OVERRIDE, &json!({ "version": 1 })).await.expect(200);
    let mut sql = PgConnection::connect_with(&database.connect_options()).await.unwrap();
    sqlx::query(HOUR).execute(&mut sql).await.unwrap();
    server.admin.put(OVERRIDE, &json!({ "version": 1 })).await.expect(200);
    let told = told(&server.admin).await;
    let kinds =
        ["prompt.version_created", "prompt.override_started", "prompt.override_ended", "prompt.override_started"];
    assert_eq!(types(&told), kinds);
    assert_eq!(told[2]["data"]["status"], "expired");
}

#[tokio::test]
async fn overrides_that_are_set_and_ended_at_the_same_time_each_start_and_end_once() {
    let server = asking().await;
    let mut changing = JoinSet::new();
    for n in 0..20 {
        let client = server.admin.clone();
        changing.spawn(async move {
            if n % 3 == 2 {
                client.delete(OVERRIDE).await;
            } else {
                client.put(OVERRIDE, &json!({ "systemPrompt": format!("Instead {n}.") })).await;
            }
        });
    }
    changing.join_all().await;
    server.admin.delete(OVERRIDE).await;
    let of = async |kind: &str| {
        let told = events(&server.admin, &format!("&type={kind}")).await;
        let mut ids: Vec<String> =
            told.iter().map(|event| event["data"]["overrideId"].as_str().unwrap().to_owned()).collect();
        ids.sort_unstable();
        ids
    };
    let started = of("prompt.override_started").await;
    assert_eq!(started, of("prompt.override_ended").await);
    assert_eq!(started.len(), 14);
}
