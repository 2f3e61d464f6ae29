//! Why a command was not carried out.

use armilla_domain::call::CallError;
use armilla_domain::fault::Fault;
use armilla_domain::id::{ApprovalId, EventId, RunId, WorkflowId};
use armilla_domain::run::RunStatus;
use armilla_registry::PullError;
use armilla_registry::signature::SignatureError;
use armilla_sandbox::LoadFault;
use armilla_store::{StoreError, WORKFLOW_VERSIONS_MAX};

use crate::{HookError, InstallError, PromptError, ScheduleError, UploadError};

/// Why a command was not carried out. What belongs to another workspace is unknown, like what never was.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no such workflow.
    #[error("there is no workflow `{0}`")]
    UnknownWorkflow(WorkflowId),
    /// The workflow is what a pipeline or a chat runs as, and nobody's to change.
    #[error("the workflow `{0}` was made of a request to run a pipeline or to chat, and cannot be changed or deleted")]
    AdHocWorkflow(WorkflowId),
    /// There is no such version of the workflow.
    #[error("the workflow `{workflow}` has no version {version}")]
    UnknownWorkflowVersion {
        /// The workflow.
        workflow: WorkflowId,
        /// What was asked for.
        version: i32,
    },
    /// Another version than the one that was edited is the newest by now.
    #[error("version {edited} was edited, and version {newest} is the newest by now")]
    VersionConflict {
        /// What the change was made from.
        edited: i32,
        /// What it would have to be made from.
        newest: i32,
    },
    /// The workflow has as many versions as it may.
    #[error("the workflow has {WORKFLOW_VERSIONS_MAX} versions already; a copy of it begins anew")]
    TooManyVersions,
    /// There is no such run.
    #[error("there is no run `{0}`")]
    UnknownRun(RunId),
    /// There is no such version of the agent.
    #[error("the agent `{agent}` has no version {version}, or it is too old to be kept")]
    UnknownAgentVersion {
        /// The agent.
        agent: String,
        /// What was asked for.
        version: i32,
    },
    /// There is no such event, or no more.
    #[error("there is no event `{0}`, or it is too old to be kept")]
    UnknownEvent(EventId),
    /// There is no such approval.
    #[error("there is no approval `{0}`")]
    UnknownApproval(ApprovalId),
    /// The approval was decided, has expired, or is not asked any more.
    #[error("the approval `{id}` cannot be decided: it is {status}")]
    ApprovalClosed {
        /// The approval.
        id: ApprovalId,
        /// What became of it.
        status: String,
    },
    /// The caller's role is not among those that may decide.
    #[error("this approval is decided by {}", .0.join(" or "))]
    NotAnApprover(Vec<String>),
    /// The run does what it does, and that does not go with the command.
    #[error("the run `{run}` cannot be {wish}: it is {}{}", .status.as_str(), .why.as_deref().map(|why| format!("; {why}")).unwrap_or_default())]
    DoesNotApply {
        /// The run.
        run: RunId,
        /// What was asked for, as a participle.
        wish: &'static str,
        /// What it does.
        status: RunStatus,
        /// More, for people.
        why: Option<String>,
    },
    /// So many messages wait for the run already.
    #[error("too many messages wait for the run `{0}` already")]
    TooManyMessages(RunId),
    /// The step was never visited, or not so often, so there is nothing to begin from.
    #[error("the run `{run}` never came to {}`{step}`", .visit.map_or_else(|| "a step ".to_owned(), |visit| format!("visit {visit} of the step ")))]
    StepNotVisited {
        /// The run.
        run: RunId,
        /// The step.
        step: String,
        /// Which visit of it was asked for.
        visit: Option<u32>,
    },
    /// The key was used before, for another request.
    #[error("this idempotency key was used for another request, which started the run `{0}`")]
    KeyReused(RunId),
    /// So many runs of the workflow go on already, and it says that no more may.
    #[error("as many runs of the workflow `{workflow}` go on already as may at once: {max}")]
    TooManyRuns {
        /// The workflow.
        workflow: WorkflowId,
        /// How many may.
        max: i32,
    },
    /// The run would wait in line for runs that wait for it.
    #[error(
        "all {max} places of the workflow `{workflow}` and this key are held by the runs that this one was started by, which wait for it"
    )]
    WaitsForItself {
        /// The workflow.
        workflow: WorkflowId,
        /// How many places there are.
        max: i32,
    },
    /// The host has as much to begin as it takes.
    #[error("the host has as much to begin as it takes")]
    Overloaded,
    /// There is no such agent.
    #[error("there is no agent `{0}`")]
    UnknownAgent(String),
    /// The id is taken.
    #[error("there is an agent `{0}` already")]
    AgentExists(String),
    /// The document has faults; pointers are relative to it.
    #[error("the document has {} faults", .0.len())]
    Invalid(Vec<Fault>),
    /// There is no such tool.
    #[error("there is no tool `{0}`")]
    UnknownTool(String),
    /// There is no such plugin.
    #[error("there is no plugin `{0}`")]
    UnknownPlugin(String),
    /// There is no such version of the plugin.
    #[error("the plugin `{name}` has no version {version}")]
    UnknownPluginVersion {
        /// The plugin.
        name: String,
        /// What was asked for.
        version: i32,
    },
    /// The plugin is the operator's own and serves every workspace; this one may grant it things, and not change it.
    #[error("the plugin `{0}` is shared by all workspaces; only the default one changes it")]
    SharedPlugin(String),
    /// There is no version that was active before.
    #[error("no other version of the plugin `{0}` was active before")]
    NothingToRollBackTo(String),
    /// Another plugin has the tool's name by now.
    #[error("the tool `{tool}` is the plugin `{other}`'s by now")]
    ToolTaken {
        /// The tool.
        tool: String,
        /// Whose it is.
        other: String,
    },
    /// The version's component cannot be loaded.
    #[error("the version cannot be loaded: {0}")]
    Unloadable(CallError),
    /// Nothing of this id is being loaded.
    #[error("nothing of this id is being loaded")]
    UnknownLoad,
    /// There is no such secret.
    #[error("there is no secret `{0}`")]
    UnknownSecret(String),
    /// What was asked of prompts cannot be.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// What was asked of schedules cannot be.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// What was asked of an inbound hook cannot be.
    #[error(transparent)]
    Hook(#[from] HookError),
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

impl InstallError {
    /// Whether the same again later may work.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Fault(fault) => matches!(fault, LoadFault::Absent(_) | LoadFault::Busy),
            Self::Store(error) => error.is_unavailable(),
            Self::Upload(UploadError::TooMany) => true,
            _ => false,
        }
    }

    /// What a caller is told: nothing of the inside.
    pub(crate) fn told(&self) -> String {
        match self.code() {
            "server.internal" => "the server failed; its log tells why".to_owned(),
            "store.unavailable" => "the database cannot be reached at the moment".to_owned(),
            _ => self.to_string(),
        }
    }

    /// Stable and dotted, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Fault(fault) => match fault {
                LoadFault::TooLarge => "plugin.too_large",
                LoadFault::NotWebAssembly => "plugin.not_webassembly",
                LoadFault::CoreModule => "plugin.core_module",
                LoadFault::Invalid(_) => "plugin.invalid_component",
                LoadFault::UnknownWorld => "plugin.unknown_world",
                LoadFault::OtherContract { .. } => "plugin.other_contract",
                LoadFault::UnknownImports(_) => "plugin.unknown_import",
                LoadFault::Unlinkable(_) => "plugin.unlinkable",
                LoadFault::Undescribed(_) => "plugin.describe_failed",
                LoadFault::BadDescription(_) => "plugin.bad_description",
                LoadFault::OtherDigest => "plugin.digest_mismatch",
                LoadFault::Absent(_) => "plugin.absent",
                LoadFault::Busy => "plugin.busy",
            },
            Self::Upload(UploadError::TooLarge) => "plugin.too_large",
            Self::Upload(UploadError::TooMany) => "plugin.busy",
            Self::Upload(UploadError::Io(_)) | Self::Panicked => "server.internal",
            Self::Pull(error) => match error {
                PullError::BadReference(_) => "plugin.bad_reference",
                PullError::RegistryNotAllowed { .. } => "plugin.registry_not_allowed",
                PullError::TooLarge { .. } => "plugin.too_large",
                _ => "plugin.pull_failed",
            },
            Self::Signature(SignatureError::Missing { .. }) => "plugin.unsigned",
            Self::Signature(SignatureError::NotTrusted { .. }) => "plugin.untrusted_key",
            Self::Signature(SignatureError::DoesNotFit { .. }) => "plugin.bad_signature",
            Self::NameTaken { .. } => "plugin.name_taken",
            Self::TooMany | Self::Full(_) => "plugin.too_many",
            Self::NoRegistries => "plugin.no_registries",
            Self::UnknownSecret(_) => "secret.not_found",
            Self::Store(error) if error.is_unavailable() => "store.unavailable",
            Self::Store(_) => "server.internal",
        }
    }
}
