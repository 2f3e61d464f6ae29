//! Templates and expressions: Jinja as `minijinja` implements it, under limits, without clock or chance.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::value::{Enumerator, Object, Serde};
use minijinja::{AutoEscape, Environment, ErrorKind, Output, State, UndefinedBehavior, Value as JinjaValue};
use serde_json::Value;

use crate::call::CallError;

/// Instructions, and data in units of 64 bytes, that one rendering may use: some milliseconds of work.
pub const TEMPLATE_FUEL_MAX: u64 = 200_000;
/// How deep calls and includes may nest; far beyond any honest template.
pub const TEMPLATE_RECURSION_MAX: usize = 64;
/// Bytes that one rendering may write: what one agent message or tool parameter may be.
pub const TEMPLATE_OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of the source of one template or expression.
pub const TEMPLATE_SOURCE_BYTES_MAX: usize = 256 * 1024;

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
        environment.set_formatter(write_value);
        Self { environment }
    }

    /// What is wrong with a template, or the root variables it reads.
    pub fn check_template(&self, source: &str) -> Result<HashSet<String>, String> {
        bounded(source)?;
        if let Some(expression) = sole_expression(source)
            && let Ok(variables) = self.check_expression(expression)
        {
            return Ok(variables);
        }
        let template = self.environment.template_from_str(source).map_err(|error| describe(&error))?;
        Ok(self.own(template.undeclared_variables(false)))
    }

    /// What is wrong with an expression, or the root variables it reads.
    pub fn check_expression(&self, source: &str) -> Result<HashSet<String>, String> {
        bounded(source)?;
        let expression = self.environment.compile_expression(source).map_err(|error| describe(&error))?;
        Ok(self.own(expression.undeclared_variables(false)))
    }

    /// A template as text.
    ///
    /// # Errors
    /// `expr.unknown_variable` for a root variable that is not in scope, `expr.limit` past a bound, `expr.failed` otherwise.
    pub fn render(&self, source: &str, scope: &Scope) -> Result<String, CallError> {
        let root = Root::over(self, scope);
        let mut written = BoundedText::default();
        let outcome = self
            .environment
            .template_from_str(source)
            .and_then(|template| template.render_captured_to(root.as_value(), &mut written).map(drop));
        root.complain()?;
        if written.overflowed {
            let message = format!("the template writes more than {TEMPLATE_OUTPUT_BYTES_MAX} bytes");
            return Err(CallError::permanent("expr.limit", message));
        }
        outcome.map_err(|error| failure(&error))?;
        String::from_utf8(written.bytes)
            .map_err(|_| CallError::permanent("expr.failed", "the template does not write UTF-8"))
    }

    /// A template whose value keeps its JSON type where the source is exactly one `{{ … }}`, else its text.
    ///
    /// # Errors
    /// As [`Templates::render`].
    pub fn render_value(&self, source: &str, scope: &Scope) -> Result<Value, CallError> {
        if let Some(expression) = sole_expression(source)
            && self.environment.compile_expression(expression).is_ok()
        {
            return self.evaluate(expression, scope);
        }
        self.render(source, scope).map(Value::String)
    }

    /// Every string of `value`, at any depth, rendered as [`Templates::render_value`] does. Keys stay as they are.
    ///
    /// # Errors
    /// As [`Templates::render`].
    pub fn render_deep(&self, value: &Value, scope: &Scope) -> Result<Value, CallError> {
        Ok(match value {
            Value::String(source) => self.render_value(source, scope)?,
            Value::Array(items) => {
                Value::Array(items.iter().map(|item| self.render_deep(item, scope)).collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => Value::Object(
                fields.iter().map(|(key, field)| Ok((key.clone(), self.render_deep(field, scope)?))).collect::<Result<
                    _,
                    CallError,
                >>(
                )?,
            ),
            other => other.clone(),
        })
    }

    /// An expression's value as JSON; undefined is null.
    ///
    /// # Errors
    /// As [`Templates::render`].
    pub fn evaluate(&self, source: &str, scope: &Scope) -> Result<Value, CallError> {
        let value = self.evaluate_jinja(source, scope)?;
        if value.is_undefined() {
            return Ok(Value::Null);
        }
        serde_json::to_value(&value)
            .map_err(|_| CallError::permanent("expr.type", "the expression's value cannot be written as JSON"))
    }

    /// Whether an expression holds, by Jinja's rule of truth: undefined, null, false, 0 and what is empty are false.
    ///
    /// # Errors
    /// As [`Templates::render`].
    pub fn holds(&self, source: &str, scope: &Scope) -> Result<bool, CallError> {
        self.evaluate_jinja(source, scope).map(|value| value.is_true())
    }

    fn evaluate_jinja(&self, source: &str, scope: &Scope) -> Result<JinjaValue, CallError> {
        let root = Root::over(self, scope);
        let outcome =
            self.environment.compile_expression(source).and_then(|expression| expression.eval(root.as_value()));
        root.complain()?;
        outcome.map_err(|error| failure(&error))
    }

    /// Without the functions that the language itself brings.
    fn own(&self, mut names: HashSet<String>) -> HashSet<String> {
        for (name, _) in self.environment.globals() {
            names.remove(name);
        }
        names
    }
}

/// The root of an evaluation: hands out variables and remembers the first one that was asked for in vain, because a missing
/// root variable is an error with its name, while a missing attribute is merely undefined.
#[derive(Debug)]
struct Root {
    scope: Scope,
    brought_by_the_language: Vec<String>,
    missing: Mutex<Option<String>>,
}

struct RootHandle(Arc<Root>);

impl Root {
    fn over(templates: &Templates, scope: &Scope) -> RootHandle {
        RootHandle(Arc::new(Self {
            scope: scope.clone(),
            brought_by_the_language: templates.environment.globals().map(|(name, _)| name.to_owned()).collect(),
            missing: Mutex::new(None),
        }))
    }
}

impl RootHandle {
    fn as_value(&self) -> JinjaValue {
        JinjaValue::from_dyn_object(Arc::clone(&self.0))
    }

    fn complain(&self) -> Result<(), CallError> {
        match self.0.missing.lock().unwrap_or_else(PoisonError::into_inner).take() {
            None => Ok(()),
            Some(name) => Err(CallError::permanent(
                "expr.unknown_variable",
                format!("no variable `{name}` is set here; an optional field is `input.{name}`"),
            )),
        }
    }
}

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &JinjaValue) -> Option<JinjaValue> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<JinjaValue> {
        let found = self.scope.get(key).map(|value| JinjaValue::from(Serde(&**value)));
        if found.is_none() && !self.brought_by_the_language.iter().any(|name| name == key) {
            self.missing.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| key.to_owned());
        }
        found
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

/// Text as it is, everything else as JSON.
fn write_value(
    output: &mut Output<'_>,
    _state: &mut State<'_, '_>,
    value: &JinjaValue,
) -> Result<(), minijinja::Error> {
    if value.is_undefined() {
        return Ok(());
    }
    if let Some(text) = value.as_str() {
        return output.write_str(text).map_err(Into::into);
    }
    let json = serde_json::to_string(value)
        .map_err(|_| minijinja::Error::new(ErrorKind::BadSerialization, "a value cannot be written as JSON"))?;
    output.write_str(&json).map_err(Into::into)
}

#[derive(Default)]
struct BoundedText {
    bytes: Vec<u8>,
    overflowed: bool,
}

impl std::io::Write for BoundedText {
    fn write(&mut self, more: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + more.len() > TEMPLATE_OUTPUT_BYTES_MAX {
            self.overflowed = true;
            return Err(std::io::Error::other("too long"));
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What stands inside, where a source is one `{{ … }}` and nothing else. Whether it is one expression is for the parser to say.
fn sole_expression(source: &str) -> Option<&str> {
    let inner = source.strip_prefix("{{")?.strip_suffix("}}")?;
    let trims_blanks = inner.starts_with(['-', '+']) || inner.ends_with(['-', '+']);
    (!trims_blanks).then_some(inner)
}

fn bounded(source: &str) -> Result<(), String> {
    if source.len() > TEMPLATE_SOURCE_BYTES_MAX {
        return Err(format!("is longer than {TEMPLATE_SOURCE_BYTES_MAX} bytes"));
    }
    Ok(())
}

fn describe(error: &minijinja::Error) -> String {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) if line > 1 => format!("{detail} (line {line})"),
        _ => detail,
    }
}

fn failure(error: &minijinja::Error) -> CallError {
    match error.kind() {
        ErrorKind::OutOfFuel => {
            CallError::permanent("expr.limit", "the template or expression does too much work, or nests too deep")
        }
        _ => CallError::permanent("expr.failed", describe(error)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scope() -> Scope {
        [("topic", json!("tea")), ("feedback", json!({ "approved": true, "n": 3 })), ("items", json!([1, 2]))]
            .into_iter()
            .collect()
    }

    #[test]
    fn text_is_written_as_it_is_and_anything_else_as_json() {
        let text = Templates::new().render("{{topic}}: {{feedback}} {{items}} {{none}} {{true}}", &scope());
        assert_eq!(text.unwrap(), r#"tea: {"approved":true,"n":3} [1,2] null true"#);
    }

    #[test]
    fn a_string_of_one_expression_keeps_its_type() {
        let templates = Templates::new();
        assert_eq!(templates.render_value("{{ feedback.n }}", &scope()).unwrap(), json!(3));
        assert_eq!(templates.render_value("{{ feedback.n }} ", &scope()).unwrap(), json!("3 "));
        assert_eq!(templates.render_value("{{ topic }}{{ topic }}", &scope()).unwrap(), json!("teatea"));
        assert_eq!(templates.render_value("{{- feedback.n -}}", &scope()).unwrap(), json!("3"));
    }

    #[test]
    fn templates_are_found_at_any_depth_and_keys_are_left_alone() {
        let params = json!({ "{{topic}}": [{ "n": "{{ feedback.n + 1 }}" }, 7, null] });
        assert_eq!(
            Templates::new().render_deep(&params, &scope()).unwrap(),
            json!({ "{{topic}}": [{ "n": 4 }, 7, null] })
        );
    }

    #[test]
    fn a_missing_root_variable_is_an_error_with_its_name() {
        let error = Templates::new().render("{{ nope.deep }}", &scope()).unwrap_err();
        assert_eq!(error.code, "expr.unknown_variable");
        assert!(error.message.contains("`nope`"), "{}", error.message);
    }

    #[test]
    fn a_missing_attribute_is_undefined_and_false_in_a_condition() {
        let templates = Templates::new();
        assert!(!templates.holds("feedback.nope", &scope()).unwrap());
        assert!(!templates.holds("feedback.nope.deeper", &scope()).unwrap());
        assert!(!templates.holds("topic.approved", &scope()).unwrap());
        assert!(templates.holds("feedback.approved and feedback.n > 2", &scope()).unwrap());
        assert_eq!(templates.evaluate("feedback.nope | default(5)", &scope()).unwrap(), json!(5));
    }

    #[test]
    fn functions_of_the_language_are_not_variables() {
        assert_eq!(Templates::new().evaluate("range(3) | list", &scope()).unwrap(), json!([0, 1, 2]));
        assert_eq!(Templates::new().check_expression("range(n)").unwrap(), HashSet::from(["n".to_owned()]));
    }

    #[test]
    fn an_endless_template_runs_out_of_fuel() {
        let source = "{% for a in range(99999) %}{% for b in range(99999) %}{{ a }}{% endfor %}{% endfor %}";
        assert_eq!(Templates::new().render(source, &scope()).unwrap_err().code, "expr.limit");
    }

    #[test]
    fn a_template_cannot_write_without_end() {
        let long: Scope = [("long", json!("x".repeat(900_000)))].into_iter().collect();
        assert_eq!(Templates::new().render("{{long}}{{long}}", &long).unwrap_err().code, "expr.limit");
    }

    #[test]
    fn a_template_that_does_not_parse_says_why() {
        assert!(Templates::new().check_template("{{ topic ").is_err());
        assert!(Templates::new().check_template("{% if %}").is_err());
        assert!(Templates::new().check_expression("a +").is_err());
        assert!(Templates::new().check_template("{% include 'x' %}").is_err());
    }

    #[test]
    fn a_template_names_the_roots_it_reads() {
        let names = Templates::new().check_template("{{ a.b }} {% for x in c %}{{ x }}{% endfor %}").unwrap();
        assert_eq!(names, HashSet::from(["a".to_owned(), "c".to_owned()]));
    }
}
