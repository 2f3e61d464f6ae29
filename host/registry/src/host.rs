//! Which registries the operator named.

use url::{Host, Url};

/// A registry that the operator named: `host`, `host:port`, or `*.domain` for every host below a domain.
///
/// It is compared as it is written, and without a port it means the default one. So `localhost` names another registry
/// than `localhost:5000` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostPattern {
    /// With its dot, for hosts below a domain.
    below: bool,
    text: String,
}

/// An entry of a list of registries that names none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{entry}` names no registry: write `host`, `host:port` or `*.domain`")]
pub struct BadPattern {
    /// The entry.
    pub entry: String,
}

impl HostPattern {
    /// All of `entries`, or all that are wrong.
    pub(crate) fn parse_all(entries: &[String]) -> Result<Vec<Self>, Vec<BadPattern>> {
        let (good, bad): (Vec<_>, Vec<_>) = entries.iter().map(|entry| Self::parse(entry)).partition(Result::is_ok);
        if bad.is_empty() {
            Ok(good.into_iter().flatten().collect())
        } else {
            Err(bad.into_iter().filter_map(Result::err).collect())
        }
    }

    fn parse(entry: &str) -> Result<Self, BadPattern> {
        let lower = entry.trim().to_ascii_lowercase();
        let (below, host) = match lower.strip_prefix("*.") {
            Some(domain) => (true, domain),
            None => (false, lower.as_str()),
        };
        if !is_authority(host) || (below && is_address(host)) {
            return Err(BadPattern { entry: entry.to_owned() });
        }
        Ok(Self { below, text: if below { format!(".{host}") } else { host.to_owned() } })
    }

    /// `authority` is `host` or `host:port`.
    pub(crate) fn matches(&self, authority: &str) -> bool {
        let authority = authority.to_ascii_lowercase();
        if self.below { authority.ends_with(&self.text) } else { authority == self.text }
    }
}

/// Whether `text` is a host with or without a port, written the one way that the URL it becomes part of writes it, too.
/// Other spellings of an address, such as `0x7f.1`, and everything that would end the host early are none.
pub(crate) fn is_authority(text: &str) -> bool {
    // A URL's host may hold more, a `*` for example.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    let is_host_in =
        |scheme: &str| Url::parse(&format!("{scheme}://{text}/")).is_ok_and(|url| authority_of(&url) == text);
    // A scheme leaves out its own default port, so the other one tells whether the port is fit to be written.
    text.bytes().all(plain) && (is_host_in("https") || is_host_in("http"))
}

/// `host` or `host:port` of a URL.
pub(crate) fn authority_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn is_address(authority: &str) -> bool {
    let url = Url::parse(&format!("https://{authority}/"));
    url.is_ok_and(|url| matches!(url.host(), Some(Host::Ipv4(_) | Host::Ipv6(_))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(entry: &str, authority: &str) -> bool {
        HostPattern::parse(entry).unwrap().matches(authority)
    }

    #[test]
    fn a_host_is_named_with_its_port() {
        assert!(matches("ghcr.io", "ghcr.io"));
        assert!(matches("GHCR.io", "ghcr.io"));
        assert!(matches("127.0.0.1:5000", "127.0.0.1:5000"));
        assert!(matches("[::1]:5000", "[::1]:5000"));
        assert!(!matches("ghcr.io", "ghcr.io:8443"));
        assert!(!matches("localhost:5000", "localhost:5001"));
        assert!(!matches("ghcr.io", "evil-ghcr.io"));
        assert!(!matches("ghcr.io", "ghcr.io.evil.example"));
    }

    #[test]
    fn a_star_names_the_hosts_below_a_domain_and_not_the_domain() {
        assert!(matches("*.example.com", "registry.example.com"));
        assert!(matches("*.example.com:5000", "a.b.example.com:5000"));
        assert!(!matches("*.example.com", "example.com"));
        assert!(!matches("*.example.com", "badexample.com"));
        assert!(!matches("*.example.com", "registry.example.com:5000"));
    }

    #[test]
    fn what_names_no_registry_is_refused_all_at_once() {
        let entries =
            ["ghcr.io", "https://ghcr.io", "*", "ghcr.io/acme", "", "*.10.0.0.1", "0x7f.1", "a:b@c", "host:99999"];
        let bad = HostPattern::parse_all(&entries.map(str::to_owned)).unwrap_err();
        assert_eq!(bad.iter().map(|bad| bad.entry.as_str()).collect::<Vec<_>>(), entries[1..]);
    }
}
