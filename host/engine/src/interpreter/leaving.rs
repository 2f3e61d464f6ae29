//! How a host leaves a run: at its end, where nothing is to be done for long, or for another host to go on with.

use std::sync::Arc;

use armilla_domain::event::data::RunWaiting;
use armilla_domain::event::{EventType, Told};
use armilla_domain::journal::{Entry, Event};
use armilla_domain::run::RunStatus;
use armilla_store::{LeasedRun, Line, StoreError};
use chrono::{DateTime, Utc};
use tracing::{debug, info, warn};

use super::{Interpreter, status_of_waiting};
use crate::host::Host;
use crate::pending::vars_json;
use crate::{CLAIMS_WITHOUT_PROGRESS_MAX, RunView};

impl Interpreter {
    pub(super) async fn end(mut self) -> Result<(), StoreError> {
        let finished_at = self.pending.last_at();
        self.calls.abort_all();
        if !self.append().await? {
            return Ok(());
        }
        let (id, status) = (self.run.id, self.state.status());
        info!(run.id = %id, status = status.as_str(), "Run `{id}` ended: {}", status.as_str());
        if self.host.waiting.is_awaited(id) {
            let view = self.view(status, finished_at);
            self.host.waiting.announce(id, view);
        } else if self.run.epoch > 1 {
            // Whoever waits for it does so at the host where it began.
            self.host.tell_others(id);
        }
        if let Some(key) = self.run.concurrency_key.take() {
            let line = Line { workflow: self.run.workflow, key };
            match self.host.store.admit_next(&line).await {
                Ok(admitted) => self.host.wake(&admitted),
                // The sweep does it a moment later.
                Err(error) => warn!("The next run of `{}` could not be admitted: {error}", line.key),
            }
        }
        Ok(())
    }

    fn view(&self, status: RunStatus, finished_at: Option<DateTime<Utc>>) -> RunView {
        let started_at = self.run.started_at;
        RunView {
            id: self.run.id,
            workflow: self.run.workflow,
            version: self.run.version,
            status,
            input: Arc::clone(self.state.input()),
            vars: vars_json(&self.state),
            output: self.state.output(),
            usage: self.state.usage(),
            error: self.state.error().cloned(),
            created_at: started_at,
            started_at: Some(started_at),
            finished_at,
            parent: self.run.parent,
            forked_from: None,
        }
    }

    /// Keeps what is known and lets go until something happens: nothing of a run that waits stays on a host.
    pub(super) async fn park(mut self, due_at: Option<DateTime<Utc>>) -> Result<(), StoreError> {
        let status = status_of_waiting(&self.state, self.run.admitted);
        debug!(run.id = %self.run.id, status = status.as_str(), "Run `{}` is let go until something happens", self.run.id);
        // One that was only looked at waits on, and nobody needs to be told again.
        if status == RunStatus::Waiting && !self.run.was_waiting {
            let waiting = RunWaiting { run: self.pending.of_run(), until: due_at };
            let told = Told::new(EventType::RunWaiting, &waiting);
            self.pending.tell(told);
        }
        self.append_and(Some(due_at)).await?;
        Ok(())
    }

    /// Keeps what is known and lets any host go on.
    pub(super) async fn release(mut self) -> Result<(), StoreError> {
        self.calls.abort_all();
        if !self.pending.is_empty() && !self.append().await? {
            return Ok(());
        }
        self.host.store.release_run(self.run.id, self.run.epoch, true).await?;
        self.host.tell_others(self.run.id);
        info!(run.id = %self.run.id, "Run `{}` is let go, to be resumed", self.run.id);
        Ok(())
    }
}

/// A run that was taken up several times without getting on is held until somebody looks at it. Its journal is not even read:
/// reading it may be what stops hosts.
pub(super) async fn park_what_stops_hosts(host: &Host, run: &LeasedRun) -> Result<(), StoreError> {
    let reason = format!(
        "{CLAIMS_WITHOUT_PROGRESS_MAX} times in a row a host stopped while it worked on this run; resume it to try again"
    );
    warn!(run.id = %run.id, "Run `{}` is paused: {reason}", run.id);
    let event = Event::RunPaused { by: "armilla".to_owned(), reason: Some(reason) };
    let entry = Entry { at: host.clock.now(), event };
    crate::pending::pause(host, run, entry).await.map(drop)
}
