//! In test mode nothing leaves, and all that would have is there to be looked at.

use serde_json::{Value, json};

use super::{ended, happens, inspected, is_believed, listed, sending};

#[tokio::test]
async fn in_test_mode_deliveries_are_signed_and_kept_and_nothing_leaves() {
    let (server, sink, made) = sending(json!({})).await;
    let client = &server.admin;
    assert_eq!(client.post("/webhooks/test-mode/enable", &json!({})).await.expect(200), json!({ "testMode": true }));
    let run = happens(client, "caught").await;
    ended(client, &made, 1, "captured").await;
    let tried = client.post(&format!("{}/test", made.path), &json!({})).await.expect(200);
    assert_eq!((&tried["success"], &tried["delivery"]["status"]), (&json!(true), &json!("captured")));

    let log = client.get("/webhooks/test-mode/log").await.expect(200);
    assert_eq!((&log["testMode"], &log["nextCursor"]), (&json!(true), &Value::Null));
    let types: Vec<&Value> = log["deliveries"].as_array().unwrap().iter().map(|one| &one["eventType"]).collect();
    assert_eq!(types, ["webhook.test", "run.succeeded"]);
    let caught = inspected(client, &log["deliveries"][1]).await;
    let body: Value = serde_json::from_str(caught["body"].as_str().unwrap()).unwrap();
    assert_eq!((&body["event"], &body["data"]["runId"]), (&json!("run.succeeded"), &json!(run)));
    let attempt = &caught["attempts"][0];
    assert_eq!((&attempt["outcome"], &attempt["signatureValid"]), (&json!("captured"), &json!(true)));
    assert_eq!((&attempt["answer"], &attempt["address"]), (&Value::Null, &Value::Null));
    assert!(caught["curl"].as_str().unwrap().contains(&sink.url()), "{caught:#}");
    let (page, rest) =
        (client.get("/webhooks/test-mode/log?limit=1").await.expect(200), "/webhooks/test-mode/log?limit=1&cursor=");
    let rest = client.get(&format!("{rest}{}", page["nextCursor"].as_str().unwrap())).await.expect(200);
    assert_eq!(rest["deliveries"][0]["id"], log["deliveries"][1]["id"]);
    assert!(sink.received().is_empty());

    assert_eq!(client.post("/webhooks/test-mode/disable", &json!({})).await.expect(200), json!({ "testMode": false }));
    happens(client, "sent").await;
    let came = sink.wait_for(1).await;
    assert!(is_believed(&came[0], &made.secret));
    // What was captured stays so, until somebody wants it sent.
    assert_eq!(listed(client, "/webhooks/deliveries?status=captured").await.len(), 2);
    let resend = format!("/webhooks/deliveries/{}/resend", caught["id"].as_str().unwrap());
    client.post(&resend, &json!({})).await.expect(202);
    let came = sink.wait_for(2).await;
    assert_eq!(came[1].json()["data"]["runId"], json!(run));
}
