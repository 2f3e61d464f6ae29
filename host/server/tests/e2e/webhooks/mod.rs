//! Outgoing webhooks, by requests of those who look after them, and by what their receivers are sent.

mod again;
mod deliveries;
mod managing;
mod refusals;
mod secrecy;
mod test_mode;
mod walk;

use armilla_testkit::sink::{Received, WebhookSink};
use serde_json::{Value, json};

use crate::harness::{Client, TestServer, until, with};

/// A webhook that was made.
struct Made {
    id: String,
    path: String,
    secret: String,
}

/// Makes a webhook that is told all ends of runs, with these fields too.
async fn make(client: &Client, url: &str, fields: Value) -> Made {
    let body = with(json!({ "url": url, "events": ["run.succeeded", "run.failed"] }), fields);
    let made = client.post("/webhooks", &body).await.expect(201);
    let text = |field: &str| made[field].as_str().unwrap().to_owned();
    Made { path: format!("/webhooks/{}", text("id")), id: text("id"), secret: text("secret") }
}

/// A server, a receiver, and a webhook to it.
async fn sending(fields: Value) -> (TestServer, WebhookSink, Made) {
    let (server, sink) = tokio::join!(TestServer::start(), WebhookSink::start());
    let made = make(&server.admin, &sink.url(), fields).await;
    (server, sink, made)
}

/// A run ends well, and says `word`. Gives its id.
async fn happens(client: &Client, word: &str) -> String {
    let steps = json!([{ "type": "return", "id": "done", "output": { "said": format!("'{word}'") } }]);
    client.run_steps(steps).await["id"].as_str().unwrap().to_owned()
}

/// Deliveries that a list has, newest first.
async fn listed(client: &Client, path: &str) -> Vec<Value> {
    client.get(path).await.expect(200)["deliveries"].as_array().unwrap().clone()
}

/// Waits until the deliveries of a webhook are so many, and all of this status; newest first.
async fn ended(client: &Client, webhook: &Made, count: usize, status: &str) -> Vec<Value> {
    until(&format!("{count} deliveries of {} to be {status}", webhook.id), || async {
        let found = listed(client, &format!("{}/deliveries", webhook.path)).await;
        (found.len() == count && found.iter().all(|one| one["status"] == status)).then_some(found)
    })
    .await
}

/// All that is known of a delivery.
async fn inspected(client: &Client, delivery: &Value) -> Value {
    let path = format!("/webhooks/deliveries/{}", delivery["id"].as_str().unwrap());
    client.get(&path).await.expect(200)["delivery"].take()
}

/// Whether a request is taken as signed by this secret, by the reference library of Standard Webhooks and by Svix's, which agree.
fn is_believed(received: &Received, secret: &str) -> bool {
    let Received { body, headers, .. } = received;
    let reference = standardwebhooks::Webhook::new(secret).unwrap().verify(body, headers);
    let svix = svix::webhooks::Webhook::new(secret).unwrap().verify(body, headers);
    assert_eq!(reference.is_ok(), svix.is_ok(), "{reference:?} and {svix:?}");
    svix.is_ok()
}
