//! Runs that events start: which, is decided in the transaction that moves past the event; that they are started, by whoever comes first.

use std::time::Duration;

use armilla_domain::event::EventType;
use armilla_domain::id::{EventId, RunId, WorkflowId, WorkspaceId};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::event_cursors::{EventConsumer, end_cursor, events_after, lock_cursor, move_cursor};
use crate::{EventPosition, EventRow, Store, StoreError};

/// A workflow that events start.
#[derive(Debug, Clone)]
pub struct TriggeredWorkflow {
    /// Which.
    pub workflow: WorkflowId,
    /// Its newest version.
    pub version: i32,
    /// The names of the types of events that start it.
    pub on_events: Vec<String>,
    /// The transaction that made events start it: those of later ones do.
    pub since: i64,
}

/// What an event does to a workflow.
#[derive(Debug)]
pub struct NewEventStart {
    /// The event.
    pub event: EventId,
    /// Its type.
    pub event_type: String,
    /// The workflow.
    pub workflow: WorkflowId,
    /// How many events and runs in turn led to the run.
    pub depth: i16,
    /// The run that is to be started with this input, as JSON; else why none is.
    pub start: Result<(RunId, String), String>,
}

/// What some events do.
#[derive(Debug, Default)]
pub struct DecidedStarts {
    /// To workflows.
    pub starts: Vec<NewEventStart>,
    /// How many of the events were looked at, from the first one on.
    pub looked_at: usize,
}

/// A run that is about to be started by an event.
#[derive(Debug)]
pub struct EventStartRow {
    /// The event.
    pub event: EventId,
    /// Its type.
    pub event_type: String,
    /// Whose.
    pub workspace: WorkspaceId,
    /// The workflow.
    pub workflow: WorkflowId,
    /// The run.
    pub run: RunId,
    /// JSON: what it is given.
    pub input: String,
    /// How many events and runs in turn led to it.
    pub depth: i16,
}

/// What became of an event for a workflow.
#[derive(Debug, Clone)]
pub struct EventStartedRow {
    /// The event.
    pub event: EventId,
    /// Its type.
    pub event_type: String,
    /// `starting`, `started` or `refused`.
    pub outcome: String,
    /// The run.
    pub run: Option<RunId>,
    /// Why there is none.
    pub detail: Option<String>,
    /// When it was decided.
    pub at: DateTime<Utc>,
}

impl Store {
    /// Looks at the next events of a workspace that start runs, writes down what `decide` makes of as many of the first ones as it looked at,
    /// and moves past those. Says whether there may be more; `None` where another host is at it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn follow_triggers(
        &self,
        workspace: WorkspaceId,
        horizon: i64,
        limit: u32,
        decide: impl AsyncFnOnce(&[TriggeredWorkflow], &[EventRow]) -> Result<DecidedStarts, StoreError>,
    ) -> Result<Option<bool>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let Some(after) = lock_cursor(&mut transaction, EventConsumer::Triggers, workspace).await? else {
            return Ok(None);
        };
        let workflows = triggered_workflows(&mut transaction, workspace).await?;
        if workflows.is_empty() {
            // Who makes events start a workflow holds the cursor.
            end_cursor(&mut transaction, EventConsumer::Triggers, workspace).await?;
            transaction.commit().await?;
            return Ok(Some(false));
        }
        let kinds: Vec<EventType> = EventType::ALL
            .iter()
            .copied()
            .filter(|kind| workflows.iter().any(|workflow| workflow.on_events.iter().any(|on| on == kind.as_str())))
            .collect();
        let events = events_after(&mut transaction, workspace, after, horizon, Some(&kinds), limit).await?;
        let DecidedStarts { starts, looked_at } = match decide(&workflows, &events).await {
            Ok(decided) => decided,
            Err(error) => {
                // Now, and not when somebody comes by: the next who looks must not find the cursor taken.
                transaction.rollback().await?;
                return Err(error);
            }
        };
        add_starts(&mut transaction, &starts).await?;
        let more = looked_at < events.len() || events.len() == limit as usize;
        let to = match events[..looked_at].last() {
            Some(last) if more => last.position(),
            None if more => after,
            // Nothing else before the horizon concerns anybody.
            _ => EventPosition::before(horizon),
        };
        if to > after {
            move_cursor(&mut transaction, EventConsumer::Triggers, workspace, to).await?;
        }
        transaction.commit().await?;
        Ok(Some(more))
    }

    /// Runs that are to be started by events, oldest first, and that no host has been at for `lease`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn claim_event_starts(&self, lease: Duration, limit: u32) -> Result<Vec<EventStartRow>, StoreError> {
        let rows = sqlx::query!(
            r#"with claimed as (
                select workflow_id, event_id from event_starts
                where outcome = 'starting' and claimed_until < now() order by decided_at limit $1 for update skip locked
            )
            update event_starts s set claimed_until = now() + make_interval(secs => $2)
            from claimed c join workflows w on w.id = c.workflow_id
            where s.workflow_id = c.workflow_id and s.event_id = c.event_id
            returning s.event_id, s.event_type, s.workflow_id, s.run_id as "run_id!", s.input as "input!", s.depth, w.workspace_id"#,
            i64::from(limit),
            lease.as_secs_f64(),
        )
        .fetch_all(&self.pool)
        .await?;
        let mut rows: Vec<EventStartRow> = rows
            .into_iter()
            .map(|row| EventStartRow {
                event: EventId::from_uuid(row.event_id),
                event_type: row.event_type,
                workspace: WorkspaceId::from_uuid(row.workspace_id),
                workflow: WorkflowId::from_uuid(row.workflow_id),
                run: RunId::from_uuid(row.run_id),
                input: row.input,
                depth: row.depth,
            })
            .collect();
        rows.sort_by_key(|row| row.event);
        Ok(rows)
    }

    /// Writes down that the run of an event was started, or why it was not.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn settle_event_start(&self, row: &EventStartRow, refused: Option<&str>) -> Result<(), StoreError> {
        let done = sqlx::query!(
            "update event_starts set outcome = case when $3::text is null then 'started' else 'refused' end, detail = $3,
                run_id = case when $3 is null then run_id end, input = null
            where workflow_id = $1 and event_id = $2 and outcome = 'starting'",
            row.workflow.uuid(),
            row.event.uuid(),
            refused,
        );
        done.execute(&self.pool).await?;
        Ok(())
    }

    /// What became of events for a workflow, newest event first, from before `before` on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn event_starts(
        &self,
        workspace: WorkspaceId,
        workflow: WorkflowId,
        before: Option<EventId>,
        limit: u32,
    ) -> Result<Vec<EventStartedRow>, StoreError> {
        let rows = sqlx::query!(
            "select s.event_id, s.event_type, s.outcome, s.run_id, s.detail, s.decided_at
            from event_starts s join workflows w on w.id = s.workflow_id
            where s.workflow_id = $1 and w.workspace_id = $2 and ($3::uuid is null or s.event_id < $3)
            order by s.event_id desc limit $4",
            workflow.uuid(),
            workspace.uuid(),
            before.map(EventId::uuid),
            i64::from(limit),
        );
        let rows = self.page(rows).await?.into_iter().map(|row| EventStartedRow {
            event: EventId::from_uuid(row.event_id),
            event_type: row.event_type,
            outcome: row.outcome,
            run: row.run_id.map(RunId::from_uuid),
            detail: row.detail,
            at: row.decided_at,
        });
        Ok(rows.collect())
    }

    /// Removes what became of events longer ago than so many days, up to `limit`. Says how much that was.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn remove_old_event_starts(&self, days: i32, limit: u32) -> Result<u64, StoreError> {
        let done = sqlx::query!(
            "delete from event_starts where (workflow_id, event_id) in (
                select workflow_id, event_id from event_starts
                where decided_at < now() - make_interval(days => $1) and outcome <> 'starting' order by decided_at limit $2
            )",
            days,
            i64::from(limit),
        );
        Ok(done.execute(&self.pool).await?.rows_affected())
    }
}

async fn triggered_workflows(
    connection: &mut sqlx::PgConnection,
    workspace: WorkspaceId,
) -> Result<Vec<TriggeredWorkflow>, StoreError> {
    let rows = sqlx::query!(
        r#"select id, version, on_events as "on_events!", coalesce(on_events_since, 0) as "since!" from workflows
        where workspace_id = $1 and on_events is not null and deleted_at is null order by id"#,
        workspace.uuid(),
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| TriggeredWorkflow {
        workflow: WorkflowId::from_uuid(row.id),
        version: row.version,
        on_events: row.on_events,
        since: row.since,
    });
    Ok(rows.collect())
}

async fn add_starts(connection: &mut sqlx::PgConnection, starts: &[NewEventStart]) -> Result<(), StoreError> {
    if starts.is_empty() {
        return Ok(());
    }
    let run = |start: &NewEventStart| start.start.as_ref().ok().map(|(run, _)| run.uuid());
    sqlx::query!(
        "insert into event_starts (event_id, workflow_id, event_type, depth, input, outcome, run_id, detail)
        select s.event, s.workflow, s.type, s.depth, s.input, case when s.run is null then 'refused' else 'starting' end, s.run, s.detail
        from unnest($1::uuid[], $2::uuid[], $3::text[], $4::smallint[], $5::text[], $6::uuid[], $7::text[])
            as s(event, workflow, type, depth, input, run, detail)
        on conflict (workflow_id, event_id) do nothing",
        &starts.iter().map(|start| start.event.uuid()).collect::<Vec<_>>(),
        &starts.iter().map(|start| start.workflow.uuid()).collect::<Vec<_>>(),
        &starts.iter().map(|start| start.event_type.as_str()).collect::<Vec<_>>() as &[&str],
        &starts.iter().map(|start| start.depth).collect::<Vec<_>>(),
        &starts.iter().map(|start| start.start.as_ref().ok().map(|(_, input)| input.as_str())).collect::<Vec<_>>()
            as &[Option<&str>],
        &starts.iter().map(run).collect::<Vec<_>>() as &[Option<Uuid>],
        &starts.iter().map(|start| start.start.as_ref().err().map(String::as_str)).collect::<Vec<_>>() as &[Option<&str>],
    )
    .execute(connection)
    .await?;
    Ok(())
}
