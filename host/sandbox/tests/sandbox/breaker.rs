//! A plugin that breaks again and again is out of service: for whoever broke it, and for a while.

use armilla_domain::call::ErrorClass;
use armilla_sandbox::{FAULTS_MAX, OPEN_FOR};
use serde_json::{Value, json};

use crate::common::{Caller, bench};

async fn code_of(caller: &Caller<'_>, tool: &str, input: Value) -> String {
    caller.call(tool, input).await.result.map_or_else(|error| error.code.into_owned(), |_| "answered".to_owned())
}

#[tokio::test]
async fn five_traps_open_the_breaker_for_this_plugin_in_this_workspace_alone() {
    let bench = bench().await;
    let caller = bench.without_grant();
    for _ in 0..FAULTS_MAX {
        assert_eq!(code_of(&caller, "trap", json!({})).await, "tool.trap");
    }
    let error = caller.call("echo", json!({})).await.result.unwrap_err();
    assert_eq!((error.code.as_ref(), error.class), ("tool.circuit_open", ErrorClass::Unavailable));
    let wait = error.retry_after.unwrap();
    assert!(wait <= OPEN_FOR && wait > OPEN_FOR / 2, "{wait:?}");
    assert!(error.message.contains("`hostile`"), "{error}");

    let filter = json!({ "filter": "1 + 1" });
    assert_eq!(caller.answer("jq", filter).await["first"], json!(2), "another plugin");
    bench.still_serves().await;
    assert_eq!(code_of(&caller, "echo", json!({})).await, "tool.circuit_open");
}

#[tokio::test]
async fn every_way_to_break_counts() {
    let caller = bench().await.grant(json!({ "limits": { "cpu": "20ms", "hostCalls": 10 } }));
    for (tool, code) in [
        ("trap", "tool.trap"),
        ("loop", "tool.deadline"),
        ("stack_overflow", "tool.stack_overflow"),
        ("host_calls", "tool.host_call_limit"),
    ] {
        assert_eq!(code_of(&caller, tool, json!({ "times": 100 })).await, code);
    }
    assert_eq!(code_of(&caller, "exit", json!({})).await, "tool.trap");
    assert_eq!(code_of(&caller, "echo", json!({})).await, "tool.circuit_open");
}

#[tokio::test]
async fn what_is_not_the_plugins_fault_does_not_count() {
    let caller = bench().await.grant(json!({ "limits": { "timeout": "200ms" } }));
    for _ in 0..2 {
        for (tool, input, code) in [
            ("tool_error", json!({}), "tool.failed"),
            ("bad_json", json!({}), "tool.bad_output"),
            ("sleep", json!({}), "tool.deadline"),
            ("request", json!({ "url": "https://example.com", "fail": true }), "tool.capability_denied"),
            ("echo", json!([]), "tool.invalid_input"),
        ] {
            assert_eq!(code_of(&caller, tool, input).await, code);
        }
    }
    assert_eq!(code_of(&caller, "echo", json!({})).await, "answered");
}

#[tokio::test]
async fn a_changed_grant_does_not_close_the_breaker() {
    let bench = bench().await;
    let caller = bench.without_grant();
    for _ in 0..FAULTS_MAX {
        code_of(&caller, "trap", json!({})).await;
    }
    let mut wider = bench.grant(json!({ "limits": { "concurrency": 3 } }));
    wider.access.workspace = caller.access.workspace;
    assert_eq!(code_of(&wider, "echo", json!({})).await, "tool.circuit_open");
}
