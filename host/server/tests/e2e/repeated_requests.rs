//! Requests that take place once, whatever they ask for.

use armilla_api::auth::Role;
use armilla_domain::id::WorkspaceId;
use armilla_testkit::db::TestDatabase;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Answer, Client, TestServer, agent_step};

async fn post(client: &Client, path: &str, key: &str, body: &Value) -> Answer {
    client.send(client.request(Method::POST, path).json(body).header("idempotency-key", key)).await
}

fn workflow(name: &str) -> Value {
    json!({ "name": name, "definition": { "steps": [{ "type": "set", "id": "one", "vars": { "n": "1" } }] } })
}

async fn count(client: &Client, path: &str, list: &str) -> usize {
    client.get(path).await.expect(200)[list].as_array().unwrap().len()
}

#[tokio::test]
async fn a_request_is_answered_again_as_it_was_and_does_nothing_more() {
    let server = TestServer::start().await;
    let first = post(&server.admin, "/workflows", "k", &workflow("w")).await;
    assert_eq!(first.header("idempotency-replayed"), "");
    // The same, written otherwise, and by the header's other name.
    let body = r#" { "definition": {"steps": [{ "id": "one", "type": "set", "vars": {"n": "1"} }] }, "name": "w" } "#;
    let request = server.admin.request(Method::POST, "/workflows").header("x-idempotency-key", "k");
    let again = server.admin.send(request.header("content-type", "application/json").body(body)).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    for header in ["location", "etag", "content-type"] {
        assert_eq!(again.header(header), first.header(header), "{header}");
    }
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    assert_eq!(again.expect(201), first.expect(201));
    assert_eq!(count(&server.admin, "/workflows", "workflows").await, 1);
    post(&server.admin, "/workflows", "another", &workflow("w")).await.expect(201);
    assert_eq!(count(&server.admin, "/workflows", "workflows").await, 2);
}

#[tokio::test]
async fn a_key_belongs_to_one_request_of_one_caller() {
    let server = TestServer::start().await;
    post(&server.admin, "/workflows", "k", &workflow("w")).await.expect(201);
    post(&server.admin, "/workflows", "k", &workflow("other")).await.problem(422, "idempotency.key_reused");
    post(&server.admin, "/schedules", "k", &workflow("w")).await.problem(422, "idempotency.key_reused");
    let member = post(&server.client(Role::Member), "/workflows", "k", &workflow("w")).await;
    assert_eq!((member.status, member.header("idempotency-replayed")), (201, ""), "each caller has keys of their own");
    let stranger = server.admin_of(WorkspaceId::from_parts(1, [1; 10]));
    let theirs = post(&stranger, "/workflows", "k", &workflow("w")).await;
    assert_eq!((theirs.status, theirs.header("idempotency-replayed")), (201, ""));
    post(&server.admin, "/workflows", "two words", &workflow("w")).await.problem(400, "header.invalid");
}

#[tokio::test]
async fn twenty_requests_at_once_on_two_hosts_make_one_thing() {
    let database = TestDatabase::create().await;
    let (one, two) = (TestServer::on(&database, 1).await, TestServer::on(&database, 2).await);
    let mut requests = tokio::task::JoinSet::new();
    for n in 0..20 {
        let client = if n % 2 == 0 { &one.admin } else { &two.admin }.clone();
        requests.spawn(async move { post(&client, "/workflows", "k", &workflow("w")).await });
    }
    let answers = requests.join_all().await;
    assert_eq!(count(&one.admin, "/workflows", "workflows").await, 1);
    let made = post(&two.admin, "/workflows", "k", &workflow("w")).await.expect(201);
    for answer in answers {
        match answer.status {
            409 => assert_eq!(answer.problem(409, "idempotency.unsettled")["status"], 409),
            _ => assert_eq!(answer.expect(201), made),
        }
    }
}

#[tokio::test]
async fn a_request_that_is_refused_uses_up_no_key() {
    let server = TestServer::start().await;
    let faulty = json!({ "name": "w", "definition": { "steps": [] } });
    post(&server.admin, "/workflows", "k", &faulty).await.problem(422, "workflow.invalid");
    let viewer = server.client(Role::Viewer);
    post(&viewer, "/workflows", "k", &workflow("w")).await.problem(403, "auth.role");
    let made = post(&server.admin, "/workflows", "k", &workflow("w")).await;
    assert_eq!((made.status, made.header("idempotency-replayed")), (201, ""));
}

#[tokio::test]
async fn an_event_that_is_sent_again_comes_once() {
    let server = TestServer::start().await;
    let wait = |id: &str| json!({ "type": "wait", "id": id, "event": "go", "timeout": "300ms", "onError": "continue" });
    let run = server.admin.start_steps(json!([wait("first"), wait("second")])).await;
    let path = format!("/runs/{run}/signals/go");
    let first = post(&server.admin, &path, "k", &json!({ "payload": 1 })).await;
    let again = post(&server.admin, &path, "k", &json!({ "payload": 1 })).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (first.status, "true"));
    server.admin.ended(&run).await;
    let statuses: Vec<Value> = server.admin.steps(&run).await.iter().map(|step| step["status"].clone()).collect();
    assert_eq!(statuses, ["success", "failed"]);
}

#[tokio::test]
async fn a_secret_that_is_shown_once_is_shown_again_to_its_own_request_alone_and_lies_nowhere_in_the_clear() {
    let database = TestDatabase::create().await;
    let server = TestServer::on(&database, 1).await;
    let webhook = json!({ "url": "https://example.com/", "events": ["run.failed"] });
    let first = post(&server.admin, "/webhooks", "k", &webhook).await.expect(201);
    let secret = first["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"), "{secret}");
    assert_eq!(post(&server.admin, "/webhooks", "k", &webhook).await.expect(201), first);
    let pool = PgPool::connect(&database.url()).await.unwrap();
    let kept: Vec<u8> = sqlx::query_scalar("select answer from idempotent_requests").fetch_one(&pool).await.unwrap();
    assert!(!String::from_utf8_lossy(&kept).contains(&secret));
}

#[tokio::test]
async fn a_tool_that_was_called_is_not_called_again_however_it_ended() {
    let server = TestServer::with_plugins().await;
    let invoke = async |key: &str, text: &Value| {
        post(&server.admin, "/tools/text.slugify/invoke", key, &json!({ "input": { "text": text } })).await
    };
    let failed = invoke("k", &json!(7)).await;
    let again = invoke("k", &json!(7)).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (failed.status, "true"), "{}", again.body);
    assert_eq!((&again.body["code"], &again.body["detail"]), (&failed.body["code"], &failed.body["detail"]));
    assert_eq!(failed.body["code"], "tool.call_failed");
    invoke("another", &json!("Seven")).await.expect(200);
}

#[tokio::test]
async fn operations_that_do_nothing_take_no_key() {
    let server = TestServer::start().await;
    for _ in 0..2 {
        let answer = post(&server.admin, "/workflows/validate", "k", &workflow("w")["definition"]).await;
        assert_eq!(answer.header("idempotency-replayed"), "");
    }
}

#[tokio::test]
async fn what_is_not_known_to_have_taken_place_does_not_take_place_again_until_its_key_is_forgotten() {
    let database = TestDatabase::create().await;
    let server = TestServer::on(&database, 1).await;
    post(&server.admin, "/workflows", "k", &workflow("w")).await.expect(201);
    // As if the host had gone between the change and the answer.
    let pool = PgPool::connect(&database.url()).await.unwrap();
    sqlx::query("update idempotent_requests set answer = null").execute(&pool).await.unwrap();
    post(&server.admin, "/workflows", "k", &workflow("w")).await.problem(409, "idempotency.unsettled");
    assert_eq!(count(&server.admin, "/workflows", "workflows").await, 1);
    let day = "update idempotent_requests set created_at = created_at - interval '24 hours'";
    sqlx::query(day).execute(&pool).await.unwrap();
    let made = post(&server.admin, "/workflows", "k", &workflow("w")).await;
    assert_eq!((made.status, made.header("idempotency-replayed")), (201, ""));
}

#[tokio::test]
async fn operations_that_start_a_run_know_their_keys_themselves() {
    let (server, _agent) = TestServer::with_agent().await;
    let workflow = server.admin.create(json!({ "steps": [agent_step("ask", "Hi")] })).await;
    let path = format!("/workflows/{workflow}/run");
    let run = post(&server.admin, &path, "k", &json!({})).await.expect(200);
    assert_eq!(post(&server.admin, &path, "k", &json!({})).await.expect(200)["run"]["id"], run["run"]["id"]);
    // Another kind of request has keys of its own, and so has one that starts a run of its own making.
    let fork = format!("/runs/{}/fork", run["run"]["id"].as_str().unwrap());
    let first = post(&server.admin, &fork, "k", &json!({ "fromStep": "ask" })).await;
    let again = post(&server.admin, &fork, "k", &json!({ "fromStep": "ask" })).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (first.status, "true"));
    assert_eq!((first.status / 100, first.body == again.body), (2, true), "{}", first.body);
}
