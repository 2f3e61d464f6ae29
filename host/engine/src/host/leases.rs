//! What a host does about leases as long as it is up: it takes runs up that nobody holds, and keeps those that it drives.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use armilla_domain::id::RunId;
use armilla_store::StoreError;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tracing::{info, warn};

use super::{Host, MARGINS_PER_LEASE, Place, spawn};
use crate::interpreter::Interpreter;
use crate::time::sleep_until;
use crate::{CLAIM_BATCH, CLAIM_INTERVAL};

/// How long two looks for what is due are apart that only its instant leads to.
const CLAIM_REST: Duration = Duration::from_millis(25);
/// What two readings of clocks may differ by that tell milliseconds.
const CLOCK_TICK: Duration = Duration::from_millis(1);
/// This part of a lease is what its renewal waits: often enough to fail twice.
const RENEWALS_PER_LEASE: u32 = 3;

/// Takes up what is due: when there may be something, at the instant when the next run is, and every half second.
pub(super) async fn claim_forever(host: Arc<Host>) {
    let mut looks = tokio::time::interval(CLAIM_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next_due = None;
    loop {
        let asks = tokio::select! {
            _ = looks.tick() => {
                look_for_messages(&host).await;
                true
            }
            () = sleep_until(next_due) => true,
            () = host.due.notified() => false,
            () = host.stopping.cancelled() => return,
        };
        if asks {
            // Before the claim: what becomes due between the two is taken by it.
            next_due = look_for_the_next(&host).await;
        }
        if !claim(&host).await {
            // Whoever gives a place back rings.
            next_due = None;
        }
    }
}

/// Says whether there was room for anything.
async fn claim(host: &Arc<Host>) -> bool {
    let mut places: Vec<Place> = std::iter::from_fn(|| Place::take(host)).take(CLAIM_BATCH as usize).collect();
    if places.is_empty() {
        return false;
    }
    let asked = Instant::now();
    match host.store.claim_runs(host.lease(), places.len() as u32).await {
        Ok(runs) => {
            if runs.len() == places.len() {
                // There may be more.
                host.due.notify_one();
            }
            for run in runs {
                let Some(place) = places.pop() else { break };
                info!(run.id = %run.id, epoch = run.epoch, "Run `{}` is taken up", run.id);
                spawn(host, place, run, asked, Interpreter::resume);
            }
        }
        Err(error) => warn!("No runs can be claimed: {error}"),
    }
    true
}

/// When the next run is due, where that is before the next look anyway.
async fn look_for_the_next(host: &Host) -> Option<Instant> {
    // A moment later, so that the database's clock agrees; and not at once again, where one is due at every moment.
    let at = |within: Duration| Instant::now() + (within + CLOCK_TICK).max(CLAIM_REST);
    match host.store.next_due_within(CLAIM_INTERVAL).await {
        Ok(within) => within.map(at),
        // The next look tells.
        Err(_) => None,
    }
}

/// Words between hosts may be lost; what was written down is not.
async fn look_for_messages(host: &Host) {
    let held: Vec<RunId> = host.held_runs().into_iter().map(|(run, _)| run).collect();
    if held.is_empty() {
        return;
    }
    match host.store.with_messages(&held).await {
        Ok(told) => told.into_iter().for_each(|run| {
            host.nudge(run);
        }),
        Err(error) => warn!("No messages can be looked for: {error}"),
    }
}

/// Keeps the leases of the runs that are driven here; what cannot be kept is stopped.
pub(super) async fn renew_forever(host: Arc<Host>) {
    let lease = host.limits.lease;
    let (renewal, margin) = (lease / RENEWALS_PER_LEASE, lease / MARGINS_PER_LEASE);
    let mut renewals = tokio::time::interval(renewal);
    renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        tokio::select! {
            _ = renewals.tick() => {}
            () = host.stopped.cancelled() => return,
        }
        let held = host.held_runs();
        if held.is_empty() {
            last = Instant::now();
            continue;
        }
        let asked = Instant::now();
        let answer = timeout(margin, host.store.renew_leases(host.lease(), &held)).await;
        match answer.unwrap_or(Err(StoreError::TimedOut)) {
            Ok(renewed) => {
                last = asked;
                host.keep_only(&renewed.into_iter().collect(), &held, asked);
            }
            Err(error) => {
                warn!("Leases cannot be renewed: {error}");
                if last.elapsed() > lease - margin - renewal {
                    host.keep_only(&HashMap::new(), &held, asked);
                }
            }
        }
    }
}
