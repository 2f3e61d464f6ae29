//! What a prompt template, or an agent's prompt, may say.

use std::collections::HashSet;

use serde_json::Value;

use super::include::{IncludeError, Library, Part, Reference, expand, references};
use super::variables::{Variable, read_variables};
use crate::fault::{FAULTS_MAX, Fault};
use crate::template::Templates;

/// A name stands in the text of other templates.
pub const TEMPLATE_NAME_CHARS_MAX: usize = 100;
/// A category is a word or two.
pub const CATEGORY_CHARS_MAX: usize = 100;

/// A template without faults.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedTemplate {
    /// What it declares itself; what it reads, as texts that must be given, where its author declared nothing.
    pub variables: Vec<Variable>,
    /// What it includes itself.
    pub includes: Vec<Reference>,
}

/// What keeps a text from being a template's name.
pub fn name_fault(name: &str) -> Option<&'static str> {
    let length = name.chars().count();
    if !(1..=TEMPLATE_NAME_CHARS_MAX).contains(&length) {
        Some("a name has 1 to 100 characters")
    } else if name.trim() != name {
        Some("a name has no blanks at its ends")
    } else if name.chars().any(|c| c.is_control() || matches!(c, '@' | '"' | '\'' | '\\')) {
        Some("a name has no `@`, no quotes and no backslash, since others include it by its name")
    } else {
        None
    }
}

/// Checks a template, whose includes are looked up in `library`. `variables` is what its author declared.
///
/// # Errors
/// Every fault at once, up to [`FAULTS_MAX`], each with its JSON pointer: `/template` or under `/variables`.
pub fn check_template(
    templates: &Templates,
    name: &str,
    source: &str,
    variables: Option<&Value>,
    library: &Library,
) -> Result<CheckedTemplate, Vec<Fault>> {
    let mut faults = Vec::new();
    let declared = variables.map(|value| read_variables(value, "/variables", templates, &mut faults));
    let expanded = expand(source, Some(name), library).map_err(|error| include_fault("/template", &error));
    let read = expanded.and_then(|expanded| {
        let read =
            read_by(templates, &expanded.source).map_err(|why| Fault::new("/template", "prompt.template", why))?;
        Ok((read, expanded.parts))
    });
    let (read, parts) = match read {
        Ok(read) => read,
        Err(fault) => {
            faults.push(fault);
            faults.truncate(FAULTS_MAX);
            return Err(faults);
        }
    };
    let of_parts = |name: &str| parts.iter().any(|part| part.variables.iter().any(|variable| variable.name == name));
    let mut own: Vec<String> = read.into_iter().filter(|name| !of_parts(name)).collect();
    own.sort_unstable();
    let variables = match declared {
        // With a fault in what is declared, what is not declared cannot be told.
        Some(declared) if faults.is_empty() => {
            for name in own.iter().filter(|name| !declared.iter().any(|variable| variable.name == **name)) {
                let detail = format!("the variable `{name}` is read and not declared in `variables`");
                faults.push(Fault::new("/template", "prompt.undeclared_variable", detail));
            }
            declared
        }
        Some(declared) => declared,
        None => own.into_iter().map(Variable::required_text).collect(),
    };
    faults.truncate(FAULTS_MAX);
    match references(source) {
        Ok(includes) if faults.is_empty() => Ok(CheckedTemplate { variables, includes }),
        _ => Err(faults),
    }
}

/// Checks an agent's prompt, which declares nothing: it sees the variables of the run. Gives the names that it reads.
///
/// # Errors
/// The fault, placed at `place`.
pub fn check_prompt(
    templates: &Templates,
    source: &str,
    library: &Library,
    place: &str,
) -> Result<HashSet<String>, Fault> {
    let expanded = expand(source, None, library).map_err(|error| include_fault(place, &error))?;
    read_by(templates, &expanded.source).map_err(|why| Fault::new(place, "prompt.template", why))
}

/// Everything that a template with these parts declares: where several declare one name, the outermost one counts.
pub fn variables_of(own: &[Variable], parts: &[&Part]) -> Vec<Variable> {
    let mut all = own.to_vec();
    for variable in parts.iter().flat_map(|part| &part.variables) {
        if !all.iter().any(|known| known.name == variable.name) {
            all.push(variable.clone());
        }
    }
    all
}

fn read_by(templates: &Templates, source: &str) -> Result<HashSet<String>, String> {
    templates.check_template(source).map_err(|why| format!("does not parse: {why}"))
}

fn include_fault(place: &str, error: &IncludeError) -> Fault {
    Fault::new(place, error.code(), error.to_string())
}
