//! Sending again.

use armilla_domain::event::EventType;
use armilla_domain::source::Clock;
use armilla_testkit::sink::{Reply, WebhookSink};
use armilla_webhooks::{Recover, Resent, WebhookError};
use chrono::TimeDelta;

use super::bench::{Bench, SystemTime, WORKSPACE, all_to};

fn last_hour(dry_run: bool) -> Recover {
    Recover { since: SystemTime.now() - TimeDelta::hours(1), until: None, dry_run }
}

#[tokio::test]
async fn a_delivery_is_sent_again_with_its_id_and_bytes_however_it_ended() {
    let (bench, sink) = (Bench::start().await, WebhookSink::start().await);
    let webhook = bench.webhook(&sink).await;
    bench.runs_start(1).await;
    let delivery = bench.ended(webhook, 1, "succeeded").await.remove(0);
    sink.replies(500);
    bench.webhooks.resend(WORKSPACE, delivery.id, "ada").await.unwrap();
    bench.put_off(webhook, 1, 2).await;
    bench.webhooks.resend(WORKSPACE, delivery.id, "ada").await.unwrap();
    bench.deliveries_that(webhook, 1, |delivery| delivery.status == "succeeded" && delivery.attempts == 3).await;
    let came = sink.received();
    assert!(
        came.iter().all(|each| each.body == came[0].body && each.header("webhook-id") == came[0].header("webhook-id"))
    );
}

#[tokio::test]
async fn what_is_sent_again_goes_alone_while_its_webhook_is_paused() {
    let (bench, sink) = (Bench::start().await, WebhookSink::start().await);
    let busy = || Reply::from(429).header("retry-after", "120");
    sink.replies(busy());
    let webhook = bench.webhook(&sink).await;
    bench.runs_start(1).await;
    bench.put_off(webhook, 1, 1).await;
    bench.runs_start(5).await;
    let newest = bench.deliveries_that(webhook, 6, |_| true).await.remove(0);

    sink.replies(busy());
    bench.webhooks.resend(WORKSPACE, newest.id, "ada").await.unwrap();
    let came = sink.wait_for(2).await;
    assert_eq!(came[1].header("webhook-id"), newest.event.to_string());
    bench.deliveries_that(webhook, 6, |delivery| !delivery.in_flight).await;
    assert_eq!(sink.received().len(), 2, "the others wait as they were told");

    bench.webhooks.resend(WORKSPACE, newest.id, "ada").await.unwrap();
    // It arrives, and so the others go as well, but for the one that was told its time.
    sink.wait_for(3).await;
    bench.deliveries_that(webhook, 6, |delivery| delivery.status == "succeeded" || delivery.attempts == 1).await;
    bench.time_passes().await;
    bench.ended(webhook, 6, "succeeded").await;
}

#[tokio::test]
async fn all_that_failed_is_recovered_after_it_was_counted() {
    let (bench, sink) = (Bench::start().await, WebhookSink::start().await);
    sink.replies_otherwise(500);
    let mut text = all_to(&sink);
    text.retry_seconds = Some(Vec::new());
    let webhook = bench.webhook_of(text).await;
    bench.runs_start(7).await;
    bench.deliveries_that(webhook, 7, |_| true).await;
    for _ in 0..7 {
        bench.time_passes().await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    bench.time_passes().await;
    bench.ended(webhook, 7, "failed").await;
    sink.replies_otherwise(204);
    let seven = Resent { count: 7, complete: true };
    assert_eq!(bench.webhooks.recover(WORKSPACE, webhook, last_hour(true), "ada").await.unwrap(), seven);
    bench.ended(webhook, 7, "failed").await;
    assert_eq!(bench.webhooks.recover(WORKSPACE, webhook, last_hour(false), "ada").await.unwrap(), seven);
    bench.ended(webhook, 7, "succeeded").await;
    let nothing = Resent { count: 0, complete: true };
    assert_eq!(bench.webhooks.recover(WORKSPACE, webhook, last_hour(false), "ada").await.unwrap(), nothing);
}

#[tokio::test]
async fn events_that_were_never_delivered_are_replayed_once() {
    let (bench, sink) = (Bench::start().await, WebhookSink::start().await);
    bench.runs_start(3).await;
    let mut text = all_to(&sink);
    text.events = vec!["run.*".to_owned()];
    text.filter = Some("data.n != 1".to_owned());
    let webhook = bench.webhook_of(text).await;
    bench.happens(EventType::AgentFailed, "{}").await;
    bench.runs_start(1).await;
    sink.wait_for(1).await;
    let two = Resent { count: 2, complete: true };
    assert_eq!(bench.webhooks.replay_missing(WORKSPACE, webhook, last_hour(true), "ada").await.unwrap(), two);
    assert_eq!(bench.webhooks.replay_missing(WORKSPACE, webhook, last_hour(false), "ada").await.unwrap(), two);
    bench.ended(webhook, 3, "succeeded").await;
    let nothing = Resent { count: 0, complete: true };
    assert_eq!(bench.webhooks.replay_missing(WORKSPACE, webhook, last_hour(false), "ada").await.unwrap(), nothing);
    let mut seen: Vec<i64> = sink.received().iter().map(|each| each.json()["data"]["n"].as_i64().unwrap()).collect();
    seen.sort_unstable();
    assert_eq!(seen, [0, 0, 2]);
}

#[tokio::test]
async fn nothing_is_sent_again_to_a_webhook_that_is_disabled_and_nothing_from_before_what_is_kept() {
    let (bench, sink) = (Bench::start().await, WebhookSink::start().await);
    let webhook = bench.webhook(&sink).await;
    bench.runs_start(1).await;
    let delivery = bench.ended(webhook, 1, "succeeded").await.remove(0);
    let long_ago = Recover { since: SystemTime.now() - TimeDelta::days(31), ..last_hour(true) };
    let refused = bench.webhooks.recover(WORKSPACE, webhook, long_ago, "ada").await.unwrap_err();
    assert!(matches!(refused, WebhookError::Invalid(faults) if faults[0].pointer == "/since"));
    bench.webhooks.set_enabled(WORKSPACE, webhook, false, "ada").await.unwrap();
    for refused in [
        bench.webhooks.resend(WORKSPACE, delivery.id, "ada").await.unwrap_err(),
        bench.webhooks.recover(WORKSPACE, webhook, last_hour(false), "ada").await.unwrap_err(),
        bench.webhooks.replay_missing(WORKSPACE, webhook, last_hour(false), "ada").await.unwrap_err(),
    ] {
        assert!(matches!(refused, WebhookError::Disabled), "{refused}");
    }
}
