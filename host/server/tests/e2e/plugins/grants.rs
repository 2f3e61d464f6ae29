//! Deny by default, and what a grant opens from the next call on.

use armilla_testkit::agent::{Answer, ScriptedAgent};
use serde_json::{Value, json};

use super::{bare, push, shipped};
use crate::harness::{Client, TestServer, tool_step};

/// A server with the plugin `http`, and somebody to call.
async fn with_http() -> (TestServer, ScriptedAgent) {
    let (server, peer) = tokio::join!(bare(), ScriptedAgent::start());
    push(&server.admin, shipped("http")).await.expect(201);
    (server, peer)
}

fn port_of(peer: &ScriptedAgent) -> u16 {
    peer.endpoint().split(':').nth(2).unwrap().split('/').next().unwrap().parse().unwrap()
}

/// What opens the way to the peer.
fn way_to(peer: &ScriptedAgent) -> Value {
    json!({ "host": "127.0.0.1", "schemes": ["http"], "ports": [port_of(peer)], "methods": ["GET", "POST"] })
}

async fn request(client: &Client, params: Value) -> Value {
    client.run_steps(json!([tool_step("r", "http.request", params)])).await
}

#[tokio::test]
async fn a_plugin_without_a_grant_reaches_nobody_and_the_step_names_what_is_missing() {
    let (server, peer) = with_http().await;
    let run = request(&server.admin, json!({ "url": peer.endpoint() })).await;
    assert_eq!(run["error"]["code"], "tool.capability_denied", "{run:#}");
    let missing = format!("http:GET http://127.0.0.1:{}", port_of(&peer));
    assert!(run["error"]["message"].as_str().unwrap().contains(&missing), "{run:#}");
    assert_eq!(run["error"]["attempts"], 1);
    assert!(peer.calls().is_empty());

    let events = server.admin.get("/events?type=plugin.capability_denied").await.expect(200);
    let event = &events["events"][0];
    assert_eq!(event["data"]["capabilities"], json!([missing]), "{events:#}");
    assert_eq!((&event["data"]["plugin"], &event["data"]["runId"]), (&json!("http"), &run["id"]));
}

#[tokio::test]
async fn a_grant_opens_exactly_what_it_names_from_the_next_call_on_and_is_taken_back_as_quickly() {
    let (server, peer) = with_http().await;
    peer.answers_otherwise(Answer::raw(200, "application/json", r#"{"hello":"world"}"#));
    let granted = server.admin.put("/plugins/http/grants", &json!({ "http": [way_to(&peer)] })).await.expect(200);
    assert_eq!(granted["needs"]["httpHosts"], json!(["*"]), "wishes are shown beside what is granted");
    assert!(granted["revision"].is_i64());
    let run = request(&server.admin, json!({ "url": peer.endpoint() })).await;
    assert_eq!(run["vars"]["r"]["json"], json!({ "hello": "world" }), "{run:#}");
    let tool = server.admin.get("/tools/http.request").await.expect(200);
    assert_eq!(tool["tool"]["pure"], false);

    for (params, missing) in [
        (json!({ "url": peer.endpoint(), "method": "DELETE" }), "http:DELETE"),
        (json!({ "url": "http://127.0.0.1:1/" }), "http:GET http://127.0.0.1:1"),
        (json!({ "url": format!("http://localhost:{}/", port_of(&peer)) }), "http:GET http://localhost"),
    ] {
        let run = request(&server.admin, params).await;
        assert_eq!(run["error"]["code"], "tool.capability_denied", "{run:#}");
        assert!(run["error"]["message"].as_str().unwrap().contains(missing), "{run:#}");
    }
    server.admin.put("/plugins/http/grants", &json!({})).await.expect(200);
    let run = request(&server.admin, json!({ "url": peer.endpoint() })).await;
    assert_eq!(run["error"]["code"], "tool.capability_denied", "{run:#}");
    assert_eq!(peer.calls().len(), 1);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_leads_nowhere() {
    let (server, peer) = with_http().await;
    let elsewhere = ScriptedAgent::start().await;
    peer.answers_otherwise(Answer::raw(302, "text/plain", "").header("location", elsewhere.endpoint().leak()));
    server.admin.put("/plugins/http/grants", &json!({ "http": [way_to(&peer)] })).await.expect(200);
    let run = request(&server.admin, json!({ "url": peer.endpoint() })).await;
    assert_eq!(run["vars"]["r"]["status"], 302, "{run:#}");
    assert!(elsewhere.calls().is_empty());
}

#[tokio::test]
async fn every_revision_of_a_grant_says_who_granted_what_and_when() {
    let server = bare().await;
    push(&server.admin, shipped("kv")).await.expect(201);
    let path = "/plugins/kv/grants";
    assert_eq!(server.admin.get(path).await.expect(200)["revision"], json!(null));
    server.admin.put(path, &json!({ "kv": ["notes"] })).await.expect(200);
    server.admin.put(path, &json!({ "kv": ["notes", "more"] })).await.expect(200);
    let history = server.admin.get("/plugins/kv/grants/history").await.expect(200);
    let grants: Vec<_> = history["grants"].as_array().unwrap().iter().map(|revision| &revision["grant"]).collect();
    assert_eq!(grants, [&json!({ "kv": ["notes", "more"] }), &json!({ "kv": ["notes"] })]);
    assert_eq!((&history["grants"][0]["by"], history["grants"][0]["at"].is_string()), (&json!("ada"), true));
    let page = server.admin.get("/plugins/kv/grants/history?limit=1").await.expect(200);
    let next = page["nextCursor"].as_str().unwrap();
    let rest = server.admin.get(&format!("/plugins/kv/grants/history?limit=1&cursor={next}")).await.expect(200);
    assert_eq!((&rest["grants"][0]["grant"], &rest["nextCursor"]), (&json!({ "kv": ["notes"] }), &json!(null)));
}

#[tokio::test]
async fn a_grant_with_faults_is_refused_with_all_of_them_and_changes_nothing() {
    let server = bare().await;
    push(&server.admin, shipped("kv")).await.expect(201);
    server.admin.put("/plugins/kv/grants", &json!({ "kv": ["notes"] })).await.expect(200);
    let bad = json!({ "files": ["/"], "http": ["https://x"], "limits": { "memoryBytes": 0 } });
    let problem = server.admin.put("/plugins/kv/grants", &bad).await.problem(422, "grant.invalid");
    let codes: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|fault| fault["code"].clone()).collect();
    assert_eq!(codes, ["grant.unknown_capability", "grant.host", "grant.range"], "{problem:#}");
    assert_eq!(server.admin.get("/plugins/kv/grants").await.expect(200)["grant"], json!({ "kv": ["notes"] }));
    server.admin.put("/plugins/nonesuch/grants", &json!({})).await.problem(404, "plugin.not_found");
}

#[tokio::test]
async fn what_a_plugin_keeps_is_there_in_the_next_run_and_compared_before_it_is_set() {
    let server = bare().await;
    push(&server.admin, shipped("kv")).await.expect(201);
    server.admin.put("/plugins/kv/grants", &json!({ "kv": ["notes"] })).await.expect(200);
    let call = async |tool: &str, input: Value| {
        server.admin.post(&format!("/tools/{tool}/invoke"), &json!({ "input": input })).await
    };
    let at = json!({ "namespace": "notes", "key": "a/b" });
    let with = |more: Value| {
        let mut input = at.clone();
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    let first = call("kv.put", with(json!({ "value": { "n": 1 } }))).await.expect(200);
    let revision = first["output"]["revision"].as_u64().unwrap();
    let got = call("kv.get", at.clone()).await.expect(200);
    assert_eq!((&got["output"]["value"], &got["output"]["revision"]), (&json!({ "n": 1 }), &json!(revision)));

    let stale = call("kv.put", with(json!({ "value": 2, "ifRevision": revision + 1 }))).await;
    stale.problem(422, "tool.call_failed");
    let new = call("kv.put", with(json!({ "value": 2, "ifRevision": 0 }))).await;
    new.problem(422, "tool.call_failed");
    let set = call("kv.put", with(json!({ "value": 2, "ifRevision": revision }))).await.expect(200);
    assert!(set["output"]["revision"].as_u64().unwrap() > revision);
    let other = call("kv.get", json!({ "namespace": "other", "key": "a" })).await.problem(422, "tool.call_failed");
    assert_eq!(other["tool"]["code"], "tool.capability_denied");
    let keys = call("kv.list", json!({ "namespace": "notes", "prefix": "a" })).await.expect(200);
    assert_eq!(keys["output"]["keys"], json!(["a/b"]), "{keys:#}");
    call("kv.delete", at.clone()).await.expect(200);
    let keys = call("kv.list", json!({ "namespace": "notes" })).await.expect(200);
    assert_eq!(keys["output"]["keys"], json!([]));
}

#[tokio::test]
async fn two_writers_of_one_key_are_never_both_right() {
    let server = bare().await;
    push(&server.admin, shipped("kv")).await.expect(201);
    server.admin.put("/plugins/kv/grants", &json!({ "kv": ["notes"] })).await.expect(200);
    let put = json!({ "input": { "namespace": "notes", "key": "leader", "value": 1, "ifRevision": 0 } });
    let racing = (0..8).map(|_| server.admin.post("/tools/kv.put/invoke", &put));
    let statuses: Vec<u16> = futures::future::join_all(racing).await.into_iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
}
