use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::json::nested;
use crate::template::Templates;

const SECRET: &str = "It's a Secret to Everybody";
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const BODY: &[u8] = br#"{"zen":"Keep it logically awesome.","id":"evt_1"}"#;
const AT: i64 = 1_700_000_000;
const STANDARD_WEBHOOKS: &str = "v1,oYsjRU32PE8Eu74IOJP6MuLCkkEm96v69lCJ0eDA4fo=";
const GITHUB: &str = "sha256=7dfcfcf596fb3a4b52db0ff36f33135cd382c805a1f5a3b48f3c5a147f8ab392";
const SLACK: &str = "v0=683caa14fe3b206a8d2eee9f5633fb64f56c049ce8366da29149fc9e9c0e0393";
const STRIPE: &str = "t=1700000000,v1=8362ab8586e8ae848a4fde102451604e16c9ec3c7e0d6dafd830e11e9ff4e7ad";

fn by(scheme: Scheme) -> Verification {
    Verification { scheme, secret: "s".to_owned(), tolerance_seconds: None, header: None }
}

fn headers(all: &[(&str, &str)]) -> BTreeMap<String, String> {
    all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A good call of each scheme that signs.
fn signed() -> [(Scheme, &'static str, BTreeMap<String, String>); 4] {
    let standard =
        [("webhook-id", "msg_1"), ("webhook-timestamp", "1700000000"), ("webhook-signature", STANDARD_WEBHOOKS)];
    let slack = [("x-slack-request-timestamp", "1700000000"), ("x-slack-signature", SLACK)];
    [
        (Scheme::StandardWebhooks, KEY, headers(&standard)),
        (Scheme::GitHub, SECRET, headers(&[("x-hub-signature-256", GITHUB)])),
        (Scheme::Slack, SECRET, headers(&slack)),
        (Scheme::Stripe, SECRET, headers(&[("stripe-signature", STRIPE)])),
    ]
}

#[test]
fn what_each_scheme_signs_is_accepted_with_its_secret_for_its_body_alone() {
    for (scheme, secret, headers) in signed() {
        let verified = by(scheme).verify(secret, &headers, BODY, AT).unwrap();
        assert!(verified.signature.is_some());
        assert_eq!(by(scheme).verify(secret, &headers, b"{}", AT), Err(Refusal::Wrong), "{scheme:?}");
        let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        assert_eq!(by(scheme).verify(other, &headers, BODY, AT), Err(Refusal::Wrong), "{scheme:?}");
        assert_eq!(by(scheme).verify(secret, &BTreeMap::new(), BODY, AT), Err(Refusal::Missing), "{scheme:?}");
    }
    let hello = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let documented = headers(&[("x-hub-signature-256", hello)]);
    assert!(by(Scheme::GitHub).verify(SECRET, &documented, b"Hello, World!", AT).is_ok());
}

#[test]
fn a_signature_is_believed_within_the_tolerance_on_both_sides_of_now() {
    for (scheme, secret, headers) in signed().into_iter().filter(|(scheme, ..)| scheme.signs_an_instant()) {
        let verify = |verification: &Verification, now| verification.verify(secret, &headers, BODY, now).map(drop);
        let usual = by(scheme);
        for now in [AT - 300, AT, AT + 300] {
            assert_eq!(verify(&usual, now), Ok(()), "{scheme:?}");
        }
        for now in [AT - 301, AT + 301, i64::MIN, i64::MAX] {
            assert_eq!(verify(&usual, now), Err(Refusal::Old), "{scheme:?}");
        }
        let strict = Verification { tolerance_seconds: Some(1), ..usual };
        assert_eq!(verify(&strict, AT + 2), Err(Refusal::Old));
    }
}

#[test]
fn the_instant_is_signed_and_the_age_of_a_bad_signature_is_not_told() {
    let [_, _, (_, _, slack), (_, _, stripe)] = signed();
    let later = |all: &BTreeMap<String, String>| {
        all.iter().map(|(name, value)| (name.clone(), value.replace("1700000000", "1700009999"))).collect()
    };
    for (scheme, headers) in [(Scheme::Slack, slack), (Scheme::Stripe, stripe)] {
        assert_eq!(by(scheme).verify(SECRET, &later(&headers), BODY, 1_700_009_999), Err(Refusal::Wrong));
        assert_eq!(by(scheme).verify(SECRET, &later(&headers), BODY, AT), Err(Refusal::Wrong));
    }
}

#[test]
fn one_good_signature_among_several_is_enough_and_is_the_same_however_it_is_written() {
    let [(_, _, standard), (_, _, github), _, (_, _, stripe)] = signed();
    let with = |mut all: BTreeMap<String, String>, name: &str, value: String| {
        all.insert(name.to_owned(), value);
        all
    };
    let several = format!("v2,xx v1,AAAA {STANDARD_WEBHOOKS}");
    let several = with(standard.clone(), "webhook-signature", several);
    assert!(by(Scheme::StandardWebhooks).verify(KEY, &several, BODY, AT).is_ok());
    let crowd = format!("{} {STANDARD_WEBHOOKS}", ["v1,AAAA"; SIGNATURES_MAX].join(" "));
    let crowd = with(standard, "webhook-signature", crowd);
    assert_eq!(by(Scheme::StandardWebhooks).verify(KEY, &crowd, BODY, AT), Err(Refusal::Wrong));
    let several = with(stripe, "stripe-signature", STRIPE.replace(",v1=", ",v1=00,v0=11, v1="));
    assert!(by(Scheme::Stripe).verify(SECRET, &several, BODY, AT).is_ok());
    let shouted = format!("sha256={}", GITHUB["sha256=".len()..].to_uppercase());
    let shouted = with(github.clone(), "x-hub-signature-256", shouted);
    let verify = |headers| by(Scheme::GitHub).verify(SECRET, headers, BODY, AT);
    assert_eq!(verify(&shouted), verify(&github));
    assert!(verify(&github).is_ok());
}

#[test]
fn what_cannot_be_read_is_no_signature() {
    for (scheme, name, value) in [
        (Scheme::GitHub, "x-hub-signature-256", "757107ea"),
        (Scheme::GitHub, "x-hub-signature-256", "sha256=xyz"),
        (Scheme::GitHub, "x-hub-signature-256", "sha256=é"),
        (Scheme::Slack, "x-slack-signature", "v0=00"),
        (Scheme::Stripe, "stripe-signature", "v1=00"),
        (Scheme::Stripe, "stripe-signature", "t=-1,v1=00"),
        (Scheme::Stripe, "stripe-signature", "t=99999999999999999999,v1=00"),
        (Scheme::Stripe, "stripe-signature", "t=1700000000"),
        (Scheme::StandardWebhooks, "webhook-signature", STANDARD_WEBHOOKS),
    ] {
        let refused = by(scheme).verify(KEY, &headers(&[(name, value)]), BODY, AT);
        assert_eq!(refused, Err(Refusal::Missing), "{value}");
    }
    let [(scheme, _, headers), ..] = signed();
    for unusable in ["whsec_", "whsec_***", "no base64!"] {
        assert_eq!(by(scheme).verify(unusable, &headers, BODY, AT), Err(Refusal::UnusableSecret), "{unusable}");
    }
}

#[test]
fn a_shared_secret_stands_in_its_header_to_the_letter() {
    let usual = by(Scheme::SharedSecret);
    let own = Verification { header: Some("x-token".to_owned()), ..usual.clone() };
    for (verification, name) in [(usual, "x-hook-secret"), (own, "x-token")] {
        let verify = |value: &str| verification.verify(SECRET, &headers(&[(name, value)]), BODY, AT);
        assert_eq!(verify(SECRET), Ok(Verified { signature: None }));
        for wrong in ["", "It's", "it's a secret to everybody", "It's a Secret to Everybody "] {
            assert_eq!(verify(wrong), Err(Refusal::Wrong));
        }
        assert_eq!(verification.verify(SECRET, &BTreeMap::new(), BODY, AT), Err(Refusal::Missing));
    }
}

#[test]
fn what_the_reference_library_of_standard_webhooks_signs_is_accepted() {
    let signature = standardwebhooks::Webhook::new(KEY).unwrap().sign("msg_2", AT, BODY).unwrap();
    let at = AT.to_string();
    let headers = headers(&[("webhook-id", "msg_2"), ("webhook-timestamp", &at), ("webhook-signature", &signature)]);
    assert!(by(Scheme::StandardWebhooks).verify(KEY, &headers, BODY, AT).is_ok());
}

fn hook(fields: Value) -> Hook {
    let mut whole = json!({
        "name": "h", "workflowId": "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70", "verify": null, "input": null, "when": null,
        "deduplicateBy": null, "respond": "accepted",
    });
    whole.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    serde_json::from_value(whole).unwrap()
}

fn judge(hook: &Hook, body: Value) -> Verdict {
    let headers = headers(&[("authorization", "a"), ("x-hub-signature-256", "s"), ("x-github-delivery", "d-1")]);
    let query = BTreeMap::from([("q".to_owned(), "1".to_owned())]);
    hook.judge(&Templates::new(), Call { method: "POST".to_owned(), headers, query, body }).unwrap()
}

#[test]
fn a_run_is_given_the_body_or_what_the_expressions_pick() {
    let given = |hook: Value, body| match judge(&self::hook(hook), body) {
        Verdict::Start { input, .. } => input,
        other => panic!("{other:?}"),
    };
    assert_eq!(given(json!({}), json!({ "a": 1 })), json!({ "body": { "a": 1 } }));
    let picks = json!({ "input": { "a": "body.a", "q": "query.q", "m": "method", "none": "body.b.c" } });
    assert_eq!(given(picks, json!({ "a": [1] })), json!({ "a": [1], "q": "1", "m": "POST", "none": null }));
    let when = json!({ "when": "body.a > 1" });
    assert_eq!(judge(&hook(when.clone()), json!({ "a": 1 })), Verdict::Ignored);
    assert_eq!(given(when, json!({ "a": 2 })), json!({ "body": { "a": 2 } }));
}

#[test]
fn no_expression_sees_what_proves_who_somebody_is() {
    let verify = json!({ "scheme": "github", "secret": "s" });
    let hook = hook(json!({ "verify": verify, "input": { "all": "headers" } }));
    let Verdict::Start { input, .. } = judge(&hook, json!(null)) else { panic!("it starts a run") };
    assert_eq!(input, json!({ "all": { "x-github-delivery": "d-1" } }));
}

#[test]
fn calls_are_told_apart_by_the_delivery_s_id_or_by_what_the_hook_says() {
    let key = |fields: Value, body: Value| match judge(&hook(fields), body) {
        Verdict::Start { key, .. } => key,
        other => panic!("{other:?}"),
    };
    let verify = |scheme: &str| json!({ "verify": { "scheme": scheme, "secret": "s" } });
    assert_eq!(key(json!({}), json!({ "id": "x" })), None);
    assert_eq!(key(verify("github"), json!({})), Some("d-1".to_owned()));
    assert_eq!(key(verify("stripe"), json!({ "id": "evt_1" })), Some("evt_1".to_owned()));
    assert_eq!(key(verify("slack"), json!({ "event_id": "Ev1" })), Some("Ev1".to_owned()));
    assert_eq!(key(verify("slack"), json!("text")), None);
    assert_eq!(key(json!({ "deduplicateBy": "body.n" }), json!({ "n": 7 })), Some("7".to_owned()));
    assert_eq!(key(json!({ "deduplicateBy": "body.n" }), json!({ "n": "" })), None);
}

#[test]
fn only_slack_is_given_its_challenge_back() {
    let sent = json!({ "type": "url_verification", "challenge": "c-1" });
    let slack = hook(json!({ "verify": { "scheme": "slack", "secret": "s" }, "when": "false" }));
    assert_eq!(judge(&slack, sent.clone()), Verdict::Challenged("c-1".to_owned()));
    assert!(matches!(judge(&hook(json!({})), sent), Verdict::Start { .. }));
}

#[test]
fn an_input_that_nests_too_deep_is_refused() {
    let call = |levels| Call {
        method: "POST".to_owned(),
        headers: BTreeMap::new(),
        query: BTreeMap::new(),
        body: nested(levels),
    };
    assert!(hook(json!({})).judge(&Templates::new(), call(63)).is_ok());
    assert_eq!(hook(json!({})).judge(&Templates::new(), call(64)).unwrap_err().code, "expr.limit");
}

#[test]
fn everything_that_is_wrong_with_a_hook_is_told_at_once() {
    let long = "x".repeat(HOOK_EXPRESSION_BYTES_MAX + 1);
    let wrong = hook(json!({
        "verify": { "scheme": "github", "secret": "a b", "toleranceSeconds": 5, "header": "x" },
        "input": { "a/b": "body.", "": "body", "c": "input.x" }, "when": "steps", "deduplicateBy": long,
    }));
    let faults = check(&Templates::new(), &wrong);
    let places: Vec<_> = faults.iter().map(|fault| (fault.pointer.as_str(), fault.code.as_str())).collect();
    let expected = [
        ("/verify/secret", "hook.secret"),
        ("/verify/toleranceSeconds", "hook.tolerance"),
        ("/verify/header", "hook.header"),
        ("/when", "hook.expression"),
        ("/deduplicateBy", "hook.expression"),
        ("/input/a~1b", "hook.expression"),
        ("/input/c", "hook.expression"),
        ("/input/", "hook.input"),
    ];
    assert_eq!(places, expected);
    for verify in [
        json!({ "scheme": "stripe", "secret": "s", "toleranceSeconds": 0 }),
        json!({ "scheme": "stripe", "secret": "s", "toleranceSeconds": TOLERANCE_SECONDS_MAX + 1 }),
        json!({ "scheme": "sharedSecret", "secret": "s", "header": "X Token" }),
    ] {
        assert_eq!(check(&Templates::new(), &hook(json!({ "verify": verify }))).len(), 1, "{verify}");
    }
    for scheme in ["standardWebhooks", "github", "slack", "stripe", "sharedSecret"] {
        let good = hook(json!({ "verify": { "scheme": scheme, "secret": "s" }, "when": "range(3) and body.x" }));
        assert_eq!(check(&Templates::new(), &good), [], "{scheme}");
    }
}
