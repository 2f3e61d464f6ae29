//! The client and what goes in and out of it.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper_util::client::legacy::connect::HttpInfo;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, Response, redirect};
use tracing::{debug, warn};
use url::Url;

use crate::address::EgressPolicy;
use crate::error::{EgressError, connection_of, innermost};
use crate::guard::{GuardedResolver, Names, judge, system_names};
use crate::measure::Measure;

/// A host that accepts connections does so within seconds; the rest of a call's time is for its answer.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Shorter than the five seconds after which common servers close an idle connection, so that a call seldom meets one
/// that is just being closed.
pub const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(4);

/// Idle connections kept per host: as many as a busy workflow uses at once.
pub const IDLE_CONNECTIONS_PER_HOST_MAX: usize = 32;

/// Longer URLs are refused by common servers, too.
pub const URL_BYTES_MAX: usize = 8 * 1024;

/// The guarded HTTP client. Cloning it is cheap and shares its connections.
#[derive(Clone)]
pub struct Egress {
    client: Client,
    policy: Arc<EgressPolicy>,
}

/// One request. Without `Debug`, since headers and bodies hold secrets.
#[derive(Clone)]
pub struct OutboundRequest {
    /// The method.
    pub method: Method,
    /// An absolute `http` or `https` URL without user name and password.
    pub url: String,
    /// The headers, beside those that HTTP itself needs.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Vec<u8>,
    /// Bound on the whole call: resolving, connecting, sending, and reading the answer to its end.
    pub timeout: Duration,
    /// Bound on the answer's body. Only [`Egress::deliver`] takes the beginning of a longer one.
    pub answer_bytes_max: usize,
}

/// One answer, whatever its status.
#[derive(Debug, Clone)]
pub struct OutboundAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Vec<u8>,
}

/// One answer, whatever its status, whose body is still coming in. Dropping it ends the exchange.
pub struct IncomingAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    response: Response,
    host: String,
    started: Instant,
    limit: Duration,
    bytes_max: usize,
    /// How many bytes of the body have been handed out.
    bytes: usize,
}

impl Egress {
    /// A client that reaches public addresses and what `policy` names.
    pub fn new(policy: EgressPolicy) -> Result<Self, EgressError> {
        Self::with_names(policy, system_names)
    }

    /// As [`new`](Self::new), with `names` instead of the system to say which addresses a name has. It is believed no more than
    /// the system is: each address is judged.
    pub fn with_names<F, Found>(policy: EgressPolicy, names: F) -> Result<Self, EgressError>
    where
        F: Fn(String) -> Found + Send + Sync + 'static,
        Found: Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static,
    {
        let names: Names = Arc::new(move |name| Box::pin(names(name)));
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Fails only where somebody else was quicker, and then there is a provider as well.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let policy = Arc::new(policy);
        let builder = || {
            Client::builder()
                .dns_resolver(GuardedResolver { policy: Arc::clone(&policy), names: Arc::clone(&names) })
                .redirect(redirect::Policy::none())
                // A proxy would connect where the guard cannot see.
                .no_proxy()
                .connector_layer(Measure)
                // A body is bounded, shown and compared as it came.
                .no_gzip()
                .no_brotli()
                .no_zstd()
                .no_deflate()
                .referer(false)
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
                .pool_max_idle_per_host(IDLE_CONNECTIONS_PER_HOST_MAX)
                .user_agent(concat!("armilla/", env!("CARGO_PKG_VERSION")))
        };
        let client = builder().build().or_else(|error| {
            // A machine without certificates to trust can still speak plain HTTP; https is refused there, call by call.
            warn!(error = %innermost(&error), "There are no certificates to trust: calls by https will fail");
            builder().tls_certs_only([]).build()
        });
        let client = client.map_err(|error| EgressError::Setup { reason: innermost(&error).to_string() })?;
        Ok(Self { client, policy })
    }

    /// Sends one request and reads its answer to the end. An answer of any status is an answer; redirects are not followed.
    pub async fn send(&self, request: OutboundRequest) -> Result<OutboundAnswer, EgressError> {
        let (url, host) = self.judge(&request.url)?;
        let started = Instant::now();
        let result = self.exchange(request, url, &host).await;

        let duration_ms = started.elapsed().as_millis();
        match &result {
            Ok(answer) => debug!(server.host = %host, http.status = answer.status, duration_ms, "`{host}` answered"),
            Err(error) => debug!(server.host = %host, duration_ms, "No answer: {error}"),
        }
        result
    }

    /// Sends one request and hands out its answer while the body still comes in, for bodies that belong into a file.
    /// The request's bounds hold for the body, too.
    pub async fn open(&self, request: OutboundRequest) -> Result<IncomingAnswer, EgressError> {
        let (url, host) = self.judge(&request.url)?;
        Ok(self.begin(request, url, host).await?)
    }

    /// Whether `url` may be called as far as it says so itself: without asking anybody, so that it can be told to whoever
    /// registers it. A name may still lead nowhere or to an address that is refused; that is judged at each connection.
    pub fn check_url(&self, url: &str) -> Result<(), EgressError> {
        self.judge(url).map(|_| ())
    }

    /// The URL and its host, where both may be called.
    pub(crate) fn judge(&self, url: &str) -> Result<(Url, String), EgressError> {
        let url = parse(url)?;
        let host = host_of(&url);
        judge(&self.policy, &url, &host)?;
        Ok((url, host))
    }

    async fn exchange(&self, request: OutboundRequest, url: Url, host: &str) -> Result<OutboundAnswer, EgressError> {
        let mut incoming = self.begin(request, url, host.to_owned()).await?;
        let mut body = Vec::new();
        while let Some(chunk) = incoming.chunk().await? {
            body.extend_from_slice(chunk.as_ref());
        }
        Ok(OutboundAnswer { status: incoming.status, headers: incoming.headers, body })
    }

    pub(crate) async fn begin(
        &self,
        request: OutboundRequest,
        url: Url,
        host: String,
    ) -> Result<IncomingAnswer, NoAnswer> {
        let started = Instant::now();
        let limit = request.timeout;
        let outbound = self.client.request(request.method, url).headers(request.headers).body(request.body);
        let mut response = match tokio::time::timeout(limit, outbound.send()).await {
            Ok(answered) => answered.map_err(|error| NoAnswer {
                connection: connection_of(&error),
                error: EgressError::from_client(&error, host.clone()),
            })?,
            Err(_) => return Err(NoAnswer { connection: None, error: EgressError::Timeout { host, limit } }),
        };
        Ok(IncomingAnswer {
            status: response.status().as_u16(),
            headers: std::mem::take(response.headers_mut()),
            response,
            host,
            started,
            limit,
            bytes_max: request.answer_bytes_max,
            bytes: 0,
        })
    }
}

/// Why no head of an answer came, and over which connection, where the client says so.
pub(crate) struct NoAnswer {
    pub(crate) error: EgressError,
    pub(crate) connection: Option<HttpInfo>,
}

impl From<NoAnswer> for EgressError {
    fn from(no_answer: NoAnswer) -> Self {
        no_answer.error
    }
}

impl IncomingAnswer {
    /// The next piece of the body, or `None` where it ends. Fails when the bounds of the request are reached.
    pub async fn chunk(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, EgressError> {
        // Where the answer states its length, refuse it before reading any of it.
        let stated = self.response.content_length().unwrap_or(0);
        if stated > (self.bytes_max - self.bytes) as u64 {
            return Err(self.too_large());
        }
        let piece = self.piece().await?;
        let length = piece.as_ref().map_or(0, |piece| piece.as_ref().len());
        if length > self.bytes_max - self.bytes {
            return Err(self.too_large());
        }
        self.bytes += length;
        Ok(piece)
    }

    /// As [`chunk`](Self::chunk), for a caller who counts the bytes.
    pub(crate) async fn piece(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, EgressError> {
        let left = self.limit.saturating_sub(self.started.elapsed());
        // Asked first: bytes that are always there already would never let the timer speak.
        if left.is_zero() {
            return Err(self.timed_out());
        }
        let Ok(received) = tokio::time::timeout(left, self.response.chunk()).await else {
            return Err(self.timed_out());
        };
        received.map_err(|error| EgressError::from_client(&error, self.host.clone()))
    }

    /// The bound that the request stated.
    pub(crate) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Both ends of the connection that the answer comes by.
    pub(crate) fn connection(&self) -> Option<HttpInfo> {
        self.response.extensions().get().cloned()
    }

    fn too_large(&self) -> EgressError {
        EgressError::AnswerTooLarge { host: self.host.clone(), limit: self.bytes_max }
    }

    fn timed_out(&self) -> EgressError {
        EgressError::Timeout { host: self.host.clone(), limit: self.limit }
    }
}

fn parse(text: &str) -> Result<Url, EgressError> {
    let bad = |reason| EgressError::BadUrl { reason };
    if text.len() > URL_BYTES_MAX {
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

fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}
