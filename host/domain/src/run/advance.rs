//! How control moves: what each entry of a step changes.

use std::sync::Arc;

use serde_json::{Value, json};

use super::state::{Cursor, State, Work};
use crate::definition::{OnError, StepIndex, StepKind, Target};
use crate::journal::{Failure, ScopePath, Variables, Visit};

impl State {
    pub(super) fn started(&mut self, visit: &Visit, input: &Arc<Value>) {
        let Some(step) = self.begin(visit) else { return };
        let work = match &self.workflow.steps[step].kind {
            StepKind::Parallel(_) => Work::Group { begun: 0 },
            StepKind::Agent(_) | StepKind::Tool(_) | StepKind::Condition(_) => {
                Work::Calling { attempt: 1, not_before: None, input: Arc::clone(input) }
            }
        };
        self.set_cursor(&visit.scope, Cursor::In(step, visit.clone(), work));
        self.begin_branches(visit);
    }

    pub(super) fn succeeded(&mut self, visit: &Visit, output: &Arc<Value>) {
        // A condition that the host judged was begun and ended by this one entry.
        let Some(step) = self.current(visit).or_else(|| self.begin(visit)) else { return };
        self.close_branches(visit);
        let workflow = Arc::clone(&self.workflow);
        let Some(frame) = self.frames.get_mut(&visit.scope) else { return };
        if let Some(name) = &workflow.steps[step].output_var {
            frame.variables.insert(name.clone(), Arc::clone(output));
        }
        frame.last_result = Arc::clone(output);
        let chosen = match &workflow.steps[step].kind {
            StepKind::Condition(condition) if output.as_bool() == Some(true) => (&condition.then, "then"),
            StepKind::Condition(condition) => (&condition.otherwise, "else"),
            _ => (&Target::Onward, ""),
        };
        match chosen {
            (Target::Onward, _) => self.go_on(&visit.scope, step),
            (Target::Steps(steps), _) => {
                frame.queue = steps.iter().copied().skip(1).collect();
                frame.cursor = Cursor::At(steps[0]);
            }
            (Target::Block(list), slot) => {
                frame.cursor = Cursor::In(step, visit.clone(), Work::Block);
                self.open(ScopePath::inside(visit, slot), *list, Some(visit.clone()));
            }
        }
    }

    pub(super) fn skipped(&mut self, visit: &Visit) {
        if let Some(step) = self.begin(visit) {
            self.go_on(&visit.scope, step);
        }
    }

    pub(super) fn failed(&mut self, visit: &Visit, error: &Failure) {
        // A step whose input could not even be rendered was begun and ended by this one entry.
        if let Some(step) = self.current(visit).or_else(|| self.begin(visit)) {
            self.close_branches(visit);
            self.fail_step(&visit.scope, step, error);
        }
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
            Some(next) => frame.cursor = Cursor::At(next),
            None => {
                frame.cursor = Cursor::Done;
                self.list_ended(scope);
            }
        }
    }

    fn fail_step(&mut self, scope: &ScopePath, step: StepIndex, error: &Failure) {
        let workflow = Arc::clone(&self.workflow);
        let definition = &workflow.steps[step];
        let shown = json!({
            "stepId": error.step_id, "code": error.code, "message": error.message, "attempts": error.attempts,
        });
        match definition.on_error {
            OnError::Fail => {
                self.set_cursor(scope, Cursor::Failed(error.clone()));
                self.list_ended(scope);
            }
            OnError::Continue => {
                if let Some(frame) = self.frames.get_mut(scope) {
                    frame.errors.insert(definition.id.clone(), shown);
                    if let Some(name) = &definition.output_var {
                        frame.variables.insert(name.clone(), Arc::new(Value::Null));
                    }
                }
                self.go_on(scope, step);
            }
            OnError::Jump(target) => {
                if let Some(frame) = self.frames.get_mut(scope) {
                    frame.errors.insert(definition.id.clone(), shown.clone());
                    frame.error = Some(shown);
                    frame.queue.clear();
                    frame.cursor = Cursor::At(target);
                }
            }
        }
    }

    /// A nested list has ended: a condition's block hands control back, a group begins its next branch.
    fn list_ended(&mut self, scope: &ScopePath) {
        let Some(parent) = self.frames.get(scope).and_then(|frame| frame.parent.clone()) else { return };
        let Some(Cursor::In(step, _, work)) = self.cursor(&parent) else { return };
        let step = *step;
        match work {
            Work::Block => {
                let Some(block) = self.frames.remove(scope) else { return };
                self.merge(&parent.scope, block.variables, block.errors);
                match block.cursor {
                    Cursor::Failed(error) => self.fail_step(&parent.scope, step, &error),
                    _ => self.go_on(&parent.scope, step),
                }
            }
            Work::Group { .. } => self.begin_branches(&parent),
            Work::Calling { .. } => {}
        }
    }

    /// Opens as many branches of a group as may be under way at once.
    fn begin_branches(&mut self, group: &Visit) {
        let workflow = Arc::clone(&self.workflow);
        let Some(Cursor::In(step, _, Work::Group { begun })) = self.cursor(group) else { return };
        let StepKind::Parallel(parallel) = &workflow.steps[*step].kind else { return };
        let first = *begun;
        let under_way = (0..first).filter(|slot| self.branch_is_under_way(group, *slot)).count();
        let room = parallel.max_concurrency.unwrap_or(usize::MAX).saturating_sub(under_way);
        let last = parallel.branches.len().min(first.saturating_add(room));
        for (slot, branch) in parallel.branches.iter().enumerate().take(last).skip(first) {
            self.open(ScopePath::inside(group, slot), branch.list, Some(group.clone()));
        }
        if let Some(Cursor::In(_, _, Work::Group { begun })) = self.cursor(group) {
            *begun = last;
        }
    }

    fn branch_is_under_way(&self, group: &Visit, slot: usize) -> bool {
        self.frames
            .get(&ScopePath::inside(group, slot))
            .is_some_and(|frame| !matches!(frame.cursor, Cursor::Done | Cursor::Failed(_)))
    }

    /// A group has ended: what its branches set shows now, and what still runs inside is let go.
    fn close_branches(&mut self, visit: &Visit) {
        let Some(Cursor::In(_, _, Work::Group { begun })) = self.cursor(visit) else { return };
        for slot in 0..*begun {
            let scope = ScopePath::inside(visit, slot);
            if let Some(branch) = self.frames.remove(&scope) {
                self.merge(&visit.scope, branch.variables, branch.errors);
            }
            let inner = format!("{scope}/");
            self.frames.retain(|nested, _| !nested.as_str().starts_with(&inner));
        }
    }

    fn merge(&mut self, scope: &ScopePath, variables: Variables, errors: serde_json::Map<String, Value>) {
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
        self.visits.insert(step, visit.number);
        self.executions += 1;
        Some(step)
    }

    fn current(&mut self, visit: &Visit) -> Option<StepIndex> {
        match self.cursor(visit)? {
            Cursor::In(step, _, _) => Some(*step),
            Cursor::At(_) | Cursor::Done | Cursor::Failed(_) => None,
        }
    }

    fn set_cursor(&mut self, scope: &ScopePath, cursor: Cursor) {
        if let Some(frame) = self.frames.get_mut(scope) {
            frame.cursor = cursor;
        }
    }
}
