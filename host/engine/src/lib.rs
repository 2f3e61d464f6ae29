//! Commands, the run loop, step execution and recovery.
//!
//! A run is driven by one task on the host that holds its lease: it asks the domain what comes next, appends that to the journal,
//! makes the calls that are due, and judges their answers. After a crash any host folds the journal and goes on at the same line;
//! there is no second path.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod agent_call;
mod agents;
mod approvals;
mod bulk;
mod children;
mod committer;
mod control;
mod definitions;
mod deltas;
mod error;
mod events;
mod executor;
mod folded;
mod hold;
mod hooks;
mod host;
mod interpreter;
mod pending;
mod pipelines;
mod plugins;
mod prompts;
mod reader;
mod repeats;
mod runs;
mod schedules;
mod shared_reads;
mod sweep;
mod testing;
mod time;
mod told;
mod triggers;
mod versions;
mod waiting;
mod wakeups;
mod workflows;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use armilla_agents::Agents;
use armilla_domain::agent::TokenPrice;
use armilla_domain::template::Templates;
use armilla_sandbox::Sandbox;
use armilla_store::Store;
use tokio::sync::watch;
use uuid::Uuid;

pub use agent_call::ENDPOINT_OPEN_FOR;
pub use agents::{AgentVersionView, AgentView};
pub use approvals::{ApprovalView, Decision};
/// Where time and chance come from, and the key that seals secrets.
pub use armilla_domain::sealing::{SealingKey, SealingKeyError};
pub use armilla_domain::source::{Chance, Clock};
/// A signature, and why a text is none.
pub use armilla_registry::signature::{BadKeyText as BadSignature, Signature};
pub use armilla_store::{CLAIMS_WITHOUT_PROGRESS_MAX, HOOK_CALLS_KEPT, RunFilter};
pub use bulk::{BULK_RUNS_MAX, BulkAction, BulkOutcome};
pub use control::{ForkRun, RetryRun, TargetVersion};
pub use deltas::{AnswerPieces, Piece};
pub use error::CommandError;
pub use events::{EVENTS_KEPT_DAYS, EventFilter, EventPlace, EventView};
pub use hooks::{
    FoundHook, HOOK_CALLS_PER_MINUTE_MAX, HOOKS_COUNTED_MAX, HookCallOutcome, HookCallRecord, HookCallView, HookError,
    HookView, HookWithToken,
};
pub use pipelines::{
    Asking, Chat, ExecuteTemplate, FileFault, PIPELINE_TEMPLATES_FILE_BYTES_MAX, PIPELINE_TEMPLATES_INTERVAL,
    PipelineTemplates, RunPipeline, StartedPipeline, TemplatesFileError, TemplatesView,
};
pub use plugins::{
    Activate, CATALOG_INTERVAL, DeleteError, FOLDER_INTERVAL, FolderFault, GrantView, InstallError, Installed,
    LoadStatus, LoadView, Loading, OciSource, PLUGINS_PER_WORKSPACE_MAX, PluginPolicy, PluginView, SECRET_BYTES_MAX,
    SECRET_BYTES_MIN, SecretView, ToolView, Upload, UploadError, VersionView,
};
pub use prompts::{
    MadePromptVersion, NewPromptOverride, NewPromptTemplate, NewPromptVersion, OverrideContent, PromptError,
    PromptLabelView, PromptMetrics, PromptMoveView, PromptOverrideView, PromptTemplateView, PromptVersionView,
    RenderedPrompt, RevisePromptTemplate,
};
pub use reader::{RunEventView, RunView};
pub use repeats::Repeat;
pub use runs::{IDEMPOTENCY_KEY_CHARS_MAX, StartRun, StartedRun};
pub use schedules::{Backfill, Backfilled, NewSchedule, OccurrenceView, ScheduleError, ScheduleView};
pub use testing::{
    TEST_DURATION_MAX, TEST_ENTRIES_MAX, TEST_EVENTS_MAX, TEST_RECORDED_RUNS_MAX, TESTS_AT_ONCE_MAX, TestWorkflow,
};
pub use time::{SystemChance, SystemClock};
pub use triggers::EventStartView;
pub use versions::{ReviseWorkflow, WorkflowVersionSummaryView, WorkflowVersionView};
pub use workflows::{NewWorkflow, WorkflowView};

/// Runs that one host drives at once; more wait in the database. Each takes some KiB and what its variables weigh.
pub const RUNS_PER_HOST_MAX: usize = 1_000;
/// How long a lease holds without renewal where the operator does not say: longer than a host is ever away without being dead.
pub const LEASE: Duration = Duration::from_secs(30);
/// The shortest lease: below, a busy moment is taken for a death.
pub const LEASE_MIN: Duration = Duration::from_secs(2);
/// How long a host waits between looks for runs that nobody works on.
pub const CLAIM_INTERVAL: Duration = Duration::from_millis(500);
/// Runs claimed by one look.
pub const CLAIM_BATCH: u32 = 100;
/// How long running steps may take to end when the host stops; the rest is resumed later.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// The longest one attempt may take where neither the step nor the agent says.
pub const ATTEMPT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(120);
/// Bytes that the journal of one run may weigh. A host folds all of it when it takes the run up, several times that in memory.
pub const RUN_JOURNAL_BYTES_MAX: i64 = 32 * 1024 * 1024;
/// A run that has nothing to do for longer than this is let go: less, and giving it back and taking it up again costs more.
pub const PARK_AFTER: Duration = Duration::from_secs(2);
/// Requests that start a run and are under way at once on one host; one more is asked to come back.
pub const STARTS_AT_ONCE_MAX: usize = 256;
/// How deep runs may start runs.
pub const CHILD_DEPTH_MAX: i32 = 10;
/// Bytes of one output, as JSON, where the operator does not say.
pub const OUTPUT_BYTES_MAX_DEFAULT: u64 = 1024 * 1024;
/// How long ended runs are kept where neither the workflow nor the operator says.
pub const RETENTION_DEFAULT: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How long what need not be durable yet may stay out of sight.
pub const APPEND_DELAY_MAX: Duration = Duration::from_millis(100);

/// What an operator decided about runs.
#[derive(Debug, Clone)]
pub struct RunLimits {
    /// Bytes of the output of one step, as JSON.
    pub output_bytes: u64,
    /// How long ended runs are kept where their workflow does not say; for ever where absent.
    pub retention: Option<Duration>,
    /// How long a lease holds without renewal: at least [`LEASE_MIN`].
    pub lease: Duration,
    /// What the tokens of models cost, by their names, where their agents do not say.
    pub prices: HashMap<String, TokenPrice>,
}

impl Default for RunLimits {
    fn default() -> Self {
        Self {
            output_bytes: OUTPUT_BYTES_MAX_DEFAULT,
            retention: Some(RETENTION_DEFAULT),
            lease: LEASE,
            prices: HashMap::new(),
        }
    }
}

/// What the engine works with.
pub struct Parts {
    /// Where everything is kept.
    pub store: Store,
    /// Calls agents.
    pub agents: Agents,
    /// Calls plugins.
    pub sandbox: Sandbox,
    /// What an operator decided about plugins.
    pub policy: PluginPolicy,
    /// Seals secrets.
    pub sealing: SealingKey,
    /// What an operator decided about runs.
    pub limits: RunLimits,
    /// The pipeline templates that there are.
    pub pipeline_templates: PipelineTemplates,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes ids and draws jitter.
    pub chance: Arc<dyn Chance>,
    /// This host, the same after every restart: what it held before, it may take up at once.
    pub host_id: Uuid,
}

/// The engine of one host. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    host: Arc<host::Host>,
}

impl Engine {
    /// An engine that drives nothing yet.
    pub fn new(parts: Parts) -> Self {
        Self { host: Arc::new(host::Host::new(parts, Templates::new())) }
    }

    /// Loads what the plugins folder holds and every active plugin, lets go of what this host held before it was stopped or
    /// killed, and begins to look for runs.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn start(&self) -> Result<(), CommandError> {
        host::start(&self.host).await?;
        Ok(())
    }

    /// Begins nothing new, gives running steps [`SHUTDOWN_GRACE`] to end, and lets go of every run, to be resumed.
    pub async fn stop(&self) {
        host::stop(&self.host).await;
    }

    /// Is done as soon as this host begins nothing new. Belongs to nobody, so that an answer may hold it for as long as it lasts.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + 'static {
        self.host.stopping.clone().cancelled_owned()
    }

    /// Changes whenever events were written on this host: whoever follows events need not wait until it looks for them.
    pub fn told(&self) -> watch::Receiver<()> {
        self.host.told.subscribe()
    }

    /// How many runs this host drives at the moment. Those that wait are not among them.
    pub fn runs_driven(&self) -> usize {
        self.host.runs_driven()
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.host.store
    }
}
