//! Entries that were decided and are not durable yet.

use std::sync::Arc;
use std::time::Duration;

use armilla_domain::event::data::{ApprovalRequested, OfRun, beginning};
use armilla_domain::event::{EventType, Told, of_step};
use armilla_domain::id::{RunId, WorkspaceId};
use armilla_domain::journal::{Entry, Event};
use armilla_domain::run::{Message, OpenApproval, RunStatus, State};
use armilla_store::{Append, Asked, LeasedRun, NewEvent, Rows, RunEnd, StoreError, Then};
use chrono::{DateTime, Utc};
use serde_json::Value;
use tracing::warn;

use crate::host::Host;
use crate::interpreter::status_of_waiting;

/// The first wait after a statement that met an absent database; it doubles up to [`RETRY_DELAY_MAX`].
pub(crate) const RETRY_DELAY: Duration = Duration::from_millis(50);
/// The longest such wait: a database that is back is noticed within it.
pub(crate) const RETRY_DELAY_MAX: Duration = Duration::from_secs(1);

/// The end of one run's journal: what is durable, and what is to be.
pub(crate) struct Pending {
    run: RunId,
    workspace: WorkspaceId,
    parent: Option<RunId>,
    admitted: bool,
    epoch: i64,
    journal_len: i32,
    /// What the durable part weighs.
    journal_bytes: i64,
    entries: Vec<Entry>,
    /// Messages that the entries have taken in.
    consumed: Vec<i64>,
    abandoned: Vec<RunId>,
    /// The decisions that the run waits for, as far as the database knows.
    asked: Vec<OpenApproval>,
    /// What the entries tell.
    told: Vec<Told>,
    of_run: OfRun,
    event_depth: i16,
}

impl Pending {
    pub(crate) fn new(run: &LeasedRun, entries: Vec<Entry>, told: Vec<Told>, asked: Vec<OpenApproval>) -> Self {
        let LeasedRun { id, workspace, parent, admitted, epoch, journal_len, journal_bytes, event_depth, .. } = *run;
        Self {
            run: id,
            workspace,
            parent,
            admitted,
            epoch,
            journal_len,
            journal_bytes,
            entries,
            consumed: Vec::new(),
            abandoned: Vec::new(),
            asked,
            told,
            of_run: OfRun { run_id: id, workflow_id: run.workflow, workflow_version: run.version },
            event_depth,
        }
    }

    /// The run, as events name it.
    pub(crate) fn of_run(&self) -> &OfRun {
        &self.of_run
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What the run's journal weighs, as far as it is durable.
    pub(crate) fn journal_bytes(&self) -> i64 {
        self.journal_bytes
    }

    pub(crate) fn push(&mut self, at: DateTime<Utc>, event: Event, told: Vec<Told>) {
        self.entries.push(Entry { at, event });
        self.told.extend(told);
    }

    /// Tells something beside what the entries do.
    pub(crate) fn tell(&mut self, told: Told) {
        self.told.push(told);
    }

    /// A message was taken in, whether it made an entry or not.
    pub(crate) fn consume(&mut self, message: i64) {
        self.consumed.push(message);
    }

    pub(crate) fn has_consumed(&self, message: i64) -> bool {
        self.consumed.contains(&message)
    }

    /// These runs are waited for no more.
    pub(crate) fn abandon(&mut self, children: Vec<RunId>) {
        self.abandoned.extend(children);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.consumed.is_empty()
    }

    /// When the last entry was made.
    pub(crate) fn last_at(&self) -> Option<DateTime<Utc>> {
        self.entries.last().map(|entry| entry.at)
    }

    /// Makes everything durable in one statement, however long the database is away, and lets the run go where `let_go` says
    /// so. `Ok(false)` where the lease is lost.
    ///
    /// # Errors
    /// Where the statement itself is refused, which no waiting mends.
    pub(crate) async fn append(
        &mut self,
        host: &Host,
        state: &State,
        let_go: Option<Option<DateTime<Utc>>>,
    ) -> Result<bool, StoreError> {
        if self.is_empty() && let_go.is_none() {
            return Ok(true);
        }
        let append = Arc::new(self.make(host, state, let_go)?);
        let told = match &append.then {
            Then::End(end) => end.told_parent.as_ref().map(|(parent, _)| *parent),
            Then::GoOn { .. } | Then::LetGo { .. } => None,
        };
        let told: Vec<RunId> = told.into_iter().chain(append.abandoned.iter().copied()).collect();
        let mut delay = RETRY_DELAY;
        let held = loop {
            match host.committer.write(&host.store, Arc::clone(&append)).await {
                Err(error) if error.is_unavailable() => {
                    warn!(run.id = %self.run, delay_ms = delay.as_millis() as u64, "The journal of `{}` waits: {error}", self.run);
                    tokio::time::sleep(delay).await;
                    delay = (delay * 2).min(RETRY_DELAY_MAX);
                }
                settled => break settled?,
            }
        };
        if held {
            self.journal_len += self.entries.len() as i32;
            self.journal_bytes += append.entries.bytes();
            self.entries.clear();
            self.consumed.clear();
            self.abandoned.clear();
            if !append.events.is_empty() || append.approvals.is_some() {
                host.told.send_replace(());
            }
            self.told.clear();
            if append.approvals.is_some() {
                self.asked = state.approvals();
            }
            host.wake(&told);
        }
        Ok(held)
    }

    fn make(&self, host: &Host, state: &State, let_go: Option<Option<DateTime<Utc>>>) -> Result<Append, StoreError> {
        let status = state.status();
        let then = if status.is_final() {
            Then::End(Box::new(self.end(host, state)))
        } else if let Some(due_at) = let_go {
            Then::LetGo { status: status_of_waiting(state, self.admitted), due_at }
        } else {
            Then::GoOn { status }
        };
        // The ids are in the order in which it happened: what led to a question comes before it, the wait for its answer after it.
        let told = |waits: bool| {
            let told = self.told.iter().filter(move |told| (told.kind == EventType::RunWaiting) == waits);
            told.map(|told| host.event_of(told, self.event_depth))
        };
        let mut events: Vec<NewEvent> = told(false).collect();
        let asked = state.approvals();
        let approvals = (asked != self.asked).then(|| asked.into_iter().map(|asked| self.ask(host, asked)).collect());
        events.extend(told(true));
        Ok(Append {
            run: self.run,
            workspace: self.workspace,
            epoch: self.epoch,
            journal_len: self.journal_len,
            entries: Rows::of(&self.entries)?,
            then,
            consumed: self.consumed.clone(),
            abandoned: self.abandoned.clone(),
            approvals,
            events,
        })
    }

    fn ask(&self, host: &Host, asked: OpenApproval) -> Asked {
        let OpenApproval { visit, message, approvers, expires_at } = asked;
        let id = host.next_id();
        // A column of text cannot hold it; the journal does.
        let message = message.replace('\0', "\u{fffd}");
        let data = ApprovalRequested {
            approval_id: id,
            step: of_step(&self.of_run, &visit),
            message: beginning(&message),
            approvers: &approvers,
            expires_at,
        };
        let event = host.event_of(&Told::new(EventType::ApprovalRequested, &data), self.event_depth);
        Asked { id, visit, message, approvers, expires_at, event }
    }

    fn end(&self, host: &Host, state: &State) -> RunEnd {
        let status = state.status();
        let told = self.parent.map(|parent| {
            let (output, error) = (Arc::new(state.output()), state.error().cloned());
            (parent, Message::ChildEnded { run: self.run, status, output, error })
        });
        RunEnd {
            status,
            vars: vars_json(state).to_string(),
            output: state.output().to_string(),
            usage: state.usage().and_then(|usage| serde_json::to_string(&usage).ok()),
            error: state.error().and_then(|error| serde_json::to_string(error).ok()),
            error_code: state.error().map(|error| error.code.clone()),
            retain: state.workflow().retention.of(status).or(host.limits.retention),
            told_parent: told,
        }
    }
}

/// The variables of a run as one JSON object.
pub(crate) fn vars_json(state: &State) -> Value {
    Value::Object(state.variables().iter().map(|(name, value)| (name.clone(), Value::clone(value))).collect())
}

/// Pauses a run whose state is not known, and lets it go.
pub(crate) async fn pause(host: &Host, run: &LeasedRun, entry: Entry) -> Result<bool, StoreError> {
    let append = Append {
        run: run.id,
        workspace: run.workspace,
        epoch: run.epoch,
        journal_len: run.journal_len,
        entries: Rows::of(&[entry])?,
        then: Then::LetGo { status: RunStatus::Paused, due_at: None },
        consumed: Vec::new(),
        abandoned: Vec::new(),
        approvals: None,
        events: Vec::new(),
    };
    host.committer.write(&host.store, Arc::new(append)).await
}
