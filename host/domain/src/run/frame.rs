//! The lists that are under way in a run, and what each is at.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::group::Group;
use crate::definition::StepIndex;
use crate::id::RunId;
use crate::journal::{Failure, ScopePath, Variables, Visit};
use crate::talk::Turn;

/// One list under way: exactly one of its steps at a time.
#[derive(Debug)]
pub(super) struct Frame {
    /// The visit that opened it; none for the main line.
    pub(super) parent: Option<Visit>,
    pub(super) cursor: Cursor,
    /// Steps that a condition chose beyond the first.
    pub(super) queue: VecDeque<StepIndex>,
    /// What its place gives it: the item and its index, the number of the pass. Not kept when it ends.
    pub(super) locals: Variables,
    /// What its steps set. A branch sees what was set before it and by itself; the others' shows when all have ended.
    pub(super) variables: Variables,
    /// The errors that its steps went on from, by step; seen and merged as the variables are.
    pub(super) errors: Map<String, Value>,
    /// The error that control jumped here with.
    pub(super) error: Option<Value>,
    pub(super) last_result: Arc<Value>,
}

impl Frame {
    pub(super) fn new(first: StepIndex, parent: Option<Visit>, locals: Variables) -> Self {
        Self {
            parent,
            cursor: Cursor::At(first),
            queue: VecDeque::new(),
            locals,
            variables: Variables::new(),
            errors: Map::new(),
            error: None,
            last_result: Arc::new(Value::Null),
        }
    }

    /// What it is in the middle of.
    pub(super) fn open(&self) -> Option<&Open> {
        match &self.cursor {
            Cursor::In(open) => Some(open),
            Cursor::At(_) | Cursor::Done | Cursor::Failed(_) => None,
        }
    }

    /// What it is in the middle of, or was when it failed.
    pub(super) fn kept_mut(&mut self) -> Option<&mut Open> {
        match &mut self.cursor {
            Cursor::In(open) => Some(open),
            Cursor::Failed(stopped) => stopped.open.as_mut(),
            Cursor::At(_) | Cursor::Done => None,
        }
    }
}

/// Changes every frame, those inside visits that failed included.
pub(super) fn for_each_frame(frames: &mut BTreeMap<ScopePath, Frame>, change: &mut dyn FnMut(&ScopePath, &mut Frame)) {
    for (scope, frame) in frames {
        change(scope, frame);
        if let Cursor::Failed(stopped) = &mut frame.cursor {
            for_each_frame(&mut stopped.nested, change);
        }
    }
}

#[derive(Debug)]
pub(super) enum Cursor {
    /// This step is to be visited.
    At(StepIndex),
    /// This step is being visited.
    In(Open),
    Done,
    Failed(Box<Stopped>),
}

/// A visit under way.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) step: StepIndex,
    pub(super) visit: Visit,
    /// When it must be over, or when what it waits for comes.
    pub(super) deadline: Option<DateTime<Utc>>,
    pub(super) work: Work,
}

#[derive(Debug)]
pub(super) enum Work {
    /// The outside world owes an answer. `dropped` is how many turns were taken before those in `talk`, with a task that is no more.
    Calling { attempt: u32, not_before: Option<DateTime<Utc>>, input: Arc<Value>, talk: Vec<Arc<Turn>>, dropped: u32 },
    /// Another run is under way.
    Child { attempt: u32, run: RunId, input: Arc<Value> },
    /// Lets time pass.
    Sleeping,
    /// Waits for a signal.
    Listening,
    /// Waits for a decision.
    Asking { input: Arc<Value> },
    /// Branches or iterations are under way or over, each in a frame of its own.
    Group(Box<Group>),
    /// Passes of a loop; so many were begun, and the last is under way or over.
    Loop { passes: u32, is_open: bool },
    /// A block that a condition chose.
    Block,
}

/// Where a list failed: all that is needed to go on from there.
#[derive(Debug)]
pub(super) struct Stopped {
    pub(super) step: StepIndex,
    pub(super) error: Failure,
    /// The visit, where it has others inside it that need not be made again.
    pub(super) open: Option<Open>,
    /// The frames inside that visit.
    pub(super) nested: BTreeMap<ScopePath, Frame>,
}
