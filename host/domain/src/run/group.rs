//! Groups: the branches of a `parallel` step and the iterations of a `forEach` step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::frame::{Cursor, Frame, Open, Stopped, Work};
use super::state::State;
use crate::definition::{ListIndex, OnFailure, StepKind};
use crate::journal::{Event, Failure, ScopePath, Variables, Visit};

/// What is known of the slots of one group.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// How many there are.
    slots: usize,
    /// The items of a `forEach`.
    items: Option<Arc<Value>>,
    /// So many were begun, from the first on.
    begun: usize,
    /// What those gave that ended well.
    results: BTreeMap<usize, Arc<Value>>,
    /// Those that ended badly.
    failed: BTreeSet<usize>,
    /// Those that ended badly and that a retry goes on with as soon as there is room for them.
    again: BTreeSet<usize>,
    /// The first failure, in the order in which they came.
    failure: Option<Failure>,
    /// What the ended ones set, each variable by the last slot that set it, so that the order of their ends means nothing.
    variables: BTreeMap<String, (usize, Arc<Value>)>,
    errors: BTreeMap<String, (usize, Value)>,
}

impl Group {
    pub(super) fn of(kind: &StepKind, input: &Arc<Value>) -> Self {
        match kind {
            StepKind::Parallel(parallel) => Self { slots: parallel.branches.len(), ..Self::default() },
            _ => {
                let slots = input["items"].as_array().map_or(0, Vec::len);
                Self { slots, items: Some(Arc::clone(input)), ..Self::default() }
            }
        }
    }

    fn under_way(&self) -> usize {
        self.begun - self.results.len() - self.failed.len() - self.again.len()
    }

    fn all_ended(&self) -> bool {
        self.begun == self.slots && self.again.is_empty() && self.under_way() == 0
    }

    /// The slots that failed go on, each when there is room for it.
    pub(super) fn reopen(&mut self) {
        self.again.append(&mut self.failed);
        self.failure = None;
    }

    /// Whether a slot waits for its turn to go on.
    pub(super) fn goes_on_later(&self, slot: &str) -> bool {
        slot.parse().is_ok_and(|slot: usize| self.again.contains(&slot))
    }

    /// Forgets what ended slots set, where somebody has set it to something else since.
    pub(super) fn forget(&mut self, name: &str) {
        self.variables.remove(name);
    }

    fn keep(&mut self, slot: usize, variables: Variables, errors: Map<String, Value>) {
        let later = |known: Option<usize>| known.is_none_or(|known| known <= slot);
        for (name, value) in variables {
            if later(self.variables.get(&name).map(|(slot, _)| *slot)) {
                self.variables.insert(name, (slot, value));
            }
        }
        for (step, error) in errors {
            if later(self.errors.get(&step).map(|(slot, _)| *slot)) {
                self.errors.insert(step, (slot, error));
            }
        }
    }

    fn set(self) -> (Variables, Map<String, Value>) {
        let variables = self.variables.into_iter().map(|(name, (_, value))| (name, value)).collect();
        (variables, self.errors.into_iter().map(|(step, (_, error))| (step, error)).collect())
    }
}

impl State {
    /// Whether a group's slots have ended, and how.
    pub(super) fn judge_group(&self, open: &Open) -> Option<Event> {
        let Work::Group(group) = &open.work else { return None };
        let kind = &self.workflow.steps[open.step].kind;
        let on_failure = match kind {
            StepKind::Parallel(parallel) => parallel.on_failure,
            StepKind::ForEach(each) => each.on_failure,
            _ => return None,
        };
        match &group.failure {
            Some(error) if group.all_ended() || on_failure == OnFailure::FailFast => Some(Event::StepFailed {
                visit: open.visit.clone(),
                error: error.clone(),
                duration_ms: None,
                prompt: None,
            }),
            None if group.all_ended() => Some(Event::StepSucceeded {
                visit: open.visit.clone(),
                attempt: 0,
                output: Arc::new(results_of(kind, group)),
                measured: None,
                signal: None,
            }),
            Some(_) | None => None,
        }
    }

    /// Opens as many slots of a group as may be under way at once.
    pub(super) fn begin_slots(&mut self, visit: &Visit) {
        let workflow = Arc::clone(&self.workflow);
        let Some(Open { step, work: Work::Group(_), .. }) = self.open_visit(visit) else { return };
        let kind = &workflow.steps[*step].kind;
        let (at_once, on_failure) = match kind {
            StepKind::Parallel(parallel) => (parallel.max_concurrency.unwrap_or(usize::MAX), parallel.on_failure),
            StepKind::ForEach(each) => (each.max_concurrency, each.on_failure),
            _ => return,
        };
        self.ready.insert(visit.scope.clone());
        let Some(Open { work: Work::Group(group), .. }) = self.open_visit(visit) else { return };
        if group.failure.is_some() && on_failure == OnFailure::FailFast {
            return;
        }
        let room = at_once.saturating_sub(group.under_way());
        let mut again = Vec::new();
        while again.len() < room
            && let Some(slot) = group.again.pop_first()
        {
            again.push(slot);
        }
        let first = group.begun;
        let last = group.slots.min(first.saturating_add(room - again.len()));
        group.begun = last;
        let items = group.items.clone();
        for slot in again {
            self.reopen(&ScopePath::inside(visit, slot));
        }
        for slot in first..last {
            let Some((list, locals)) = slot_of(kind, slot, items.as_deref()) else { continue };
            self.open_list(ScopePath::inside(visit, slot), list, Some(visit.clone()), locals);
        }
    }

    /// A slot of a group has ended.
    pub(super) fn slot_ended(&mut self, scope: &ScopePath, parent: &Visit) {
        let Some(slot) = scope.slot().and_then(|slot| slot.parse().ok()) else { return };
        match self.frames.get(scope).map(|frame| &frame.cursor) {
            Some(Cursor::Failed(stopped)) => {
                let error = stopped.error.clone();
                if let Some(Open { work: Work::Group(group), .. }) = self.open_visit(parent) {
                    group.failed.insert(slot);
                    group.failure.get_or_insert(error);
                }
            }
            Some(_) => {
                let Some(frame) = self.frames.remove(scope) else { return };
                if let Some(Open { work: Work::Group(group), .. }) = self.open_visit(parent) {
                    group.results.insert(slot, frame.last_result);
                    group.keep(slot, frame.variables, frame.errors);
                }
            }
            None => return,
        }
        self.begin_slots(parent);
    }
}

/// What shows of a visit that is over: all that was set inside it, at any depth, also in lists that are let go.
pub(super) fn set_inside(open: Open, mut frames: BTreeMap<ScopePath, Frame>) -> (Variables, Map<String, Value>) {
    let mut group = match open.work {
        Work::Group(group) => *group,
        _ => Group::default(),
    };
    let direct = frames.iter().filter(|(_, frame)| frame.parent.as_ref() == Some(&open.visit));
    let direct: Vec<ScopePath> = direct.map(|(scope, _)| scope.clone()).collect();
    for scope in direct {
        let Some(Frame { mut variables, mut errors, cursor, .. }) = frames.remove(&scope) else { continue };
        let inside = match cursor {
            Cursor::In(open) => {
                let prefix = ScopePath::prefix_inside(&open.visit);
                let inside = frames.extract_if(.., |scope, _| scope.as_str().starts_with(&prefix)).collect();
                Some((open, inside))
            }
            Cursor::Failed(stopped) => {
                let Stopped { open, nested, .. } = *stopped;
                open.map(|open| (open, nested))
            }
            Cursor::At(_) | Cursor::Done => None,
        };
        if let Some((open, frames)) = inside {
            let (more, failed) = set_inside(open, frames);
            variables.extend(more);
            errors.extend(failed);
        }
        // A loop has one pass under way and a condition one block.
        group.keep(scope.slot().and_then(|slot| slot.parse().ok()).unwrap_or(0), variables, errors);
    }
    group.set()
}

fn results_of(kind: &StepKind, group: &Group) -> Value {
    let result = |slot: usize| group.results.get(&slot).map(|result| Value::clone(result)).unwrap_or_default();
    match kind {
        StepKind::Parallel(parallel) => {
            let branches = parallel.branches.iter().enumerate();
            Value::Object(branches.map(|(slot, branch)| (branch.id.clone(), result(slot))).collect())
        }
        _ => Value::Array((0..group.slots).map(result).collect()),
    }
}

/// The list of a slot, and what its steps see by its place.
fn slot_of(kind: &StepKind, slot: usize, input: Option<&Value>) -> Option<(ListIndex, Variables)> {
    match kind {
        StepKind::Parallel(parallel) => Some((parallel.branches.get(slot)?.list, Variables::new())),
        StepKind::ForEach(each) => {
            let item = input?["items"].get(slot)?.clone();
            let locals = [(each.item_name.clone(), item), ("index".to_owned(), json!(slot))];
            Some((each.list, locals.into_iter().map(|(name, value)| (name, Arc::new(value))).collect()))
        }
        _ => None,
    }
}

/// The list that a slot of a step runs.
pub(super) fn list_of_slot(kind: &StepKind, slot: &str) -> Option<ListIndex> {
    match kind {
        StepKind::ForEach(each) => Some(each.list),
        StepKind::Loop(repeated) => Some(repeated.list),
        _ => kind.lists().into_iter().find(|(known, _)| known == slot).map(|(_, list)| list),
    }
}
