//! How a run that has ended goes on: from the step that failed, with what had ended well kept.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::frame::{Cursor, Frame, Open, Work};
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
        (self.ended, self.ending, self.is_paused) = (None, None, false);
        (self.executions, self.since) = (0, since);
        self.reopen(&ScopePath::default());
        if let Some(workflow) = version.and_then(|version| self.version(version)) {
            self.go_over_to(&workflow);
        }
        self.extend_deadlines(since);
        self.set_variables(vars);
        self.abandoned.clear();
    }

    pub(super) fn forked(&mut self, vars: &Variables, since: DateTime<Utc>) {
        self.since = since;
        (self.is_paused, self.executions) = (false, 0);
        // What the original run waits for is not ours: each is asked, started and called again.
        let scopes: Vec<ScopePath> = self.frames.keys().cloned().collect();
        for scope in scopes {
            let Some(frame) = self.frames.get_mut(&scope) else { continue };
            if let Cursor::In(Open { step, work: Work::Asking { .. } | Work::Child { .. }, .. }) = frame.cursor {
                self.set_cursor(&scope, Cursor::At(step));
            }
        }
        self.extend_deadlines(since);
        self.set_variables(vars);
        self.abandoned.clear();
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
            Cursor::Failed(stopped) => (stopped.step, stopped.open.as_ref()),
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
        if frame.queue.iter().any(|queued| workflow.step_index(&self.workflow.steps[*queued].id).is_none()) {
            return refuse("does not lead on from in the same order");
        }
        match &frame.cursor {
            Cursor::Failed(stopped) => {
                stopped.nested.iter().try_for_each(|(scope, frame)| self.can_follow_in(scope, frame, workflow))
            }
            Cursor::At(_) | Cursor::In(_) | Cursor::Done => Ok(()),
        }
    }

    /// A list that failed goes on: where its step has others inside, with those of them that failed; else with the step itself.
    fn reopen(&mut self, scope: &ScopePath) {
        let Some(frame) = self.frames.get_mut(scope) else { return };
        match std::mem::replace(&mut frame.cursor, Cursor::Done) {
            Cursor::Failed(stopped) => match stopped.open {
                Some(mut open) => {
                    if let Work::Group(group) = &mut open.work {
                        group.reopen();
                    }
                    if let (Work::Loop { is_open, .. }, false) = (&mut open.work, stopped.nested.is_empty()) {
                        *is_open = true;
                    }
                    let visit = open.visit.clone();
                    self.set_cursor(scope, Cursor::In(open));
                    self.frames.extend(stopped.nested);
                    self.reopen_inside(&visit);
                }
                None => self.set_cursor(scope, Cursor::At(stopped.step)),
            },
            Cursor::In(open) => {
                let visit = open.visit.clone();
                // Somebody has to be asked anew: the question was taken back.
                let asks = matches!(open.work, Work::Asking { .. });
                let cursor = if asks { Cursor::At(open.step) } else { Cursor::In(open) };
                self.set_cursor(scope, cursor);
                self.reopen_inside(&visit);
            }
            cursor => self.set_cursor(scope, cursor),
        }
    }

    fn reopen_inside(&mut self, visit: &Visit) {
        let inside = self.frames.iter().filter(|(_, frame)| frame.parent.as_ref() == Some(visit));
        let inside: Vec<ScopePath> = inside.map(|(scope, _)| scope.clone()).collect();
        for scope in inside {
            self.reopen(&scope);
        }
    }

    /// Every step by its place in another version.
    fn go_over_to(&mut self, workflow: &Arc<Workflow>) {
        let old = Arc::clone(&self.workflow);
        let there = |step: StepIndex| workflow.step_index(&old.steps[step].id);
        for frame in self.frames.values_mut() {
            frame.queue = frame.queue.iter().filter_map(|step| there(*step)).collect();
            match &mut frame.cursor {
                Cursor::At(step) => *step = there(*step).unwrap_or(*step),
                Cursor::In(open) => open.step = there(open.step).unwrap_or(open.step),
                Cursor::Failed(stopped) => stopped.step = there(stopped.step).unwrap_or(stopped.step),
                Cursor::Done => {}
            }
        }
        self.follow(Arc::clone(workflow));
    }

    /// What must be over by a certain time, and is not a wait for that time, has as long as it had at first.
    fn extend_deadlines(&mut self, since: DateTime<Utc>) {
        for frame in self.frames.values_mut() {
            if let Cursor::In(open) = &mut frame.cursor
                && !matches!(open.work, Work::Sleeping)
                && open.deadline.is_some_and(|deadline| deadline <= since)
            {
                let step = &self.workflow.steps[open.step];
                let calls = matches!(step.kind, StepKind::Agent(_) | StepKind::Tool(_) | StepKind::Condition(_));
                let bound = if calls { step.total_timeout } else { visit_bound(step) };
                open.deadline = bound.map(|bound| since + bound);
            }
        }
    }

    /// Variables that somebody changed, for every list that is under way.
    fn set_variables(&mut self, vars: &Variables) {
        if vars.is_empty() {
            return;
        }
        for (scope, frame) in &mut self.frames {
            let is_main = scope.as_str().is_empty();
            for (name, value) in vars {
                if is_main {
                    frame.variables.insert(name.clone(), Arc::clone(value));
                } else {
                    frame.variables.remove(name);
                }
            }
        }
    }
}

/// The list of another version that a frame would run.
fn list_in(scope: &ScopePath, frame: &Frame, workflow: &Workflow) -> Option<ListIndex> {
    let Some(parent) = &frame.parent else { return Some(MAIN_LIST) };
    let step = workflow.step_index(&parent.step)?;
    list_of_slot(&workflow.steps[step].kind, scope.slot()?)
}
