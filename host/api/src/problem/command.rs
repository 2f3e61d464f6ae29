//! What the engine's errors are to a caller.

use std::time::Duration;

use armilla_engine::{CommandError, DeleteError, InstallError};

use super::{Code, Problem, with_causes};
use crate::wire::under;

/// A database that went away is mostly back within seconds, and nothing was lost meanwhile.
const STORE_RETRY_AFTER: Duration = Duration::from_secs(1);
/// What a stop's grace leaves, and a start, take about this long.
const STOPPING_RETRY_AFTER: Duration = Duration::from_secs(5);

/// What is too much now is mostly less a second later.
const CROWDED_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Compiling the largest component takes about this long.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(10);

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::UnknownWorkflow(_) => Self::not_found(Code::WorkflowNotFound),
            CommandError::AdHocWorkflow(_) => Self::new(Code::WorkflowAdHoc, sentence(&error)),
            CommandError::UnknownWorkflowVersion { .. } => Self::not_found(Code::WorkflowVersionNotFound),
            CommandError::VersionConflict { newest, .. } => {
                Self::new(Code::WorkflowVersionConflict, sentence(&error)).with("newest", serde_json::json!(newest))
            }
            CommandError::TooManyVersions => Self::new(Code::WorkflowTooManyVersions, sentence(&error)),
            CommandError::UnknownRun(_) => Self::not_found(Code::RunNotFound),
            CommandError::UnknownEvent(_) => Self::not_found(Code::EventNotFound),
            CommandError::UnknownApproval(_) => Self::not_found(Code::ApprovalNotFound),
            CommandError::ApprovalClosed { .. } => Self::new(Code::ApprovalClosed, sentence(&error)),
            CommandError::NotAnApprover(_) => Self::new(Code::ApprovalRole, sentence(&error)),
            CommandError::DoesNotApply { status, .. } => {
                Self::new(Code::RunDoesNotApply, sentence(&error)).with("runStatus", serde_json::json!(status))
            }
            CommandError::StepNotVisited { .. } => Self::new(Code::RunStepNotVisited, sentence(&error)),
            CommandError::TooManyMessages(_) => {
                Self::new(Code::RunTooManyMessages, sentence(&error)).retry_after(CROWDED_RETRY_AFTER)
            }
            CommandError::KeyReused(_) => Self::new(Code::IdempotencyKeyReused, sentence(&error)),
            CommandError::TooManyRuns { .. } => {
                Self::new(Code::RunConcurrencyLimit, sentence(&error)).retry_after(CROWDED_RETRY_AFTER)
            }
            CommandError::WaitsForItself { .. } => Self::new(Code::RunConcurrencyLimit, sentence(&error)),
            CommandError::Overloaded => Self::unavailable(CROWDED_RETRY_AFTER),
            CommandError::UnknownAgent(_) => Self::not_found(Code::AgentNotFound),
            CommandError::UnknownAgentVersion { .. } => Self::not_found(Code::AgentVersionNotFound),
            CommandError::AgentExists(id) => {
                let detail = format!("There is an agent `{id}` already; `PUT /agents/{id}` changes it.");
                Self::new(Code::AgentExists, detail)
            }
            CommandError::UnknownTool(_) => Self::not_found(Code::ToolNotFound),
            CommandError::UnknownPlugin(_) => Self::not_found(Code::PluginNotFound),
            CommandError::UnknownPluginVersion { .. } => Self::not_found(Code::PluginVersionNotFound),
            CommandError::UnknownLoad => Self::not_found(Code::PluginLoadNotFound),
            CommandError::UnknownSecret(_) => Self::not_found(Code::SecretNotFound),
            CommandError::SharedPlugin(_) => Self::new(Code::PluginShared, sentence(&error)),
            CommandError::NothingToRollBackTo(_) => Self::new(Code::PluginNothingBefore, sentence(&error)),
            CommandError::ToolTaken { .. } => Self::new(Code::PluginNameTaken, sentence(&error)),
            CommandError::Unloadable(_) => Self::new(Code::PluginUnloadable, sentence(&error)),
            CommandError::Prompt(error) => error.into(),
            CommandError::Schedule(error) => error.into(),
            CommandError::Hook(error) => error.into(),
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

impl From<InstallError> for Problem {
    fn from(error: InstallError) -> Self {
        let code = Code::from_text(error.code()).unwrap_or(Code::ServerInternal);
        match error {
            InstallError::Store(error) => CommandError::Store(error).into(),
            error if code == Code::ServerInternal => Self::internal(&error),
            error => {
                let problem = Self::new(code, sentence(&error));
                if code.status().is_server_error() { problem.retry_after(BUSY_RETRY_AFTER) } else { problem }
            }
        }
    }
}

impl From<DeleteError> for Problem {
    fn from(error: DeleteError) -> Self {
        match &error {
            DeleteError::Active(_) => Self::new(Code::PluginActive, sentence(&error)),
            DeleteError::InUse { runs, elsewhere } => {
                let others = if *elsewhere { " Runs of other workspaces are among them." } else { "" };
                let detail = format!("Unfinished runs started on it; it can go when they have ended.{others}");
                Self::new(Code::PluginInUse, detail).with("runs", serde_json::json!(runs))
            }
            DeleteError::Command(_) => {
                let DeleteError::Command(error) = error else { return Self::internal_without_cause() };
                error.into()
            }
        }
    }
}

/// An error's words as a sentence.
pub(super) fn sentence(error: &dyn std::error::Error) -> String {
    as_sentence(&error.to_string())
}

/// Words that begin and end like a part of a sentence, as a whole one.
pub(crate) fn as_sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
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
