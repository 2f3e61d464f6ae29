//! Reads steps and lists of steps into the arenas; names of other steps are kept for later, when all of them are known.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::check::check_variable_name;
use super::fields::{Fields, Findings, kind_of};
use super::{
    AgentStep, Branch, Condition, List, ListIndex, NESTING_MAX, OnError, OnFailure, Parallel, STEP_ID_CHARS_MAX,
    STEPS_MAX, Step, StepIndex, StepKind, Target, ToolStep,
};
use crate::fault::pointer;
use crate::json::{JSON_DEPTH_MAX, is_too_deep};
use crate::retry::RetryPolicy;
use crate::template::{Templates, count_templates, has_code};

const COMMON: [&str; 8] = ["type", "id", "name", "when", "next", "timeout", "retry", "onError"];
const NOT_YET: [&str; 9] = ["switch", "forEach", "loop", "set", "wait", "approval", "workflow", "return", "fail"];

/// Bytes of a key in `params`: keys stand in the pointer of everything below them.
const PARAM_KEY_BYTES_MAX: usize = 256;

/// Strings with templates in the `params` of one step: each may take as long as a template may.
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
    Then,
    Else,
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
    read: Read,
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

    fn new_list(&mut self) -> ListIndex {
        self.read.lists.push(List::default());
        self.read.lists.len() - 1
    }

    fn read_step(&mut self, value: &Value, place: &str, list: ListIndex, depth: usize) -> Option<StepIndex> {
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
            self.read.steps[index].kind = kind;
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
            retry: self.default_retry.clone(),
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
            "parallel" => Some(StepKind::Parallel(self.read_parallel(fields, depth))),
            other => {
                let (code, detail) = if NOT_YET.contains(&other) {
                    ("definition.unsupported", format!("`{other}` steps are not supported by this version"))
                } else {
                    let detail = format!("no step is a `{other}`; there are `agent`, `tool`, `condition`, `parallel`");
                    ("definition.step_type", detail)
                };
                self.findings.fault(fields.at("type"), code, detail);
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
        step.timeout = timeout;
        step.retry = retry.or(step.retry.take());
    }

    fn read_agent(&mut self, fields: Fields<'_>, index: StepIndex) -> Option<AgentStep> {
        let own = ["outputVar", "agentId", "message", "systemPromptSuffix"];
        let not_yet = ["model", "outputSchema", "tools"];
        fields.only(&[&COMMON, &own, &not_yet], "an agent step", self.findings);
        fields.not_yet(&not_yet, self.findings);
        let agent_id = fields.required_text("agentId", self.findings);
        let message = fields.required_text("message", self.findings);
        let suffix = fields.text("systemPromptSuffix", self.findings);
        for (key, source) in [("message", message), ("systemPromptSuffix", suffix)] {
            if let Some(source) = source {
                self.check_template(source, fields.at(key), index);
            }
        }
        Some(AgentStep {
            agent_id: agent_id?.to_owned(),
            message: message?.to_owned(),
            system_prompt_suffix: suffix.map(str::to_owned),
        })
    }

    fn read_tool(&mut self, fields: Fields<'_>, index: StepIndex) -> Option<ToolStep> {
        fields.only(
            &[&COMMON, &["outputVar", "toolName", "params", "plugin", "version"]],
            "a tool step",
            self.findings,
        );
        let tool_name = fields.required_text("toolName", self.findings);
        let version = fields.whole_number("version", 1, i32::MAX as u64, self.findings).map(|version| version as i32);
        let plugin = fields.text("plugin", self.findings).map(str::to_owned);
        let params = match fields.get("params") {
            None => Value::Object(Map::new()),
            Some(params @ Value::Object(_)) => params.clone(),
            Some(other) => {
                let detail = format!("`params` is an object, not {}", kind_of(other));
                self.findings.fault(fields.at("params"), "definition.type", detail);
                return None;
            }
        };
        self.check_params(&params, &fields.at("params"), index);
        Some(ToolStep { tool_name: tool_name?.to_owned(), params, plugin, version })
    }

    fn read_condition(&mut self, fields: Fields<'_>, index: StepIndex, depth: usize) -> Option<Condition> {
        fields.only(&[&COMMON, &["outputVar", "expr", "then", "else", "evaluator"]], "a condition", self.findings);
        let expr = fields.required_text("expr", self.findings);
        let evaluator = fields.text("evaluator", self.findings).map(str::to_owned);
        if let (Some(expr), None) = (expr, &evaluator) {
            self.check_expression(expr, fields.at("expr"), index);
        }
        if fields.get("then").is_none() && fields.get("else").is_none() {
            self.findings.fault(fields.at("then"), "definition.missing", "a condition has `then`, `else` or both");
        }
        let then = self.read_target(fields, "then", Slot::Then, index, depth);
        let otherwise = self.read_target(fields, "else", Slot::Else, index, depth);
        Some(Condition { expr: expr?.to_owned(), evaluator, then, otherwise })
    }

    fn read_target(&mut self, fields: Fields<'_>, key: &str, slot: Slot, step: StepIndex, depth: usize) -> Target {
        let place = fields.at(key);
        match fields.get(key) {
            None => Target::Onward,
            Some(Value::String(name)) => {
                self.name_target(step, slot, name, place);
                Target::Steps(Vec::new())
            }
            Some(Value::Array(names)) if !names.is_empty() && names.iter().all(Value::is_string) => {
                for (position, name) in names.iter().enumerate() {
                    self.name_target(step, slot, name.as_str().unwrap_or_default(), pointer(&place, position));
                }
                Target::Steps(Vec::new())
            }
            Some(block @ Value::Array(_)) => Target::Block(self.read_list(block, &place, depth + 1)),
            Some(other) => {
                let detail =
                    format!("`{key}` is a step id, an array of step ids or an array of steps, not {}", kind_of(other));
                self.findings.fault(place, "definition.type", detail);
                Target::Onward
            }
        }
    }

    fn read_parallel(&mut self, fields: Fields<'_>, depth: usize) -> Parallel {
        fields.only(
            &[&COMMON, &["outputVar", "steps", "maxConcurrency", "onFailure"]],
            "a parallel step",
            self.findings,
        );
        let place = fields.at("steps");
        let mut branches = Vec::new();
        match fields.get("steps") {
            Some(Value::Array(elements)) if !elements.is_empty() => {
                for (position, element) in elements.iter().enumerate() {
                    let place = pointer(&place, position);
                    let list = if element.is_array() {
                        self.read_list(element, &place, depth + 1)
                    } else {
                        let list = self.new_list();
                        self.read_step(element, &place, list, depth + 1);
                        list
                    };
                    let first = self.read.lists[list].steps.first();
                    let id = first.map(|step| self.read.steps[*step].id.clone()).unwrap_or_default();
                    branches.push(Branch { id, list });
                }
            }
            _ => self.findings.fault(place, "definition.missing", "`steps` is an array of at least one branch"),
        }
        let max_concurrency =
            fields.whole_number("maxConcurrency", 1, STEPS_MAX as u64, self.findings).map(|n| n as usize);
        let on_failure = match fields.text("onFailure", self.findings) {
            None | Some("failFast") => OnFailure::FailFast,
            Some("waitAll") => OnFailure::WaitAll,
            Some(_) => {
                let detail = "`onFailure` is `failFast` or `waitAll`";
                self.findings.fault(fields.at("onFailure"), "definition.value", detail);
                OnFailure::FailFast
            }
        };
        Parallel { branches, max_concurrency, on_failure }
    }

    fn name_target(&mut self, step: StepIndex, slot: Slot, name: &str, place: String) {
        self.read.targets.push(NamedTarget { step, slot, name: name.to_owned(), place });
    }

    fn check_expression(&mut self, source: &str, place: String, step: StepIndex) {
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

    fn check_template(&mut self, source: &str, place: String, step: StepIndex) {
        match self.templates.check_template(source) {
            Ok(names) => self.note_reads(step, place, names),
            Err(why) => self.findings.fault(place, "definition.template", format!("does not parse: {why}")),
        }
    }

    fn check_params(&mut self, params: &Value, place: &str, step: StepIndex) {
        let templates = count_templates(params);
        if is_too_deep(params) || templates > PARAM_TEMPLATES_MAX {
            let detail = format!(
                "`params` nests at most {JSON_DEPTH_MAX} deep and has at most {PARAM_TEMPLATES_MAX} strings with templates"
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
