//! What a registry asks for when it says "not without authorization" (RFC 9110, and the token scheme of registries).

use armilla_egress::{HeaderMap, header};

/// The way to authorization.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A token from the server at `realm`, for the service of that name.
    Bearer { realm: String, service: Option<String> },
    /// User name and password with every request.
    Basic,
}

impl Challenge {
    /// The way that shows the password the least: a token before the password itself. `None` where no way is known.
    pub(crate) fn choose(headers: &HeaderMap) -> Option<Self> {
        let mut basic = None;
        for value in headers.get_all(header::WWW_AUTHENTICATE) {
            // What does not parse is no way; another header may hold one.
            let challenges = value.to_str().ok().and_then(|text| http_auth::parse_challenges(text).ok());
            for challenge in challenges.unwrap_or_default() {
                let param = |name: &str| {
                    let found = challenge.params.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
                    found.map(|(_, value)| value.to_unescaped())
                };
                if challenge.scheme.eq_ignore_ascii_case("bearer") {
                    // The scope it may name is not asked for: what this server needs is known, and nothing more is wanted.
                    if let Some(realm) = param("realm") {
                        return Some(Self::Bearer { realm, service: param("service") });
                    }
                } else if challenge.scheme.eq_ignore_ascii_case("basic") {
                    basic = Some(Self::Basic);
                }
            }
        }
        basic
    }
}

#[cfg(test)]
mod tests {
    use armilla_egress::HeaderValue;

    use super::*;

    fn choose(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        Challenge::choose(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
    }

    #[test]
    fn a_token_is_asked_for_where_the_registry_says() {
        let text =
            r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a:pull,push""#;
        assert_eq!(choose(&[text]), bearer("https://auth.example/token", Some("registry.example")));
        assert_eq!(choose(&[r#"bearer Realm="https://a/\"x""#]), bearer("https://a/\"x", None));
    }

    #[test]
    fn a_token_comes_before_the_password_in_whatever_order_they_are_offered() {
        let token = r#"Bearer realm="https://a/""#;
        assert_eq!(choose(&["Basic realm=\"r\"", token]), bearer("https://a/", None));
        assert_eq!(choose(&[&format!("Basic realm=\"r\", {token}")]), bearer("https://a/", None));
        assert_eq!(choose(&["Basic realm=\"r\""]), Some(Challenge::Basic));
    }

    #[test]
    fn what_does_not_parse_or_is_not_known_is_no_way() {
        assert_eq!(choose(&[]), None);
        assert_eq!(choose(&["Negotiate"]), None);
        assert_eq!(choose(&["Bearer service=\"x\""]), None);
        assert_eq!(choose(&["Bearer realm=\"unterminated"]), None);
    }
}
