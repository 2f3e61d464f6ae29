//! The precondition that somebody else's change must not have come between.

use armilla_domain::fault::Fault;
use axum::extract::FromRequestParts;
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;

use crate::problem::{Code, Problem};

/// The version that `If-Match` names (RFC 9110 section 13.1.1): `"3"`. `*` and no header name none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IfMatch(pub(crate) Option<i32>);

impl IfMatch {
    /// The version that was edited, which the header or the body names, or both in agreement.
    pub(crate) fn or(self, in_body: Option<i32>) -> Result<Option<i32>, Problem> {
        match (self.0, in_body) {
            (Some(header), Some(body)) if header != body => {
                let fault = Fault::new("/version", "body.version", format!("`If-Match` names version {header}"));
                Err(Problem::invalid(Code::BodyInvalid, vec![fault]))
            }
            (header, body) => Ok(header.or(body)),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self(None));
        }
        let digits = text.strip_prefix('"')?.strip_suffix('"')?;
        let plain = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| plain).map(|version| Self(Some(version)))
    }
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(IF_MATCH).iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        let named = value.to_str().ok().and_then(|text| Self::parse(text.trim()));
        named.filter(|_| values.next().is_none()).ok_or_else(|| {
            Problem::new(
                Code::HeaderInvalid,
                "`If-Match` must be one version of the workflow in quotes, such as `\"3\"`.",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_stands_in_quotes_and_a_star_is_any() {
        assert_eq!(IfMatch::parse("\"3\""), Some(IfMatch(Some(3))));
        assert_eq!(IfMatch::parse("*"), Some(IfMatch(None)));
        for other in
            ["", "3", "\"", "\"\"", "\"0\"", "\"+3\"", "\"03\"", "\"x\"", "W/\"3\"", "\"3\", \"4\"", "\"9999999999\""]
        {
            assert_eq!(IfMatch::parse(other), None, "{other}");
        }
    }

    #[test]
    fn header_and_body_may_both_name_the_version_but_not_two() {
        assert_eq!(IfMatch(None).or(None).unwrap(), None);
        assert_eq!(IfMatch(Some(3)).or(None).unwrap(), Some(3));
        assert_eq!(IfMatch(None).or(Some(3)).unwrap(), Some(3));
        assert_eq!(IfMatch(Some(3)).or(Some(3)).unwrap(), Some(3));
        assert_eq!(IfMatch(Some(3)).or(Some(4)).unwrap_err().code(), Code::BodyInvalid);
    }
}
