//! How a call can fail before there is an answer. Messages name the host and never the path or query, which may hold keys.

use std::error::Error;
use std::io;
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpInfo;

use crate::guard::Refused;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The client could not be made: no certificates to trust, for example.
    #[error("the outbound HTTP client could not be made: {reason}")]
    Setup {
        /// What went wrong.
        reason: String,
    },
    /// The URL cannot be called.
    #[error("the URL {reason}")]
    BadUrl {
        /// What is wrong with it, as the rest of a sentence.
        reason: &'static str,
    },
    /// The host is, or leads only to, addresses that may not be reached.
    #[error("`{host}` leads to a private or reserved address, which is refused")]
    RefusedAddress {
        /// Host and port.
        host: String,
    },
    /// The port is one of a service that does not speak HTTP. No policy lets it through.
    #[error("the port of `{host}` is the one of {service}, and is refused since that is not HTTP")]
    RefusedPort {
        /// Host and port.
        host: String,
        /// What is there, as the rest of a sentence.
        service: &'static str,
    },
    /// The whole call, body included, took longer than it may.
    #[error("`{host}` did not answer in full within {} ms", limit.as_millis())]
    Timeout {
        /// Host and port.
        host: String,
        /// How long the call was given.
        limit: Duration,
    },
    /// The name does not resolve, or nobody accepts a connection.
    #[error("no connection to `{host}`: {reason}")]
    Connect {
        /// Host and port.
        host: String,
        /// What went wrong.
        reason: String,
    },
    /// The connection could not be secured.
    #[error("no secure connection to `{host}`: {reason}")]
    Tls {
        /// Host and port.
        host: String,
        /// What went wrong.
        reason: String,
    },
    /// The connection broke, or what came over it is not HTTP.
    #[error("the exchange with `{host}` broke off: {reason}")]
    Protocol {
        /// Host and port.
        host: String,
        /// What went wrong.
        reason: String,
    },
    /// The answer is larger than the caller takes.
    #[error("the answer of `{host}` is larger than {limit} bytes")]
    AnswerTooLarge {
        /// Host and port.
        host: String,
        /// How many bytes the caller takes.
        limit: usize,
    },
}

impl EgressError {
    /// What an error of the client means. Only the innermost reason is kept: the outer ones repeat the URL.
    pub(crate) fn from_client(error: &reqwest::Error, host: String) -> Self {
        let reason = innermost(error).to_string();
        if causes(error).any(|cause| cause.is::<Refused>()) {
            Self::RefusedAddress { host }
        } else if causes(error).any(|cause| cause.is::<rustls::Error>()) {
            Self::Tls { host, reason }
        } else if error.is_connect() {
            Self::Connect { host, reason }
        } else {
            Self::Protocol { host, reason }
        }
    }
}

/// Both ends of the connection that broke, where there was one.
pub(crate) fn connection_of(error: &reqwest::Error) -> Option<HttpInfo> {
    let connected =
        causes(error).find_map(|cause| cause.downcast_ref::<hyper_util::client::legacy::Error>()?.connect_info())?;
    let mut extras = Default::default();
    connected.get_extras(&mut extras);
    extras.get().cloned()
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error: &&'a (dyn Error + 'static)| {
        // The source of an I/O error is its cause's cause; the cause itself has another name.
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// The first cause.
pub(crate) fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    causes(error).last().unwrap_or(error)
}
