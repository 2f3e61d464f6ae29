//! Schedules: what starts runs by the clock. Here are the commands on them; [`sweep`] does what is due.

mod error;
mod occurrences;
mod sweep;
mod timing;

use armilla_domain::fault::Fault;
use armilla_domain::id::{RunId, ScheduleId, WorkflowId, WorkspaceId};
use armilla_domain::schedule::{INPUT_BYTES_MAX, NEXT_SHOWN_MAX, Overlap, ScheduleText, delay_of, read};
use armilla_store::{ScheduleChange, ScheduleRow, StoreError};
use chrono::{DateTime, Utc};
use serde_json::Value;
use tracing::info;

pub use self::error::ScheduleError;
pub use self::occurrences::{Backfill, Backfilled, OccurrenceView};
pub(crate) use self::sweep::{remove_old, sweep_forever};
use self::timing::{cadence_of, columns_of, millis, overlap_of, std_duration};
use crate::runs::input_faults;
use crate::{CommandError, Engine};

/// A schedule as somebody wants it.
#[derive(Debug)]
pub struct NewSchedule {
    /// For people.
    pub name: String,
    /// The id of the workflow, as it was sent.
    pub workflow: String,
    /// When it starts runs.
    pub timing: ScheduleText,
    /// What the runs are given.
    pub input: Value,
    /// Whether it rests.
    pub paused: bool,
}

/// A schedule.
#[derive(Debug, Clone)]
pub struct ScheduleView {
    /// Its id.
    pub id: ScheduleId,
    /// Of which workflow it starts runs.
    pub workflow: WorkflowId,
    /// For people.
    pub name: String,
    /// A cron text,
    pub cron: Option<String>,
    /// and the IANA name of its time zone,
    pub timezone: Option<String>,
    /// or a duration,
    pub every: Option<String>,
    /// or an instant.
    pub at: Option<DateTime<Utc>>,
    /// What the runs are given.
    pub input: Value,
    /// What becomes of an occurrence while a run goes on.
    pub overlap: Overlap,
    /// How late an occurrence may be, as a duration.
    pub catch_up: String,
    /// How long a run may be put off, as a duration.
    pub jitter: String,
    /// Whether it rests.
    pub paused: bool,
    /// Why, where nobody paused it.
    pub paused_reason: Option<String>,
    /// The first instant of which nothing was decided yet; none while it rests, or where none follows.
    pub next_at: Option<DateTime<Utc>>,
    /// The last instant whose run was started.
    pub last_at: Option<DateTime<Utc>>,
    /// That run.
    pub last_run: Option<RunId>,
    /// How many occurrences wait for their turn.
    pub queued: u64,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// The next instants, as many as were asked for.
    pub next: Vec<DateTime<Utc>>,
}

impl Engine {
    /// Makes a schedule. Its first occurrence is the first instant from now on.
    ///
    /// # Errors
    /// [`CommandError::Invalid`] with every fault, pointers into the body; [`ScheduleError::TooMany`].
    pub async fn create_schedule(
        &self,
        workspace: WorkspaceId,
        new: NewSchedule,
        by: &str,
    ) -> Result<ScheduleView, CommandError> {
        let id = self.host.next_id();
        let checked = self.check_schedule(workspace, id, &new, None).await?;
        if !self.host.store.create_schedule(workspace, id, &checked.change(&new), by).await? {
            return Err(ScheduleError::TooMany.into());
        }
        info!(schedule.id = %id, workspace.id = %workspace, "Schedule `{id}` was made");
        self.schedule(workspace, id, 0).await
    }

    /// Puts another schedule in the place of one. What `every` counts from stays where the interval does.
    ///
    /// # Errors
    /// As [`Engine::create_schedule`]; [`ScheduleError::Unknown`].
    pub async fn replace_schedule(
        &self,
        workspace: WorkspaceId,
        id: ScheduleId,
        new: NewSchedule,
    ) -> Result<ScheduleView, CommandError> {
        let old = self.schedule_row(workspace, id).await?;
        let checked = self.check_schedule(workspace, id, &new, Some(&old)).await?;
        if !self.host.store.replace_schedule(workspace, id, &checked.change(&new)).await? {
            return Err(ScheduleError::Unknown(id).into());
        }
        info!(schedule.id = %id, workspace.id = %workspace, "Schedule `{id}` was changed");
        self.schedule(workspace, id, 0).await
    }

    /// A schedule, with the next `next` instants: at most [`NEXT_SHOWN_MAX`].
    ///
    /// # Errors
    /// [`ScheduleError::Unknown`], or where the database is away.
    pub async fn schedule(
        &self,
        workspace: WorkspaceId,
        id: ScheduleId,
        next: usize,
    ) -> Result<ScheduleView, CommandError> {
        Ok(view(self.schedule_row(workspace, id).await?, next)?)
    }

    /// Schedules of a workspace, newest first.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn schedules(
        &self,
        workspace: WorkspaceId,
        before: Option<ScheduleId>,
        limit: u32,
    ) -> Result<Vec<ScheduleView>, CommandError> {
        let rows = self.host.store.schedules(workspace, before, limit).await?;
        Ok(rows.into_iter().map(|row| view(row, 0)).collect::<Result<_, _>>()?)
    }

    /// Deletes a schedule. Runs that it started go on.
    ///
    /// # Errors
    /// [`ScheduleError::Unknown`], or where the database is away.
    pub async fn delete_schedule(&self, workspace: WorkspaceId, id: ScheduleId) -> Result<(), CommandError> {
        if !self.host.store.delete_schedule(workspace, id).await? {
            return Err(ScheduleError::Unknown(id).into());
        }
        info!(schedule.id = %id, workspace.id = %workspace, "Schedule `{id}` was deleted");
        Ok(())
    }

    /// Lets a schedule rest: nothing is started, and what waits goes on waiting. What is passed over meanwhile is not made up for.
    ///
    /// # Errors
    /// [`ScheduleError::Unknown`], or where the database is away.
    pub async fn pause_schedule(&self, workspace: WorkspaceId, id: ScheduleId) -> Result<ScheduleView, CommandError> {
        if !self.host.store.pause_schedule(workspace, id).await? {
            return Err(ScheduleError::Unknown(id).into());
        }
        self.schedule(workspace, id, 0).await
    }

    /// Lets a schedule go on, with the first instant from now on.
    ///
    /// # Errors
    /// [`ScheduleError::Unknown`], or where the database is away.
    pub async fn resume_schedule(&self, workspace: WorkspaceId, id: ScheduleId) -> Result<ScheduleView, CommandError> {
        let row = self.schedule_row(workspace, id).await?;
        let now = self.host.store.now().await?;
        let next = cadence_of(&row.timing)?.next_after(now);
        let next = next.map(|at| (at, at + delay_of(id, at, std_duration(row.jitter_ms))));
        self.host.store.resume_schedule(workspace, id, next).await?;
        self.schedule(workspace, id, 0).await
    }

    async fn schedule_row(&self, workspace: WorkspaceId, id: ScheduleId) -> Result<ScheduleRow, CommandError> {
        let row = self.host.store.schedule(workspace, id).await?;
        Ok(row.ok_or(ScheduleError::Unknown(id))?)
    }

    async fn check_schedule(
        &self,
        workspace: WorkspaceId,
        id: ScheduleId,
        new: &NewSchedule,
        old: Option<&ScheduleRow>,
    ) -> Result<Checked, CommandError> {
        let now = self.host.store.now().await?;
        let same_interval = |row: &&ScheduleRow| {
            let every =
                new.timing.every.as_deref().and_then(|every| armilla_domain::duration::parse_duration(every).ok());
            row.timing.every_ms.is_some() && row.timing.every_ms == every.map(millis)
        };
        // What is counted from somewhere and stays as it is must not begin anew.
        let counted_from = old.filter(same_interval).map(|row| row.timing.anchor_at);
        let settings = read(&new.timing, now, counted_from.unwrap_or(now));
        let mut faults = settings.as_ref().err().cloned().unwrap_or_default();
        let input = bounded_input(&new.input, &mut faults);
        let workflow = self.check_workflow(workspace, &new.workflow, &new.input, &mut faults).await?;
        match (settings, workflow) {
            (Ok(settings), Some(workflow)) if faults.is_empty() => {
                // Only an interval is counted from somewhere: elsewhere the anchor is what it was, and tells no change.
                let anchor = old.map_or(now, |row| row.timing.anchor_at);
                let timing = columns_of(&settings.cadence, new.timing.cron.as_deref(), anchor);
                let due_at = settings.first + delay_of(id, settings.first, settings.jitter);
                Ok(Checked { workflow, timing, due_at, settings, input })
            }
            _ => Err(CommandError::Invalid(faults)),
        }
    }

    /// The input of one run as JSON, where it fits. A workflow that is gone is told of when the run is started.
    async fn check_input_of_one(
        &self,
        workspace: WorkspaceId,
        row: &ScheduleRow,
        input: &Value,
    ) -> Result<String, CommandError> {
        let mut faults = Vec::new();
        let text = bounded_input(input, &mut faults);
        self.check_workflow(workspace, &row.workflow.to_string(), input, &mut faults).await?;
        faults.retain(|fault| fault.pointer.starts_with("/input"));
        if faults.is_empty() { Ok(text) } else { Err(CommandError::Invalid(faults)) }
    }

    /// The workflow of that id, where there is one; otherwise a fault more. One more for each that its newest version finds in the input.
    async fn check_workflow(
        &self,
        workspace: WorkspaceId,
        id: &str,
        input: &Value,
        faults: &mut Vec<Fault>,
    ) -> Result<Option<WorkflowId>, CommandError> {
        let known = match id.parse::<WorkflowId>() {
            Ok(id) => {
                self.host.definitions.ask_newest(&self.host.store, workspace, id).await?.map(|newest| (id, newest))
            }
            Err(_) => None,
        };
        let Some((id, newest)) = known else {
            faults.push(Fault::new("/workflowId", "schedule.unknown_workflow", "there is no such workflow"));
            return Ok(None);
        };
        let workflow = self.host.workflow(id, newest).await?;
        let found = input_faults(workflow.input_schema.as_ref(), input);
        faults.extend(found.into_iter().map(|fault| Fault { pointer: format!("/input{}", fault.pointer), ..fault }));
        Ok(Some(id))
    }
}

fn bounded_input(input: &Value, faults: &mut Vec<Fault>) -> String {
    let text = input.to_string();
    if text.len() > INPUT_BYTES_MAX {
        let detail = format!("the input of a schedule has at most {INPUT_BYTES_MAX} bytes");
        faults.push(Fault::new("/input", "schedule.input_too_large", detail));
    }
    text
}

/// A schedule that was found good.
struct Checked {
    workflow: WorkflowId,
    timing: armilla_store::TimingColumns,
    due_at: DateTime<Utc>,
    settings: armilla_domain::schedule::Settings,
    input: String,
}

impl Checked {
    fn change<'a>(&'a self, new: &'a NewSchedule) -> ScheduleChange<'a> {
        ScheduleChange {
            workflow: self.workflow,
            name: &new.name,
            timing: &self.timing,
            input: &self.input,
            overlap: self.settings.overlap.as_str(),
            catch_up_ms: millis(self.settings.catch_up),
            jitter_ms: millis(self.settings.jitter),
            paused: new.paused,
            next_at: self.settings.first,
            due_at: self.due_at,
        }
    }
}

fn view(row: ScheduleRow, next: usize) -> Result<ScheduleView, StoreError> {
    // While it rests nothing follows, and what is noted is past by and by.
    let next_at = row.next_at.filter(|_| !row.paused);
    let next = match next.min(NEXT_SHOWN_MAX) {
        0 => Vec::new(),
        count => {
            let cadence = cadence_of(&row.timing)?;
            std::iter::successors(next_at, |at| cadence.next_after(*at)).take(count).collect()
        }
    };
    let corrupt = |error: serde_json::Error| StoreError::Corrupt(format!("{}: {error}", row.id));
    let text = |ms: i64| armilla_domain::duration::format_duration(std_duration(ms));
    Ok(ScheduleView {
        next,
        input: serde_json::from_str(&row.input).map_err(corrupt)?,
        overlap: overlap_of(&row.overlap)?,
        id: row.id,
        workflow: row.workflow,
        name: row.name,
        cron: row.timing.cron,
        timezone: row.timing.timezone,
        every: row.timing.every_ms.map(text),
        at: row.timing.once_at,
        catch_up: text(row.catch_up_ms),
        jitter: text(row.jitter_ms),
        paused: row.paused,
        paused_reason: row.paused_reason,
        next_at,
        last_at: row.last_at,
        last_run: row.last_run,
        queued: row.queued.unsigned_abs(),
        created_by: row.created_by,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}
