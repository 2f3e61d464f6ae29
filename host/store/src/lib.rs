//! Postgres: every SQL statement of the project, and the private cluster of the embedded default.
//!
//! One function is one statement, named for its effect. Absence is an `Option`. Nothing here decides anything about a run: what
//! is written was decided by `armilla_domain`, and the lease's epoch fences it.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod agent_limits;
mod agents;
mod approvals;
mod bare_append;
pub mod cluster;
mod components;
mod control;
mod error;
mod event_cursors;
mod event_starts;
mod events;
mod hooks;
mod idempotent_requests;
mod inbox;
mod journal;
mod kept;
mod kv;
mod leases;
mod line;
mod lists;
mod plugins;
mod prompts;
mod retention;
mod runs;
mod schedules;
mod secrets;
mod starts;
mod versions;
mod wakeups;
mod webhooks;
mod workflows;

use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgPool};

pub use agent_limits::{Admitted, AgentPlace};
pub use agents::{AGENT_VERSIONS_KEPT, AgentRow, AgentVersionRow, ReplacedAgent};
pub use approvals::{ApprovalFilter, ApprovalRow};
pub use control::{Fork, Retry};
pub use error::StoreError;
pub use event_cursors::EventConsumer;
pub use event_starts::{DecidedStarts, EventStartRow, EventStartedRow, NewEventStart, TriggeredWorkflow};
pub use events::{EventPosition, EventRow, NewEvent};
pub use hooks::{HOOK_CALLS_KEPT, HOOKS_PER_WORKSPACE_MAX, HookCallRow, HookRow, NewHookCall};
pub use idempotent_requests::KeyedRequest;
pub use inbox::{INBOX_MAX, Told};
pub use journal::{Append, Asked, Rows, RunEnd, Then};
use kept::{KEPT_CONNECTIONS_MAX, Kept};
pub use kv::{KV_KEYS_PER_NAMESPACE_MAX, KvChange, KvRow};
pub use leases::{CLAIMS_WITHOUT_PROGRESS_MAX, Lease, LeasedRun};
pub use line::Line;
pub use lists::RunFilter;
pub use plugins::{AddedVersion, GrantRow, LoadRow, NewPluginVersion, PluginRow, PluginVersionRow};
pub use prompts::{
    AgentForCall, ConfigPrompt, LabelMove, MadePromptVersion, MovedLabel, NO_VERSION, NewPromptOverride,
    NewPromptTemplate, NewPromptVersion, OverrideForCall, PROMPT_TEMPLATE_VERSIONS_MAX, PROMPT_VERSIONS_MAX,
    PromptCount, PromptForCall, PromptLabelRow, PromptMetricsRow, PromptMoveRow, PromptOverrideRow,
    PromptTemplateChange, PromptTemplateRow, PromptVersionRow, RevisedPromptTemplate, TemplatePartRow,
};
pub use retention::IDEMPOTENCY_HOURS;
pub use runs::{Idempotency, NewRun, PlaceInLine, RunRow, Started};
pub use schedules::{
    DueRow, NewOccurrence, OccurrenceRow, SCHEDULES_PER_WORKSPACE_MAX, ScheduleChange, ScheduleRow, StartingRow,
    TimingColumns, Turn,
};
pub use secrets::SecretRow;
/// Where a server is and how it is entered; parsed from a URL with `parse`.
pub use sqlx::postgres::PgConnectOptions;
pub use starts::PlainRun;
pub use versions::{
    NewDefinition, Revised, RevisedRow, Revision, WORKFLOW_VERSIONS_MAX, WorkflowVersionRow, WorkflowVersionSummaryRow,
};
pub use wakeups::{RUNS_PER_WAKEUP_MAX, Wakeups};
pub use webhooks::{
    Again, AttemptResult, AttemptRow, Claimed, ClaimedDelivery, ClaimedLane, DeliveryFilter, DeliveryRow,
    EndpointChange, EndpointRow, FanOut, Lane, Listener, Matches, NewAttempt, NewDelivery, NewWebhook, NewWebhookKey,
    RotatedKey, WEBHOOK_KEYS_MAX, WEBHOOKS_PER_WORKSPACE_MAX, WebhookKeyRow, WebhookRow,
};
pub use workflows::{NewWorkflow, WorkflowRow};

/// The schema's history, embedded.
pub static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

/// Connections that one host opens: as many statements as a small Postgres runs well at once. More wait in line.
pub const CONNECTIONS_MAX: u32 = 16;
/// How long a statement waits for a connection before the answer is "unavailable": longer than any healthy moment, shorter
/// than a caller's patience.
pub const CONNECTION_WAIT_MAX: Duration = Duration::from_secs(3);
/// How long a connection may rest and still be trusted without a question.
const IDLE_UNTESTED_MAX: Duration = Duration::from_secs(1);
/// Every statement finds its rows by an index, a few at a time. A planner that knows nothing yet of a table, or knew it when it was
/// small, would rather read all of it, or all that has not ended, and go on doing so when there are millions.
const PLANNER: &str = "set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set jit = off";
/// How long a transaction may rest between two statements: one whose host is gone would hold its rows, and hold back the order of
/// events, for as long as the network believes in it.
const RESTING_TRANSACTIONS: &str = "set idle_in_transaction_session_timeout = '15s'";
/// How many months of partitions are made ahead.
const PARTITION_MONTHS_AHEAD: i32 = 3;

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
    kept: Kept,
}

impl Store {
    /// A store on the server of `options`. Connects when first needed, and again after every loss.
    pub fn new(options: PgConnectOptions) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX - KEPT_CONNECTIONS_MAX)
            .acquire_timeout(CONNECTION_WAIT_MAX)
            // A question before every statement would double the round trips; after a rest it finds the connections that a
            // restart of the server has broken.
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > IDLE_UNTESTED_MAX {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_connect(|connection, _| {
                Box::pin(async move {
                    sqlx::raw_sql(PLANNER).execute(&mut *connection).await?;
                    sqlx::raw_sql(RESTING_TRANSACTIONS).execute(connection).await?;
                    Ok(())
                })
            })
            .connect_lazy_with(options.application_name("armilla"));
        Self { kept: Kept::new(pool.clone()), pool }
    }

    /// Brings the schema up to this program's version.
    ///
    /// # Errors
    /// Where the server is away, or its schema belongs to a newer program.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        MIGRATOR.run(&self.pool).await?;
        self.ensure_partitions().await?;
        self.mend_event_order().await?;
        Ok(())
    }

    /// Makes the partitions of the journal and of events for this month and the next ones. To be called at start and once a day.
    ///
    /// # Errors
    /// Where the server is away.
    pub async fn ensure_partitions(&self) -> Result<(), StoreError> {
        sqlx::query!("select ensure_journal_partitions(now(), $1)", PARTITION_MONTHS_AHEAD).execute(&self.pool).await?;
        sqlx::query!("select ensure_event_partitions(now(), $1)", PARTITION_MONTHS_AHEAD).execute(&self.pool).await?;
        Ok(())
    }

    /// Asks the server for a sign of life.
    ///
    /// # Errors
    /// Where there is none within [`CONNECTION_WAIT_MAX`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query_scalar!("select 1").fetch_one(&self.pool).await?;
        Ok(())
    }

    /// Closes connections that were kept for what is over. To be called from time to time.
    pub async fn close_rested_connections(&self) {
        self.kept.close_rested().await;
    }

    /// Closes every connection, after what is under way.
    pub async fn close(&self) {
        self.kept.close().await;
        self.pool.close().await;
    }
}
