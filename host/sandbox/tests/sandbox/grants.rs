//! Deny by default: what no grant names is refused by name, and so is what the plugin never said it needs.

use std::collections::BTreeMap;

use armilla_domain::call::ErrorClass;
use serde_json::{Value, json};

use crate::common::{Bench, Caller, bench, config, context, hostile_as, log_lines_of};

/// Each capability, how to ask for it, and what the refusal is called.
fn askings() -> [(&'static str, Value, &'static str); 5] {
    [
        ("request", json!({ "url": "https://api.example.com/a?b" }), "http:GET https://api.example.com:443"),
        ("request", json!({ "url": "http://[::1]:8080/", "method": "POST" }), "http:POST http://[::1]:8080"),
        ("secret", json!({ "name": "api-key" }), "secret:api-key"),
        ("kv", json!({ "do": "get", "namespace": "notes", "key": "a" }), "kv:notes"),
        ("config", json!({ "key": "REGION" }), "config:REGION"),
    ]
}

/// As much as a grant can say.
fn everything() -> Value {
    json!({
        "http": [{ "host": "*", "schemes": ["http", "https"], "ports": [80, 443, 8080], "methods": ["*"] }],
        "secrets": [{ "name": "api-key", "hosts": ["*"] }],
        "kv": ["notes"],
        "config": { "REGION": "eu" },
        "clock": true,
        "random": true,
    })
}

#[tokio::test]
async fn nothing_is_granted_by_default_and_each_refusal_names_the_capability() {
    let caller = bench().await.without_grant();
    for (tool, input, capability) in askings() {
        let called = caller.call(tool, input).await;
        assert_eq!(called.denied, [capability], "noted although the plugin copes");
        let told = called.result.unwrap().value;
        assert_eq!(told["denied"], capability);
        assert!(told["message"].as_str().unwrap().contains("no grant names it"), "{told}");
    }
}

#[tokio::test]
async fn a_call_that_fails_over_a_refusal_says_which_grant_is_missing() {
    let caller = bench().await.without_grant();
    for (tool, mut input, capability) in askings() {
        input["fail"] = json!(true);
        let called = caller.call(tool, input).await;
        assert_eq!(called.denied, [capability]);
        let error = called.result.unwrap_err();
        assert_eq!((error.code.as_ref(), error.class), ("tool.capability_denied", ErrorClass::Permanent));
        assert!(error.message.contains(&format!("`{capability}`")) && error.message.contains(tool), "{error}");
    }
}

#[tokio::test]
async fn a_grant_for_what_the_plugin_does_not_state_opens_nothing() {
    let bench = Bench::of(config(), [hostile_as("no-needs")]).await;
    let caller = bench.grant(everything());
    for (tool, input, capability) in askings() {
        let called = caller.call(tool, input).await;
        assert_eq!(called.denied, [capability]);
        let told = called.result.unwrap().value;
        assert!(told["message"].as_str().unwrap().contains("does not state"), "{told}");
    }
    let probe = caller.answer("probe", json!({})).await;
    assert_eq!(probe["unix_millis"], json!(context("a").run_started_at.timestamp_millis()), "the clock stands");
    assert_eq!(probe["chance"], caller.answer("probe", json!({})).await["chance"], "chance is derived");
    assert_eq!(probe["env"], json!(0));
}

#[tokio::test]
async fn a_grant_opens_what_it_names_and_not_its_neighbour() {
    let caller = bench().await.grant(json!({
        "http": ["api.example.com"], "secrets": [{ "name": "api-key", "hosts": ["api.example.com"] }], "kv": ["notes"],
        "config": { "REGION": "eu" },
    }));
    for (tool, input) in [
        ("request", json!({ "url": "https://api.example.com.evil.example/" })),
        ("request", json!({ "url": "https://api.example.com:8443/" })),
        ("request", json!({ "url": "http://api.example.com/" })),
        ("request", json!({ "url": "https://api.example.com/", "method": "DELETE" })),
        ("secret", json!({ "name": "odd-key" })),
        ("secret", json!({ "name": "API-KEY" })),
        ("kv", json!({ "do": "get", "namespace": "note", "key": "a" })),
        ("kv", json!({ "do": "list", "namespace": "" })),
        ("config", json!({ "key": "region" })),
    ] {
        let called = caller.call(tool, input.clone()).await;
        assert_eq!(called.denied.len(), 1, "{tool} {input}");
        assert_eq!(called.result.unwrap().value["denied"], called.denied[0]);
    }
    for (tool, input) in [
        ("secret", json!({ "name": "api-key" })),
        ("kv", json!({ "do": "get", "namespace": "notes", "key": "a" })),
        ("config", json!({ "key": "REGION" })),
    ] {
        let called = caller.call(tool, input).await;
        assert!(called.result.is_ok() && called.denied.is_empty(), "{tool}");
    }
}

#[tokio::test]
async fn granted_values_are_there_as_configuration_and_as_environment() {
    let config: BTreeMap<_, _> = [("REGION", "eu"), ("MODE", "fast")].into();
    let caller = bench().await.grant(json!({ "config": config }));
    let told = caller.answer("config", json!({ "key": "REGION" })).await;
    assert_eq!(told, json!({ "value": "eu", "environment": "eu" }));
    assert_eq!(caller.answer("probe", json!({})).await["env"], json!(2), "and nothing of the host's own");
    let told = caller.answer("config", json!({ "key": "PATH" })).await;
    assert_eq!((&told["denied"], &told["environment"]), (&json!("config:PATH"), &Value::Null));
}

#[tokio::test]
async fn time_moves_only_with_a_grant() {
    let bench = bench().await;
    let started = context("a").run_started_at.timestamp_millis();
    let frozen = bench.without_grant().answer("probe", json!({})).await;
    assert_eq!((&frozen["unix_millis"], &frozen["elapsed_nanos"]), (&json!(started), &json!(0)));
    let moving = bench.grant(json!({ "clock": true })).answer("probe", json!({})).await;
    assert!(moving["elapsed_nanos"].as_u64().unwrap() > 0, "{moving}");
    assert_ne!(moving["unix_millis"], json!(started));
    let later = bench.grant(json!({ "clock": true })).answer("probe", json!({})).await;
    assert!(later["unix_millis"].as_u64() >= moving["unix_millis"].as_u64(), "{moving} {later}");
}

#[tokio::test]
async fn chance_is_real_only_with_a_grant() {
    let bench = bench().await;
    let (derived, real) = (bench.without_grant(), bench.grant(json!({ "random": true })));
    let chance = |caller: Caller<'static>| async move {
        caller.answer("probe", json!({})).await["chance"].as_str().unwrap().to_owned()
    };
    assert_eq!(chance(derived.clone()).await, chance(derived.clone()).await);
    let drawn = [chance(real.clone()).await, chance(real).await];
    assert_ne!(drawn[0], drawn[1]);
    assert!(!drawn.contains(&chance(derived).await));
}

#[tokio::test]
async fn a_plugins_lines_are_written_from_the_granted_level_on() {
    let bench = bench().await;
    for (level, written) in [("debug", 4), ("info", 3), ("warn", 2), ("error", 1), ("off", 0)] {
        let caller = bench.grant(json!({ "logLevel": level }));
        let context = context(&format!("log-{level}"));
        for of in ["debug", "info", "warn", "error"] {
            caller.call_in("log", json!({ "level": of, "text": "a line of its own" }), &context).await.result.unwrap();
        }
        let lines = log_lines_of(&context);
        assert_eq!(lines.iter().filter(|line| line.contains("a line of its own")).count(), written, "{level}");
    }
}

#[tokio::test]
async fn a_plugin_cannot_write_lines_that_look_like_the_hosts_own() {
    let caller = bench().await.without_grant();
    let context = context("forges");
    let text = "harmless\n2026-01-01T00:00:00Z ERROR armilla: the disk is full \u{1b}[2J\r";
    caller.call_in("log", json!({ "text": text }), &context).await.result.unwrap();
    let denied = json!({ "do": "get", "namespace": text, "key": "a" });
    caller.call_in("kv", denied, &context).await.result.unwrap();
    let lines = log_lines_of(&context);
    assert_eq!(lines.iter().filter(|line| line.contains("harmless")).count(), 2, "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains(['\n', '\r', '\u{1b}'])), "{lines:?}");
}
