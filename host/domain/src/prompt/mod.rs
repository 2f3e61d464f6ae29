//! Prompts as code: templates with declared variables that include each other, versions of agents' prompts, and which of them a
//! call is made with.

mod cover;
pub mod diff;
mod include;
mod template;
mod variables;

#[cfg(test)]
mod tests;

pub use cover::{Coverage, OVERRIDE_RUNS_MAX, OVERRIDE_TTL_DEFAULT, OVERRIDE_TTL_MAX, OVERRIDE_TTL_MIN};
pub use include::{
    Expanded, INCLUDE_DEPTH_MAX, INCLUDES_MAX, IncludeError, Library, Part, Reference, expand, references,
};
pub use template::{
    CATEGORY_CHARS_MAX, CheckedTemplate, TEMPLATE_NAME_CHARS_MAX, check_prompt, check_template, name_fault,
    variables_of,
};
pub use variables::{
    VARIABLE_DESCRIPTION_CHARS_MAX, VARIABLE_NAME_CHARS_MAX, VARIABLES_MAX, Variable, VariableType, defaults_in,
    read_variables, values,
};

/// A label fits into a path and on a line.
pub const LABEL_CHARS_MAX: usize = 64;
/// What a version's author says of it: a line, or a few.
pub const MESSAGE_CHARS_MAX: usize = 1_000;

/// Whether a text can be a label: 1 to [`LABEL_CHARS_MAX`] characters, none of them a slash or invisible, and no blank at an end.
pub fn is_label(text: &str) -> bool {
    let length = text.chars().count();
    let trimmed = text.trim() == text;
    (1..=LABEL_CHARS_MAX).contains(&length) && trimmed && !text.chars().any(|c| c.is_control() || c == '/')
}
