//! Which calls are the same one.

use futures::future::join_all;
use serde_json::{Value, json};

use super::{call, echo, make, now, runs, signed, verified};
use crate::harness::TestServer;

const BODY: &str = r#"{"action":"opened"}"#;

#[tokio::test]
async fn twenty_calls_of_one_delivery_at_once_start_one_run() {
    let (server, hook, workflow) = verified("standardWebhooks").await;
    let headers = signed("standardWebhooks", BODY, now(), "msg_1");
    let answers = join_all((0..20).map(|_| call(&server, &hook, &headers, BODY))).await;
    let answers: Vec<Value> = answers.into_iter().map(|answer| answer.expect(202)).collect();
    let started = answers.iter().filter(|answer| answer["outcome"] == "started").count();
    let repeated = answers.iter().filter(|answer| answer["outcome"] == "repeated").count();
    assert_eq!((started, repeated), (1, 19));
    assert!(answers.iter().all(|answer| answer["runId"] == answers[0]["runId"]), "{answers:#?}");
    assert_eq!(runs(&server.admin, &workflow).await, 1);
}

#[tokio::test]
async fn a_hook_says_itself_what_tells_calls_apart() {
    let server = TestServer::start().await;
    let workflow = echo(&server.admin).await;
    let by_order = make(&server.admin, &workflow, json!({ "deduplicateBy": "body.order" })).await;
    let other = make(&server.admin, &workflow, json!({ "deduplicateBy": "body.order" })).await;
    let every = make(&server.admin, &workflow, json!({})).await;
    let outcome = async |hook, body: &str| {
        let mut answer = call(&server, hook, &[], body).await.expect(202);
        answer["outcome"].take()
    };
    assert_eq!(outcome(&by_order, r#"{"order":7,"try":1}"#).await, "started");
    assert_eq!(outcome(&by_order, r#"{"order":7,"try":2}"#).await, "repeated");
    assert_eq!(outcome(&by_order, r#"{"order":8}"#).await, "started");
    assert_eq!(outcome(&other, r#"{"order":7}"#).await, "started", "hooks are told apart too");
    for hook in [&by_order, &every] {
        // Nothing tells these apart, so each counts.
        assert_eq!(outcome(hook, "{}").await, "started");
        assert_eq!(outcome(hook, "{}").await, "started");
    }
    assert_eq!(runs(&server.admin, &workflow).await, 7);
}

#[tokio::test]
async fn a_call_that_was_refused_may_come_again() {
    let (server, hook, workflow) = verified("github").await;
    let headers = signed("github", BODY, now(), "d-1");
    let never = json!({
        "name": "n", "workflowId": workflow, "verify": { "scheme": "github", "secret": "sender" },
        "input": { "n": "body.action + 1" },
    });
    let path = format!("/inbound-hooks/{}", hook.id);
    server.admin.put(&path, &never).await.expect(200);
    call(&server, &hook, &headers, BODY).await.problem(422, "hook.expression_failed");
    let mended = json!({
        "name": "n", "workflowId": workflow, "verify": { "scheme": "github", "secret": "sender" },
    });
    server.admin.put(&path, &mended).await.expect(200);
    assert_eq!(call(&server, &hook, &headers, BODY).await.expect(202)["outcome"], "started");
}
