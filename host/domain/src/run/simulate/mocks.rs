//! What stands in for the outside world: read from what a caller sent, with every fault at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::recorded::{Answer, Recorded};
use crate::call::{CallError, ErrorClass};
use crate::definition::{Condition, StepKind, Wait, Workflow};
use crate::fault::{Fault, pointer};
use crate::id::RunId;
use crate::journal::{Entry, Measured, Visit};
use crate::json::kind_of;

/// Answers of one `sequence`: more are a program, not an example.
pub const MOCK_SEQUENCE_MAX: usize = 1_000;
/// Characters of a mocked error's code, as of a `fail` step's.
const CODE_CHARS_MAX: usize = crate::definition::FAIL_CODE_CHARS_MAX;
/// Characters of a mocked error's message: a message is a sentence.
const MESSAGE_CHARS_MAX: usize = 4_000;
/// What a mock may have, of which it has one.
const FORMS: [&str; 4] = ["output", "error", "sequence", "recorded"];
const CLASSES: &str = "`timeout`, `unavailable`, `rateLimited`, `server`, `tool` or `permanent`";

/// What stands in for the outside world.
#[derive(Debug, Default)]
pub struct Mocks {
    by_step: HashMap<String, Mock>,
    /// The run that answers for the steps without a mock.
    recorded_from: Option<RunId>,
    recorded: HashMap<RunId, Recorded>,
    /// How many answers of its sequence a step was given.
    given: HashMap<String, usize>,
}

#[derive(Debug)]
enum Mock {
    /// One for each attempt, whatever its visit; the last repeats. Never empty.
    Answers(Vec<Answer>),
    Recorded(RunId),
}

impl Mocks {
    /// Reads the mocks of a test of `workflow`: by step, and the run that answers for all others. Faults are placed at
    /// `/mocks/…` and `/recordedFrom`; what has none is there even where others have.
    pub fn read(mocks: &Map<String, Value>, recorded_from: Option<&str>, workflow: &Workflow) -> (Self, Vec<Fault>) {
        let mut read = Self::default();
        let mut faults = Vec::new();
        for (step, mock) in mocks {
            let place = pointer("/mocks", step);
            let Some(index) = workflow.step_index(step) else {
                faults.push(Fault::new(place, "mock.unknown_step", format!("the definition has no step `{step}`")));
                continue;
            };
            let kind = &workflow.steps[index].kind;
            if !is_mockable(kind) {
                let detail = format!("`{step}` asks nobody outside the run: a {} step is not mocked", kind.name());
                faults.push(Fault::new(place, "mock.not_mockable", detail));
                continue;
            }
            if let Some(mock) = read_mock(mock, kind, &place, &mut faults) {
                read.by_step.insert(step.clone(), mock);
            }
        }
        read.recorded_from = recorded_from.and_then(|text| read_run(text, "/recordedFrom", &mut faults));
        (read, faults)
    }

    /// The runs that answer, each with the places that name it.
    pub fn runs(&self) -> BTreeMap<RunId, Vec<String>> {
        let mut runs: BTreeMap<RunId, Vec<String>> = BTreeMap::new();
        if let Some(run) = self.recorded_from {
            runs.entry(run).or_default().push("/recordedFrom".to_owned());
        }
        for (step, mock) in &self.by_step {
            if let Mock::Recorded(run) = mock {
                runs.entry(*run).or_default().push(pointer(&pointer("/mocks", step), "recorded"));
            }
        }
        runs
    }

    /// What a run recorded. One of [`Mocks::runs`] that is never given answers nothing.
    pub fn supply(&mut self, run: RunId, journal: &[Entry]) {
        self.recorded.insert(run, Recorded::of(journal));
    }

    /// The answer to an attempt; to what is no attempt, such as a decision, where `attempt` is 0.
    pub(super) fn answer(&mut self, visit: &Visit, attempt: u32) -> Option<(Answer, Option<Measured>)> {
        let run = match self.by_step.get(&visit.step) {
            Some(Mock::Answers(answers)) => {
                let given = self.given.entry(visit.step.clone()).or_default();
                let answer = answers.get(*given).or(answers.last())?.clone();
                *given += 1;
                return Some((answer, None));
            }
            Some(Mock::Recorded(run)) => *run,
            None => self.recorded_from?,
        };
        self.recorded.get(&run)?.answer(visit, attempt)
    }
}

fn is_mockable(kind: &StepKind) -> bool {
    matches!(
        kind,
        StepKind::Agent(_)
            | StepKind::Tool(_)
            | StepKind::Workflow(_)
            | StepKind::Approval(_)
            | StepKind::Wait(Wait::Event { .. })
            | StepKind::Condition(Condition { evaluator: Some(_), .. })
    )
}

fn read_mock(mock: &Value, kind: &StepKind, place: &str, faults: &mut Vec<Fault>) -> Option<Mock> {
    let object = object_of(mock, &FORMS, "a mock", place, faults)?;
    let stated: Vec<&str> = FORMS.into_iter().filter(|form| object.contains_key(*form)).collect();
    match stated[..] {
        ["recorded"] => {
            let run = object["recorded"].as_str().unwrap_or_default();
            read_run(run, &pointer(place, "recorded"), faults).map(Mock::Recorded)
        }
        ["sequence"] => {
            let place = pointer(place, "sequence");
            let Some(items) = object["sequence"].as_array().filter(|items| !items.is_empty()) else {
                faults.push(Fault::new(place, "mock.type", "`sequence` is an array of at least one answer"));
                return None;
            };
            if items.len() > MOCK_SEQUENCE_MAX {
                let detail = format!("`sequence` has at most {MOCK_SEQUENCE_MAX} answers");
                faults.push(Fault::new(place, "mock.too_large", detail));
                return None;
            }
            let answers: Vec<Option<Answer>> = items
                .iter()
                .enumerate()
                .map(|(position, item)| {
                    let place = pointer(&place, position);
                    let item = object_of(item, &FORMS[..2], "an answer", &place, faults)?;
                    read_answer(item, kind, &place, faults)
                })
                .collect();
            answers.into_iter().collect::<Option<Vec<_>>>().map(Mock::Answers)
        }
        ["output"] | ["error"] => read_answer(object, kind, place, faults).map(|answer| Mock::Answers(vec![answer])),
        _ => {
            let detail = "a mock has one of `output`, `error`, `sequence`, `recorded`";
            faults.push(Fault::new(place, "mock.form", detail));
            None
        }
    }
}

fn read_answer(object: &Map<String, Value>, kind: &StepKind, place: &str, faults: &mut Vec<Fault>) -> Option<Answer> {
    match (object.get("output"), object.get("error")) {
        (Some(output), None) => {
            let place = pointer(place, "output");
            match kind {
                StepKind::Condition(_) if !output.is_boolean() => {
                    let detail = format!("a condition gives true or false, not {}", kind_of(output));
                    faults.push(Fault::new(place, "mock.type", detail));
                    return None;
                }
                StepKind::Approval(_) => check_decision(output, &place, faults)?,
                _ => {}
            }
            Some(Ok(Arc::new(output.clone())))
        }
        (None, Some(error)) => read_error(error, &pointer(place, "error"), faults).map(Err),
        _ => {
            faults.push(Fault::new(place, "mock.form", "an answer has one of `output` and `error`"));
            None
        }
    }
}

fn check_decision(output: &Value, place: &str, faults: &mut Vec<Fault>) -> Option<()> {
    let decision = object_of(output, &["approved", "note"], "a decision", place, faults)?;
    let before = faults.len();
    if !decision.get("approved").is_some_and(Value::is_boolean) {
        faults.push(Fault::new(pointer(place, "approved"), "mock.type", "`approved` is true or false"));
    }
    if decision.get("note").is_some_and(|note| !note.is_string() && !note.is_null()) {
        faults.push(Fault::new(pointer(place, "note"), "mock.type", "`note` is a text"));
    }
    (faults.len() == before).then_some(())
}

fn read_error(error: &Value, place: &str, faults: &mut Vec<Fault>) -> Option<CallError> {
    let object = object_of(error, &["code", "message", "class"], "an error", place, faults)?;
    let code = read_text(object, "code", CODE_CHARS_MAX, place, faults);
    let message = read_text(object, "message", MESSAGE_CHARS_MAX, place, faults);
    let class = match object.get("class") {
        None => Some(ErrorClass::Permanent),
        Some(class) => {
            let read = serde_json::from_value(class.clone()).ok();
            if read.is_none() {
                faults.push(Fault::new(pointer(place, "class"), "mock.value", format!("`class` is {CLASSES}")));
            }
            read
        }
    };
    Some(CallError::new(class?, code?, message?))
}

fn read_text(
    object: &Map<String, Value>,
    key: &str,
    chars_max: usize,
    place: &str,
    faults: &mut Vec<Fault>,
) -> Option<String> {
    let text = object.get(key).and_then(Value::as_str);
    let text = text.filter(|text| (1..=chars_max).contains(&text.chars().count()));
    if text.is_none() {
        let detail = format!("`{key}` is a text of 1 to {chars_max} characters");
        faults.push(Fault::new(pointer(place, key), "mock.type", detail));
    }
    text.map(str::to_owned)
}

fn read_run(text: &str, place: &str, faults: &mut Vec<Fault>) -> Option<RunId> {
    match text.parse() {
        Ok(run) => Some(run),
        Err(_) => {
            faults.push(Fault::new(place, "mock.type", "this is the id of a run: `run_…`"));
            None
        }
    }
}

/// An object that has no other fields than these.
fn object_of<'a>(
    value: &'a Value,
    known: &[&str],
    what: &str,
    place: &str,
    faults: &mut Vec<Fault>,
) -> Option<&'a Map<String, Value>> {
    let Some(object) = value.as_object() else {
        faults.push(Fault::new(place, "mock.type", format!("{what} is an object, not {}", kind_of(value))));
        return None;
    };
    let before = faults.len();
    for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
        faults.push(Fault::new(pointer(place, key), "mock.unknown_field", format!("{what} has no field `{key}`")));
    }
    (faults.len() == before).then_some(object)
}
