//! What decides whether and how an event is sent: filter, tool, test mode, keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use armilla_domain::event::EventType;
use armilla_domain::id::WorkspaceId;
use armilla_domain::webhook::{SignatureScheme, Transform, WebhookText};
use armilla_testkit::sink::WebhookSink;
use armilla_webhooks::{NewWebhook, RotateSecret, Tools, TransformCall, TransformTools, WebhookView};
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::bench::{Bench, WORKSPACE, all_to, is_believed};

#[tokio::test]
async fn a_filter_lets_through_what_it_holds_for_and_shows_how_it_failed() {
    let (bench, sink) = (Bench::start().await, WebhookSink::start().await);
    let mut text = all_to(&sink);
    text.events = vec!["run.*".to_owned()];
    text.filter = Some("type == 'run.failed' and data.cost + 1 > 10".to_owned());
    let webhook = bench.webhook_of(text).await;
    bench.happens(EventType::AgentFailed, r#"{"cost":99}"#).await;
    bench.happens(EventType::RunSucceeded, r#"{"cost":99}"#).await;
    bench.happens(EventType::RunFailed, r#"{"cost":1}"#).await;
    assert!(bench.webhooks.webhook(WORKSPACE, webhook).await.unwrap().filter_fault.is_none());
    bench.happens(EventType::RunFailed, r#"{"cost":"much"}"#).await;
    bench.happens(EventType::RunFailed, r#"{"cost":10}"#).await;
    assert_eq!(sink.wait_for(1).await[0].json()["data"], json!({ "cost": 10 }));
    bench.ended(webhook, 1, "succeeded").await;
    let view = bench.webhooks.webhook(WORKSPACE, webhook).await.unwrap();
    assert!(view.filter_fault.is_some(), "why nothing came of the one before is told");
}

/// One tool, `shape`. It counts its calls, drops what says so, and fails as often as it is told.
struct OneTool {
    calls: Arc<AtomicUsize>,
    failures: usize,
}

impl Tools for OneTool {
    fn call(&self, call: TransformCall) -> BoxFuture<'static, Result<Value, String>> {
        let (n, failures) = (self.calls.fetch_add(1, Ordering::Relaxed), self.failures);
        Box::pin(async move {
            assert_eq!((call.workspace, call.tool.as_str()), (WORKSPACE, "shape"));
            if n < failures {
                return Err("the tool is not in the mood".to_owned());
            }
            let drop = call.input["data"]["drop"] == json!(true);
            Ok(if drop { Value::Null } else { json!({ "text": call.input["type"], "call": n }) })
        })
    }

    fn missing(&self, _: WorkspaceId, by: &Transform) -> Option<String> {
        (by.tool != "shape").then(|| format!("there is no `{}`", by.tool))
    }
}

fn counting_tool(failures: usize) -> (TransformTools, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    (Arc::new(OneTool { calls: Arc::clone(&calls), failures }), calls)
}

fn by(tool: &str) -> Option<Transform> {
    Some(Transform { tool: tool.to_owned(), plugin: None })
}

#[tokio::test]
async fn a_tool_that_is_not_there_is_warned_of_wherever_the_webhook_is_shown() {
    let (bench, sink) = (Bench::with_tools(Some(counting_tool(0).0)).await, WebhookSink::start().await);
    let shaped = |tool| WebhookText { transform: by(tool), ..all_to(&sink) };
    let webhook = bench.webhook_of(shaped("shpae")).await;
    let warnings = |view: WebhookView| view.warnings.into_iter().map(|fault| fault.code).collect::<Vec<_>>();
    let shown = bench.webhooks.webhook(WORKSPACE, webhook).await.unwrap();
    assert_eq!(warnings(shown), ["webhook.unknown_tool"]);
    let listed = bench.webhooks.webhooks(WORKSPACE, None, 10).await.unwrap().remove(0);
    assert_eq!(warnings(listed), ["webhook.unknown_tool"]);
    let mended = bench.webhooks.replace(WORKSPACE, webhook, shaped("shape"), "ada").await.unwrap();
    assert!(warnings(mended).is_empty());
}

#[tokio::test]
async fn a_test_sends_what_the_tool_makes_of_it_and_says_where_it_makes_nothing() {
    let (bench, sink) = (Bench::with_tools(Some(counting_tool(1).0)).await, WebhookSink::start().await);
    let webhook = bench.webhook_of(WebhookText { transform: by("shape"), ..all_to(&sink) }).await;
    let failed = bench.webhooks.test(WORKSPACE, webhook, "ada").await.unwrap();
    let (code, why) = failed.delivery.delivery.last_error.unwrap();
    assert_eq!(
        (failed.success, code.as_str(), why.as_str()),
        (false, "webhook.transform", "the tool is not in the mood")
    );
    assert!(sink.received().is_empty());
    bench.webhooks.set_test_mode(WORKSPACE, true, "ada").await.unwrap();
    assert!(bench.webhooks.test(WORKSPACE, webhook, "ada").await.unwrap().success);
    bench.webhooks.set_test_mode(WORKSPACE, false, "ada").await.unwrap();
    assert!(sink.received().is_empty());
    let sent = bench.webhooks.test(WORKSPACE, webhook, "ada").await.unwrap();
    assert!(sent.success);
    assert_eq!(sink.received()[0].json(), json!({ "text": "webhook.test", "call": 2 }));
    assert_eq!(sent.delivery.body, sink.received()[0].body);
}

#[tokio::test]
async fn a_tool_makes_the_body_once_and_every_try_sends_it() {
    let (tool, calls) = counting_tool(1);
    let (bench, sink) = (Bench::with_tools(Some(tool)).await, WebhookSink::start().await);
    sink.replies(500);
    let webhook = bench.webhook_of(WebhookText { transform: by("shape"), ..all_to(&sink) }).await;
    bench.happens(EventType::RunFailed, "{}").await;
    let delivery = bench.put_off(webhook, 1, 1).await.remove(0);
    assert_eq!(
        delivery.last_error.unwrap(),
        ("webhook.transform".to_owned(), "the tool is not in the mood".to_owned())
    );
    assert!(sink.received().is_empty());
    let view = bench.webhooks.webhook(WORKSPACE, webhook).await.unwrap();
    assert_eq!(
        (view.failures, view.paused_until),
        (1, None),
        "the endpoint has done nothing for which it would be left alone"
    );
    bench.time_passes().await;
    bench.put_off(webhook, 1, 2).await;
    bench.time_passes().await;
    bench.ended(webhook, 1, "succeeded").await;
    let came = sink.received();
    assert_eq!(came[0].json(), json!({ "text": "run.failed", "call": 1 }));
    assert_eq!(came[0].body, came[1].body);
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    assert_eq!(bench.detail(delivery.id).await.body, came[0].body);
}

#[tokio::test]
async fn what_a_tool_answers_null_to_is_not_sent() {
    let (tool, _) = counting_tool(0);
    let (bench, sink) = (Bench::with_tools(Some(tool)).await, WebhookSink::start().await);
    let webhook = bench.webhook_of(WebhookText { transform: by("shape"), ..all_to(&sink) }).await;
    bench.happens(EventType::RunFailed, r#"{"drop":true}"#).await;
    bench.ended(webhook, 1, "skipped").await;
    assert!(sink.received().is_empty());
}

#[tokio::test]
async fn in_test_mode_deliveries_are_signed_and_kept_and_nothing_leaves() {
    let (bench, sink) = (Bench::start().await, WebhookSink::start().await);
    let webhook = bench.webhook(&sink).await;
    bench.webhooks.set_test_mode(WORKSPACE, true, "ada").await.unwrap();
    assert!(bench.webhooks.test_mode(WORKSPACE).await.unwrap());
    bench.runs_start(2).await;
    bench.ended(webhook, 2, "captured").await;
    assert!(bench.webhooks.test(WORKSPACE, webhook, "ada").await.unwrap().success);
    let log = bench.webhooks.test_mode_log(WORKSPACE, None, 10).await.unwrap();
    assert_eq!(log.len(), 3);
    let attempt = bench.detail(log[1].id).await.attempts.remove(0);
    assert_eq!((attempt.signature_valid, attempt.status), (Some(true), None));
    assert!(sink.received().is_empty());

    bench.webhooks.set_test_mode(WORKSPACE, false, "ada").await.unwrap();
    bench.runs_start(1).await;
    sink.wait_for(1).await;
    // What was captured is sent when somebody wants it.
    bench.webhooks.resend(WORKSPACE, log[1].id, "ada").await.unwrap();
    sink.wait_for(2).await;
}

#[tokio::test]
async fn while_a_key_changes_both_sign_and_afterwards_the_new_one_alone() {
    let (bench, sink) = (Bench::start().await, WebhookSink::start().await);
    let made = bench.webhooks.create(WORKSPACE, NewWebhook { text: all_to(&sink), ..NewWebhook::default() }, "ada");
    let made = made.await.unwrap();
    let rotated = bench.webhooks.rotate_secret(WORKSPACE, made.view.id, RotateSecret::default(), "ada").await.unwrap();
    assert_ne!(rotated.secret, made.secret);
    assert_eq!(rotated.view.keys.len(), 2);
    assert!(rotated.view.keys[0].valid_until.is_none() && rotated.view.keys[1].valid_until.is_some());
    bench.runs_start(1).await;
    let came = sink.wait_for(1).await;
    assert!(is_believed(&came[0], &made.secret) && is_believed(&came[0], &rotated.secret));
    assert_eq!(came[0].header("webhook-signature").split(' ').count(), 2);

    bench.sql("update webhook_keys set valid_until = now() where valid_until is not null".to_owned()).await;
    bench.runs_start(1).await;
    let came = sink.wait_for(2).await;
    assert!(!is_believed(&came[1], &made.secret) && is_believed(&came[1], &rotated.secret));
    let first = bench.ended(made.view.id, 2, "succeeded").await.pop().unwrap();
    assert_eq!(bench.detail(first.id).await.attempts[0].signature_valid, Some(true), "the new key signed it, too");

    let asymmetric =
        RotateSecret { scheme: Some(SignatureScheme::V1a), overlap_hours: Some(0), ..RotateSecret::default() };
    let rotated = bench.webhooks.rotate_secret(WORKSPACE, made.view.id, asymmetric, "ada").await.unwrap();
    assert!(rotated.secret.starts_with("whsk_") && rotated.view.keys.len() == 1);
    assert!(rotated.view.keys[0].public_key.as_ref().unwrap().starts_with("whpk_"));
    bench.runs_start(1).await;
    assert!(sink.wait_for(3).await[2].header("webhook-signature").starts_with("v1a,"));
    assert_eq!(bench.detail(first.id).await.attempts[0].signature_valid, Some(false), "no key of now made it");
}
