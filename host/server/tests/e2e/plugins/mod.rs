//! Plugins at runtime: loaded, granted, swapped, refused.

mod events;
mod folder;
mod grants;
mod lifecycle;
mod refusals;
mod registry;
mod secrets;
mod sharing;
mod signatures;

use std::fs;

use armilla_engine::PluginPolicy;
use armilla_testkit::db::TestDatabase;
use reqwest::Method;
use serde_json::Value;

use crate::harness::{Answer, Client, TestServer, component};

/// A server with no plugin at all.
async fn bare() -> TestServer {
    TestServer::bare(&TestDatabase::create().await, 1, PluginPolicy::default()).await
}

/// The bytes of a shipped plugin.
fn shipped(name: &str) -> Vec<u8> {
    fs::read(component("plugins", name)).unwrap()
}

/// The same plugin as another component: with a section of its own at its end, which changes nothing but the digest.
fn variant(bytes: &[u8], mark: u8) -> Vec<u8> {
    let section = [0, 7, 5, b'v', b'a', b'r', b'i', b'a', mark];
    [bytes, &section].concat()
}

/// Sends a component.
async fn push(client: &Client, bytes: Vec<u8>) -> Answer {
    push_with(client, bytes, "").await
}

/// Sends a component and makes it the active version.
async fn push_active(client: &Client, bytes: Vec<u8>) -> Answer {
    push_with(client, bytes, "?activate=true").await
}

async fn push_with(client: &Client, bytes: Vec<u8>, query: &str) -> Answer {
    let request = client.request(Method::POST, &format!("/plugins{query}"));
    client.send(request.header("content-type", "application/wasm").body(bytes)).await
}

/// The digest of the component that answered a step.
async fn answered_by(client: &Client, run: &Value, step: &str) -> String {
    let steps = client.steps(run["id"].as_str().unwrap()).await;
    let step = steps.iter().find(|record| record["stepId"] == step).unwrap();
    step["answerer"]["digest"].as_str().unwrap().to_owned()
}
