//! Which variables a place can see: those an earlier step, or any step of a list with a jump back, can have set.

use std::collections::{HashMap, HashSet};

use super::fields::Findings;
use super::step::Reads;
use super::{ListIndex, MAIN_LIST, OnError, RESERVED_NAMES, StepIndex, StepKind, Target, Workflow};
use crate::fault::pointer;

type Names = HashSet<String>;

/// Faults for branches that write one variable, warnings for variables that nothing can have set.
pub(super) fn check(workflow: &Workflow, reads: &[Reads], findings: &mut Findings) {
    find_contested(workflow, findings);
    // Any input may bring any variable, unless the definition says what its input looks like.
    let Some(fields) = workflow.input_schema.as_ref().and_then(|schema| schema.properties()) else {
        return;
    };
    let is_given = |name: &str| fields.contains_key(name) || RESERVED_NAMES.contains(&name);
    let mut visible = HashMap::new();
    walk(workflow, MAIN_LIST, Names::new(), &mut visible);
    for read in reads {
        let Some(names) = visible.get(&read.step) else { continue };
        let mut unset: Vec<_> = read.names.difference(names).filter(|name| !is_given(name)).collect();
        unset.sort();
        for name in unset {
            let detail = format!("no earlier step and no field of `inputSchema` sets `{name}`");
            findings.warn(&read.place, "definition.unset_variable", detail);
        }
    }
}

/// Notes what each step of a list can see, and gives what can be set after the list.
fn walk(workflow: &Workflow, list: ListIndex, before: Names, visible: &mut HashMap<StepIndex, Names>) -> Names {
    let steps = &workflow.lists[list].steps;
    let mut names = before;
    if steps.iter().any(|step| jumps_back(workflow, *step)) {
        names.extend(steps.iter().flat_map(|step| writes(workflow, *step)));
    }
    for step in steps {
        visible.insert(*step, names.clone());
        let mut after = names.clone();
        for (_, nested) in workflow.steps[*step].kind.lists() {
            let mut inside = names.clone();
            match &workflow.steps[*step].kind {
                StepKind::ForEach(each) => inside.extend([each.item_name.clone()]),
                // A pass sees what the one before it set.
                StepKind::Loop(_) => inside.extend(writes(workflow, *step)),
                _ => {}
            }
            let mut seen_inside = walk(workflow, nested, inside, visible);
            if let StepKind::ForEach(each) = &workflow.steps[*step].kind {
                seen_inside.remove(&each.item_name);
            }
            after.extend(seen_inside);
        }
        after.extend(writes(workflow, *step));
        if let StepKind::Loop(_) = &workflow.steps[*step].kind {
            // Its test, which stands in the step itself, sees them.
            visible.insert(*step, after.clone());
        }
        names = after;
    }
    names
}

fn jumps_back(workflow: &Workflow, index: StepIndex) -> bool {
    let step = &workflow.steps[index];
    let mut targets: Vec<StepIndex> = step.next.into_iter().collect();
    if let OnError::Jump(target) = step.on_error {
        targets.push(target);
    }
    for target in step.kind.targets() {
        if let Target::Steps(steps) = target {
            targets.extend(steps);
        }
    }
    targets.iter().any(|target| workflow.steps[*target].position <= step.position)
}

/// Every variable that a step, or a step inside it, sets.
fn writes(workflow: &Workflow, step: StepIndex) -> Names {
    let mut names: Names = workflow.steps[step].output_var.iter().cloned().collect();
    if let StepKind::Set(vars) = &workflow.steps[step].kind {
        names.extend(vars.iter().map(|(name, _)| name.clone()));
    }
    for (_, list) in workflow.steps[step].kind.lists() {
        for inner in &workflow.lists[list].steps {
            names.extend(writes(workflow, *inner));
        }
    }
    names
}

fn find_contested(workflow: &Workflow, findings: &mut Findings) {
    for step in &workflow.steps {
        let StepKind::Parallel(parallel) = &step.kind else { continue };
        let mut writers: HashMap<String, &str> = HashMap::new();
        for (position, branch) in parallel.branches.iter().enumerate() {
            let mut names: Vec<String> = workflow.lists[branch.list]
                .steps
                .iter()
                .flat_map(|inner| writes(workflow, *inner))
                .collect::<Names>()
                .into_iter()
                .collect();
            names.sort();
            for name in names {
                if let Some(other) = writers.get(&name) {
                    let place = pointer(&format!("{}/steps", step.pointer), position);
                    let detail =
                        format!("`{name}` is set by the branch `{other}` as well, which runs at the same time");
                    findings.fault(place, "definition.contested_variable", detail);
                } else {
                    writers.insert(name, &branch.id);
                }
            }
        }
    }
}
