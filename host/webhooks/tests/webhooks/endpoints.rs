//! Endpoints that fail, and what others notice of it.

use std::time::Duration;

use armilla_testkit::sink::{Reply, WebhookSink};
use armilla_webhooks::DeliveryFilter;
use tokio::time::Instant;

use super::bench::{Bench, WORKSPACE, all_to};

#[tokio::test]
async fn an_endpoint_that_is_gone_is_disabled_and_others_are_told_of_it() {
    let bench = Bench::start().await;
    let (gone, other) = (WebhookSink::start().await, WebhookSink::start().await);
    gone.replies_otherwise(410);
    let mut ordered = all_to(&gone);
    ordered.ordered = Some(true);
    let webhook = bench.webhook_of(ordered).await;
    let mut text = all_to(&other);
    text.events = vec!["webhook.*".to_owned()];
    bench.webhook_of(text).await;
    bench
        .sql(
            "update webhooks set paused_until = now() + interval '1 hour' where config like '%\"ordered\":true%'"
                .to_owned(),
        )
        .await;
    bench.runs_start(3).await;
    bench.deliveries_that(webhook, 3, |_| true).await;
    bench.time_passes().await;

    let told = other.wait_for(1).await.remove(0).json();
    assert_eq!(
        (told["type"].as_str(), told["data"]["webhookId"].as_str()),
        (Some("webhook.disabled"), Some(webhook.to_string().as_str()))
    );
    assert_eq!(told["data"]["reason"], "gone");
    assert!(gone.url().contains(told["data"]["host"].as_str().unwrap()) && told["data"]["failingSince"].is_string());
    let view = bench.webhooks.webhook(WORKSPACE, webhook).await.unwrap();
    assert_eq!((view.enabled, view.disabled_reason.as_deref()), (false, Some("gone")));
    let deliveries = bench.ended(webhook, 3, "failed").await;
    assert_eq!(gone.received().len(), 1, "what waited is given up");
    assert!(deliveries[0].reason.as_ref().unwrap().contains("410"), "{deliveries:?}");

    // What was given up can be had back.
    gone.replies_otherwise(204);
    bench.webhooks.set_enabled(WORKSPACE, webhook, true, "ada").await.unwrap();
    bench.webhooks.resend(WORKSPACE, deliveries[0].id, "ada").await.unwrap();
    gone.wait_for(2).await;
}

#[tokio::test]
async fn a_streak_of_failures_is_told_once_to_others_and_disables_in_the_end() {
    let bench = Bench::start().await;
    let (failing, other) = (WebhookSink::start().await, WebhookSink::start().await);
    failing.replies_otherwise(500);
    let webhook = bench.webhook(&failing).await;
    let mut text = all_to(&other);
    text.events = vec!["webhook.*".to_owned()];
    bench.webhook_of(text).await;
    bench.runs_start(1).await;
    bench.put_off(webhook, 1, 1).await;
    let since = |hours: u32| {
        format!("update webhooks set failing_since = now() - interval '{hours} hours' where failing_since is not null")
    };
    for (attempts, hours) in [(2, 25), (3, 50)] {
        bench.sql(since(hours)).await;
        bench.time_passes().await;
        bench.put_off(webhook, 1, attempts).await;
    }
    bench.sql(since(5 * 24)).await;
    bench.time_passes().await;
    let told: Vec<_> = other.wait_for(2).await.iter().map(|told| told.json()["type"].clone()).collect();
    assert_eq!(told, ["webhook.failing", "webhook.disabled"]);
    let delivery = bench.ended(webhook, 1, "failed").await.remove(0);
    assert_eq!(delivery.attempts, 4);
    let view = bench.webhooks.webhook(WORKSPACE, webhook).await.unwrap();
    assert_eq!((view.enabled, view.disabled_reason.as_deref()), (false, Some("failing")));
    assert!(bench.deliveries(webhook).await.iter().all(|d| d.event_type == "run.started"), "it was not told of itself");
}

#[tokio::test]
async fn endpoints_that_hang_drip_or_are_dead_keep_nobody_waiting() {
    let bench = Bench::start().await;
    let (hanging, dripping, well) =
        (WebhookSink::start().await, WebhookSink::start().await, WebhookSink::start().await);
    hanging.replies_otherwise(Reply::never());
    dripping.replies_otherwise(Reply::dripping());
    for sink in [&hanging, &dripping] {
        let mut text = all_to(sink);
        text.concurrency = Some(64);
        text.timeout_seconds = Some(2);
        bench.webhook_of(text).await;
    }
    let mut dead = all_to(&well);
    // Nobody listens there.
    dead.url = "http://127.0.0.1:9999/".to_owned();
    let dead = bench.webhook_of(dead).await;
    let good = bench.webhook(&well).await;
    let begun = Instant::now();
    bench.runs_start(60).await;
    well.wait_for(60).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    bench.ended(good, 60, "succeeded").await;
    let filter = DeliveryFilter { webhook: Some(dead), ..DeliveryFilter::default() };
    let of_dead = bench.webhooks.deliveries(WORKSPACE, &filter, None, 100).await.unwrap();
    assert!(
        of_dead.iter().any(|delivery| delivery.last_error.as_ref().is_some_and(|(code, _)| code == "webhook.connect"))
    );
}

#[tokio::test]
async fn an_answer_that_never_ends_is_a_failure_at_the_deadline() {
    let (bench, sink) = (Bench::start().await, WebhookSink::start().await);
    sink.replies_otherwise(Reply::dripping());
    let mut text = all_to(&sink);
    text.timeout_seconds = Some(1);
    let webhook = bench.webhook_of(text).await;
    bench.runs_start(1).await;
    let delivery = bench.put_off(webhook, 1, 1).await.remove(0);
    assert_eq!(delivery.last_error.unwrap().0, "webhook.timeout");
    assert_eq!(delivery.last_status, Some(200));
}
