//! What a run that is driven here is told, and how it takes that in.

use armilla_domain::id::RunId;
use armilla_domain::journal::Event;
use armilla_domain::run::{Call, CallKind, Message};
use armilla_store::StoreError;
use tokio::time::Instant;
use tracing::debug;

use crate::children::child_id;
use crate::interpreter::Interpreter;
use crate::pending::{RETRY_DELAY, RETRY_DELAY_MAX};

impl Interpreter {
    /// Takes in what the run was told. Says whether the lease still holds.
    pub(crate) async fn read_messages(&mut self) -> Result<bool, StoreError> {
        self.told_at = Some(self.now());
        let messages = tokio::select! {
            messages = self.inbox() => messages?,
            () = self.hold.lost.cancelled() => return Ok(false),
        };
        let (now, chance) = (self.now(), self.host.chance.fraction());
        for (id, message) in messages {
            if self.pending.has_consumed(id) {
                continue;
            }
            if let Message::ChildEnded { run, .. } = &message {
                self.know_child(*run);
            }
            if let Some(event) = self.state.receive(message, now, chance) {
                self.state.apply(&event);
                self.record(event);
            }
            self.pending.consume(id);
            self.pending_since.get_or_insert_with(Instant::now);
        }
        Ok(true)
    }

    /// What waits for the run, however long the database is away: the calls under way must not suffer from that.
    async fn inbox(&self) -> Result<Vec<(i64, Message)>, StoreError> {
        let mut delay = RETRY_DELAY;
        loop {
            match self.host.store.inbox(self.run.id).await {
                Err(error) if error.is_unavailable() => {
                    debug!(run.id = %self.run.id, "The messages for `{}` cannot be read yet: {error}", self.run.id);
                    tokio::time::sleep(delay).await;
                    delay = (delay * 2).min(RETRY_DELAY_MAX);
                }
                settled => return settled,
            }
        }
    }

    /// A child may have ended before it is known here that it began: its host was quicker, or the one that started it died in
    /// between. That it ended says that it began.
    fn know_child(&mut self, child: RunId) {
        let calls = self.state.calls();
        let begun = calls.into_iter().find(|call| {
            matches!(call.kind, CallKind::Child { .. }) && child_id(self.run.id, self.run.started_at, call) == child
        });
        let Some(Call { visit, attempt, .. }) = begun else { return };
        if let Some((_, call)) = self.begun.remove(&visit) {
            call.abort();
        }
        let event = Event::ChildStarted { visit, attempt, run: child };
        self.state.apply(&event);
        self.record(event);
    }
}
