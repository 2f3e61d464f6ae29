//! The way of one delivery.

use std::time::Duration;

use armilla_domain::event::EventType;
use armilla_testkit::sink::{Reply, WebhookSink};
use armilla_webhooks::NewWebhook;
use serde_json::json;

use super::bench::{Bench, WORKSPACE, all_to, is_believed};

#[tokio::test]
async fn an_event_arrives_signed_once_and_can_be_looked_at() {
    let (bench, sink) = (Bench::start().await, WebhookSink::start().await);
    sink.replies(Reply::from(200).header("x-seen", "yes").body("thanks"));
    let made = bench.webhooks.create(WORKSPACE, NewWebhook { text: all_to(&sink), ..NewWebhook::default() }, "ada");
    let made = made.await.unwrap();
    let event = bench.happens(EventType::RunFailed, r#"{"runId":"run_1"}"#).await;

    let came = sink.wait_for(1).await.remove(0);
    assert!(is_believed(&came, &made.secret));
    assert_eq!(came.header("webhook-id"), event.to_string());
    assert_eq!(came.header("content-type"), "application/json");
    assert!(came.header("user-agent").starts_with("armilla"));
    let body = came.json();
    assert_eq!((&body["type"], &body["event"]), (&json!("run.failed"), &json!("run.failed")));
    assert_eq!(body["data"], json!({ "runId": "run_1" }));
    assert!(body["timestamp"].as_str().unwrap().ends_with('Z'));
    assert!(!String::from_utf8(came.body.clone()).unwrap().contains("whsec_"));

    let delivery = bench.ended(made.view.id, 1, "succeeded").await.remove(0);
    assert_eq!((delivery.event, delivery.last_status, delivery.attempts), (event, Some(200), 1));
    let detail = bench.detail(delivery.id).await;
    assert_eq!(detail.body, came.body, "what is kept is what was sent");
    let attempt = &detail.attempts[0];
    let sent = |name: &str| attempt.headers.iter().find(|(known, _)| known == name).unwrap().1.clone();
    for header in ["webhook-id", "webhook-timestamp", "webhook-signature", "content-type", "user-agent"] {
        assert_eq!(sent(header), came.header(header), "{header}");
    }
    assert_eq!(
        (attempt.method, attempt.url.as_str(), attempt.signature_valid),
        ("POST", sink.url().as_str(), Some(true))
    );
    assert_eq!(attempt.answer_body.as_deref(), Some(b"thanks".as_slice()));
    assert!(attempt.answer_headers.as_ref().unwrap().contains(&("x-seen".to_owned(), "yes".to_owned())));
    assert!(attempt.peer.as_ref().unwrap().starts_with("127.0.0.1:"));
    assert!(attempt.waiting.is_some() && attempt.reading.is_some() && attempt.total > Duration::ZERO);
    let curl = detail.curl.as_deref().unwrap();
    assert!(curl.starts_with("curl ") && curl.contains(came.header("webhook-signature")));
}

#[tokio::test]
async fn every_try_has_the_same_id_and_bytes_and_a_signature_of_its_own_time() {
    let (bench, sink) = (Bench::start().await, WebhookSink::start().await);
    for status in [500, 302, 404] {
        sink.replies(Reply::from(status).header("location", "/elsewhere"));
    }
    let made = bench.webhooks.create(WORKSPACE, NewWebhook { text: all_to(&sink), ..NewWebhook::default() }, "ada");
    let made = made.await.unwrap();
    bench.happens(EventType::RunFailed, r#"{"runId":"run_1"}"#).await;
    for attempts in 1..=3 {
        bench.put_off(made.view.id, 1, attempts).await;
        bench.time_passes().await;
    }
    let delivery = bench.ended(made.view.id, 1, "succeeded").await.remove(0);
    let came = sink.received();
    assert_eq!(came.len(), 4);
    for each in &came {
        assert!(is_believed(each, &made.secret));
        assert_eq!((each.header("webhook-id"), &each.body), (came[0].header("webhook-id"), &came[0].body));
        assert_eq!(each.path, "/in", "no redirect is followed");
    }
    let attempts = bench.detail(delivery.id).await.attempts;
    let outcomes: Vec<_> =
        attempts.iter().map(|attempt| (attempt.number, attempt.outcome.as_str(), attempt.status)).collect();
    assert_eq!(
        outcomes,
        [(1, "failed", Some(500)), (2, "failed", Some(302)), (3, "failed", Some(404)), (4, "succeeded", Some(204))]
    );
    for (attempt, planned) in attempts.iter().zip([5, 300, 1_800]) {
        let wait = (attempt.retry_at.unwrap() - attempt.at).num_seconds();
        assert!((planned - 1..=planned * 11 / 10 + 3).contains(&wait), "{wait} s instead of {planned}");
        assert!(attempt.retry_reason.as_ref().unwrap().contains("plan"));
    }
    assert_eq!(attempts[1].error.as_ref().unwrap().0, "webhook.redirect");
    assert_eq!(bench.webhooks.webhook(WORKSPACE, made.view.id).await.unwrap().failures, 0, "all is well again");
}

#[tokio::test]
async fn a_delivery_is_given_up_after_its_last_try() {
    let (bench, sink) = (Bench::start().await, WebhookSink::start().await);
    sink.replies_otherwise(500);
    let mut text = all_to(&sink);
    text.retry_seconds = Some(vec![1_000]);
    let webhook = bench.webhook_of(text).await;
    bench.runs_start(1).await;
    bench.put_off(webhook, 1, 1).await;
    bench.time_passes().await;
    let delivery = bench.ended(webhook, 1, "failed").await.remove(0);
    assert_eq!((delivery.attempts, delivery.next_attempt_at, delivery.last_status), (2, None, Some(500)));
    assert_eq!(bench.detail(delivery.id).await.attempts[1].retry_at, None);
}

#[tokio::test]
async fn an_answer_that_asks_for_a_later_try_gets_it_and_the_whole_endpoint_rests() {
    let (bench, sink) = (Bench::start().await, WebhookSink::start().await);
    sink.replies(Reply::from(429).header("retry-after", "120"));
    let webhook = bench.webhook(&sink).await;
    bench.runs_start(1).await;
    let delivery = bench.put_off(webhook, 1, 1).await.remove(0);
    let attempt = bench.detail(delivery.id).await.attempts.remove(0);
    let wait = (attempt.retry_at.unwrap() - attempt.at).num_seconds();
    assert!((119..=123).contains(&wait), "{wait}");
    assert!(attempt.retry_reason.unwrap().contains("Retry-After"));
    let paused = bench.webhooks.webhook(WORKSPACE, webhook).await.unwrap().paused_until.unwrap();
    assert!((paused - attempt.at).num_seconds() >= 119);

    bench.runs_start(3).await;
    let all = bench.deliveries_that(webhook, 4, |_| true).await;
    assert!(all.iter().all(|each| each.next_attempt_at.unwrap() >= paused), "{paused}: {all:?}");
    // Longer than the host waits between two looks.
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(sink.received().len(), 1, "what came after waits too");
    bench.time_passes().await;
    bench.ended(webhook, 4, "succeeded").await;
}

#[tokio::test]
async fn of_a_long_answer_the_beginning_is_kept() {
    let (bench, sink) = (Bench::start().await, WebhookSink::start().await);
    sink.replies(Reply::from(200).body(vec![b'x'; 1024 * 1024]));
    let webhook = bench.webhook(&sink).await;
    bench.runs_start(1).await;
    let delivery = bench.ended(webhook, 1, "succeeded").await.remove(0);
    let attempt = bench.detail(delivery.id).await.attempts.remove(0);
    assert_eq!((attempt.answer_body.unwrap().len(), attempt.answer_cut), (4 * 1024, true));
}
