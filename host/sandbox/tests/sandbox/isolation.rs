//! Every call is alone: nothing stays of the call before it, nothing of the host can be reached, and others are served meanwhile.

use std::time::{Duration, Instant};

use armilla_domain::call::ErrorClass;
use armilla_sandbox::SandboxConfig;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::common::{Bench, at_once, bench, config, context, hostile};

#[tokio::test]
async fn nothing_stays_of_an_earlier_call() {
    let caller = bench().await.without_grant();
    for _ in 0..20 {
        assert_eq!(caller.answer("count", json!({})).await, json!({ "calls": 1 }));
    }
    let callers = (0..50).map(|_| {
        let caller = caller.clone();
        async move { caller.answer("count", json!({})).await }
    });
    for answer in at_once(callers).await {
        assert_eq!(answer, json!({ "calls": 1 }));
    }
}

#[tokio::test]
async fn nothing_of_the_host_can_be_reached() {
    let bench = bench().await;
    // Whatever else is granted: there is no grant for these.
    for grant in [json!({}), json!({ "clock": true, "random": true, "http": ["*"] })] {
        let probe = bench.grant(grant).answer("probe", json!({})).await;
        for way_out in ["read_root", "read_passwd", "write_tmp", "tcp", "udp", "dns"] {
            assert_eq!(probe[way_out], json!(false), "{way_out}");
        }
        for empty in ["env", "args", "stdin"] {
            assert_eq!(probe[empty], json!(0), "{empty}");
        }
    }
}

#[tokio::test]
async fn endless_loops_on_every_thread_do_not_keep_others_from_being_served() {
    let bench = bench().await;
    let bad = bench.grant(json!({ "limits": { "cpu": "60s", "queue": 4 } }));
    let mut loops = JoinSet::new();
    for _ in 0..40 {
        let bad = bad.clone();
        loops.spawn(async move { bad.call("loop", json!({})).await });
    }
    // Sixteen spin and four wait; the others are refused at once.
    for _ in 0..20 {
        let error = loops.join_next().await.unwrap().unwrap().result.unwrap_err();
        assert_eq!((error.code.as_ref(), error.class), ("tool.overloaded", ErrorClass::RateLimited));
    }
    let good = bench.without_grant();
    let start = Instant::now();
    for n in 0..50 {
        let answer = good.answer("jq", json!({ "filter": ". + 1", "input": n })).await;
        assert_eq!(answer["first"], json!(n + 1));
        good.answer("text.word_count", json!({ "text": "still being served" })).await;
    }
    // Each of a hundred calls waits for its turn among the spinning ones, a tick each; the machine may be busy besides.
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert!(loops.try_join_next().is_none(), "they were spinning all the while");
    loops.shutdown().await;
    let answer = tokio::time::timeout(Duration::from_secs(20), bad.answer("echo", json!({}))).await.unwrap();
    assert_eq!(answer["text"], "{}", "whoever stopped waiting gave the turns back");
}

#[tokio::test]
async fn a_workspace_whose_plugins_take_all_they_can_get_leaves_half_of_the_places_to_others() {
    let bench = bench().await;
    let bad = bench.grant(json!({ "limits": { "cpu": "60s", "concurrency": 64 } }));
    let mut loops = JoinSet::new();
    for _ in 0..40 {
        let bad = bad.clone();
        loops.spawn(async move { bad.call("loop", json!({})).await });
    }
    let good = bench.without_grant();
    let start = Instant::now();
    for n in 0..20 {
        assert_eq!(good.answer("jq", json!({ "filter": ". + 1", "input": n })).await["first"], json!(n + 1));
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert!(loops.try_join_next().is_none(), "they were spinning all the while");
    loops.shutdown().await;
}

#[tokio::test]
async fn a_plugin_that_spins_until_it_is_out_of_service_leaves_the_others_alone() {
    let bench = bench().await;
    let hammer = tokio::spawn(async move {
        let mut codes = Vec::new();
        // A workspace after the other, so that the breaker is no help.
        for _ in 0..12 {
            let bad = bench.grant(json!({ "limits": { "cpu": "50ms" } }));
            let calls = (0..4).map(|_| {
                let bad = bad.clone();
                async move { bad.call("loop", json!({})).await.result.unwrap_err().code }
            });
            codes.extend(at_once(calls).await);
        }
        codes
    });
    let good = bench.without_grant();
    let mut served = 0;
    while !hammer.is_finished() {
        good.answer("text.word_count", json!({ "text": "still being served" })).await;
        served += 1;
    }
    assert!(hammer.await.unwrap().iter().all(|code| code == "tool.deadline"));
    assert!(served > 20, "{served}");
}

#[tokio::test]
async fn memory_of_all_calls_together_is_bounded_and_comes_back() {
    let bench = Bench::of(SandboxConfig { memory_bytes_total: 80 << 20, ..config() }, [hostile()]).await;
    let caller = bench.without_grant();
    let hold = |millis: u64| json!({ "bytes": 20 << 20, "millis": millis });
    let (first, second) = tokio::join!(caller.call("hold", hold(1_500)), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        caller.call("hold", hold(0)).await
    });
    assert!(first.result.is_ok());
    let error = second.result.unwrap_err();
    assert_eq!((error.code.as_ref(), error.class), ("tool.host_memory", ErrorClass::RateLimited));
    for _ in 0..10 {
        // Calls that ended badly, and those that nobody waited for, give their memory back, too: at once, or soon.
        caller.call("tool_error", json!({})).await;
        while caller.call("hold", hold(0)).await.result.is_err_and(|error| error.code == "tool.host_memory") {}
        assert_eq!(caller.answer("hold", hold(0)).await, json!({ "held": 20 << 20 }));
        let gone = caller.call("hold", hold(60_000));
        assert!(tokio::time::timeout(Duration::from_millis(100), gone).await.is_err());
    }
}

#[tokio::test]
async fn a_sandbox_goes_with_calls_under_way() {
    let bench = Bench::of(config(), [hostile()]).await;
    let caller = bench.grant(json!({ "limits": { "cpu": "60s" } }));
    assert!(tokio::time::timeout(Duration::from_millis(20), caller.call("loop", json!({}))).await.is_err());
    drop(caller);
    drop(bench);
}

#[tokio::test]
async fn what_a_guest_writes_as_an_error_is_shortened() {
    let caller = bench().await.without_grant();
    let long = json!({ "namespace": "x".repeat(50_000), "do": "get", "key": "a", "fail": true });
    let called = caller.call("kv", long).await;
    let error = called.result.unwrap_err();
    assert!(error.message.len() < 2_000, "{}", error.message.len());
    assert!(
        called.denied.iter().all(|capability| capability.len() < 2_000),
        "the names of things are the guest's, too"
    );
}

#[tokio::test]
async fn the_call_says_which_one_it_is_and_nothing_of_the_host() {
    let probe: Value = bench().await.without_grant().answer("probe", json!({})).await;
    let started = context("a").run_started_at.timestamp_millis();
    assert_eq!(probe["unix_millis"], json!(started));
}
