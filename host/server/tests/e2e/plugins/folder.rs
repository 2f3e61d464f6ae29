//! The plugins folder: what is put there is loaded, what is broken is told, and nothing else changes.

use std::fs;
use std::path::Path;

use armilla_engine::PluginPolicy;
use armilla_testkit::db::TestDatabase;
use serde_json::{Value, json};

use super::{shipped, variant};
use crate::harness::{Client, TestServer, until};

async fn watching(folder: &Path) -> TestServer {
    let policy = PluginPolicy { folder: Some(folder.to_owned()), ..PluginPolicy::default() };
    TestServer::bare(&TestDatabase::create().await, 1, policy).await
}

/// As a careful author does it: whole, under its name at once.
fn put(folder: &Path, name: &str, bytes: &[u8]) {
    fs::write(folder.join("new"), bytes).unwrap();
    fs::rename(folder.join("new"), folder.join(name)).unwrap();
}

async fn active(client: &Client, plugin: &str, version: i64) -> Value {
    until(&format!("version {version} of {plugin} is active"), || async {
        let answer = client.get(&format!("/plugins/{plugin}")).await;
        (answer.status == 200 && answer.body["plugin"]["active"]["version"] == version).then_some(answer.body)
    })
    .await
}

#[tokio::test]
async fn a_file_that_is_there_at_start_or_put_there_later_is_loaded_and_becomes_active() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "text.wasm", &shipped("text"));
    let server = watching(folder.path()).await;
    let plugin = server.admin.get("/plugins/text").await.expect(200);
    assert_eq!(plugin["plugin"]["active"]["source"], "folder:text.wasm", "loaded before the server serves");

    put(folder.path(), "kv.wasm", &shipped("kv"));
    active(&server.admin, "kv", 1).await;
    put(folder.path(), "text.wasm", &variant(&shipped("text"), 2));
    active(&server.admin, "text", 2).await;
}

#[tokio::test]
async fn a_broken_file_is_told_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "text.wasm", &shipped("text"));
    let server = watching(folder.path()).await;
    put(folder.path(), "text.wasm", b"not a component");
    let fault = until("the fault is told", || async { server.engine.folder_faults().pop() }).await;
    assert_eq!(fault.file, "text.wasm");
    assert!(fault.detail.contains("not a WebAssembly component"), "{}", fault.detail);
    active(&server.admin, "text", 1).await;
    let events = server.admin.get("/events?type=plugin.failed").await.expect(200);
    assert_eq!(events["events"][0]["data"]["source"], "folder:text.wasm", "{events:#}");
    assert_eq!(events["events"].as_array().unwrap().len(), 1, "told once, not at every look");

    put(folder.path(), "text.wasm", &variant(&shipped("text"), 2));
    active(&server.admin, "text", 2).await;
    until("nothing is wrong any more", || async { server.engine.folder_faults().is_empty().then_some(()) }).await;
}

#[tokio::test]
async fn a_rollback_holds_although_the_newer_file_is_still_there() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "text.wasm", &shipped("text"));
    let database = TestDatabase::create().await;
    let policy = PluginPolicy { folder: Some(folder.path().to_owned()), ..PluginPolicy::default() };
    let server = TestServer::bare(&database, 1, policy.clone()).await;
    put(folder.path(), "text.wasm", &variant(&shipped("text"), 2));
    active(&server.admin, "text", 2).await;
    server.admin.post("/plugins/text/rollback", &json!({})).await.expect(200);
    // Another host looks into the same folder as it starts.
    let other = TestServer::bare(&database, 2, policy).await;
    active(&other.admin, "text", 1).await;
}
