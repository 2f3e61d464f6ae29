//! Drives one run: decides with the domain, appends, calls, judges, until the run ends or is let go.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use armilla_domain::journal::{Entry, Event, Failure, Visit};
use armilla_domain::run::{Attempt, Call, RunFacts, State};
use armilla_store::{LeasedRun, StoreError};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::executor::{self, Work};
use crate::host::Host;
use crate::pending::{Pending, vars_json};
use crate::time::until;
use crate::{APPEND_DELAY_MAX, CLAIMS_WITHOUT_PROGRESS_MAX, RUN_JOURNAL_BYTES_MAX, RunView, SHUTDOWN_GRACE};

/// A sleep that stands for "no instant": the loop wakes for something else long before.
const FAR: Duration = Duration::from_secs(24 * 60 * 60);

/// Entries that may wait to be appended: a chain of decisions longer than this goes out in parts.
const PENDING_ENTRIES_MAX: usize = 100;

/// One run on this host.
pub(crate) struct Interpreter {
    host: Arc<Host>,
    run: LeasedRun,
    state: State,
    pending: Pending,
    /// Since when something waits to be appended.
    pending_since: Option<Instant>,
    calls: JoinSet<Attempt>,
    /// Calls under way, by visit: which attempt, and how to let it go.
    begun: HashMap<Visit, (u32, AbortHandle)>,
    lost: CancellationToken,
}

/// Why the loop woke.
enum Woken {
    Answered(Box<Attempt>),
    Due,
    AppendDue,
    TooLate,
    Lost,
    Stopping,
    GraceOver,
}

impl Interpreter {
    /// Drives a run from the state that its command left it in.
    pub(crate) async fn begin(
        host: Arc<Host>,
        lost: CancellationToken,
        run: LeasedRun,
        state: State,
        pending: Pending,
    ) -> Result<(), StoreError> {
        let calls = JoinSet::new();
        let begun = HashMap::new();
        Self { host, run, state, pending, pending_since: None, calls, begun, lost }.drive().await
    }

    /// Drives a run from its journal: after a crash, a restart, or a stay in the queue.
    pub(crate) async fn resume(host: Arc<Host>, lost: CancellationToken, run: LeasedRun) -> Result<(), StoreError> {
        let workflow = host.workflow(run.workflow, run.version).await?;
        let facts = RunFacts { run_id: run.id, workflow_id: run.workflow, started_at: run.started_at };
        let mut state = State::new(workflow, facts);
        if run.claims > CLAIMS_WITHOUT_PROGRESS_MAX {
            // Its journal is not even read: reading it may be what stops hosts.
            let message =
                format!("{CLAIMS_WITHOUT_PROGRESS_MAX} times in a row a host stopped while it worked on this run");
            let event = failure_of_run("run.poisoned", message);
            state.apply(&event);
            let entry = Entry { at: host.clock.now(), event };
            let pending = Pending::new(&run, vec![entry]);
            return Self::begin(host, lost, run, state, pending).await;
        }
        for entry in &host.store.journal(run.id).await? {
            state.apply(&entry.event);
        }
        let pending = Pending::new(&run, Vec::new());
        Self::begin(host, lost, run, state, pending).await
    }

    async fn drive(mut self) -> Result<(), StoreError> {
        let mut grace = None;
        loop {
            if !self.decide().await? {
                return Ok(());
            }
            if self.state.status().is_final() {
                return self.end().await;
            }
            self.let_go_of_the_unwanted();
            if grace.is_none() && !self.begin_due_calls().await? {
                return Ok(());
            }
            if grace.is_some() && self.calls.is_empty() {
                return self.release().await;
            }
            match self.wake(grace).await {
                Woken::Answered(attempt) => self.take(*attempt),
                Woken::Due => {}
                Woken::AppendDue => {
                    if !self.append().await? {
                        return Ok(());
                    }
                }
                Woken::TooLate => {
                    let event = self.state.time_out();
                    self.state.apply(&event);
                    self.record(event);
                }
                Woken::Lost => return Ok(()),
                Woken::Stopping => grace = Some(Instant::now() + SHUTDOWN_GRACE),
                Woken::GraceOver => return self.release().await,
            }
        }
    }

    /// Takes every decision there is, in turns, so that a long chain of them neither keeps others from running nor outlives
    /// the run's own bounds. Says whether the lease still holds.
    async fn decide(&mut self) -> Result<bool, StoreError> {
        loop {
            let events = self.state.decide(&self.host.templates);
            if events.is_empty() {
                return Ok(true);
            }
            for event in events {
                self.record(event);
            }
            if self.pending.len() >= PENDING_ENTRIES_MAX && !self.append().await? {
                return Ok(false);
            }
            let is_late = self.state.deadline().is_some_and(|deadline| deadline <= self.host.clock.now());
            let out_of_bounds = if is_late {
                Some(self.state.time_out())
            } else if self.pending.journal_bytes() > RUN_JOURNAL_BYTES_MAX {
                let message = format!("the run's journal weighs more than {RUN_JOURNAL_BYTES_MAX} bytes");
                Some(failure_of_run("run.too_large", message))
            } else {
                None
            };
            if let Some(event) = out_of_bounds.filter(|_| !self.state.status().is_final()) {
                self.state.apply(&event);
                self.record(event);
                return Ok(true);
            }
            tokio::task::yield_now().await;
            if self.lost.is_cancelled() {
                return Ok(false);
            }
        }
    }

    /// Waits for whatever comes first.
    async fn wake(&mut self, grace: Option<Instant>) -> Woken {
        let now = self.host.clock.now();
        let waits: Vec<_> = self.state.calls().into_iter().filter(|call| !self.is_begun(call)).collect();
        let due = waits.iter().filter_map(|call| call.not_before).min().filter(|_| grace.is_none());
        let due = due.map_or(FAR, |due| until(now, due));
        let too_late = self.state.deadline().map_or(FAR, |deadline| until(now, deadline));
        let append = self.pending_since.map_or(Instant::now() + FAR, |since| since + APPEND_DELAY_MAX);
        let grace_over = grace.unwrap_or_else(|| Instant::now() + FAR);
        tokio::select! {
            biased;
            () = self.lost.cancelled() => Woken::Lost,
            Some(done) = self.calls.join_next() => match done {
                Ok(attempt) => Woken::Answered(Box::new(attempt)),
                // Only a call that was let go ends without an answer; a panic is one that the executor has caught.
                Err(_) => Woken::Due,
            },
            () = self.host.stopping.cancelled(), if grace.is_none() => Woken::Stopping,
            () = tokio::time::sleep(too_late) => Woken::TooLate,
            () = tokio::time::sleep(due) => Woken::Due,
            () = tokio::time::sleep_until(append) => Woken::AppendDue,
            () = tokio::time::sleep_until(grace_over) => Woken::GraceOver,
        }
    }

    /// Begins every call that may be made now. Whatever was decided before it is durable first, unless the call can touch
    /// nothing: then both may be computed again after a crash. Says whether the lease still holds.
    async fn begin_due_calls(&mut self) -> Result<bool, StoreError> {
        let now = self.host.clock.now();
        let is_due = |call: &Call| call.not_before.is_none_or(|at| at <= now);
        let due: Vec<Call> =
            self.state.calls().into_iter().filter(|call| is_due(call) && !self.is_begun(call)).collect();
        let touches_the_world =
            due.iter().any(|call| !executor::is_pure(&self.host, self.run.workspace, self.state.plugins(), &call.kind));
        if touches_the_world && !self.append().await? {
            return Ok(false);
        }
        for call in due {
            let work = Work::new(&self.host, &self.run, &self.state, call.clone());
            let handle = self.calls.spawn(executor::perform(Arc::clone(&self.host), work));
            self.begun.insert(call.visit, (call.attempt, handle));
        }
        Ok(true)
    }

    fn is_begun(&self, call: &Call) -> bool {
        self.begun.get(&call.visit).is_some_and(|(attempt, _)| *attempt == call.attempt)
    }

    /// Stops calls that nobody waits for any more: a group that failed at another branch.
    fn let_go_of_the_unwanted(&mut self) {
        let state = &self.state;
        self.begun.retain(|visit, (_, handle)| {
            let wanted = state.is_open(visit);
            if !wanted {
                handle.abort();
            }
            wanted
        });
    }

    fn take(&mut self, attempt: Attempt) {
        let repeatable =
            executor::is_repeatable(&self.host, self.run.workspace, self.state.plugins(), &attempt.call.kind);
        self.begun.remove(&attempt.call.visit);
        let (now, chance) = (self.host.clock.now(), self.host.chance.fraction());
        if let Some(event) = self.state.judge(attempt, repeatable, now, chance) {
            self.state.apply(&event);
            self.record(event);
        }
    }

    fn record(&mut self, event: Event) {
        debug!(run.id = %self.run.id, kind = event.kind(), step = event.visit().map(|visit| visit.step.as_str()),
            "`{}` of `{}`", event.kind(), self.run.id);
        self.pending.push(self.host.clock.now(), event);
        self.pending_since.get_or_insert_with(Instant::now);
    }

    async fn append(&mut self) -> Result<bool, StoreError> {
        self.pending_since = None;
        tokio::select! {
            held = self.pending.append(&self.host.store, &self.state) => held,
            () = self.lost.cancelled() => Ok(false),
        }
    }

    async fn end(mut self) -> Result<(), StoreError> {
        let finished_at = self.pending.last_at();
        self.calls.abort_all();
        if !self.append().await? {
            return Ok(());
        }
        let (id, status) = (self.run.id, self.state.status());
        info!(run.id = %id, status = status.as_str(), "Run `{id}` ended: {}", status.as_str());
        if self.host.waiting.is_awaited(id) {
            let started_at = self.run.started_at;
            self.host.waiting.announce(
                id,
                RunView {
                    id,
                    workflow: self.run.workflow,
                    version: self.run.version,
                    status,
                    input: Arc::clone(self.state.input()),
                    vars: vars_json(&self.state),
                    output: self.state.output(),
                    error: self.state.error().cloned(),
                    created_at: started_at,
                    started_at: Some(started_at),
                    finished_at,
                },
            );
        }
        Ok(())
    }

    /// Keeps what is known and lets any host go on.
    async fn release(mut self) -> Result<(), StoreError> {
        self.calls.abort_all();
        if !self.pending.is_empty() && !self.append().await? {
            return Ok(());
        }
        self.host.store.release_run(self.run.id, self.run.epoch, true).await?;
        info!(run.id = %self.run.id, "Run `{}` is let go, to be resumed", self.run.id);
        Ok(())
    }
}

fn failure_of_run(code: &str, message: String) -> Event {
    Event::RunFailed { error: Failure { step_id: None, code: code.to_owned(), message, attempts: 0 } }
}
