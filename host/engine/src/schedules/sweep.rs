//! Does what is due: every host for all schedules, without a leader. What is decided is decided under a lock and written down with the id
//! of the run; what was written down is done by whichever host comes first, and by another one where that does not come to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use armilla_domain::id::{RunId, ScheduleId};
use armilla_domain::run::Message;
use armilla_domain::schedule::{Due, Outcome, Overlap, delay_of, plan};
use armilla_store::{DueRow, NewOccurrence, StartingRow, StoreError, Turn};
use futures::stream::{self, StreamExt};
use tracing::{error, info, warn};

use super::timing::{cadence_of, overlap_of, std_duration};
use crate::host::Host;
use crate::runs::{Beginner, begin};
use crate::{CommandError, RUN_JOURNAL_BYTES_MAX, StartRun};

/// How often a host looks for what is due: as late a run may be.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How soon a host looks again that has just started a run: most runs are short, and somebody may wait for its end.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Schedules, and occurrences that wait, that are decided about in one transaction, which holds their locks for some milliseconds. Their
/// runs are started before the next ones are decided about.
const TURNS_AT_ONCE: u32 = 200;
/// Runs that are claimed at once to be started.
const STARTS_AT_ONCE: u32 = 200;
/// Runs that are begun at once: what begins while others wait for the disk shares their flush.
const BEGINNINGS_AT_ONCE: usize = 64;
/// How long a host is believed to be starting a run; then another one tries.
const START_LEASE: Duration = Duration::from_secs(10);
/// How long occurrences are kept: longer than anybody looks back at single ones.
const OCCURRENCES_KEPT_DAYS: i32 = 30;
/// Who tells a run to end for a later one.
const BY: &str = "armilla";

pub(crate) async fn sweep_forever(host: Arc<Host>) {
    let mut wait = Duration::ZERO;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = host.stopping.cancelled() => return,
        }
        wait = match sweep(&host).await {
            Ok(true) => LOOK_AGAIN,
            Ok(false) => LOOK_INTERVAL,
            Err(error) => {
                warn!("What schedules want could not be looked for: {error}");
                LOOK_INTERVAL
            }
        };
    }
}

/// Does all that is due, and says whether a run was started.
async fn sweep(host: &Arc<Host>) -> Result<bool, StoreError> {
    let mut any = false;
    loop {
        let more_due = decide(host).await?;
        let started = start_claimed(host, None).await?;
        any |= started > 0;
        if host.stopping.is_cancelled() || !(more_due || started == STARTS_AT_ONCE as usize) {
            return Ok(any);
        }
    }
}

/// Removes up to `limit` occurrences whose time is over, and says how many.
pub(crate) async fn remove_old(host: &Host, limit: u32) -> Result<u64, StoreError> {
    host.store.remove_old_occurrences(OCCURRENCES_KEPT_DAYS, limit).await
}

/// Decides about schedules that are due, and about occurrences that wait; says whether there may be more.
async fn decide(host: &Host) -> Result<bool, StoreError> {
    let due = host.store.take_due_schedules(TURNS_AT_ONCE, |due| turn_or_rest(host, due)).await?;
    let runs: Vec<RunId> = (0..TURNS_AT_ONCE).map(|_| host.next_id()).collect();
    let queued = host.store.take_queued_occurrences(&runs).await?;
    Ok(due == TURNS_AT_ONCE as usize || queued == u64::from(TURNS_AT_ONCE))
}

fn turn_or_rest(host: &Host, row: &DueRow) -> Option<Turn> {
    turn_of(host, row)
        .inspect_err(|error| error!(schedule.id = %row.id, "Schedule `{}` is not understood: {error}", row.id))
        .ok()
}

fn turn_of(host: &Host, row: &DueRow) -> Result<Turn, StoreError> {
    let cadence = cadence_of(&row.timing)?;
    let jitter = std_duration(row.jitter_ms);
    let plan = plan(&Due {
        id: row.id,
        cadence: &cadence,
        overlap: overlap_of(&row.overlap)?,
        catch_up: std_duration(row.catch_up_ms),
        jitter,
        next_at: row.next_at,
        now: row.now,
        goes_on: row.goes_on,
        queued: usize::try_from(row.queued).unwrap_or(usize::MAX),
    });
    let missed = plan.missed.map(|missed| NewOccurrence {
        instant: missed.first,
        outcome: Outcome::Missed.as_str(),
        run: None,
        detail: Some("no host was there in time".to_owned()),
        missed: i32::try_from(missed.count).ok(),
        input: None,
    });
    let decided = plan.decided.into_iter().map(|one| NewOccurrence {
        instant: one.instant,
        outcome: one.outcome.as_str(),
        run: (one.outcome == Outcome::Starting).then(|| host.next_id()),
        detail: one.why.map(str::to_owned),
        missed: None,
        input: None,
    });
    Ok(Turn {
        occurrences: missed.into_iter().chain(decided).collect(),
        next: plan.next_at.map(|at| (at, at + delay_of(row.id, at, jitter))),
    })
}

/// Starts what was decided to be started, of one schedule or of all, and says how many were claimed: [`STARTS_AT_ONCE`] at most.
pub(super) async fn start_claimed(host: &Arc<Host>, schedule: Option<ScheduleId>) -> Result<usize, StoreError> {
    let rows = host.store.claim_starting_occurrences(schedule, START_LEASE, STARTS_AT_ONCE).await?;
    // Of one schedule one after the other, for one may end another; else together, for their beginnings then share a flush.
    let claimed = rows.len();
    let mut by_schedule: BTreeMap<ScheduleId, Vec<StartingRow>> = BTreeMap::new();
    for row in rows {
        by_schedule.entry(row.schedule).or_default().push(row);
    }
    let outcomes: Vec<Result<Vec<StartingRow>, StoreError>> = stream::iter(by_schedule.into_values())
        .map(|rows| start_in_turn(host, rows))
        .buffer_unordered(BEGINNINGS_AT_ONCE)
        .collect()
        .await;
    // What was started is written down even where the database went away for others.
    let mut started = Vec::new();
    let mut failed = None;
    for outcome in outcomes {
        match outcome {
            Ok(rows) => started.extend(rows),
            Err(error) => failed = Some(error),
        }
    }
    host.store.mark_occurrences_started(&started).await?;
    failed.map_or(Ok(claimed), Err)
}

/// Starts what is due of one schedule, and gives what was started.
async fn start_in_turn(host: &Arc<Host>, rows: Vec<StartingRow>) -> Result<Vec<StartingRow>, StoreError> {
    let mut started = Vec::new();
    for row in rows {
        match start(host, &row).await {
            Ok(true) => started.push(row),
            Ok(false) => {}
            Err(error) if error.is_unavailable() => return Err(error),
            // One of which nothing is understood must not keep the others.
            Err(error) => {
                error!(schedule.id = %row.schedule, "An occurrence of `{}` is put off: {error}", row.schedule)
            }
        }
    }
    Ok(started)
}

/// Starts the run of an occurrence. Says whether it is there; where not, the occurrence was given up, or is left to another host.
async fn start(host: &Arc<Host>, row: &StartingRow) -> Result<bool, StoreError> {
    if overlap_of(&row.overlap)? == Overlap::CancelOther {
        end_others(host, row).await?;
    }
    let corrupt = |error: serde_json::Error| StoreError::Corrupt(format!("{}: {error}", row.schedule));
    let command = StartRun {
        workflow: row.workflow,
        version: None,
        input: serde_json::from_str(&row.input).map_err(corrupt)?,
        traceparent: None,
        idempotency_key: None,
    };
    let Err(why) = begin(host, row.workspace, row.run, command, Beginner::default()).await else {
        info!(schedule.id = %row.schedule, run.id = %row.run, "Schedule `{}` started the run `{}`", row.schedule, row.run);
        return Ok(true);
    };
    // A host that was killed, or lost its connection, after the run was written down may have started it, and whatever has changed since.
    if host.store.has_ended(row.workspace, row.run).await?.is_some() {
        return Ok(true);
    }
    let (outcome, because, pauses) = match why {
        // Another host will.
        CommandError::Stopping => return Ok(false),
        CommandError::Store(error) if error.is_unavailable() => return Err(error),
        CommandError::UnknownWorkflow(_) => (Outcome::Missed, "its workflow is gone".to_owned(), true),
        CommandError::Invalid(faults) => {
            let faults: Vec<String> = faults.iter().take(3).map(ToString::to_string).collect();
            (Outcome::Missed, format!("its workflow takes other input by now: {}", faults.join("; ")), true)
        }
        CommandError::TooManyRuns { .. } => (Outcome::Skipped, why.to_string(), false),
        other => {
            error!(schedule.id = %row.schedule, run.id = %row.run, "The run `{}` could not be started: {other}", row.run);
            (Outcome::Missed, "its run could not be started".to_owned(), false)
        }
    };
    host.store.give_up_occurrence(row, outcome, &because, pauses).await?;
    Ok(false)
}

async fn end_others(host: &Host, row: &StartingRow) -> Result<(), StoreError> {
    let reason = Some(format!("the schedule {} began its next run", row.schedule));
    let message = Message::Cancel { by: BY.to_owned(), reason };
    for run in host.store.other_runs_of_schedule(row.schedule, row.run).await? {
        // One that has ended meanwhile, or was told already, needs no word.
        host.store.tell_run(row.workspace, run, &message, &[], RUN_JOURNAL_BYTES_MAX).await?;
        host.wake(&[run]);
    }
    Ok(())
}
