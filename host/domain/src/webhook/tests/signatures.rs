//! What is signed here is accepted by the reference library of Standard Webhooks, and what is not, is not.

use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const VECTOR: &str = "v1,zDDZQ0HbZDldGfbXFD+XxplmyMbPhxymu2DUsyrVk1U=";
const BODY: &[u8] =
    br#"{"type":"run.failed","event":"run.failed","timestamp":"2026-01-01T00:00:00.000Z","data":{"a":"\u00e9"}}"#;

fn shared() -> SigningKey {
    SigningKey::parse(SignatureScheme::V1, SECRET).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the reference library judges by the system's clock")]
fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

fn verdict_of_the_reference(secret: &str, id: &str, timestamp: i64, signature: &str, body: &[u8]) -> bool {
    let timestamp = timestamp.to_string();
    let headers = [("webhook-id", id), ("webhook-timestamp", &timestamp), ("webhook-signature", signature)];
    // Its map of headers has no name here.
    let headers = headers.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    standardwebhooks::Webhook::new(secret).unwrap().verify(body, &headers).is_ok()
}

#[test]
fn the_reference_library_accepts_a_signature_of_this_message_by_this_key_of_now_and_no_other() {
    let at = now();
    let signature = shared().sign("evt_1", at, BODY);
    assert!(verdict_of_the_reference(SECRET, "evt_1", at, &signature, BODY));
    assert!(!verdict_of_the_reference(SECRET, "evt_2", at, &signature, BODY), "another id");
    assert!(!verdict_of_the_reference(SECRET, "evt_1", at + 1, &signature, BODY), "another instant");
    assert!(!verdict_of_the_reference(SECRET, "evt_1", at, &signature, b"{}"), "another body");
    let other = SigningKey::from_chance(SignatureScheme::V1, &[7; 32]);
    assert!(!verdict_of_the_reference(SECRET, "evt_1", at, &other.sign("evt_1", at, BODY), BODY), "another key");
    for late in [at - 3_600, at + 3_600] {
        assert!(!verdict_of_the_reference(SECRET, "evt_1", late, &shared().sign("evt_1", late, BODY), BODY), "late");
    }
    let both = format!("{} {signature}", other.sign("evt_1", at, BODY));
    assert!(verdict_of_the_reference(SECRET, "evt_1", at, &both, BODY), "one of two, while the key changes");
}

#[test]
fn a_made_secret_is_taken_by_the_reference_library() {
    let made = SigningKey::from_chance(SignatureScheme::V1, &[250; 32]);
    let at = now();
    assert!(verdict_of_the_reference(&made.secret_text(), "evt_1", at, &made.sign("evt_1", at, BODY), BODY));
}

#[test]
fn a_message_has_the_signature_that_other_libraries_give_it() {
    // Computed with `openssl dgst -sha256 -mac HMAC` over `evt_1.1700000000.{}`.
    assert_eq!(shared().sign("evt_1", 1_700_000_000, b"{}"), VECTOR);
    assert!(shared().verifies(VECTOR, "evt_1", 1_700_000_000, b"{}"));
}

#[test]
fn a_key_knows_its_own_signatures_in_a_list() {
    for scheme in [SignatureScheme::V1, SignatureScheme::V1a] {
        let (ours, theirs) = (SigningKey::from_chance(scheme, &[1; 32]), SigningKey::from_chance(scheme, &[2; 32]));
        let header = format!("{} {}", theirs.sign("evt_1", 5, BODY), ours.sign("evt_1", 5, BODY));
        assert!(ours.verifies(&header, "evt_1", 5, BODY) && theirs.verifies(&header, "evt_1", 5, BODY));
        assert!(!ours.verifies(&header, "evt_1", 6, BODY));
        assert!(!ours.verifies(&header, "evt_1", 5, b"{}"));
        assert!(!ours.verifies(&theirs.sign("evt_1", 5, BODY), "evt_1", 5, BODY));
        for nonsense in ["", "v1", "v1,", "v1,!!!!", "v2,AAAA", "v1a,AAAA"] {
            assert!(!ours.verifies(nonsense, "evt_1", 5, BODY), "{nonsense}");
        }
    }
}

#[test]
fn an_asymmetric_signature_is_verified_by_the_public_key_alone() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let key = SigningKey::from_chance(SignatureScheme::V1a, &[9; 32]);
    let signature = key.sign("evt_1", 5, b"{}");
    let bytes = STANDARD.decode(signature.strip_prefix("v1a,").unwrap()).unwrap();
    let public = STANDARD.decode(key.public_text().unwrap().strip_prefix("whpk_").unwrap()).unwrap();
    let public = ed25519_dalek::VerifyingKey::from_bytes(public[..].try_into().unwrap()).unwrap();
    let signature = ed25519_dalek::Signature::from_slice(&bytes).unwrap();
    assert!(public.verify_strict(b"evt_1.5.{}", &signature).is_ok());
    assert!(public.verify_strict(b"evt_1.5.[]", &signature).is_err());
}

#[test]
fn a_secret_is_read_as_it_is_written_and_nothing_else_is_one() {
    for scheme in [SignatureScheme::V1, SignatureScheme::V1a] {
        let text = SigningKey::from_chance(scheme, &[3; 32]).secret_text();
        assert_eq!(SigningKey::parse(scheme, &text).unwrap().secret_text(), text);
    }
    assert!(SigningKey::from_chance(SignatureScheme::V1, &[3; 32]).public_text().is_none());
    let base64_of = |bytes: usize| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(vec![1; bytes])
    };
    for good in [24, 33, 64] {
        assert!(SigningKey::parse(SignatureScheme::V1, &base64_of(good)).is_ok(), "the prefix may be absent");
    }
    for bad in
        [base64_of(23), base64_of(65), String::new(), "whsec_hunter2".to_owned(), format!("whsk_{}", base64_of(32))]
    {
        assert_eq!(SigningKey::parse(SignatureScheme::V1, &bad).unwrap_err(), BadKey::Shared);
    }
    for bad in [base64_of(31), base64_of(33), base64_of(64), format!("whsec_{}", base64_of(32))] {
        assert_eq!(SigningKey::parse(SignatureScheme::V1a, &bad).unwrap_err(), BadKey::Private);
    }
    assert_eq!(format!("{:?}", shared()), "SigningKey(…)");
}
