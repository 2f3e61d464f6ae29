//! What can go wrong besides a call, whose errors are the domain's.

use std::fmt;

use armilla_domain::call::CallError;

use crate::limits;

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The engine refuses its settings, on this machine.
    #[error("the WebAssembly engine does not start: {0}")]
    Engine(String),
    /// No threads for the guests.
    #[error("no threads to run plugins on: {0}")]
    Threads(#[from] std::io::Error),
}

/// What can be wrong with a plugin's file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadFault {
    /// The file is longer than any plugin may be.
    #[error("longer than {} bytes", limits::COMPONENT_BYTES_MAX)]
    TooLarge,
    /// Not WebAssembly at all.
    #[error("not a WebAssembly component")]
    NotWebAssembly,
    /// WebAssembly, but of the kind that has no interface types.
    #[error(
        "a core WebAssembly module, not a component: build it for wasm32-wasip2, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// The engine does not accept it.
    #[error("not a valid component: {0}")]
    Invalid(String),
    /// It exports neither tools nor a condition.
    #[error(
        "no plugin of a world this host knows: it exports neither `{}` nor `{}`",
        crate::bindings::TOOLS,
        crate::bindings::CONDITION
    )]
    UnknownWorld,
    /// It speaks another version of the contract.
    #[error(
        "speaks another version of the contract: it has `{found}`, and this host speaks {}",
        crate::bindings::CONTRACT
    )]
    OtherContract {
        /// The interface that shows it.
        found: String,
    },
    /// It imports what no plugin may have.
    #[error("imports what no plugin can be given here: {}", .0.join(", "))]
    UnknownImports(Vec<String>),
    /// It needs something that this host has not.
    #[error("cannot be linked: {0}")]
    Unlinkable(String),
    /// Its `describe` did not come to a good end.
    #[error("does not describe itself: {0}")]
    Undescribed(CallErrorText),
    /// Its description breaks the contract.
    #[error("describes itself wrongly: {0}")]
    BadDescription(String),
    /// The bytes are not those of the digest.
    #[error("its bytes are not the ones that were stored")]
    OtherDigest,
    /// The bytes are nowhere to be had, for the moment perhaps.
    #[error("its bytes cannot be had: {0}")]
    Absent(String),
    /// Too many components wait to be compiled.
    #[error("too many plugins are being compiled at the moment; try again later")]
    Busy,
}

/// A call's error, reduced to what people read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallErrorText(String);

impl From<CallError> for CallErrorText {
    fn from(error: CallError) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Display for CallErrorText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where and why an expression cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpressionFault {
    /// What is wrong, for people.
    pub message: String,
    /// Where, in bytes from the start of the expression; never past its end.
    pub offset: usize,
}

/// Why a check did not end with "it can be used".
#[derive(Debug, Clone, PartialEq)]
pub enum CheckError {
    /// The evaluator says it cannot.
    Fault(ExpressionFault),
    /// The evaluator said nothing.
    Call(CallError),
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => write!(f, "{} (at byte {})", fault.message, fault.offset),
            Self::Call(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CheckError {}
