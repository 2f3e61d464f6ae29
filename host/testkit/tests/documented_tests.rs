//! The tests that the documentation names are there.

#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_path_buf()
}

/// Names of all functions that stand right below a test's attribute.
fn tests_in(folder: &Path, names: &mut HashSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_in(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in source.lines().map(str::trim) {
                is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
                let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
                if let Some(name) = name {
                    if is_test {
                        names.insert(name.split('(').next().unwrap().to_owned());
                    }
                    is_test = false;
                }
            }
        }
    }
}

#[test]
fn every_test_that_the_workflow_language_names_exists() {
    let document = fs::read_to_string(root().join("docs/workflow-language.md")).unwrap();
    let table = document.split("## What proves it").nth(1).unwrap();
    let mut names = HashSet::new();
    tests_in(&root().join("host"), &mut names);
    let sentences = table
        .lines()
        .filter(|line| line.starts_with("| "))
        .filter_map(|line| line.rsplit("| ").next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let named: Vec<&str> = sentences.collect();
    assert!(named.len() > 50, "{} names", named.len());
    let missing: Vec<_> = named.iter().filter(|name| !names.contains(**name)).collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}
