//! Where control can go: names become steps, branch steps are marked, and what nothing reaches is found.

use std::collections::HashSet;

use super::fields::Findings;
use super::step::{NamedTarget, Slot};
use super::{OnError, StepIndex, StepKind, Target, Workflow};

/// Gives every name its step, and marks the branch steps.
pub(super) fn resolve(workflow: &mut Workflow, targets: &[NamedTarget], findings: &mut Findings) {
    for target in targets {
        let Some(found) = find(workflow, target, findings) else { continue };
        let step = &mut workflow.steps[target.step];
        match (target.slot, &mut step.kind) {
            (Slot::Next, _) => step.next = Some(found),
            (Slot::OnError, _) => step.on_error = OnError::Jump(found),
            (Slot::Way(0), StepKind::Condition(condition)) => add(&mut condition.then, found),
            (Slot::Way(_), StepKind::Condition(condition)) => add(&mut condition.otherwise, found),
            (Slot::Way(way), StepKind::Switch(switch)) => {
                let case = switch.cases.get_mut(way).map(|case| &mut case.then);
                add(case.unwrap_or(&mut switch.default), found);
            }
            // The step itself did not read well, and has its fault already.
            (Slot::Way(_), _) => {}
        }
        let chooses = matches!(target.slot, Slot::Way(_));
        if chooses && workflow.steps[found].position > workflow.steps[target.step].position {
            workflow.steps[found].is_branch_step = true;
        }
    }
}

fn find(workflow: &Workflow, target: &NamedTarget, findings: &mut Findings) -> Option<StepIndex> {
    let NamedTarget { name, place, step, .. } = target;
    let Some(found) = workflow.step_index(name) else {
        findings.fault(place, "definition.unknown_step", format!("there is no step `{name}`"));
        return None;
    };
    if workflow.steps[found].list != workflow.steps[*step].list {
        let detail = format!("`{name}` stands in another list of steps; a jump stays in its own");
        findings.fault(place, "definition.jump_out", detail);
        return None;
    }
    Some(found)
}

fn add(target: &mut Target, step: StepIndex) {
    if let Target::Steps(steps) = target {
        steps.push(step);
    }
}

/// Follows every way control can go, and finds the steps where none leads. Needs a workflow without other faults.
pub(super) fn find_unreachable(workflow: &Workflow, findings: &mut Findings) {
    let mut reached = HashSet::new();
    let mut ahead: Vec<StepIndex> = workflow.lists.iter().filter_map(|list| list.steps.first().copied()).collect();
    while let Some(step) = ahead.pop() {
        if reached.insert(step) {
            ahead.extend(exits(workflow, step));
        }
    }
    for (index, step) in workflow.steps.iter().enumerate() {
        if !reached.contains(&index) {
            let detail = format!("nothing leads to `{}`", step.id);
            findings.fault(&step.pointer, "definition.unreachable", detail);
        }
    }
}

/// The steps that can follow in the same list.
fn exits(workflow: &Workflow, index: StepIndex) -> Vec<StepIndex> {
    let step = &workflow.steps[index];
    let onward = step.next.or_else(|| workflow.successor(index));
    let mut exits = Vec::new();
    match &step.kind {
        StepKind::Condition(_) | StepKind::Switch(_) => {
            for target in step.kind.targets() {
                match target {
                    Target::Steps(steps) => exits.extend(steps),
                    Target::Onward | Target::Block(_) => exits.extend(onward),
                }
            }
            // A condition that is skipped, or fails and may, chooses nothing.
            if step.when.is_some() || step.on_error == OnError::Continue {
                exits.extend(onward);
            }
        }
        StepKind::Return(_) => {
            if step.when.is_some() || step.on_error == OnError::Continue {
                exits.extend(onward);
            }
        }
        // However it fails, it ends the run.
        StepKind::Fail(_) => return if step.when.is_some() { onward.into_iter().collect() } else { Vec::new() },
        _ => exits.extend(onward),
    }
    if let OnError::Jump(target) = step.on_error {
        exits.push(target);
    }
    exits
}
