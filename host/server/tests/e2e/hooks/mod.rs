//! Inbound hooks, called as their senders call them.

mod administration;
mod calls;
mod deliveries;
mod schemes;
mod secrecy;
mod walk;

use armilla_engine::{Clock, SystemClock};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::{Answer, Client, TestServer};

const SECRET: &str = "It's a Secret to Everybody";
const STANDARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A hook that was made.
struct Hook {
    id: String,
    path: String,
    token: String,
}

/// A workflow that answers what it was given.
async fn echo(client: &Client) -> String {
    let steps = json!([{ "type": "set", "id": "s", "vars": { "given": "input" } }]);
    client.create(json!({ "steps": steps, "output": { "given": "given" } })).await
}

/// Makes a hook of a workflow, with these fields too.
async fn make(client: &Client, workflow: &str, fields: Value) -> Hook {
    let mut body = json!({ "name": "a test's", "workflowId": workflow });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let made = client.post("/inbound-hooks", &body).await.expect(201);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Hook { id: text(&made["inboundHook"]["id"]), path: text(&made["path"]), token: text(&made["token"]) }
}

/// A server, a hook of a workflow that answers what it was given, verified by this scheme, and the workflow.
async fn verified(scheme: &str) -> (TestServer, Hook, String) {
    let server = TestServer::start().await;
    let secret = if scheme == "standardWebhooks" { STANDARD_SECRET } else { SECRET };
    server.admin.put("/secrets/sender", &json!({ "value": secret })).await.expect(200);
    let workflow = echo(&server.admin).await;
    let hook = make(&server.admin, &workflow, json!({ "verify": { "scheme": scheme, "secret": "sender" } })).await;
    (server, hook, workflow)
}

/// Calls a hook as a sender does, who has no token of this server.
async fn call(server: &TestServer, hook: &Hook, headers: &[(&str, String)], body: &str) -> Answer {
    let nobody = server.admin.without_token();
    let request = nobody.request(Method::POST, &hook.path).header("content-type", "application/json");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
    nobody.send(request.body(body.to_owned())).await
}

/// The calls of a hook as outcome and code, the last first.
async fn outcomes(client: &Client, hook: &Hook) -> Vec<(String, Option<String>)> {
    let calls = client.get(&format!("/inbound-hooks/{}/calls", hook.id)).await.expect(200)["calls"].take();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    calls.as_array().unwrap().iter().map(|call| (text(&call["outcome"]).unwrap(), text(&call["code"]))).collect()
}

/// How many runs a workflow has.
async fn runs(client: &Client, workflow: &str) -> usize {
    let runs = client.get(&format!("/workflows/{workflow}/runs")).await.expect(200);
    runs["runs"].as_array().unwrap().len()
}

fn now() -> i64 {
    SystemClock.now().timestamp()
}

fn mac(key: &[u8], message: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The headers of a sender that signs `body` at `at`; `delivery` is what it calls this delivery, where it calls it anything.
fn signed(scheme: &str, body: &str, at: i64, delivery: &str) -> Vec<(&'static str, String)> {
    let own = |message: String| hexadecimal(&mac(SECRET.as_bytes(), &message));
    match scheme {
        "standardWebhooks" => {
            let key = STANDARD.decode(STANDARD_SECRET.trim_start_matches("whsec_")).unwrap();
            let signature = STANDARD.encode(mac(&key, &format!("{delivery}.{at}.{body}")));
            vec![
                ("webhook-id", delivery.to_owned()),
                ("webhook-timestamp", at.to_string()),
                ("webhook-signature", format!("v1,{signature}")),
            ]
        }
        "github" => vec![
            ("x-hub-signature-256", format!("sha256={}", own(body.to_owned()))),
            ("x-github-delivery", delivery.to_owned()),
        ],
        "slack" => vec![
            ("x-slack-request-timestamp", at.to_string()),
            ("x-slack-signature", format!("v0={}", own(format!("v0:{at}:{body}")))),
        ],
        "stripe" => vec![("stripe-signature", format!("t={at},v1={}", own(format!("{at}.{body}"))))],
        "sharedSecret" => vec![("x-hook-secret", SECRET.to_owned())],
        other => panic!("no scheme is called {other}"),
    }
}
