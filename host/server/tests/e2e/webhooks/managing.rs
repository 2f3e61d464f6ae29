//! Webhooks are made, read, changed and deleted.

use armilla_testkit::sink::WebhookSink;
use serde_json::{Value, json};

use super::{ended, happens, is_believed, make, sending};
use crate::harness::TestServer;

#[tokio::test]
async fn what_is_fixed_of_a_new_webhook_stands_at_the_top_of_the_answer() {
    let server = TestServer::start().await;
    let body = json!({ "url": "https://hooks.example.com/in", "events": ["agent_completed", "run.failed"] });
    let answer = server.admin.post("/webhooks", &body).await;
    let location = answer.header("location").to_owned();
    let made = answer.expect(201);
    let id = made["id"].as_str().unwrap();
    assert!(id.starts_with("wh_") && location == format!("/webhooks/{id}"), "{location}");
    assert_eq!(made["url"], "https://hooks.example.com/in");
    // Either spelling is taken, and the dotted one is kept.
    assert_eq!(made["events"], json!(["agent.completed", "run.failed"]));
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"), "{made:#}");
    assert_eq!(made["enabled"], true);

    let given = json!({
        "url": "https://hooks.example.com/in", "events": ["*"], "description": "All of it",
        "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    });
    let made = server.admin.post("/webhooks", &given).await.expect(201);
    assert_eq!((&made["secret"], &made["description"]), (&given["secret"], &given["description"]));
}

#[tokio::test]
async fn a_webhook_is_read_listed_replaced_and_deleted() {
    let server = TestServer::start().await;
    let all = json!({
        "description": "d", "filter": "data.runId", "transform": { "tool": "jq", "plugin": null }, "ordered": true,
        "concurrency": 3, "rate": { "count": 10, "per": "second" }, "timeoutSeconds": 5, "retrySeconds": [1, 2],
        "events": ["run.*"], "enabled": false, "scheme": "v1a",
    });
    let made = make(&server.admin, "http://127.0.0.1:8999/in", all.clone()).await;
    assert!(made.secret.starts_with("whsk_"));
    let webhook = server.admin.get(&made.path).await.expect(200)["webhook"].take();
    for (field, value) in all.as_object().unwrap().iter().filter(|(field, _)| *field != "scheme") {
        assert_eq!(webhook[field], *value, "{field}");
    }
    assert_eq!((&webhook["id"], &webhook["createdBy"]), (&json!(made.id), &json!("ada")));
    assert_eq!((&webhook["failures"], &webhook["pausedUntil"]), (&json!(0), &Value::Null));
    let warning = &webhook["warnings"][0];
    assert_eq!((&warning["pointer"], &warning["code"]), (&json!("/transform/tool"), &json!("webhook.unknown_tool")));
    let key = &webhook["keys"][0];
    assert_eq!((&key["scheme"], &key["validUntil"]), (&json!("v1a"), &Value::Null));
    assert!(key["publicKey"].as_str().unwrap().starts_with("whpk_"), "{key}");

    let second = make(&server.admin, "https://example.com/", json!({})).await;
    let page = async |query: &str| {
        let list = server.admin.get(&format!("/webhooks{query}")).await.expect(200);
        let ids: Vec<String> =
            list["webhooks"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
        (ids, list["nextCursor"].as_str().map(str::to_owned))
    };
    assert_eq!(page("").await, (vec![second.id.clone(), made.id.clone()], None));
    let (first, cursor) = page("?limit=1").await;
    assert_eq!(first, std::slice::from_ref(&second.id));
    assert_eq!(page(&format!("?limit=1&cursor={}", cursor.unwrap())).await, (vec![made.id.clone()], None));

    // What is absent is as if it was never said, but for the key and whether it is enabled.
    let put = json!({ "url": "https://example.com/b", "events": ["run_failed"] });
    let replaced = server.admin.put(&made.path, &put).await.expect(200)["webhook"].take();
    assert_eq!((&replaced["url"], &replaced["events"]), (&put["url"], &json!(["run.failed"])));
    assert_eq!(
        (&replaced["filter"], &replaced["ordered"], &replaced["concurrency"]),
        (&Value::Null, &json!(false), &json!(8))
    );
    assert_eq!((&replaced["keys"], &replaced["enabled"]), (&webhook["keys"], &json!(false)));
    let put = json!({ "url": "https://example.com/b", "events": ["*"], "enabled": true });
    assert_eq!(server.admin.put(&made.path, &put).await.expect(200)["webhook"]["enabled"], true);

    assert_eq!(server.admin.delete(&made.path).await.status, 204);
    server.admin.get(&made.path).await.problem(404, "webhook.not_found");
    server.admin.put(&made.path, &put).await.problem(404, "webhook.not_found");
    server.admin.delete(&made.path).await.problem(404, "webhook.not_found");
    for command in ["test", "enable", "disable", "rotate-secret"] {
        server.admin.post(&format!("{}/{command}", made.path), &json!({})).await.problem(404, "webhook.not_found");
    }
    server.admin.get(&format!("{}/deliveries", made.path)).await.problem(404, "webhook.not_found");
    assert_eq!(page("").await.0, [second.id]);
}

#[tokio::test]
async fn paths_with_words_and_paths_with_ids_do_not_get_into_each_others_way() {
    let server = TestServer::start().await;
    let client = &server.admin;
    assert_eq!(client.get("/webhooks/deliveries").await.expect(200)["deliveries"], json!([]));
    client.get("/webhooks/test-mode").await.problem(404, "webhook.not_found");
    client.get("/webhooks/deliveries/deliveries").await.problem(404, "delivery.not_found");
    client.get("/webhooks/test-mode/deliveries").await.problem(404, "webhook.not_found");
    client
        .post("/webhooks/test-mode/recover", &json!({ "since": "2026-01-01T00:00:00Z" }))
        .await
        .problem(404, "webhook.not_found");
    client.delete("/webhooks/deliveries").await.problem(405, "route.method_not_allowed");
    client.post("/webhooks/test-mode/enable", &json!({})).await.expect(200);
}

#[tokio::test]
async fn a_test_is_sent_now_and_its_answer_tells_what_came_back() {
    let (server, sink, made) = sending(json!({ "enabled": false })).await;
    sink.replies(armilla_testkit::sink::Reply::from(200).header("x-from", "sink").body("thanks"));
    let tried = server.admin.post(&format!("{}/test", made.path), &json!({})).await.expect(200);
    assert_eq!(tried["success"], true, "{tried:#}");
    let delivery = &tried["delivery"];
    assert_eq!((&delivery["eventType"], &delivery["status"]), (&json!("webhook.test"), &json!("succeeded")));
    let attempt = &delivery["attempts"][0];
    let answer = &attempt["answer"];
    assert_eq!(
        (&answer["status"], &answer["body"], &answer["bodyCut"]),
        (&json!(200), &json!("thanks"), &json!(false))
    );
    assert!(
        answer["headers"].as_array().unwrap().contains(&json!({ "name": "x-from", "value": "sink" })),
        "{answer:#}"
    );
    let came = sink.received().remove(0);
    assert!(is_believed(&came, &made.secret));
    let body = came.json();
    assert_eq!((&body["type"], &body["event"]), (&json!("webhook.test"), &json!("webhook.test")));
    assert_eq!(body["data"]["webhookId"], json!(made.id));

    sink.replies(500);
    let tried = server.admin.post(&format!("{}/test", made.path), &json!({})).await.expect(200);
    assert_eq!((&tried["success"], &tried["delivery"]["status"]), (&json!(false), &json!("failed")));
    drop(sink);
    let tried = server.admin.post(&format!("{}/test", made.path), &json!({})).await.expect(200);
    let attempt = &tried["delivery"]["attempts"][0];
    assert_eq!((&tried["success"], &attempt["answer"]), (&json!(false), &Value::Null));
    assert_eq!(attempt["error"]["code"], "webhook.connect");
    assert_eq!(ended_all(&server, &made.path).await, 3);
}

async fn ended_all(server: &TestServer, path: &str) -> usize {
    super::listed(&server.admin, &format!("{path}/deliveries")).await.len()
}

#[tokio::test]
async fn a_webhook_that_is_disabled_is_told_nothing_and_one_that_answers_410_is_disabled() {
    let (server, sink, made) = sending(json!({})).await;
    let client = &server.admin;
    let told = |command: &str| format!("{}/{command}", made.path);
    let disabled = client.post(&told("disable"), &json!({})).await.expect(200)["webhook"].take();
    assert_eq!((&disabled["enabled"], &disabled["disabledReason"]), (&json!(false), &Value::Null));
    // Who is told it shows that it was looked at.
    let witness = WebhookSink::start().await;
    let other = make(client, &witness.url(), json!({})).await;
    happens(client, "unheard").await;
    witness.wait_for(1).await;
    assert_eq!(client.delete(&other.path).await.status, 204);
    let enabled = client.post(&told("enable"), &json!({})).await.expect(200)["webhook"].take();
    assert_eq!(enabled["enabled"], true);
    let run = happens(client, "heard").await;
    let came = sink.wait_for(1).await;
    assert_eq!(came[0].json()["data"]["runId"], json!(run));
    ended(client, &made, 1, "succeeded").await;

    sink.replies_otherwise(410);
    happens(client, "gone").await;
    sink.wait_for(2).await;
    let gone = crate::harness::until("the webhook to be disabled", || async {
        let webhook = client.get(&made.path).await.expect(200)["webhook"].take();
        (webhook["enabled"] == false).then_some(webhook)
    })
    .await;
    assert_eq!(gone["disabledReason"], "gone");
    // A test is sent all the same, to see whether it is back.
    sink.replies_otherwise(204);
    let tried = client.post(&told("test"), &json!({})).await.expect(200);
    assert_eq!(tried["success"], true);
    let again = client.post(&told("enable"), &json!({})).await.expect(200)["webhook"].take();
    assert_eq!(
        (&again["enabled"], &again["disabledReason"], &again["failures"]),
        (&json!(true), &Value::Null, &json!(0))
    );
}

#[tokio::test]
async fn while_a_secret_is_rotated_both_sign() {
    let (server, sink, made) = sending(json!({})).await;
    let rotate = format!("{}/rotate-secret", made.path);
    let rotated = server.admin.post(&rotate, &json!({ "overlapHours": 1 })).await.expect(200);
    let newer = rotated["secret"].as_str().unwrap();
    assert!(newer.starts_with("whsec_") && newer != made.secret);
    let keys = rotated["webhook"]["keys"].as_array().unwrap();
    assert_eq!((keys.len(), &keys[0]["validUntil"]), (2, &Value::Null));
    assert!(keys[1]["validUntil"].is_string());
    happens(&server.admin, "both").await;
    let came = sink.wait_for(1).await;
    assert_eq!(came[0].header("webhook-signature").split(' ').count(), 2);
    assert!(is_believed(&came[0], &made.secret) && is_believed(&came[0], newer));

    // Without an overlap no other signs any more, however long it was to; and without a body at all.
    let last = server.admin.post(&rotate, &json!({ "overlapHours": 0 })).await.expect(200);
    let last = last["secret"].as_str().unwrap();
    happens(&server.admin, "last").await;
    let came = sink.wait_for(2).await;
    assert!(is_believed(&came[1], last) && !is_believed(&came[1], newer) && !is_believed(&came[1], &made.secret));
    let request = server.admin.request(reqwest::Method::POST, &rotate);
    server.admin.send(request).await.expect(200);

    let wrong = json!({ "secret": "short", "overlapHours": 721 });
    let problem = server.admin.post(&rotate, &wrong).await.problem(422, "webhook.invalid");
    let pointers: Vec<&Value> = problem["errors"].as_array().unwrap().iter().map(|fault| &fault["pointer"]).collect();
    assert_eq!(pointers, ["/secret", "/overlapHours"]);
    // As many keys as sign at once.
    for _ in 0..3 {
        server.admin.post(&rotate, &json!({})).await.expect(200);
    }
    server.admin.post(&rotate, &json!({})).await.problem(409, "webhook.too_many_keys");
    // One that ends those before it makes room for itself, and for more.
    server.admin.post(&rotate, &json!({ "overlapHours": 0 })).await.expect(200);
    server.admin.post(&rotate, &json!({})).await.expect(200);
}

#[tokio::test]
async fn a_workspace_has_a_hundred_webhooks_and_not_one_more() {
    let (server, sink) = tokio::join!(TestServer::start(), WebhookSink::start());
    for _ in 0..100 {
        make(&server.admin, &sink.url(), json!({ "enabled": false })).await;
    }
    let body = json!({ "url": sink.url(), "events": ["*"] });
    server.admin.post("/webhooks", &body).await.problem(409, "webhook.too_many");
    let list = server.admin.get("/webhooks").await.expect(200);
    assert_eq!((list["webhooks"].as_array().unwrap().len(), &list["nextCursor"]), (100, &Value::Null));
}
