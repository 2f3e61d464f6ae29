//! Deliveries, judged by the packages that receivers use in Python and Node. Nobody here wrote them.

use std::process::Stdio;

use armilla_testkit::peer::PeerKit;
use armilla_testkit::sink::{Received, WebhookSink};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::harness::{TestServer, root};

/// Longer than what both packages take for fresh.
const LATE_SECONDS: i64 = 600;

struct Case {
    name: &'static str,
    secret: String,
    id: String,
    timestamp: String,
    signature: String,
    body: Vec<u8>,
}

impl Case {
    fn of(name: &'static str, secret: &str, received: &Received) -> Self {
        Self {
            name,
            secret: secret.to_owned(),
            id: received.header("webhook-id").to_owned(),
            timestamp: received.header("webhook-timestamp").to_owned(),
            signature: received.header("webhook-signature").to_owned(),
            body: received.body.clone(),
        }
    }

    fn line(&self) -> String {
        let headers = json!({
            "webhook-id": self.id, "webhook-timestamp": self.timestamp, "webhook-signature": self.signature,
        });
        let body = STANDARD.encode(&self.body);
        json!({ "name": self.name, "secret": self.secret, "headers": headers, "body": body }).to_string()
    }
}

/// Deliveries of a server: as they came, and spoilt in each way that somebody on the way could spoil them.
async fn cases() -> Vec<Case> {
    let (server, sink) = tokio::join!(TestServer::start(), WebhookSink::start());
    let body = json!({ "url": sink.url(), "events": ["run.succeeded"] });
    let made = server.admin.post("/webhooks", &body).await.expect(201);
    let secret = made["secret"].as_str().unwrap().to_owned();
    let step = json!({ "type": "return", "id": "done", "output": { "said": "\"Grüße, \u{1f30a}\"" } });
    let run = server.admin.start_steps(json!([step])).await;
    server.admin.ended(&run).await;
    sink.wait_for(1).await;
    let rotated = format!("/webhooks/{}/rotate-secret", made["id"].as_str().unwrap());
    let rotated = server.admin.post(&rotated, &json!({})).await.expect(200);
    let newer = rotated["secret"].as_str().unwrap().to_owned();
    let run = server.admin.start_steps(json!([step])).await;
    server.admin.ended(&run).await;
    let received = sink.wait_for(2).await;
    assert_eq!(received[0].json()["data"]["output"]["said"], "Grüße, \u{1f30a}");
    let first = || Case::of("", &secret, &received[0]);
    let mut tampered = first().body;
    *tampered.iter_mut().find(|byte| **byte == b'1').unwrap() = b'2';
    // Signed as well as any other, so that nothing but its time is wrong.
    let late = (first().timestamp.parse::<i64>().unwrap() - LATE_SECONDS).to_string();
    let late_signature = signature(&secret, &first().id, &late, &first().body);
    let fresh_signature = signature(&secret, &first().id, &first().timestamp, &first().body);
    assert_eq!(fresh_signature, first().signature, "the test signs as the server does");
    vec![
        Case::of("as-it-came", &secret, &received[0]),
        Case::of("rotated-by-the-old", &secret, &received[1]),
        Case::of("rotated-by-the-new", &newer, &received[1]),
        Case { name: "tampered-body", body: tampered, ..first() },
        Case { name: "late", timestamp: late, signature: late_signature, ..first() },
        Case { name: "another-id", id: "evt_00000000000070008000000000000001".to_owned(), ..first() },
        Case::of("another-secret", &newer, &received[0]),
    ]
}

fn signature(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let key = STANDARD.decode(secret.trim_start_matches("whsec_")).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

async fn judge(mut command: Command, packages: usize) {
    let cases = cases().await;
    let mut judge = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines: String = cases.iter().map(|case| case.line() + "\n").collect();
    judge.stdin.take().unwrap().write_all(lines.as_bytes()).await.unwrap();
    let output = judge.wait_with_output().await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.lines().count(), cases.len() * packages, "{said}");
    let good = ["as-it-came", "rotated-by-the-old", "rotated-by-the-new"];
    for line in said.lines() {
        let [_, name, verdict] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{said}") };
        assert_eq!(verdict, if good.contains(&name) { "ok" } else { "refused" }, "{said}");
    }
}

#[tokio::test]
async fn the_python_packages_of_receivers_take_what_was_sent_and_nothing_else() {
    let Some(kit) = PeerKit::named("webhooks-python").await else { return };
    judge(kit.python(&root().join("host/server/tests/e2e/packages/verify.py")), 2).await;
}

#[tokio::test]
async fn the_node_packages_of_receivers_take_what_was_sent_and_nothing_else() {
    let Some(kit) = PeerKit::named("webhooks-node").await else { return };
    judge(kit.node(&root().join("host/server/tests/e2e/packages/verify.cjs"), "PACKAGES"), 2).await;
}
