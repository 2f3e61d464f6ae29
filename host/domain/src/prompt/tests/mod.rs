mod includes;
mod interpolation;
mod variables;

use serde_json::json;

use super::diff::{Content, LINES_COMPARED_MAX, diff};
use super::*;
use crate::agent::ModelSettings;
use crate::template::Templates;

fn part(name: &str, version: i32, template: &str, variables: &[Variable]) -> Part {
    Part { name: name.to_owned(), version, template: template.to_owned(), variables: variables.to_vec() }
}

/// Templates at their newest version, 1, by name.
fn library(parts: &[(&str, &str)]) -> Library {
    let mut library = Library::default();
    for (name, template) in parts {
        library.add(Reference { name: (*name).to_owned(), version: None }, part(name, 1, template, &[]));
    }
    library
}

#[test]
fn a_label_fits_into_a_path() {
    for good in ["production", "v2 concise", "ä", &"x".repeat(64)] {
        assert!(is_label(good), "{good}");
    }
    for bad in ["", " a", "a ", "a/b", "a\nb", "a\0", &"x".repeat(65)] {
        assert!(!is_label(bad), "{bad}");
    }
}

#[test]
fn a_diff_tells_lines_variables_and_settings() {
    let templates = Templates::new();
    let (small, large) = (
        ModelSettings { model_id: Some("small".into()), temperature: Some(0.2), ..ModelSettings::default() },
        ModelSettings { model_id: Some("large".into()), ..ModelSettings::default() },
    );
    let from =
        Content { system_prompt: "You write.\nAbout {{ topic }}.\nBriefly.\n{% include \"tone\" %}", model: &small };
    let to =
        Content { system_prompt: "You write.\nFor {{ reader }}.\nBriefly.\n{% include \"tone\" %}", model: &large };
    let changed = diff(&templates, from, to);
    let lines: Vec<_> = changed.lines.iter().map(|line| (line.added, line.line, line.text.as_str())).collect();
    assert_eq!(lines, [(false, 2, "About {{ topic }}."), (true, 2, "For {{ reader }}.")]);
    assert_eq!((changed.variables_added, changed.variables_removed), (vec!["reader".into()], vec!["topic".into()]));
    let settings: Vec<_> = changed.settings.into_iter().map(|s| (s.name, s.from, s.to)).collect();
    assert_eq!(
        settings,
        [
            ("modelId".to_owned(), Some(json!("small")), Some(json!("large"))),
            ("temperature".to_owned(), Some(json!(0.2)), None)
        ]
    );
    assert_eq!(diff(&templates, from, from), diff::PromptDiff::default());
}

#[test]
fn what_is_too_long_to_be_compared_is_told_whole() {
    let text = |word: &str| (0..LINES_COMPARED_MAX).map(|n| format!("{word} {n}\n")).collect::<String>();
    let (one, other) = (format!("same\n{}", text("a")), format!("same\n{}", text("b")));
    let settings = ModelSettings::default();
    let content = |system_prompt| Content { system_prompt, model: &settings };
    let changed = diff(&Templates::new(), content(&one), content(&other));
    assert_eq!(changed.lines.len(), 2 * LINES_COMPARED_MAX);
    assert_eq!((changed.lines[0].added, changed.lines[0].line), (false, 2));
}
