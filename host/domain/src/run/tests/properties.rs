//! What holds for every definition and every fate of its runs. A run is driven by a tape of numbers; its journal is then cut at
//! every length, and a state that is replayed from what is left must decide and judge the same as the first one did.

use std::collections::HashSet;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::bench::{TEMPLATES, attempt, facts, seen_of, variables};
use super::random::{EXECUTIONS_MAX, Tape, definition};
use super::world::{Action, Line, World, decided, new_state};
use super::*;
use crate::definition::{Known, Workflow, check};

/// Cuts of one journal: all of them, but for the longest.
const CUTS_MAX: usize = 100;
/// Runs that one test makes, where `PROPTEST_CASES` does not say; they take some seconds.
const CASES: u32 = 50;

fn replay(world: &World, length: usize) -> State {
    let mut state = new_state(&world.workflow, &world.mended);
    world.lines[..length].iter().for_each(|line| state.apply(&line.event));
    state
}

/// Drives a replayed state by what the world did, until `actions` of them are over or the journal is.
fn drive(world: &World, state: &mut State, from: usize, mut actions: usize) {
    let mut next = from;
    while let Some(line) = world.lines.get(next) {
        match &line.action {
            None => {
                let events = decided(state, line.at);
                assert_ne!(events, [], "entry {next} is not decided again after a cut at {from}: {line:?}");
                for event in events {
                    assert_eq!(event, world.lines[next].event, "entry {next}, after a cut at {from}");
                    assert!(world.lines[next].action.is_none());
                    next += 1;
                }
            }
            Some(_) if actions == 0 => return,
            Some(action) => {
                assert_eq!(decided(state, line.at), [], "before entry {next}, after a cut at {from}");
                let event = match action.clone() {
                    Action::Answer(call, answer) => state.judge(attempt(*call, answer), true, line.at, 0.5),
                    Action::Message(message) => state.receive(message, line.at, 0.5),
                    Action::TimeOut => Some(state.time_out()),
                    Action::Command => Some(line.event.clone()),
                };
                assert_eq!(event.as_ref(), Some(&line.event), "entry {next}, after a cut at {from}");
                state.apply(&line.event);
                (next, actions) = (next + 1, actions - 1);
            }
        }
    }
    assert_eq!(seen_of(state), seen_of(&world.state), "after a cut at {from}");
}

/// Between a start and the next retry no visit has two outcomes; no number is used twice; executions are bounded.
fn check_journal(lines: &[Line]) {
    let (mut ended, mut begun): (HashSet<&Visit>, HashSet<(&str, u32)>) = Default::default();
    let (mut executions, mut is_over) = (0, false);
    for Line { event, .. } in lines {
        if matches!(event, Event::RunRetried { .. } | Event::RunForked { .. }) {
            (executions, is_over) = (0, false);
            ended.clear();
        }
        assert!(!is_over, "nothing but a retry follows the end of a run: {event:?}");
        is_over = event.ends_the_run();
        let Some(visit) = event.visit() else { continue };
        let is_first = begun.insert((&visit.step, visit.number));
        executions += u32::from(is_first || matches!(event, Event::PassStarted { .. }));
        assert!(executions <= EXECUTIONS_MAX);
        match event {
            Event::StepStarted { .. } => assert!(is_first, "{visit:?} begins twice"),
            Event::StepSucceeded { .. } | Event::StepFailed { .. } | Event::StepSkipped { .. } => {
                assert!(ended.insert(visit), "{visit:?} ends twice");
            }
            _ => {}
        }
    }
}

fn check_history(lines: &[Line]) {
    let entries: Vec<_> =
        lines.iter().map(|line| crate::journal::Entry { at: line.at, event: line.event.clone() }).collect();
    let is_over = lines.last().is_some_and(|line| line.event.ends_the_run());
    let running = history(&entries).into_iter().find(|record| record.status == AttemptStatus::Running);
    assert!(!is_over || running.is_none(), "{running:?} after the end");
}

fn checked(numbers: &[u16], mended: bool) -> Option<Arc<Workflow>> {
    let plain = |jumps| {
        let found: Value = definition(numbers, jumps, mended);
        check(&found, &Known::default(), &TEMPLATES).ok()
    };
    plain(true).or_else(|| plain(false)).map(|checked| Arc::new(checked.workflow))
}

fn check_world(definition: &[u16], fate: Vec<u16>, fork_at: usize) -> Result<(), TestCaseError> {
    let (Some(workflow), Some(mended)) = (checked(definition, false), checked(definition, true)) else {
        return Err(TestCaseError::reject("the definition has faults"));
    };
    let mut tape = Tape::new(fate);
    let mut world = World::start(workflow, mended);
    while !tape.has_ended() {
        if !world.act(&mut tape) && world.state.status().is_final() {
            break;
        }
    }
    world.finish();
    check_journal(&world.lines);
    check_history(&world.lines);
    for line in &world.lines {
        let stored = Event::from_body(&line.event.to_body().unwrap(), line.event.visit().cloned()).unwrap();
        assert_eq!(stored, line.event);
    }
    let length = world.lines.len();
    for cut in (1..=length).step_by(1 + length / CUTS_MAX) {
        // All the way from a few places, and up to the second next action from everywhere.
        let actions = if cut % (1 + length / 3) == 0 { usize::MAX } else { 2 };
        drive(&world, &mut replay(&world, cut), cut, actions);
    }
    fork(&world, 1 + fork_at % length);
    Ok(())
}

fn fork(world: &World, length: usize) {
    let mut fork = World {
        workflow: Arc::clone(&world.workflow),
        mended: Arc::clone(&world.mended),
        state: replay(world, length),
        lines: world.lines[..length].to_vec(),
        now: world.now,
        children: 10_000,
    };
    let (run, by) = (facts().run_id, "p".to_owned());
    fork.write(Event::RunForked { run, by, vars: variables(&json!({})), since: world.now }, Action::Command);
    fork.finish();
    check_journal(&fork.lines);
    check_history(&fork.lines);
}

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    // A failing case is printed as short as it can be made, and belongs among the sentences then.
    ProptestConfig { cases: cases.unwrap_or(CASES), failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_run_goes_on_from_its_journal_as_if_nothing_had_happened(
        definition in prop::collection::vec(any::<u16>(), 0..160),
        fate in prop::collection::vec(any::<u16>(), 0..120),
        fork_at in any::<u16>(),
    ) {
        check_world(&definition, fate, usize::from(fork_at))?;
    }
}
