//! What a visit is given, and what it comes to at once.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::state::State;
use crate::call::CallError;
use crate::definition::{AgentStep, Assigned, Condition, FOR_EACH_ITEMS_MAX, Step, StepKind, Switch, Wait, Workflow};
use crate::duration::{DURATION_DAYS_MAX, parse_duration};
use crate::journal::{Event, Visit};
use crate::template::{Scope, TEMPLATE_OUTPUT_BYTES_MAX, Templates};

/// The entry that begins a visit, or is all of it.
pub(super) fn decide_visit(
    workflow: &Workflow,
    step: &Step,
    visit: &Visit,
    seen: &Scope,
    templates: &Templates,
    now: DateTime<Utc>,
) -> Result<Event, CallError> {
    if let Some(when) = step.when.as_deref()
        && !templates.holds(when, seen)?
    {
        return Ok(Event::StepSkipped { visit: visit.clone() });
    }
    let bound = |bound: Option<Duration>| bound.map(|bound| now + bound);
    let (input, deadline) = match &step.kind {
        StepKind::Agent(agent) => (agent_input(agent, seen, templates)?, bound(visit_bound(step))),
        StepKind::Tool(tool) => (templates.render_deep(&tool.params, seen)?, bound(visit_bound(step))),
        StepKind::Condition(Condition { expr, evaluator: None, .. }) => {
            return Ok(at_once(visit, Value::Bool(templates.holds(expr, seen)?)));
        }
        StepKind::Condition(Condition { expr, .. }) => (json!({ "expr": expr }), bound(visit_bound(step))),
        StepKind::Switch(switch) => return Ok(at_once(visit, case_of(switch, seen, templates)?)),
        StepKind::Set(vars) => return Ok(at_once(visit, assign(vars, seen, templates)?)),
        StepKind::Return(picks) => {
            let picks = picks.as_ref().or(workflow.output.as_ref());
            return Ok(at_once(visit, pick(picks, seen, templates)?));
        }
        StepKind::Fail(fail) => {
            let message = templates.render(&fail.message, seen)?;
            return Err(CallError::permanent(fail.code.clone(), message));
        }
        StepKind::Parallel(_) | StepKind::Loop(_) => (Value::Null, bound(visit_bound(step))),
        StepKind::ForEach(each) => (json!({ "items": items(&each.items, seen, templates)? }), bound(visit_bound(step))),
        StepKind::Wait(wait) => wait_input(wait, seen, templates, now, visit_bound(step))?,
        StepKind::Approval(approval) => {
            let message = templates.render(&approval.message, seen)?;
            (json!({ "message": message, "approvers": approval.approvers }), bound(visit_bound(step)))
        }
        StepKind::Workflow(child) => {
            let input = templates.render_deep(&child.input, seen)?;
            let input = json!({ "workflowId": child.workflow_id, "version": child.version, "input": input });
            (input, bound(visit_bound(step)))
        }
    };
    Ok(Event::StepStarted { visit: visit.clone(), input: Arc::new(input), deadline })
}

/// The longest that a visit of a step may take. The `timeout` of a step that calls somebody bounds each attempt instead.
pub(super) fn visit_bound(step: &Step) -> Option<Duration> {
    match (&step.kind, step.timeout, step.total_timeout) {
        (StepKind::Agent(_) | StepKind::Tool(_) | StepKind::Condition(_), _, total) => total,
        (_, Some(timeout), Some(total)) => Some(timeout.min(total)),
        (_, timeout, total) => timeout.or(total),
    }
}

/// What `output`, or a `return` step, picks.
pub(super) fn pick(
    picks: Option<&Vec<(String, String)>>,
    seen: &Scope,
    templates: &Templates,
) -> Result<Value, CallError> {
    let Some(picks) = picks else { return Ok(Value::Null) };
    let mut output = Map::new();
    let mut room = TEMPLATE_OUTPUT_BYTES_MAX;
    for (name, expression) in picks {
        let value = templates.evaluate_within(expression, seen, &mut room).map_err(|mut error| {
            error.message = format!("`output.{name}`: {}", error.message);
            error
        })?;
        output.insert(name.clone(), value);
    }
    Ok(Value::Object(output))
}

fn at_once(visit: &Visit, output: Value) -> Event {
    Event::StepSucceeded { visit: visit.clone(), attempt: 0, output: Arc::new(output), measured: None, signal: None }
}

fn agent_input(agent: &AgentStep, seen: &Scope, templates: &Templates) -> Result<Value, CallError> {
    let mut input = json!({ "message": templates.render(&agent.message, seen)? });
    if let Some(suffix) = &agent.system_prompt_suffix {
        input["systemPromptSuffix"] = Value::String(templates.render(suffix, seen)?);
    }
    Ok(input)
}

/// The place of the first case that holds; null where none does.
fn case_of(switch: &Switch, seen: &Scope, templates: &Templates) -> Result<Value, CallError> {
    for (way, case) in switch.cases.iter().enumerate() {
        if templates.holds(&case.when, seen)? {
            return Ok(json!(way));
        }
    }
    Ok(Value::Null)
}

/// Every value sees what was set before the step, and none of the others.
fn assign(vars: &[(String, Assigned)], seen: &Scope, templates: &Templates) -> Result<Value, CallError> {
    let mut room = TEMPLATE_OUTPUT_BYTES_MAX;
    let mut set = Map::new();
    for (name, assigned) in vars {
        let value = match assigned {
            Assigned::Expression(source) => templates.evaluate_within(source, seen, &mut room),
            Assigned::Value(value) => templates.render_deep_in(value, seen, &mut room),
        };
        let value = value.map_err(|mut error| {
            error.message = format!("`vars.{name}`: {}", error.message);
            error
        })?;
        set.insert(name.clone(), value);
    }
    Ok(Value::Object(set))
}

fn items(source: &str, seen: &Scope, templates: &Templates) -> Result<Value, CallError> {
    match templates.evaluate(source, seen)? {
        Value::Array(items) if items.len() > FOR_EACH_ITEMS_MAX => {
            let message =
                format!("`items` has {} elements, and a forEach step takes {FOR_EACH_ITEMS_MAX}", items.len());
            Err(CallError::permanent("expr.limit", message))
        }
        items @ Value::Array(_) => Ok(items),
        other => {
            let kind = crate::json::kind_of(&other);
            Err(CallError::permanent("expr.type", format!("`items` gives {kind}, not an array")))
        }
    }
}

fn wait_input(
    wait: &Wait,
    seen: &Scope,
    templates: &Templates,
    now: DateTime<Utc>,
    bound: Option<Duration>,
) -> Result<(Value, Option<DateTime<Utc>>), CallError> {
    let invalid = |message: String| CallError::permanent("wait.invalid", message);
    match wait {
        Wait::Duration(source) => {
            let text = templates.render(source, seen)?;
            let duration = parse_duration(text.trim()).map_err(|error| invalid(format!("`duration`: {error}")))?;
            let until = now + duration;
            Ok((json!({ "until": until.to_rfc3339_opts(chrono::SecondsFormat::Millis, true) }), Some(until)))
        }
        Wait::Until(source) => {
            let text = templates.render(source, seen)?;
            let until = DateTime::parse_from_rfc3339(text.trim())
                .map_err(|_| invalid(format!("`until` gives `{text}`, which is no timestamp (RFC 3339)")))?
                .with_timezone(&Utc);
            if until - now > chrono::Duration::days(DURATION_DAYS_MAX as i64) {
                return Err(invalid(format!("`until` is more than {DURATION_DAYS_MAX} days ahead")));
            }
            Ok((json!({ "until": until.to_rfc3339_opts(chrono::SecondsFormat::Millis, true) }), Some(until)))
        }
        Wait::Event { name, .. } => Ok((json!({ "event": name }), bound.map(|bound| now + bound))),
    }
}

impl State {
    /// The buffered signal that a `wait` step takes, if there is one by now.
    pub(super) fn heard(
        &self,
        wait: &Wait,
        visit: &Visit,
        seen: &Scope,
        templates: &Templates,
    ) -> Result<Option<Event>, CallError> {
        let Wait::Event { name, matches } = wait else { return Ok(None) };
        for signal in self.signals.iter().filter(|signal| signal.name == *name) {
            let fits = match matches {
                None => true,
                Some(matches) => {
                    let mut seen = seen.clone();
                    seen.set("event", Arc::clone(&signal.payload));
                    templates.holds(matches, &seen)?
                }
            };
            if fits {
                return Ok(Some(Event::StepSucceeded {
                    visit: visit.clone(),
                    attempt: 0,
                    output: Arc::clone(&signal.payload),
                    measured: None,
                    signal: Some(signal.number),
                }));
            }
        }
        Ok(None)
    }
}
