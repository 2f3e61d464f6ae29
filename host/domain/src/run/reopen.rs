//! How a run that has ended goes on: from the step that failed, with what had ended well kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::frame::{Cursor, Frame, Open, Work, for_each_frame};
use super::group::list_of_slot;
use super::inputs::visit_bound;
use super::state::State;
use crate::definition::{ListIndex, MAIN_LIST, StepIndex, StepKind, Workflow};
use crate::journal::{ScopePath, Variables, Visit};

/// Why a run cannot go on with another version of its definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the run stands at `{step}`, which that version {why}")]
pub struct CannotFollow {
    /// The step where the run stands.
    pub step: String,
    /// What is the matter with it.
    pub why: &'static str,
}

impl State {
    pub(super) fn retried(&mut self, version: Option<i32>, vars: &Variables, since: DateTime<Utc>) {
        let followed = version.and_then(|version| self.version(version));
        if let Some(workflow) = followed.filter(|workflow| self.can_follow(workflow).is_ok()) {
            self.go_over_to(&workflow);
        }
        if version.is_some() || !vars.is_empty() {
            // What a failed child run was given may be what was mended: another one is given it.
            self.give_up_children(false);
        }
        self.go_on_anew(vars, since);
    }

    pub(super) fn forked(&mut self, vars: &Variables, since: DateTime<Utc>) {
        // What the original run waits for is not ours: each is asked, started and called again. What had failed in it goes on as
        // after a retry, so that a fork can be taken of any run at any entry.
        self.give_up_children(true);
        self.take_leave_back();
        self.go_on_anew(vars, since);
    }

    fn go_on_anew(&mut self, vars: &Variables, since: DateTime<Utc>) {
        (self.ended, self.ending, self.is_paused) = (None, None, false);
        (self.executions, self.since) = (0, since);
        self.reopened += 1;
        self.forget_remote_tasks();
        self.extend_deadlines(since);
        self.set_variables(vars);
        self.reopen(&ScopePath::default());
        self.abandoned.clear();
        self.abandoned_tasks.clear();
    }

    /// Whether the run could go on with another version of its definition.
    ///
    /// # Errors
    /// Where a step at which it stands is not there, or is not at the same place.
    pub fn can_follow(&self, workflow: &Workflow) -> Result<(), CannotFollow> {
        self.frames.iter().try_for_each(|(scope, frame)| self.can_follow_in(scope, frame, workflow))
    }

    fn can_follow_in(&self, scope: &ScopePath, frame: &Frame, workflow: &Workflow) -> Result<(), CannotFollow> {
        let (step, inside) = match &frame.cursor {
            Cursor::At(step) => (*step, None),
            Cursor::In(open) => (open.step, Some(open)),
            // One that waited for a child run is begun anew.
            Cursor::Failed(stopped) => {
                (stopped.step, stopped.open.as_ref().filter(|open| !matches!(open.work, Work::Child { .. })))
            }
            Cursor::Done => return Ok(()),
        };
        let old = &self.workflow.steps[step];
        let refuse = |why| Err(CannotFollow { step: old.id.clone(), why });
        let Some(index) = workflow.step_index(&old.id) else { return refuse("does not have") };
        let new = &workflow.steps[index];
        if list_in(scope, frame, workflow) != Some(new.list) {
            return refuse("has in another list of steps");
        }
        if inside.is_some() && old.kind.name() != new.kind.name() {
            return refuse("has as a step of another type");
        }
        let is_there = |queued: &StepIndex| {
            let there = workflow.step_index(&self.workflow.steps[*queued].id);
            there.is_some_and(|there| workflow.steps[there].list == new.list)
        };
        if !frame.queue.iter().all(is_there) {
            return refuse("does not lead on from in the same order");
        }
        if let (Some(Open { work: Work::Group(_), .. }), StepKind::Parallel(old), StepKind::Parallel(new)) =
            (inside, &old.kind, &new.kind)
            && !old.branches.iter().map(|branch| &branch.id).eq(new.branches.iter().map(|branch| &branch.id))
        {
            return refuse("has with other branches");
        }
        match &frame.cursor {
            Cursor::Failed(stopped) => {
                stopped.nested.iter().try_for_each(|(scope, frame)| self.can_follow_in(scope, frame, workflow))
            }
            Cursor::At(_) | Cursor::In(_) | Cursor::Done => Ok(()),
        }
    }

    /// A list goes on where it stands: inside its step, where that has others inside it; with the step itself, where it failed.
    pub(super) fn reopen(&mut self, scope: &ScopePath) {
        let Some(frame) = self.frames.get_mut(scope) else { return };
        let (mut open, nested) = match std::mem::replace(&mut frame.cursor, Cursor::Done) {
            Cursor::Failed(stopped) => match stopped.open {
                Some(open) => (open, stopped.nested),
                None => return self.set_cursor(scope, Cursor::At(stopped.step)),
            },
            Cursor::In(open) => (open, BTreeMap::new()),
            cursor => return self.set_cursor(scope, cursor),
        };
        self.frames.extend(nested);
        let starts_a_run = matches!(self.workflow.steps[open.step].kind, StepKind::Workflow(_));
        match &mut open.work {
            // Whether a run was started by then is not known, and one that was is told to end: this begins another one.
            Work::Calling { .. } if starts_a_run => return self.set_cursor(scope, Cursor::At(open.step)),
            // Somebody has to be asked anew: the question was taken back.
            Work::Asking { .. } => return self.set_cursor(scope, Cursor::At(open.step)),
            Work::Group(group) => group.reopen(),
            Work::Loop { passes, is_open } => {
                *is_open = self.frames.contains_key(&ScopePath::inside(&open.visit, *passes));
            }
            Work::Calling { .. } | Work::Child { .. } | Work::Sleeping | Work::Listening | Work::Block => {}
        }
        let visit = open.visit.clone();
        self.set_cursor(scope, Cursor::In(open));
        self.reopen_inside(&visit);
        self.begin_slots(&visit);
    }

    /// The lists inside a visit go on, those apart that its group goes on with when there is room for them.
    fn reopen_inside(&mut self, visit: &Visit) {
        let group = self.frames.get(&visit.scope).and_then(|frame| frame.open()).and_then(|open| match &open.work {
            Work::Group(group) => Some(group),
            _ => None,
        });
        let is_later =
            |scope: &ScopePath| group.is_some_and(|group| scope.slot().is_some_and(|slot| group.goes_on_later(slot)));
        let inside = self.frames.iter().filter(|(_, frame)| frame.parent.as_ref() == Some(visit));
        let inside: Vec<ScopePath> = inside.map(|(scope, _)| scope.clone()).filter(|scope| !is_later(scope)).collect();
        for scope in inside {
            self.reopen(&scope);
        }
    }

    /// Steps whose child run failed are begun anew; in a fork, all that wait for one.
    fn give_up_children(&mut self, running: bool) {
        for_each_frame(&mut self.frames, &mut |_, frame| match &mut frame.cursor {
            Cursor::Failed(stopped) => {
                stopped.open.take_if(|open| matches!(open.work, Work::Child { .. }));
            }
            Cursor::In(Open { step, work: Work::Child { .. }, .. }) if running => frame.cursor = Cursor::At(*step),
            Cursor::At(_) | Cursor::In(_) | Cursor::Done => {}
        });
    }

    /// Every step by its place in another version.
    fn go_over_to(&mut self, workflow: &Arc<Workflow>) {
        let old = Arc::clone(&self.workflow);
        let there = |step: StepIndex| workflow.step_index(&old.steps[step].id);
        for_each_frame(&mut self.frames, &mut |_, frame| {
            frame.queue = frame.queue.iter().filter_map(|step| there(*step)).collect();
            if let Cursor::At(step) = &mut frame.cursor {
                *step = there(*step).unwrap_or(*step);
            }
            if let Cursor::Failed(stopped) = &mut frame.cursor {
                stopped.step = there(stopped.step).unwrap_or(stopped.step);
            }
            if let Some(open) = frame.kept_mut() {
                open.step = there(open.step).unwrap_or(open.step);
            }
        });
        self.follow(Arc::clone(workflow));
    }

    /// What must be over by a certain time, and is not a wait for that time, has as long as it had at first.
    fn extend_deadlines(&mut self, since: DateTime<Utc>) {
        let workflow = Arc::clone(&self.workflow);
        for_each_frame(&mut self.frames, &mut |_, frame| {
            if let Some(open) = frame.kept_mut()
                && open.deadline.is_some()
                && !matches!(open.work, Work::Sleeping)
            {
                open.deadline = visit_bound(&workflow.steps[open.step]).map(|bound| since + bound);
            }
        });
    }

    /// Variables that somebody changed, for every list that is under way.
    fn set_variables(&mut self, vars: &Variables) {
        for_each_frame(&mut self.frames, &mut |scope, frame| {
            for (name, value) in vars {
                if scope.as_str().is_empty() {
                    frame.variables.insert(name.clone(), Arc::clone(value));
                } else {
                    frame.variables.remove(name);
                }
                if let Some(Open { work: Work::Group(group), .. }) = frame.kept_mut() {
                    group.forget(name);
                }
            }
        });
    }
}

/// The list of another version that a frame would run.
fn list_in(scope: &ScopePath, frame: &Frame, workflow: &Workflow) -> Option<ListIndex> {
    let Some(parent) = &frame.parent else { return Some(MAIN_LIST) };
    let step = workflow.step_index(&parent.step)?;
    list_of_slot(&workflow.steps[step].kind, scope.slot()?)
}
