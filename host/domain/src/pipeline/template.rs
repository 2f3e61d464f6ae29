//! Pipelines with blanks in them: a document of named ones, checked whole, and filled in before a run of one starts.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{Origin, PIPELINE_INPUT_CHARS_MAX, PIPELINE_STAGES_MAX, Pipeline, STAGE_SUFFIX_CHARS_MAX, Stage};
use crate::agent::{AGENT_ID_CHARS_MAX, is_kebab_case};
use crate::definition::variable_name;
use crate::fault::{FAULTS_MAX, Fault, pointer};
use crate::json::kind_of;
use crate::template::{Scope, Templates};

/// Pipeline templates of one document: a catalogue that people still read.
pub const PIPELINE_TEMPLATES_MAX: usize = 100;
/// Variables of one template.
pub const TEMPLATE_VARIABLES_MAX: usize = 50;
/// Characters of the value of a variable that is text.
pub const TEMPLATE_VARIABLE_CHARS_MAX: usize = 10_000;
/// Characters of a template's name.
const NAME_CHARS_MAX: usize = 64;
/// Characters of a description.
const DESCRIPTION_CHARS_MAX: usize = 1_000;

/// A pipeline with blanks in it.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineTemplate {
    /// Kebab-case, unique among its document's.
    pub name: String,
    /// What it is good for.
    pub description: String,
    /// The stages; a suffix is a template over the variables.
    pub stages: Vec<Stage>,
    /// The blanks, in the order written.
    pub variables: Vec<Variable>,
    /// What to try it with.
    pub example: Option<Example>,
}

/// A blank.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    /// By what suffixes name it.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What it is where nobody says.
    pub default: Option<Value>,
    /// Whether somebody must say. One that nobody must fill and that has no default is empty text.
    pub required: bool,
}

/// What to try a template with.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// What the pipeline works on.
    pub input: String,
    /// Values of variables.
    pub variables: Map<String, Value>,
}

impl PipelineTemplate {
    /// Reads a document of templates: `{ "templates": [ … ] }`.
    ///
    /// # Errors
    /// Every fault at once, up to [`FAULTS_MAX`], with pointers into the document.
    pub fn read_all(document: &Value, templates: &Templates) -> Result<Vec<Self>, Vec<Fault>> {
        let mut reader = Reader { templates, faults: Vec::new() };
        let read = reader.read_document(document);
        reader.faults.truncate(FAULTS_MAX);
        if reader.faults.is_empty() { Ok(read) } else { Err(reader.faults) }
    }

    /// The pipeline that it is with these values, for this input. What is rendered here is never rendered again.
    ///
    /// # Errors
    /// Every fault of `given`, at most [`FAULTS_MAX`], with pointers into a body that has it as `variables`: unknown and missing
    /// variables by name, values that cannot be one.
    pub fn fill(
        &self,
        input: String,
        given: &Map<String, Value>,
        templates: &Templates,
    ) -> Result<Pipeline, Vec<Fault>> {
        let mut faults = self.faults_of(given, "/variables");
        faults.truncate(FAULTS_MAX);
        if !faults.is_empty() {
            return Err(faults);
        }
        let value_of = |variable: &Variable| {
            let given = given.get(&variable.name).or(variable.default.as_ref());
            given.cloned().unwrap_or_else(|| Value::String(String::new()))
        };
        let scope: Scope = self.variables.iter().map(|one| (one.name.clone(), value_of(one))).collect();
        let mut stages = Vec::new();
        for (index, stage) in self.stages.iter().enumerate() {
            let suffix = stage.system_prompt_suffix.as_ref().map(|suffix| templates.render(suffix, &scope)).transpose();
            match suffix {
                Ok(system_prompt_suffix) => {
                    stages.push(Stage { agent_id: stage.agent_id.clone(), system_prompt_suffix });
                }
                Err(error) => {
                    let detail = format!("stage {} of `{}`: {error}", index + 1, self.name);
                    faults.push(Fault::new("/variables", "pipeline_template.not_rendered", detail));
                }
            }
        }
        if faults.is_empty() { Ok(Pipeline { origin: Origin::Pipeline, input, stages }) } else { Err(faults) }
    }

    /// What is wrong with values that stand at `place`.
    fn faults_of(&self, given: &Map<String, Value>, place: &str) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (name, value) in given {
            let place = pointer(place, name);
            if !self.variables.iter().any(|variable| variable.name == *name) {
                let names: Vec<_> = self.variables.iter().map(|variable| format!("`{}`", variable.name)).collect();
                let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                let detail = format!("`{}` has no variable `{name}`; it has {known}", self.name);
                faults.push(Fault::new(place, "pipeline_template.unknown_variable", detail));
            } else if let Some(wrong) = value_fault(value) {
                faults.push(Fault::new(place, "pipeline_template.variable_value", format!("`{name}` {wrong}")));
            }
        }
        for variable in self.variables.iter().filter(|one| one.required && !given.contains_key(&one.name)) {
            let detail = format!("`{}` needs a value for its variable `{}`", self.name, variable.name);
            faults.push(Fault::new(pointer(place, &variable.name), "pipeline_template.missing_variable", detail));
        }
        faults
    }
}

/// Why a value cannot be a variable's.
fn value_fault(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.chars().count() > TEMPLATE_VARIABLE_CHARS_MAX => {
            Some(format!("has at most {TEMPLATE_VARIABLE_CHARS_MAX} characters"))
        }
        Value::String(_) | Value::Number(_) | Value::Bool(_) => None,
        other => Some(format!("is text, a number, or true or false, and not {}", kind_of(other))),
    }
}

struct Reader<'a> {
    templates: &'a Templates,
    faults: Vec<Fault>,
}

/// One object of the document, and where it stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    fields: &'a Map<String, Value>,
    at: &'a str,
}

impl Reader<'_> {
    fn fault(&mut self, place: impl Into<String>, what: &str, detail: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault::new(place, format!("pipeline_template.{what}"), detail));
        }
    }

    fn read_document(&mut self, document: &Value) -> Vec<PipelineTemplate> {
        let Some(document) = self.object(document, "", &["templates"]) else { return Vec::new() };
        let Some(list) = self.required_list(document, "templates", PIPELINE_TEMPLATES_MAX) else { return Vec::new() };
        let mut names = HashSet::new();
        let mut read = Vec::new();
        for (index, one) in list.iter().enumerate() {
            let at = format!("/templates/{index}");
            let Some(template) = self.read_template(one, &at) else { continue };
            if !names.insert(template.name.clone()) {
                let detail = format!("there is a template `{}` above already", template.name);
                self.fault(format!("{at}/name"), "duplicate_name", detail);
            }
            read.push(template);
        }
        read
    }

    fn read_template(&mut self, value: &Value, at: &str) -> Option<PipelineTemplate> {
        let place = self.object(value, at, &["name", "description", "stages", "variables", "example"])?;
        let name = self.required_text(place, "name", NAME_CHARS_MAX);
        if name.as_deref().is_some_and(|name| !is_kebab_case(name)) {
            self.fault(pointer(at, "name"), "name", "a name is words of a to z and 0 to 9, joined by single hyphens");
        }
        let description = self.required_text(place, "description", DESCRIPTION_CHARS_MAX);
        let variables = self.read_variables(place);
        let stages = self.read_stages(place, &variables);
        let faults_before = self.faults.len();
        let example = self.read_example(place);
        let template = PipelineTemplate { name: name?, description: description?, stages, variables, example };
        if let Some(example) = template.example.as_ref().filter(|_| self.faults.len() == faults_before) {
            let faults = template.faults_of(&example.variables, &pointer(&pointer(at, "example"), "variables"));
            self.faults.extend(faults);
        }
        Some(template)
    }

    fn read_stages(&mut self, place: Place<'_>, variables: &[Variable]) -> Vec<Stage> {
        let Some(list) = self.required_list(place, "stages", PIPELINE_STAGES_MAX) else { return Vec::new() };
        let mut stages = Vec::new();
        for (index, stage) in list.iter().enumerate() {
            let at = pointer(&pointer(place.at, "stages"), index);
            let Some(stage) = self.object(stage, &at, &["agentId", "systemPromptSuffix"]) else { continue };
            let agent_id = self.required_text(stage, "agentId", AGENT_ID_CHARS_MAX);
            if agent_id.as_deref().is_some_and(|id| !is_kebab_case(id)) {
                let detail = "an agent's id is words of a to z and 0 to 9, joined by single hyphens";
                self.fault(pointer(&at, "agentId"), "agent_id", detail);
            }
            let system_prompt_suffix = self.text(stage, "systemPromptSuffix", STAGE_SUFFIX_CHARS_MAX);
            if let Some(suffix) = &system_prompt_suffix {
                self.check_suffix(suffix, &pointer(&at, "systemPromptSuffix"), variables);
            }
            stages.extend(agent_id.map(|agent_id| Stage { agent_id, system_prompt_suffix }));
        }
        stages
    }

    fn check_suffix(&mut self, suffix: &str, at: &str, variables: &[Variable]) {
        match self.templates.check_template(suffix) {
            Err(why) => self.fault(at, "template", format!("does not parse: {why}")),
            Ok(names) => {
                let mut unknown: Vec<_> =
                    names.iter().filter(|name| !variables.iter().any(|variable| variable.name == **name)).collect();
                unknown.sort();
                for name in unknown {
                    let detail = format!("`{name}` is none of the template's `variables`");
                    self.fault(at, "undeclared_variable", detail);
                }
            }
        }
    }

    fn read_variables(&mut self, place: Place<'_>) -> Vec<Variable> {
        let Some(value) = place.fields.get("variables") else { return Vec::new() };
        let at = pointer(place.at, "variables");
        let Some(fields) = value.as_object() else {
            self.fault(at, "type", "`variables` is a mapping from names to what is to be known of each");
            return Vec::new();
        };
        if fields.len() > TEMPLATE_VARIABLES_MAX {
            self.fault(&at, "too_many", format!("a template has at most {TEMPLATE_VARIABLES_MAX} variables"));
        }
        let mut variables = Vec::new();
        for (name, value) in fields.iter().take(TEMPLATE_VARIABLES_MAX) {
            let at = pointer(&at, name);
            if let Err(why) = variable_name(name) {
                self.fault(&at, "variable_name", why);
            }
            // A name with nothing after it is a variable that must be given.
            let none = Map::new();
            let place = match value {
                Value::Null => Some(Place { fields: &none, at: &at }),
                other => self.object(other, &at, &["description", "default", "required"]),
            };
            variables.extend(place.map(|place| self.read_variable(place, name)));
        }
        variables
    }

    fn read_variable(&mut self, place: Place<'_>, name: &str) -> Variable {
        let description = self.text(place, "description", DESCRIPTION_CHARS_MAX);
        let default = place.fields.get("default").filter(|default| !default.is_null()).cloned();
        if let Some(wrong) = default.as_ref().and_then(value_fault) {
            self.fault(pointer(place.at, "default"), "variable_value", format!("`default` {wrong}"));
        }
        let required = match place.fields.get("required") {
            None => default.is_none(),
            Some(Value::Bool(true)) if default.is_some() => {
                let detail = "a variable that has a `default` is never missing, so it is not `required`";
                self.fault(pointer(place.at, "required"), "required", detail);
                true
            }
            Some(Value::Bool(required)) => *required,
            Some(_) => {
                self.fault(pointer(place.at, "required"), "type", "`required` is true or false");
                false
            }
        };
        Variable { name: name.to_owned(), description, default, required }
    }

    fn read_example(&mut self, place: Place<'_>) -> Option<Example> {
        let value = place.fields.get("example")?;
        let at = pointer(place.at, "example");
        let place = self.object(value, &at, &["input", "variables"])?;
        let input = self.required_text(place, "input", PIPELINE_INPUT_CHARS_MAX);
        let variables = match place.fields.get("variables") {
            None => Map::new(),
            Some(Value::Object(variables)) => variables.clone(),
            Some(_) => {
                self.fault(pointer(&at, "variables"), "type", "`variables` is a mapping from names to values");
                Map::new()
            }
        };
        Some(Example { input: input?, variables })
    }

    fn object<'v>(&mut self, value: &'v Value, at: &'v str, known: &[&str]) -> Option<Place<'v>> {
        let Some(fields) = value.as_object() else {
            let names: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
            let detail = format!("expected a mapping with {}, not {}", names.join(", "), kind_of(value));
            self.fault(at, "type", detail);
            return None;
        };
        for key in fields.keys().filter(|key| !known.contains(&key.as_str())) {
            let names: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
            let detail = format!("there is no field `{key}` here; there are {}", names.join(", "));
            self.fault(pointer(at, key), "unknown_field", detail);
        }
        Some(Place { fields, at })
    }

    fn required_list<'v>(&mut self, place: Place<'v>, key: &str, most: usize) -> Option<&'v [Value]> {
        let at = pointer(place.at, key);
        match place.fields.get(key) {
            None => self.fault(place.at, "missing", format!("`{key}` is missing")),
            Some(Value::Array(list)) if (1..=most).contains(&list.len()) => return Some(list),
            Some(Value::Array(list)) => {
                self.fault(at, "length", format!("`{key}` has 1 to {most} entries, and this one {}", list.len()));
            }
            Some(other) => self.fault(at, "type", format!("`{key}` is a list, not {}", kind_of(other))),
        }
        None
    }

    fn required_text(&mut self, place: Place<'_>, key: &str, chars_max: usize) -> Option<String> {
        if !place.fields.contains_key(key) {
            self.fault(place.at, "missing", format!("`{key}` is missing"));
        }
        self.text(place, key, chars_max)
    }

    fn text(&mut self, place: Place<'_>, key: &str, chars_max: usize) -> Option<String> {
        let value = place.fields.get(key)?;
        let wrong = match value.as_str().map(|text| (text, text.chars().count())) {
            Some((text, 1..)) if text.chars().count() <= chars_max => return Some(text.to_owned()),
            Some((_, 0)) => "is empty".to_owned(),
            Some((_, chars)) => format!("has at most {chars_max} characters, and this one {chars}"),
            None => format!("is text, not {}", kind_of(value)),
        };
        self.fault(pointer(place.at, key), "text", format!("`{key}` {wrong}"));
        None
    }
}
