//! Claims of deliveries, and what holds them within limits, on a real Postgres.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use armilla_domain::event::EventType;
use armilla_domain::id::{DeliveryId, EventId, WebhookId, WorkspaceId};
use armilla_domain::webhook::{Endpoint, Rate, RatePeriod, Webhook, WebhookText, admit, check};
use armilla_store::{
    AttemptResult, Claimed, ClaimedDelivery, EndpointChange, EventConsumer, Lane, Matches, NewAttempt, NewDelivery,
    NewEvent, NewWebhook, NewWebhookKey, Store,
};
use armilla_testkit::db::TestDatabase;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

const WORKSPACE: WorkspaceId = WorkspaceId::DEFAULT;
const LEASE: TimeDelta = TimeDelta::seconds(60);
/// More places than any test needs.
const ROOM: u32 = 64;

struct Bench {
    database: TestDatabase,
    store: Store,
}

impl Bench {
    async fn new() -> Self {
        let database = TestDatabase::create().await;
        Self { store: Store::new(database.connect_options()), database }
    }

    async fn webhook(&self, n: u8, change: impl FnOnce(&mut WebhookText)) -> WebhookId {
        let mut text = WebhookText {
            url: "https://example.com".to_owned(),
            events: vec!["*".to_owned()],
            ..WebhookText::default()
        };
        change(&mut text);
        let webhook: Webhook = check(&armilla_domain::template::Templates::new(), text).unwrap();
        let id = WebhookId::from_parts(1_700_000_000_000, [n; 10]);
        let key = NewWebhookKey { id: Uuid::from_u128(u128::from(n)), scheme: "v1", sealed: b"sealed", public: None };
        let new = NewWebhook { id, webhook: &webhook, enabled: true, key, by: "ada" };
        let horizon = self.store.event_horizon().await.unwrap();
        assert!(self.store.create_webhook(WORKSPACE, &new, horizon).await.unwrap());
        id
    }

    /// Deliveries that are due, numbered by their ids.
    async fn due(&self, webhook: WebhookId, count: u16) {
        let new = (0..count).map(|n| {
            let chance = [webhook.uuid().as_bytes()[15], (n >> 8) as u8, n as u8, 0, 0, 0, 0, 0, 0, 0];
            NewDelivery {
                id: DeliveryId::from_parts(u64::from(n), chance),
                webhook,
                event: EventId::from_parts(u64::from(n), chance),
                kind: "run.failed".to_owned(),
                run: None,
                body: b"{}".to_vec(),
            }
        });
        let new: Vec<NewDelivery> = new.collect();
        let made = self.store.add_missing_deliveries(WORKSPACE, webhook, &new).await.unwrap();
        assert_eq!(made, u64::from(count));
    }

    async fn claim(&self, host: u128, room: u32) -> Claimed {
        let decide = |lane: &Lane, now: DateTime<Utc>| {
            admit(&lane.webhook, &lane.endpoint, lane.arrival, &lane.waiting, room, (now, LEASE))
        };
        self.store.claim_deliveries(Uuid::from_u128(host), LEASE, 64, decide).await.unwrap()
    }

    /// Ends deliveries; says how many counted.
    async fn end(&self, host: u128, deliveries: &[ClaimedDelivery], retry_ms: Option<i64>) -> usize {
        let results: Vec<AttemptResult> = deliveries
            .iter()
            .map(|delivery| AttemptResult {
                delivery: delivery.id,
                webhook: delivery.webhook,
                claims: delivery.claims,
                status: if retry_ms.is_some() { "pending" } else { "succeeded" },
                retry_ms,
                attempt: NewAttempt { outcome: "succeeded", request_headers: "[]".to_owned(), ..NewAttempt::default() },
            })
            .collect();
        let judge = |_: &armilla_store::EndpointRow, _| EndpointChange {
            endpoint: Endpoint::default(),
            disabled: None,
            event: None,
        };
        self.store.record_attempts(Uuid::from_u128(host), &results, judge).await.unwrap()
    }

    async fn sql(&self, statement: &str) {
        let mut connection = PgConnection::connect_with(&self.database.connect_options()).await.unwrap();
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }
}

fn by_webhook(claimed: &Claimed) -> HashMap<WebhookId, usize> {
    let mut counts = HashMap::new();
    for delivery in &claimed.deliveries {
        *counts.entry(delivery.webhook).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn webhooks_take_turns_however_much_one_of_them_has_waiting() {
    let bench = Bench::new().await;
    let busy = bench.webhook(1, |text| text.concurrency = Some(64)).await;
    let quiet = bench.webhook(2, |_| {}).await;
    bench.due(busy, 500).await;
    bench.due(quiet, 1).await;
    let first = bench.claim(1, 2).await;
    assert_eq!(by_webhook(&first), HashMap::from([(busy, 2), (quiet, 1)]));
    assert!(first.lanes.iter().all(|lane| lane.keys.len() == 1), "with what they are signed with");
    assert_eq!(by_webhook(&bench.claim(1, 2).await), HashMap::from([(busy, 2)]), "the rest in its next turn");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_claim_at_once_never_take_more_together_than_a_webhook_bears() {
    let bench = Bench::new().await;
    let webhook = bench.webhook(1, |text| text.concurrency = Some(5)).await;
    bench.due(webhook, 100).await;
    let mut under_way = Vec::new();
    for round in 0..20 {
        let (one, other, third) = tokio::join!(bench.claim(1, ROOM), bench.claim(2, ROOM), bench.claim(3, ROOM));
        for (host, claimed) in [(1, one), (2, other), (3, third)] {
            under_way.extend(claimed.deliveries.into_iter().map(|delivery| (host, delivery)));
        }
        assert_eq!(under_way.len(), 5, "in round {round}");
        for (host, delivery) in under_way.drain(..) {
            assert_eq!(bench.end(host, &[delivery], None).await, 1);
        }
    }
    assert!(bench.claim(1, ROOM).await.deliveries.is_empty(), "all have had their turn");
}

#[tokio::test]
async fn of_an_ordered_webhook_the_oldest_alone_is_claimed_until_it_has_ended() {
    let bench = Bench::new().await;
    let webhook = bench.webhook(1, |text| text.ordered = Some(true)).await;
    bench.due(webhook, 3).await;
    let first = bench.claim(1, ROOM).await.deliveries;
    assert_eq!(first.len(), 1);
    assert!(bench.claim(2, ROOM).await.deliveries.is_empty());
    assert_eq!(bench.end(1, &first, Some(60_000)).await, 1);
    assert!(bench.claim(1, ROOM).await.deliveries.is_empty(), "the others wait for its next try");
    bench.sql("update webhook_deliveries set due_at = now() where attempts = 1").await;
    bench.sql("update webhooks set due_at = now()").await;
    for n in 0..3 {
        let next = bench.claim(2, ROOM).await.deliveries;
        assert_eq!(next.len(), 1, "the {n}th");
        assert_eq!(next[0].id == first[0].id, n == 0);
        bench.end(2, &next, None).await;
    }
    assert!(bench.claim(1, ROOM).await.deliveries.is_empty());
}

#[tokio::test]
async fn a_rate_is_one_for_all_hosts_and_says_when_to_look_again() {
    let bench = Bench::new().await;
    let webhook = bench.webhook(1, |text| text.rate = Some(Rate { count: 30, per: RatePeriod::Minute })).await;
    bench.due(webhook, 60).await;
    let (one, other) = (bench.claim(1, ROOM).await, bench.claim(2, ROOM).await);
    assert_eq!(one.deliveries.len() + other.deliveries.len(), 3, "a tenth at once");
    let wait = other.look_again.unwrap().num_milliseconds();
    assert!((1_000..2_200).contains(&wait), "{wait} ms until the next");
    // Half a minute passes.
    bench.sql("update webhooks set arrival = arrival - interval '30 seconds', due_at = now()").await;
    assert_eq!(bench.claim(1, ROOM).await.deliveries.len(), 3, "what was not used is not saved up");
}

#[tokio::test]
async fn a_claim_that_was_given_up_is_taken_by_another_host_and_its_holder_has_nothing_to_say() {
    let bench = Bench::new().await;
    let webhook = bench.webhook(1, |_| {}).await;
    bench.due(webhook, 1).await;
    let lost = bench.claim(1, ROOM).await.deliveries;
    assert!(bench.claim(2, ROOM).await.deliveries.is_empty());
    bench.sql("update webhook_deliveries set due_at = now()").await;
    bench.sql("update webhooks set due_at = now()").await;
    let taken = bench.claim(2, ROOM).await.deliveries;
    assert_eq!(taken[0].id, lost[0].id);
    assert!(!bench.store.keep_transformed(lost[0].id, Uuid::from_u128(1), lost[0].claims, b"late").await.unwrap());
    assert_eq!(bench.end(1, &lost, None).await, 0);
    assert_eq!(bench.end(2, &taken, None).await, 1);
}

#[tokio::test]
async fn a_host_lets_go_of_its_own_claims_and_of_no_others() {
    let bench = Bench::new().await;
    let webhook = bench.webhook(1, |_| {}).await;
    bench.due(webhook, 2).await;
    assert_eq!(bench.claim(1, 1).await.deliveries.len(), 1);
    assert_eq!(bench.claim(2, 1).await.deliveries.len(), 1);
    assert_eq!(bench.store.release_deliveries(Uuid::from_u128(1)).await.unwrap(), 1);
    assert_eq!(bench.claim(3, ROOM).await.deliveries.len(), 1);
}

#[tokio::test]
async fn what_a_pass_did_not_look_at_is_looked_at_by_the_next_and_nothing_twice() {
    let bench = Bench::new().await;
    let webhook = bench.webhook(1, |_| {}).await;
    for n in 0..5 {
        let id = EventId::from_parts(1_700_000_000_000 + n, [1; 10]);
        let event = NewEvent { id, kind: EventType::RunFailed, data: "{}".to_owned(), depth: 0 };
        bench.store.add_event(WORKSPACE, &event).await.unwrap();
    }
    let horizon = bench.store.event_horizon().await.unwrap();
    assert_eq!(bench.store.workspaces_to_follow(EventConsumer::Webhooks, horizon).await.unwrap(), [WORKSPACE]);
    let mut seen = Vec::new();
    loop {
        let decide = |events: &[armilla_store::EventRow], _: &[armilla_store::Listener]| {
            seen.push(events[0].id);
            // One at a time, however many there are.
            let delivery = NewDelivery {
                id: DeliveryId::from_parts(seen.len() as u64, [1; 10]),
                webhook,
                event: events[0].id,
                kind: events[0].kind.clone(),
                run: None,
                body: Vec::new(),
            };
            Matches { deliveries: vec![delivery], filter_faults: Vec::new(), until: events[0].position() }
        };
        let done = bench.store.fan_out(WORKSPACE, horizon, 3, decide).await.unwrap();
        if !done.more {
            break;
        }
        assert_eq!(done.made, 1);
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted());
    assert!(bench.store.workspaces_to_follow(EventConsumer::Webhooks, horizon).await.unwrap().is_empty());
}

#[tokio::test]
async fn idle_webhooks_and_ended_deliveries_are_not_looked_at() {
    let bench = Bench::new().await;
    let webhook = bench.webhook(1, |_| {}).await;
    bench
        .sql(
            "insert into webhooks (id, workspace_id, config, enabled, created_by)
            select gen_random_uuid(), workspace_id, config, true, 'ada' from webhooks, generate_series(1, 5000)",
        )
        .await;
    bench
        .sql(
            "insert into webhook_deliveries (id, workspace_id, webhook_id, event_id, event_type, body, status, ended_at)
            select gen_random_uuid(), workspace_id, id, gen_random_uuid(), 'run.failed', '', 'succeeded', now()
            from (select * from webhooks order by id limit 1) w, generate_series(1, 20000)",
        )
        .await;
    bench.sql("update webhooks set due_at = null").await;
    bench.due(webhook, 1).await;
    bench.sql("analyze").await;
    bench.sql("select pg_stat_reset()").await;
    assert_eq!(bench.claim(1, ROOM).await.deliveries.len(), 1);
    bench.store.close().await;
    // The statistics of a connection are complete when it has ended.
    let mut connection = PgConnection::connect_with(&bench.database.connect_options()).await.unwrap();
    let read: i64 = sqlx::query_scalar(
        "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint from pg_stat_user_tables where relname in ('webhooks', 'webhook_deliveries')",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert!((1..50).contains(&read), "{read} rows were read");
}
