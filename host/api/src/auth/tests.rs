use chrono::TimeDelta;
use serde_json::{Value, json};

use super::*;

const CURRENT: &[u8] = b"the current secret has 32 bytes!";
const PREVIOUS: &[u8] = b"the previous secret had 32 bytes";

fn now() -> DateTime<Utc> {
    "2026-01-31T09:30:00Z".parse().unwrap()
}

fn config() -> AuthConfig {
    AuthConfig {
        current_secret: Secret::new(CURRENT).unwrap(),
        previous_secret: Some(Secret::new(PREVIOUS).unwrap()),
        issuer: "armilla".to_owned(),
        audience: "armilla-api".to_owned(),
        leeway: Duration::from_secs(5),
    }
}

fn verify(token: &str) -> Result<Caller, AuthError> {
    Authenticator::new(&config()).unwrap().verify(token, now())
}

fn claims() -> Claims {
    Claims {
        sub: "ada".to_owned(),
        role: Role::Member,
        ws: None,
        iat: now().timestamp(),
        nbf: Some(now().timestamp()),
        exp: now().timestamp() + 3600,
        iss: "armilla".to_owned(),
        aud: "armilla-api".to_owned(),
    }
}

fn token(change: impl FnOnce(&mut Claims)) -> String {
    let mut claims = claims();
    change(&mut claims);
    mint(&Secret::new(CURRENT).unwrap(), &claims).unwrap()
}

/// A signed token whose claims are the usual ones, with some replaced, or removed where null.
fn token_with(changes: &Value) -> String {
    let mut value = serde_json::to_value(claims()).unwrap();
    for (name, change) in changes.as_object().unwrap() {
        match change {
            Value::Null => value.as_object_mut().unwrap().remove(name),
            other => value.as_object_mut().unwrap().insert(name.clone(), other.clone()),
        };
    }
    jsonwebtoken::encode(&Header::new(ALGORITHM), &value, &EncodingKey::from_secret(CURRENT)).unwrap()
}

/// A token with `header` in place of its own, its signature left as it was.
fn relabelled(token: &str, header: &str) -> String {
    let (_, rest) = token.split_once('.').unwrap();
    format!("{}.{rest}", base64url(header))
}

fn base64url(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        out.extend((0..=chunk.len()).map(|i| char::from(ALPHABET[(bits >> (18 - 6 * i) & 63) as usize])));
    }
    out
}

#[test]
fn a_good_token_tells_who_calls() {
    let expected = Caller { subject: "ada".to_owned(), role: Role::Member, workspace: WorkspaceId::DEFAULT };
    assert_eq!(verify(&token(|_| {})), Ok(expected));
}

#[test]
fn a_token_may_name_a_workspace() {
    let ws = WorkspaceId::from_parts(1, [1; 10]);
    assert_eq!(verify(&token(|c| c.ws = Some(ws))).map(|caller| caller.workspace), Ok(ws));
}

#[test]
fn the_previous_secret_still_accepts_what_it_signed() {
    let token = mint(&Secret::new(PREVIOUS).unwrap(), &claims()).unwrap();
    assert!(verify(&token).is_ok());
    let without = Authenticator::new(&AuthConfig { previous_secret: None, ..config() }).unwrap();
    assert_eq!(without.verify(&token, now()), Err(AuthError::BadSignature));
}

#[test]
fn another_secret_is_refused() {
    let token = mint(&Secret::new(&b"a secret that nobody configured!"[..]).unwrap(), &claims()).unwrap();
    assert_eq!(verify(&token), Err(AuthError::BadSignature));
}

#[test]
fn changed_claims_are_refused() {
    let (viewer, owner) = (token(|c| c.role = Role::Viewer), token(|c| c.role = Role::Owner));
    let (viewer, owner): (Vec<_>, Vec<_>) = (viewer.split('.').collect(), owner.split('.').collect());
    assert_eq!(verify(&[viewer[0], owner[1], viewer[2]].join(".")), Err(AuthError::BadSignature));
}

#[test]
fn a_token_without_a_signature_is_refused_whatever_its_header_says() {
    let unsigned = relabelled(&token(|_| {}), r#"{"alg":"none","typ":"JWT"}"#);
    assert_eq!(verify(&unsigned), Err(AuthError::WrongAlgorithm));
    let (signed_part, _) = unsigned.rsplit_once('.').unwrap();
    assert_eq!(verify(&format!("{signed_part}.")), Err(AuthError::WrongAlgorithm));
    let (signed_part, _) = token(|_| {}).rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert_eq!(verify(&format!("{signed_part}.")), Err(AuthError::BadSignature));
}

#[test]
fn every_other_algorithm_is_refused_even_with_the_right_secret() {
    for label in ["RS256", "ES256", "EdDSA", "HS512", "hs256", "NONE", ""] {
        let header = format!(r#"{{"alg":"{label}","typ":"JWT"}}"#);
        assert_eq!(verify(&relabelled(&token(|_| {}), &header)), Err(AuthError::WrongAlgorithm), "{label}");
    }
    for alg in [Algorithm::HS384, Algorithm::HS512] {
        let token = jsonwebtoken::encode(&Header::new(alg), &claims(), &EncodingKey::from_secret(CURRENT)).unwrap();
        assert_eq!(verify(&token), Err(AuthError::WrongAlgorithm));
    }
    assert_eq!(verify(&relabelled(&token(|_| {}), r#"{"typ":"JWT"}"#)), Err(AuthError::WrongAlgorithm));
}

#[test]
fn an_extension_that_must_be_understood_is_refused() {
    let mut header = Header::new(ALGORITHM);
    header.crit = Some(vec!["b64".to_owned()]);
    let token = jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(CURRENT)).unwrap();
    assert!(matches!(verify(&token), Err(AuthError::Malformed(_))));
}

#[test]
fn what_is_not_a_token_is_called_malformed() {
    for text in
        ["", "abc", "a.b", "a.b.c", "a.b.c.d", "....", "eyJhbGciOiJIUzI1NiJ9.x.y z", &"x".repeat(TOKEN_BYTES_MAX + 1)]
    {
        assert!(matches!(verify(text), Err(AuthError::Malformed(_) | AuthError::BadSignature)), "{text:.40}");
    }
}

#[test]
fn a_token_expires_to_the_second_and_the_leeway() {
    let at = |seconds: i64| token(|c| c.exp = now().timestamp() + seconds);
    assert!(verify(&at(-4)).is_ok());
    assert_eq!(verify(&at(-5)), Err(AuthError::Expired));
    assert_eq!(
        Authenticator::new(&config()).unwrap().verify(&token(|_| {}), now() + TimeDelta::seconds(3605)),
        Err(AuthError::Expired)
    );
}

#[test]
fn a_token_is_not_valid_before_its_time() {
    let at = |seconds: i64| token(|c| c.nbf = Some(now().timestamp() + seconds));
    assert!(verify(&at(5)).is_ok());
    assert_eq!(verify(&at(6)), Err(AuthError::NotYetValid));
    assert!(verify(&token(|c| c.nbf = None)).is_ok());
}

#[test]
fn the_issuer_and_the_audience_must_be_ours() {
    assert_eq!(verify(&token(|c| c.iss = "somebody".to_owned())), Err(AuthError::WrongIssuer));
    assert_eq!(verify(&token_with(&json!({ "iss": null }))), Err(AuthError::WrongIssuer));
    assert_eq!(verify(&token(|c| c.aud = "another".to_owned())), Err(AuthError::WrongAudience));
    assert_eq!(verify(&token_with(&json!({ "aud": null }))), Err(AuthError::WrongAudience));
    assert_eq!(verify(&token_with(&json!({ "aud": [] }))), Err(AuthError::WrongAudience));
    assert!(verify(&token_with(&json!({ "aud": ["another", "armilla-api"] }))).is_ok());
}

#[test]
fn claims_that_are_absent_or_of_the_wrong_type_are_named() {
    let cases = [
        (json!({ "exp": null }), "exp"),
        (json!({ "exp": "tomorrow" }), "f64"),
        (json!({ "sub": null }), "sub"),
        (json!({ "sub": "" }), "sub"),
        (json!({ "sub": "x".repeat(SUBJECT_CHARS_MAX + 1) }), "sub"),
        (json!({ "role": null }), "role"),
        (json!({ "role": "root" }), "viewer"),
        (json!({ "ws": "run_1" }), "ws_"),
    ];
    for (changes, named) in cases {
        match verify(&token_with(&changes)) {
            Err(AuthError::Malformed(why)) => assert!(why.contains(named), "{changes}: {why}"),
            other => panic!("{changes}: {other:?}"),
        }
    }
}

#[test]
fn times_may_have_fractions() {
    assert!(verify(&token_with(&json!({ "exp": now().timestamp() as f64 + 0.5 }))).is_ok());
}

#[test]
fn each_role_may_do_what_the_lesser_ones_may() {
    for (position, role) in Role::ALL.into_iter().enumerate() {
        let caller = Caller { subject: "ada".to_owned(), role, workspace: WorkspaceId::DEFAULT };
        for (needed_position, needed) in Role::ALL.into_iter().enumerate() {
            assert_eq!(caller.require(needed).is_ok(), position >= needed_position, "{role} for {needed}");
        }
        assert_eq!(role.to_string().parse(), Ok(role));
    }
    assert!("Owner".parse::<Role>().is_err());
}

#[test]
fn a_configuration_that_protects_nothing_is_refused() {
    assert_eq!(Secret::new(&CURRENT[1..]).err(), Some(AuthConfigError::SecretTooShort { bytes: 31 }));
    let refused = |config: AuthConfig| Authenticator::new(&config).err();
    assert_eq!(refused(AuthConfig { issuer: String::new(), ..config() }), Some(AuthConfigError::Empty("issuer")));
    assert_eq!(refused(AuthConfig { audience: String::new(), ..config() }), Some(AuthConfigError::Empty("audience")));
    let leeway = LEEWAY_MAX + Duration::from_secs(1);
    assert_eq!(refused(AuthConfig { leeway, ..config() }), Some(AuthConfigError::LeewayTooLong));
}

#[test]
fn a_secret_never_shows_itself() {
    let config = config();
    let shown = format!("{config:?} {:?}", Authenticator::new(&config).unwrap());
    assert!(!shown.contains("secret has") && !shown.contains(&format!("{:?}", &CURRENT[..4])[1..12]), "{shown}");
}
