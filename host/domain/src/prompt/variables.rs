//! The variables that a template declares, and whether what it is given fits them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::fault::{Fault, pointer};
use crate::json::kind_of;
use crate::template::{Scope, Templates};

/// Variables of one template: more than anybody fills in.
pub const VARIABLES_MAX: usize = 100;
/// Names are typed.
pub const VARIABLE_NAME_CHARS_MAX: usize = 64;
/// A description is a sentence or two.
pub const VARIABLE_DESCRIPTION_CHARS_MAX: usize = 1_000;

/// What a variable is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VariableType {
    /// Text.
    String,
    /// Any number.
    Number,
    /// A number without a fraction, written without one.
    Integer,
    /// True or false.
    Boolean,
    /// A list.
    Array,
    /// An object.
    Object,
}

/// A variable that a template declares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Variable {
    /// What the template calls it.
    pub name: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: VariableType,
    /// Whether it must be given. What need not be, and is not, is its default, or null without one.
    pub required: bool,
    /// What it is where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

const TYPES: [(&str, VariableType); 6] = [
    ("string", VariableType::String),
    ("number", VariableType::Number),
    ("integer", VariableType::Integer),
    ("boolean", VariableType::Boolean),
    ("array", VariableType::Array),
    ("object", VariableType::Object),
];

impl VariableType {
    fn of_name(name: &str) -> Option<Self> {
        TYPES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        TYPES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| *name)
    }

    fn takes(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Number => value.is_number(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Boolean => value.is_boolean(),
            Self::Array => value.is_array(),
            Self::Object => value.is_object(),
        }
    }
}

impl Variable {
    /// A text that must be given.
    pub fn required_text(name: impl Into<String>) -> Self {
        Self { name: name.into(), kind: VariableType::String, required: true, default: None, description: None }
    }
}

/// What a caller declares: an array of names or of objects with a `name`, or an object by name. What is wrong with it goes to
/// `faults`, placed under `place`.
pub fn read_variables(value: &Value, place: &str, templates: &Templates, faults: &mut Vec<Fault>) -> Vec<Variable> {
    let declared: Vec<(String, Option<&str>, &Value)> = match value {
        Value::Array(items) => items.iter().enumerate().map(|(n, item)| (pointer(place, n), None, item)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, item)| (pointer(place, name), Some(name.as_str()), item)).collect()
        }
        _ => {
            let detail = "variables are an array of names or of objects with a `name`, or an object by name";
            faults.push(Fault::new(place, "prompt.value", detail));
            return Vec::new();
        }
    };
    if declared.len() > VARIABLES_MAX {
        let detail = format!("{} variables are declared; {VARIABLES_MAX} may be", declared.len());
        faults.push(Fault::new(place, "prompt.limit", detail));
        return Vec::new();
    }
    let mut variables: Vec<Variable> = Vec::new();
    for (place, name, item) in declared {
        let Some(variable) = read_variable(item, name, &place, templates, faults) else { continue };
        if variables.iter().any(|before| before.name == variable.name) {
            let detail = format!("`{}` is declared already", variable.name);
            faults.push(Fault::new(place, "prompt.duplicate_variable", detail));
        } else {
            variables.push(variable);
        }
    }
    variables
}

fn read_variable(
    item: &Value,
    name: Option<&str>,
    place: &str,
    templates: &Templates,
    faults: &mut Vec<Fault>,
) -> Option<Variable> {
    let count = faults.len();
    let nothing = Map::new();
    let (name, fields) = match (name, item) {
        (None, Value::String(name)) => (name.as_str(), &nothing),
        (None, Value::Object(fields)) => match fields.get("name") {
            Some(Value::String(name)) => (name.as_str(), fields),
            _ => {
                faults.push(Fault::new(pointer(place, "name"), "prompt.missing", "a variable has a `name`"));
                return None;
            }
        },
        (Some(name), Value::Object(fields)) => (name, fields),
        // The short form, in which the type is all that is said.
        (Some(name), Value::String(kind)) => {
            let kind = kind_in(kind, place, faults)?;
            check_name(name, place, templates, faults);
            let text = Variable::required_text(name);
            return (faults.len() == count).then_some(Variable { kind, ..text });
        }
        (_, other) => {
            let detail = format!("a variable is a name or an object, not {}", kind_of(other));
            faults.push(Fault::new(place, "prompt.value", detail));
            return None;
        }
    };
    check_name(name, place, templates, faults);
    for key in
        fields.keys().filter(|key| !["name", "type", "required", "default", "description"].contains(&key.as_str()))
    {
        faults.push(Fault::new(pointer(place, key), "prompt.unknown_field", format!("there is no field `{key}` here")));
    }
    if fields.get("name").is_some_and(|stated| *stated != name) {
        faults.push(Fault::new(
            pointer(place, "name"),
            "prompt.value",
            format!("the variable is declared as `{name}`"),
        ));
    }
    let kind = match fields.get("type") {
        None => VariableType::String,
        Some(Value::String(kind)) => kind_in(kind, &pointer(place, "type"), faults).unwrap_or(VariableType::String),
        Some(_) => kind_in("", &pointer(place, "type"), faults).unwrap_or(VariableType::String),
    };
    // Some clients write null for what is absent.
    let default = fields.get("default").filter(|default| !default.is_null()).cloned();
    if let Some(default) = &default
        && !kind.takes(default)
    {
        let detail = format!("the default of `{name}` is {}; its type is `{}`", kind_of(default), kind.as_str());
        faults.push(Fault::new(pointer(place, "default"), "prompt.variable_type", detail));
    }
    let required = match fields.get("required") {
        None | Some(Value::Null) => default.is_none(),
        Some(Value::Bool(true)) if default.is_some() => {
            let detail = format!("`{name}` has a default, so it need not be given");
            faults.push(Fault::new(pointer(place, "required"), "prompt.value", detail));
            true
        }
        Some(Value::Bool(required)) => *required,
        Some(_) => {
            faults.push(Fault::new(pointer(place, "required"), "prompt.value", "`required` is true or false"));
            true
        }
    };
    let description = match fields.get("description") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.chars().count() <= VARIABLE_DESCRIPTION_CHARS_MAX && !text.contains('\0') => {
            Some(text.clone())
        }
        Some(_) => {
            let detail = format!("a description is text of at most {VARIABLE_DESCRIPTION_CHARS_MAX} characters");
            faults.push(Fault::new(pointer(place, "description"), "prompt.value", detail));
            None
        }
    };
    (faults.len() == count).then(|| Variable { name: name.to_owned(), kind, required, default, description })
}

fn kind_in(name: &str, place: &str, faults: &mut Vec<Fault>) -> Option<VariableType> {
    let kind = VariableType::of_name(name);
    if kind.is_none() {
        let detail = "a type is `string`, `number`, `integer`, `boolean`, `array` or `object`";
        faults.push(Fault::new(place, "prompt.value", detail));
    }
    kind
}

/// A name is one that the template language reads as a variable.
fn check_name(name: &str, place: &str, templates: &Templates, faults: &mut Vec<Fault>) {
    let word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && (1..=VARIABLE_NAME_CHARS_MAX).contains(&name.len());
    let is_variable = word && templates.check_expression(name).is_ok_and(|read| read.contains(name));
    if !is_variable {
        let detail = format!(
            "`{name}` is no name of a variable: 1 to {VARIABLE_NAME_CHARS_MAX} of A-Z a-z 0-9 _, no digit first, no word of the language"
        );
        faults.push(Fault::new(place, "prompt.variable_name", detail));
    }
}

/// The values that a template sees, of those that a caller gave.
///
/// # Errors
/// Every variable that is missing, unknown or of another type, each under `place` and by its name.
pub fn values(declared: &[Variable], given: &Map<String, Value>, place: &str) -> Result<Scope, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut scope = Scope::default();
    for Variable { name, kind, required, default, .. } in declared {
        let value = match given.get(name) {
            Some(Value::Null) | None if !required => default.clone().unwrap_or(Value::Null),
            None => {
                let detail = format!("the variable `{name}` is missing");
                faults.push(Fault::new(pointer(place, name), "prompt.missing_variable", detail));
                continue;
            }
            Some(value) if kind.takes(value) => value.clone(),
            Some(other) => {
                let detail = format!("the variable `{name}` is {}; its type is `{}`", kind_of(other), kind.as_str());
                faults.push(Fault::new(pointer(place, name), "prompt.variable_type", detail));
                continue;
            }
        };
        scope.set(name.clone(), value.into());
    }
    for name in given.keys().filter(|name| !declared.iter().any(|variable| variable.name == **name)) {
        let detail = format!("the template declares no variable `{name}`");
        faults.push(Fault::new(pointer(place, name), "prompt.unknown_variable", detail));
    }
    if faults.is_empty() { Ok(scope) } else { Err(faults) }
}

/// A run's variables, with the defaults of what it need not have set.
pub fn defaults_in(mut scope: Scope, declared: &[Variable]) -> Scope {
    for variable in declared.iter().filter(|variable| !variable.required) {
        if scope.get(&variable.name).is_none() {
            scope.set(variable.name.clone(), variable.default.clone().unwrap_or(Value::Null).into());
        }
    }
    scope
}
