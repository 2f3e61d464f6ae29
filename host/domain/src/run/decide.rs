//! What the journal's next entries are, as far as nothing outside is needed to know.

use std::sync::Arc;

use serde_json::{Value, json};

use super::state::{Cursor, State, Work};
use crate::call::CallError;
use crate::definition::{AgentStep, Condition, OnFailure, Parallel, StepIndex, StepKind};
use crate::journal::{Event, Failure, ScopePath, Visit};
use crate::template::{Scope, TEMPLATE_OUTPUT_BYTES_MAX, Templates};

/// Decisions of one turn. Each may evaluate expressions for some milliseconds; between two turns whoever drives the run looks
/// at the clock, appends, and lets others run.
pub const DECISIONS_PER_TURN_MAX: usize = 16;

impl State {
    /// The next entries that follow from the state itself, applied already, in order: at most [`DECISIONS_PER_TURN_MAX`].
    /// Empty when the run waits or has ended.
    pub fn decide(&mut self, templates: &Templates) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < DECISIONS_PER_TURN_MAX
            && let Some(event) = self.next_event(templates)
        {
            self.apply(&event);
            events.push(event);
        }
        events
    }

    fn next_event(&self, templates: &Templates) -> Option<Event> {
        if self.ended.is_some() {
            return None;
        }
        let main = self.frames.get(&ScopePath::default())?;
        match &main.cursor {
            Cursor::Done => return Some(self.finish(templates)),
            Cursor::Failed(error) => return Some(Event::RunFailed { error: error.clone() }),
            Cursor::At(_) | Cursor::In(..) => {}
        }
        self.frames.iter().find_map(|(scope, frame)| match &frame.cursor {
            Cursor::At(step) => Some(self.visit_step(scope, *step, templates)),
            Cursor::In(step, visit, Work::Group { begun }) => self.judge_group(*step, visit, *begun),
            Cursor::In(..) | Cursor::Done | Cursor::Failed(_) => None,
        })
    }

    fn visit_step(&self, scope: &ScopePath, index: StepIndex, templates: &Templates) -> Event {
        let step = &self.workflow.steps[index];
        if self.executions >= self.workflow.max_steps {
            let message = format!("the run made {} step executions, which is its `maxSteps`", self.executions);
            return Event::RunFailed { error: self.failure_of_run(&step.id, "definition.max_steps", message) };
        }
        let number = self.visits.get(&index).copied().unwrap_or(0) + 1;
        let visit = Visit { scope: scope.clone(), step: step.id.clone(), number };
        let seen = self.scope_of(scope);
        match decide_visit(&step.kind, step.when.as_deref(), &visit, &seen, templates) {
            Ok(event) => event,
            Err(error) => Event::StepFailed { error: failure_of_step(&visit, &error, 0), visit, duration_ms: None },
        }
    }

    /// Whether a group's branches have ended, and how.
    fn judge_group(&self, index: StepIndex, group: &Visit, begun: usize) -> Option<Event> {
        let StepKind::Parallel(parallel) = &self.workflow.steps[index].kind else { return None };
        let branches: Vec<_> = (0..begun).filter_map(|slot| self.frames.get(&ScopePath::inside(group, slot))).collect();
        let failed = branches.iter().find_map(|branch| match &branch.cursor {
            Cursor::Failed(error) => Some(error),
            Cursor::At(_) | Cursor::In(..) | Cursor::Done => None,
        });
        let all_ended = begun == parallel.branches.len()
            && branches.iter().all(|branch| matches!(branch.cursor, Cursor::Done | Cursor::Failed(_)));
        match failed {
            Some(error) if all_ended || parallel.on_failure == OnFailure::FailFast => {
                Some(Event::StepFailed { visit: group.clone(), error: error.clone(), duration_ms: None })
            }
            None if all_ended => Some(Event::StepSucceeded {
                visit: group.clone(),
                attempt: 0,
                output: Arc::new(self.results_of(parallel, group)),
                measured: None,
            }),
            Some(_) | None => None,
        }
    }

    fn results_of(&self, parallel: &Parallel, group: &Visit) -> Value {
        let result =
            |slot| self.frames.get(&ScopePath::inside(group, slot)).map(|frame| Value::clone(&frame.last_result));
        let branches = parallel.branches.iter().enumerate();
        Value::Object(branches.map(|(slot, branch)| (branch.id.clone(), result(slot).unwrap_or_default())).collect())
    }

    /// The main line is done: the run answers what its definition picks.
    fn finish(&self, templates: &Templates) -> Event {
        let Some(picks) = &self.workflow.output else { return Event::RunSucceeded { output: Value::Null } };
        let seen = self.scope_of(&ScopePath::default());
        let mut output = serde_json::Map::new();
        let mut room = TEMPLATE_OUTPUT_BYTES_MAX;
        for (name, expression) in picks {
            match templates.evaluate_within(expression, &seen, &mut room) {
                Ok(value) => output.insert(name.clone(), value),
                Err(CallError { code, message, .. }) => {
                    let message = format!("`output.{name}`: {message}");
                    let error = Failure { step_id: None, code: code.into_owned(), message, attempts: 0 };
                    return Event::RunFailed { error };
                }
            };
        }
        Event::RunSucceeded { output: Value::Object(output) }
    }

    fn failure_of_run(&self, step: &str, code: &str, message: String) -> Failure {
        Failure { step_id: Some(step.to_owned()), code: code.to_owned(), message, attempts: 0 }
    }
}

fn decide_visit(
    kind: &StepKind,
    when: Option<&str>,
    visit: &Visit,
    seen: &Scope,
    templates: &Templates,
) -> Result<Event, CallError> {
    if let Some(when) = when
        && !templates.holds(when, seen)?
    {
        return Ok(Event::StepSkipped { visit: visit.clone() });
    }
    let input = match kind {
        StepKind::Agent(agent) => agent_input(agent, seen, templates)?,
        StepKind::Tool(tool) => templates.render_deep(&tool.params, seen)?,
        StepKind::Condition(Condition { expr, evaluator: None, .. }) => {
            let output = Arc::new(Value::Bool(templates.holds(expr, seen)?));
            return Ok(Event::StepSucceeded { visit: visit.clone(), attempt: 0, output, measured: None });
        }
        StepKind::Condition(Condition { expr, .. }) => json!({ "expr": expr }),
        StepKind::Parallel(_) => Value::Null,
    };
    Ok(Event::StepStarted { visit: visit.clone(), input: Arc::new(input) })
}

fn agent_input(agent: &AgentStep, seen: &Scope, templates: &Templates) -> Result<Value, CallError> {
    let mut input = json!({ "message": templates.render(&agent.message, seen)? });
    if let Some(suffix) = &agent.system_prompt_suffix {
        input["systemPromptSuffix"] = Value::String(templates.render(suffix, seen)?);
    }
    Ok(input)
}

pub(super) fn failure_of_step(visit: &Visit, error: &CallError, attempts: u32) -> Failure {
    Failure {
        step_id: Some(visit.step.clone()),
        code: error.code.clone().into_owned(),
        message: error.message.clone(),
        attempts,
    }
}
