//! What a simulation came to.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Simulation;
use crate::journal::{Entry, Failure, Variables, Visit};
use crate::run::{AttemptRecord, AttemptStatus, RunStatus, history_of};

/// How a simulation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SimulationStatus {
    /// The run would end well.
    Success,
    /// The run would end badly, or the test met a bound of its own: the error's code then begins with `test.`.
    Failed,
    /// The run would take longer than its `timeout`.
    TimedOut,
    /// The run would wait for an event, for as long as nobody sends it.
    Waiting,
    /// A call would leave the process, and no mock answers it.
    Unmocked,
}

/// One visit, in the order in which they began.
#[derive(Debug, Clone, PartialEq)]
pub struct PathStep {
    /// Which.
    pub visit: Visit,
    /// The step's type.
    pub kind: &'static str,
    /// How many attempts were made; 0 where nothing is called.
    pub attempts: u32,
    /// How it stands, or ended.
    pub status: AttemptStatus,
    /// Whether a mock answered it.
    pub mocked: bool,
}

/// What a simulation came to.
#[derive(Debug)]
pub struct Simulated {
    /// How it ended.
    pub status: SimulationStatus,
    /// Every visit.
    pub path: Vec<PathStep>,
    /// Every attempt with its step's type, as a run shows them.
    pub steps: Vec<(AttemptRecord, &'static str)>,
    /// Every variable that a step set.
    pub variables: Variables,
    /// What the definition's `output` picked.
    pub output: Value,
    /// Why it ended badly.
    pub error: Option<Failure>,
    /// What a run would have written.
    pub journal: Vec<Entry>,
    /// The steps that need a mock for the test to get further, in the order in which it came to them.
    pub missing: Vec<String>,
    /// How much virtual time passed.
    pub duration: Duration,
}

impl Simulation {
    /// What it came to.
    pub fn finish(mut self) -> Simulated {
        let steps = history_of(self.state.workflow(), &self.journal);
        let status = self.status();
        let error = self.stopped.take().or_else(|| self.state.error().cloned());
        Simulated {
            status,
            path: path(&steps, &self.mocked),
            steps,
            variables: self.state.variables(),
            output: self.state.output(),
            error,
            missing: self.missing(),
            duration: (self.now - self.state.facts().started_at).to_std().unwrap_or_default(),
            journal: self.journal,
        }
    }

    fn status(&self) -> SimulationStatus {
        match self.state.status() {
            _ if self.stopped.is_some() => SimulationStatus::Failed,
            RunStatus::Success => SimulationStatus::Success,
            RunStatus::Failed | RunStatus::Cancelled => SimulationStatus::Failed,
            RunStatus::TimedOut => SimulationStatus::TimedOut,
            _ if self.waits_for_a_call() => SimulationStatus::Unmocked,
            _ => SimulationStatus::Waiting,
        }
    }

    /// A call that was left open may matter even where the run ended without it; an event that never came, and that nobody
    /// waits for any more, is what was tested.
    fn missing(&self) -> Vec<String> {
        let is_call = |visit: &Visit| {
            let step = self.state.workflow().step_index(&visit.step);
            step.is_some_and(|step| self.state.workflow().steps[step].kind.name() != "wait")
        };
        let mut missing: Vec<&Visit> =
            self.open_for_good.iter().filter(|visit| is_call(visit) || self.state.is_open(visit)).collect();
        missing.sort_by_key(|visit| self.opened.get(*visit).copied());
        let mut told = HashSet::new();
        missing.into_iter().filter(|visit| told.insert(&visit.step)).map(|visit| visit.step.clone()).collect()
    }
}

fn path(steps: &[(AttemptRecord, &'static str)], mocked: &HashSet<Visit>) -> Vec<PathStep> {
    let mut path: Vec<PathStep> = Vec::new();
    let mut places: HashMap<&Visit, usize> = HashMap::new();
    for (record, kind) in steps {
        let place = *places.entry(&record.visit).or_insert(path.len());
        if place == path.len() {
            path.push(PathStep {
                visit: record.visit.clone(),
                kind,
                attempts: 0,
                status: record.status,
                mocked: mocked.contains(&record.visit),
            });
        }
        path[place].attempts = path[place].attempts.max(record.attempt);
        path[place].status = record.status;
    }
    path
}
