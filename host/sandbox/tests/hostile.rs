//! What a plugin can do wrong ends that call alone, with its own code, and the host goes on.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod common;

use std::time::{Duration, Instant};

use armilla_domain::call::{CallError, ErrorClass};
use armilla_sandbox::{Limits, Sandbox};
use common::{context, hostile, sandbox_of};
use serde_json::{Value, json};

async fn error_of(sandbox: &Sandbox, tool: &str) -> CallError {
    let error = sandbox.call_tool(Some("hostile"), tool, &json!({}), &context("a")).await.unwrap_err();
    assert!(error.message.contains(&format!("`{tool}`")) && error.message.contains("`hostile`"), "{error}");
    assert!(!error.message.contains(".rs") && !error.message.contains("/target"), "{error}");
    still_serves(sandbox).await;
    error
}

async fn still_serves(sandbox: &Sandbox) {
    let answer = sandbox.call_tool(None, "echo", &json!({ "a": 1 }), &context("b")).await.unwrap();
    assert_eq!(answer.value, json!({ "text": r#"{"a":1}"# }));
}

#[tokio::test]
async fn a_trap_ends_the_call_alone() {
    let error = error_of(&hostile().await, "trap").await;
    assert_eq!((error.code.as_ref(), error.class), ("tool.trap", ErrorClass::Permanent));
}

#[tokio::test]
async fn an_endless_loop_is_stopped_when_its_computing_time_is_spent() {
    let limits = Limits { cpu: Duration::from_millis(20), ..Limits::default() };
    let sandbox = sandbox_of("test-plugins", limits).await;
    let start = Instant::now();
    let error = error_of(&sandbox, "loop").await;
    assert_eq!((error.code.as_ref(), error.class), ("tool.deadline", ErrorClass::Permanent));
    // Far more than it takes, since the machine may be busy; far less than the wall clock would allow.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_guest_that_waits_is_stopped_by_the_calls_own_timeout() {
    let sandbox = hostile().await;
    let mut context = context("a");
    context.timeout = Duration::from_millis(50);
    let error = sandbox.call_tool(None, "sleep", &json!({}), &context).await.unwrap_err();
    assert_eq!((error.code.as_ref(), error.class), ("tool.deadline", ErrorClass::Timeout));
    still_serves(&sandbox).await;
}

#[tokio::test]
async fn a_memory_bomb_hits_the_memory_limit() {
    let sandbox = sandbox_of("test-plugins", Limits::default()).await;
    let error = error_of(&sandbox, "memory_bomb").await;
    assert_eq!((error.code.as_ref(), error.class), ("tool.memory_limit", ErrorClass::Permanent));
}

#[tokio::test]
async fn a_bottomless_recursion_runs_out_of_stack() {
    assert_eq!(error_of(&hostile().await, "stack_overflow").await.code, "tool.stack_overflow");
}

#[tokio::test]
async fn an_output_over_the_limit_is_refused_whether_by_a_byte_or_by_far() {
    let sandbox = hostile().await;
    assert_eq!(error_of(&sandbox, "big_output").await.code, "tool.output_too_large");
    assert_eq!(error_of(&sandbox, "huge_output").await.code, "tool.output_too_large");
}

#[tokio::test]
async fn an_output_that_is_not_json_or_against_its_schema_is_refused() {
    let sandbox = hostile().await;
    assert_eq!(error_of(&sandbox, "bad_json").await.code, "tool.bad_output");
    let error = error_of(&sandbox, "wrong_output").await;
    assert_eq!(error.code, "tool.bad_output");
    assert!(error.message.contains("\"text\" is a required property"), "{error}");
}

#[tokio::test]
async fn an_error_that_the_tool_reports_keeps_what_a_retry_policy_needs() {
    let error = error_of(&hostile().await, "tool_error").await;
    assert_eq!((error.code.as_ref(), error.class), ("tool.failed", ErrorClass::Tool));
    assert_eq!(error.retry_after, Some(Duration::from_millis(250)));
    assert!(error.message.ends_with("the tool failed on purpose"), "{error}");
}

#[tokio::test]
async fn a_flood_of_log_lines_is_dropped_not_an_error() {
    let limits = Limits { cpu: Duration::from_secs(10), ..Limits::default() };
    let sandbox = sandbox_of("test-plugins", limits).await;
    let answer = sandbox.call_tool(None, "log_flood", &json!({}), &context("a")).await.unwrap();
    assert_eq!(answer.value["text"], "flooded");
}

#[tokio::test]
async fn nothing_of_the_host_can_be_reached() {
    let probe = hostile().await.call_tool(None, "probe", &json!({}), &context("a")).await.unwrap().value;
    for way_out in ["read_root", "read_passwd", "write_tmp", "tcp", "udp", "dns"] {
        assert_eq!(probe[way_out], json!(false), "{way_out}");
    }
    for empty in ["env", "args", "stdin"] {
        assert_eq!(probe[empty], json!(0), "{empty}");
    }
}

#[tokio::test]
async fn time_stands_at_the_runs_start_and_chance_comes_from_the_run() {
    let probe = |step| async move {
        let sandbox = hostile().await;
        sandbox.call_tool(None, "probe", &json!({}), &context(step)).await.unwrap().value
    };
    let first: Value = probe("a").await;
    assert_eq!(first["unix_millis"], json!(context("a").run_started_at.timestamp_millis()));
    assert_eq!(first["elapsed_nanos"], json!(0));
    assert_eq!(first.to_string(), probe("a").await.to_string(), "the same call on another host");
    assert_ne!(first["chance"], probe("b").await["chance"], "another step");
}

#[tokio::test]
async fn endless_loops_on_every_thread_do_not_keep_others_from_being_served() {
    let limits = Limits { cpu: Duration::from_secs(2), ..Limits::default() };
    let sandbox = sandbox_of("test-plugins", limits).await;
    let loops: Vec<_> = (0..8)
        .map(|_| {
            let sandbox = sandbox.clone();
            tokio::spawn(async move { sandbox.call_tool(None, "loop", &json!({}), &context("a")).await })
        })
        .collect();
    still_serves(&sandbox).await;
    assert!(loops.iter().any(|running| !running.is_finished()), "a call was served while others were spinning");
    for running in loops {
        running.abort();
    }
}

#[tokio::test]
async fn a_call_past_the_queue_is_refused_at_once() {
    let limits = Limits { calls_at_once: 1, calls_queued: 1, ..Limits::default() };
    let sandbox = sandbox_of("test-plugins", limits).await;
    let call = || {
        let sandbox = sandbox.clone();
        tokio::spawn(async move { sandbox.call_tool(None, "sleep", &json!({}), &context("a")).await })
    };
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let call = call();
        calls.spawn(async move { call.await.unwrap() });
    }
    // One sleeps, one waits, so one of the three is the first to end.
    let error = calls.join_next().await.unwrap().unwrap().unwrap_err();
    assert_eq!((error.code.as_ref(), error.class), ("tool.overloaded", ErrorClass::RateLimited));
}

#[tokio::test]
async fn a_call_whose_caller_has_gone_gives_its_turn_back() {
    let limits = Limits { calls_at_once: 1, ..Limits::default() };
    let sandbox = sandbox_of("test-plugins", limits).await;
    let gone = {
        let sandbox = sandbox.clone();
        async move { sandbox.call_tool(None, "loop", &json!({}), &context("a")).await }
    };
    assert!(tokio::time::timeout(Duration::from_millis(30), gone).await.is_err());
    still_serves(&sandbox).await;
}
