//! Runs that start by events, without a leader: which, is decided under the lock of how far the events of a workspace were followed, with
//! the ids of the runs to be; that they are started, by whoever comes first.

mod views;

use std::sync::Arc;
use std::time::Duration;

use armilla_domain::call::CallError;
use armilla_domain::event::EVENT_DEPTH_MAX;
use armilla_domain::id::{RunId, WorkspaceId};
use armilla_store::{
    DecidedStarts, EventConsumer, EventRow, EventStartRow, NewEventStart, StoreError, TriggeredWorkflow,
};
use futures::stream::{self, TryStreamExt};
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};

pub use self::views::EventStartView;
use crate::host::Host;
use crate::runs::{Beginner, StartRun, begin};
use crate::{CommandError, EventView};

/// How often events are looked for that nobody told this host of.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How long two looks are apart at least, however much happens here: they must not take what runs need.
const LOOK_REST: Duration = Duration::from_millis(25);
/// The same where no workflow is started by events: the first one of all is started a little later for it.
const LOOK_REST_UNFOLLOWED: Duration = Duration::from_millis(200);
/// Events that one look goes through under one lock: some milliseconds of expressions.
const EVENTS_AT_ONCE: u32 = 200;
/// Definitions that one look asks about events before it looks at no further one: some milliseconds each, at worst.
const JUDGED_AT_ONCE: usize = 50;
/// Bytes of inputs after which a look looks at no further event: they are in memory at once.
const INPUT_BYTES_AT_ONCE: usize = 16 * 1024 * 1024;
/// Runs that are started by one look.
const STARTS_AT_ONCE: u32 = 100;
/// Starts under way at once.
const TOGETHER: usize = 16;
/// How long a host is believed to be at a start before another one tries.
const START_LEASE: Duration = Duration::from_secs(10);
/// How long it is kept what became of events, in days.
const STARTS_KEPT_DAYS: i32 = 30;

pub(crate) async fn follow_forever(host: Arc<Host>) {
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = host.told.subscribe();
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            _ = told.changed() => {}
            () = host.stopping.cancelled() => return,
        }
        let is_followed = look(&host).await.unwrap_or_else(|error| {
            warn!("Events could not be followed: {error}");
            true
        });
        tokio::select! {
            () = tokio::time::sleep(if is_followed { LOOK_REST } else { LOOK_REST_UNFOLLOWED }) => {}
            () = host.stopping.cancelled() => return,
        }
    }
}

pub(crate) async fn remove_old(host: &Host, limit: u32) -> Result<u64, StoreError> {
    host.store.remove_old_event_starts(STARTS_KEPT_DAYS, limit).await
}

/// Says whether anybody follows events to start runs by them.
async fn look(host: &Arc<Host>) -> Result<bool, StoreError> {
    let Some(horizon) = host.store.horizon_of_followed(EventConsumer::Triggers).await? else { return Ok(false) };
    for workspace in host.store.workspaces_to_follow(EventConsumer::Triggers, horizon).await? {
        match follow_up_to(host, workspace, horizon).await {
            Err(error) if error.is_unavailable() => return Err(error),
            // One of which nothing is understood must not keep the others.
            Err(error) => {
                error!(workspace.id = %workspace, "The events of `{workspace}` could not be followed: {error}")
            }
            Ok(()) => {}
        }
    }
    while start_claimed(host).await? == STARTS_AT_ONCE as usize && !host.stopping.is_cancelled() {}
    Ok(true)
}

async fn follow_up_to(host: &Host, workspace: WorkspaceId, horizon: i64) -> Result<(), StoreError> {
    while follow(host, workspace, horizon).await? && !host.stopping.is_cancelled() {}
    Ok(())
}

/// Goes through the next events of a workspace. Says whether there may be more.
async fn follow(host: &Host, workspace: WorkspaceId, horizon: i64) -> Result<bool, StoreError> {
    let decide = async |workflows: &[TriggeredWorkflow], events: &[EventRow]| {
        let mut decided = DecidedStarts::default();
        let (mut judged, mut bytes) = (0, 0);
        for event in events {
            // While this is decided nobody else follows the workspace's events, and no event of anybody is known to be the last.
            if judged >= JUDGED_AT_ONCE || bytes >= INPUT_BYTES_AT_ONCE {
                break;
            }
            decided.looked_at += 1;
            let is_meant = |triggered: &&TriggeredWorkflow| {
                event.transaction > triggered.since && triggered.on_events.contains(&event.kind)
            };
            for triggered in workflows.iter().filter(is_meant) {
                let start = decide(host, triggered, event).await?;
                judged += 1;
                bytes += start
                    .iter()
                    .filter_map(|start| start.start.as_ref().ok())
                    .map(|(_, input)| input.len())
                    .sum::<usize>();
                decided.starts.extend(start);
            }
        }
        Ok(decided)
    };
    let more = host.store.follow_triggers(workspace, horizon, EVENTS_AT_ONCE, decide).await?;
    Ok(more == Some(true))
}

/// What an event does to a workflow; nothing where it does not match.
async fn decide(
    host: &Host,
    triggered: &TriggeredWorkflow,
    event: &EventRow,
) -> Result<Option<NewEventStart>, StoreError> {
    let depth = event.depth.saturating_add(1);
    let start = match judge(host, triggered, event).await {
        Err(error) if error.is_unavailable() => return Err(error),
        // It must not keep others from what starts them.
        Err(error) => {
            error!(workflow.id = %triggered.workflow, event.id = %event.id,
                "Whether `{}` starts `{}` is not understood: {error}", event.id, triggered.workflow);
            return Ok(Some(new_start(triggered, event, depth, Err("its definition is not understood".to_owned()))));
        }
        Ok(judged) => judged,
    };
    let start = match start {
        Ok(None) => return Ok(None),
        Ok(Some(_)) if depth > EVENT_DEPTH_MAX => {
            warn!(workflow.id = %triggered.workflow, event.id = %event.id,
                "Events and runs have brought each other about {EVENT_DEPTH_MAX} times in turn: `{}` is not started", triggered.workflow);
            Err(format!("{EVENT_DEPTH_MAX} events and runs in turn led to this event: that is taken for a loop"))
        }
        Ok(Some(input)) => Ok((host.next_id(), input.to_string())),
        Err(error) => Err(format!("`onEvent` could not be evaluated: {error}")),
    };
    Ok(Some(new_start(triggered, event, depth, start)))
}

/// What the workflow's definition says to an event: the input of a run, or nothing.
async fn judge(
    host: &Host,
    triggered: &TriggeredWorkflow,
    event: &EventRow,
) -> Result<Result<Option<Value>, CallError>, StoreError> {
    let workflow = host.workflow(triggered.workflow, triggered.version).await?;
    let Some(on_event) = &workflow.on_event else { return Ok(Ok(None)) };
    let view = EventView::try_from(event.clone())?;
    Ok(on_event.judge(&host.templates, variable_of(&view)))
}

fn new_start(
    triggered: &TriggeredWorkflow,
    event: &EventRow,
    depth: i16,
    start: Result<(RunId, String), String>,
) -> NewEventStart {
    let (workflow, event_type) = (triggered.workflow, event.kind.clone());
    NewEventStart { event: event.id, event_type, workflow, depth: depth.min(EVENT_DEPTH_MAX), start }
}

/// An event as expressions see it.
fn variable_of(event: &EventView) -> Value {
    json!({
        "id": event.id,
        "type": event.kind,
        "timestamp": event.at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        "data": event.data,
    })
}

async fn start_claimed(host: &Arc<Host>) -> Result<usize, StoreError> {
    let rows = host.store.claim_event_starts(START_LEASE, STARTS_AT_ONCE).await?;
    // Together, for their beginnings then share a flush.
    stream::iter(rows.iter().map(Ok)).try_for_each_concurrent(TOGETHER, |row| start_or_put_off(host, row)).await?;
    Ok(rows.len())
}

async fn start_or_put_off(host: &Arc<Host>, row: &EventStartRow) -> Result<(), StoreError> {
    match start(host, row).await {
        Err(error) if error.is_unavailable() => Err(error),
        // One of which nothing is understood must not keep the others.
        Err(error) => {
            error!(event.id = %row.event, "The run that `{}` starts is put off: {error}", row.event);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

async fn start(host: &Arc<Host>, row: &EventStartRow) -> Result<(), StoreError> {
    let input = serde_json::from_str(&row.input);
    let input = input.map_err(|error| StoreError::Corrupt(format!("the input of {}: {error}", row.run)))?;
    let command = StartRun { workflow: row.workflow, version: None, input, traceparent: None, idempotency_key: None };
    let beginner = Beginner { event_depth: row.depth, ..Beginner::default() };
    let Err(why) = begin(host, row.workspace, row.run, command, beginner).await else {
        info!(event.id = %row.event, run.id = %row.run, "The event `{}` started the run `{}`", row.event, row.run);
        return host.store.settle_event_start(row, None).await;
    };
    // A host that was killed after the run was written down may have started it.
    if host.store.has_ended(row.workspace, row.run).await?.is_some() {
        return host.store.settle_event_start(row, None).await;
    }
    let refused = match why {
        // Another host will.
        CommandError::Stopping => return Ok(()),
        CommandError::Store(error) if error.is_unavailable() => return Err(error),
        CommandError::UnknownWorkflow(_) => "its workflow is gone".to_owned(),
        CommandError::Invalid(faults) => {
            let faults: Vec<String> = faults.iter().take(3).map(ToString::to_string).collect();
            format!("the workflow takes other input: {}", faults.join("; "))
        }
        CommandError::TooManyRuns { .. } => why.to_string(),
        other => {
            error!(event.id = %row.event, run.id = %row.run, "The run `{}` could not be started: {other}", row.run);
            "its run could not be started".to_owned()
        }
    };
    host.store.settle_event_start(row, Some(&refused)).await
}
