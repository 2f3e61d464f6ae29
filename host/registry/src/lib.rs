//! Fetches plugins from OCI registries ([`Registries`]), and tells whose they are ([`signature`]).
//!
//! A plugin is an artifact of one layer, which is the component: the layout that the WebAssembly tools of the field
//! push, with the layer type `application/wasm`, and its predecessor. What else a registry holds, such as container
//! images, is refused with a word about what was found.
//!
//! # Why the exchange is written here
//!
//! The OCI client libraries make their own HTTP client and offer no place for ours: no resolver, no rule for
//! redirects, no bound on what they hold in memory, and proxies of the environment are used. Registries redirect to
//! wherever their blobs lie, so the address rule must hold for every hop. Here every hop is a call of
//! [`armilla_egress`], which judges the address when the connection is made and bounds the time and the bytes; this
//! crate decides whether the hop is followed at all ([`REDIRECTS_MAX`], never from https to http, never with the
//! credentials of another origin). What is needed of the distribution protocol is small: two kinds of `GET` and, where
//! the registry asks for it, a token.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod challenge;
mod digest;
mod error;
mod exchange;
mod host;
mod manifest;
mod pull;
mod reference;
pub mod signature;

pub use error::{Part, PullError};
pub use exchange::{Credentials, REDIRECTS_MAX, TOKEN_BYTES_MAX};
pub use host::BadPattern;
pub use manifest::MANIFEST_BYTES_MAX;
pub use pull::{Pulled, Registries};
pub use reference::{BadReference, REFERENCE_BYTES_MAX, Reference};
