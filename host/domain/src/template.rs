//! Templates and expressions: Jinja as `minijinja` implements it, under limits, without clock or chance.

mod bounds;
mod root;
mod write;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use minijinja::{AutoEscape, Environment, ErrorKind, Expression, UndefinedBehavior, Value as JinjaValue};
use serde_json::Value;

use crate::call::CallError;
use crate::json::is_too_deep;
use bounds::{Source, within_bounds};
use root::RootHandle;
use write::Bounded;

/// Instructions, and data in units of 64 bytes, that one rendering may use: some milliseconds of work.
pub const TEMPLATE_FUEL_MAX: u64 = 200_000;
/// How deep loops may nest, those that call themselves included; far beyond any honest template.
pub const TEMPLATE_RECURSION_MAX: usize = 10;
/// Bytes that one rendering may write, all the parameters of a tool together, or all that a run answers.
pub const TEMPLATE_OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of the source of one template or expression; prose may be long.
pub const TEMPLATE_SOURCE_BYTES_MAX: usize = 256 * 1024;
/// Words and signs of the code of one template or expression, some 300 tags: what bounds the stack it can use.
pub const TEMPLATE_TOKENS_MAX: usize = 2_000;

/// The variables that an expression sees, by name. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    variables: BTreeMap<String, Arc<Value>>,
}

impl Scope {
    /// Sets or replaces a variable.
    pub fn set(&mut self, name: impl Into<String>, value: Arc<Value>) {
        self.variables.insert(name.into(), value);
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&Arc<Value>> {
        self.variables.get(name)
    }

    /// All variables as one JSON object, as an evaluator gets them.
    pub fn to_json(&self) -> Value {
        Value::Object(self.variables.iter().map(|(k, v)| (k.clone(), Value::clone(v))).collect())
    }
}

impl<K: Into<String>> FromIterator<(K, Value)> for Scope {
    fn from_iter<T: IntoIterator<Item = (K, Value)>>(variables: T) -> Self {
        Self { variables: variables.into_iter().map(|(k, v)| (k.into(), Arc::new(v))).collect() }
    }
}

/// Compiles and evaluates. One for the whole process: it holds the filters and tests, and no data.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    /// The names of its functions.
    brought_by_the_language: Arc<[String]>,
}

impl Default for Templates {
    fn default() -> Self {
        Self::new()
    }
}

impl Templates {
    /// The language of the workflow definition, section "Templates and expressions".
    pub fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_fuel(Some(TEMPLATE_FUEL_MAX));
        environment.set_recursion_limit(TEMPLATE_RECURSION_MAX);
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_formatter(write::write_value);
        environment.add_filter("tojson", write::tojson);
        // The one value that a template could change, and so put inside itself.
        environment.remove_global("namespace");
        // For people who debug a template of their own program; neither bounds what it writes.
        environment.remove_global("debug");
        environment.remove_filter("pprint");
        // Lazy: each of a row of them asks the one before it anew for every item.
        environment.remove_filter("chain");
        environment.remove_filter("zip");
        let brought_by_the_language = environment.globals().map(|(name, _)| name.to_owned()).collect();
        Self { environment, brought_by_the_language }
    }

    /// What is wrong with a template, or the root variables it reads.
    pub fn check_template(&self, source: &str) -> Result<HashSet<String>, String> {
        if let Some(expression) = sole_expression(source)
            && let Ok(variables) = self.check_expression(expression)
        {
            return Ok(variables);
        }
        within_bounds(source, Source::Template, || {
            let template = self.environment.template_from_str(source).map_err(|error| describe(&error))?;
            Ok(self.own(template.undeclared_variables(false)))
        })?
    }

    /// What is wrong with an expression, or the root variables it reads.
    pub fn check_expression(&self, source: &str) -> Result<HashSet<String>, String> {
        within_bounds(source, Source::Expression, || {
            let expression = self.environment.compile_expression(source).map_err(|error| describe(&error))?;
            Ok(self.own(expression.undeclared_variables(false)))
        })?
    }

    /// A template as text.
    ///
    /// # Errors
    /// `expr.unknown_variable` for a root variable that is not in scope, `expr.limit` past a bound, `expr.failed` otherwise.
    pub fn render(&self, source: &str, scope: &Scope) -> Result<String, CallError> {
        self.render_within(source, scope, &mut TEMPLATE_OUTPUT_BYTES_MAX.clone())
    }

    /// Every string of `value`, at any depth, rendered; one that is exactly one `{{ … }}` becomes that value, of any type. Keys
    /// stay as they are.
    ///
    /// # Errors
    /// As [`Templates::render`], and past a bound on all of it together.
    pub fn render_deep(&self, value: &Value, scope: &Scope) -> Result<Value, CallError> {
        self.render_deep_in(value, scope, &mut TEMPLATE_OUTPUT_BYTES_MAX.clone())
    }

    /// As [`Templates::render_deep`], in what is left of a bound that several values share.
    pub(crate) fn render_deep_in(&self, value: &Value, scope: &Scope, room: &mut usize) -> Result<Value, CallError> {
        let rendered = self.render_deep_within(value, scope, room)?;
        if is_too_deep(&rendered) { Err(write::too_deep()) } else { Ok(rendered) }
    }

    /// An expression's value as JSON; undefined is null.
    ///
    /// # Errors
    /// As [`Templates::render`].
    pub fn evaluate(&self, source: &str, scope: &Scope) -> Result<Value, CallError> {
        self.evaluate_within(source, scope, &mut TEMPLATE_OUTPUT_BYTES_MAX.clone())
    }

    /// Whether an expression holds, by Jinja's rule of truth: undefined, null, false, 0 and what is empty are false.
    ///
    /// # Errors
    /// As [`Templates::render`].
    pub fn holds(&self, source: &str, scope: &Scope) -> Result<bool, CallError> {
        self.evaluate_to(source, scope, |value| Ok(value.is_true()))
    }

    /// As [`Templates::evaluate`], in what is left of a bound that several expressions share.
    pub(crate) fn evaluate_within(&self, source: &str, scope: &Scope, room: &mut usize) -> Result<Value, CallError> {
        self.evaluate_to(source, scope, |value| write::to_json(value, room))
    }

    fn render_within(&self, source: &str, scope: &Scope, room: &mut usize) -> Result<String, CallError> {
        let root = RootHandle::over(self, scope);
        let mut written = Bounded::to(*room);
        let outcome = within_bounds(source, Source::Template, || {
            let template = self.environment.template_from_str(source)?;
            template.render_captured_to(root.as_value(), &mut written).map(drop)
        });
        root.complain()?;
        if written.overflowed {
            return Err(Bounded::complaint());
        }
        outcome.map_err(out_of_bounds)?.map_err(|error| failure(&error))?;
        *room -= written.bytes.len();
        String::from_utf8(written.bytes)
            .map_err(|_| CallError::permanent("expr.failed", "the template does not write UTF-8"))
    }

    fn render_deep_within(&self, value: &Value, scope: &Scope, room: &mut usize) -> Result<Value, CallError> {
        Ok(match value {
            Value::String(source) if has_code(source) => match sole_expression(source) {
                Some(inner) => match self.evaluate_if_expression(inner, scope, |value| write::to_json(value, room))? {
                    Some(value) => value,
                    None => Value::String(self.render_within(source, scope, room)?),
                },
                None => Value::String(self.render_within(source, scope, room)?),
            },
            Value::Array(items) => {
                let items = items.iter().map(|item| self.render_deep_within(item, scope, room));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => {
                let fields = fields.iter();
                let fields = fields.map(|(key, field)| Ok((key.clone(), self.render_deep_within(field, scope, room)?)));
                Value::Object(fields.collect::<Result<_, CallError>>()?)
            }
            other => other.clone(),
        })
    }

    /// Reads an expression's value while there is stack enough for a deep one, which is gone after that.
    fn evaluate_to<T>(
        &self,
        source: &str,
        scope: &Scope,
        read: impl FnOnce(&JinjaValue) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let evaluated = within_bounds(source, Source::Expression, || {
            let expression = self.environment.compile_expression(source).map_err(|error| failure(&error))?;
            evaluate_compiled(&expression, &RootHandle::over(self, scope), read)
        });
        evaluated.map_err(out_of_bounds)?
    }

    /// As [`Templates::evaluate_to`]; `None` for what is no expression, or none within bounds.
    fn evaluate_if_expression<T>(
        &self,
        source: &str,
        scope: &Scope,
        read: impl FnOnce(&JinjaValue) -> Result<T, CallError>,
    ) -> Result<Option<T>, CallError> {
        let evaluated = within_bounds(source, Source::Expression, || {
            let expression = self.environment.compile_expression(source).ok()?;
            Some(evaluate_compiled(&expression, &RootHandle::over(self, scope), read))
        });
        evaluated.ok().flatten().transpose()
    }

    /// Without the functions that the language itself brings.
    fn own(&self, mut names: HashSet<String>) -> HashSet<String> {
        for name in &*self.brought_by_the_language {
            names.remove(name);
        }
        names
    }
}

fn evaluate_compiled<T>(
    expression: &Expression<'_, '_>,
    root: &RootHandle,
    read: impl FnOnce(&JinjaValue) -> Result<T, CallError>,
) -> Result<T, CallError> {
    let value = expression.eval(root.as_value());
    root.complain()?;
    read(&value.map_err(|error| failure(&error))?)
}

/// Whether a string can be anything but its own text: what opens a tag or a comment begins with a brace.
pub(crate) fn has_code(source: &str) -> bool {
    source.contains('{')
}

/// How many strings of a value have code, at any depth.
pub(crate) fn count_templates(value: &Value) -> usize {
    match value {
        Value::String(source) => usize::from(has_code(source)),
        Value::Array(items) => items.iter().map(count_templates).sum(),
        Value::Object(fields) => fields.values().map(count_templates).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// What stands inside, where a source is one `{{ … }}` and nothing else. Whether it is one expression is for the parser to say.
fn sole_expression(source: &str) -> Option<&str> {
    let inner = source.strip_prefix("{{")?.strip_suffix("}}")?;
    let trims_blanks = inner.starts_with(['-', '+']) || inner.ends_with(['-', '+']);
    (!trims_blanks).then_some(inner)
}

fn describe(error: &minijinja::Error) -> String {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) if line > 1 => format!("{detail} (line {line})"),
        _ => detail,
    }
}

/// A definition's templates are within bounds since it was checked; those of another time may not be.
fn out_of_bounds(why: String) -> CallError {
    CallError::permanent("expr.limit", format!("the template or expression cannot be used: {why}"))
}

fn failure(error: &minijinja::Error) -> CallError {
    match error.kind() {
        ErrorKind::OutOfFuel => {
            CallError::permanent("expr.limit", "the template or expression does too much work, or nests too deep")
        }
        _ => CallError::permanent("expr.failed", describe(error)),
    }
}
