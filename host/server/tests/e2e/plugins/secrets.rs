//! Secrets: a plugin puts them where they belong and never sees them.

use armilla_testkit::agent::{Answer, ScriptedAgent};
use serde_json::{Value, json};

use super::{bare, push, shipped};
use crate::harness::{TestServer, tool_step};

const VALUE: &str = "s3cr3t-value-that-nobody-sees";

/// A server whose plugin `http` may send the secret `api-key` to the peer.
async fn granted() -> (TestServer, ScriptedAgent) {
    let (server, peer) = tokio::join!(bare(), ScriptedAgent::start());
    push(&server.admin, shipped("http")).await.expect(201);
    server.admin.put("/secrets/api-key", &json!({ "value": VALUE })).await.expect(200);
    let way = json!({ "host": "127.0.0.1", "schemes": ["http"], "ports": [port(&peer)], "methods": ["*"] });
    let grant = json!({ "http": [way], "secrets": [{ "name": "api-key", "hosts": ["127.0.0.1"] }] });
    server.admin.put("/plugins/http/grants", &grant).await.expect(200);
    (server, peer)
}

fn port(peer: &ScriptedAgent) -> u16 {
    peer.endpoint().split(':').nth(2).unwrap().split('/').next().unwrap().parse().unwrap()
}

fn with_auth(url: &str) -> Value {
    let auth = json!({ "secret": "api-key", "header": "Authorization", "prefix": "Bearer " });
    json!([tool_step("r", "http.request", json!({ "url": url, "auth": auth }))])
}

#[tokio::test]
async fn the_value_reaches_the_granted_host_and_nothing_else() {
    let (server, peer) = granted().await;
    // A server that repeats what it was sent.
    peer.answers_otherwise(Answer::raw(200, "application/json", format!(r#"{{"you sent":"Bearer {VALUE}"}}"#)));
    let run = server.admin.run_steps(with_auth(&peer.endpoint())).await;
    assert_eq!(run["status"], "success", "{run:#}");
    assert_eq!(peer.calls()[0].header("authorization"), format!("Bearer {VALUE}"));

    let steps = server.admin.get(&format!("/runs/{}/steps", run["id"].as_str().unwrap())).await.expect(200);
    let events = server.admin.get("/events").await.expect(200);
    for shown in [&run, &steps, &events] {
        assert!(!shown.to_string().contains(VALUE), "{shown:#}");
    }
    assert!(
        run["vars"]["r"].to_string().contains("armilla-secret-"),
        "the placeholder stands where the value was: {run:#}"
    );
}

#[tokio::test]
async fn a_secret_is_not_sent_to_a_host_that_it_was_not_granted_for() {
    let (server, peer) = granted().await;
    let way = json!({ "host": "127.0.0.1", "schemes": ["http"], "ports": [port(&peer)], "methods": ["*"] });
    let grant = json!({ "http": [way], "secrets": [{ "name": "api-key", "hosts": ["api.example.com"] }] });
    server.admin.put("/plugins/http/grants", &grant).await.expect(200);
    let run = server.admin.run_steps(with_auth(&peer.endpoint())).await;
    assert_eq!(run["error"]["code"], "tool.capability_denied", "{run:#}");
    assert!(run["error"]["message"].as_str().unwrap().contains("secret:api-key at 127.0.0.1"), "{run:#}");
    assert!(peer.calls().is_empty());
}

#[tokio::test]
async fn a_secret_that_is_not_kept_or_not_granted_is_denied() {
    let (server, peer) = granted().await;
    assert_eq!(server.admin.delete("/secrets/api-key").await.status, 204);
    let run = server.admin.run_steps(with_auth(&peer.endpoint())).await;
    assert_eq!(run["status"], "failed", "{run:#}");
    assert!(run["error"]["message"].as_str().unwrap().contains("no secret of this name"), "{run:#}");

    let way = json!({ "host": "127.0.0.1", "schemes": ["http"], "ports": [port(&peer)] });
    server.admin.put("/plugins/http/grants", &json!({ "http": [way] })).await.expect(200);
    let run = server.admin.run_steps(with_auth(&peer.endpoint())).await;
    assert_eq!(run["error"]["code"], "tool.capability_denied", "{run:#}");
    assert!(run["error"]["message"].as_str().unwrap().contains("`secret:api-key`"), "{run:#}");
}

#[tokio::test]
async fn secrets_are_listed_by_name_and_their_values_by_nothing() {
    let server = bare().await;
    for name in ["b-key", "a-key", "c-key"] {
        let answer = server.admin.put(&format!("/secrets/{name}"), &json!({ "value": VALUE })).await.expect(200);
        assert_eq!((&answer["secret"]["name"], &answer["secret"]["updatedBy"]), (&json!(name), &json!("ada")));
        assert!(!answer.to_string().contains(VALUE));
    }
    let page = server.admin.get("/secrets?limit=2").await.expect(200);
    let names: Vec<_> = page["secrets"].as_array().unwrap().iter().map(|secret| secret["name"].clone()).collect();
    assert_eq!((names, &page["nextCursor"]), (vec![json!("a-key"), json!("b-key")], &json!("b-key")));
    assert!(!page.to_string().contains(VALUE));
    server.admin.get("/secrets/a-key").await.problem(405, "route.method_not_allowed");

    let short = server.admin.put("/secrets/a-key", &json!({ "value": "short" })).await;
    assert!(!short.problem(422, "secret.invalid").to_string().contains("short\""));
    server.admin.put("/secrets/a%20key", &json!({ "value": VALUE })).await.problem(422, "secret.invalid");
    server.admin.delete("/secrets/nonesuch").await.problem(404, "secret.not_found");
}

#[tokio::test]
async fn a_secret_of_another_workspace_is_not_there() {
    let (server, peer) = granted().await;
    let other = server.admin_of(armilla_domain::id::WorkspaceId::from_parts(1, [1; 10]));
    assert_eq!(other.get("/secrets").await.expect(200)["secrets"], json!([]));
    other.delete("/secrets/api-key").await.problem(404, "secret.not_found");
    // The plugin is shared; what it may touch is each workspace's own affair.
    let run = other.run_steps(with_auth(&peer.endpoint())).await;
    assert_eq!(run["error"]["code"], "tool.capability_denied", "{run:#}");
    assert!(peer.calls().is_empty());
}
