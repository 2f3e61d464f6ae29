//! What the journal's next entries are, as far as nothing outside is needed to know.

use chrono::{DateTime, Utc};

use super::frame::{Cursor, Frame, Open, Work};
use super::inputs::{decide_visit, pick};
use super::state::{Ending, State};
use crate::call::CallError;
use crate::definition::{Loop, LoopTest, StepIndex, StepKind};
use crate::journal::{Event, Failure, ScopePath, Visit};
use crate::template::Templates;

/// Decisions of one turn. Each may evaluate expressions for some milliseconds; between two turns whoever drives the run looks
/// at the clock, appends, and lets others run.
pub const DECISIONS_PER_TURN_MAX: usize = 16;

impl State {
    /// The next entries that follow from the state itself and the time, applied already, in order: at most
    /// [`DECISIONS_PER_TURN_MAX`]. Empty when the run waits, is paused or has ended.
    pub fn decide(&mut self, templates: &Templates, now: DateTime<Utc>) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < DECISIONS_PER_TURN_MAX
            && let Some(event) = self.next_event(templates, now)
        {
            self.apply(&event);
            events.push(event);
        }
        events
    }

    fn next_event(&mut self, templates: &Templates, now: DateTime<Utc>) -> Option<Event> {
        if self.ended.is_some() || self.is_paused {
            return None;
        }
        if let Some(ending) = &self.ending {
            return Some(match ending {
                Ending::Returned(output) => Event::RunSucceeded { output: output.clone() },
                Ending::Failed(error) => Event::RunFailed { error: error.clone() },
            });
        }
        let main = self.frames.get(&ScopePath::default())?;
        match &main.cursor {
            Cursor::Done => return Some(self.finish(templates)),
            Cursor::Failed(stopped) => return Some(Event::RunFailed { error: stopped.error.clone() }),
            Cursor::At(_) | Cursor::In(_) => {}
        }
        while let Some(scope) = self.ready.first().cloned() {
            let decided = self.frames.get(&scope).and_then(|frame| self.decide_frame(&scope, frame, templates, now));
            if decided.is_some() {
                return decided;
            }
            self.ready.remove(&scope);
        }
        self.next_due(now)
    }

    fn decide_frame(
        &self,
        scope: &ScopePath,
        frame: &Frame,
        templates: &Templates,
        now: DateTime<Utc>,
    ) -> Option<Event> {
        match &frame.cursor {
            Cursor::At(step) => {
                let due = self.due_around(frame.parent.as_ref(), now);
                due.or_else(|| Some(self.visit_step(scope, *step, templates, now)))
            }
            Cursor::In(open) => match (&open.work, &self.workflow.steps[open.step].kind) {
                (Work::Group(_), _) => self.judge_group(open),
                (Work::Loop { passes, is_open: false }, StepKind::Loop(repeated)) => {
                    match self.next_pass(scope, repeated, open, *passes, templates) {
                        pass @ Event::PassStarted { .. } => self.due_around(Some(&open.visit), now).or(Some(pass)),
                        end => Some(end),
                    }
                }
                (Work::Listening, StepKind::Wait(wait)) => {
                    let heard = self.heard(wait, &open.visit, &self.scope_of(scope), templates);
                    heard.unwrap_or_else(|error| Some(stopped(&open.visit, &error, 0)))
                }
                (Work::Calling { attempt, talk, .. }, StepKind::Agent(agent)) => {
                    self.next_turn(&open.visit, *attempt, talk, agent)
                }
                _ => None,
            },
            Cursor::Done | Cursor::Failed(_) => None,
        }
    }

    fn visit_step(&self, scope: &ScopePath, index: StepIndex, templates: &Templates, now: DateTime<Utc>) -> Event {
        let step = &self.workflow.steps[index];
        if self.executions >= self.workflow.max_steps {
            let message = format!("the run made {} step executions, which is its `maxSteps`", self.executions);
            return Event::RunFailed { error: failure_of_run(&step.id, "definition.max_steps", message) };
        }
        let number = self.visits.get(&step.id).copied().unwrap_or(0) + 1;
        let visit = Visit { scope: scope.clone(), step: step.id.clone(), number };
        let seen = self.scope_of(scope);
        decide_visit(&self.workflow, step, &visit, &seen, templates, now)
            .unwrap_or_else(|error| stopped(&visit, &error, 0))
    }

    /// Whether a loop makes another pass.
    fn next_pass(&self, scope: &ScopePath, repeated: &Loop, open: &Open, passes: u32, templates: &Templates) -> Event {
        let visit = &open.visit;
        let pass = self.frames.get(&ScopePath::inside(visit, passes));
        if let Some(Cursor::Failed(stopped)) = pass.map(|frame| &frame.cursor) {
            return Event::StepFailed {
                visit: visit.clone(),
                error: stopped.error.clone(),
                duration_ms: None,
                prompt: None,
            };
        }
        if self.executions >= self.workflow.max_steps {
            let message = format!("the run made {} step executions, which is its `maxSteps`", self.executions);
            return Event::RunFailed { error: failure_of_run(&visit.step, "definition.max_steps", message) };
        }
        let goes_on = if passes >= repeated.max_iterations {
            Ok(false)
        } else {
            let mut seen = self.scope_of(scope);
            seen.set("iteration", std::sync::Arc::new(passes.into()));
            match &repeated.test {
                LoopTest::While(expr) => templates.holds(expr, &seen),
                LoopTest::Until(_) if passes == 0 => Ok(true),
                LoopTest::Until(expr) => templates.holds(expr, &seen).map(|is_over| !is_over),
            }
        };
        match goes_on {
            Ok(true) => Event::PassStarted { visit: visit.clone(), pass: passes + 1 },
            Ok(false) => Event::StepSucceeded {
                visit: visit.clone(),
                attempt: 0,
                output: std::sync::Arc::new(passes.into()),
                measured: None,
                signal: None,
            },
            Err(error) => stopped(visit, &error, 0),
        }
    }

    /// The main line is done: the run answers what its definition picks.
    fn finish(&self, templates: &Templates) -> Event {
        let seen = self.scope_of(&ScopePath::default());
        match pick(self.workflow.output.as_ref(), &seen, templates) {
            Ok(output) => Event::RunSucceeded { output },
            Err(CallError { code, message, .. }) => {
                Event::RunFailed { error: Failure::new(None, code.into_owned(), message) }
            }
        }
    }
}

fn failure_of_run(step: &str, code: &str, message: String) -> Failure {
    Failure::new(Some(step.to_owned()), code, message)
}

fn stopped(visit: &Visit, error: &CallError, attempts: u32) -> Event {
    Event::StepFailed {
        error: failure_of_step(visit, error, attempts),
        visit: visit.clone(),
        duration_ms: None,
        prompt: None,
    }
}

pub(super) fn failure_of_step(visit: &Visit, error: &CallError, attempts: u32) -> Failure {
    Failure {
        step_id: Some(visit.step.clone()),
        code: error.code.clone().into_owned(),
        message: error.message.clone(),
        attempts,
        evidence: error.evidence.clone(),
    }
}
