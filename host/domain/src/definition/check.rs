//! Reads a definition as far as it can be read, finds everything that is wrong with it, and only then lets it be a workflow.

use std::collections::HashMap;

use serde_json::Value;

use super::fields::{Fields, Findings, kind_of};
use super::step::Reader;
use super::{
    Concurrency, InputSchema, Known, MAIN_LIST, MAX_STEPS_DEFAULT, MAX_STEPS_MAX, OnEvent, RESERVED_NAMES, Retention,
    Workflow, flow, variables,
};
use crate::fault::{Fault, pointer};
use crate::template::Templates;

const FIELDS: [&str; 9] =
    ["steps", "inputSchema", "output", "timeout", "maxSteps", "retry", "concurrency", "retention", "onEvent"];
const FIELDS_NOT_YET: [&str; 1] = ["schedule"];

/// A definition that may run, and what its author should look at nevertheless.
#[derive(Debug, Clone)]
pub struct Checked {
    /// What the interpreter runs.
    pub workflow: Workflow,
    /// Names that do not exist yet, variables that nothing seems to set.
    pub warnings: Vec<Fault>,
}

/// Checks a definition whole.
///
/// # Errors
/// Every fault at once, up to [`crate::fault::FAULTS_MAX`], each with its JSON pointer into the definition.
pub fn check(definition: &Value, known: &Known, templates: &Templates) -> Result<Checked, Vec<Fault>> {
    let mut findings = Findings::default();
    let Some(object) = definition.as_object() else {
        findings.fault("", "definition.type", format!("a definition is an object, not {}", kind_of(definition)));
        return Err(findings.faults);
    };
    let fields = Fields { object, pointer: "" };
    fields.only(&[&FIELDS, &FIELDS_NOT_YET], "a definition", &mut findings);
    fields.not_yet(&FIELDS_NOT_YET, &mut findings);

    let default_retry = fields.retry(&mut findings);
    let timeout = fields.duration("timeout", &mut findings);
    let max_steps =
        fields.whole_number("maxSteps", 1, MAX_STEPS_MAX.into(), &mut findings).map_or(MAX_STEPS_DEFAULT, |n| n as u32);
    let input_schema = read_input_schema(fields, &mut findings);
    let output = read_output(fields, templates, &mut findings);
    let concurrency = Concurrency::read(fields, templates, &mut findings);
    let retention = Retention::read(fields, &mut findings);
    let on_event = OnEvent::read(fields, templates, &mut findings);

    let mut reader = Reader::new(templates, default_retry, &mut findings);
    match object.get("steps") {
        None => reader.findings.fault("/steps", "definition.missing", "`steps` is missing"),
        Some(steps) => {
            reader.read_list(steps, "/steps", 0);
        }
    }
    let read = reader.finish();
    let by_id: HashMap<String, usize> =
        read.steps.iter().enumerate().map(|(index, step)| (step.id.clone(), index)).collect();
    let mut workflow = Workflow {
        steps: read.steps,
        lists: read.lists,
        input_schema,
        output,
        timeout,
        max_steps,
        concurrency,
        retention,
        on_event,
        by_id,
    };
    flow::resolve(&mut workflow, &read.targets, &mut findings);
    if findings.faults.is_empty() {
        flow::find_unreachable(&workflow, &mut findings);
    }
    variables::check(&workflow, &read.reads, &mut findings);
    warn_of_unknown_names(&workflow, known, &mut findings);

    if findings.faults.is_empty() && !workflow.lists[MAIN_LIST].steps.is_empty() {
        Ok(Checked { workflow, warnings: findings.warnings })
    } else {
        Err(findings.faults)
    }
}

fn read_input_schema(fields: Fields<'_>, findings: &mut Findings) -> Option<InputSchema> {
    let schema = fields.get("inputSchema")?;
    let place = fields.at("inputSchema");
    if !schema.is_object() {
        findings.fault(place, "definition.type", "`inputSchema` is an object");
        return None;
    }
    let parsed = InputSchema::parse(schema);
    parsed.map_err(|(inner, why)| findings.fault(format!("{place}{inner}"), "definition.schema", why)).ok()
}

fn read_output(fields: Fields<'_>, templates: &Templates, findings: &mut Findings) -> Option<Vec<(String, String)>> {
    let place = fields.at("output");
    let Some(object) = fields.get("output")?.as_object() else {
        findings.fault(place, "definition.type", "`output` is an object of names and expressions");
        return None;
    };
    let mut output = Vec::new();
    for (name, expression) in object {
        let place = pointer(&place, name);
        match expression.as_str() {
            None => findings.fault(place, "definition.type", "an output is an expression, written as text"),
            Some(source) => match templates.check_expression(source) {
                Ok(_) => output.push((name.clone(), source.to_owned())),
                Err(why) => findings.fault(place, "definition.expression", format!("does not parse: {why}")),
            },
        }
    }
    Some(output)
}

fn warn_of_unknown_names(workflow: &Workflow, known: &Known, findings: &mut Findings) {
    use super::StepKind;

    for step in &workflow.steps {
        if let StepKind::Agent(agent) = &step.kind {
            for (position, tool) in
                agent.tools.iter().enumerate().filter(|(_, tool)| !known.tools.contains(&tool.tool_name))
            {
                let detail =
                    format!("there is no `{}` yet; the agent is not offered it while that is so", tool.tool_name);
                let place = pointer(&pointer(&step.pointer, "tools"), position);
                findings.warn(place, "definition.unknown_name", detail);
            }
        }
        let (is_known, field, name) = match &step.kind {
            StepKind::Agent(agent) => (known.agents.contains(&agent.agent_id), "agentId", agent.agent_id.clone()),
            StepKind::Tool(tool) => (known.tools.contains(&tool.tool_name), "toolName", tool.tool_name.clone()),
            StepKind::Condition(super::Condition { evaluator: Some(evaluator), .. }) => {
                (known.evaluators.contains(evaluator), "evaluator", evaluator.clone())
            }
            StepKind::Workflow(child) => {
                (known.workflows.contains(&child.workflow_id), "workflowId", child.workflow_id.to_string())
            }
            _ => continue,
        };
        if !is_known {
            let detail = format!("there is no `{name}` yet; a run that comes here fails while that is so");
            findings.warn(pointer(&step.pointer, field), "definition.unknown_name", detail);
        }
    }
}

/// What every `outputVar` must be.
pub(super) fn check_variable_name(name: &str, place: String, findings: &mut Findings) {
    if let Err(why) = variable_name(name) {
        findings.fault(place, "definition.variable_name", why);
    }
}

/// Whether a text can be the name of a variable, one that an expression can read and that is nobody else's, or why not.
///
/// # Errors
/// What such a name is, for people.
pub fn variable_name(name: &str) -> Result<(), String> {
    let mut letters = name.chars();
    let starts_well = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !letters.all(|c| c.is_ascii_alphanumeric() || c == '_') || name.len() > 64 {
        return Err(format!("`{name}` cannot be a variable: 1 to 64 letters, digits and `_`, no digit first"));
    }
    if RESERVED_NAMES.contains(&name) {
        return Err(format!("`{name}` has a meaning of its own"));
    }
    Ok(())
}
