//! A run that touches nothing: its calls are answered by mocks, and time passes as soon as nothing else happens.
//!
//! Whoever drives a [`Simulation`] asks it for one turn after another, makes the calls that it asks for, where they touch
//! nothing, and leaves the others open. It decides and judges as a run does, by the same [`State`].

mod mocks;
mod outcome;
mod recorded;
mod time;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

pub use self::mocks::{MOCK_SEQUENCE_MAX, Mocks};
pub use self::outcome::{PathStep, Simulated, SimulationStatus};
use super::decide::failure_of_step;
use super::frame::{Open, Work};
use super::message::Message;
use super::outcome::{Attempt, AttemptResult};
use super::state::{Call, CallKind, RunFacts, State};
use crate::call::CallError;
use crate::definition::Workflow;
use crate::journal::{Entry, Event, Failure, Measured, Visit};
use crate::plugin::Pin;
use crate::template::Templates;

/// Who decides, and who sends what is there from the start.
const BY: &str = "test";
/// Jitter is drawn from the middle, so that the same test takes the same virtual time.
const CHANCE: f64 = 0.5;

/// How far a simulation goes.
#[derive(Debug, Clone, Copy)]
pub struct SimulationBounds {
    /// Entries of its journal; a turn's decisions may go beyond by a few.
    pub entries: usize,
    /// Bytes that its journal may weigh, as a run's.
    pub journal_bytes: u64,
    /// Bytes of one answer, as JSON.
    pub output_bytes: u64,
}

/// What a simulation is made of.
#[derive(Debug)]
pub struct SimulationParts {
    /// What it follows.
    pub workflow: Arc<Workflow>,
    /// What it is told about itself; its clock starts at `started_at`.
    pub facts: RunFacts,
    /// What the caller gave.
    pub input: Value,
    /// The versions of plugins that it stays on.
    pub plugins: Vec<Pin>,
    /// Signals that are there from the start, in this order: names and payloads.
    pub events: Vec<(String, Value)>,
    /// What stands in for the outside world.
    pub mocks: Mocks,
    /// The tool steps, by id, whose call may be made again where the step does not say.
    pub repeatable: HashSet<String>,
    /// How far it goes.
    pub bounds: SimulationBounds,
}

/// A run whose world is made up.
#[derive(Debug)]
pub struct Simulation {
    state: State,
    mocks: Mocks,
    repeatable: HashSet<String>,
    bounds: SimulationBounds,
    now: DateTime<Utc>,
    journal: Vec<Entry>,
    journal_bytes: u64,
    /// Which entry began a visit, or its present attempt.
    opened: HashMap<Visit, usize>,
    /// What is asked at the present instant, in the order in which it began.
    round: VecDeque<Asked>,
    /// Visits that nobody answers.
    open_for_good: HashSet<Visit>,
    mocked: HashSet<Visit>,
    /// Why it was stopped before its end.
    stopped: Option<Failure>,
}

/// What a turn came to.
#[derive(Debug)]
pub enum Turn {
    /// Something was decided, or time passed. There may be more.
    GoesOn,
    /// This call has no mock: [`Simulation::answer`] it, or [`Simulation::leave_open`].
    Asks(Box<Call>),
    /// It has ended, or nothing more can happen.
    Over,
}

/// What a visit waits for that a mock may give.
#[derive(Debug)]
enum Asked {
    Call(Box<Call>),
    Decision(Visit),
    Event(Visit),
}

impl Simulation {
    /// A simulation before its first decision.
    pub fn new(parts: SimulationParts) -> Self {
        let SimulationParts { workflow, facts, input, plugins, events, mocks, repeatable, bounds } = parts;
        let now = facts.started_at;
        let mut simulation = Self {
            state: State::new(workflow, facts),
            mocks,
            repeatable,
            bounds,
            now,
            journal: Vec::new(),
            journal_bytes: 0,
            opened: HashMap::new(),
            round: VecDeque::new(),
            open_for_good: HashSet::new(),
            mocked: HashSet::new(),
            stopped: None,
        };
        simulation.take(Event::RunStarted { input: Arc::new(input), plugins });
        for (name, payload) in events {
            let signal = Message::Signal { name, payload: Arc::new(payload), by: BY.to_owned() };
            if let Some(event) = simulation.state.receive(signal, now, CHANCE) {
                simulation.take(event);
            }
        }
        simulation
    }

    /// The run as it stands.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Decides what follows, answers one thing that is asked, or lets time pass: little enough that whoever drives it can look
    /// at a real clock between two turns.
    pub fn turn(&mut self, templates: &Templates) -> Turn {
        if self.is_over() {
            return Turn::Over;
        }
        let decided = self.state.decide(templates, self.now);
        if !decided.is_empty() {
            for event in decided {
                self.record(event);
            }
            self.keep_within_bounds();
            return Turn::GoesOn;
        }
        if self.round.is_empty() {
            self.round = self.asked();
        }
        while let Some(asked) = self.round.pop_front() {
            match self.settle(asked) {
                Settled::Answered => {
                    self.keep_within_bounds();
                    return Turn::GoesOn;
                }
                Settled::Asks(call) => return Turn::Asks(call),
                Settled::Open => {}
            }
        }
        self.let_time_pass()
    }

    /// Takes the answer to a tool's or an evaluator's call that [`Simulation::turn`] asked for. It took no virtual time.
    pub fn answer(&mut self, call: Call, result: AttemptResult, duration: Duration) {
        let result = result
            .and_then(|(output, measured)| within(self.bounds.output_bytes, &measured).map(|()| (output, measured)));
        self.judge(call, result, duration);
        self.keep_within_bounds();
    }

    /// Nobody answers this call: what does not depend on it goes on.
    pub fn leave_open(&mut self, call: &Call) {
        self.open_for_good.insert(call.visit.clone());
    }

    /// Ends it before its end.
    pub fn stop(&mut self, why: Failure) {
        self.stopped.get_or_insert(why);
    }

    fn is_over(&self) -> bool {
        self.stopped.is_some() || self.state.status().is_final()
    }

    /// Everything that waits for an answer now and has none.
    fn asked(&self) -> VecDeque<Asked> {
        let now = self.now;
        let calls = self.state.calls().into_iter().filter(|call| call.not_before.is_none_or(|at| at <= now));
        let calls = calls.map(|call| Asked::Call(Box::new(call)));
        let others = self.open().filter_map(|open| match open.work {
            Work::Asking { .. } => Some(Asked::Decision(open.visit.clone())),
            Work::Listening => Some(Asked::Event(open.visit.clone())),
            _ => None,
        });
        let asked = calls.chain(others).filter(|asked| !self.open_for_good.contains(asked.visit()));
        let mut asked: Vec<Asked> = asked.collect();
        asked.sort_by_key(|asked| self.opened.get(asked.visit()).copied());
        asked.into()
    }

    fn open(&self) -> impl Iterator<Item = &Open> {
        self.state.frames.values().filter_map(|frame| frame.open())
    }

    /// Answers what is asked, where a mock does.
    fn settle(&mut self, asked: Asked) -> Settled {
        if !self.state.is_open(asked.visit()) {
            return Settled::Open;
        }
        let attempt = match &asked {
            Asked::Call(call) => call.attempt,
            Asked::Decision(_) | Asked::Event(_) => 0,
        };
        let answer = self.mocks.answer(asked.visit(), attempt);
        match (asked, answer) {
            (Asked::Call(call), None) => return Settled::Asks(call),
            (Asked::Event(visit), None) => {
                self.open_for_good.insert(visit);
                return Settled::Open;
            }
            (Asked::Call(call), Some((answer, measured))) => {
                self.mocked.insert(call.visit.clone());
                self.answer_by_mock(*call, answer, measured);
            }
            (Asked::Decision(visit), answer) => {
                self.mocked.insert(visit.clone());
                self.decide_approval(visit, answer.map(|(answer, _)| answer));
            }
            (Asked::Event(visit), Some((answer, _))) => {
                self.mocked.insert(visit.clone());
                self.take(match answer {
                    Ok(output) => Event::StepSucceeded { visit, attempt: 0, output, measured: None, signal: None },
                    Err(error) => failed(visit, &error),
                });
            }
        }
        Settled::Answered
    }

    fn decide_approval(&mut self, visit: Visit, answer: Option<Result<Arc<Value>, CallError>>) {
        let decision = match answer {
            Some(Err(error)) => return self.take(failed(visit, &error)),
            Some(Ok(decision)) => decision,
            None => Arc::new(serde_json::json!({ "approved": true })),
        };
        let message = Message::Decision {
            visit,
            approved: decision["approved"] == true,
            by: decision["by"].as_str().unwrap_or(BY).to_owned(),
            note: decision["note"].as_str().map(str::to_owned),
        };
        if let Some(event) = self.state.receive(message, self.now, CHANCE) {
            self.take(event);
        }
    }

    /// As the answer to a call is taken; one answer may be given very often, so that all share it.
    fn answer_by_mock(&mut self, call: Call, answer: Result<Arc<Value>, CallError>, measured: Option<Measured>) {
        let answer = answer.and_then(|output| {
            let measured = measured.unwrap_or_else(|| measured_of(&call.input, &output));
            within(self.bounds.output_bytes, &measured).map(|()| (output, measured))
        });
        match answer {
            Ok((output, measured)) => {
                let Call { visit, attempt, kind, .. } = call;
                // A workflow step has no run of its own here: nobody's answer is measured.
                let measured = (!matches!(kind, CallKind::Child { .. })).then_some(measured);
                self.take(Event::StepSucceeded { visit, attempt, output, measured, signal: None });
            }
            Err(error) => self.judge(call, Err(error), Duration::ZERO),
        }
    }

    fn judge(&mut self, call: Call, result: AttemptResult, duration: Duration) {
        let repeatable = match call.kind {
            CallKind::Tool { .. } => self.repeatable.contains(&call.visit.step),
            CallKind::Agent { .. } | CallKind::Evaluator { .. } | CallKind::Child { .. } => true,
        };
        if let Some(event) =
            self.state.judge(Attempt { call, result: result.map(Into::into), duration }, repeatable, self.now, CHANCE)
        {
            self.take(event);
        }
    }

    fn keep_within_bounds(&mut self) {
        if self.is_over() {
            return;
        }
        let SimulationBounds { entries, journal_bytes, .. } = self.bounds;
        if self.journal_bytes > journal_bytes {
            // As a run ends.
            let message = format!("the run's journal weighs more than {journal_bytes} bytes");
            let error = Failure::new(None, "run.too_large", message);
            self.take(Event::RunFailed { error });
        } else if self.journal.len() >= entries {
            let message = format!("a test's journal has at most {entries} entries");
            let code = "test.too_many_entries".to_owned();
            self.stop(Failure::new(None, code, message));
        }
    }

    fn take(&mut self, event: Event) {
        self.state.apply(&event);
        self.record(event);
    }

    /// Keeps an event that was applied.
    fn record(&mut self, event: Event) {
        if let Event::StepStarted { visit, .. } | Event::AttemptFailed { visit, .. } = &event {
            self.opened.insert(visit.clone(), self.journal.len());
        }
        // An event that was made from JSON values is always JSON.
        self.journal_bytes += event.to_body().map_or(0, |body| body.len() as u64);
        self.journal.push(Entry { at: self.now, event });
    }
}

enum Settled {
    Answered,
    Asks(Box<Call>),
    /// It stays open, or is not waited for any more.
    Open,
}

impl Asked {
    fn visit(&self) -> &Visit {
        match self {
            Self::Call(call) => &call.visit,
            Self::Decision(visit) | Self::Event(visit) => visit,
        }
    }
}

fn failed(visit: Visit, error: &CallError) -> Event {
    Event::StepFailed { error: failure_of_step(&visit, error, 0), visit, duration_ms: None, prompt: None }
}

fn measured_of(input: &Value, output: &Value) -> Measured {
    let bytes = |value: &Value| value.to_string().len() as u64;
    Measured {
        duration_ms: 0,
        input_bytes: bytes(input),
        output_bytes: bytes(output),
        answerer: None,
        usage: None,
        prompt: None,
    }
}

/// As a run's: what is too long for a journal ends its attempt.
fn within(most: u64, measured: &Measured) -> Result<(), CallError> {
    if measured.output_bytes <= most {
        return Ok(());
    }
    let message = format!("the output is {} bytes long as JSON, and may be {most}", measured.output_bytes);
    Err(CallError::permanent("step.output_too_large", message))
}
