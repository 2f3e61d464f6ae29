//! Fan-out: events become deliveries of the webhooks that want them.

use std::sync::Arc;
use std::time::Duration;

use armilla_domain::id::WebhookId;
use armilla_domain::webhook::{FilterScope, Matched, body_of, told_of};
use armilla_store::{EventConsumer, EventRow, Listener, Matches, StoreError};
use tracing::warn;

use crate::{Inner, LOOK_INTERVAL};

/// How long two looks are apart at least, however much happens here: they must not take what runs need.
const LOOK_REST: Duration = Duration::from_millis(5);
/// The same where nobody follows any events: the first webhook of all hears of the first event a little later for it.
const LOOK_REST_UNFOLLOWED: Duration = Duration::from_millis(100);
/// Events that one transaction looks at.
const EVENTS_AT_ONCE: u32 = 100;
/// Filters that one transaction evaluates: some milliseconds at most for each, while nobody else may follow the workspace's events.
const FILTERS_AT_ONCE: usize = 200;
/// Bytes of bodies after which a transaction looks at no further event: they are in memory at once, and become one statement.
const BYTES_AT_ONCE: usize = 16 * 1024 * 1024;
/// Transactions of one workspace before the next one has its turn.
const TURNS: u32 = 10;
/// Characters of a filter's fault that are kept.
const FAULT_CHARS_MAX: usize = 500;
/// When is looked again after a word that something happened, and nothing was there: its transaction, or one before it, goes on.
const LOOKS_AFTER_A_WORD: [Duration; 4] =
    [Duration::from_millis(3), Duration::from_millis(10), Duration::from_millis(30), Duration::from_millis(100)];

impl Inner {
    /// Turns events into deliveries until this host stops.
    pub(crate) async fn fan_out_forever(self: Arc<Self>) {
        let mut looks = LOOKS_AFTER_A_WORD.iter();
        let mut wait = Duration::ZERO;
        loop {
            tokio::select! {
                () = self.happened.notified() => looks = LOOKS_AFTER_A_WORD.iter(),
                () = tokio::time::sleep(wait) => {}
                () = self.tasks.stopping.cancelled() => return,
            }
            let made = self.fan_out_once().await.unwrap_or_else(|error| {
                warn!("Events could not be followed for webhooks: {error}");
                Some(0)
            });
            tokio::select! {
                () = tokio::time::sleep(if made.is_some() { LOOK_REST } else { LOOK_REST_UNFOLLOWED }) => {}
                () = self.tasks.stopping.cancelled() => return,
            }
            wait = if made.is_some_and(|made| made > 0) {
                LOOK_INTERVAL
            } else {
                looks.next().copied().unwrap_or(LOOK_INTERVAL)
            };
        }
    }

    /// Looks at every event that nobody has looked at. Says how many deliveries were made of them; `None` where nobody follows any.
    pub(crate) async fn fan_out_once(&self) -> Result<Option<u64>, StoreError> {
        let Some(horizon) = self.store.horizon_of_followed(EventConsumer::Webhooks).await? else { return Ok(None) };
        let mut made = 0;
        for workspace in self.store.workspaces_to_follow(EventConsumer::Webhooks, horizon).await? {
            for _ in 0..TURNS {
                let decide = |events: &[EventRow], listeners: &[Listener]| self.matches(events, listeners);
                // What one workspace holds must not keep the others from their turns.
                match self.store.fan_out(workspace, horizon, EVENTS_AT_ONCE, decide).await {
                    Ok(done) => {
                        made += done.made;
                        if done.made > 0 {
                            self.due.notify_one();
                        }
                        if !done.more || self.tasks.stopping.is_cancelled() {
                            break;
                        }
                    }
                    Err(error) if error.is_unavailable() => return Err(error),
                    Err(error) => {
                        warn!(workspace.id = %workspace, "The events of `{workspace}` could not be fanned out: {error}");
                        break;
                    }
                }
            }
        }
        Ok(Some(made))
    }

    /// What comes of events: of as many of the first ones as may be looked at at once, and of one at least.
    fn matches(&self, events: &[EventRow], listeners: &[Listener]) -> Matches {
        let mut deliveries = Vec::new();
        let mut filter_faults: Vec<(WebhookId, String)> = Vec::new();
        let (mut filters, mut bytes) = (0, 0);
        let mut until = events[0].position();
        for event in events {
            let about = told_of(&event.kind, &event.data);
            // No webhook is told of itself: it would fail, which would be told.
            let wanting = listeners.iter().filter(|each| {
                event.transaction > each.since && each.webhook.wants(&event.kind) && about != Some(each.id)
            });
            let wanting: Vec<&Listener> = wanting.collect();
            if filters >= FILTERS_AT_ONCE || bytes >= BYTES_AT_ONCE {
                break;
            }
            until = event.position();
            filters += wanting.iter().filter(|each| each.webhook.filter.is_some()).count();
            let mut scope = FilterScope::new(event.id, &event.kind, event.at, &event.data);
            let mut body = None;
            for listener in wanting {
                match listener.webhook.matches(&self.templates, &mut scope) {
                    Matched::Yes => {
                        let body = body.get_or_insert_with(|| body_of(&event.kind, event.at, &event.data));
                        bytes += body.len();
                        deliveries.push(self.delivery_of(event, listener.id, body.clone()));
                    }
                    Matched::No => {}
                    Matched::FilterFailed(why) => {
                        filter_faults.retain(|(id, _)| *id != listener.id);
                        let why = why.chars().filter(|c| *c != '\0').take(FAULT_CHARS_MAX).collect();
                        filter_faults.push((listener.id, why));
                    }
                }
            }
        }
        Matches { deliveries, filter_faults, until }
    }
}
