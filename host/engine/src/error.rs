//! Why a command was not carried out.

use armilla_domain::fault::Fault;
use armilla_domain::id::{RunId, WorkflowId};
use armilla_store::StoreError;

/// Why a command was not carried out. What belongs to another workspace is unknown, like what never was.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no such workflow.
    #[error("there is no workflow `{0}`")]
    UnknownWorkflow(WorkflowId),
    /// There is no such run.
    #[error("there is no run `{0}`")]
    UnknownRun(RunId),
    /// There is no such agent.
    #[error("there is no agent `{0}`")]
    UnknownAgent(String),
    /// The id is taken.
    #[error("there is an agent `{0}` already")]
    AgentExists(String),
    /// The document has faults; pointers are relative to it.
    #[error("the document has {} faults", .0.len())]
    Invalid(Vec<Fault>),
    /// A fault of this program ended the command.
    #[error("the command panicked")]
    Panicked,
    /// The host is stopping and begins nothing new.
    #[error("the host is stopping")]
    Stopping,
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}
