//! One request, and everything that can be told of it afterwards.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hyper_util::client::legacy::connect::HttpInfo;
use reqwest::header::HeaderMap;
use tracing::debug;

use crate::client::{Egress, IncomingAnswer, NoAnswer, OutboundRequest};
use crate::error::EgressError;
use crate::measure::{Tries, Try};

/// What became of one request. There is an answer, an error, or both: an answer whose body broke off.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The far end of the connection that the request went by, whether new or kept from before. Where no head of an answer
    /// came in time it is the far end of the connection that was made for the request, and absent where none was.
    pub peer: Option<SocketAddr>,
    /// How long it took.
    pub times: PhaseTimes,
    /// What came, as far as it came.
    pub answer: Option<CutAnswer>,
    /// Why there is no answer, or not all of it.
    pub error: Option<EgressError>,
}

/// The phases of an exchange, in their order. One that was not entered is absent, and so is one that nobody could measure;
/// the one in which the exchange ended lasts until then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PhaseTimes {
    /// Finding the addresses of the name. Absent for a host that is an address, and on a kept connection.
    pub resolving: Option<Duration>,
    /// TCP and TLS. Absent on a kept connection.
    pub connecting: Option<Duration>,
    /// From the connection until the head of the answer is there; on a kept connection from the beginning. Sending the request
    /// is part of it.
    pub waiting: Option<Duration>,
    /// Reading the body.
    pub reading: Option<Duration>,
    /// From the beginning to the end of the exchange, what lies between the phases included.
    pub total: Duration,
}

/// The beginning of an answer, whatever its status.
#[derive(Debug, Clone)]
pub struct CutAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body's first bytes, as they came: nothing is decompressed.
    pub body: Vec<u8>,
    /// Whether the body was longer than the request's bound, and reading stopped there.
    pub truncated: bool,
}

impl Egress {
    /// Sends one request and tells all about it. Of the answer's body only `answer_bytes_max` bytes are read: to be longer is no
    /// error, the rest is left unread and its connection closed. The request's timeout bounds everything, reading included.
    pub async fn deliver(&self, request: OutboundRequest) -> Exchange {
        let began = Instant::now();
        let (url, host) = match self.judge(&request.url) {
            Ok(judged) => judged,
            Err(error) => return Exchange::unsent(began, error),
        };
        let tries = Tries::default();
        let exchange = match tries.record(self.begin(request, url, host.clone())).await {
            Ok(incoming) => Exchange::answered(began, &tries, incoming).await,
            Err(no_answer) => Exchange::unanswered(began, &tries, no_answer),
        };

        let duration_ms = exchange.times.total.as_millis();
        let status = exchange.answer.as_ref().map(|answer| answer.status);
        match &exchange.error {
            None => debug!(server.host = %host, http.status = status, duration_ms, "`{host}` answered"),
            Some(error) => debug!(server.host = %host, http.status = status, duration_ms, "No whole answer: {error}"),
        }
        exchange
    }
}

impl Exchange {
    fn unsent(began: Instant, error: EgressError) -> Self {
        let times = PhaseTimes { total: began.elapsed(), ..PhaseTimes::default() };
        Self { peer: None, times, answer: None, error: Some(error) }
    }

    fn unanswered(began: Instant, tries: &Tries, no_answer: NoAnswer) -> Self {
        let ended = Instant::now();
        let tried = tries.which_made(no_answer.connection.as_ref());
        let connection = no_answer.connection.or_else(|| tried.as_ref()?.connection.clone());
        let times = PhaseTimes::until_head(began, tried.as_ref(), ended);
        Self { peer: connection.as_ref().map(HttpInfo::remote_addr), times, answer: None, error: Some(no_answer.error) }
    }

    async fn answered(began: Instant, tries: &Tries, mut incoming: IncomingAnswer) -> Self {
        let head_came = Instant::now();
        let connection = incoming.connection();
        // Where the client cannot say which connection it was, nobody can say how that one was made.
        let tried = connection.as_ref().and_then(|connection| tries.which_made(Some(connection)));
        let mut times = PhaseTimes::until_head(began, tried.as_ref(), head_came);

        let (status, headers) = (incoming.status, std::mem::take(&mut incoming.headers));
        let Beginning { body, truncated, error } = Beginning::read(incoming).await;
        times.reading = Some(head_came.elapsed());
        times.total = began.elapsed();
        let answer = Some(CutAnswer { status, headers, body, truncated });
        Self { peer: connection.as_ref().map(HttpInfo::remote_addr), times, answer, error }
    }
}

impl PhaseTimes {
    /// The phases up to the answer's head, of an exchange that came that far or ended before.
    fn until_head(began: Instant, tried: Option<&Try>, ended: Instant) -> Self {
        let total = ended.duration_since(began);
        let Some(tried) = tried else { return Self { waiting: Some(total), total, ..Self::default() } };
        let phase = |from: Instant, to: Option<Instant>| to.unwrap_or(ended).saturating_duration_since(from);
        // A name has to be resolved first; an address is connected to at once.
        let connecting_from = if tried.resolving.is_some() { tried.resolved } else { Some(tried.began) };
        Self {
            resolving: tried.resolving.map(|from| phase(from, tried.resolved)),
            connecting: connecting_from.map(|from| phase(from, tried.connected)),
            waiting: tried.connected.map(|from| phase(from, None)),
            reading: None,
            total,
        }
    }
}

/// What was read of a body.
struct Beginning {
    body: Vec<u8>,
    truncated: bool,
    error: Option<EgressError>,
}

impl Beginning {
    /// Reads until the body's end, the bound or the deadline, and lets go of the connection.
    async fn read(mut incoming: IncomingAnswer) -> Self {
        let bytes_max = incoming.bytes_max();
        let mut body = Vec::new();
        loop {
            match incoming.piece().await {
                Ok(Some(piece)) => {
                    let piece = piece.as_ref();
                    let room = bytes_max - body.len();
                    body.extend_from_slice(&piece[..piece.len().min(room)]);
                    // Only the byte after the last one tells that there is more than was asked for.
                    if piece.len() > room {
                        return Self { body, truncated: true, error: None };
                    }
                }
                Ok(None) => return Self { body, truncated: false, error: None },
                Err(error) => return Self { body, truncated: false, error: Some(error) },
            }
        }
    }
}
