//! The exchange with one registry for one pull: redirects, authorization, and what statuses mean.

use std::time::Duration;

use armilla_egress::{Egress, HeaderMap, HeaderValue, IncomingAnswer, Method, OutboundRequest, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tracing::debug;
use url::Url;

use crate::challenge::Challenge;
use crate::error::{Part, PullError};
use crate::host::{HostPattern, authority_of};
use crate::reference::Reference;

/// How many redirects one request follows. A registry sends a request to its storage, which may send it on once or twice.
pub const REDIRECTS_MAX: usize = 5;

/// In bytes: a token server's answer. Tokens travel in a header, so they are far smaller.
pub const TOKEN_BYTES_MAX: usize = 64 * 1024;

/// What a registry is told about who asks. Without `Debug`, since it holds a secret.
#[derive(Clone)]
pub struct Credentials {
    /// The user's name.
    pub username: String,
    /// The password, or the access token that registries call one.
    pub password: String,
}

impl Credentials {
    fn header(&self) -> Option<HeaderValue> {
        let pair = STANDARD.encode(format!("{}:{}", self.username, self.password));
        sensitive(&format!("Basic {pair}"))
    }
}

/// One pull's exchange.
pub(crate) struct Exchange<'a> {
    pub(crate) egress: &'a Egress,
    /// Hosts that may be spoken to in plain http.
    pub(crate) insecure: &'a [HostPattern],
    pub(crate) reference: &'a Reference,
    pub(crate) credentials: Option<&'a Credentials>,
    pub(crate) limit: Duration,
    /// What the registry has asked for once is sent with every later request to it.
    pub(crate) authorization: Option<HeaderValue>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    /// The name of the distribution project.
    token: Option<String>,
    /// The name of OAuth 2, which is allowed in its place.
    access_token: Option<String>,
}

impl Exchange<'_> {
    /// Asks the registry for `path` below the plugin's name, such as `manifests/latest`, authorizing where it wants that.
    /// What comes back is a success whose body is not yet read.
    pub(crate) async fn get(
        &mut self,
        path: &str,
        accept: &'static str,
        part: Part,
        bytes_max: usize,
    ) -> Result<IncomingAnswer, PullError> {
        let url = self.url(path)?;
        let (mut answer, mut from) = self.follow(&url, accept, self.authorization.clone(), part, bytes_max).await?;
        // Only the registry itself may ask for authorization, not the storage that it redirects to.
        if answer.status == 401 && self.authorization.is_none() && from.origin() == url.origin() {
            self.authorization = Some(self.authorize(&answer.headers).await?);
            (answer, from) = self.follow(&url, accept, self.authorization.clone(), part, bytes_max).await?;
        }
        match answer.status {
            200 => Ok(answer),
            401 | 403 => Err(self.unauthorized(match self.credentials {
                Some(_) => "the credentials are wrong, or do not reach that far",
                None => "it wants credentials, or there is no such plugin",
            })),
            404 => Err(self.not_found(part)),
            status => {
                Err(PullError::Unavailable { host: authority_of(&from), reason: unexpected(status, &answer.headers) })
            }
        }
    }

    fn url(&self, path: &str) -> Result<Url, PullError> {
        let host = self.reference.endpoint();
        let scheme = if self.may_be_plain(host) { "http" } else { "https" };
        let url = format!("{scheme}://{host}/v2/{}/{path}", self.reference.name());
        // Reference and digest are checked, so this does not happen; a mistake there must not become a wrong address.
        Url::parse(&url).map_err(|error| unavailable(host, &error.to_string()))
    }

    fn may_be_plain(&self, authority: &str) -> bool {
        self.insecure.iter().any(|pattern| pattern.matches(authority))
    }

    /// Sends a `GET` and goes where the answers send it, within bounds. The second part is where the answer comes from.
    async fn follow(
        &self,
        start: &Url,
        accept: &'static str,
        authorization: Option<HeaderValue>,
        part: Part,
        bytes_max: usize,
    ) -> Result<(IncomingAnswer, Url), PullError> {
        let mut url = start.clone();
        for _ in 0..=REDIRECTS_MAX {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            // Whoever is redirected to has no business with what was meant for the registry.
            if let Some(value) = authorization.as_ref().filter(|_| url.origin() == start.origin()) {
                headers.insert(header::AUTHORIZATION, value.clone());
            }
            let host = authority_of(&url);
            let answer = self
                .egress
                .open(OutboundRequest {
                    method: Method::GET,
                    url: url.to_string(),
                    headers,
                    body: Vec::new(),
                    timeout: self.limit,
                    answer_bytes_max: bytes_max,
                })
                .await
                .map_err(|error| PullError::from_egress(error, &host, part))?;
            if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
                return Ok((answer, url));
            }
            url = self.next_hop(&url, &answer.headers)?;
            debug!(server.host = %host, "`{host}` redirects to `{}`", authority_of(&url));
        }
        Err(PullError::RefusedRedirect { host: authority_of(start), reason: "more often than is followed" })
    }

    fn next_hop(&self, from: &Url, headers: &HeaderMap) -> Result<Url, PullError> {
        let refused = |reason| PullError::RefusedRedirect { host: authority_of(from), reason };
        let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
        let target = location.and_then(|location| from.join(location).ok());
        let target = target.ok_or_else(|| refused("without saying whereto"))?;
        match target.scheme() {
            "https" => Ok(target),
            "http" if from.scheme() == "https" => Err(refused("from https to plain http")),
            "http" if self.may_be_plain(&authority_of(&target)) => Ok(target),
            "http" => Err(refused("to a host that is not named as insecure, in plain http")),
            _ => Err(refused("to something that is neither https nor http")),
        }
    }

    /// The `Authorization` that the registry asks for.
    async fn authorize(&self, headers: &HeaderMap) -> Result<HeaderValue, PullError> {
        match Challenge::choose(headers) {
            Some(Challenge::Bearer { realm, service }) => self.token(&realm, service.as_deref()).await,
            Some(Challenge::Basic) => {
                let credentials = self.credentials.ok_or_else(|| self.unauthorized("it wants credentials"))?;
                credentials.header().ok_or_else(|| self.unauthorized("the credentials do not fit into a header"))
            }
            None => Err(self.unauthorized("it wants a kind of authorization that is not known here")),
        }
    }

    /// A token for pulling this plugin, and for nothing else.
    async fn token(&self, realm: &str, service: Option<&str>) -> Result<HeaderValue, PullError> {
        let bad_realm = || self.unauthorized("it names no token server that may be asked");
        let mut url = Url::parse(realm).map_err(|_| bad_realm())?;
        let plain = url.scheme() == "http" && self.may_be_plain(&authority_of(&url));
        if url.scheme() != "https" && !plain {
            return Err(bad_realm());
        }
        if let Some(service) = service {
            url.query_pairs_mut().append_pair("service", service);
        }
        url.query_pairs_mut().append_pair("scope", &format!("repository:{}:pull", self.reference.name()));

        let authorization = self.credentials.and_then(Credentials::header);
        let (mut answer, from) =
            self.follow(&url, "application/json", authorization, Part::Token, TOKEN_BYTES_MAX).await?;
        let host = authority_of(&from);
        match answer.status {
            200 => {}
            // Some answer so what OAuth 2 calls a bad grant.
            400 | 401 | 403 => return Err(self.unauthorized("its token server refuses")),
            status => return Err(PullError::Unavailable { reason: unexpected(status, &answer.headers), host }),
        }
        let body = read(&mut answer, &host, Part::Token).await?;
        let answer: TokenAnswer = serde_json::from_slice(&body)
            .map_err(|_| unavailable(&host, "its answer is not that of a token server"))?;
        let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
        token
            .and_then(|token| sensitive(&format!("Bearer {token}")))
            .ok_or_else(|| unavailable(&host, "its answer holds no token"))
    }

    fn unauthorized(&self, reason: &'static str) -> PullError {
        PullError::Unauthorized { registry: self.reference.registry().to_owned(), reason }
    }

    fn not_found(&self, part: Part) -> PullError {
        match part {
            Part::Manifest => PullError::NotFound { reference: self.reference.to_string() },
            Part::Component | Part::Token => PullError::NotFound { reference: format!("{} ({part})", self.reference) },
        }
    }
}

/// Reads a bounded answer to its end.
pub(crate) async fn read(answer: &mut IncomingAnswer, host: &str, part: Part) -> Result<Vec<u8>, PullError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| PullError::from_egress(error, host, part))? {
        body.extend_from_slice(chunk.as_ref());
    }
    Ok(body)
}

fn unavailable(host: &str, reason: &str) -> PullError {
    PullError::Unavailable { host: host.to_owned(), reason: reason.to_owned() }
}

fn unexpected(status: u16, headers: &HeaderMap) -> String {
    let after = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    match after.and_then(|text| text.parse::<u32>().ok()) {
        Some(seconds) => format!("it answers with status {status}, and to come back in {seconds} s"),
        None => format!("it answers with status {status}"),
    }
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use armilla_egress::EgressPolicy;

    use super::*;

    fn hop(from: &str, location: &str) -> Result<String, PullError> {
        let egress = Egress::new(EgressPolicy::default()).unwrap();
        let insecure = HostPattern::parse_all(&["plain.example:5000".to_owned()]).unwrap();
        let reference = "registry.example/slug".parse().unwrap();
        let exchange = Exchange {
            egress: &egress,
            insecure: &insecure,
            reference: &reference,
            credentials: None,
            limit: Duration::from_secs(1),
            authorization: None,
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, HeaderValue::from_str(location).unwrap());
        exchange.next_hop(&Url::parse(from).unwrap(), &headers).map(String::from)
    }

    #[test]
    fn redirects_lead_to_https_or_from_http_to_hosts_named_as_insecure() {
        let secure = "https://registry.example/v2/";
        assert_eq!(hop(secure, "https://cdn.example/blob?x=1").unwrap(), "https://cdn.example/blob?x=1");
        assert_eq!(hop(secure, "/blob").unwrap(), "https://registry.example/blob");
        let plain = "http://plain.example:5000/v2/";
        assert_eq!(hop(plain, "blob").unwrap(), "http://plain.example:5000/v2/blob");
        assert_eq!(hop(plain, "https://cdn.example/").unwrap(), "https://cdn.example/");
    }

    #[test]
    fn no_redirect_leads_from_https_to_http_not_even_to_a_host_named_as_insecure() {
        for location in ["http://registry.example/", "http://plain.example:5000/"] {
            let error = hop("https://registry.example/v2/", location).unwrap_err();
            assert_eq!(error.to_string(), "`registry.example` redirects from https to plain http");
        }
        assert!(hop("http://plain.example:5000/", "http://plain.example/").is_err());
    }

    #[test]
    fn a_registry_is_spoken_to_in_https_and_one_by_the_host_that_serves_it() {
        let egress = Egress::new(EgressPolicy::default()).unwrap();
        let url = |reference: &str| {
            let exchange = Exchange {
                egress: &egress,
                insecure: &[],
                reference: &reference.parse().unwrap(),
                credentials: None,
                limit: Duration::from_secs(1),
                authorization: None,
            };
            exchange.url("manifests/1").unwrap().to_string()
        };
        assert_eq!(url("127.0.0.1:5000/a/b:1"), "https://127.0.0.1:5000/v2/a/b/manifests/1");
        assert_eq!(url("docker.io/acme/slug:1"), "https://registry-1.docker.io/v2/acme/slug/manifests/1");
    }
}
