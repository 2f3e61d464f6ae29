//! The one guarded way out of the process over HTTP: webhooks, agents and plugins all leave through here.
//!
//! Every address is judged when the connection is made (`address`), so a name that answers differently a moment later
//! gains nothing. Ports of services that do not speak HTTP are refused (`ports`). No redirect is followed, no proxy of the
//! environment is used, no answer is decompressed, and every call has a bound on its time and on the bytes of its answer.
//!
//! There are three ways to call: [`Egress::send`] for a whole answer, [`Egress::open`] for one that belongs into a file, and
//! [`Egress::deliver`] for whoever has to tell afterwards what happened.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod address;
mod client;
mod deliver;
mod error;
mod guard;
mod measure;
mod ports;

pub use address::EgressPolicy;
pub use client::{
    CONNECT_TIMEOUT, Egress, IDLE_CONNECTION_TIMEOUT, IDLE_CONNECTIONS_PER_HOST_MAX, IncomingAnswer, OutboundAnswer,
    OutboundRequest, URL_BYTES_MAX,
};
pub use deliver::{CutAnswer, Exchange, PhaseTimes};
pub use error::EgressError;
/// The nets an [`EgressPolicy`] names.
pub use ipnet::IpNet;
/// The words of HTTP that a request and its answer are made of.
pub use reqwest::{
    Method,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
