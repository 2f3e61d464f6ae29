//! Clients that start runs through whichever host answers, and make sure of each by its idempotency key.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Deployment, HOSTS};
use crate::harness::until;
use crate::history::Accepted;
use crate::shapes::{Ids, SHAPES, Shape};

/// How many of them.
const CLIENTS: u64 = 4;
/// Between two runs of one client.
const PAUSE_MILLIS: std::ops::Range<u64> = 20..160;
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(100);

/// What was promised, and what the workflows are called.
#[derive(Default)]
pub(crate) struct Load {
    pub(crate) accepted: Mutex<Vec<(&'static str, i64, Accepted)>>,
    /// By name.
    pub(crate) workflows: Ids,
    next: AtomicI64,
}

impl Load {
    /// Makes the workflows and registers the agent, on hosts that are well.
    pub(crate) async fn prepare(deployment: &Deployment, endpoint: &str) -> Self {
        let mut load = Self::default();
        let post = async |path: &str, body| deployment.ask(0, Method::POST, path, Some(&body)).await.unwrap();
        post("/agents", json!({ "id": "fake", "protocol": "openai", "endpoint": endpoint })).await.expect(201);
        // One that never answers well has an endpoint of its own: after five failures in a row an endpoint is left alone.
        let broken = endpoint.replace("/v1", "/broken/v1");
        post("/agents", json!({ "id": "broken", "protocol": "openai", "endpoint": broken })).await.expect(201);
        let granted = json!({ "kv": ["chaos"] });
        deployment.ask(0, Method::PUT, "/plugins/kv/grants", Some(&granted)).await.unwrap().expect(200);
        for host in 0..HOSTS {
            // A grant is known to the other hosts a moment later.
            until("the grant is known", || async {
                let tool = deployment.ask(host, Method::GET, "/tools/kv.put", None).await?;
                (tool.body["tool"]["pure"] == false).then_some(())
            })
            .await;
        }
        for shape in SHAPES {
            let body = json!({ "name": shape.name, "definition": (shape.definition)(&load.workflows) });
            let made = post("/workflows", body).await.expect(201);
            load.workflows.insert(shape.name, made["workflow"]["id"].as_str().unwrap().to_owned());
        }
        load
    }

    /// Starts runs until it is told to stop; what was begun then is brought to its end.
    pub(crate) async fn drive(self: Arc<Self>, deployment: Arc<Deployment>, seed: u64, stop: CancellationToken) {
        let mut clients = tokio::task::JoinSet::new();
        for client in 0..CLIENTS {
            let (load, deployment, stop) = (Arc::clone(&self), Arc::clone(&deployment), stop.clone());
            clients.spawn(async move { load.client(&deployment, seed.wrapping_add(client), &stop).await });
        }
        clients.join_all().await;
    }

    async fn client(&self, deployment: &Deployment, seed: u64, stop: &CancellationToken) {
        let mut chance = StdRng::seed_from_u64(seed);
        let started: Vec<Shape> = SHAPES.into_iter().filter(|shape| shape.expected.is_some()).collect();
        while !stop.is_cancelled() {
            let shape = started[chance.random_range(0..started.len())];
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            self.start(deployment, shape, n, chance.random_range(0..HOSTS)).await;
            tokio::time::sleep(Duration::from_millis(chance.random_range(PAUSE_MILLIS))).await;
        }
    }

    /// Every other workflow is asked for without a key, once: nobody knows what became of a request that was not answered, but no
    /// more than one run may have.
    async fn start(&self, deployment: &Deployment, shape: Shape, n: i64, first: usize) {
        let (key, body) = (format!("{}-{n}", shape.name), json!({ "input": { "n": n } }));
        let path = format!("/workflows/{}/run?wait=0", self.workflows[shape.name]);
        let has_key = shape.has_key;
        for host in (first..).take(if has_key { usize::MAX } else { 1 }) {
            let asked = deployment.ask_with(host, Method::POST, &path, Some(&body), |request| match has_key {
                true => request.header("idempotency-key", &key),
                false => request,
            });
            match asked.await {
                Some(answer) if matches!(answer.status, 200..=299) => {
                    let run = answer.body["run"]["id"].as_str().unwrap().to_owned();
                    let expected = (shape.expected.unwrap())(n);
                    self.accepted.lock().unwrap().push((shape.name, n, Accepted { key, run, expected }));
                    return;
                }
                Some(answer) if answer.status < 500 && answer.status != 429 => panic!("{key}: {answer:?}"),
                _ => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    /// The runs of a shape that were promised so far, from the `from`th promise on, and how many promises there are.
    pub(crate) fn accepted_since(&self, from: usize) -> (Vec<(&'static str, i64, String)>, usize) {
        let accepted = self.accepted.lock().unwrap();
        let new = accepted[from..].iter().map(|(shape, n, accepted)| (*shape, *n, accepted.run.clone())).collect();
        (new, accepted.len())
    }
}
