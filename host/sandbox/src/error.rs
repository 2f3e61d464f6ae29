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

/// A plugin that could not be loaded. The others are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {fault}")]
pub struct LoadError {
    /// The file's name, without its folder.
    pub file: String,
    /// What is wrong with it.
    pub fault: LoadFault,
}

/// What can be wrong with a plugin's file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadFault {
    /// The file, or the folder, cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(std::io::ErrorKind),
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
    /// It needs something that this host has not.
    #[error("cannot be linked: {0}")]
    Unlinkable(String),
    /// Its `describe` did not come to a good end.
    #[error("does not describe itself: {0}")]
    Undescribed(CallErrorText),
    /// Its description breaks the contract.
    #[error("describes itself wrongly: {0}")]
    BadDescription(String),
    /// Another plugin has the name already.
    #[error("the {kind} `{name}` of the plugin `{plugin}` is taken by the plugin `{other}`")]
    NameTaken {
        /// `plugin`, `tool` or `evaluator`.
        kind: &'static str,
        /// The name both have.
        name: String,
        /// The plugin that is not loaded.
        plugin: String,
        /// The plugin that has the name.
        other: String,
    },
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
