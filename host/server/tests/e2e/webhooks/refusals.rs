//! What cannot be meant is refused with all that is wrong with it, and nothing of it is kept.

use armilla_testkit::db::TestDatabase;
use armilla_testkit::sink::WebhookSink;
use serde_json::{Value, json};

use super::make;
use crate::harness::{ServerProcess, TestServer, with};

/// Pointer and code of each fault.
fn faults(problem: &Value) -> Vec<(&str, &str)> {
    let faults = problem["errors"].as_array().unwrap().iter();
    faults.map(|fault| (fault["pointer"].as_str().unwrap(), fault["code"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn every_bad_input_is_refused_by_its_code_and_stores_nothing() {
    let server = TestServer::start().await;
    let kept = make(&server.admin, "https://example.com/kept", json!({})).await;
    let before = server.admin.get(&kept.path).await.expect(200);
    let many = vec!["run.failed"; 101];
    let cases = [
        (json!({ "url": "ftp://example.com/" }), "/url", "webhook.url_scheme"),
        (json!({ "url": "file:///etc/passwd" }), "/url", "webhook.url_scheme"),
        (json!({ "url": "example.com/in" }), "/url", "webhook.url"),
        (json!({ "url": "" }), "/url", "webhook.url"),
        (json!({ "url": " https://example.com/" }), "/url", "webhook.url"),
        (json!({ "url": "https://example.com/\u{0}" }), "/url", "webhook.url"),
        (json!({ "url": "https://example.com/#part" }), "/url", "webhook.url"),
        (json!({ "url": format!("https://example.com/{}", "x".repeat(2_048)) }), "/url", "webhook.url"),
        (json!({ "url": "https://ada:pw@example.com/" }), "/url", "webhook.url_credentials"),
        (json!({ "url": "https://example.com:22/" }), "/url", "webhook.refused_port"),
        (json!({ "url": "http://10.0.0.1/" }), "/url", "webhook.refused_address"),
        (json!({ "url": "http://169.254.169.254/latest" }), "/url", "webhook.refused_address"),
        (json!({ "url": "http://[::1]/" }), "/url", "webhook.refused_address"),
        (json!({ "url": "http://0x0a000001/" }), "/url", "webhook.refused_address"),
        (json!({ "url": 7 }), "/url", "body.type"),
        (json!({ "url": null }), "/url", "body.type"),
        (json!({ "events": [] }), "/events", "webhook.events"),
        (json!({ "events": ["run.exploded"] }), "/events/0", "webhook.unknown_event"),
        (json!({ "events": ["nothing.*"] }), "/events/0", "webhook.unknown_event"),
        (json!({ "events": ["run.failed", "run_failed"] }), "/events/1", "webhook.duplicate_event"),
        (json!({ "events": many }), "/events", "webhook.events"),
        (json!({ "events": "run.failed" }), "/events", "body.type"),
        (json!({ "description": "x".repeat(501) }), "/description", "webhook.description"),
        (json!({ "filter": "data.runId ==" }), "/filter", "webhook.filter"),
        (json!({ "filter": "steps.a" }), "/filter", "webhook.filter"),
        (json!({ "transform": { "tool": "" } }), "/transform/tool", "webhook.transform"),
        (json!({ "transform": { "name": "jq" } }), "/transform", "body.required"),
        (json!({ "concurrency": 0 }), "/concurrency", "webhook.concurrency"),
        (json!({ "concurrency": -1 }), "/concurrency", "body.minimum"),
        (json!({ "rate": { "count": 0, "per": "second" } }), "/rate/count", "webhook.rate"),
        (json!({ "rate": { "count": 1, "per": "hour" } }), "/rate/per", "body.enum"),
        (json!({ "timeoutSeconds": 31 }), "/timeoutSeconds", "webhook.timeout"),
        (json!({ "retrySeconds": [0] }), "/retrySeconds/0", "webhook.retry"),
        (json!({ "retrySeconds": vec![1; 20] }), "/retrySeconds", "webhook.retry"),
        (json!({ "colour": "red" }), "/colour", "body.additional_properties"),
        (json!({ "id": "wh_0196f0c45e7a7c3f8d1b2a3c4d5e6f70" }), "/id", "body.additional_properties"),
    ];
    for (fields, pointer, code) in cases {
        let body = with(json!({ "url": "https://example.com/in", "events": ["*"] }), fields);
        for answer in [server.admin.post("/webhooks", &body).await, server.admin.put(&kept.path, &body).await] {
            assert_eq!(answer.status, 422, "{body}: {answer:?}");
            let found = faults(&answer.body);
            assert!(found.contains(&(pointer, code)), "{body}: {found:?}");
            let whole = if found.iter().all(|(_, code)| code.starts_with("body.")) {
                "body.invalid"
            } else {
                "webhook.invalid"
            };
            answer.problem(422, whole);
        }
    }
    for secret in ["", "whsec_", "whsec_c2hvcnQ=", "not base64 at all!", &format!("whsec_{}", "A".repeat(100))] {
        let body = json!({ "url": "https://example.com/in", "events": ["*"], "secret": secret });
        let problem = server.admin.post("/webhooks", &body).await.problem(422, "webhook.invalid");
        assert_eq!(faults(&problem), [("/secret", "webhook.secret")], "{secret}");
    }
    let body =
        json!({ "url": "https://example.com/in", "events": ["*"], "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" });
    let problem = server.admin.put(&kept.path, &body).await.problem(422, "webhook.invalid");
    assert_eq!(faults(&problem), [("/secret", "webhook.key")]);
    assert_eq!(server.admin.get(&kept.path).await.expect(200), before);
    assert_eq!(server.admin.get("/webhooks").await.expect(200)["webhooks"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn all_faults_of_a_webhook_come_at_once() {
    let server = TestServer::start().await;
    let body = json!({
        "url": "gopher://example.com", "events": ["run.failed", "x"], "secret": "short", "filter": "1 +",
        "concurrency": 65, "timeoutSeconds": 0, "retrySeconds": "often", "colour": "red",
    });
    let problem = server.admin.post("/webhooks", &body).await.problem(422, "webhook.invalid");
    let mut found: Vec<&str> = faults(&problem).into_iter().map(|(pointer, _)| pointer).collect();
    found.sort_unstable();
    assert_eq!(
        found,
        ["/colour", "/concurrency", "/events/1", "/filter", "/retrySeconds", "/secret", "/timeoutSeconds", "/url"]
    );
}

#[tokio::test]
async fn a_body_over_the_limit_or_none_at_all_is_refused() {
    let server = TestServer::start().await;
    let body = json!({ "url": "https://example.com/", "events": ["*"], "description": "x".repeat(1024 * 1024) });
    server.admin.post("/webhooks", &body).await.problem(413, "body.too_large");
    let request = server.admin.request(reqwest::Method::POST, "/webhooks");
    server.admin.send(request).await.problem(400, "body.malformed");
    let request = server.admin.request(reqwest::Method::POST, "/webhooks").body("{}");
    server.admin.send(request).await.problem(415, "body.unsupported_media_type");
    let problem = server.admin.post("/webhooks", &json!({})).await.problem(422, "webhook.invalid");
    assert_eq!(faults(&problem), [("/url", "webhook.url"), ("/events", "webhook.events")]);
    assert_eq!(server.admin.get("/webhooks").await.expect(200)["webhooks"], json!([]));
}

#[tokio::test]
async fn a_host_reaches_no_address_of_its_own_network_that_it_was_not_told_it_may() {
    let (database, sink) = tokio::join!(TestDatabase::create(), WebhookSink::start());
    let folder = tempfile::tempdir().unwrap();
    let allowed = [("ARMILLA_EGRESS_ALLOW", "10.1.0.0/16")];
    let server = ServerProcess::start_with(folder.path(), Some(&database.url()), &allowed).await;
    let client = server.client("admin").await;
    for inside in [
        &sink.url(),
        "http://localhost/",
        "http://a.localhost/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0.0.0.0/",
        "http://10.2.0.1/",
        "http://100.64.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/latest/meta-data/",
    ] {
        let body = json!({ "url": inside, "events": ["*"] });
        let problem = client.post("/webhooks", &body).await.problem(422, "webhook.invalid");
        assert_eq!(faults(&problem), [("/url", "webhook.refused_address")], "{inside}");
    }
    assert_eq!(client.get("/webhooks").await.expect(200)["webhooks"], json!([]));
    let made = make(&client, "http://10.1.2.3/", json!({})).await;
    client.put(&made.path, &json!({ "url": sink.url(), "events": ["*"] })).await.problem(422, "webhook.invalid");
    assert!(sink.received().is_empty());
}

#[tokio::test]
async fn a_query_parameter_that_an_operation_does_not_have_is_refused_by_its_name() {
    let (server, sink) = tokio::join!(TestServer::start(), WebhookSink::start());
    let made = make(&server.admin, &sink.url(), json!({ "events": ["workflow.*"] })).await;
    let replay = format!("{}/replay?dryRun=true", made.path);
    let body = json!({ "since": "2026-01-31T09:30:00Z" });
    let problem = server.admin.post(&replay, &body).await.problem(400, "query.invalid");
    assert_eq!(problem["detail"], "`dryRun` is no query parameter of this operation, which has none.");
    for (path, name) in [("/events?types=run.failed", "types"), ("/webhooks?limt=1", "limt"), ("/runs?%E2%82%AC", "€")]
    {
        let problem = server.admin.get(path).await.problem(400, "query.invalid");
        assert!(problem["detail"].as_str().unwrap().starts_with(&format!("`{name}` is no ")), "{problem:#}");
    }
    // Who may not ask is not told what there is.
    server.admin.without_token().get("/events?types=run.failed").await.problem(401, "auth.missing");
    assert!(sink.received().is_empty());
}

#[tokio::test]
async fn queries_that_cannot_be_meant_are_refused() {
    let server = TestServer::start().await;
    for query in [
        "status=ended",
        "status=failed,pending",
        "eventType=run.exploded",
        "eventType=*",
        "webhookId=x",
        "createdFrom=yesterday",
        "limit=101",
        "limit=0",
        "cursor=x",
    ] {
        server.admin.get(&format!("/webhooks/deliveries?{query}")).await.problem(400, "query.invalid");
    }
    server.admin.get("/webhooks?limit=101").await.problem(400, "query.invalid");
    server.admin.get("/webhooks/test-mode/log?cursor=x").await.problem(400, "query.invalid");
}
