//! What a receiver is sent, and what the inspector shows of it.

use armilla_testkit::sink::{Reply, WebhookSink};
use serde_json::{Value, json};

use super::{ended, happens, inspected, is_believed, listed, make, sending};
use crate::harness::{TestServer, until};

#[tokio::test]
async fn the_events_of_a_run_arrive_signed_and_the_inspector_shows_the_exchange() {
    let (server, sink, made) = sending(json!({ "events": ["run_started", "run.succeeded"] })).await;
    sink.replies_otherwise(Reply::from(202).header("x-from", "sink").body("taken"));
    let run = happens(&server.admin, "told").await;
    let came = sink.wait_for(2).await;
    for received in &came {
        assert!(is_believed(received, &made.secret));
        assert!(!is_believed(received, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
        assert_eq!(received.header("content-type"), "application/json");
        let body = received.json();
        assert_eq!((&body["type"], &body["data"]["runId"]), (&body["event"], &json!(run)));
        assert!(body["timestamp"].as_str().unwrap().ends_with('Z'), "{body}");
    }
    let deliveries = ended(&server.admin, &made, 2, "succeeded").await;
    let mut types: Vec<&str> = deliveries.iter().map(|one| one["eventType"].as_str().unwrap()).collect();
    types.sort_unstable();
    assert_eq!(types, ["run.started", "run.succeeded"]);
    for delivery in &deliveries {
        assert_eq!((&delivery["webhookId"], &delivery["attemptCount"]), (&json!(made.id), &json!(1)));
        assert_eq!((&delivery["lastStatus"], &delivery["lastError"]), (&json!(202), &Value::Null));
        // The event is there to be read, under the id that was sent.
        let event = server.admin.get(&format!("/events/{}", delivery["eventId"].as_str().unwrap())).await.expect(200);
        assert_eq!(event["event"]["type"], delivery["eventType"]);
        let received = came.iter().find(|one| one.header("webhook-id") == delivery["eventId"]).unwrap();

        let detail = inspected(&server.admin, delivery).await;
        assert_eq!(detail["body"].as_str().unwrap().as_bytes(), received.body);
        let attempt = &detail["attempts"][0];
        assert_eq!((&attempt["request"]["method"], &attempt["request"]["url"]), (&json!("POST"), &json!(sink.url())));
        for header in attempt["request"]["headers"].as_array().unwrap() {
            assert_eq!(received.header(header["name"].as_str().unwrap()), header["value"], "{header}");
        }
        let signature = json!({ "name": "webhook-signature", "value": received.header("webhook-signature") });
        assert!(attempt["request"]["headers"].as_array().unwrap().contains(&signature));
        assert_eq!(attempt["signatureValid"], true);
        assert_eq!((&attempt["answer"]["status"], &attempt["answer"]["body"]), (&json!(202), &json!("taken")));
        assert!(sink.url().contains(attempt["address"].as_str().unwrap()), "{attempt:#}");
        assert!(attempt["phases"]["totalMs"].as_f64().unwrap() > 0.0, "{attempt:#}");
        assert_eq!(
            (&attempt["error"], &attempt["retryAt"], &attempt["retryReason"]),
            (&Value::Null, &Value::Null, &Value::Null)
        );
        let curl = detail["curl"].as_str().unwrap();
        assert!(curl.starts_with("curl ") && curl.contains(received.header("webhook-signature")), "{curl}");
    }
}

#[tokio::test]
async fn libraries_of_receivers_refuse_a_delivery_that_is_late_or_was_changed_on_its_way() {
    let (server, sink, made) = sending(json!({})).await;
    happens(&server.admin, "told").await;
    let came = sink.wait_for(1).await.remove(0);
    assert!(is_believed(&came, &made.secret));
    let with_header = |name: &'static str, value: &str| {
        let mut changed = came.clone();
        changed.headers.insert(name, value.parse().unwrap());
        changed
    };
    let mut other_body = came.clone();
    other_body.body.push(b' ');
    assert!(!is_believed(&other_body, &made.secret));
    assert!(!is_believed(&with_header("webhook-id", "evt_0196f0c45e7a7c3f8d1b2a3c4d5e6f70"), &made.secret));
    // Signed as it should be, but an hour ago, or for an hour from now.
    let signed_at: i64 = came.header("webhook-timestamp").parse().unwrap();
    let signer = svix::webhooks::Webhook::new(&made.secret).unwrap();
    for (at, is_taken) in [(signed_at, true), (signed_at - 3_600, false), (signed_at + 3_600, false)] {
        let signature = signer.sign(came.header("webhook-id"), at, &came.body).unwrap();
        let mut sent = with_header("webhook-timestamp", &at.to_string());
        sent.headers.insert("webhook-signature", signature.parse().unwrap());
        assert_eq!(is_believed(&sent, &made.secret), is_taken, "{at}");
    }
}

#[tokio::test]
async fn what_tells_of_a_run_belongs_to_the_trace_of_who_started_it() {
    let (server, sink, _) = sending(json!({})).await;
    let workflow = server.admin.create(json!({ "steps": [{ "type": "return", "id": "r" }] })).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = server.admin.request(reqwest::Method::POST, &format!("/workflows/{workflow}/run"));
    let request = request.header("traceparent", format!("00-{trace}-b7ad6b7169203331-01")).json(&json!({}));
    server.admin.send(request).await.expect(200);
    let sent = sink.wait_for(1).await[0].header("traceparent").to_owned();
    assert!(sent.starts_with(&format!("00-{trace}-")) && !sent.contains("b7ad6b7169203331"), "{sent}");
    server.admin.run(&workflow, json!({})).await;
    assert!(!sink.wait_for(2).await[1].headers.contains_key("traceparent"), "nobody sent one");
}

#[tokio::test]
async fn what_fails_says_why_and_when_it_is_tried_again() {
    let (server, sink, made) = sending(json!({ "retrySeconds": [600] })).await;
    sink.replies_otherwise(Reply::from(503).body("not now"));
    happens(&server.admin, "later").await;
    sink.wait_for(1).await;
    let delivery = until("the attempt to be written down", || async {
        let mut found = listed(&server.admin, &format!("{}/deliveries?status=pending", made.path)).await;
        let found = found.pop().filter(|one| one["attemptCount"] == 1);
        found.filter(|one| one["nextAttemptAt"].is_string())
    })
    .await;
    assert_eq!((&delivery["lastStatus"], &delivery["endedAt"]), (&json!(503), &Value::Null));
    let detail = inspected(&server.admin, &delivery).await;
    let attempt = &detail["attempts"][0];
    assert_eq!((&attempt["outcome"], &attempt["answer"]["body"]), (&json!("failed"), &json!("not now")));
    assert_eq!(attempt["retryAt"], delivery["nextAttemptAt"]);
    assert!(attempt["retryReason"].is_string(), "{attempt:#}");

    // With another URL it is tried at once, under the same id.
    let other = WebhookSink::start().await;
    let put = json!({ "url": other.url(), "events": ["run.succeeded"] });
    server.admin.put(&made.path, &put).await.expect(200);
    let came = other.wait_for(1).await;
    assert_eq!(came[0].header("webhook-id"), delivery["eventId"]);
    let ended = ended(&server.admin, &made, 1, "succeeded").await.remove(0);
    assert_eq!(ended["attemptCount"], 2);
    let detail = inspected(&server.admin, &ended).await;
    let urls: Vec<&Value> = detail["attempts"].as_array().unwrap().iter().map(|one| &one["request"]["url"]).collect();
    assert_eq!(urls, [&json!(sink.url()), &json!(other.url())]);
}

#[tokio::test]
async fn a_filter_passes_what_it_holds_for_and_says_where_it_failed() {
    let (server, sink, made) = sending(json!({ "filter": "data.output.said == 'this'" })).await;
    happens(&server.admin, "that").await;
    let run = happens(&server.admin, "this").await;
    let came = sink.wait_for(1).await;
    assert_eq!(came[0].json()["data"]["runId"], json!(run));
    ended(&server.admin, &made, 1, "succeeded").await;

    let put = json!({ "url": sink.url(), "events": ["run.succeeded"], "filter": "data.output.said + 1 > 3" });
    server.admin.put(&made.path, &put).await.expect(200);
    happens(&server.admin, "words").await;
    let webhook = until("the filter to fail", || async {
        let webhook = server.admin.get(&made.path).await.expect(200)["webhook"].take();
        webhook["filterFault"].is_object().then_some(webhook)
    })
    .await;
    assert!(webhook["filterFault"]["detail"].is_string() && webhook["filterFault"]["at"].is_string(), "{webhook:#}");
    assert_eq!(sink.received().len(), 1);
}

#[tokio::test]
async fn deliveries_of_all_webhooks_are_listed_by_webhook_status_type_and_time() {
    let (server, good) = tokio::join!(TestServer::start(), WebhookSink::start());
    let bad = WebhookSink::start().await;
    bad.replies_otherwise(500);
    let client = &server.admin;
    let taken = make(client, &good.url(), json!({ "events": ["run.started", "run.succeeded"] })).await;
    let refused = make(client, &bad.url(), json!({ "retrySeconds": [] })).await;
    happens(client, "once").await;
    ended(client, &taken, 2, "succeeded").await;
    ended(client, &refused, 1, "failed").await;
    let count = async |query: &str| listed(client, &format!("/webhooks/deliveries?{query}")).await.len();
    assert_eq!(count("").await, 3);
    assert_eq!(count("status=failed").await, 1);
    assert_eq!(count("status=captured").await, 0);
    assert_eq!(count("eventType=run_succeeded").await, 2);
    assert_eq!(count(&format!("webhookId={}&eventType=run.succeeded", taken.id)).await, 1);
    assert_eq!(count("createdFrom=2100-01-01T00:00:00Z").await, 0);
    assert_eq!(count("createdBefore=2100-01-01T00:00:00Z&createdFrom=2026-01-01T00:00:00Z").await, 3);
    assert_eq!(count("createdBefore=2026-01-01T00:00:00Z").await, 0);
    // A path says whose they are, whatever the query says.
    let path = format!("{}/deliveries?webhookId={}", taken.path, refused.id);
    assert_eq!(listed(client, &path).await.len(), 2);

    let (mut cursor, mut ids) = (String::new(), Vec::new());
    loop {
        let page = client.get(&format!("/webhooks/deliveries?limit=2{cursor}")).await.expect(200);
        ids.extend(page["deliveries"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert!(ids.len() == 3 && ids.is_sorted_by(|one, next| one > next), "{ids:?}");

    // What a webhook was sent outlives it.
    assert_eq!(client.delete(&refused.path).await.status, 204);
    assert_eq!(count(&format!("webhookId={}", refused.id)).await, 1);
    let left = listed(client, &format!("/webhooks/deliveries?webhookId={}", refused.id)).await.remove(0);
    let detail = inspected(client, &left).await;
    assert_eq!((&detail["lastStatus"], &detail["attempts"][0]["answer"]["status"]), (&json!(500), &json!(500)));
    let resend = format!("/webhooks/deliveries/{}/resend", left["id"].as_str().unwrap());
    client.post(&resend, &json!({})).await.problem(409, "webhook.disabled");
}
