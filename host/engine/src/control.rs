//! Commands on runs that exist: cancel, pause, resume, signal, retry, fork.

use std::sync::Arc;
use std::time::Duration;

use armilla_domain::definition::variable_name;
use armilla_domain::event::data::OfRun;
use armilla_domain::event::started;
use armilla_domain::fault::{Fault, pointer};
use armilla_domain::id::{RunId, WorkspaceId};
use armilla_domain::journal::{Entry, Event, Failure, Variables};
use armilla_domain::run::{Message, RunStatus};
use armilla_store::{Fork, Retry, RunRow, Told};
use serde_json::{Map, Value};
use tokio::time::Instant;
use tracing::info;

use crate::reader::beginning;
use crate::{CHILD_DEPTH_MAX, CommandError, Engine, RUN_JOURNAL_BYTES_MAX, RunView};

/// How long a command waits until its run has taken it in. It will, whether somebody waits or not.
const TAKEN_IN_MAX: Duration = Duration::from_secs(5);
/// How often that is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// With which version of its definition a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TargetVersion {
    /// The one that it is on.
    #[default]
    Same,
    /// The newest, for it and the runs that it waits for.
    Newest,
    /// This one.
    Number(i32),
}

/// How a run that ended badly goes on.
#[derive(Debug, Default)]
pub struct RetryRun {
    /// With which definition.
    pub version: TargetVersion,
    /// Variables that are changed.
    pub vars: Map<String, Value>,
    /// Who says so.
    pub by: String,
}

/// A run to be made of the beginning of another one.
#[derive(Debug)]
pub struct ForkRun {
    /// The step with which it goes on.
    pub from_step: String,
    /// Which visit of it; the last where absent.
    pub visit: Option<u32>,
    /// Variables that are changed.
    pub vars: Map<String, Value>,
    /// Who says so.
    pub by: String,
}

impl Engine {
    /// Ends a run, the runs that it waits for, and every call under way.
    ///
    /// # Errors
    /// Where there is no such run, it has ended, or the database is away.
    pub async fn cancel_run(
        &self,
        workspace: WorkspaceId,
        id: RunId,
        by: &str,
        reason: Option<String>,
    ) -> Result<RunView, CommandError> {
        let message = Message::Cancel { by: by.to_owned(), reason };
        self.tell(workspace, id, &message, &[], "cancelled").await?;
        self.when(workspace, id, |row| row.status.is_final()).await
    }

    /// Lets a run begin nothing more. What is under way ends and is recorded.
    ///
    /// # Errors
    /// Where there is no such run, it is paused or has ended, or the database is away.
    pub async fn pause_run(
        &self,
        workspace: WorkspaceId,
        id: RunId,
        by: &str,
        reason: Option<String>,
    ) -> Result<RunView, CommandError> {
        let message = Message::Pause { by: by.to_owned(), reason };
        let running = [RunStatus::Queued, RunStatus::Running, RunStatus::Waiting];
        self.tell(workspace, id, &message, &running, "paused").await?;
        self.when(workspace, id, |row| row.status == RunStatus::Paused || row.status.is_final()).await
    }

    /// Lets a paused run go on.
    ///
    /// # Errors
    /// Where there is no such run, it is not paused, or the database is away.
    pub async fn resume_run(&self, workspace: WorkspaceId, id: RunId, by: &str) -> Result<RunView, CommandError> {
        let message = Message::Resume { by: by.to_owned() };
        self.tell(workspace, id, &message, &[RunStatus::Paused], "resumed").await?;
        self.when(workspace, id, |row| row.status != RunStatus::Paused).await
    }

    /// Sends a run an event, which a `wait` step takes now or later.
    ///
    /// # Errors
    /// Where there is no such run, it has ended, or the database is away.
    pub async fn signal_run(
        &self,
        workspace: WorkspaceId,
        id: RunId,
        name: &str,
        payload: Value,
        by: &str,
    ) -> Result<(), CommandError> {
        let message = Message::Signal { name: name.to_owned(), payload: Arc::new(payload), by: by.to_owned() };
        self.tell(workspace, id, &message, &[], "sent an event").await
    }

    /// Lets a run that ended badly go on from the step that failed: what had ended well is kept, and the runs that it waited
    /// for go on likewise.
    ///
    /// # Errors
    /// Where there is no such run, it goes on or ended well, another version of the definition cannot be gone over to, a name of
    /// `vars` is none, or the database is away.
    pub async fn retry_run(
        &self,
        workspace: WorkspaceId,
        id: RunId,
        command: RetryRun,
    ) -> Result<RunView, CommandError> {
        let (mut retries, mut messages) = (Vec::new(), Vec::new());
        let deadline = Instant::now() + TAKEN_IN_MAX;
        let mut ahead = vec![(id, command.version, variables(&command.vars)?, 0)];
        while let Some((run, target, vars, depth)) = ahead.pop() {
            let row = self.host.store.run(workspace, run).await?.ok_or(CommandError::UnknownRun(run))?;
            if depth == 0
                && let Some(parent) = row.parent
                && self.host.store.has_ended(workspace, parent).await? == Some(true)
            {
                // Alone it would be cancelled at once: nobody waits for it.
                let why = format!(
                    "the run `{parent}`, which started it, has ended; retry that one where it ended badly, or fork this one"
                );
                return Err(does_not_apply(&row, "retried", Some(why)));
            }
            let (retry, children) = self.plan_retry(workspace, &row, target, vars, &command.by).await?;
            retries.push(retry);
            for child in children {
                let Some(ended) = self.end_of_child(workspace, child, deadline).await? else {
                    messages.push((run, told_of_removed(child)));
                    continue;
                };
                match ended.status {
                    RunStatus::Success => messages.push((run, told_again(&ended))),
                    status if !status.is_final() => {
                        let why = format!("the run `{child}`, which it started, is still about to end");
                        return Err(does_not_apply(&row, "retried", Some(why)));
                    }
                    _ if depth < CHILD_DEPTH_MAX => {
                        // A number means a version of the run that was named.
                        let target = if target == TargetVersion::Newest { target } else { TargetVersion::Same };
                        ahead.push((child, target, Variables::new(), depth + 1));
                    }
                    _ => {}
                }
            }
        }
        if !self.host.store.retry_runs(&retries, &messages).await? {
            let row = self.host.store.run(workspace, id).await?.ok_or(CommandError::UnknownRun(id))?;
            return Err(does_not_apply(&row, "retried", None));
        }
        let runs: Vec<RunId> = retries.iter().map(|retry| retry.run).collect();
        info!(run.id = %id, by = command.by, "Run `{id}` goes on from the step that failed");
        self.let_in_line(&runs).await;
        self.host.wake(&runs);
        self.run(workspace, id).await
    }

    /// A run whose parent has ended, as soon as it has too: it was told so at the same time, and what it says about its end must
    /// not come between.
    async fn end_of_child(
        &self,
        workspace: WorkspaceId,
        child: RunId,
        deadline: Instant,
    ) -> Result<Option<RunRow>, CommandError> {
        loop {
            let row = self.host.store.run(workspace, child).await?;
            if row.as_ref().is_none_or(|row| row.status.is_final()) || Instant::now() >= deadline {
                return Ok(row);
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    async fn plan_retry(
        &self,
        workspace: WorkspaceId,
        row: &RunRow,
        target: TargetVersion,
        vars: Variables,
        by: &str,
    ) -> Result<(Retry, Vec<RunId>), CommandError> {
        if !row.status.is_final() || row.status == RunStatus::Success {
            return Err(does_not_apply(row, "retried", None));
        }
        let journal = self.host.store.journal(row.id).await?;
        let mut state = self.host.fold(beginning(row), &journal).await?;
        let version = match target {
            TargetVersion::Same => row.version,
            TargetVersion::Number(version) => version,
            TargetVersion::Newest => {
                self.host.store.newest_version(workspace, row.workflow).await?.unwrap_or(row.version)
            }
        };
        if version != row.version {
            let known = self.host.store.definition(row.workflow, version).await?.is_some();
            if !known {
                return Err(CommandError::UnknownWorkflowVersion { workflow: row.workflow, version });
            }
            let workflow = self.host.workflow(row.workflow, version).await?;
            state.can_follow(&workflow).map_err(|error| {
                does_not_apply(row, "retried", Some(format!("version {version} does not fit: {error}")))
            })?;
            state.know_version(version, workflow);
        }
        let at = self.host.clock.now();
        let changed = (version != row.version).then_some(version);
        let event = Event::RunRetried { by: by.to_owned(), version: changed, vars, since: at };
        state.apply(&event);
        let children = state.children().into_iter().map(|(_, run)| run).collect();
        let entry = Entry { at, event };
        Ok((Retry { run: row.id, journal_len: journal.len() as i32, version, entry }, children))
    }

    /// Makes a run that begins with what another one did before it came to a step.
    ///
    /// # Errors
    /// Where there is no such run, it never came to the step, a name of `vars` is none, or the database is away.
    pub async fn fork_run(
        &self,
        workspace: WorkspaceId,
        from: RunId,
        command: ForkRun,
    ) -> Result<RunView, CommandError> {
        let row = self.host.store.run(workspace, from).await?.ok_or(CommandError::UnknownRun(from))?;
        let vars = variables(&command.vars)?;
        let journal = self.host.store.journal(from).await?;
        let begins = |entry: &Entry| match entry.event.visit() {
            Some(visit) if visit.step == command.from_step => Some(visit.number),
            _ => None,
        };
        let wanted = command.visit.or_else(|| journal.iter().filter_map(begins).max());
        let place = journal.iter().position(|entry| wanted.is_some() && begins(entry) == wanted);
        let place = place.ok_or_else(|| CommandError::StepNotVisited {
            run: from,
            step: command.from_step.clone(),
            visit: command.visit,
        })?;
        let taken = &journal[..place];
        let version = taken.iter().rev().find_map(|entry| match &entry.event {
            Event::RunRetried { version, .. } => *version,
            _ => None,
        });
        let (id, at) = (self.host.next_id(), self.host.clock.now());
        let event = Event::RunForked { run: from, by: command.by, vars, since: at };
        let version = version.unwrap_or(row.first_version);
        let of_run = OfRun { run_id: id, workflow_id: row.workflow, workflow_version: version };
        let fork = Fork {
            id,
            from,
            entries: place as i32,
            version,
            entry: &Entry { at, event },
            event: &self.host.event_of(&started(&of_run, None, Some(from)), 0),
        };
        if !self.host.store.fork_run(workspace, &fork).await? {
            return Err(CommandError::UnknownRun(from));
        }
        info!(run.id = %id, forked.from = %from, "Run `{id}` begins with what `{from}` did before `{}`", command.from_step);
        self.let_in_line(&[id]).await;
        self.host.wake(&[id]);
        self.run(workspace, id).await
    }

    pub(crate) async fn tell(
        &self,
        workspace: WorkspaceId,
        run: RunId,
        message: &Message,
        only_while: &[RunStatus],
        wish: &'static str,
    ) -> Result<(), CommandError> {
        match self.host.store.tell_run(workspace, run, message, only_while, RUN_JOURNAL_BYTES_MAX).await? {
            Told::Yes => {
                self.host.wake(&[run]);
                Ok(())
            }
            Told::NoSuchRun => Err(CommandError::UnknownRun(run)),
            Told::Full => Err(CommandError::TooManyMessages(run)),
            Told::NotNow(status) => Err(CommandError::DoesNotApply { run, wish, status, why: None }),
        }
    }

    /// The run as soon as its row says so, or as it stands after [`TAKEN_IN_MAX`].
    async fn when(
        &self,
        workspace: WorkspaceId,
        id: RunId,
        is_taken_in: impl Fn(&RunRow) -> bool,
    ) -> Result<RunView, CommandError> {
        let deadline = Instant::now() + TAKEN_IN_MAX;
        loop {
            let row = self.host.store.run(workspace, id).await?.ok_or(CommandError::UnknownRun(id))?;
            if is_taken_in(&row) || Instant::now() >= deadline {
                return self.run(workspace, id).await;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Runs that stand in a line are admitted as far as there is room.
    async fn let_in_line(&self, runs: &[RunId]) {
        for line in self.host.store.lines_of(runs).await.unwrap_or_default() {
            // What this does not do the sweep does a moment later.
            if let Ok(admitted) = self.host.store.admit_next(&line).await {
                self.host.wake(&admitted);
            }
        }
    }
}

/// Variables that are changed; all faults of their names, pointers relative to them.
fn variables(vars: &Map<String, Value>) -> Result<Variables, CommandError> {
    let fault = |name: &String| Some(Fault::new(pointer("", name), "vars.name", variable_name(name).err()?));
    let faults: Vec<Fault> = vars.keys().filter_map(fault).collect();
    if !faults.is_empty() {
        return Err(CommandError::Invalid(faults));
    }
    Ok(vars.iter().map(|(name, value)| (name.clone(), Arc::new(value.clone()))).collect())
}

fn told_again(ended: &RunRow) -> Message {
    let read = |text: &Option<String>| text.as_deref().and_then(|text| serde_json::from_str(text).ok());
    Message::ChildEnded {
        run: ended.id,
        status: ended.status,
        output: Arc::new(read(&ended.output).unwrap_or_default()),
        error: ended.error.as_deref().and_then(|error| serde_json::from_str(error).ok()),
    }
}

/// A child that was removed, since its time was over, waits for nobody and answers nothing.
fn told_of_removed(child: RunId) -> Message {
    let message = format!("the run `{child}` is not kept any more");
    let error = Failure::new(None, "run.removed", message);
    Message::ChildEnded { run: child, status: RunStatus::Failed, output: Arc::new(Value::Null), error: Some(error) }
}

fn does_not_apply(row: &RunRow, wish: &'static str, why: Option<String>) -> CommandError {
    CommandError::DoesNotApply { run: row.id, wish, status: row.status, why }
}
