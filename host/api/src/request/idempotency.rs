//! The key that makes the same request again find what it made the first time.

use armilla_engine::IDEMPOTENCY_KEY_CHARS_MAX;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};

use crate::problem::{Code, Problem};

/// Says of an answer that an earlier request with the same key made what it tells of.
pub(crate) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Both spellings are in use; they mean the same.
const NAMES: [&str; 2] = ["idempotency-key", "x-idempotency-key"];

/// The request's `Idempotency-Key`, where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdempotencyKey(pub(crate) Option<String>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        key(&parts.headers).map(Self)
    }
}

pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = NAMES.into_iter().flat_map(|name| headers.get_all(name));
    let Some(first) = values.next() else { return Ok(None) };
    // Both spellings with one value are one key.
    let is_one = values.all(|other| other == first);
    let text = first.to_str().ok().filter(|text| {
        (1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    });
    match text {
        Some(text) if is_one => Ok(Some(text.to_owned())),
        _ => {
            let detail = format!(
                "`Idempotency-Key` must be one key of 1 to {IDEMPOTENCY_KEY_CHARS_MAX} visible ASCII characters."
            );
            Err(Problem::new(Code::HeaderInvalid, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sent: &[(&'static str, &str)]) -> Result<Option<String>, Code> {
        let headers =
            sent.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
        key(&headers).map_err(|problem| problem.code())
    }

    #[test]
    fn a_key_is_taken_by_either_name_and_refused_where_it_is_none() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[("idempotency-key", "a-1")]), Ok(Some("a-1".to_owned())));
        assert_eq!(read(&[("x-idempotency-key", "\"a\"")]), Ok(Some("\"a\"".to_owned())));
        assert_eq!(read(&[("idempotency-key", "a"), ("x-idempotency-key", "a")]), Ok(Some("a".to_owned())));
        assert_eq!(read(&[("idempotency-key", &"k".repeat(255))]), Ok(Some("k".repeat(255))));
        for bad in ["", "a b", "\u{e9}", &"k".repeat(256)] {
            assert_eq!(read(&[("idempotency-key", bad)]), Err(Code::HeaderInvalid), "{bad}");
        }
        assert_eq!(read(&[("idempotency-key", "a"), ("x-idempotency-key", "b")]), Err(Code::HeaderInvalid));
    }
}
