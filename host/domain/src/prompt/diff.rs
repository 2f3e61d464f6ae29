//! What changed from one version of a prompt to another: lines, the variables that are read, settings.

use std::collections::BTreeSet;

use serde_json::Value;
use similar::{Algorithm, DiffTag, capture_diff_slices};

use crate::agent::ModelSettings;
use crate::template::Templates;

/// Lines that are compared one by one, of both texts together; where more of them differ, all are told as removed and added. Comparing
/// takes up to the square of it.
pub const LINES_COMPARED_MAX: usize = 5_000;

/// What changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PromptDiff {
    /// Lines that are gone or new, from top to bottom, what is gone before what is new in its place.
    pub lines: Vec<LineChange>,
    /// Variables that only the new text reads, by name.
    pub variables_added: Vec<String>,
    /// Variables that only the old text reads, by name.
    pub variables_removed: Vec<String>,
    /// Settings of the model that differ, by name.
    pub settings: Vec<SettingChange>,
}

/// A line that is gone or new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineChange {
    /// Whether it is new; gone otherwise.
    pub added: bool,
    /// Its number, from 1, in the text that it stands in.
    pub line: usize,
    /// It, without its end.
    pub text: String,
}

/// A setting that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingChange {
    /// Its name on the wire.
    pub name: String,
    /// What it was; absent where it was not set.
    pub from: Option<Value>,
    /// What it is; absent where it is not set.
    pub to: Option<Value>,
}

/// What a version says.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a> {
    /// Its text.
    pub system_prompt: &'a str,
    /// Its settings.
    pub model: &'a ModelSettings,
}

/// What changed from one content to another.
pub fn diff(templates: &Templates, from: Content<'_>, to: Content<'_>) -> PromptDiff {
    let (read_before, read_after) = (read_by(templates, from.system_prompt), read_by(templates, to.system_prompt));
    PromptDiff {
        lines: lines(from.system_prompt, to.system_prompt),
        variables_added: read_after.difference(&read_before).cloned().collect(),
        variables_removed: read_before.difference(&read_after).cloned().collect(),
        settings: settings(from.model, to.model),
    }
}

/// What a text reads itself. Includes are looked through: they are of another document.
fn read_by(templates: &Templates, source: &str) -> BTreeSet<String> {
    let own = super::include::without_includes(source).unwrap_or_default();
    templates.check_template(&own).unwrap_or_default().into_iter().collect()
}

fn lines(from: &str, to: &str) -> Vec<LineChange> {
    let (before, after): (Vec<&str>, Vec<&str>) = (from.lines().collect(), to.lines().collect());
    let head = before.iter().zip(&after).take_while(|(one, other)| one == other).count();
    let tails = before[head..].iter().rev().zip(after[head..].iter().rev());
    let tail = tails.take_while(|(one, other)| one == other).count();
    let (old, new) = (&before[head..before.len() - tail], &after[head..after.len() - tail]);
    let mut changes = Vec::new();
    let mut note = |added: bool, lines: &[&str], first: usize| {
        let numbered = lines.iter().enumerate();
        changes.extend(numbered.map(|(n, text)| LineChange {
            added,
            line: head + first + n + 1,
            text: (*text).to_owned(),
        }));
    };
    if old.len() + new.len() > LINES_COMPARED_MAX {
        note(false, old, 0);
        note(true, new, 0);
        return changes;
    }
    for op in capture_diff_slices(Algorithm::Myers, old, new) {
        let (tag, gone, came) = op.as_tag_tuple();
        if tag != DiffTag::Equal {
            note(false, &old[gone.clone()], gone.start);
            note(true, &new[came.clone()], came.start);
        }
    }
    changes
}

fn settings(from: &ModelSettings, to: &ModelSettings) -> Vec<SettingChange> {
    let fields = |settings: &ModelSettings| match serde_json::to_value(settings) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (before, after) = (fields(from), fields(to));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changes = names.into_iter().map(|name| SettingChange {
        name: name.clone(),
        from: before.get(name).cloned(),
        to: after.get(name).cloned(),
    });
    changes.filter(|change| change.from != change.to).collect()
}
