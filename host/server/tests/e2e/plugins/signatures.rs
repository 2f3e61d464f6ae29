//! Plugins that must be signed, by keys that the operator trusts.

use std::sync::Arc;

use armilla_engine::PluginPolicy;
use armilla_registry::signature::{SecretKey, TrustedKeys};
use armilla_sandbox::digest_of;
use armilla_testkit::db::TestDatabase;
use reqwest::Method;
use serde_json::json;

use super::{bare, push, shipped};
use crate::harness::{Answer, Client, TestServer, tool_step, until};

fn key(name: &str) -> SecretKey {
    SecretKey::generate(name, [name.len() as u8; 32]).unwrap()
}

fn trusting(keys: &[SecretKey], require: bool) -> PluginPolicy {
    let entries: Vec<String> = keys.iter().map(SecretKey::trusted_entry).collect();
    let trusted_keys = Arc::new(TrustedKeys::parse(&entries).unwrap());
    PluginPolicy { trusted_keys, require_signature: require, ..PluginPolicy::default() }
}

async fn push_signed(client: &Client, bytes: Vec<u8>, signature: String) -> Answer {
    let request = client.request(Method::POST, "/plugins").header("x-armilla-signature", signature);
    client.send(request.header("content-type", "application/wasm").body(bytes)).await
}

#[tokio::test]
async fn a_plugin_must_carry_the_signature_of_a_trusted_key_and_the_refusal_says_which() {
    let (ours, strange) = (key("operations"), key("stranger"));
    let policy = trusting(&[key("operations")], true);
    let server = TestServer::bare(&TestDatabase::create().await, 1, policy).await;
    let text = shipped("text");
    let digest = digest_of(&text);

    let problem = push(&server.admin, text.clone()).await.problem(422, "plugin.unsigned");
    assert!(problem["detail"].as_str().unwrap().contains("operations"), "{problem:#}");
    let answer = push_signed(&server.admin, text.clone(), strange.sign(&digest).to_string()).await;
    let problem = answer.problem(422, "plugin.untrusted_key");
    assert!(problem["detail"].as_str().unwrap().contains("stranger"), "{problem:#}");
    let answer = push_signed(&server.admin, text.clone(), ours.sign(&digest_of(b"other")).to_string()).await;
    answer.problem(422, "plugin.bad_signature");
    push_signed(&server.admin, text.clone(), "nonsense".to_owned()).await.problem(422, "plugin.bad_signature");
    server.admin.get("/plugins/text").await.problem(404, "plugin.not_found");

    let loaded = push_signed(&server.admin, text, ours.sign(&digest).to_string()).await.expect(201);
    assert_eq!(loaded["version"]["signedBy"], "operations");
}

#[tokio::test]
async fn a_plugin_that_came_unsigned_is_not_called_where_signatures_are_required_by_now() {
    let database = TestDatabase::create().await;
    let before = TestServer::bare(&database, 1, trusting(&[key("operations")], false)).await;
    push(&before.admin, shipped("text")).await.expect(201);
    let server = TestServer::bare(&database, 2, trusting(&[key("operations")], true)).await;
    let step = json!([tool_step("s", "text.slugify", json!({ "text": "A" }))]);
    let run = server.admin.run_steps(step.clone()).await;
    assert_eq!(run["error"]["code"], "tool.untrusted", "{run:#}");
    server.admin.post("/plugins/text/versions/1/activate", &json!({})).await.problem(409, "plugin.unloadable");
    // The same component with a signature is the same version, and signed from now on.
    let signature = key("operations").sign(&digest_of(&shipped("text"))).to_string();
    push_signed(&server.admin, shipped("text"), signature).await.expect(200);
    let run = server.admin.run_steps(step).await;
    assert_eq!(run["status"], "success", "{run:#}");
}

#[tokio::test]
async fn a_signature_that_nobody_asked_for_must_be_good_nevertheless() {
    let server = bare().await;
    let text = shipped("text");
    let signature = key("stranger").sign(&digest_of(&text)).to_string();
    push_signed(&server.admin, text.clone(), signature).await.problem(422, "plugin.untrusted_key");
    assert_eq!(push(&server.admin, text).await.expect(201)["version"]["signedBy"], json!(null));
}

#[tokio::test]
async fn a_file_of_the_folder_is_signed_by_the_file_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let policy = PluginPolicy { folder: Some(folder.path().to_owned()), ..trusting(&[key("operations")], true) };
    let signed = key("operations").sign(&digest_of(&shipped("text"))).to_string();
    std::fs::write(folder.path().join("text.wasm.sig"), format!("{signed}\n")).unwrap();
    std::fs::write(folder.path().join("text.wasm"), shipped("text")).unwrap();
    std::fs::write(folder.path().join("kv.wasm"), shipped("kv")).unwrap();
    let server = TestServer::bare(&TestDatabase::create().await, 1, policy).await;
    let plugin = server.admin.get("/plugins/text").await.expect(200);
    assert_eq!(plugin["plugin"]["active"]["signedBy"], "operations");
    let fault = until("the unsigned one is told", || async { server.engine.folder_faults().pop() }).await;
    assert_eq!(fault.file, "kv.wasm");
    server.admin.get("/plugins/kv").await.problem(404, "plugin.not_found");
}
