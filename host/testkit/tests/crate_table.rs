//! The table of ARCHITECTURE.md against what cargo says: a new edge between crates is a visible decision.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{DependencyKind, MetadataCommand};

type Edges = BTreeMap<String, BTreeSet<String>>;

/// The folder that every path here is relative to.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

struct Row {
    imports: BTreeSet<String>,
    alone_knows: BTreeSet<String>,
}

fn table() -> BTreeMap<String, Row> {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let rows = text.lines().skip_while(|line| !line.starts_with("| crate |")).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let list = |cell: &str| {
                let names = cell.split(',').map(|name| name.trim().to_owned());
                names.filter(|name| !name.is_empty() && name != "–").collect()
            };
            (cells[0].trim_matches('`').to_owned(), Row { imports: list(cells[1]), alone_knows: list(cells[2]) })
        })
        .collect()
}

/// Normal dependencies by crate, ours without their prefix.
fn edges() -> Edges {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap();
    let members = metadata.packages.iter().filter(|package| !package.name.starts_with("armilla-plugin"));
    members
        .map(|package| {
            let normal = package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
            (short(&package.name), normal.map(|dependency| short(&dependency.name)).collect())
        })
        .collect()
}

fn short(name: &str) -> String {
    if name == "armilla" { "server".to_owned() } else { name.trim_start_matches("armilla-").to_owned() }
}

#[test]
fn crates_import_what_the_table_says_and_nothing_else_of_ours() {
    let table = table();
    let edges = edges();
    let ours: BTreeSet<_> = edges.keys().cloned().collect();
    assert_eq!(ours, table.keys().cloned().collect(), "every crate has its row");
    for (name, imports) in &edges {
        let real: BTreeSet<_> = imports.intersection(&ours).cloned().collect();
        assert_eq!(real, table[name].imports, "the imports of `{name}`");
    }
}

#[test]
fn a_heavy_library_is_known_to_one_crate() {
    // These two are programs and tests of their own, not part of the host.
    let apart = ["example-agents", "testkit"];
    let edges = edges();
    let table = table();
    let mut checked = 0;
    for (owner, row) in &table {
        for library in &row.alone_knows {
            checked += 1;
            for (name, imports) in edges.iter().filter(|(name, _)| !apart.contains(&name.as_str())) {
                assert_eq!(imports.contains(library), name == owner, "`{library}` belongs to `{owner}`, and `{name}`?");
            }
        }
    }
    assert!(checked >= 8, "the table names the heavy libraries");
}

#[test]
fn every_dependency_of_the_workspace_has_its_reason() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let section = manifest.split("[workspace.dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let lines = section.lines().filter(|line| line.contains('=') && !line.starts_with('#'));
    let foreign: Vec<_> = lines.filter(|line| !line.contains("path = ")).collect();
    assert!(foreign.len() > 20);
    for line in foreign {
        assert!(line.split('#').nth(1).is_some_and(|reason| reason.trim().len() > 10), "no reason: {line}");
    }
}
