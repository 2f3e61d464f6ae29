//! Who is believed: each scheme's good calls, and those that were changed, are late, or were overheard.

use reqwest::Method;
use serde_json::json;

use super::{call, now, outcomes, runs, signed, verified};

const SCHEMES: [&str; 5] = ["standardWebhooks", "github", "slack", "stripe", "sharedSecret"];
const BODY: &str = r#"{"action":"opened"}"#;

#[tokio::test]
async fn a_call_of_each_scheme_is_believed_and_starts_a_run_with_its_body() {
    for scheme in SCHEMES {
        let (server, hook, _) = verified(scheme).await;
        let answer = call(&server, &hook, &signed(scheme, BODY, now(), "d-1"), BODY).await.expect(202);
        assert_eq!(answer["outcome"], "started", "{scheme}");
        let run = server.admin.ended(answer["runId"].as_str().unwrap()).await;
        assert_eq!(run["output"]["given"], json!({ "body": { "action": "opened" } }), "{scheme}");
    }
}

#[tokio::test]
async fn a_call_that_was_changed_or_is_not_signed_starts_nothing() {
    for scheme in SCHEMES {
        let (server, hook, workflow) = verified(scheme).await;
        let headers = signed(scheme, BODY, now(), "d-1");
        if scheme == "sharedSecret" {
            let guessed = [("x-hook-secret", "It's a Secret".to_owned())];
            call(&server, &hook, &guessed, BODY).await.problem(401, "hook.signature_wrong");
        } else {
            let other = r#"{"action":"closed"}"#;
            let refused = call(&server, &hook, &headers, other).await;
            assert_eq!(refused.header("www-authenticate"), r#"Signature realm="armilla""#);
            refused.problem(401, "hook.signature_wrong");
        }
        call(&server, &hook, &[], BODY).await.problem(401, "hook.signature_missing");
        // What was not believed is not read either.
        call(&server, &hook, &[], "{").await.problem(401, "hook.signature_missing");
        assert_eq!(runs(&server.admin, &workflow).await, 0, "{scheme}");
        let refused = outcomes(&server.admin, &hook).await;
        let codes: Vec<_> =
            refused.iter().map(|(outcome, code)| (outcome.as_str(), code.as_deref().unwrap())).collect();
        let (missing, wrong) = (("refused", "hook.signature_missing"), ("refused", "hook.signature_wrong"));
        assert_eq!(codes, [missing, missing, wrong]);
    }
}

#[tokio::test]
async fn a_call_that_comes_late_or_too_early_is_refused() {
    for scheme in ["standardWebhooks", "slack", "stripe"] {
        let (server, hook, workflow) = verified(scheme).await;
        for at in [now() - 310, now() + 310] {
            let refused = call(&server, &hook, &signed(scheme, BODY, at, "d-1"), BODY).await;
            refused.problem(401, "hook.signature_old");
        }
        assert_eq!(runs(&server.admin, &workflow).await, 0);
        call(&server, &hook, &signed(scheme, BODY, now() - 200, "d-1"), BODY).await.expect(202);
    }
}

#[tokio::test]
async fn a_delivery_that_comes_again_starts_nothing_and_an_overheard_signature_serves_nobody() {
    for (scheme, body) in [
        ("standardWebhooks", BODY),
        ("github", BODY),
        ("slack", r#"{"event_id":"Ev1"}"#),
        ("stripe", r#"{"id":"evt_1"}"#),
    ] {
        let (server, hook, workflow) = verified(scheme).await;
        let first = signed(scheme, body, now() - 10, "d-1");
        let started = call(&server, &hook, &first, body).await.expect(202);
        // The answer was lost, and the sender tries again: the same bytes, or signed anew.
        for headers in [first, signed(scheme, body, now(), "d-1")] {
            let again = call(&server, &hook, &headers, body).await.expect(202);
            assert_eq!((&again["outcome"], &again["runId"]), (&json!("repeated"), &started["runId"]), "{scheme}");
        }
        assert_eq!(runs(&server.admin, &workflow).await, 1, "{scheme}");
    }

    // The delivery's id is not signed here: another one must not make a new call of an old one.
    let (server, hook, workflow) = verified("github").await;
    call(&server, &hook, &signed("github", BODY, now(), "d-1"), BODY).await.expect(202);
    let overheard = signed("github", BODY, now(), "d-2");
    call(&server, &hook, &overheard, BODY).await.problem(401, "hook.signature_replayed");
    assert_eq!(runs(&server.admin, &workflow).await, 1);

    // And where a delivery has none, its signature is good once.
    for scheme in ["slack", "stripe"] {
        let (server, hook, workflow) = verified(scheme).await;
        let headers = signed(scheme, BODY, now(), "");
        call(&server, &hook, &headers, BODY).await.expect(202);
        call(&server, &hook, &headers, BODY).await.problem(401, "hook.signature_replayed");
        assert_eq!(runs(&server.admin, &workflow).await, 1);
    }
}

#[tokio::test]
async fn slack_is_given_its_challenge_back_if_it_signs_it() {
    let (server, hook, workflow) = verified("slack").await;
    let body = r#"{"type":"url_verification","challenge":"c-1"}"#;
    let answer = call(&server, &hook, &signed("slack", body, now(), ""), body).await;
    assert_eq!(answer.expect(200), json!({ "challenge": "c-1" }));
    call(&server, &hook, &[], body).await.problem(401, "hook.signature_missing");
    assert_eq!(runs(&server.admin, &workflow).await, 0);
}

#[tokio::test]
async fn a_secret_is_read_at_each_call_and_without_it_nothing_is_believed() {
    let (server, hook, _) = verified("github").await;
    let headers = signed("github", BODY, now(), "d-1");
    server.admin.put("/secrets/sender", &json!({ "value": "another secret" })).await.expect(200);
    call(&server, &hook, &headers, BODY).await.problem(401, "hook.signature_wrong");
    let gone = server.admin.send(server.admin.request(Method::DELETE, "/secrets/sender")).await;
    assert_eq!(gone.status, 204);
    let refused = call(&server, &hook, &headers, BODY).await;
    assert_eq!(refused.header("retry-after"), "60");
    refused.problem(503, "hook.secret_missing");
}
