//! What the tests share: a database, hosts on it, events, and a way to move time where the database judges it.

use std::sync::Arc;
use std::time::Duration;

use armilla_domain::event::EventType;
use armilla_domain::id::{DeliveryId, EventId, GrowingIds, WebhookId, WorkspaceId};
use armilla_domain::sealing::SealingKey;
use armilla_domain::source::{Chance, Clock};
use armilla_domain::webhook::WebhookText;
use armilla_egress::{Egress, EgressPolicy};
use armilla_store::{NewEvent, Store};
use armilla_testkit::db::TestDatabase;
use armilla_testkit::sink::{Received, WebhookSink};
use armilla_webhooks::{DeliveryDetail, DeliveryFilter, DeliveryView, NewWebhook, Parts, TransformTools, Webhooks};
use chrono::{DateTime, SubsecRound, Utc};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

pub(crate) const WORKSPACE: WorkspaceId = WorkspaceId::DEFAULT;
/// How long a test waits for what has to come.
const WAIT_MAX: Duration = Duration::from_secs(20);

pub(crate) struct SystemTime;

impl Clock for SystemTime {
    #[expect(clippy::disallowed_methods, reason = "signatures are judged by the system's clock")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(3)
    }
}

pub(crate) struct SystemChance;

impl Chance for SystemChance {
    #[expect(clippy::disallowed_methods, reason = "ids must differ")]
    fn bytes(&self) -> [u8; 10] {
        rand::random()
    }
}

/// A database, and one host on it that sends.
pub(crate) struct Bench {
    pub(crate) database: TestDatabase,
    pub(crate) store: Store,
    pub(crate) webhooks: Webhooks,
    ids: GrowingIds,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::with_tools(None).await
    }

    pub(crate) async fn with_tools(tools: Option<TransformTools>) -> Self {
        let bench = Self::idle(tools).await;
        bench.webhooks.start().await.unwrap();
        bench
    }

    /// A host that sends nothing yet.
    pub(crate) async fn idle(tools: Option<TransformTools>) -> Self {
        let database = TestDatabase::create().await;
        let webhooks = host(&database, 1, tools);
        Self { store: Store::new(database.connect_options()), database, webhooks, ids: GrowingIds::default() }
    }

    /// A webhook that is told everything.
    pub(crate) async fn webhook(&self, sink: &WebhookSink) -> WebhookId {
        self.webhook_of(all_to(sink)).await
    }

    pub(crate) async fn webhook_of(&self, text: WebhookText) -> WebhookId {
        let new = NewWebhook { text, ..NewWebhook::default() };
        self.webhooks.create(WORKSPACE, new, "ada").await.unwrap().view.id
    }

    /// Something happens.
    pub(crate) async fn happens(&self, kind: EventType, data: &str) -> EventId {
        let id = self.ids.next(SystemTime.now().timestamp_millis().unsigned_abs(), SystemChance.bytes());
        self.store.add_event(WORKSPACE, &NewEvent { id, kind, data: data.to_owned(), depth: 0 }).await.unwrap();
        self.webhooks.poke();
        id
    }

    /// A run starts, `count` times in a row.
    pub(crate) async fn runs_start(&self, count: usize) {
        for n in 0..count {
            self.happens(EventType::RunStarted, &format!(r#"{{"n":{n}}}"#)).await;
        }
    }

    pub(crate) async fn sql(&self, statement: String) -> u64 {
        let mut connection = PgConnection::connect_with(&self.database.connect_options()).await.unwrap();
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap().rows_affected()
    }

    /// What waits for its next try is due now, and nothing is paused.
    pub(crate) async fn time_passes(&self) {
        self.sql(
            "update webhook_deliveries set due_at = now() where status = 'pending' and claimed_by is null".to_owned(),
        )
        .await;
        self.sql("update webhooks set due_at = now(), paused_until = null where enabled".to_owned()).await;
    }

    pub(crate) async fn deliveries(&self, webhook: WebhookId) -> Vec<DeliveryView> {
        let filter = DeliveryFilter { webhook: Some(webhook), ..DeliveryFilter::default() };
        self.webhooks.deliveries(WORKSPACE, &filter, None, 1_000).await.unwrap()
    }

    pub(crate) async fn detail(&self, id: DeliveryId) -> DeliveryDetail {
        self.webhooks.delivery(WORKSPACE, id).await.unwrap()
    }

    /// Waits until the deliveries of a webhook are so many, and all as wanted; newest first.
    pub(crate) async fn deliveries_that(
        &self,
        webhook: WebhookId,
        count: usize,
        wanted: impl Fn(&DeliveryView) -> bool,
    ) -> Vec<DeliveryView> {
        let mut seen = Vec::new();
        let found = tokio::time::timeout(WAIT_MAX, async {
            loop {
                seen = self.deliveries(webhook).await;
                if seen.len() == count && seen.iter().all(&wanted) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let came = found.await.is_ok();
        assert!(came, "waited for {count} deliveries, and there are {seen:#?}");
        seen
    }

    /// The same of one status.
    pub(crate) async fn ended(&self, webhook: WebhookId, count: usize, status: &str) -> Vec<DeliveryView> {
        self.deliveries_that(webhook, count, |delivery| delivery.status == status).await
    }

    /// The same, put off after so many attempts.
    pub(crate) async fn put_off(&self, webhook: WebhookId, count: usize, attempts: u32) -> Vec<DeliveryView> {
        let wanted = |delivery: &DeliveryView| {
            delivery.status == "pending" && !delivery.in_flight && delivery.attempts == attempts
        };
        self.deliveries_that(webhook, count, wanted).await
    }
}

/// One of several hosts on a database.
pub(crate) fn host(database: &TestDatabase, host: u128, tools: Option<TransformTools>) -> Webhooks {
    let policy = EgressPolicy { allowed: vec!["127.0.0.0/8".parse().unwrap()] };
    Webhooks::new(Parts {
        store: Store::new(database.connect_options()),
        egress: Egress::new(policy).unwrap(),
        sealing: SealingKey::new([9; 32]),
        clock: Arc::new(SystemTime),
        chance: Arc::new(SystemChance),
        host_id: Uuid::from_u128(host),
        tools,
    })
}

pub(crate) fn all_to(sink: &WebhookSink) -> WebhookText {
    WebhookText { url: sink.url(), events: vec!["*".to_owned()], ..WebhookText::default() }
}

/// Whether the reference library of Standard Webhooks believes a request.
pub(crate) fn is_believed(received: &Received, secret: &str) -> bool {
    let headers = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .map(|name| (name.parse().unwrap(), received.header(name).parse().unwrap()));
    let library = standardwebhooks::Webhook::new(secret).unwrap();
    library.verify(&received.body, &headers.into_iter().collect()).is_ok()
}
