//! Why a plugin did not come. Messages are for people; they name hosts and digests, never credentials or queries.

use std::time::Duration;

use armilla_egress::EgressError;

use crate::reference::BadReference;

/// Why a plugin was not pulled. Whatever it is, no file is left behind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PullError {
    /// The text is no reference.
    #[error(transparent)]
    BadReference(#[from] BadReference),
    /// The operator named the registries that may be used, and this is none of them.
    #[error("plugins may not come from `{registry}`; allowed are {}", list(allowed))]
    RegistryNotAllowed {
        /// The registry of the reference.
        registry: String,
        /// What the operator named.
        allowed: Vec<String>,
    },
    /// The registry, its token server, or where it redirects to leads to an address that may not be reached.
    #[error("`{host}` leads to a private or reserved address, which is refused")]
    RefusedAddress {
        /// Host and port.
        host: String,
    },
    /// The registry sends us on to where we do not go.
    #[error("`{host}` redirects {reason}")]
    RefusedRedirect {
        /// Who redirects.
        host: String,
        /// Whereto, as the rest of a sentence.
        reason: &'static str,
    },
    /// There is no such name, tag or digest, or none that may be seen.
    #[error("`{reference}` is not there")]
    NotFound {
        /// What was asked for.
        reference: String,
    },
    /// The registry does not give it to these credentials, or to nobody without any.
    #[error("`{registry}` does not give this plugin out: {reason}")]
    Unauthorized {
        /// The registry.
        registry: String,
        /// What is the matter, as a sentence without its stop.
        reason: &'static str,
    },
    /// What is there is no plugin.
    #[error("this is not a plugin but {found}; a plugin is an artifact of one layer `application/wasm`")]
    WrongKind {
        /// What it is.
        found: String,
    },
    /// The manifest or component is larger than may be.
    #[error("the {part} is larger than {bytes_max} bytes")]
    TooLarge {
        /// What.
        part: Part,
        /// How many bytes it may have.
        bytes_max: u64,
    },
    /// What came is not what was named: it was tampered with or damaged.
    #[error("the {part} is not the one that was named: {expected} was to come, {found} came")]
    DigestMismatch {
        /// What.
        part: Part,
        /// The digest that was named.
        expected: String,
        /// The digest of what came, or how it differs in length.
        found: String,
    },
    /// It took longer than it may.
    #[error("the plugin did not come within {} ms", limit.as_millis())]
    Timeout {
        /// How long it may take.
        limit: Duration,
    },
    /// The connection could not be secured.
    #[error(
        "no secure connection to `{host}`: {reason}; plain http is spoken only with registries that are named as insecure"
    )]
    NotSecure {
        /// Host and port.
        host: String,
        /// What went wrong.
        reason: String,
    },
    /// Nobody answers, or with something that is no answer. Trying again later may help.
    #[error("`{host}` is not available: {reason}")]
    Unavailable {
        /// Host and port.
        host: String,
        /// What went wrong.
        reason: String,
    },
    /// The component could not be written to its file.
    #[error("the plugin could not be written to its file: {reason}")]
    File {
        /// What went wrong.
        reason: String,
    },
}

/// A piece of an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What lists the layers.
    Manifest,
    /// The layer that is the component.
    Component,
    /// The token server's answer.
    Token,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Manifest => "manifest",
            Self::Component => "component",
            Self::Token => "token",
        })
    }
}

impl PullError {
    /// What a failed exchange means while `part` was fetched.
    pub(crate) fn from_egress(error: EgressError, host: &str, part: Part) -> Self {
        match error {
            EgressError::RefusedAddress { host } => Self::RefusedAddress { host },
            EgressError::Timeout { limit, .. } => Self::Timeout { limit },
            EgressError::Tls { host, reason } => Self::NotSecure { host, reason },
            EgressError::AnswerTooLarge { limit, .. } => Self::TooLarge { part, bytes_max: limit as u64 },
            EgressError::Connect { host, reason } | EgressError::Protocol { host, reason } => {
                Self::Unavailable { host, reason }
            }
            EgressError::BadUrl { .. } | EgressError::RefusedPort { .. } | EgressError::Setup { .. } => {
                Self::Unavailable { host: host.to_owned(), reason: error.to_string() }
            }
        }
    }
}

/// Names, for a sentence.
pub(crate) fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
