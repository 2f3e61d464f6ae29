//! The receivers of a campaign's deliveries: they write each to a file before they answer, take their time, and fail at random; one never
//! answers.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};
use tokio::net::TcpListener;

use crate::cluster::Deployment;
use crate::history::Receipt;

/// The receiver of everything.
pub(crate) const ALL: &str = "/all";
/// The one that is told what happens to runs, in order.
pub(crate) const ORDERED: &str = "/ordered";
/// The one that never answers.
const HANGING: &str = "/hanging";
/// How often one that could answer well does not.
const FAILS_PERCENT: u32 = 2;
/// How often it takes long.
const SLOW_PERCENT: u32 = 1;
/// The longest of most answers, and of the slow ones.
const DELAY_MILLIS_MAX: (u64, u64) = (4, 500);
/// Between the tries of a delivery, in seconds: short, so that a campaign sees many.
const RETRY_SECONDS: [u32; 19] = [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 5, 5, 5, 5, 10, 10, 10, 10];

/// Receivers on a loopback port.
pub(crate) struct Receivers {
    url: String,
    log: PathBuf,
}

struct Shared {
    log: Mutex<File>,
    chance: Mutex<StdRng>,
}

impl Receivers {
    pub(crate) async fn start(folder: &Path, seed: u64) -> Self {
        let log = folder.join("receivers.log");
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let shared = Shared { log: Mutex::new(file), chance: Mutex::new(StdRng::seed_from_u64(seed)) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(receive).with_state(Arc::new(shared));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, log }
    }

    /// Has everything that happens to runs sent to them.
    pub(crate) async fn subscribe(&self, deployment: &Deployment) {
        let all = ["run.*", "step.*", "agent.*", "tool.*", "approval.*"];
        for (path, events, ordered) in [(ALL, &all[..], false), (ORDERED, &all[..1], true), (HANGING, &all[..1], false)]
        {
            let body = json!({
                "url": format!("{}{path}", self.url), "events": events, "ordered": ordered, "retrySeconds": RETRY_SECONDS,
                "timeoutSeconds": 5, "concurrency": 16,
            });
            deployment.ask(0, Method::POST, "/webhooks", Some(&body)).await.unwrap().expect(201);
        }
    }

    /// Every delivery so far, in the order in which they came.
    pub(crate) fn receipts(&self) -> Vec<Receipt> {
        let text = std::fs::read_to_string(&self.log).unwrap();
        let receipt = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| line[name].as_str().unwrap().to_owned();
            Receipt { path: text("path"), id: text("id") }
        };
        text.lines().map(receipt).collect()
    }

    /// How much of what happened is still to be sent to those that answer.
    async fn left(&self, connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
        let row = sqlx::query(
            "select (
                select count(*) from webhook_deliveries d join webhooks w on w.id = d.webhook_id
                where d.status = 'pending' and w.config not like '%/hanging%'
            ) + (
                select count(*) from event_cursors c where c.consumer = 'webhooks' and exists (
                    select from events e
                    where e.workspace_id = c.workspace_id and (e.transaction, e.id) > (c.transaction, c.event_id)
                )
            ) as left",
        );
        row.fetch_one(connection).await?.try_get("left")
    }

    /// Waits until nothing is, for as long as it becomes less: at most `patience` without that. One by one, each after the one before it and
    /// some of them again after a second, they take as long as there are many.
    pub(crate) async fn wait_for_all(&self, deployment: &Deployment, patience: Duration) {
        let (mut least, mut since) = (i64::MAX, tokio::time::Instant::now());
        while since.elapsed() < patience {
            let left = match PgConnection::connect_with(&deployment.options()).await {
                Ok(mut connection) => self.left(&mut connection).await.unwrap_or(i64::MAX),
                Err(_) => i64::MAX,
            };
            if left == 0 {
                return;
            }
            if left < least {
                (least, since) = (left, tokio::time::Instant::now());
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
}

async fn receive(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, _: Bytes) -> StatusCode {
    if uri.path() == HANGING {
        return std::future::pending().await;
    }
    let line = json!({ "path": uri.path(), "id": headers["webhook-id"].to_str().unwrap() });
    shared.log.lock().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    let (fails, delay) = {
        let mut chance = shared.chance.lock().unwrap();
        let slow = chance.random_range(0..100) < SLOW_PERCENT;
        let most = if slow { DELAY_MILLIS_MAX.1 } else { DELAY_MILLIS_MAX.0 };
        (chance.random_range(0..100) < FAILS_PERCENT, chance.random_range(0..most))
    };
    tokio::time::sleep(Duration::from_millis(delay)).await;
    if fails { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::NO_CONTENT }
}
