//! What the engine's errors are to a caller.

use std::time::Duration;

use armilla_engine::CommandError;

use super::{Code, Problem, with_causes};
use crate::wire::under;

/// A database that went away is mostly back within seconds, and nothing was lost meanwhile.
const STORE_RETRY_AFTER: Duration = Duration::from_secs(1);
/// What a stop's grace leaves, and a start, take about this long.
const STOPPING_RETRY_AFTER: Duration = Duration::from_secs(5);

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::UnknownWorkflow(_) => Self::not_found(Code::WorkflowNotFound),
            CommandError::UnknownRun(_) => Self::not_found(Code::RunNotFound),
            CommandError::UnknownAgent(_) => Self::not_found(Code::AgentNotFound),
            CommandError::AgentExists(id) => {
                let detail = format!("There is an agent `{id}` already; `PUT /agents/{id}` changes it.");
                Self::new(Code::AgentExists, detail)
            }
            CommandError::Invalid(faults) => Self::invalid(Code::BodyInvalid, faults),
            CommandError::Stopping => Self::unavailable(STOPPING_RETRY_AFTER),
            CommandError::Store(error) if error.is_unavailable() => {
                tracing::warn!(error = with_causes(&error), "The database cannot be reached");
                let detail = "The database cannot be reached at the moment. What had begun goes on when it is back.";
                Self::new(Code::StoreUnavailable, detail).retry_after(STORE_RETRY_AFTER)
            }
            CommandError::Store(error) => Self::internal(&error),
            error @ CommandError::Panicked => Self::internal(&error),
        }
    }
}

impl Problem {
    /// As [`Problem::from`], where the faults are those of the document that stands at `place` in the body; `code` says
    /// what it is.
    pub(crate) fn in_document(error: CommandError, code: Code, place: &str) -> Self {
        match error {
            CommandError::Invalid(faults) => Self::invalid(code, under(place, faults)),
            other => other.into(),
        }
    }
}
