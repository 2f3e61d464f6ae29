//! Occurrences: those that were, those that somebody wants now, and those of times that are past.

use armilla_domain::fault::Fault;
use armilla_domain::id::{RunId, ScheduleId, WorkspaceId};
use armilla_domain::schedule::{BACKFILL_MAX, Outcome, QUEUED_MAX, Trigger};
use armilla_store::{NewOccurrence, OccurrenceRow, StoreError};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use tracing::info;

use super::ScheduleError;
use super::sweep::start_claimed;
use super::timing::cadence_of;
use crate::{CommandError, Engine};

/// How many milliseconds somebody is put off who wants a run at an instant that is taken: each is tried once.
const INSTANTS_TRIED: i64 = 10;

/// Which occurrences somebody wants that are past.
#[derive(Debug, Clone, Copy)]
pub struct Backfill {
    /// From this instant on,
    pub from: DateTime<Utc>,
    /// before this one.
    pub to: DateTime<Utc>,
    /// All at the same time, and not one after another.
    pub at_once: bool,
    /// Count, and do nothing.
    pub dry_run: bool,
}

/// What a backfill is.
#[derive(Debug, Clone, Copy)]
pub struct Backfilled {
    /// How many occurrences there are.
    pub occurrences: u64,
    /// How many of them have a run or wait for one without it.
    pub already: u64,
}

/// An occurrence.
#[derive(Debug, Clone)]
pub struct OccurrenceView {
    /// Its instant.
    pub at: DateTime<Utc>,
    /// What brought it about.
    pub trigger: Trigger,
    /// What became of it.
    pub outcome: Outcome,
    /// Its run.
    pub run: Option<RunId>,
    /// Why no run was started.
    pub detail: Option<String>,
    /// How many were missed in a row, from this one on.
    pub missed: Option<u32>,
    /// When that was decided.
    pub decided_at: DateTime<Utc>,
}

impl Engine {
    /// Occurrences of a schedule, newest first, from before `before` on.
    ///
    /// # Errors
    /// [`ScheduleError::Unknown`], or where the database is away.
    pub async fn occurrences(
        &self,
        workspace: WorkspaceId,
        id: ScheduleId,
        before: Option<DateTime<Utc>>,
        limit: u32,
    ) -> Result<Vec<OccurrenceView>, CommandError> {
        self.schedule_row(workspace, id).await?;
        let rows = self.host.store.schedule_occurrences(id, before, limit).await?;
        Ok(rows.into_iter().map(occurrence).collect::<Result<_, _>>()?)
    }

    /// Starts a run of a schedule now, whether it rests, and whatever else goes on. It is given `input`; the schedule's own where there is none.
    ///
    /// # Errors
    /// [`ScheduleError::Unknown`]; [`CommandError::Invalid`] where the input does not fit; [`ScheduleError::NotStarted`] where its workflow is
    /// gone or takes other input by now.
    pub async fn run_schedule(
        &self,
        workspace: WorkspaceId,
        id: ScheduleId,
        input: Option<Value>,
    ) -> Result<OccurrenceView, CommandError> {
        let row = self.schedule_row(workspace, id).await?;
        let input = match input {
            Some(input) => Some(self.check_input_of_one(workspace, &row, &input).await?),
            None => None,
        };
        let now = self.host.store.now().await?;
        let mut instant = now;
        for later in 0..INSTANTS_TRIED {
            instant = now + TimeDelta::milliseconds(later);
            let run = self.host.next_id();
            let wanted = NewOccurrence { input: input.clone(), ..wanted(instant, Outcome::Starting, Some(run)) };
            let added = self.host.store.add_occurrences(id, Trigger::Manual, &[wanted], QUEUED_MAX).await?;
            match added {
                None => return Err(ScheduleError::Unknown(id).into()),
                Some(0) => {}
                Some(_) => break,
            }
        }
        info!(schedule.id = %id, workspace.id = %workspace, "A run of the schedule `{id}` is wanted now");
        start_claimed(&self.host, Some(id)).await?;
        let found = self.host.store.schedule_occurrences(id, Some(instant + TimeDelta::milliseconds(1)), 1).await?;
        let found = found.into_iter().map(occurrence).next().transpose()?.ok_or(ScheduleError::Unknown(id))?;
        match (found.outcome, found.detail) {
            (Outcome::Missed | Outcome::Skipped, why) => Err(ScheduleError::NotStarted(why.unwrap_or_default()).into()),
            (_, detail) => Ok(OccurrenceView { detail, ..found }),
        }
    }

    /// Starts runs for instants of a schedule that are past, but for those that have a run: one after another where they are not wanted at
    /// once.
    ///
    /// # Errors
    /// [`ScheduleError::Unknown`]; [`CommandError::Invalid`] where the time is not past or has too many instants;
    /// [`ScheduleError::TooManyQueued`].
    pub async fn backfill_schedule(
        &self,
        workspace: WorkspaceId,
        id: ScheduleId,
        wanted_of: Backfill,
    ) -> Result<Backfilled, CommandError> {
        let row = self.schedule_row(workspace, id).await?;
        let Backfill { from, to, at_once, dry_run } = wanted_of;
        let mut faults = Vec::new();
        if from >= to {
            faults.push(Fault::new("/from", "schedule.range", "`from` is not before `to`"));
        }
        if to > self.host.store.now().await? {
            faults.push(Fault::new("/to", "schedule.range", "`to` is not past"));
        }
        let cadence = cadence_of(&row.timing)?;
        let instants: Vec<_> = cadence.between(from, to).take(BACKFILL_MAX + 1).collect();
        if instants.len() > BACKFILL_MAX {
            let detail = format!("a backfill has at most {BACKFILL_MAX} occurrences");
            faults.push(Fault::new("", "schedule.too_many_occurrences", detail));
        }
        if !faults.is_empty() {
            return Err(CommandError::Invalid(faults));
        }
        let occurrences = instants.len() as u64;
        if dry_run {
            let already = self.host.store.instants_taken(id, &instants).await?.unsigned_abs();
            return Ok(Backfilled { occurrences, already });
        }
        let all = instants.into_iter().map(|instant| {
            if at_once {
                let run = self.host.next_id();
                wanted(instant, Outcome::Starting, Some(run))
            } else {
                wanted(instant, Outcome::Queued, None)
            }
        });
        let all: Vec<NewOccurrence> = all.collect();
        let added = self.host.store.add_occurrences(id, Trigger::Backfill, &all, QUEUED_MAX).await?;
        let added = added.ok_or(ScheduleError::TooManyQueued)?;
        info!(schedule.id = %id, occurrences = added, "{added} occurrences of `{id}` that are past are wanted");
        Ok(Backfilled { occurrences, already: occurrences - added })
    }
}

fn wanted(instant: DateTime<Utc>, outcome: Outcome, run: Option<RunId>) -> NewOccurrence {
    NewOccurrence { instant, outcome: outcome.as_str(), run, detail: None, missed: None, input: None }
}

fn occurrence(row: OccurrenceRow) -> Result<OccurrenceView, StoreError> {
    let corrupt = |word: &str| StoreError::Corrupt(format!("no occurrence is `{word}`"));
    Ok(OccurrenceView {
        at: row.instant,
        trigger: Trigger::from_word(&row.brought_by).ok_or_else(|| corrupt(&row.brought_by))?,
        outcome: Outcome::from_word(&row.outcome).ok_or_else(|| corrupt(&row.outcome))?,
        run: row.run,
        detail: row.detail,
        missed: row.missed.map(i32::unsigned_abs),
        decided_at: row.decided_at,
    })
}
