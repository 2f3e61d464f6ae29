//! What a plugin can use too much of, and how each limit says so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use armilla_domain::call::ErrorClass;
use armilla_sandbox::{Access, CheckError, LOG_BYTES_MAX, MemoryServices, TABLE_ELEMENTS_MAX};
use serde_json::json;

use crate::common::{bench, context, log_lines_of, wat, workspace};

#[tokio::test]
async fn a_trap_ends_the_call_alone() {
    let error = bench().await.without_grant().error("trap", json!({})).await;
    assert_eq!((error.code.as_ref(), error.class), ("tool.trap", ErrorClass::Permanent));
}

#[tokio::test]
async fn a_guest_that_exits_ends_the_call_alone() {
    let error = bench().await.without_grant().error("exit", json!({})).await;
    assert_eq!((error.code.as_ref(), error.class), ("tool.trap", ErrorClass::Permanent));
}

#[tokio::test]
async fn an_endless_loop_is_stopped_when_its_computing_time_is_spent() {
    let start = Instant::now();
    let caller = bench().await.grant(json!({ "limits": { "cpu": "20ms" } }));
    let error = caller.error("loop", json!({})).await;
    assert_eq!((error.code.as_ref(), error.class), ("tool.deadline", ErrorClass::Permanent));
    assert!(error.message.contains("20 ms"), "{error}");
    // Far more than it takes, since the machine may be busy; far less than the wall clock would allow.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_guest_that_waits_is_stopped_by_the_calls_own_timeout() {
    let bench = bench().await;
    let mut context = context("a");
    context.timeout = Duration::from_millis(50);
    let error = bench.without_grant().call_in("sleep", json!({}), &context).await.result.unwrap_err();
    assert_eq!((error.code.as_ref(), error.class), ("tool.deadline", ErrorClass::Timeout));
    bench.still_serves().await;
}

#[tokio::test]
async fn a_guest_that_waits_is_stopped_by_its_grants_timeout() {
    let caller = bench().await.grant(json!({ "limits": { "timeout": "50ms" } }));
    let error = caller.error("sleep", json!({})).await;
    assert_eq!((error.code.as_ref(), error.class), ("tool.deadline", ErrorClass::Timeout));
}

#[tokio::test]
async fn waiting_is_not_computing() {
    let caller = bench().await.grant(json!({ "limits": { "cpu": "200ms" } }));
    assert_eq!(caller.answer("hold", json!({ "bytes": 1, "millis": 400 })).await, json!({ "held": 1 }));
}

#[tokio::test]
async fn a_memory_bomb_hits_the_memory_limit() {
    let error = bench().await.without_grant().error("memory_bomb", json!({})).await;
    assert_eq!((error.code.as_ref(), error.class), ("tool.memory_limit", ErrorClass::Permanent));
}

#[tokio::test]
async fn a_grant_makes_memory_less_or_more() {
    let bench = bench().await;
    let hold = |mib: u64| json!({ "bytes": mib << 20 });
    let less = bench.grant(json!({ "limits": { "memoryBytes": 8 << 20 } }));
    assert_eq!(less.error("hold", hold(16)).await.code, "tool.memory_limit");
    assert_eq!(bench.without_grant().error("hold", hold(80)).await.code, "tool.memory_limit");
    let more = bench.grant(json!({ "limits": { "memoryBytes": 100 << 20 } }));
    assert_eq!(more.answer("hold", hold(80)).await, json!({ "held": 80 << 20 }));
}

#[tokio::test]
async fn a_bottomless_recursion_runs_out_of_stack() {
    assert_eq!(bench().await.without_grant().error("stack_overflow", json!({})).await.code, "tool.stack_overflow");
}

#[tokio::test]
async fn a_table_grows_to_its_limit_and_no_further() {
    let bench = bench().await;
    for (elements, expected) in [
        (TABLE_ELEMENTS_MAX - 1, None),
        (TABLE_ELEMENTS_MAX, Some("tool.memory_limit")),
        (4 << 20, Some("tool.memory_limit")),
    ] {
        let plugin = bench.sandbox.inspect(wat(&evaluator(&grow_table(elements))).into()).await.unwrap();
        let services = Arc::new(MemoryServices::default());
        let access = Access { workspace: workspace(), grant: Arc::default(), services };
        let code = match bench.sandbox.check_expression(&plugin, "x", &access).await {
            Ok(()) => None,
            Err(CheckError::Call(error)) => Some(error.code.into_owned()),
            Err(CheckError::Fault(fault)) => panic!("{fault:?}"),
        };
        assert_eq!(code.as_deref(), expected, "{elements} more");
    }
}

fn grow_table(elements: usize) -> String {
    format!("(drop (table.grow $table (ref.null func) (i32.const {elements})))")
}

#[tokio::test]
async fn an_output_over_the_limit_is_refused_whether_by_a_byte_or_by_far() {
    let bench = bench().await;
    assert_eq!(bench.without_grant().error("big_output", json!({})).await.code, "tool.output_too_large");
    assert_eq!(bench.without_grant().error("huge_output", json!({})).await.code, "tool.output_too_large");
    let less = bench.grant(json!({ "limits": { "outputBytes": 1_000 } }));
    assert_eq!(less.error("echo", json!({ "a": "x".repeat(1_000) })).await.code, "tool.output_too_large");
    less.answer("echo", json!({ "a": "x".repeat(900) })).await;
}

#[tokio::test]
async fn an_output_that_is_not_json_or_against_its_schema_is_refused() {
    let caller = bench().await.without_grant();
    assert_eq!(caller.error("bad_json", json!({})).await.code, "tool.bad_output");
    let error = caller.error("wrong_output", json!({})).await;
    assert_eq!(error.code, "tool.bad_output");
    assert!(error.message.contains("\"text\" is a required property"), "{error}");
}

#[tokio::test]
async fn an_error_that_the_tool_reports_keeps_what_a_retry_policy_needs() {
    let error = bench().await.without_grant().error("tool_error", json!({})).await;
    assert_eq!((error.code.as_ref(), error.class), ("tool.failed", ErrorClass::Tool));
    assert_eq!(error.retry_after, Some(Duration::from_millis(250)));
    assert!(error.message.ends_with("the tool failed on purpose"), "{error}");
}

#[tokio::test]
async fn a_flood_of_log_lines_is_dropped_not_an_error() {
    let caller = bench().await.grant(json!({ "limits": { "cpu": "30s", "hostCalls": 100_000 }, "logLevel": "debug" }));
    let context = context("floods");
    let answer = caller.call_in("log_flood", json!({}), &context).await.result.unwrap().value;
    assert_eq!(answer["text"], "flooded");
    let lines = log_lines_of(&context);
    let bytes: usize = lines.iter().map(|line| line.matches('x').count()).sum();
    assert!(bytes > LOG_BYTES_MAX / 2 && bytes < LOG_BYTES_MAX + 1_000, "{bytes}");
    assert!(lines.last().unwrap().contains("the rest is dropped"), "{:?}", lines.last());
}

#[tokio::test]
async fn calls_to_the_host_are_counted_whatever_they_ask_for() {
    let grant = json!({
        "config": { "NONE": "" }, "kv": ["none"], "secrets": [{ "name": "none", "hosts": ["*"] }],
        "limits": { "hostCalls": 100 },
    });
    let bench = bench().await;
    for of in ["log", "config", "secrets", "kv"] {
        let caller = bench.grant(grant.clone());
        assert_eq!(caller.answer("host_calls", json!({ "of": of, "times": 100 })).await, json!({ "done": true }));
        let error = caller.error("host_calls", json!({ "of": of, "times": 101 })).await;
        assert_eq!((error.code.as_ref(), error.class), ("tool.host_call_limit", ErrorClass::Permanent), "{of}");
    }
}

#[tokio::test]
async fn a_limit_is_named_even_where_something_was_denied_before() {
    let caller = bench().await.grant(json!({ "limits": { "hostCalls": 100 } }));
    let called = caller.call("host_calls", json!({ "of": "config", "times": 101 })).await;
    assert_eq!(called.result.unwrap_err().code, "tool.host_call_limit");
    assert_eq!(called.denied, ["config:NONE"]);
}

#[tokio::test]
async fn a_call_past_the_queue_is_refused_at_once() {
    let bench = bench().await;
    let caller = bench.grant(json!({ "limits": { "concurrency": 1, "queue": 1, "timeout": "300ms" } }));
    let (one, two, three) =
        tokio::join!(caller.call("sleep", json!({})), caller.call("sleep", json!({})), caller.call("sleep", json!({})));
    let mut codes = [one, two, three].map(|called| {
        let error = called.result.unwrap_err();
        (error.code.into_owned(), error.class)
    });
    codes.sort_by(|one, other| one.0.cmp(&other.0));
    let waited = ("tool.deadline".to_owned(), ErrorClass::Timeout);
    assert_eq!(codes, [waited.clone(), waited, ("tool.overloaded".to_owned(), ErrorClass::RateLimited)]);
    bench.still_serves().await;
}

#[tokio::test]
async fn a_call_whose_caller_has_gone_gives_its_turn_back() {
    let bench = bench().await;
    let caller = bench.grant(json!({ "limits": { "concurrency": 1, "cpu": "60s" } }));
    let gone = caller.call("loop", json!({}));
    assert!(tokio::time::timeout(Duration::from_millis(30), gone).await.is_err());
    assert_eq!(caller.answer("echo", json!({})).await["text"], "{}");
}

/// An evaluator by hand whose `check` does what `deed` says, and then finds every expression good.
pub(crate) fn evaluator(deed: &str) -> String {
    r#"(component
        (core module $code
            (table $table 1 funcref)
            (memory (export "memory") 1)
            (data (i32.const 16) "\40\00\00\00\05\00\00\00\50\00\00\00\01\00\00\00\40\00\00\00\05\00\00\00")
            (data (i32.const 64) "tiny1")
            (data (i32.const 80) "1")
            (func (export "describe") (result i32) (i32.const 16))
            (func (export "check") (param i32 i32) (result i32) DEED (i32.const 128))
            (func (export "evaluate") (param i32 i32 i32 i32) (result i32) unreachable)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
        (core instance $code (instantiate $code))
        (alias core export $code "memory" (core memory $memory))
        (alias core export $code "realloc" (core func $realloc))
        (type $info (record (field "name" string) (field "version" string) (field "description" string)))
        (type $fault (record (field "message" string) (field "offset" u32)))
        (type $error (variant (case "invalid" $fault) (case "not-boolean" string) (case "failed" string)))
        (func $describe (result $info) (canon lift (core func $code "describe") (memory $memory)))
        (func $check (param "expression" string) (result (result (error $fault)))
            (canon lift (core func $code "check") (memory $memory) (realloc $realloc)))
        (func $evaluate (param "expression" string) (param "variables" string) (result (result bool (error $error)))
            (canon lift (core func $code "evaluate") (memory $memory) (realloc $realloc)))
        (component $names
            (type $info' (record (field "name" string) (field "version" string) (field "description" string)))
            (import "type-info" (type $info (eq $info')))
            (type $fault' (record (field "message" string) (field "offset" u32)))
            (import "type-fault" (type $fault (eq $fault')))
            (type $error' (variant (case "invalid" $fault) (case "not-boolean" string) (case "failed" string)))
            (import "type-error" (type $error (eq $error')))
            (import "describe" (func $describe (result $info)))
            (import "check" (func $check (param "expression" string) (result (result (error $fault)))))
            (import "evaluate"
                (func $evaluate (param "expression" string) (param "variables" string) (result (result bool (error $error)))))
            (type $info'' (record (field "name" string) (field "version" string) (field "description" string)))
            (export $info-out "plugin-info" (type $info''))
            (type $fault'' (record (field "message" string) (field "offset" u32)))
            (export $fault-out "expression-error" (type $fault''))
            (type $error'' (variant (case "invalid" $fault-out) (case "not-boolean" string) (case "failed" string)))
            (export $error-out "evaluation-error" (type $error''))
            (export "describe" (func $describe) (func (result $info-out)))
            (export "check" (func $check) (func (param "expression" string) (result (result (error $fault-out)))))
            (export "evaluate" (func $evaluate)
                (func (param "expression" string) (param "variables" string) (result (result bool (error $error-out))))))
        (instance $condition (instantiate $names
            (with "type-info" (type $info)) (with "type-fault" (type $fault)) (with "type-error" (type $error))
            (with "describe" (func $describe)) (with "check" (func $check)) (with "evaluate" (func $evaluate))))
        (export "armilla:plugin/condition@0.1.0" (instance $condition)))"#
        .replace("DEED", deed)
}
