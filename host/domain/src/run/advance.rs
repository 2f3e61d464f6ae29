//! How control moves: what each entry of a step changes.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::due::STEP_TIMEOUT;
use super::frame::{Cursor, Frame, Open, Stopped, Work};
use super::group::{Group, set_inside};
use super::state::{Ending, State};
use crate::call::CallError;
use crate::definition::{Condition, OnError, StepIndex, StepKind, Target, Wait};
use crate::id::RunId;
use crate::journal::{Failure, ScopePath, Variables, Visit};
use crate::talk::{OF_TASKS, TASK_FAILED, task};

impl State {
    pub(super) fn started(&mut self, visit: &Visit, input: &Arc<Value>, deadline: Option<DateTime<Utc>>) {
        let Some(step) = self.begin(visit) else { return };
        let kind = &self.workflow.steps[step].kind;
        let work = match kind {
            StepKind::Parallel(_) | StepKind::ForEach(_) => Work::Group(Box::new(Group::of(kind, input))),
            StepKind::Loop(_) => Work::Loop { passes: 0, is_open: false },
            StepKind::Wait(Wait::Event { .. }) => Work::Listening,
            StepKind::Wait(_) => Work::Sleeping,
            StepKind::Approval(_) => Work::Asking { input: Arc::clone(input) },
            _ => Work::Calling { attempt: 1, not_before: None, input: Arc::clone(input), talk: Vec::new(), dropped: 0 },
        };
        let open = Open { step, visit: visit.clone(), deadline, work };
        self.set_cursor(&visit.scope, Cursor::In(open));
        self.begin_slots(visit);
    }

    pub(super) fn attempt_failed(&mut self, visit: &Visit, attempt: u32, retry_at: DateTime<Utc>, error: &CallError) {
        let Some(open) = self.open_visit(visit) else { return };
        let (input, talk, dropped) = match &mut open.work {
            // What was said to a task that is no more is said anew.
            Work::Calling { input, talk, dropped, .. } if error.code == TASK_FAILED => {
                (input, Vec::new(), *dropped + talk.len() as u32)
            }
            Work::Calling { input, talk, dropped, .. } => (input, std::mem::take(talk), *dropped),
            Work::Child { input, .. } => (input, Vec::new(), 0),
            _ => return,
        };
        let input = Arc::clone(input);
        open.work = Work::Calling { attempt: attempt + 1, not_before: Some(retry_at), input, talk, dropped };
    }

    pub(super) fn child_started(&mut self, visit: &Visit, run: RunId) {
        let Some(open) = self.open_visit(visit) else { return };
        if let Work::Calling { attempt, input, .. } = &open.work {
            open.work = Work::Child { attempt: *attempt, run, input: Arc::clone(input) };
        }
    }

    pub(super) fn pass_started(&mut self, visit: &Visit, pass: u32) {
        let workflow = Arc::clone(&self.workflow);
        let Some(open) = self.open_visit(visit) else { return };
        let (StepKind::Loop(repeated), Work::Loop { passes, is_open }) =
            (&workflow.steps[open.step].kind, &mut open.work)
        else {
            return;
        };
        (*passes, *is_open) = (pass, true);
        self.executions += 1;
        let locals = Variables::from([("iteration".to_owned(), Arc::new(json!(pass)))]);
        self.open_list(ScopePath::inside(visit, pass), repeated.list, Some(visit.clone()), locals);
    }

    pub(super) fn succeeded(&mut self, visit: &Visit, output: &Arc<Value>) {
        // A condition that the host judged was begun and ended by this one entry.
        let Some(step) = self.close(visit).or_else(|| self.begin(visit)) else { return };
        let workflow = Arc::clone(&self.workflow);
        let definition = &workflow.steps[step];
        let Some(frame) = self.frames.get_mut(&visit.scope) else { return };
        if let (StepKind::Set(_), Value::Object(set)) = (&definition.kind, &**output) {
            frame.variables.extend(set.iter().map(|(name, value)| (name.clone(), Arc::new(value.clone()))));
        }
        if let Some(name) = &definition.output_var {
            frame.variables.insert(name.clone(), Arc::clone(output));
        }
        frame.last_result = Arc::clone(output);
        let way = match &definition.kind {
            StepKind::Return(_) => {
                self.ending = Some(Ending::Returned(Value::clone(output)));
                return;
            }
            StepKind::Condition(Condition { .. }) => Some(usize::from(output.as_bool() != Some(true))),
            StepKind::Switch(switch) => Some(output.as_u64().map_or(switch.cases.len(), |way| way as usize)),
            _ => None,
        };
        match way.and_then(|way| Some((way, *definition.kind.targets().get(way)?))) {
            None | Some((_, Target::Onward)) => self.go_on(&visit.scope, step),
            Some((_, Target::Steps(steps))) => {
                frame.queue = steps.iter().copied().skip(1).collect();
                self.set_cursor(&visit.scope, Cursor::At(steps[0]));
            }
            Some((way, Target::Block(list))) => {
                let open = Open { step, visit: visit.clone(), deadline: None, work: Work::Block };
                frame.cursor = Cursor::In(open);
                let scope = ScopePath::inside(visit, definition.kind.slot_of_way(way));
                self.open_list(scope, *list, Some(visit.clone()), Variables::new());
            }
        }
    }

    pub(super) fn skipped(&mut self, visit: &Visit) {
        if let Some(step) = self.begin(visit) {
            self.go_on(&visit.scope, step);
        }
    }

    pub(super) fn failed(&mut self, visit: &Visit, error: &Failure) {
        let workflow = Arc::clone(&self.workflow);
        if !error.code.starts_with(OF_TASKS) {
            self.let_go_of_task(visit);
        }
        let current = self.open_visit(visit).map(|open| open.step);
        // A step whose input could not even be rendered was begun and ended by this one entry.
        let Some(step) = current.or_else(|| self.begin(visit)) else { return };
        if matches!(workflow.steps[step].kind, StepKind::Fail(_)) {
            // Whatever stands around it stays as it is: the run ends, and a retry goes on from here.
            let stopped = Stopped { step, error: error.clone(), open: None, nested: BTreeMap::new() };
            self.set_cursor(&visit.scope, Cursor::Failed(Box::new(stopped)));
            self.ending = Some(Ending::Failed(error.clone()));
            return;
        }
        if error.code == STEP_TIMEOUT {
            self.abandon_child_of(visit);
        }
        if workflow.steps[step].on_error == OnError::Fail {
            return self.stop_list(&visit.scope, step, error);
        }
        self.close(visit);
        self.go_on_from_error(&visit.scope, step, error);
    }

    /// Control goes where a step that says nothing else sends it.
    fn go_on(&mut self, scope: &ScopePath, step: StepIndex) {
        let workflow = Arc::clone(&self.workflow);
        let Some(frame) = self.frames.get_mut(scope) else { return };
        let target = match workflow.steps[step].next {
            Some(next) => {
                frame.queue.clear();
                Some(next)
            }
            None => frame.queue.pop_front().or_else(|| workflow.successor(step)),
        };
        match target {
            Some(next) => self.set_cursor(scope, Cursor::At(next)),
            None => {
                frame.cursor = Cursor::Done;
                self.list_ended(scope);
            }
        }
    }

    /// The list fails here. What is inside the step is kept, so that a retry need not make it again.
    fn stop_list(&mut self, scope: &ScopePath, step: StepIndex, error: &Failure) {
        let Some(frame) = self.frames.get_mut(scope) else { return };
        let mut stopped = Stopped { step, error: error.clone(), open: None, nested: BTreeMap::new() };
        if let Cursor::In(_) = frame.cursor
            && let Cursor::In(open) = std::mem::replace(&mut frame.cursor, Cursor::Done)
        {
            stopped.nested = self.take_inside(&open.visit);
            self.abandon(&stopped.nested);
            let keeps = matches!(open.work, Work::Group(_) | Work::Loop { .. } | Work::Block | Work::Child { .. });
            stopped.open = keeps.then_some(open);
        }
        self.set_cursor(scope, Cursor::Failed(Box::new(stopped)));
        self.list_ended(scope);
    }

    fn go_on_from_error(&mut self, scope: &ScopePath, step: StepIndex, error: &Failure) {
        let workflow = Arc::clone(&self.workflow);
        let definition = &workflow.steps[step];
        let shown = json!({
            "stepId": error.step_id, "code": error.code, "message": error.message, "attempts": error.attempts,
        });
        let Some(frame) = self.frames.get_mut(scope) else { return };
        frame.errors.insert(definition.id.clone(), shown.clone());
        match definition.on_error {
            OnError::Jump(target) => {
                frame.error = Some(shown);
                frame.queue.clear();
                self.set_cursor(scope, Cursor::At(target));
            }
            OnError::Continue | OnError::Fail => {
                if let Some(name) = &definition.output_var {
                    frame.variables.insert(name.clone(), Arc::new(Value::Null));
                }
                frame.last_result = Arc::new(Value::Null);
                self.go_on(scope, step);
            }
        }
    }

    /// A nested list has ended: a block hands control back, a loop asks for its next pass, a group for its next slot.
    fn list_ended(&mut self, scope: &ScopePath) {
        let Some(parent) = self.frames.get(scope).and_then(|frame| frame.parent.clone()) else { return };
        let Some(open) = self.open_visit(&parent) else { return };
        let step = open.step;
        match &mut open.work {
            Work::Group(_) => return self.slot_ended(scope, &parent),
            Work::Loop { is_open, .. } => {
                *is_open = false;
                return self.pass_ended(scope, &parent);
            }
            Work::Block => {}
            _ => return,
        }
        let error = match self.frames.get(scope).map(|frame| &frame.cursor) {
            Some(Cursor::Failed(stopped)) => Some(stopped.error.clone()),
            _ => None,
        };
        match error {
            // No entry tells that a block has failed: it follows from the one of the step inside.
            Some(error) if self.workflow.steps[step].on_error == OnError::Fail => {
                self.stop_list(&parent.scope, step, &error);
            }
            Some(error) => {
                self.close(&parent);
                self.go_on_from_error(&parent.scope, step, &error);
            }
            None => {
                let Some(ended) = self.frames.remove(scope) else { return };
                self.merge(&parent.scope, ended.variables, ended.errors);
                self.go_on(&parent.scope, step);
            }
        }
    }

    /// What a pass set shows at once. One that failed stays, for the loop to fail with.
    fn pass_ended(&mut self, scope: &ScopePath, parent: &Visit) {
        self.ready.insert(parent.scope.clone());
        if self.frames.get(scope).is_some_and(|frame| matches!(frame.cursor, Cursor::Failed(_))) {
            return;
        }
        if let Some(ended) = self.frames.remove(scope) {
            self.merge(&parent.scope, ended.variables, ended.errors);
        }
    }

    /// A visit is over: what was set inside it shows now, and what still runs inside is let go. Gives its step.
    fn close(&mut self, visit: &Visit) -> Option<StepIndex> {
        self.open_visit(visit)?;
        let frame = self.frames.get_mut(&visit.scope)?;
        let Cursor::In(open) = std::mem::replace(&mut frame.cursor, Cursor::Done) else { return None };
        let step = open.step;
        let nested = self.take_inside(visit);
        self.abandon(&nested);
        let (variables, errors) = set_inside(open, nested);
        self.merge(&visit.scope, variables, errors);
        Some(step)
    }

    /// Takes out every frame inside a visit, at any depth.
    pub(super) fn take_inside(&mut self, visit: &Visit) -> BTreeMap<ScopePath, Frame> {
        let prefix = ScopePath::prefix_inside(visit);
        let from = (Bound::Included(ScopePath::from_stored(prefix.clone())), Bound::Unbounded);
        let inside = self.frames.range(from).map(|(scope, _)| scope.clone());
        let inside: Vec<_> = inside.take_while(|scope| scope.as_str().starts_with(&prefix)).collect();
        inside.into_iter().filter_map(|scope| self.frames.remove_entry(&scope)).collect()
    }

    /// Runs that were started inside and that nobody waits for now.
    fn abandon(&mut self, nested: &BTreeMap<ScopePath, Frame>) {
        for frame in nested.values() {
            match frame.open() {
                Some(Open { work: Work::Child { run, .. }, .. }) => self.abandoned.push(*run),
                Some(Open { work: Work::Calling { talk, .. }, visit, .. }) => {
                    self.abandoned_tasks.extend(task(talk).map(|task| (visit.clone(), task.clone())));
                }
                _ => {}
            }
        }
    }

    fn abandon_child_of(&mut self, visit: &Visit) {
        if let Some(Open { work: Work::Child { run, .. }, .. }) = self.open_visit(visit) {
            let run = *run;
            self.abandoned.push(run);
        }
    }

    pub(super) fn merge(&mut self, scope: &ScopePath, variables: Variables, errors: Map<String, Value>) {
        if let Some(frame) = self.frames.get_mut(scope) {
            frame.variables.extend(variables);
            frame.errors.extend(errors);
        }
    }

    /// Counts the visit, if it is the one that its list is about to make.
    fn begin(&mut self, visit: &Visit) -> Option<StepIndex> {
        let step = self.workflow.step_index(&visit.step)?;
        let frame = self.frames.get_mut(&visit.scope)?;
        if !matches!(frame.cursor, Cursor::At(at) if at == step) {
            return None;
        }
        match self.visits.get_mut(&visit.step) {
            Some(number) => *number = visit.number,
            None => {
                self.visits.insert(visit.step.clone(), visit.number);
            }
        }
        self.executions += 1;
        Some(step)
    }

    pub(super) fn set_cursor(&mut self, scope: &ScopePath, cursor: Cursor) {
        if let Some(frame) = self.frames.get_mut(scope) {
            frame.cursor = cursor;
            self.ready.insert(scope.clone());
        }
    }
}
