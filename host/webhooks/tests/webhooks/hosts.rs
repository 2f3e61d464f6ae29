//! Hosts that stop, are killed, or work side by side.

use std::collections::HashSet;

use armilla_testkit::sink::{Reply, WebhookSink};
use uuid::Uuid;

use super::bench::{Bench, host};

/// As if this host had claimed what waits, and had been killed.
async fn claimed_by(bench: &Bench, killed: u128) {
    let killed = Uuid::from_u128(killed);
    let claimed = format!(
        "update webhook_deliveries set claimed_by = '{killed}', claims = claims + 1, due_at = now() + interval '1 minute'
        where status = 'pending'"
    );
    assert!(bench.sql(claimed).await > 0);
    bench.sql("update webhooks set due_at = now() + interval '1 minute'".to_owned()).await;
}

#[tokio::test]
async fn what_a_killed_host_had_claimed_it_sends_again_at_its_start() {
    let (bench, sink) = (Bench::idle(None).await, WebhookSink::start().await);
    let webhook = bench.webhook(&sink).await;
    bench.runs_start(2).await;
    // Fanned out by a host that is stopped before it can be sent anything.
    bench.sql("update webhooks set paused_until = now() + interval '1 hour'".to_owned()).await;
    let other = host(&bench.database, 2, None);
    other.start().await.unwrap();
    bench.deliveries_that(webhook, 2, |_| true).await;
    other.stop().await;
    bench.sql("update webhooks set paused_until = null".to_owned()).await;
    claimed_by(&bench, 1).await;
    bench.webhooks.start().await.unwrap();
    bench.ended(webhook, 2, "succeeded").await;
    assert_eq!(sink.received().len(), 2);
}

#[tokio::test]
async fn what_a_killed_host_had_claimed_others_send_when_its_claims_end() {
    let (bench, sink) = (Bench::start().await, WebhookSink::start().await);
    sink.replies(500);
    let webhook = bench.webhook(&sink).await;
    bench.runs_start(1).await;
    bench.put_off(webhook, 1, 1).await;
    claimed_by(&bench, 77).await;
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    assert_eq!(sink.received().len(), 1, "as long as the claim lasts nobody else sends it");
    bench.sql("update webhook_deliveries set due_at = now()".to_owned()).await;
    bench.sql("update webhooks set due_at = now()".to_owned()).await;
    bench.ended(webhook, 1, "succeeded").await;
}

#[tokio::test]
async fn what_comes_of_an_attempt_whose_claim_has_passed_on_counts_for_nothing() {
    let (bench, sink) = (Bench::start().await, WebhookSink::start().await);
    sink.replies(Reply::from(500).after(std::time::Duration::from_millis(600)));
    let webhook = bench.webhook(&sink).await;
    bench.runs_start(1).await;
    sink.wait_for(1).await;
    claimed_by(&bench, 77).await;
    tokio::time::sleep(std::time::Duration::from_millis(900)).await;
    let delivery = bench.deliveries(webhook).await.remove(0);
    assert_eq!((delivery.status.as_str(), delivery.attempts, delivery.in_flight), ("pending", 0, true));
}

#[tokio::test]
async fn hosts_side_by_side_make_and_send_each_delivery_once() {
    let (bench, sink) = (Bench::start().await, WebhookSink::start().await);
    let others = [2, 3].map(|n| host(&bench.database, n, None));
    for other in &others {
        other.start().await.unwrap();
    }
    let webhook = bench.webhook(&sink).await;
    for _ in 0..100 {
        bench.runs_start(1).await;
        others[0].poke();
        others[1].poke();
    }
    bench.ended(webhook, 100, "succeeded").await;
    let came = sink.received();
    let ids: HashSet<_> = came.iter().map(|each| each.header("webhook-id").to_owned()).collect();
    assert_eq!((ids.len(), came.len()), (100, 100));
}

#[tokio::test]
async fn a_host_that_stops_lets_what_is_under_way_end() {
    let (bench, sink) = (Bench::start().await, WebhookSink::start().await);
    sink.replies(Reply::from(200).after(std::time::Duration::from_millis(500)));
    let webhook = bench.webhook(&sink).await;
    bench.runs_start(1).await;
    sink.wait_for(1).await;
    bench.webhooks.stop().await;
    bench.ended(webhook, 1, "succeeded").await;
}
