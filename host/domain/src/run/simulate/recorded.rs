//! What a run recorded, as answers for a test.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use crate::call::CallError;
use crate::journal::{Entry, Event, Measured, Visit};

/// One answer: what a step gave, or how it failed.
pub(super) type Answer = Result<Arc<Value>, CallError>;

/// How attempts of one visit ended, by their numbers.
type Attempts = HashMap<u32, (Answer, Option<Measured>)>;

/// How each attempt of each visit ended. Step ids are unique in a definition, so that a visit is its step and its number,
/// wherever it took place.
#[derive(Debug, Default)]
pub(super) struct Recorded(HashMap<(String, u32), Attempts>);

impl Recorded {
    /// Reads a journal. Where an attempt was made again, since its run was retried, the later end counts.
    pub(super) fn of(journal: &[Entry]) -> Self {
        let mut recorded = Self::default();
        for Entry { event, .. } in journal {
            match event {
                Event::StepSucceeded { visit, attempt, output, measured, .. } => {
                    recorded.keep(visit, *attempt, Ok(Arc::clone(output)), measured.clone());
                }
                Event::AttemptFailed { visit, attempt, error, .. } => {
                    recorded.keep(visit, *attempt, Err(error.clone()), None);
                }
                // The last attempt's error, whose class the journal does not tell: the step failed for good.
                Event::StepFailed { visit, error, .. } => {
                    let last = CallError::permanent(error.code.clone(), error.message.clone());
                    recorded.keep(visit, error.attempts, Err(last), None);
                }
                _ => {}
            }
        }
        recorded
    }

    pub(super) fn answer(&self, visit: &Visit, attempt: u32) -> Option<(Answer, Option<Measured>)> {
        self.0.get(&(visit.step.clone(), visit.number))?.get(&attempt).cloned()
    }

    fn keep(&mut self, visit: &Visit, attempt: u32, answer: Answer, measured: Option<Measured>) {
        let attempts = self.0.entry((visit.step.clone(), visit.number)).or_default();
        attempts.insert(attempt, (answer, measured));
    }
}
