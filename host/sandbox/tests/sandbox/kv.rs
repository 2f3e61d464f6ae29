//! Text by key, in the namespaces that were granted.

use armilla_sandbox::{KV_KEY_BYTES_MAX, KV_VALUE_BYTES_MAX};
use serde_json::{Value, json};

use crate::common::{at_once, bench};

fn deed(does: &str, more: Value) -> Value {
    let mut input = json!({ "do": does, "namespace": "notes", "key": "a" });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    input
}

#[tokio::test]
async fn what_is_kept_in_one_call_is_there_in_the_next() {
    let caller = bench().await.grant(json!({ "kv": ["notes"] }));
    assert_eq!(caller.answer("kv", deed("get", json!({}))).await, Value::Null);
    assert_eq!(caller.answer("kv", deed("put", json!({ "value": "one" }))).await, json!({ "revision": 1 }));
    assert_eq!(caller.answer("kv", deed("get", json!({}))).await, json!({ "value": "one", "revision": 1 }));
    assert_eq!(caller.answer("kv", deed("put", json!({ "value": "two" }))).await, json!({ "revision": 2 }));
    assert_eq!(caller.answer("kv", deed("delete", json!({}))).await, json!({ "there": true }));
    assert_eq!(caller.answer("kv", deed("delete", json!({}))).await, json!({ "there": false }));
}

#[tokio::test]
async fn a_change_that_expects_another_revision_is_refused_and_told_the_right_one() {
    let caller = bench().await.grant(json!({ "kv": ["notes"] }));
    let put = |expected: u64, value: &str| deed("put", json!({ "value": value, "expected": expected }));
    assert_eq!(caller.answer("kv", put(4, "x")).await, json!({ "conflict": null }), "there is no such key");
    let first = caller.answer("kv", put(0, "one")).await["revision"].as_u64().unwrap();
    assert_eq!(caller.answer("kv", put(0, "x")).await, json!({ "conflict": first }), "it is there already");
    let second = caller.answer("kv", put(first, "two")).await["revision"].as_u64().unwrap();
    assert!(second > first);
    assert_eq!(caller.answer("kv", put(first, "x")).await, json!({ "conflict": second }));
    assert_eq!(caller.answer("kv", deed("delete", json!({ "expected": first }))).await, json!({ "conflict": second }));
    assert_eq!(caller.answer("kv", deed("get", json!({}))).await, json!({ "value": "two", "revision": second }));
    assert_eq!(caller.answer("kv", deed("delete", json!({ "expected": second }))).await, json!({ "there": true }));
}

#[tokio::test]
async fn of_many_that_expect_the_same_revision_one_wins() {
    let caller = bench().await.grant(json!({ "kv": ["notes"] }));
    let calls = (0..10).map(|n| {
        let (caller, input) = (caller.clone(), deed("put", json!({ "value": n.to_string(), "expected": 0 })));
        async move { caller.answer("kv", input).await["revision"].is_u64() }
    });
    let won = at_once(calls).await.into_iter().filter(|won| *won).count();
    assert_eq!(won, 1);
}

#[tokio::test]
async fn keys_and_values_have_bounds() {
    let caller = bench().await.grant(json!({ "kv": ["notes"] }));
    let longest = "k".repeat(KV_KEY_BYTES_MAX);
    assert!(caller.answer("kv", deed("put", json!({ "key": longest }))).await["revision"].is_u64());
    let fits = deed("put_long", json!({ "bytes": KV_VALUE_BYTES_MAX }));
    assert!(caller.answer("kv", fits).await["revision"].is_u64());
    for refused in [
        deed("put", json!({ "key": "" })),
        deed("get", json!({ "key": "k".repeat(KV_KEY_BYTES_MAX + 1) })),
        deed("delete", json!({ "key": "k".repeat(KV_KEY_BYTES_MAX + 1) })),
        deed("put_long", json!({ "bytes": KV_VALUE_BYTES_MAX + 1 })),
        deed("list", json!({ "prefix": "k".repeat(KV_KEY_BYTES_MAX + 1) })),
        deed("list", json!({ "after": "k".repeat(KV_KEY_BYTES_MAX + 1) })),
    ] {
        assert!(caller.answer("kv", refused).await["refused"].is_string());
    }
}

#[tokio::test]
async fn keys_are_listed_in_the_order_of_their_bytes_and_page_by_page() {
    let caller = bench().await.grant(json!({ "kv": ["notes", "other"] }));
    for (namespace, key) in [("notes", "b"), ("notes", "a/2"), ("notes", "a/10"), ("notes", "ä"), ("other", "a/0")] {
        caller.answer("kv", deed("put", json!({ "namespace": namespace, "key": key, "value": "x" }))).await;
    }
    let list = |more| caller.answer("kv", deed("list", more));
    assert_eq!(list(json!({})).await["keys"], json!(["a/10", "a/2", "b", "ä"]));
    assert_eq!(list(json!({ "prefix": "a/" })).await["keys"], json!(["a/10", "a/2"]));
    assert_eq!(list(json!({ "limit": 1, "after": "a/10" })).await["keys"], json!(["a/2"]));
    assert_eq!(list(json!({ "limit": 0 })).await["keys"], json!([]));
}

#[tokio::test]
async fn a_namespace_that_is_not_granted_is_denied_for_every_deed() {
    let caller = bench().await.grant(json!({ "kv": ["notes"] }));
    for does in ["get", "put", "put_long", "delete", "list"] {
        let called = caller.call("kv", deed(does, json!({ "namespace": "other" }))).await;
        assert_eq!(called.denied, ["kv:other"]);
        assert_eq!(called.result.unwrap().value["denied"], "kv:other", "{does}");
    }
}
