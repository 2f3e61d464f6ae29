//! Dispatch: what is due is claimed and tried, on every host, without a leader.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use armilla_domain::id::WebhookId;
use armilla_domain::trace::child_of;
use armilla_domain::webhook::{SigningKey, admit};
use armilla_store::{Claimed, ClaimedDelivery, ClaimedLane, Lane, StoreError};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tracing::warn;

use crate::attempt::Attempted;
use crate::recorder::Done;
use crate::transform::Transformed;
use crate::{DELIVERIES_PER_HOST_MAX, Inner, LOOK_INTERVAL};

/// How long a claim lasts: the longest exchange (30 s), a tool's time before it (10 s), and as long again as it takes to write down what came
/// of it where the database is slow.
pub(crate) const CLAIM_LEASE: Duration = Duration::from_secs(60);
/// A claim this old is not begun any more: what it begins ends within the lease.
const CLAIM_BEGUN_MAX: Duration = Duration::from_secs(15);
/// Webhooks that one look takes: a transaction of some milliseconds.
const LANES_AT_ONCE: u32 = 64;
/// Places of a host that a webhook gets only one of: so those that hang never hold them all.
const PLACES_KEPT: u32 = 128;
/// The part of the other free places that one webhook may take in one turn.
const SHARE: u32 = 4;
/// The least time between two looks that find nothing: what is due may be held by another host for this long.
const LOOK_AGAIN_MIN: Duration = Duration::from_millis(10);

/// The places of one host.
pub(crate) struct Places {
    free: Arc<Semaphore>,
    taken: Arc<Mutex<HashMap<WebhookId, u32>>>,
}

/// One of them, given back when it is dropped.
pub(crate) struct Place {
    webhook: WebhookId,
    taken: Arc<Mutex<HashMap<WebhookId, u32>>>,
    _permit: OwnedSemaphorePermit,
}

impl Default for Places {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(DELIVERIES_PER_HOST_MAX)), taken: Arc::default() }
    }
}

impl Places {
    fn free(&self) -> u32 {
        self.free.available_permits() as u32
    }

    /// How many more a webhook may take of what is free.
    fn room(&self, webhook: WebhookId, free: u32) -> u32 {
        match free.checked_sub(PLACES_KEPT) {
            Some(open) if open > 0 => (open / SHARE).max(1),
            _ => {
                let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
                u32::from(free > 0 && !taken.contains_key(&webhook))
            }
        }
    }

    fn take(&self, webhook: WebhookId) -> Option<Place> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner).entry(webhook).or_default() += 1;
        Some(Place { webhook, taken: Arc::clone(&self.taken), _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.webhook) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.webhook);
            }
        }
    }
}

/// A webhook of which deliveries were claimed, ready to send.
struct Sender {
    lane: ClaimedLane,
    keys: Vec<SigningKey>,
    claimed_at: Instant,
}

impl Inner {
    /// Claims and tries what is due until this host stops. What comes of it goes to `done`.
    pub(crate) async fn dispatch_forever(self: Arc<Self>, done: mpsc::UnboundedSender<Done>) {
        let places = Places::default();
        let mut wait = Duration::ZERO;
        loop {
            tokio::select! {
                () = self.due.notified() => {}
                () = tokio::time::sleep(wait) => {}
                () = self.tasks.stopping.cancelled() => return,
            }
            wait = self.dispatch_until_idle(&places, &done).await.unwrap_or_else(|error| {
                warn!("Deliveries could not be claimed: {error}");
                LOOK_INTERVAL
            });
        }
    }

    /// Says when to look again.
    async fn dispatch_until_idle(
        self: &Arc<Self>,
        places: &Places,
        done: &mpsc::UnboundedSender<Done>,
    ) -> Result<Duration, StoreError> {
        loop {
            if places.free() == 0 {
                return Ok(LOOK_INTERVAL);
            }
            let claimed = self.claim(places).await?;
            let look_again = claimed.look_again.map_or(LOOK_INTERVAL, |due| due.to_std().unwrap_or_default());
            if self.send_claimed(claimed, places, done) == 0 {
                return Ok(look_again.clamp(LOOK_AGAIN_MIN, LOOK_INTERVAL));
            }
            if self.tasks.stopping.is_cancelled() {
                return Ok(LOOK_INTERVAL);
            }
        }
    }

    async fn claim(&self, places: &Places) -> Result<Claimed, StoreError> {
        let lease = TimeDelta::from_std(CLAIM_LEASE).unwrap_or(TimeDelta::MAX);
        let _turn = self.turn.lock().await;
        let mut free = places.free();
        let decide = |lane: &Lane, now: DateTime<Utc>| {
            let room = places.room(lane.id, free);
            let admission = admit(&lane.webhook, &lane.endpoint, lane.arrival, &lane.waiting, room, (now, lease));
            free -= admission.take.min(free);
            admission
        };
        self.store.claim_deliveries(self.host_id, lease, LANES_AT_ONCE, decide).await
    }

    /// Begins what was claimed. Says how much that is.
    fn send_claimed(self: &Arc<Self>, claimed: Claimed, places: &Places, done: &mpsc::UnboundedSender<Done>) -> usize {
        let count = claimed.deliveries.len();
        let senders = claimed.lanes.into_iter().map(|lane| {
            let keys = self.open_keys(lane.workspace, &lane.keys);
            (lane.id, Arc::new(Sender { lane, keys, claimed_at: Instant::now() }))
        });
        let senders: HashMap<WebhookId, Arc<Sender>> = senders.collect();
        for delivery in claimed.deliveries {
            // Counted before they were claimed, so neither is ever absent.
            let (Some(sender), Some(place)) = (senders.get(&delivery.webhook), places.take(delivery.webhook)) else {
                continue;
            };
            let (inner, sender, done) = (Arc::clone(self), Arc::clone(sender), done.clone());
            self.tasks.tracker.spawn(async move {
                if let Some(attempted) = inner.try_delivery(&sender, &delivery).await {
                    let retry_seconds = sender.lane.webhook.retry_seconds.clone();
                    // Nobody hears it only where this host has stopped; then the claim is given up.
                    let _ = done.send(Done { delivery, attempted, retry_seconds, place });
                }
            });
        }
        count
    }

    /// Nothing where the claim is too old, or passed to somebody else: then it is not this host's any more.
    async fn try_delivery(&self, sender: &Sender, delivery: &ClaimedDelivery) -> Option<Attempted> {
        if sender.claimed_at.elapsed() > CLAIM_BEGUN_MAX {
            return None;
        }
        let webhook = &sender.lane.webhook;
        let mut body = delivery.body.clone();
        if let Some(by) = webhook.transform.as_ref().filter(|_| !delivery.transformed) {
            match self.transformed(sender.lane.workspace, by, &body).await {
                Transformed::Body(made) => {
                    // Before it is sent, so that each try sends the same bytes, whoever makes it.
                    let kept = self.store.keep_transformed(delivery.id, self.host_id, delivery.claims, &made).await;
                    if !kept.unwrap_or(false) {
                        return None;
                    }
                    body = made;
                }
                Transformed::Dropped => return Some(self.skipped(webhook)),
                Transformed::Failed(why) => return Some(self.not_made(webhook, why)),
            }
        }
        // Each try is a span of its own.
        let span = delivery.traceparent.as_deref();
        let span = span.and_then(|parent| child_of(parent, &format!("{} {}", delivery.id, delivery.claims)));
        Some(self.attempt(webhook, (delivery.event, span), body, &sender.keys, sender.lane.test_mode).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> WebhookId {
        WebhookId::from_parts(1, [(n >> 8) as u8, n as u8, 1, 1, 1, 1, 1, 1, 1, 1])
    }

    #[test]
    fn webhooks_that_hang_leave_places_for_all_others() {
        let places = Places::default();
        let mut held = Vec::new();
        // Ten webhooks that never answer take whatever they are given, again and again.
        for _ in 0..200 {
            for hanging in 0..10 {
                let room = places.room(id(hanging), places.free());
                held.extend((0..room).filter_map(|_| places.take(id(hanging))));
            }
        }
        assert!(places.free() >= PLACES_KEPT - 10, "{} are free", places.free());
        for other in 10..100 {
            assert_eq!(places.room(id(other), places.free()), 1, "the {other}th");
            held.push(places.take(id(other)).unwrap());
        }
        drop(held);
        assert_eq!(places.free(), DELIVERIES_PER_HOST_MAX as u32);
        assert!(places.room(id(0), places.free()) > 64, "a webhook alone has all that it may have");
    }
}
