//! Requests of a guest: judged by the grant, given the secrets that belong there, and sent through `egress` alone.

use std::time::Duration;

use armilla_domain::plugin::{Denial, HttpTarget, permit_http, permit_secret_at};
use armilla_egress::{EgressError, HeaderMap, HeaderName, HeaderValue, Method, OutboundRequest, header};
use tokio::time::Instant;
use url::Url;

use super::secrets::Placeholder;
use crate::bindings::http::{Host, HttpError, Request, Response};
use crate::state::State;

/// A byte of a secret is written as `%20` in a URL at worst.
const IN_URL_BYTES_PER_BYTE: usize = 3;
/// Headers of one request or answer.
const HEADERS_MAX: usize = 100;
/// In bytes of all headers of one request.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// What HTTP itself says; a guest that says it differently would speak to somebody else than it was granted.
const HEADERS_OF_THE_HOST: [&str; 8] =
    ["host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "proxy-connection"];

impl Host for State {
    async fn send(&mut self, request: Request) -> wasmtime::Result<Result<Response, HttpError>> {
        self.count()?;
        match self.exchange(request).await {
            Ok(response) => Ok(Ok(response)),
            Err(Ended::ByGuest(error)) => Ok(Err(error)),
            Err(Ended::ByHost(error)) => Err(error),
        }
    }
}

/// Why there is no answer: something to tell the guest, or the end of the call.
enum Ended {
    ByGuest(HttpError),
    ByHost(wasmtime::Error),
}

impl From<HttpError> for Ended {
    fn from(error: HttpError) -> Self {
        Self::ByGuest(error)
    }
}

impl State {
    async fn exchange(&mut self, request: Request) -> Result<Response, Ended> {
        let url = read_url(&request.url)?;
        let method = read_method(&request.method)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let target = HttpTarget {
            method: method.as_str(),
            scheme: url.scheme(),
            host: &host,
            port: url.port_or_known_default().unwrap_or_default(),
        };
        permit_http(&self.given.needs, &self.given.access.grant, target).map_err(|denial| self.refused(denial))?;
        let Some(egress) = self.given.egress.clone() else {
            return Err(HttpError::Unavailable("this host sends no requests".to_owned()).into());
        };

        let weight = weight_of(&request);
        let within =
            || HttpError::TooLarge("the requests and answers of this call are larger than they may be".to_owned());
        self.http_bytes_left = self.http_bytes_left.checked_sub(weight).ok_or_else(within)?;
        let timeout = self.time_left(request.timeout_milliseconds);
        let outbound = self.fill_in(request, url, method, timeout, &host)?;
        let sending = async move { egress.send(outbound).await };
        let answer = self.on_host(sending).await.map_err(Ended::ByHost)?;
        let answer = answer.map_err(|error| self.unanswered(error))?;

        let response = self.take_out(answer)?;
        let weight = weight_of_answer(&response);
        self.http_bytes_left = self.http_bytes_left.checked_sub(weight).ok_or_else(within)?;
        Ok(response)
    }

    fn refused(&self, denial: Denial) -> HttpError {
        HttpError::Denied(self.denied(denial))
    }

    fn time_left(&self, asked: Option<u32>) -> Duration {
        let left = self.given.deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        asked.map_or(left, |millis| left.min(Duration::from_millis(millis.max(1).into())))
    }

    /// The request as it leaves: with the values of secrets in the place of their placeholders, each permitted at this host.
    fn fill_in(
        &mut self,
        request: Request,
        mut url: Url,
        method: Method,
        timeout: Duration,
        host: &str,
    ) -> Result<OutboundRequest, HttpError> {
        let mut headers = read_headers(&request.headers)?;
        let mut body = request.body;
        let mut filled = false;
        for placeholder in self.placeholders.iter() {
            let Placeholder { name, word, value } = placeholder;
            let (path, query) = (url.path().to_owned(), url.query().map(str::to_owned));
            let in_url = path.contains(word) || query.as_ref().is_some_and(|query| query.contains(word));
            let in_headers = headers.values().any(|header| contains(header.as_bytes(), word.as_bytes()));
            let in_body = contains(&body, word.as_bytes());
            if !(in_url || in_headers || in_body) {
                continue;
            }
            permit_secret_at(&self.given.needs, &self.given.access.grant, name, host)
                .map_err(|denial| self.refused(denial))?;
            filled = true;
            // A value is longer than its placeholder, and a body may hold many: what leaves is what counts.
            let more = (value.expose().len() * IN_URL_BYTES_PER_BYTE).saturating_sub(word.len());
            let times = memchr::memmem::find_iter(&body, word.as_bytes()).count()
                + url.as_str().matches(word.as_str()).count()
                + headers
                    .values()
                    .map(|header| memchr::memmem::find_iter(header.as_bytes(), word.as_bytes()).count())
                    .sum::<usize>();
            let grown = times.saturating_mul(more) as u64;
            self.http_bytes_left = self.http_bytes_left.checked_sub(grown).ok_or_else(|| {
                HttpError::TooLarge("the requests and answers of this call are larger than they may be".to_owned())
            })?;
            if in_url {
                let written = in_url_text(value.expose());
                url.set_path(&path.replace(word, &written));
                url.set_query(query.map(|query| query.replace(word, &written)).as_deref());
            }
            if in_headers {
                for header in headers.values_mut() {
                    let filled = replace(header.as_bytes(), word.as_bytes(), value.expose().as_bytes());
                    *header = HeaderValue::from_bytes(&filled).map_err(|_| {
                        HttpError::InvalidRequest(format!("the secret `{name}` cannot stand in a header"))
                    })?;
                    header.set_sensitive(true);
                }
            }
            if in_body {
                body = replace(&body, word.as_bytes(), value.expose().as_bytes());
            }
        }
        if filled {
            // An answer that repeats a secret must be readable for the host, and whole, or it could not be taken out again.
            headers.remove(header::RANGE);
            headers.remove(header::IF_RANGE);
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        let answer_bytes_max = usize::try_from(self.http_bytes_left).unwrap_or(usize::MAX);
        Ok(OutboundRequest { method, url: url.into(), headers, body, timeout, answer_bytes_max })
    }

    /// The answer as the guest gets it: where a server repeats a secret, the placeholder stands in its place again.
    fn take_out(&self, answer: armilla_egress::OutboundAnswer) -> Result<Response, HttpError> {
        // A placeholder may be longer than what it stands for, and an answer may repeat that often.
        let grown: usize = self
            .placeholders
            .iter()
            .map(|Placeholder { word, value, .. }| {
                let times = memchr::memmem::find_iter(&answer.body, value.expose().as_bytes()).count();
                times.saturating_mul(word.len().saturating_sub(value.expose().len()))
            })
            .fold(0, usize::saturating_add);
        if grown as u64 > self.http_bytes_left {
            return Err(HttpError::TooLarge("the answer repeats a secret too often".to_owned()));
        }
        let hide = |mut bytes: Vec<u8>| {
            for Placeholder { word, value, .. } in self.placeholders.iter() {
                // As it is, and as it was written into a URL.
                for value in [value.expose(), &in_url_text(value.expose())] {
                    if contains(&bytes, value.as_bytes()) {
                        bytes = replace(&bytes, value.as_bytes(), word.as_bytes());
                    }
                }
            }
            bytes
        };
        let headers = answer.headers.iter().take(HEADERS_MAX).map(|(name, value)| {
            let value = hide(value.as_bytes().to_vec());
            (name.as_str().to_owned(), String::from_utf8_lossy(&value).into_owned())
        });
        Ok(Response { status: answer.status, headers: headers.collect(), body: hide(answer.body) })
    }

    fn unanswered(&self, error: EgressError) -> HttpError {
        let text = error.to_string();
        match error {
            EgressError::RefusedAddress { host } => {
                let capability = format!("egress:{host}");
                self.refused(Denial { message: format!("`{capability}` is not permitted: {text}"), capability })
            }
            EgressError::BadUrl { .. } | EgressError::RefusedPort { .. } => HttpError::InvalidRequest(text),
            EgressError::Timeout { .. } => HttpError::Timeout(text),
            EgressError::AnswerTooLarge { .. } => HttpError::TooLarge(text),
            EgressError::Setup { .. }
            | EgressError::Connect { .. }
            | EgressError::Tls { .. }
            | EgressError::Protocol { .. } => HttpError::Unavailable(text),
        }
    }
}

fn read_url(text: &str) -> Result<Url, HttpError> {
    let bad = |why: &str| HttpError::InvalidRequest(format!("the URL {why}"));
    if text.len() > armilla_egress::URL_BYTES_MAX {
        return Err(bad("is too long"));
    }
    let url = Url::parse(text).map_err(|_| bad("is not an absolute URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad("must start with `http://` or `https://`"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("must not hold a user name or password"));
    }
    Ok(url)
}

fn read_method(text: &str) -> Result<Method, HttpError> {
    let good = !text.is_empty() && text.len() <= 32 && text.bytes().all(|b| b.is_ascii_uppercase());
    // These two turn a connection into something else.
    if !good || matches!(text, "CONNECT" | "TRACE") {
        return Err(HttpError::InvalidRequest("the method must be a word in capitals, such as `GET`".to_owned()));
    }
    Method::from_bytes(text.as_bytes()).map_err(|_| HttpError::InvalidRequest("the method cannot be used".to_owned()))
}

fn read_headers(given: &[(String, String)]) -> Result<HeaderMap, HttpError> {
    let bytes: usize = given.iter().map(|(name, value)| name.len() + value.len()).sum();
    if given.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        return Err(HttpError::TooLarge(format!(
            "more than {HEADERS_MAX} headers or {HEADER_BYTES_MAX} bytes of them"
        )));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let bad = || HttpError::InvalidRequest(format!("the header `{}` cannot be sent", name.escape_debug()));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        if HEADERS_OF_THE_HOST.contains(&name.as_str()) {
            return Err(bad());
        }
        headers.append(name, HeaderValue::from_str(value).map_err(|_| bad())?);
    }
    Ok(headers)
}

/// A secret as it stands in a URL: a space is `%20` there, since a `+` means one in a query alone.
fn in_url_text(value: &str) -> String {
    url::form_urlencoded::byte_serialize(value.as_bytes())
        .map(|piece| if piece == "+" { "%20" } else { piece })
        .collect()
}

fn weight_of(request: &Request) -> u64 {
    let headers: usize = request.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    (request.url.len() + headers + request.body.len()) as u64
}

fn weight_of_answer(response: &Response) -> u64 {
    let headers: usize = response.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    (headers + response.body.len()) as u64
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    !word.is_empty() && memchr::memmem::find(text, word).is_some()
}

fn replace(text: &[u8], word: &[u8], by: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, word) {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(by);
        rest = &rest[at + word.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_occurrence_is_replaced_and_nothing_else() {
        assert_eq!(replace(b"a-xx-b-xx", b"xx", b"value"), b"a-value-b-value");
        assert_eq!(replace(b"abc", b"xx", b"value"), b"abc");
        assert!(!contains(b"abc", b""));
    }

    #[test]
    fn headers_that_are_the_hosts_affair_are_refused() {
        for name in ["Host", "content-length", "Transfer-Encoding", "bad name", ""] {
            assert!(read_headers(&[(name.to_owned(), "x".to_owned())]).is_err(), "{name}");
        }
        assert!(read_headers(&[("X-Own".to_owned(), "a\r\nb: c".to_owned())]).is_err());
        assert_eq!(read_headers(&[("Accept".to_owned(), "*/*".to_owned())]).map(|headers| headers.len()).ok(), Some(1));
    }

    #[test]
    fn urls_and_methods_that_lead_elsewhere_are_refused() {
        for url in ["file:///etc/passwd", "https://user:pass@example.com/", "example.com", "https://"] {
            assert!(read_url(url).is_err(), "{url}");
        }
        for method in ["get", "CONNECT", "TRACE", "", "GET /"] {
            assert!(read_method(method).is_err(), "{method}");
        }
    }
}
