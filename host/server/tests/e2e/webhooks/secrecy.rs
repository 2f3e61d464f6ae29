//! Who sees what: the secret is nobody's after the first answer, and webhooks are their workspace's.

use armilla_api::auth::Role;
use armilla_domain::id::WorkspaceId;
use armilla_testkit::db::TestDatabase;
use armilla_testkit::sink::WebhookSink;
use serde_json::{Value, json};

use super::{ended, happens, make, sending};
use crate::harness::ServerProcess;

#[tokio::test]
async fn a_secret_is_in_no_later_answer_no_row_and_no_line_of_the_log() {
    let (database, sink) = (TestDatabase::create().await, WebhookSink::start().await);
    let folder = tempfile::tempdir().unwrap();
    let process = ServerProcess::start_with(folder.path(), Some(&database.url()), &[("ARMILLA_LOG", "debug")]).await;
    let admin = process.client("admin").await;
    let made = make(&admin, &sink.url(), json!({})).await;
    let rotated = admin.post(&format!("{}/rotate-secret", made.path), &json!({})).await.expect(200);
    let given = "whsec_bm90IHRvIGJlIHNlZW4gYnkgYW55Ym9keSBlbHNl";
    let other = make(&admin, &sink.url(), json!({ "secret": given, "enabled": false })).await;
    assert_eq!(other.secret, given);
    let run = happens(&admin, "signed").await;
    let delivery = ended(&admin, &made, 1, "succeeded").await.remove(0);
    let tested = admin.post(&format!("{}/test", made.path), &json!({})).await.expect(200);
    let refused = json!({ "url": "http://10.0.0.1/", "events": ["x"], "secret": "whsec_c2hvcnQ=" });
    let refused = admin.post("/webhooks", &refused).await.problem(422, "webhook.invalid");
    assert!(!refused.to_string().contains("c2hvcnQ"), "{refused}");

    let mut told = vec![tested.to_string()];
    let inspected = format!("/webhooks/deliveries/{}", delivery["id"].as_str().unwrap());
    let deliveries = format!("{}/deliveries", made.path);
    for path in ["/webhooks", &made.path, &other.path, &deliveries, &inspected, "/webhooks/deliveries", "/events"] {
        told.push(admin.get(path).await.expect(200).to_string());
    }
    told.push(admin.get(&format!("/runs/{run}/steps")).await.expect(200).to_string());
    told.push(admin.post(&format!("{}/disable", made.path), &json!({})).await.expect(200).to_string());
    let put = json!({ "url": sink.url(), "events": ["*"] });
    told.push(admin.put(&made.path, &put).await.expect(200).to_string());
    let pool = sqlx::PgPool::connect(&database.url()).await.unwrap();
    let rows: Vec<String> = sqlx::query_scalar(
        "select w::text from webhooks w union all select k::text from webhook_keys k union all select d::text from webhook_deliveries d
        union all select a::text from webhook_attempts a union all select e::text from events e",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert!(rows.len() >= 8, "{rows:#?}");
    told.extend(rows);
    let log = process.log();
    assert!(log.contains("was made"), "{log}");
    told.push(log);
    for secret in [made.secret.as_str(), rotated["secret"].as_str().unwrap(), given] {
        let core = secret.trim_start_matches("whsec_");
        let shown = told.iter().find(|text| text.contains(core));
        assert!(shown.is_none(), "{shown:?}");
    }
}

#[tokio::test]
async fn viewers_read_webhooks_and_admins_change_them_and_see_what_was_sent() {
    let (server, _sink, made) = sending(json!({})).await;
    happens(&server.admin, "seen").await;
    let delivery = ended(&server.admin, &made, 1, "succeeded").await.remove(0);
    let inspected = format!("/webhooks/deliveries/{}", delivery["id"].as_str().unwrap());
    let body = json!({ "url": "https://example.com/", "events": ["*"] });
    let since = json!({ "since": "2026-01-01T00:00:00Z", "dryRun": true });
    let of = |command: &str| format!("{}/{command}", made.path);
    for role in [Role::Viewer, Role::Member] {
        let client = server.client(role);
        for path in ["/webhooks", &made.path, &of("deliveries"), "/webhooks/deliveries", "/webhooks/test-mode/log"] {
            client.get(path).await.expect(200);
        }
        client.get(&inspected).await.problem(403, "auth.role");
        client.post("/webhooks", &body).await.problem(403, "auth.role");
        client.put(&made.path, &body).await.problem(403, "auth.role");
        client.delete(&made.path).await.problem(403, "auth.role");
        for command in ["test", "enable", "disable", "rotate-secret", "recover", "replay"] {
            client.post(&of(command), &since).await.problem(403, "auth.role");
        }
        for path in [&format!("{inspected}/resend"), "/webhooks/test-mode/enable", "/webhooks/test-mode/disable"] {
            client.post(path, &json!({})).await.problem(403, "auth.role");
        }
    }
    server.client(Role::Owner).get(&inspected).await.expect(200);
    for path in ["/webhooks", &made.path, &inspected, "/webhooks/test-mode/log"] {
        server.admin.without_token().get(path).await.problem(401, "auth.missing");
    }
}

#[tokio::test]
async fn another_workspace_finds_nothing_and_is_told_nothing() {
    let (server, ours, made) = sending(json!({ "events": ["*"] })).await;
    let theirs = WebhookSink::start().await;
    let stranger = server.admin_of(WorkspaceId::from_parts(1, [1; 10]));
    let other = make(&stranger, &theirs.url(), json!({ "events": ["*"] })).await;
    happens(&server.admin, "ours").await;
    ours.wait_for(3).await;
    let listed = super::listed(&server.admin, &format!("{}/deliveries", made.path)).await;
    let inspected = format!("/webhooks/deliveries/{}", listed[0]["id"].as_str().unwrap());

    let body = json!({ "url": "https://example.com/", "events": ["*"] });
    stranger.get(&made.path).await.problem(404, "webhook.not_found");
    stranger.put(&made.path, &body).await.problem(404, "webhook.not_found");
    stranger.delete(&made.path).await.problem(404, "webhook.not_found");
    stranger.get(&format!("{}/deliveries", made.path)).await.problem(404, "webhook.not_found");
    let since = json!({ "since": "2026-01-01T00:00:00Z", "dryRun": true });
    for (command, body) in [
        ("test", json!({})),
        ("enable", json!({})),
        ("disable", json!({})),
        ("rotate-secret", json!({})),
        ("recover", since.clone()),
        ("replay", since),
    ] {
        stranger.post(&format!("{}/{command}", made.path), &body).await.problem(404, "webhook.not_found");
    }
    stranger.get(&inspected).await.problem(404, "delivery.not_found");
    stranger.post(&format!("{inspected}/resend"), &json!({})).await.problem(404, "delivery.not_found");
    for path in ["/webhooks/deliveries".to_owned(), format!("/webhooks/deliveries?webhookId={}", made.id)] {
        assert_eq!(super::listed(&stranger, &path).await, Vec::<Value>::new(), "{path}");
    }
    let ids = stranger.get("/webhooks").await.expect(200);
    assert_eq!((ids["webhooks"].as_array().unwrap().len(), &ids["webhooks"][0]["id"]), (1, &json!(other.id)));
    assert!(theirs.received().is_empty());
    // Its test mode is its own.
    stranger.post("/webhooks/test-mode/enable", &json!({})).await.expect(200);
    assert_eq!(server.admin.get("/webhooks/test-mode/log").await.expect(200)["testMode"], false);
    server.admin.get(&made.path).await.expect(200);
}
