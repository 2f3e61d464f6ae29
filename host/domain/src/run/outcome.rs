//! What the answer to a call means for the run.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::decide::failure_of_step;
use super::frame::Work;
use super::state::{Call, CallKind, State};
use crate::call::CallError;
use crate::definition::{AgentStep, StepKind};
use crate::duration::format_duration;
use crate::journal::{Event, Failure, Measured};
use crate::retry::RetryPolicy;
use crate::talk::{TOOL_CALLS_AT_ONCE_MAX, ToolAnswer, Turn, rounds as rounds_of};

/// One attempt that is over.
#[derive(Debug)]
pub struct Attempt {
    /// The call that was made.
    pub call: Call,
    /// How it ended.
    pub result: Result<Answered, CallError>,
    /// How long it took.
    pub duration: Duration,
}

/// How an attempt ended: with a value, or an error.
pub type AttemptResult = Result<(Value, Measured), CallError>;

/// What an attempt came to that did not fail.
#[derive(Debug)]
pub enum Answered {
    /// The call is over.
    Done(Value, Measured),
    /// The visit has taken a turn, and goes on.
    Turn(Turn),
    /// The agent works on it; ask again after this.
    NotYet(Duration),
}

impl From<(Value, Measured)> for Answered {
    fn from((value, measured): (Value, Measured)) -> Self {
        Self::Done(value, measured)
    }
}

impl State {
    /// The entry that an attempt makes, or `None` where nobody waits for it any more, or where there is none yet. `now` and `chance` (in `0.0..1.0`)
    /// decide when a next attempt is due; `repeatable` says whether what was called may be called again by default.
    pub fn judge(&self, attempt: Attempt, repeatable: bool, now: DateTime<Utc>, chance: f64) -> Option<Event> {
        let Attempt { call, result, duration } = attempt;
        if !self.is_called(&call) {
            return None;
        }
        let duration_ms = duration.as_millis() as u64;
        if let (StepKind::Agent(agent), CallKind::Tool { .. }) = (&self.workflow.steps[call.step].kind, &call.kind) {
            return Some(self.tool_answered(agent, call, result));
        }
        let error = match result {
            Ok(Answered::NotYet(_)) => return None,
            Ok(Answered::Turn(turn)) => match self.check_turn(&call, &turn) {
                Ok(()) => {
                    let (visit, attempt) = (call.visit, call.attempt);
                    return Some(Event::StepTurn { visit, attempt, turn: Arc::new(turn), signal: None });
                }
                Err(error) => error,
            },
            Ok(Answered::Done(output, _)) if matches!(call.kind, CallKind::Child { .. }) => {
                let run = output.as_str()?.parse().ok()?;
                return Some(Event::ChildStarted { visit: call.visit, attempt: call.attempt, run });
            }
            Ok(Answered::Done(output, measured)) => {
                return Some(Event::StepSucceeded {
                    visit: call.visit,
                    attempt: call.attempt,
                    output: Arc::new(output),
                    measured: Some(measured),
                    signal: None,
                });
            }
            Err(error) => error,
        };
        let policy = self.policy(&call, repeatable);
        Some(match policy.delay_after(call.attempt, &error, chance) {
            Some(delay) => Event::AttemptFailed {
                visit: call.visit,
                attempt: call.attempt,
                error,
                retry_at: now + delay,
                duration_ms,
            },
            None => Event::StepFailed {
                error: failure_of_step(&call.visit, &error, call.attempt),
                visit: call.visit,
                duration_ms: Some(duration_ms),
                prompt: error.prompt,
            },
        })
    }

    /// A model is told what its tool said, and goes on from there.
    fn tool_answered(&self, agent: &AgentStep, call: Call, result: Result<Answered, CallError>) -> Event {
        let turn = match result {
            Ok(Answered::Done(output, measured)) => {
                Turn::ToolAnswered { answer: ToolAnswer::Output(Arc::new(output)), measured: Some(measured) }
            }
            Err(error) => Turn::refusal(&error.code, error.message),
            // No tool does either.
            Ok(Answered::Turn(_) | Answered::NotYet(_)) => Turn::refusal("internal", agent.agent_id.clone()),
        };
        Event::StepTurn { visit: call.visit, attempt: call.attempt, turn: Arc::new(turn), signal: None }
    }

    /// Whether a visit may take this turn.
    fn check_turn(&self, call: &Call, turn: &Turn) -> Result<(), CallError> {
        let (Turn::ToolsAsked { calls, .. }, StepKind::Agent(agent)) = (turn, &self.workflow.steps[call.step].kind)
        else {
            return Ok(());
        };
        let id = &agent.agent_id;
        if calls.len() > TOOL_CALLS_AT_ONCE_MAX {
            let message = format!(
                "agent `{id}` asks for {} tool calls at once, and may for {TOOL_CALLS_AT_ONCE_MAX}",
                calls.len()
            );
            return Err(CallError::permanent("agent.too_many_tool_calls", message));
        }
        if rounds_of(&call.talk) >= agent.max_rounds {
            let message = format!(
                "agent `{id}` has asked for tools {} times and asks again; the step's `maxRounds` says when it must answer",
                agent.max_rounds
            );
            return Err(CallError::permanent("agent.too_many_rounds", message));
        }
        Ok(())
    }

    /// Whether this very attempt is waited for.
    pub(super) fn is_called(&self, call: &Call) -> bool {
        let open = self.frames.get(&call.visit.scope).and_then(|frame| frame.open());
        let attempt = open.filter(|open| open.visit == call.visit).and_then(|open| match open.work {
            Work::Calling { attempt, ref talk, dropped, .. } => Some((attempt, dropped + talk.len() as u32)),
            _ => None,
        });
        self.ended.is_none() && attempt == Some((call.attempt, call.turn))
    }

    /// The entry of a run that took longer than it may.
    pub fn time_out(&self) -> Event {
        let bound = self.workflow.timeout.unwrap_or_default();
        let message = format!("the run took longer than its `timeout` of {}", format_duration(bound));
        Event::RunTimedOut { error: Failure::new(None, "run.timeout", message) }
    }

    /// When the run must be over.
    pub fn deadline(&self) -> Option<DateTime<Utc>> {
        Some(self.since + self.workflow.timeout?)
    }

    fn policy(&self, call: &Call, repeatable: bool) -> RetryPolicy {
        match (&self.workflow.steps[call.step].retry, &call.kind) {
            (Some(policy), _) => policy.clone(),
            (None, CallKind::Agent { .. }) => RetryPolicy::agent_default(),
            (None, CallKind::Child { .. }) => RetryPolicy::once(),
            (None, _) if repeatable => RetryPolicy::agent_default(),
            (None, _) => RetryPolicy::once(),
        }
    }
}
