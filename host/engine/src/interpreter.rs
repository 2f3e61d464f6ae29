//! Drives one run: decides with the domain, appends, calls, judges, until the run ends, waits or is let go.

mod leaving;

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use armilla_domain::event::told_by;
use armilla_domain::journal::{Event, Failure, Visit};
use armilla_domain::run::{Answered, Attempt, Call, CallKind, DECISIONS_PER_TURN_MAX, RunStatus, State};
use armilla_domain::talk::RemoteTask;
use armilla_store::{LeasedRun, StoreError};
use chrono::{DateTime, Utc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::agent_call::cancel_task;
use crate::children::child_id;
use crate::executor::{self, LEFT_TO_OTHERS, Work};
use crate::folded::Beginning;
use crate::hold::Hold;
use crate::host::Host;
use crate::pending::Pending;
use crate::time::{sleep_until, until};
use crate::{APPEND_DELAY_MAX, CLAIMS_WITHOUT_PROGRESS_MAX, PARK_AFTER, RUN_JOURNAL_BYTES_MAX, SHUTDOWN_GRACE};

/// Entries that may wait to be appended: a chain of decisions longer than this goes out in parts.
const PENDING_ENTRIES_MAX: usize = 100;

/// Calls that a run makes in its own task before others have a turn on its thread: each takes up to a millisecond.
const CALLS_IN_A_ROW_MAX: usize = 8;

/// One run on this host.
pub(crate) struct Interpreter {
    pub(crate) host: Arc<Host>,
    pub(crate) run: LeasedRun,
    pub(crate) state: State,
    pub(crate) pending: Pending,
    /// Since when something waits to be appended.
    pub(crate) pending_since: Option<Instant>,
    calls: JoinSet<Attempt>,
    /// Calls under way, by visit, and how to let each go.
    pub(crate) begun: HashMap<Visit, (Call, AbortHandle)>,
    pub(crate) hold: Hold,
    /// Calls that were made in this task, since others had a turn on its thread.
    calls_in_a_row: usize,
    /// Tasks of agents that are to be given up as soon as it is durable that nobody waits for them.
    abandoned_tasks: Vec<(Visit, RemoteTask)>,
    /// Since when the run is driven here.
    began: Instant,
    /// Whether there may be messages that were not read yet.
    is_told: bool,
    /// When messages were read last.
    pub(crate) told_at: Option<DateTime<Utc>>,
}

/// Why the loop woke.
enum Woken {
    Answered(Box<Attempt>),
    Told,
    Due,
    AppendDue,
    Lost,
    Stopping,
    GraceOver,
}

/// What came of the calls that may be made.
enum Begun {
    /// Whatever there was to begin goes on.
    Going,
    /// The only one is over already.
    Answered(Box<Attempt>),
    /// The lease is.
    Lost,
}

/// What a run does that nobody holds.
pub(crate) fn status_of_waiting(state: &State, admitted: bool) -> RunStatus {
    match state.status() {
        RunStatus::Running if admitted => RunStatus::Waiting,
        RunStatus::Running => RunStatus::Queued,
        other => other,
    }
}

impl Interpreter {
    /// Drives a run from the state that its command left it in.
    pub(crate) async fn begin(
        host: Arc<Host>,
        hold: Hold,
        run: LeasedRun,
        state: State,
        pending: Pending,
    ) -> Result<(), StoreError> {
        Self::new(host, hold, run, state, pending, false).drive().await
    }

    /// Drives a run from its journal: after a crash, a restart, a wait, or a stay in the queue.
    pub(crate) async fn resume(host: Arc<Host>, hold: Hold, run: LeasedRun) -> Result<(), StoreError> {
        if run.claims > CLAIMS_WITHOUT_PROGRESS_MAX {
            return leaving::park_what_stops_hosts(&host, &run).await;
        }
        let journal = host.store.journal(run.id).await?;
        let beginning = Beginning {
            run: run.id,
            workflow: run.workflow,
            first_version: run.first_version,
            started_at: run.started_at,
        };
        let state = host.fold(beginning, &journal).await?;
        // What was asked before a retry was taken back, and nobody was asked yet since.
        let is_reopened = matches!(
            journal.last().map(|entry| &entry.event),
            Some(Event::RunRetried { .. } | Event::RunForked { .. })
        );
        let asked = if is_reopened { Vec::new() } else { state.approvals() };
        let pending = Pending::new(&run, Vec::new(), Vec::new(), asked);
        Self::new(host, hold, run, state, pending, true).drive().await
    }

    fn new(host: Arc<Host>, hold: Hold, run: LeasedRun, state: State, pending: Pending, is_told: bool) -> Self {
        let (calls, begun) = (JoinSet::new(), HashMap::new());
        // A question that a run begins with is still to be written down, for those who answer it.
        let pending_since = (!pending.is_empty()).then(Instant::now);
        Self {
            host,
            run,
            state,
            pending,
            pending_since,
            calls,
            begun,
            hold,
            calls_in_a_row: 0,
            abandoned_tasks: Vec::new(),
            began: Instant::now(),
            is_told,
            told_at: None,
        }
    }

    async fn drive(mut self) -> Result<(), StoreError> {
        let mut grace = None;
        loop {
            if std::mem::take(&mut self.is_told) && !self.read_messages().await? {
                return Ok(());
            }
            if !self.decide().await? {
                return Ok(());
            }
            self.end_out_of_bounds();
            if self.state.status().is_final() {
                return self.end().await;
            }
            self.let_go_of_the_unwanted();
            if grace.is_none() && self.may_begin() {
                match self.begin_due_calls().await? {
                    Begun::Going => {}
                    Begun::Answered(attempt) => {
                        self.take(*attempt);
                        if self.is_append_due() && !self.append().await? {
                            return Ok(());
                        }
                        continue;
                    }
                    Begun::Lost => return Ok(()),
                }
            }
            if self.calls.is_empty() {
                if grace.is_some() {
                    return self.release().await;
                }
                if let Some(due_at) = self.nothing_to_do_until()
                    && !self.hold.is_nudged()
                {
                    return self.park(due_at).await;
                }
            }
            match self.wake(grace).await {
                Woken::Answered(attempt) => self.take(*attempt),
                Woken::Told => self.is_told = true,
                // Looked at in each turn.
                Woken::Due => {}
                Woken::AppendDue => {
                    if !self.append().await? {
                        return Ok(());
                    }
                }
                Woken::Lost => return Ok(()),
                Woken::Stopping => grace = Some(Instant::now() + SHUTDOWN_GRACE),
                Woken::GraceOver => return self.release().await,
            }
        }
    }

    /// The host's time, or the database's where that is later: what was due by its clock when the run was leased is due, and time
    /// goes on from there whatever the host's clock says.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.host.clock.now().max(self.run.leased_at + self.began.elapsed())
    }

    /// Whether calls may begin: not while the run is paused, or waits in line.
    fn may_begin(&self) -> bool {
        self.run.admitted && self.state.status() != RunStatus::Paused
    }

    /// Takes every decision there is, in turns, so that a long chain of them neither keeps others from running nor outlives
    /// the run's own bounds. Says whether the lease still holds.
    async fn decide(&mut self) -> Result<bool, StoreError> {
        if !self.run.admitted {
            return Ok(true);
        }
        loop {
            let now = self.now();
            // Whatever was said in time is in the inbox by then, and must be heard before the time is said to be over.
            let last_word = self.state.next_last_word().filter(|at| *at <= now);
            if last_word.is_some_and(|at| self.told_at.is_none_or(|told_at| told_at < at))
                && !self.read_messages().await?
            {
                return Ok(false);
            }
            let events = self.state.decide(&self.host.templates, now);
            let is_all = events.len() < DECISIONS_PER_TURN_MAX;
            for event in events {
                self.record(event);
            }
            if self.pending.len() >= PENDING_ENTRIES_MAX && !self.append().await? {
                return Ok(false);
            }
            if is_all || self.end_out_of_bounds() {
                return Ok(true);
            }
            tokio::task::yield_now().await;
            if self.hold.lost.is_cancelled() {
                return Ok(false);
            }
        }
    }

    /// Ends a run that took too long, or whose journal weighs too much, whatever it does. Says whether it did.
    fn end_out_of_bounds(&mut self) -> bool {
        if !self.run.admitted || self.state.status().is_final() {
            return false;
        }
        let event = if self.state.deadline().is_some_and(|deadline| deadline <= self.now()) {
            self.state.time_out()
        } else if self.pending.journal_bytes() > RUN_JOURNAL_BYTES_MAX {
            let message = format!("the run's journal weighs more than {RUN_JOURNAL_BYTES_MAX} bytes");
            failure_of_run("run.too_large", message)
        } else {
            return false;
        };
        self.state.apply(&event);
        self.record(event);
        true
    }

    /// The calls that are owed and were not begun.
    fn owed(&self) -> impl Iterator<Item = Call> {
        self.state.calls().into_iter().filter(|call| !self.is_begun(call))
    }

    /// When the run can go on of itself, where nothing needs a host until then: `Some(None)` where only a message wakes it.
    fn nothing_to_do_until(&self) -> Option<Option<DateTime<Utc>>> {
        let deadline = self.state.deadline();
        if !self.may_begin() {
            // What waits in line is not yet late.
            return Some(deadline.filter(|_| self.run.admitted));
        }
        let (now, mut due) = (self.now(), deadline);
        for instant in
            self.owed().map(|call| call.not_before).chain([self.state.next_wake().map(Some)].into_iter().flatten())
        {
            // A call without an instant is due at once.
            let instant = instant?;
            due = Some(due.map_or(instant, |due| due.min(instant)));
        }
        let waits_long = due.is_none_or(|due| due > now + PARK_AFTER);
        waits_long.then_some(due)
    }

    /// Waits for whatever comes first.
    async fn wake(&mut self, grace: Option<Instant>) -> Woken {
        self.calls_in_a_row = 0;
        let begins = grace.is_none() && self.may_begin();
        let retry = self.owed().filter_map(|call| call.not_before).min().filter(|_| begins);
        let due = [retry, self.state.next_wake()].into_iter().flatten().min().filter(|_| begins);
        // What is too late is looked at in each turn.
        let due = [due, self.state.deadline()].into_iter().flatten().min();
        let (now, instant) = (self.now(), Instant::now());
        let due = due.map(|due| instant + until(now, due));
        let append = self.pending_since.map(|since| since + APPEND_DELAY_MAX);
        tokio::select! {
            biased;
            () = self.hold.lost.cancelled() => Woken::Lost,
            Some(done) = self.calls.join_next() => match done {
                Ok(attempt) => Woken::Answered(Box::new(attempt)),
                // Only a call that was let go ends without an answer; a panic is one that the executor has caught.
                Err(_) => Woken::Due,
            },
            () = self.hold.nudged() => Woken::Told,
            () = self.host.stopping.cancelled(), if grace.is_none() => Woken::Stopping,
            () = sleep_until(due) => Woken::Due,
            () = sleep_until(append) => Woken::AppendDue,
            () = sleep_until(grace) => Woken::GraceOver,
        }
    }

    /// Begins every call that may be made now. Whatever was decided before it is durable first, unless the call can touch
    /// nothing: then both may be computed again after a crash.
    async fn begin_due_calls(&mut self) -> Result<Begun, StoreError> {
        let now = self.now();
        let due: Vec<Call> = self.owed().filter(|call| call.not_before.is_none_or(|at| at <= now)).collect();
        let touches_the_world =
            due.iter().any(|call| !executor::is_pure(&self.host, self.run.workspace, self.state.plugins(), &call.kind));
        if touches_the_world && !self.append().await? {
            return Ok(Begun::Lost);
        }
        // Nothing may have been there to append, and then nobody was asked whose the run is.
        if !due.is_empty() && !self.hold.is_good() {
            warn!(run.id = %self.run.id, "The lease of `{}` has run out", self.run.id);
            return Ok(Begun::Lost);
        }
        let is_alone = due.len() == 1 && self.calls.is_empty();
        for call in due {
            let work = Work::new(&self.host, &self.run, &self.state, &self.hold, call.clone());
            let is_computed = matches!(call.kind, CallKind::Tool { .. } | CallKind::Evaluator { .. });
            let mut made = Box::pin(executor::perform(Arc::clone(&self.host), work));
            // A component mostly answers at once: within the sandbox's first tick, and without waiting for anything. It is spared the
            // way to a task of its own and back.
            if is_alone && is_computed && self.calls_in_a_row < CALLS_IN_A_ROW_MAX {
                self.calls_in_a_row += 1;
                if let Poll::Ready(attempt) = poll_fn(|context| Poll::Ready(made.as_mut().poll(context))).await {
                    return Ok(Begun::Answered(Box::new(attempt)));
                }
            }
            let handle = self.calls.spawn(made);
            self.begun.insert(call.visit.clone(), (call, handle));
        }
        Ok(Begun::Going)
    }

    /// Whether what was decided has waited long enough for a call that must not begin before it is durable.
    fn is_append_due(&self) -> bool {
        self.pending_since.is_some_and(|since| since.elapsed() >= APPEND_DELAY_MAX)
    }

    fn is_begun(&self, call: &Call) -> bool {
        self.begun
            .get(&call.visit)
            .is_some_and(|(begun, _)| (begun.attempt, begun.talk.len()) == (call.attempt, call.talk.len()))
    }

    /// Stops calls that nobody waits for any more: a group that failed at another branch. A run that such a call may have
    /// started is told to end.
    fn let_go_of_the_unwanted(&mut self) {
        let (state, run) = (&self.state, &self.run);
        let mut abandoned = Vec::new();
        self.begun.retain(|visit, (call, handle)| {
            let wanted = state.is_open(visit);
            if !wanted {
                handle.abort();
                if matches!(call.kind, CallKind::Child { .. }) {
                    abandoned.push(child_id(run.id, run.started_at, call));
                }
            }
            wanted
        });
        self.pending.abandon(abandoned);
    }

    fn take(&mut self, attempt: Attempt) {
        if self.is_begun(&attempt.call) {
            self.begun.remove(&attempt.call.visit);
        }
        if matches!(&attempt.result, Err(error) if error.code == LEFT_TO_OTHERS) {
            return;
        }
        if let Ok(Answered::NotYet(pause)) = attempt.result {
            let until = self.now() + pause;
            return self.state.put_off(&attempt.call, until);
        }
        let repeatable =
            executor::is_repeatable(&self.host, self.run.workspace, self.state.plugins(), &attempt.call.kind);
        let (now, chance) = (self.now(), self.host.chance.fraction());
        let tool = match &attempt.call.kind {
            CallKind::Tool { tool_name, .. } => Some(tool_name.clone()),
            _ => None,
        };
        if let Some(event) = self.state.judge(attempt, repeatable, now, chance) {
            self.state.apply(&event);
            self.record_end_of_call(event, tool.as_deref());
        }
    }

    pub(crate) fn record(&mut self, event: Event) {
        self.record_end_of_call(event, None);
    }

    /// Of a call that went to `tool`, where it did.
    fn record_end_of_call(&mut self, event: Event, tool: Option<&str>) {
        debug!(run.id = %self.run.id, kind = event.kind(), step = event.visit().map(|visit| visit.step.as_str()),
            "`{}` of `{}`", event.kind(), self.run.id);
        let now = self.host.clock.now();
        let duration_ms = (now - self.run.started_at).num_milliseconds().unsigned_abs();
        let told = told_by(self.pending.of_run(), &self.state, &event, tool, duration_ms);
        self.pending.push(now, event, told);
        self.run.was_waiting = false;
        self.pending.abandon(self.state.take_abandoned());
        self.abandoned_tasks.extend(self.state.take_abandoned_tasks());
        self.pending_since.get_or_insert_with(Instant::now);
    }

    async fn append(&mut self) -> Result<bool, StoreError> {
        self.append_and(None).await
    }

    async fn append_and(&mut self, let_go: Option<Option<DateTime<Utc>>>) -> Result<bool, StoreError> {
        self.pending_since = None;
        let held = tokio::select! {
            held = self.pending.append(&self.host, &self.state, let_go) => held?,
            () = self.hold.lost.cancelled() => false,
        };
        if held {
            for (visit, task) in std::mem::take(&mut self.abandoned_tasks) {
                cancel_task(&self.host, &self.run, visit, task);
            }
        }
        Ok(held)
    }
}

fn failure_of_run(code: &str, message: String) -> Event {
    Event::RunFailed { error: Failure::new(None, code, message) }
}
