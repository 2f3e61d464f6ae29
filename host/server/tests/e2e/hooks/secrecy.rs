//! What nobody is to learn: which tokens there are, and what they and the secrets are.

use armilla_testkit::db::TestDatabase;
use reqwest::Method;
use serde_json::json;

use super::{SECRET, call, echo, make, now, signed};
use crate::harness::{ServerProcess, TestServer};

#[tokio::test]
async fn a_token_that_is_none_is_told_nothing_however_near_it_is() {
    let server = TestServer::start().await;
    let workflow = echo(&server.admin).await;
    let hook = make(&server.admin, &workflow, json!({ "when": "false" })).await;
    let nobody = server.admin.without_token();
    let near = format!("{}{}", &hook.token[..42], if hook.token.ends_with('A') { 'B' } else { 'A' });
    let strange = format!("hk_{}", "A".repeat(40));
    let mut told = Vec::new();
    for token in [near.as_str(), strange.as_str(), "x", "hk_", &"A".repeat(500), &hook.id, "%20"] {
        let mut problem = nobody.post(&format!("/hooks/{token}"), &json!({})).await.problem(404, "hook.not_found");
        problem["requestId"].take();
        told.push(problem);
    }
    assert!(told.iter().all(|problem| *problem == told[0]), "{told:#?}");
    let wrong = nobody.send(nobody.request(Method::GET, &hook.path)).await;
    wrong.problem(405, "route.method_not_allowed");
}

#[tokio::test]
async fn tokens_and_secrets_are_in_no_later_answer_no_row_and_no_line_of_the_log() {
    let database = TestDatabase::create().await;
    let folder = tempfile::tempdir().unwrap();
    let process = ServerProcess::start_with(folder.path(), Some(&database.url()), &[("ARMILLA_LOG", "debug")]).await;
    let admin = process.client("admin").await;
    admin.put("/secrets/sender", &json!({ "value": SECRET })).await.expect(200);
    let workflow = echo(&admin).await;
    let verify = json!({ "scheme": "sharedSecret", "secret": "sender" });
    let input = json!({ "headers": "headers", "body": "body" });
    let hook = make(&admin, &workflow, json!({ "verify": verify, "input": input })).await;

    let nobody = admin.without_token();
    let send = async |secret: &str| {
        let request = nobody.request(Method::POST, &hook.path).header("x-hook-secret", secret);
        nobody.send(request.json(&json!({}))).await
    };
    let started = send(SECRET).await.expect(202);
    send("wrong, and as long as needed").await.problem(401, "hook.signature_wrong");
    let run = started["runId"].as_str().unwrap();
    admin.ended(run).await;

    let hook_path = format!("/inbound-hooks/{}", hook.id);
    for path in [
        "/inbound-hooks",
        &hook_path,
        &format!("{hook_path}/calls"),
        &format!("/runs/{run}"),
        &format!("/runs/{run}/steps"),
    ] {
        let text = admin.get(path).await.expect(200).to_string();
        assert!(!text.contains(&hook.token) && !text.contains(SECRET), "{path}: {text}");
    }
    let pool = sqlx::PgPool::connect(&database.url()).await.unwrap();
    let rows: Vec<String> = sqlx::query_scalar(
        "select h::text from inbound_hooks h union all select c::text from inbound_hook_calls c
        union all select j::text from journal j",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert!(rows.len() >= 4 && rows.iter().all(|row| !row.contains(&hook.token) && !row.contains(SECRET)), "{rows:#?}");
    let log = process.log();
    assert!(log.contains("/hooks/…"), "{log}");
    assert!(!log.contains(&hook.token) && !log.contains(SECRET), "{log}");
}

#[tokio::test]
async fn a_signature_is_good_for_its_own_hook_alone() {
    let server = TestServer::start().await;
    server.admin.put("/secrets/one", &json!({ "value": SECRET })).await.expect(200);
    server.admin.put("/secrets/other", &json!({ "value": "another secret" })).await.expect(200);
    let workflow = echo(&server.admin).await;
    let one = make(&server.admin, &workflow, json!({ "verify": { "scheme": "github", "secret": "one" } })).await;
    let other = make(&server.admin, &workflow, json!({ "verify": { "scheme": "github", "secret": "other" } })).await;
    let headers = signed("github", "{}", now(), "d-1");
    call(&server, &one, &headers, "{}").await.expect(202);
    call(&server, &other, &headers, "{}").await.problem(401, "hook.signature_wrong");
}
