//! A world that does to a run what a tape of numbers says, and keeps what it did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::bench::{Answer, TEMPLATES, attempt, facts, variables};
use super::random::{Tape, input};
use super::*;
use crate::definition::{StepKind, Workflow};
use crate::id::RunId;
use crate::run::frame::Work;

/// What the outside world did.
#[derive(Debug, Clone)]
pub(super) enum Action {
    Answer(Box<Call>, Answer),
    Message(Message),
    /// The run took longer than it may.
    TimeOut,
    /// Written by a command, not by the state.
    Command,
}

/// An entry, and how it came about.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) event: Event,
    pub(super) at: DateTime<Utc>,
    /// None where the state decided it.
    pub(super) action: Option<Action>,
}

pub(super) struct World {
    pub(super) workflow: Arc<Workflow>,
    pub(super) mended: Arc<Workflow>,
    pub(super) state: State,
    pub(super) lines: Vec<Line>,
    pub(super) now: DateTime<Utc>,
    pub(super) children: u64,
}

/// Actions after the end of the tape: the friendliest world brings a run to its end with fewer.
const FRIENDLY_ACTIONS_MAX: usize = 600;
const RETRIES_MAX: usize = 6;

impl World {
    pub(super) fn start(workflow: Arc<Workflow>, mended: Arc<Workflow>) -> Self {
        let mut world = Self {
            state: new_state(&workflow, &mended),
            workflow,
            mended,
            lines: Vec::new(),
            now: facts().started_at,
            children: 0,
        };
        world.write(Event::RunStarted { input: Arc::new(input()), plugins: Vec::new() }, Action::Command);
        world
    }

    pub(super) fn write(&mut self, event: Event, action: Action) {
        self.state.apply(&event);
        self.lines.push(Line { event, at: self.now, action: Some(action) });
        self.decide();
    }

    fn decide(&mut self) {
        for event in decided(&mut self.state, self.now) {
            self.lines.push(Line { event, at: self.now, action: None });
        }
        assert!(is_going_on(&self.state), "the run is stuck: {:#?}", self.state);
        self.check_concurrency();
    }

    /// As many slots of a group are under way as it says.
    fn check_concurrency(&self) {
        let mut slots: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let visits = self.state.calls().into_iter().map(|call| call.visit);
        let visits = visits.chain(self.state.children().into_iter().map(|(visit, _)| visit));
        for visit in visits.chain(self.state.approvals().into_iter().map(|open| open.visit)) {
            let levels: Vec<&str> = visit.scope.as_str().split('/').filter(|level| !level.is_empty()).collect();
            for (depth, level) in levels.iter().enumerate() {
                let (group, slot) = level.rsplit_once(':').unwrap();
                let outer = levels[..depth].join("/");
                slots.entry(format!("{outer}/{group}")).or_default().insert(slot.to_owned());
            }
        }
        for (group, slots) in slots {
            let (id, _) = group.rsplit('/').next().unwrap().split_once(':').unwrap();
            // What was under way when a retry went over to a version with another bound goes on.
            let most = [&self.workflow, &self.mended].into_iter().filter_map(|workflow| at_once(workflow, id)).max();
            let most = most.unwrap();
            assert!(slots.len() <= most, "{} slots of {group} are under way", slots.len());
        }
    }

    /// What the tape says; false where there was nothing to do.
    pub(super) fn act(&mut self, tape: &mut Tape) -> bool {
        if self.state.status().is_final() {
            return self.retry(tape);
        }
        match tape.pick(12) {
            0..=5 => self.answer(tape) || self.child_ends(tape) || self.decision(tape) || self.pass(tape),
            6 => self.decision(tape) || self.answer(tape),
            7 => self.child_ends(tape) || self.answer(tape),
            8 => self.signal(tape),
            9 => self.pass(tape),
            10 if tape.once_in(2) => self.receive(Message::Pause { by: "p".into(), reason: None }),
            10 => self.receive(Message::Resume { by: "p".into() }),
            _ if tape.once_in(4) => self.receive(Message::Cancel { by: "p".into(), reason: None }),
            _ if tape.once_in(4) => {
                self.write(self.state.time_out(), Action::TimeOut);
                true
            }
            _ => self.answer(tape),
        }
    }

    fn receive(&mut self, message: Message) -> bool {
        match self.state.receive(message.clone(), self.now, 0.5) {
            None => false,
            Some(event) => {
                self.write(event, Action::Message(message));
                true
            }
        }
    }

    fn answer(&mut self, tape: &mut Tape) -> bool {
        let mut calls = self.state.calls();
        if calls.is_empty() {
            return false;
        }
        let call = calls.swap_remove(tape.pick(calls.len()));
        let answer = match (tape.pick(9), &call.kind) {
            (7, _) => Err(away()),
            (8, _) => Err(refused()),
            (_, CallKind::Child { .. }) => {
                self.children += 1;
                Ok(json!(RunId::from_parts(self.children, [2; 10]).to_string()))
            }
            (kind, CallKind::Evaluator { .. }) => Ok(json!(kind == 0)),
            (0, _) => Ok(json!(call.visit.number)),
            (1, _) => Ok(json!({ "n": 1 })),
            (_, _) => Ok(json!("text")),
        };
        let event = self.state.judge(attempt(call.clone(), answer.clone()), true, self.now, 0.5);
        self.write(event.expect("an owed call is wanted"), Action::Answer(Box::new(call), answer));
        true
    }

    fn decision(&mut self, tape: &mut Tape) -> bool {
        let mut open = self.state.approvals();
        if open.is_empty() {
            return false;
        }
        let visit = open.swap_remove(tape.pick(open.len())).visit;
        self.receive(Message::Decision { visit, approved: !tape.once_in(2), by: "p".into(), note: None })
    }

    fn child_ends(&mut self, tape: &mut Tape) -> bool {
        let mut children = self.state.children();
        if children.is_empty() {
            return false;
        }
        let (_, run) = children.swap_remove(tape.pick(children.len()));
        let ways =
            [RunStatus::Success, RunStatus::Success, RunStatus::Failed, RunStatus::Cancelled, RunStatus::TimedOut];
        let status = ways[tape.pick(ways.len())];
        self.receive(Message::ChildEnded { run, status, output: Arc::new(json!({ "ok": true })), error: None })
    }

    fn signal(&mut self, tape: &mut Tape) -> bool {
        let name = ["go", "stop"][tape.pick(2)].to_owned();
        let payload = Arc::new([json!({ "n": 5 }), json!({ "n": 0 }), json!(null)][tape.pick(3)].clone());
        self.receive(Message::Signal { name, payload, by: "p".into() })
    }

    fn pass(&mut self, tape: &mut Tape) -> bool {
        self.now += Duration::from_millis([300, 1_000, 6_000, 61_000][tape.pick(4)]);
        self.decide();
        true
    }

    fn retry(&mut self, tape: &mut Tape) -> bool {
        let retries = self.lines.iter().filter(|line| line.event.kind() == "run.retried").count();
        if self.state.status() == RunStatus::Success || retries >= RETRIES_MAX {
            return false;
        }
        let vars = [json!({}), json!({ "x": 7 }), json!({ "nobody": { "x": 1 } })][tape.pick(3)].clone();
        let follows = tape.once_in(2) && self.state.can_follow(&self.mended).is_ok();
        let event = Event::RunRetried {
            by: "p".into(),
            version: follows.then_some(2),
            vars: variables(&vars),
            since: self.now,
        };
        self.write(event, Action::Command);
        true
    }

    /// The world does what it can so that the run ends.
    pub(super) fn finish(&mut self) {
        let mut friendly = Tape::new(Vec::new());
        let mut idle = 0;
        for _ in 0..FRIENDLY_ACTIONS_MAX {
            if self.state.status().is_final() || idle > 3 {
                return;
            }
            let acts = self.receive(Message::Resume { by: "p".into() })
                || self.answer(&mut friendly)
                || self.child_ends(&mut friendly)
                || self.decision(&mut friendly);
            if acts {
                idle = 0;
            } else if let Some(at) = self.state.next_wake() {
                idle = 0;
                self.now = at.max(self.now);
                self.decide();
            } else {
                idle += 1;
                self.signal(&mut Tape::new(vec![idle, 0]));
            }
        }
        panic!("the run comes to no end: {:#?}", self.state);
    }
}

/// How many slots of a step may be under way; none where it has no such step.
fn at_once(workflow: &Workflow, id: &str) -> Option<usize> {
    Some(match &workflow.steps[workflow.step_index(id)?].kind {
        StepKind::Parallel(parallel) => parallel.max_concurrency.unwrap_or(usize::MAX),
        StepKind::ForEach(each) => each.max_concurrency,
        _ => 1,
    })
}

pub(super) fn new_state(workflow: &Arc<Workflow>, mended: &Arc<Workflow>) -> State {
    let mut state = State::new(Arc::clone(workflow), facts());
    state.know_version(2, Arc::clone(mended));
    state
}

pub(super) fn decided(state: &mut State, now: DateTime<Utc>) -> Vec<Event> {
    let mut all = Vec::new();
    loop {
        let events = state.decide(&TEMPLATES, now);
        if events.is_empty() {
            return all;
        }
        all.extend(events);
    }
}

/// Whether it has ended, or something from outside can move it.
fn is_going_on(state: &State) -> bool {
    let is_listening = || {
        let mut open = state.frames.values().filter_map(|frame| frame.open());
        open.any(|open| matches!(open.work, Work::Listening))
    };
    state.status() != RunStatus::Running
        || !state.calls().is_empty()
        || !state.children().is_empty()
        || !state.approvals().is_empty()
        || state.next_wake().is_some()
        || is_listening()
}
