//! One command for many runs.

use std::time::Duration;

use armilla_domain::id::{RunId, WorkspaceId};
use armilla_domain::run::{Message, RunStatus};
use armilla_store::RunFilter;
use serde_json::Map;
use tokio::time::Instant;

use crate::{CommandError, Engine, RetryRun, TargetVersion};

/// Runs that one bulk command looks at; what is left is for the next one.
pub const BULK_RUNS_MAX: u32 = 500;
/// How long one bulk command works; what is left is for the next one.
const BULK_DURATION_MAX: Duration = Duration::from_secs(60);

/// What is done to many runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkAction {
    /// They end.
    Cancel,
    /// They begin nothing more.
    Pause,
    /// They go on.
    Resume,
    /// They go on from the step that failed.
    Retry(TargetVersion),
}

/// What became of a bulk command.
#[derive(Debug, Default)]
pub struct BulkOutcome {
    /// The runs that it reached.
    pub reached: Vec<RunId>,
    /// Those to which it did not apply, and why.
    pub refused: Vec<(RunId, String)>,
    /// The last run that was looked at, where there may be more: those come before it.
    pub next: Option<RunId>,
}

impl Engine {
    /// Does one thing to at most [`BULK_RUNS_MAX`] runs, newest first, or from those older than `before` on.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn bulk(
        &self,
        workspace: WorkspaceId,
        action: BulkAction,
        mut filter: RunFilter,
        before: Option<RunId>,
        by: &str,
    ) -> Result<BulkOutcome, CommandError> {
        let applies_to: &[RunStatus] = match action {
            BulkAction::Cancel => &[RunStatus::Queued, RunStatus::Running, RunStatus::Waiting, RunStatus::Paused],
            BulkAction::Pause => &[RunStatus::Queued, RunStatus::Running, RunStatus::Waiting],
            BulkAction::Resume => &[RunStatus::Paused],
            BulkAction::Retry(_) => &[RunStatus::Failed, RunStatus::Cancelled, RunStatus::TimedOut],
        };
        let wanted = filter.statuses.clone();
        filter.statuses =
            applies_to.iter().copied().filter(|status| wanted.is_empty() || wanted.contains(status)).collect();
        let mut outcome = BulkOutcome::default();
        if filter.statuses.is_empty() {
            return Ok(outcome);
        }
        let mut rows = self.host.store.runs(workspace, &filter, before, BULK_RUNS_MAX + 1).await?;
        let mut more = rows.len() > BULK_RUNS_MAX as usize;
        rows.truncate(BULK_RUNS_MAX as usize);
        let deadline = Instant::now() + BULK_DURATION_MAX;
        let mut last = None;
        for row in rows {
            if last.is_some() && Instant::now() >= deadline {
                more = true;
                break;
            }
            last = Some(row.id);
            let done = match action {
                BulkAction::Retry(version) => {
                    let retry = RetryRun { version, vars: Map::new(), by: by.to_owned() };
                    self.retry_run(workspace, row.id, retry).await.map(drop)
                }
                other => {
                    let (message, wish) = match other {
                        BulkAction::Pause => (Message::Pause { by: by.to_owned(), reason: None }, "paused"),
                        BulkAction::Resume => (Message::Resume { by: by.to_owned() }, "resumed"),
                        BulkAction::Cancel | BulkAction::Retry(_) => {
                            (Message::Cancel { by: by.to_owned(), reason: None }, "cancelled")
                        }
                    };
                    self.tell(workspace, row.id, &message, applies_to, wish).await
                }
            };
            match done {
                Ok(()) => outcome.reached.push(row.id),
                Err(CommandError::Store(error)) => return Err(error.into()),
                Err(error) => outcome.refused.push((row.id, error.to_string())),
            }
        }
        outcome.next = last.filter(|_| more);
        Ok(outcome)
    }
}
