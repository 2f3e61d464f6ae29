//! What any host does from time to time for all of them: it finds what fell between two statements, and removes what is over.

use std::sync::Arc;
use std::time::Duration;

use armilla_store::StoreError;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{info, warn};

use crate::host::Host;
use crate::{prompts, schedules, triggers};

/// How often runs are looked for that wait for a turn which is theirs, or whose parent has ended, and overrides that are over.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// How often what is over is removed.
const REMOVAL_INTERVAL: Duration = Duration::from_secs(60);
/// Runs removed by one statement: some milliseconds of locks.
const REMOVED_AT_ONCE: u32 = 500;

pub(crate) async fn sweep_forever(host: Arc<Host>) {
    let mut sweeps = tokio::time::interval(SWEEP_INTERVAL);
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut removed_at = Instant::now();
    loop {
        tokio::select! {
            _ = sweeps.tick() => {}
            () = host.stopping.cancelled() => return,
        }
        if let Err(error) = sweep(&host).await {
            warn!("What fell between two statements could not be looked for: {error}");
        }
        if removed_at.elapsed() >= REMOVAL_INTERVAL {
            removed_at = Instant::now();
            if let Err(error) = remove(&host).await {
                warn!("What is over could not be removed: {error}");
            }
        }
    }
}

async fn sweep(host: &Host) -> Result<(), StoreError> {
    for line in host.store.lines().await? {
        let admitted = host.store.admit_next(&line).await?;
        host.wake(&admitted);
    }
    let orphans = host.store.cancel_orphans().await?;
    host.wake(&orphans);
    let let_go = host.store.let_cancelled_runs_end().await?;
    host.wake(&let_go);
    prompts::tell_of_ended_overrides(host).await?;
    host.store.close_rested_connections().await;
    Ok(())
}

async fn remove(host: &Host) -> Result<(), StoreError> {
    loop {
        let removed = host.store.remove_expired_runs(REMOVED_AT_ONCE).await?;
        if removed > 0 {
            info!(runs = removed, "{removed} runs whose time was over are removed");
        }
        if removed < u64::from(REMOVED_AT_ONCE) || host.stopping.is_cancelled() {
            break;
        }
    }
    host.store.delete_dead_letters().await?;
    host.store.forget_idempotency_keys().await?;
    while schedules::remove_old(host, REMOVED_AT_ONCE).await? == u64::from(REMOVED_AT_ONCE) {
        if host.stopping.is_cancelled() {
            break;
        }
    }
    while triggers::remove_old(host, REMOVED_AT_ONCE).await? == u64::from(REMOVED_AT_ONCE) {
        if host.stopping.is_cancelled() {
            break;
        }
    }
    host.store.forget_hook_signatures().await?;
    Ok(())
}
