//! Order and concurrency, as receivers see them.

use std::time::Duration;

use armilla_domain::webhook::{Rate, RatePeriod};
use armilla_testkit::sink::{Reply, WebhookSink};
use tokio::time::Instant;

use super::bench::{Bench, all_to, host};

#[tokio::test]
async fn an_ordered_webhook_gets_each_delivery_after_the_end_of_the_one_before() {
    let (bench, sink) = (Bench::start().await, WebhookSink::start().await);
    sink.replies(500);
    let mut text = all_to(&sink);
    text.ordered = Some(true);
    let webhook = bench.webhook_of(text).await;
    bench.runs_start(20).await;
    bench.deliveries_that(webhook, 20, |_| true).await;
    sink.wait_for(1).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(sink.received().len(), 1, "the others wait for the first one's next try");
    bench.time_passes().await;
    bench.ended(webhook, 20, "succeeded").await;
    let came = sink.received();
    let order: Vec<i64> = came.iter().map(|each| each.json()["data"]["n"].as_i64().unwrap()).collect();
    assert_eq!(order, std::iter::once(0).chain(0..20).collect::<Vec<i64>>());
    assert!(came.iter().all(|each| each.under_way == 1));
}

#[tokio::test]
async fn two_hosts_together_never_have_more_under_way_than_a_webhook_bears() {
    let (bench, sink) = (Bench::start().await, WebhookSink::start().await);
    let other = host(&bench.database, 2, None);
    other.start().await.unwrap();
    sink.replies_otherwise(Reply::from(200).after(Duration::from_millis(30)));
    let mut text = all_to(&sink);
    text.concurrency = Some(3);
    let webhook = bench.webhook_of(text).await;
    for _ in 0..40 {
        bench.runs_start(1).await;
        other.poke();
    }
    bench.ended(webhook, 40, "succeeded").await;
    let most = sink.received().iter().map(|each| each.under_way).max().unwrap();
    assert_eq!((sink.received().len(), most), (40, 3));
}

#[tokio::test]
async fn a_rate_spreads_what_comes_at_once() {
    let (bench, sink) = (Bench::start().await, WebhookSink::start().await);
    let mut text = all_to(&sink);
    text.rate = Some(Rate { count: 10, per: RatePeriod::Second });
    let webhook = bench.webhook_of(text).await;
    let begun = Instant::now();
    bench.runs_start(15).await;
    bench.ended(webhook, 15, "succeeded").await;
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1_350), "15 at 10 a second took {took:?}");
}
