//! What a run did, attempt by attempt, folded from its journal for people to read.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::call::PromptUse;
use crate::definition::{StepKind, Workflow};
use crate::id::RunId;
use crate::journal::{Entry, Event, Failure, Measured, Visit};
use crate::talk::{self, Turn};

/// One attempt of one visit, or a visit that called nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptRecord {
    /// Which visit.
    pub visit: Visit,
    /// Which try, from 1; 0 where nothing was called.
    pub attempt: u32,
    /// How it stands.
    pub status: AttemptStatus,
    /// What it was given; null where nothing is called.
    pub input: Arc<Value>,
    /// What it gave; null unless it ended well.
    pub output: Arc<Value>,
    /// Why it failed.
    pub error: Option<Failure>,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// How long the call took, in milliseconds.
    pub duration_ms: Option<u64>,
    /// What was measured of a call that ended well.
    pub measured: Option<Measured>,
    /// What went on between an agent and its step in this attempt, with the time of each turn.
    pub turns: Vec<(DateTime<Utc>, Arc<Turn>)>,
    /// The system prompt that an agent was called with.
    pub prompt: Option<PromptUse>,
    /// The run that a `workflow` step started.
    pub child: Option<RunId>,
    /// When a wait is over, an approval expires, or the visit must have ended.
    pub deadline: Option<DateTime<Utc>>,
}

/// How an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AttemptStatus {
    /// Under way, or waiting for its turn.
    Running,
    /// Waits for a time, an event, a decision or another run.
    Waiting,
    /// Ended well.
    Success,
    /// Ended badly.
    Failed,
    /// Its `when` did not hold.
    Skipped,
    /// Let go, since its group or its run ended first.
    Cancelled,
}

/// Every attempt of a run, in the order in which they began.
pub fn history(journal: &[Entry]) -> Vec<AttemptRecord> {
    let mut records: Vec<AttemptRecord> = Vec::new();
    let mut open: HashMap<&Visit, usize> = HashMap::new();
    let mut last: HashMap<&Visit, usize> = HashMap::new();
    for Entry { at, event } in journal {
        let Some(visit) = event.visit() else {
            // A fork starts, asks and calls anew what the other run was waiting for.
            if event.ends_the_run() || matches!(event, Event::RunForked { .. }) {
                let_go(&mut records, &mut open, *at, |_| true);
            }
            continue;
        };
        let index = match (event, open.get(visit)) {
            (_, Some(index)) => *index,
            (_, None) => {
                // A retry goes on with a visit that had been let go: it was given the same.
                let same = last.get(visit).map(|index| &records[*index]);
                let record = same.map_or_else(
                    || begun(visit, *at),
                    |same| AttemptRecord {
                        input: Arc::clone(&same.input),
                        attempt: same.attempt,
                        child: same.child,
                        ..begun(visit, *at)
                    },
                );
                records.push(record);
                open.insert(visit, records.len() - 1);
                last.insert(visit, records.len() - 1);
                records.len() - 1
            }
        };
        let record = &mut records[index];
        match event {
            Event::StepStarted { input, deadline, .. } => {
                record.input = Arc::clone(input);
                record.deadline = *deadline;
                record.attempt = u32::from(!input.is_null());
            }
            Event::AttemptFailed { attempt, error, retry_at, duration_ms, .. } => {
                record.status = AttemptStatus::Failed;
                record.error = Some(Failure {
                    step_id: Some(visit.step.clone()),
                    code: error.code.clone().into_owned(),
                    message: error.message.clone(),
                    attempts: *attempt,
                    evidence: error.evidence.clone(),
                });
                (record.finished_at, record.duration_ms) = (Some(*at), Some(*duration_ms));
                record.prompt = error.prompt.as_deref().cloned();
                let next =
                    AttemptRecord { input: Arc::clone(&record.input), attempt: attempt + 1, ..begun(visit, *retry_at) };
                records.push(next);
                open.insert(visit, records.len() - 1);
                last.insert(visit, records.len() - 1);
            }
            Event::StepSucceeded { attempt, output, measured, .. } => {
                (record.status, record.attempt, record.output) = (AttemptStatus::Success, *attempt, Arc::clone(output));
                record.finished_at = Some(*at);
                record.duration_ms = measured.as_ref().map(|measured| measured.duration_ms);
                record.measured.clone_from(measured);
                record.prompt = measured.as_ref().and_then(|measured| measured.prompt.as_deref().cloned());
            }
            Event::StepFailed { error, duration_ms, prompt, .. } => {
                (record.status, record.error) = (AttemptStatus::Failed, Some(error.clone()));
                (record.finished_at, record.duration_ms) = (Some(*at), *duration_ms);
                record.prompt = prompt.as_deref().cloned();
            }
            Event::StepSkipped { .. } => {
                (record.status, record.finished_at) = (AttemptStatus::Skipped, Some(*at));
            }
            Event::StepTurn { turn, .. } => record.turns.push((*at, Arc::clone(turn))),
            Event::ChildStarted { run, .. } => record.child = Some(*run),
            // A pass, and what the run itself does, is no attempt.
            _ => {}
        }
        if matches!(event, Event::StepSucceeded { .. } | Event::StepFailed { .. } | Event::StepSkipped { .. }) {
            open.remove(visit);
            // A group that has ended, at its first failure perhaps, waits for none of its branches any more. A condition
            // that has ended may have its block still before it, but nothing of that has begun.
            let inside = format!("{}:{}:", visit.step, visit.number);
            let inside = match visit.scope.as_str() {
                "" => inside,
                outer => format!("{outer}/{inside}"),
            };
            let_go(&mut records, &mut open, *at, |nested| nested.scope.as_str().starts_with(&inside));
        }
    }
    records
}

/// As [`history`], each attempt with the type of its step in `workflow`; what waits for a time, an event, a decision or another
/// run is shown to wait.
pub fn history_of(workflow: &Workflow, journal: &[Entry]) -> Vec<(AttemptRecord, &'static str)> {
    let mut records = history(journal);
    let waiting: Vec<bool> = (0..records.len()).map(|index| waits(workflow, &records, index)).collect();
    for (record, waits) in records.iter_mut().zip(waiting) {
        if waits {
            record.status = AttemptStatus::Waiting;
        }
    }
    let kind_of = |record: &AttemptRecord| {
        workflow.step_index(&record.visit.step).map_or("", |index| workflow.steps[index].kind.name())
    };
    records.into_iter().map(|record| (kind_of(&record), record)).map(|(kind, record)| (record, kind)).collect()
}

/// Whether what is under way waits for a time, an event, a decision or another run.
fn waits(workflow: &Workflow, records: &[AttemptRecord], index: usize) -> bool {
    let record = &records[index];
    if record.status != AttemptStatus::Running {
        return false;
    }
    match workflow.step_index(&record.visit.step).map(|index| &workflow.steps[index].kind) {
        Some(StepKind::Wait(_) | StepKind::Approval(_) | StepKind::Workflow(_)) => true,
        Some(StepKind::Agent(agent)) => {
            let mut talk = Vec::new();
            for earlier in records[..=index].iter().filter(|earlier| earlier.visit == record.visit) {
                talk.extend(earlier.turns.iter().map(|(_, turn)| Arc::clone(turn)));
                if earlier.error.as_ref().is_some_and(|error| error.code == talk::TASK_FAILED) {
                    talk.clear();
                }
            }
            talk::waits_for_somebody(&talk, agent)
        }
        _ => false,
    }
}

fn begun(visit: &Visit, at: DateTime<Utc>) -> AttemptRecord {
    AttemptRecord {
        visit: visit.clone(),
        attempt: 0,
        status: AttemptStatus::Running,
        input: Arc::new(Value::Null),
        output: Arc::new(Value::Null),
        error: None,
        started_at: at,
        finished_at: None,
        duration_ms: None,
        measured: None,
        turns: Vec::new(),
        prompt: None,
        child: None,
        deadline: None,
    }
}

fn let_go(
    records: &mut [AttemptRecord],
    open: &mut HashMap<&Visit, usize>,
    at: DateTime<Utc>,
    ends: impl Fn(&Visit) -> bool,
) {
    open.retain(|visit, index| {
        let lets_go = ends(visit);
        if lets_go {
            let record = &mut records[*index];
            record.status = AttemptStatus::Cancelled;
            record.finished_at = Some(at.max(record.started_at));
        }
        !lets_go
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::call::{CallError, ErrorClass};
    use crate::journal::ScopePath;

    fn at(second: i64, event: Event) -> Entry {
        Entry { at: DateTime::from_timestamp(second, 0).unwrap(), event }
    }

    fn visit(step: &str, scope: ScopePath) -> Visit {
        Visit { scope, step: step.into(), number: 1 }
    }

    fn failure() -> Failure {
        Failure { attempts: 1, ..Failure::new(None, "x", "x") }
    }

    #[test]
    fn a_repeated_attempt_is_a_record_of_its_own() {
        let draft = visit("draft", ScopePath::default());
        let input = Arc::new(json!({ "message": "m" }));
        let journal = [
            at(1, Event::StepStarted { visit: draft.clone(), input: Arc::clone(&input), deadline: None }),
            at(
                2,
                Event::AttemptFailed {
                    visit: draft.clone(),
                    attempt: 1,
                    error: CallError::new(ErrorClass::Server, "agent.server_error", "500"),
                    retry_at: DateTime::from_timestamp(5, 0).unwrap(),
                    duration_ms: 9,
                },
            ),
            at(
                6,
                Event::StepSucceeded {
                    visit: draft,
                    attempt: 2,
                    output: Arc::new(json!("ok")),
                    measured: None,
                    signal: None,
                },
            ),
        ];
        let records = history(&journal);
        let seen: Vec<_> = records.iter().map(|record| (record.attempt, record.status, &record.input)).collect();
        assert_eq!(seen, [(1, AttemptStatus::Failed, &input), (2, AttemptStatus::Success, &input)]);
        assert_eq!(records[1].started_at.timestamp(), 5);
    }

    #[test]
    fn branches_of_a_group_that_failed_are_let_go() {
        let group = visit("group", ScopePath::default());
        let branch = visit("slow", ScopePath::inside(&group, 1));
        let journal = [
            at(1, Event::StepStarted { visit: group.clone(), input: Arc::new(Value::Null), deadline: None }),
            at(1, Event::StepStarted { visit: branch, input: Arc::new(json!({})), deadline: None }),
            at(2, Event::StepFailed { visit: group, error: failure(), duration_ms: None, prompt: None }),
        ];
        let statuses: Vec<_> = history(&journal).into_iter().map(|record| record.status).collect();
        assert_eq!(statuses, [AttemptStatus::Failed, AttemptStatus::Cancelled]);
    }

    #[test]
    fn a_run_that_ended_leaves_nothing_running() {
        let journal = [
            at(
                1,
                Event::StepStarted {
                    visit: visit("a", ScopePath::default()),
                    input: Arc::new(json!({})),
                    deadline: None,
                },
            ),
            at(2, Event::RunTimedOut { error: failure() }),
        ];
        assert_eq!(history(&journal)[0].status, AttemptStatus::Cancelled);
    }

    fn begins(second: i64, visit: &Visit) -> Entry {
        let input = Arc::new(json!({ "message": "m" }));
        at(second, Event::StepStarted { visit: visit.clone(), input, deadline: None })
    }

    fn ends_well(second: i64, visit: &Visit, attempt: u32) -> Entry {
        let (visit, output) = (visit.clone(), Arc::new(Value::Null));
        at(second, Event::StepSucceeded { visit, attempt, output, measured: None, signal: None })
    }

    #[test]
    fn a_visit_that_a_retry_goes_on_with_is_another_record_of_the_same_attempt_and_child() {
        let sub = visit("sub", ScopePath::default());
        let run = RunId::from_parts(1, [1; 10]);
        let since = DateTime::from_timestamp(4, 0).unwrap();
        let journal = [
            begins(1, &sub),
            at(2, Event::ChildStarted { visit: sub.clone(), attempt: 1, run }),
            at(3, Event::RunTimedOut { error: failure() }),
            at(4, Event::RunRetried { by: "ann".into(), version: None, vars: Default::default(), since }),
            at(5, Event::StepFailed { visit: sub, error: failure(), duration_ms: None, prompt: None }),
        ];
        let records = history(&journal);
        let seen: Vec<_> = records.iter().map(|record| (record.attempt, record.status, record.child)).collect();
        assert_eq!(seen, [(1, AttemptStatus::Cancelled, Some(run)), (1, AttemptStatus::Failed, Some(run))]);
        assert_eq!(records[0].input, records[1].input);
    }

    #[test]
    fn what_the_original_of_a_fork_waited_for_is_let_go() {
        let (ask, call) = (visit("ask", ScopePath::default()), visit("call", ScopePath::default()));
        let since = DateTime::from_timestamp(3, 0).unwrap();
        let run = RunId::from_parts(1, [1; 10]);
        let journal = [
            begins(1, &ask),
            begins(2, &call),
            at(3, Event::RunForked { run, by: "ann".into(), vars: Default::default(), since }),
            begins(4, &Visit { number: 2, ..ask }),
            ends_well(5, &call, 1),
        ];
        let statuses: Vec<_> = history(&journal).into_iter().map(|record| record.status).collect();
        use AttemptStatus::{Cancelled, Running, Success};
        assert_eq!(statuses, [Cancelled, Cancelled, Running, Success]);
    }
}
