//! Steps that move control: they choose, repeat, run side by side, set variables, or end the run.

use serde_json::Value;

use super::check::check_variable_name;
use super::fields::{Fields, kind_of};
use super::step::{COMMON, Reader, Slot};
use super::{
    Assigned, Branch, Case, Condition, FAIL_CODE_CHARS_MAX, FOR_EACH_CONCURRENCY_MAX, FailStep, ForEach,
    LOOP_ITERATIONS_MAX, ListIndex, Loop, LoopTest, OnFailure, Parallel, STEPS_MAX, SWITCH_CASES_MAX, StepIndex,
    Switch, Target,
};
use crate::fault::pointer;
use crate::template::has_code;

/// Variables that one `set` step sets: each may take as long as an expression may.
const SET_VARS_MAX: usize = 100;

impl Reader<'_> {
    pub(super) fn read_condition(&mut self, fields: Fields<'_>, index: StepIndex, depth: usize) -> Option<Condition> {
        fields.only(&[&COMMON, &["outputVar", "expr", "then", "else", "evaluator"]], "a condition", self.findings);
        let expr = fields.required_text("expr", self.findings);
        let evaluator = fields.text("evaluator", self.findings).map(str::to_owned);
        if let (Some(expr), None) = (expr, &evaluator) {
            self.check_expression(expr, fields.at("expr"), index);
        }
        if fields.get("then").is_none() && fields.get("else").is_none() {
            self.findings.fault(fields.at("then"), "definition.missing", "a condition has `then`, `else` or both");
        }
        let then = self.read_target(fields, "then", 0, index, depth);
        let otherwise = self.read_target(fields, "else", 1, index, depth);
        Some(Condition { expr: expr?.to_owned(), evaluator, then, otherwise })
    }

    fn read_target(&mut self, fields: Fields<'_>, key: &str, way: usize, step: StepIndex, depth: usize) -> Target {
        let place = fields.at(key);
        match fields.get(key) {
            None => Target::Onward,
            Some(Value::String(name)) => {
                self.name_target(step, Slot::Way(way), name, place);
                Target::Steps(Vec::new())
            }
            Some(Value::Array(names)) if !names.is_empty() && names.iter().all(Value::is_string) => {
                for (position, name) in names.iter().enumerate() {
                    self.name_target(
                        step,
                        Slot::Way(way),
                        name.as_str().unwrap_or_default(),
                        pointer(&place, position),
                    );
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

    pub(super) fn read_parallel(&mut self, fields: Fields<'_>, depth: usize) -> Parallel {
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
        let on_failure = self.read_on_failure(fields);
        Parallel { branches, max_concurrency, on_failure }
    }

    fn read_on_failure(&mut self, fields: Fields<'_>) -> OnFailure {
        match fields.text("onFailure", self.findings) {
            None | Some("failFast") => OnFailure::FailFast,
            Some("waitAll") => OnFailure::WaitAll,
            Some(_) => {
                let detail = "`onFailure` is `failFast` or `waitAll`";
                self.findings.fault(fields.at("onFailure"), "definition.value", detail);
                OnFailure::FailFast
            }
        }
    }

    pub(super) fn read_switch(&mut self, fields: Fields<'_>, index: StepIndex, depth: usize) -> Option<Switch> {
        fields.only(&[&COMMON, &["outputVar", "cases", "default"]], "a switch", self.findings);
        let place = fields.at("cases");
        let cases = match fields.get("cases") {
            Some(Value::Array(cases)) if (1..=SWITCH_CASES_MAX).contains(&cases.len()) => cases,
            _ => {
                let detail = format!("`cases` is an array of 1 to {SWITCH_CASES_MAX} cases");
                self.findings.fault(place, "definition.missing", detail);
                return None;
            }
        };
        let mut read = Vec::new();
        for (way, case) in cases.iter().enumerate() {
            let place = pointer(&place, way);
            let Some(object) = case.as_object() else {
                let detail = format!("a case is an object, not {}", kind_of(case));
                self.findings.fault(place, "definition.type", detail);
                continue;
            };
            let case = Fields { object, pointer: &place };
            case.only(&[&["when", "then"]], "a case", self.findings);
            let when = case.required_text("when", self.findings);
            if let Some(when) = when {
                self.check_expression(when, case.at("when"), index);
            }
            let then = self.read_target(case, "then", way, index, depth);
            read.push(Case { when: when.unwrap_or_default().to_owned(), then });
        }
        let default = self.read_target(fields, "default", cases.len(), index, depth);
        Some(Switch { cases: read, default })
    }

    pub(super) fn read_for_each(&mut self, fields: Fields<'_>, index: StepIndex, depth: usize) -> Option<ForEach> {
        let own = ["outputVar", "items", "as", "steps", "maxConcurrency", "onFailure"];
        fields.only(&[&COMMON, &own], "a forEach step", self.findings);
        let items = fields.required_text("items", self.findings);
        if let Some(items) = items {
            self.check_expression(items, fields.at("items"), index);
        }
        let item_name = fields.text("as", self.findings).unwrap_or("item");
        if item_name != "item" {
            check_variable_name(item_name, fields.at("as"), self.findings);
        }
        let list = self.read_body(fields, depth);
        let most = FOR_EACH_CONCURRENCY_MAX as u64;
        let max_concurrency = fields.whole_number("maxConcurrency", 1, most, self.findings).map_or(1, |n| n as usize);
        let on_failure = self.read_on_failure(fields);
        Some(ForEach {
            items: items?.to_owned(),
            item_name: item_name.to_owned(),
            list: list?,
            max_concurrency,
            on_failure,
        })
    }

    pub(super) fn read_loop(&mut self, fields: Fields<'_>, index: StepIndex, depth: usize) -> Option<Loop> {
        let own = ["outputVar", "steps", "while", "until", "maxIterations"];
        fields.only(&[&COMMON, &own], "a loop", self.findings);
        let (holds, ends) = (fields.text("while", self.findings), fields.text("until", self.findings));
        let (key, source) = match (holds, ends) {
            (Some(source), None) => ("while", source),
            (None, Some(source)) => ("until", source),
            _ => {
                let detail = "a loop has either `while` or `until`";
                self.findings.fault(fields.at("while"), "definition.missing", detail);
                ("while", "true")
            }
        };
        self.check_expression(source, fields.at(key), index);
        let test = if key == "while" { LoopTest::While(source.to_owned()) } else { LoopTest::Until(source.to_owned()) };
        let list = self.read_body(fields, depth);
        if fields.get("maxIterations").is_none() {
            self.findings.fault(fields.at("maxIterations"), "definition.missing", "`maxIterations` is missing");
        }
        let max_iterations = fields.whole_number("maxIterations", 1, LOOP_ITERATIONS_MAX.into(), self.findings)?;
        Some(Loop { list: list?, test, max_iterations: max_iterations as u32 })
    }

    fn read_body(&mut self, fields: Fields<'_>, depth: usize) -> Option<ListIndex> {
        let Some(steps) = fields.get("steps") else {
            self.findings.fault(fields.at("steps"), "definition.missing", "`steps` is missing");
            return None;
        };
        Some(self.read_list(steps, &fields.at("steps"), depth + 1))
    }

    pub(super) fn read_set(&mut self, fields: Fields<'_>, index: StepIndex) -> Option<Vec<(String, Assigned)>> {
        fields.only(&[&COMMON, &["outputVar", "vars"]], "a set step", self.findings);
        let place = fields.at("vars");
        let Some(object) = fields.get("vars").and_then(Value::as_object) else {
            let detail = "`vars` is an object of names and expressions, templates or values";
            self.findings.fault(place, "definition.type", detail);
            return None;
        };
        if object.len() > SET_VARS_MAX {
            let detail = format!("`vars` sets at most {SET_VARS_MAX} variables");
            self.findings.fault(&place, "definition.too_large", detail);
            return None;
        }
        let mut vars = Vec::new();
        for (name, value) in object {
            let place = pointer(&place, name);
            check_variable_name(name, place.clone(), self.findings);
            let assigned = match value {
                Value::String(source) if !has_code(source) => {
                    self.check_expression(source, place, index);
                    Assigned::Expression(source.clone())
                }
                // A brace opens a template only before another sign; alone it begins an expression that is an object.
                Value::String(source) if !["{{", "{%", "{#"].iter().any(|tag| source.contains(tag)) => {
                    self.check_expression(source, place, index);
                    Assigned::Expression(source.clone())
                }
                value => {
                    self.check_deep(value, &place, index);
                    Assigned::Value(value.clone())
                }
            };
            vars.push((name.clone(), assigned));
        }
        Some(vars)
    }

    pub(super) fn read_return(&mut self, fields: Fields<'_>, index: StepIndex) -> Option<Vec<(String, String)>> {
        fields.only(&[&COMMON, &["output"]], "a return step", self.findings);
        let place = fields.at("output");
        let Some(object) = fields.get("output")?.as_object() else {
            self.findings.fault(place, "definition.type", "`output` is an object of names and expressions");
            return None;
        };
        let mut output = Vec::new();
        for (name, expression) in object {
            let place = pointer(&place, name);
            match expression.as_str() {
                None => self.findings.fault(place, "definition.type", "an output is an expression, written as text"),
                Some(source) => {
                    self.check_expression(source, place, index);
                    output.push((name.clone(), source.to_owned()));
                }
            }
        }
        Some(output)
    }

    pub(super) fn read_fail(&mut self, fields: Fields<'_>, index: StepIndex) -> Option<FailStep> {
        fields.only(&[&COMMON, &["message", "code"]], "a fail step", self.findings);
        let message = fields.required_text("message", self.findings)?;
        self.check_template(message, fields.at("message"), index);
        let code = fields.text("code", self.findings).unwrap_or("run.failed");
        let letters = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if code.is_empty() || code.len() > FAIL_CODE_CHARS_MAX || !code.chars().all(letters) {
            let detail = format!("`code` is 1 to {FAIL_CODE_CHARS_MAX} of A-Z a-z 0-9 . _ -");
            self.findings.fault(fields.at("code"), "definition.value", detail);
        }
        Some(FailStep { message: message.to_owned(), code: code.to_owned() })
    }
}
