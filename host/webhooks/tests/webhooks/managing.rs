//! Commands on webhooks themselves.

use armilla_domain::event::EventType;
use armilla_domain::id::WorkspaceId;
use armilla_domain::webhook::WebhookText;
use armilla_testkit::sink::{Reply, WebhookSink};
use armilla_webhooks::{DeliveryFilter, NewWebhook, RotateSecret, WebhookError};

use super::bench::{Bench, WORKSPACE, all_to};

#[tokio::test]
async fn all_faults_are_told_at_once_secret_and_address_included() {
    let bench = Bench::idle(None).await;
    let text = WebhookText {
        url: "http://169.254.169.254/latest".to_owned(),
        events: vec!["nope".to_owned()],
        concurrency: Some(0),
        ..WebhookText::default()
    };
    let new = NewWebhook { text, secret: Some("hunter2hunter2".to_owned()), ..NewWebhook::default() };
    let Err(WebhookError::Invalid(faults)) = bench.webhooks.create(WORKSPACE, new, "ada").await else {
        panic!("it is bad")
    };
    let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(pointers, ["/secret", "/url", "/events/0", "/concurrency"]);
    assert!(faults.iter().all(|fault| !fault.detail.contains("hunter2")), "{faults:?}");
    for url in ["http://127.0.0.1:22/", "http://10.0.0.1/", "http://[::1]/", "http://localhost:6000/"] {
        let text = WebhookText { url: url.to_owned(), events: vec!["*".to_owned()], ..WebhookText::default() };
        let refused = bench.webhooks.create(WORKSPACE, NewWebhook { text, ..NewWebhook::default() }, "ada").await;
        assert!(
            matches!(refused, Err(WebhookError::Invalid(faults)) if faults.len() == 1 && faults[0].pointer == "/url"),
            "{url}"
        );
    }
}

#[tokio::test]
async fn a_secret_is_taken_shown_once_and_sealed() {
    let (bench, sink) = (Bench::idle(None).await, WebhookSink::start().await);
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let new = NewWebhook { text: all_to(&sink), secret: Some(secret.to_owned()), ..NewWebhook::default() };
    let made = bench.webhooks.create(WORKSPACE, new, "ada").await.unwrap();
    assert_eq!(made.secret, secret);
    assert!(!format!("{:?}", made.view).contains("MfKQ9r8G"));
    let plain = "select from webhook_keys where sealed::text like '%MfKQ%' or encode(sealed, 'escape') like '%MfKQ%'";
    assert_eq!(bench.sql(plain.to_owned()).await, 0);
    for n in 0..4 {
        bench
            .webhooks
            .rotate_secret(WORKSPACE, made.view.id, RotateSecret::default(), "ada")
            .await
            .unwrap_or_else(|why| panic!("{n}: {why}"));
    }
    let refused = bench.webhooks.rotate_secret(WORKSPACE, made.view.id, RotateSecret::default(), "ada").await;
    assert!(matches!(refused, Err(WebhookError::TooManyKeys)));
}

#[tokio::test]
async fn what_belongs_to_another_workspace_is_not_found() {
    let (bench, sink) = (Bench::start().await, WebhookSink::start().await);
    let webhook = bench.webhook(&sink).await;
    bench.runs_start(1).await;
    let delivery = bench.ended(webhook, 1, "succeeded").await.remove(0);
    let theirs = WorkspaceId::from_parts(1, [1; 10]);
    let webhooks = &bench.webhooks;
    assert!(matches!(webhooks.webhook(theirs, webhook).await, Err(WebhookError::Unknown(_))));
    assert!(matches!(webhooks.replace(theirs, webhook, all_to(&sink), "eve").await, Err(WebhookError::Unknown(_))));
    assert!(matches!(webhooks.set_enabled(theirs, webhook, false, "eve").await, Err(WebhookError::Unknown(_))));
    assert!(matches!(webhooks.set_enabled(theirs, webhook, true, "eve").await, Err(WebhookError::Unknown(_))));
    assert!(matches!(webhooks.delete(theirs, webhook, "eve").await, Err(WebhookError::Unknown(_))));
    assert!(matches!(webhooks.test(theirs, webhook, "eve").await, Err(WebhookError::Unknown(_))));
    assert!(matches!(
        webhooks.rotate_secret(theirs, webhook, RotateSecret::default(), "eve").await,
        Err(WebhookError::Unknown(_))
    ));
    assert!(matches!(webhooks.delivery(theirs, delivery.id).await, Err(WebhookError::UnknownDelivery(_))));
    assert!(matches!(webhooks.resend(theirs, delivery.id, "eve").await, Err(WebhookError::UnknownDelivery(_))));
    assert!(webhooks.webhooks(theirs, None, 10).await.unwrap().is_empty());
    assert!(webhooks.deliveries(theirs, &DeliveryFilter::default(), None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_test_sends_one_event_now_and_tells_the_exchange() {
    let (bench, sink) = (Bench::idle(None).await, WebhookSink::start().await);
    let webhook = bench.webhook(&sink).await;
    let trial = bench.webhooks.test(WORKSPACE, webhook, "ada").await.unwrap();
    assert!(trial.success);
    assert_eq!(trial.delivery.delivery.status, "succeeded");
    assert_eq!(sink.received()[0].json()["type"], "webhook.test");
    sink.replies(Reply::from(500).body("no"));
    let trial = bench.webhooks.test(WORKSPACE, webhook, "ada").await.unwrap();
    assert!(!trial.success);
    assert_eq!((trial.delivery.delivery.status.as_str(), trial.delivery.attempts[0].status), ("failed", Some(500)));
    assert_eq!(trial.delivery.attempts[0].answer_body.as_deref(), Some(b"no".as_slice()));
    assert_eq!(bench.webhooks.webhook(WORKSPACE, webhook).await.unwrap().failures, 0, "a test is no streak");
}

#[tokio::test]
async fn a_disabled_webhook_is_told_nothing_of_the_time_between() {
    let (bench, sink) = (Bench::start().await, WebhookSink::start().await);
    let webhook = bench.webhook(&sink).await;
    bench.runs_start(1).await;
    bench.ended(webhook, 1, "succeeded").await;
    assert!(!bench.webhooks.set_enabled(WORKSPACE, webhook, false, "ada").await.unwrap().enabled);
    bench.runs_start(1).await;
    // The last webhook of the workspace: nobody follows its events any more.
    while bench.sql("select from event_cursors where consumer = 'webhooks'".to_owned()).await > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(bench.webhooks.set_enabled(WORKSPACE, webhook, true, "ada").await.unwrap().enabled);
    bench.runs_start(1).await;
    bench.ended(webhook, 2, "succeeded").await;
    assert_eq!(sink.received().len(), 2);
}

#[tokio::test]
async fn a_deleted_webhook_is_gone_and_what_it_was_sent_can_be_looked_up() {
    let (bench, sink) = (Bench::start().await, WebhookSink::start().await);
    sink.replies_otherwise(500);
    let webhook = bench.webhook(&sink).await;
    bench.runs_start(1).await;
    let delivery = bench.put_off(webhook, 1, 1).await.remove(0);
    bench.webhooks.delete(WORKSPACE, webhook, "ada").await.unwrap();
    assert!(matches!(bench.webhooks.webhook(WORKSPACE, webhook).await, Err(WebhookError::Unknown(_))));
    let detail = bench.detail(delivery.id).await;
    assert_eq!((detail.delivery.status.as_str(), detail.attempts.len()), ("failed", 1));
    assert!(detail.delivery.reason.unwrap().contains("deleted"));
    assert!(matches!(bench.webhooks.resend(WORKSPACE, delivery.id, "ada").await, Err(WebhookError::Disabled)));
    assert_eq!(bench.webhooks.deliveries(WORKSPACE, &DeliveryFilter::default(), None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn deliveries_made_at_once_are_listed_in_the_order_of_their_events() {
    let (bench, sink) = (Bench::idle(None).await, WebhookSink::start().await);
    let webhook = bench.webhook(&sink).await;
    let mut happened = Vec::new();
    for n in 0..40 {
        happened.push(bench.happens(EventType::RunStarted, &format!(r#"{{"n":{n}}}"#)).await);
    }
    bench.webhooks.start().await.unwrap();
    let listed = bench.deliveries_that(webhook, 40, |_| true).await;
    happened.reverse();
    assert_eq!(listed.iter().map(|delivery| delivery.event).collect::<Vec<_>>(), happened);
}

#[tokio::test]
async fn deliveries_are_listed_by_what_they_are_asked_for_and_removed_after_their_time() {
    let (bench, sink) = (Bench::start().await, WebhookSink::start().await);
    let webhook = bench.webhook(&sink).await;
    bench.runs_start(3).await;
    let all = bench.ended(webhook, 3, "succeeded").await;
    let count = |filter: DeliveryFilter| {
        let webhooks = bench.webhooks.clone();
        async move { webhooks.deliveries(WORKSPACE, &filter, None, 10).await.unwrap().len() }
    };
    let any = DeliveryFilter::default;
    assert_eq!(count(DeliveryFilter { status: Some("succeeded".to_owned()), ..any() }).await, 3);
    assert_eq!(count(DeliveryFilter { status: Some("failed".to_owned()), ..any() }).await, 0);
    assert_eq!(count(DeliveryFilter { event_type: Some("run.started".to_owned()), ..any() }).await, 3);
    assert_eq!(count(DeliveryFilter { event_type: Some("run.failed".to_owned()), ..any() }).await, 0);
    assert_eq!(
        count(DeliveryFilter { since: Some(all[0].created_at + chrono::TimeDelta::seconds(5)), ..any() }).await,
        0
    );
    assert_eq!(
        count(DeliveryFilter { until: Some(all[2].created_at - chrono::TimeDelta::seconds(5)), ..any() }).await,
        0
    );
    let page = bench.webhooks.deliveries(WORKSPACE, &any(), Some(all[0].id), 1).await.unwrap();
    assert_eq!(page[0].id, all[1].id);

    assert_eq!(bench.store.remove_old_deliveries(30, 10).await.unwrap(), 0);
    assert_eq!(bench.store.remove_old_deliveries(-1, 2).await.unwrap(), 2, "a few at a time");
    assert_eq!(count(any()).await, 1);
}
