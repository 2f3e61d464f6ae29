//! Reads steps and lists of steps into the arenas; names of other steps are kept for later, when all of them are known.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::check::check_variable_name;
use super::fields::{Fields, Findings, kind_of};
use super::{List, ListIndex, NESTING_MAX, OnError, STEP_ID_CHARS_MAX, STEPS_MAX, Step, StepIndex, StepKind, ToolStep};
use crate::fault::pointer;
use crate::json::{JSON_DEPTH_MAX, is_too_deep};
use crate::retry::RetryPolicy;
use crate::template::{Templates, count_templates, has_code};

/// What every step may have.
pub(super) const COMMON: [&str; 9] =
    ["type", "id", "name", "when", "next", "timeout", "totalTimeout", "retry", "onError"];
const TYPES: &str = "`agent`, `tool`, `condition`, `switch`, `parallel`, `forEach`, `loop`, `set`, `wait`, `approval`, \
                     `workflow`, `return`, `fail`";

/// Bytes of a key in `params`: keys stand in the pointer of everything below them.
const PARAM_KEY_BYTES_MAX: usize = 256;

/// Strings with templates in one value: each may take as long as a template may.
const PARAM_TEMPLATES_MAX: usize = 100;

/// A name of a step in a place that wants one.
#[derive(Debug)]
pub(super) struct NamedTarget {
    pub(super) step: StepIndex,
    pub(super) slot: Slot,
    pub(super) name: String,
    pub(super) place: String,
}

/// The places of a step that name other steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Next,
    OnError,
    /// One of the ways of a condition or a switch, by [`StepKind::targets`].
    Way(usize),
}

/// The variables that a place of a step reads.
#[derive(Debug)]
pub(super) struct Reads {
    pub(super) step: StepIndex,
    pub(super) place: String,
    pub(super) names: HashSet<String>,
}

/// Everything that reading gave.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) steps: Vec<Step>,
    pub(super) lists: Vec<List>,
    pub(super) targets: Vec<NamedTarget>,
    pub(super) reads: Vec<Reads>,
}

pub(super) struct Reader<'a> {
    templates: &'a Templates,
    default_retry: Option<RetryPolicy>,
    pub(super) findings: &'a mut Findings,
    pub(super) read: Read,
    /// Where each id was written first.
    ids: HashMap<String, String>,
    too_many: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        templates: &'a Templates,
        default_retry: Option<RetryPolicy>,
        findings: &'a mut Findings,
    ) -> Self {
        Self { templates, default_retry, findings, read: Read::default(), ids: HashMap::new(), too_many: false }
    }

    pub(super) fn finish(self) -> Read {
        let mut read = self.read;
        if read.lists.is_empty() {
            read.lists.push(List::default());
        }
        read
    }

    /// Reads an array of steps as a list of its own.
    pub(super) fn read_list(&mut self, value: &Value, place: &str, depth: usize) -> ListIndex {
        let list = self.new_list();
        let Some(steps) = value.as_array() else {
            let detail = format!("expected an array of steps, not {}", kind_of(value));
            self.findings.fault(place, "definition.type", detail);
            return list;
        };
        if steps.is_empty() {
            self.findings.fault(place, "definition.empty", "a list of steps has at least one step");
        }
        for (position, step) in steps.iter().enumerate() {
            self.read_step(step, &pointer(place, position), list, depth);
        }
        list
    }

    pub(super) fn new_list(&mut self) -> ListIndex {
        self.read.lists.push(List::default());
        self.read.lists.len() - 1
    }

    pub(super) fn read_step(&mut self, value: &Value, place: &str, list: ListIndex, depth: usize) -> Option<StepIndex> {
        let Some(object) = value.as_object() else {
            self.findings.fault(place, "definition.type", format!("a step is an object, not {}", kind_of(value)));
            return None;
        };
        if self.read.steps.len() >= STEPS_MAX || depth > NESTING_MAX {
            if !std::mem::replace(&mut self.too_many, true) {
                let detail = format!("at most {STEPS_MAX} steps in all, nested at most {NESTING_MAX} deep");
                self.findings.fault(place, "definition.too_large", detail);
            }
            return None;
        }
        let fields = Fields { object, pointer: place };
        let id = self.read_id(fields);
        let index = self.reserve(id, place, list);
        let kind = self.read_kind(fields, index, depth);
        self.read_common(fields, index);
        if let Some(kind) = kind {
            let step = &mut self.read.steps[index];
            if matches!(kind, StepKind::Agent(_) | StepKind::Tool(_) | StepKind::Condition(_)) && step.retry.is_none() {
                step.retry.clone_from(&self.default_retry);
            }
            step.kind = kind;
        }
        Some(index)
    }

    /// Takes the step's place before its nested lists are read, so that steps keep the order of the document.
    fn reserve(&mut self, id: String, place: &str, list: ListIndex) -> StepIndex {
        let index = self.read.steps.len();
        let position = self.read.lists[list].steps.len();
        self.read.lists[list].steps.push(index);
        self.read.steps.push(Step {
            id,
            name: None,
            pointer: place.to_owned(),
            list,
            position,
            is_branch_step: false,
            when: None,
            next: None,
            output_var: None,
            timeout: None,
            total_timeout: None,
            retry: None,
            on_error: OnError::Fail,
            kind: StepKind::Tool(ToolStep {
                tool_name: String::new(),
                params: Value::Null,
                plugin: None,
                version: None,
            }),
        });
        index
    }

    fn read_id(&mut self, fields: Fields<'_>) -> String {
        let Some(id) = fields.required_text("id", self.findings) else { return String::new() };
        let place = fields.at("id");
        let fits =
            id.len() <= STEP_ID_CHARS_MAX && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !fits {
            let detail = format!("`{id}` cannot be a step id: 1 to {STEP_ID_CHARS_MAX} of A-Z a-z 0-9 _ -");
            self.findings.fault(place, "definition.step_id", detail);
        } else if let Some(first) = self.ids.get(id) {
            let detail = format!("`{id}` is already the id of the step at {first}");
            self.findings.fault(place, "definition.duplicate_id", detail);
        } else {
            self.ids.insert(id.to_owned(), fields.pointer.to_owned());
        }
        id.to_owned()
    }

    fn read_kind(&mut self, fields: Fields<'_>, index: StepIndex, depth: usize) -> Option<StepKind> {
        let kind = fields.required_text("type", self.findings)?;
        match kind {
            "agent" => self.read_agent(fields, index).map(StepKind::Agent),
            "tool" => self.read_tool(fields, index).map(StepKind::Tool),
            "condition" => self.read_condition(fields, index, depth).map(StepKind::Condition),
            "switch" => self.read_switch(fields, index, depth).map(StepKind::Switch),
            "parallel" => Some(StepKind::Parallel(self.read_parallel(fields, depth))),
            "forEach" => self.read_for_each(fields, index, depth).map(StepKind::ForEach),
            "loop" => self.read_loop(fields, index, depth).map(StepKind::Loop),
            "set" => self.read_set(fields, index).map(StepKind::Set),
            "wait" => self.read_wait(fields, index).map(StepKind::Wait),
            "approval" => self.read_approval(fields, index).map(StepKind::Approval),
            "workflow" => self.read_workflow(fields, index).map(StepKind::Workflow),
            "return" => Some(StepKind::Return(self.read_return(fields, index))),
            "fail" => self.read_fail(fields, index).map(StepKind::Fail),
            other => {
                let detail = format!("no step is a `{other}`; there are {TYPES}");
                self.findings.fault(fields.at("type"), "definition.step_type", detail);
                None
            }
        }
    }

    fn read_common(&mut self, fields: Fields<'_>, index: StepIndex) {
        let name = fields.text("name", self.findings).map(str::to_owned);
        let when = fields.text("when", self.findings).map(str::to_owned);
        if let Some(when) = &when {
            self.check_expression(when, fields.at("when"), index);
        }
        let output_var = fields.text("outputVar", self.findings).map(str::to_owned);
        if let Some(variable) = &output_var {
            check_variable_name(variable, fields.at("outputVar"), self.findings);
        }
        let timeout = fields.duration("timeout", self.findings);
        let total_timeout = fields.duration("totalTimeout", self.findings);
        let retry = fields.retry(self.findings);
        if let Some(next) = fields.text("next", self.findings) {
            self.name_target(index, Slot::Next, next, fields.at("next"));
        }
        let on_error = match fields.text("onError", self.findings) {
            None | Some("fail") => OnError::Fail,
            Some("continue") => OnError::Continue,
            Some(step) => {
                self.name_target(index, Slot::OnError, step, fields.at("onError"));
                OnError::Fail
            }
        };
        let step = &mut self.read.steps[index];
        (step.name, step.when, step.output_var, step.on_error) = (name, when, output_var, on_error);
        (step.timeout, step.total_timeout) = (timeout, total_timeout);
        step.retry = retry;
    }

    pub(super) fn name_target(&mut self, step: StepIndex, slot: Slot, name: &str, place: String) {
        self.read.targets.push(NamedTarget { step, slot, name: name.to_owned(), place });
    }

    pub(super) fn check_expression(&mut self, source: &str, place: String, step: StepIndex) {
        match self.templates.check_expression(source) {
            Ok(names) => self.note_reads(step, place, names),
            Err(why) => self.findings.fault(place, "definition.expression", format!("does not parse: {why}")),
        }
    }

    /// Most strings read nothing, and a definition may have very many of them.
    fn note_reads(&mut self, step: StepIndex, place: String, names: HashSet<String>) {
        if !names.is_empty() {
            self.read.reads.push(Reads { step, place, names });
        }
    }

    pub(super) fn check_template(&mut self, source: &str, place: String, step: StepIndex) {
        match self.templates.check_template(source) {
            Ok(names) => self.note_reads(step, place, names),
            Err(why) => self.findings.fault(place, "definition.template", format!("does not parse: {why}")),
        }
    }

    /// Checks a value that may have templates in strings of any depth.
    pub(super) fn check_deep(&mut self, params: &Value, place: &str, step: StepIndex) {
        let templates = count_templates(params);
        if is_too_deep(params) || templates > PARAM_TEMPLATES_MAX {
            let detail = format!(
                "the value nests at most {JSON_DEPTH_MAX} deep and has at most {PARAM_TEMPLATES_MAX} strings with templates"
            );
            self.findings.fault(place, "definition.too_large", detail);
        } else if templates > 0 {
            self.check_templates_within(params, place, step);
        }
    }

    fn check_templates_within(&mut self, value: &Value, place: &str, step: StepIndex) {
        match value {
            Value::String(source) if has_code(source) => self.check_template(source, place.to_owned(), step),
            Value::Array(items) => {
                for (position, item) in items.iter().enumerate() {
                    self.check_templates_within(item, &pointer(place, position), step);
                }
            }
            Value::Object(fields) => {
                for (key, field) in fields {
                    if key.len() > PARAM_KEY_BYTES_MAX {
                        let detail = format!("a key of more than {PARAM_KEY_BYTES_MAX} bytes");
                        self.findings.fault(place, "definition.too_large", detail);
                    } else {
                        self.check_templates_within(field, &pointer(place, key), step);
                    }
                }
            }
            _ => {}
        }
    }
}
