//! Why a command on inbound hooks, or a call of one, was not carried out.

use std::time::Duration;

use armilla_domain::call::CallError;
use armilla_domain::hook::Refusal;
use armilla_store::HOOKS_PER_WORKSPACE_MAX;

use super::rates::HOOK_CALLS_PER_MINUTE_MAX;

/// Why a command on inbound hooks, or a call of one, was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// There is no such hook, or none of this token: which of the two is not told.
    #[error("there is no such hook")]
    Unknown,
    /// The workspace has as many as it may.
    #[error("the workspace has {HOOKS_PER_WORKSPACE_MAX} inbound hooks already")]
    TooMany,
    /// The hook is called too often.
    #[error("the hook is called more than {HOOK_CALLS_PER_MINUTE_MAX} times a minute")]
    Crowded {
        /// When it may be called again.
        retry_after: Duration,
    },
    /// The hook's secret is not in the store, or cannot be opened.
    #[error("the hook's secret cannot be had")]
    NoSecret,
    /// The call is not believed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The call's signature came before, with another call.
    #[error("the signature was used before, for another call")]
    Replayed,
    /// An expression of the hook failed on this call.
    #[error("an expression of the hook failed on this call: {}", .0.message)]
    Expression(CallError),
}
