//! Does what people do: decides approvals, sends signals, cancels, pauses and resumes, through whichever host answers.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Deployment, HOSTS};
use crate::history::SentSignal;
use crate::load::Load;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(150);
/// The longest rest before each thing that is done to a run.
const REST_MILLIS_MAX: u64 = 1_500;
/// Tries of one thing: more than the longest outage.
const TRIES_MAX: usize = 400;

/// What was done.
#[derive(Default)]
pub(crate) struct Driver {
    pub(crate) signals: Mutex<Vec<SentSignal>>,
    pub(crate) decided: Mutex<Vec<String>>,
    next_nonce: AtomicU64,
    /// Runs to which something is still to be done.
    attended: AtomicUsize,
    /// Promises that were looked at.
    seen: AtomicUsize,
}

impl Driver {
    /// Goes on until it is told to stop.
    pub(crate) async fn drive(
        self: Arc<Self>,
        deployment: Arc<Deployment>,
        load: Arc<Load>,
        seed: u64,
        stop: CancellationToken,
    ) {
        let mut chance = StdRng::seed_from_u64(seed);
        let mut tasks = JoinSet::new();
        while !stop.is_cancelled() {
            let (new, all) = load.accepted_since(self.seen.load(Ordering::SeqCst));
            self.attended.fetch_add(new.len(), Ordering::SeqCst);
            self.seen.store(all, Ordering::SeqCst);
            for (shape, n, run) in new {
                let (driver, deployment) = (Arc::clone(&self), Arc::clone(&deployment));
                let rests = [(); 2].map(|()| Duration::from_millis(chance.random_range(0..REST_MILLIS_MAX)));
                let host = chance.random_range(0..HOSTS);
                tasks.spawn(async move {
                    driver.attend(&deployment, shape, n, &run, rests, host).await;
                    driver.attended.fetch_sub(1, Ordering::SeqCst);
                });
            }
            self.approve(&deployment, chance.random_range(0..HOSTS)).await;
            while tasks.try_join_next().is_some() {}
            tokio::time::sleep(LOOK).await;
        }
        tasks.shutdown().await;
    }

    /// Whether everything was done that is to be done to the first `promised` runs.
    pub(crate) fn is_done(&self, promised: usize) -> bool {
        self.seen.load(Ordering::SeqCst) >= promised && self.attended.load(Ordering::SeqCst) == 0
    }

    async fn attend(&self, deployment: &Deployment, shape: &str, n: i64, run: &str, rests: [Duration; 2], host: usize) {
        match shape {
            "signal" => {
                for (part, rest) in [(1, rests[0]), (2, rests[1])] {
                    tokio::time::sleep(rest).await;
                    self.signal(deployment, run, part, n + part, host).await;
                }
            }
            "cancelled" => {
                tokio::time::sleep(rests[0]).await;
                tell(deployment, run, "cancel", host).await;
            }
            "paused" => {
                tokio::time::sleep(rests[0]).await;
                tell(deployment, run, "pause", host).await;
                tokio::time::sleep(rests[1]).await;
                tell(deployment, run, "resume", host).await;
            }
            "retried" => retry_until_it_ends_well(deployment, run, host).await,
            _ => {}
        }
    }

    async fn signal(&self, deployment: &Deployment, run: &str, part: i64, value: i64, first: usize) {
        for host in (first..).take(TRIES_MAX) {
            // Each try is a signal of its own: nobody could tell two tries apart.
            let nonce = self.next_nonce.fetch_add(1, Ordering::Relaxed);
            let body = json!({ "payload": { "part": part, "value": value, "nonce": nonce } });
            let answer = deployment.ask(host, Method::POST, &format!("/runs/{run}/signals/go"), Some(&body)).await;
            let status = answer.map(|answer| answer.status);
            let accepted = status == Some(202);
            self.signals.lock().unwrap().push(SentSignal { run: run.to_owned(), nonce, accepted });
            // It has ended: an earlier try whose answer was lost came through.
            if accepted || status == Some(409) {
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn approve(&self, deployment: &Deployment, host: usize) {
        let listed = deployment.ask(host, Method::GET, "/approvals?status=open", None).await;
        let open = listed.map(|answer| answer.body["approvals"].clone()).unwrap_or_default();
        for approval in open.as_array().into_iter().flatten() {
            let Some(id) = approval["id"].as_str() else { continue };
            let path = format!("/approvals/{id}/approve");
            // Two people at once, at two hosts: one of them is too late.
            let body = json!({ "note": "so be it" });
            let (one, other) = tokio::join!(
                deployment.ask(host, Method::POST, &path, Some(&body)),
                deployment.ask(host + 1, Method::POST, &path, Some(&body)),
            );
            let approved = [one, other].into_iter().flatten().filter(|answer| answer.status == 200);
            self.decided.lock().unwrap().extend(approved.map(|_| id.to_owned()));
        }
    }
}

/// Tells a run something until a host has taken it, or says that it does not apply.
pub(crate) async fn tell(deployment: &Deployment, run: &str, what: &str, first: usize) {
    for host in (first..).take(TRIES_MAX) {
        let empty: Value = json!({});
        let answer = deployment.ask(host, Method::POST, &format!("/runs/{run}/{what}"), Some(&empty)).await;
        if answer.is_some_and(|answer| matches!(answer.status, 200..=299 | 409)) {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn retry_until_it_ends_well(deployment: &Deployment, run: &str, first: usize) {
    for host in (first..).take(TRIES_MAX) {
        tokio::time::sleep(AGAIN).await;
        let answer = deployment.ask(host, Method::GET, &format!("/runs/{run}"), None).await;
        let status = answer.map(|answer| answer.body["run"]["status"].clone()).unwrap_or_default();
        match status.as_str() {
            Some("success") => return,
            Some("failed" | "cancelled") => {
                deployment.ask(host, Method::POST, &format!("/runs/{run}/retry"), Some(&json!({}))).await;
            }
            _ => {}
        }
    }
}
