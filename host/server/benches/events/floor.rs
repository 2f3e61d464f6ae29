//! What nobody can do without: a request for each event, signed, to a receiver that answers at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use tokio::task::JoinSet;

use crate::sink::Sink;

/// Requests per second by one client that keeps nothing.
pub(crate) async fn per_second(requests: usize, in_flight: usize) -> f64 {
    let sink = Sink::start().await;
    let (url, client) = (Arc::new(sink.url("floor")), reqwest::Client::new());
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..in_flight {
        let (url, client, next) = (Arc::clone(&url), client.clone(), Arc::clone(&next));
        workers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= requests {
                    return;
                }
                let id = format!("evt_{number:032x}");
                let data = json!({ "workflowId": "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70", "name": "bench", "version": 1, "by": "bench" });
                let body = json!({ "type": "workflow.updated", "timestamp": "2026-01-01T00:00:00.000Z", "data": data }).to_string();
                let mut mac = Hmac::<Sha256>::new_from_slice(&[7; 32]).unwrap();
                mac.update(format!("{id}.1700000000.{body}").as_bytes());
                let signature = format!("{:x?}", mac.finalize().into_bytes());
                let request = client.post(&*url).header("webhook-id", id).header("webhook-timestamp", "1700000000");
                let answer = request.header("webhook-signature", signature).body(body).send().await.unwrap();
                assert!(answer.status().is_success());
            }
        });
    }
    workers.join_all().await;
    requests as f64 / began.elapsed().as_secs_f64()
}
