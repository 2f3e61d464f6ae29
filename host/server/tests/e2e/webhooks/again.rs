//! What failed, or was never sent, is sent by somebody's wish, and counted first.

use armilla_testkit::sink::WebhookSink;
use serde_json::{Value, json};

use super::{ended, happens, make, sending};

/// Before anything that the tests do, and not too long ago.
fn an_hour_ago() -> String {
    use armilla_engine::{Clock, SystemClock};
    (SystemClock.now() - chrono::TimeDelta::hours(1)).to_rfc3339()
}

#[tokio::test]
async fn what_failed_in_some_time_is_counted_and_then_sent_again() {
    let (server, sink, made) = sending(json!({ "retrySeconds": [] })).await;
    let client = &server.admin;
    sink.replies(500);
    // A test is meant for its moment alone.
    client.post(&format!("{}/test", made.path), &json!({})).await.expect(200);
    sink.replies(500);
    sink.replies(500);
    for word in ["one", "two", "three"] {
        happens(client, word).await;
    }
    sink.wait_for(4).await;
    let path = format!("{}/recover", made.path);
    let wanted = |dry_run: bool| json!({ "since": an_hour_ago(), "dryRun": dry_run });
    crate::harness::until("two failures to be written down", || async {
        let counted = client.post(&path, &wanted(true)).await.expect(200);
        (counted == json!({ "deliveries": 2, "complete": true, "dryRun": true })).then_some(())
    })
    .await;
    assert_eq!(sink.received().len(), 4, "to count sends nothing");
    let done = client.post(&path, &wanted(false)).await.expect(200);
    assert_eq!(done, json!({ "deliveries": 2, "complete": true, "dryRun": false }));
    let came = sink.wait_for(6).await;
    let first: Vec<&str> = came[1..3].iter().map(|one| one.header("webhook-id")).collect();
    assert!(came[4..].iter().all(|one| first.contains(&one.header("webhook-id"))));
    assert_eq!(client.post(&path, &wanted(false)).await.expect(200)["deliveries"], 0);
    let left = super::listed(client, &format!("{}/deliveries?status=failed", made.path)).await;
    assert_eq!((left.len(), &left[0]["eventType"]), (1, &json!("webhook.test")));
}

#[tokio::test]
async fn what_a_webhook_was_never_told_is_counted_and_then_sent_once() {
    let (server, sink, made) = sending(json!({ "enabled": false })).await;
    let client = &server.admin;
    // Who is told it shows that it was looked at.
    let witness = WebhookSink::start().await;
    make(client, &witness.url(), json!({})).await;
    let run = happens(client, "missed").await;
    witness.wait_for(1).await;
    let path = format!("{}/replay", made.path);
    let wanted = |dry_run: bool| json!({ "since": an_hour_ago(), "dryRun": dry_run });
    assert_eq!(client.post(&path, &wanted(true)).await.expect(200)["deliveries"], 1);
    client.post(&path, &wanted(false)).await.problem(409, "webhook.disabled");
    client.post(&format!("{}/recover", made.path), &wanted(false)).await.problem(409, "webhook.disabled");
    client.post(&format!("{}/enable", made.path), &json!({})).await.expect(200);
    assert_eq!(
        client.post(&path, &wanted(false)).await.expect(200),
        json!({ "deliveries": 1, "complete": true, "dryRun": false })
    );
    let came = sink.wait_for(1).await;
    assert_eq!(came[0].json()["data"]["runId"], json!(run));
    ended(client, &made, 1, "succeeded").await;
    assert_eq!(
        client.post(&path, &wanted(false)).await.expect(200)["deliveries"],
        0,
        "what is a delivery is not missed"
    );
    assert_eq!(sink.received().len(), 1);
}

#[tokio::test]
async fn a_time_that_cannot_be_meant_is_refused() {
    let (server, _sink, made) = sending(json!({})).await;
    for command in ["recover", "replay"] {
        let path = format!("{}/{command}", made.path);
        let refused = async |body: Value, code: &str| server.admin.post(&path, &body).await.problem(422, code);
        let problem = refused(json!({ "since": "2020-01-01T00:00:00Z" }), "webhook.invalid").await;
        assert_eq!(
            (&problem["errors"][0]["pointer"], &problem["errors"][0]["code"]),
            (&json!("/since"), &json!("webhook.since"))
        );
        refused(json!({ "since": "2100-01-01T00:00:00Z" }), "webhook.invalid").await;
        refused(json!({ "since": an_hour_ago(), "until": "2020-01-01T00:00:00Z" }), "webhook.invalid").await;
        refused(json!({}), "body.invalid").await;
        refused(json!({ "since": "yesterday" }), "body.invalid").await;
        refused(json!({ "since": an_hour_ago(), "all": true }), "body.invalid").await;
    }
}
