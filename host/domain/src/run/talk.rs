//! The turns of agent steps: what they change, what follows from them, and what they wait for.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::frame::{Open, Work, for_each_frame};
use super::state::{Call, CallKind, OpenApproval, State};
use crate::definition::{AgentStep, StepKind};
use crate::journal::{Event, ScopePath, Visit};
use crate::talk::{Next, RemoteTask, Turn, next, task};

/// Characters of a tool's arguments that an approval shows: a person reads them.
const ARGUMENTS_SHOWN_CHARS_MAX: usize = 4_000;

/// What a visit with these turns calls next, and what that is given.
pub(super) fn call_of_turn(
    agent: &AgentStep,
    input: &Arc<Value>,
    talk: &[Arc<Turn>],
) -> Option<(CallKind, Arc<Value>)> {
    match next(talk, agent) {
        Next::Agent => Some((CallKind::Agent { agent_id: agent.agent_id.clone() }, Arc::clone(input))),
        Next::Tool(asked, tool) => {
            let (tool_name, plugin) = (tool.tool_name.clone(), tool.plugin.clone());
            Some((CallKind::Tool { tool_name, plugin, version: tool.version }, Arc::clone(&asked.arguments)))
        }
        Next::Approval(..) | Next::NoSuchTool(_) | Next::Input(_) => None,
    }
}

/// Whether it may wait for a signal.
pub(super) fn listens(work: &Work) -> bool {
    match work {
        Work::Listening => true,
        Work::Calling { talk, .. } => matches!(talk.last().map(|turn| &**turn), Some(Turn::InputRequired { .. })),
        _ => false,
    }
}

/// Under which name an approval of a tool call is asked and given: that of its turn inside the visit.
fn approval_of_turn(visit: &Visit, turn: usize, reopened: u32) -> Visit {
    let scope = match reopened {
        0 => ScopePath::inside(visit, format_args!("turn{turn}")),
        // The question was taken back when the run ended, and is another one now.
        _ => ScopePath::inside(visit, format_args!("turn{turn}-{reopened}")),
    };
    Visit { scope, step: visit.step.clone(), number: visit.number }
}

impl State {
    /// Takes a turn.
    pub(super) fn turned(&mut self, visit: &Visit, turn: &Arc<Turn>) {
        self.count(turn.measured());
        let Some(open) = self.open_visit(visit) else { return };
        if let Work::Calling { not_before, talk, .. } = &mut open.work {
            talk.push(Arc::clone(turn));
            *not_before = None;
            self.ready.insert(visit.scope.clone());
        }
    }

    /// The turn that follows from those before it and from what was sent to the run.
    pub(super) fn next_turn(
        &self,
        visit: &Visit,
        attempt: u32,
        talk: &[Arc<Turn>],
        agent: &AgentStep,
    ) -> Option<Event> {
        let (turn, signal) = match next(talk, agent) {
            Next::NoSuchTool(asked) => {
                (Turn::refusal("tool.unknown", format!("there is no tool `{}` for you", asked.name)), None)
            }
            Next::Input(_) => {
                let signal = self.signals.iter().find(|signal| signal.name == visit.step)?;
                let (input, by) = (Arc::clone(&signal.payload), signal.by.clone());
                (Turn::InputGiven { input, by }, Some(signal.number))
            }
            Next::Agent | Next::Tool(..) | Next::Approval(..) => return None,
        };
        Some(Event::StepTurn { visit: visit.clone(), attempt, turn: Arc::new(turn), signal })
    }

    /// Asks nobody again before `until`: the agent works on it. Nothing of this is in the journal; whoever takes the run up
    /// later asks at once.
    pub fn put_off(&mut self, call: &Call, until: DateTime<Utc>) {
        if !self.is_called(call) {
            return;
        }
        if let Some(Open { work: Work::Calling { not_before, .. }, .. }) = self.open_visit(&call.visit) {
            *not_before = Some(until);
        }
    }

    /// The decision that a tool call waits for.
    pub(super) fn asked_of_a_tool(&self, open: &Open, talk: &[Arc<Turn>]) -> Option<OpenApproval> {
        let StepKind::Agent(agent) = &self.workflow.steps[open.step].kind else { return None };
        let Next::Approval(asked, tool) = next(talk, agent) else { return None };
        let arguments = asked.arguments.to_string();
        let shown: String = arguments.chars().take(ARGUMENTS_SHOWN_CHARS_MAX).collect();
        let cut = if shown.len() < arguments.len() { " …" } else { "" };
        Some(OpenApproval {
            visit: approval_of_turn(&open.visit, talk.len(), self.reopened),
            message: format!("Agent `{}` wants to call `{}` with {shown}{cut}", agent.agent_id, tool.tool_name),
            approvers: tool.approvers.clone().unwrap_or_default(),
            expires_at: open.deadline,
        })
    }

    /// Whether a visit waits for somebody to allow a tool call.
    pub(super) fn waits_for_leave(&self, open: &Open) -> bool {
        match (&open.work, &self.workflow.steps[open.step].kind) {
            (Work::Calling { talk, .. }, StepKind::Agent(agent)) => matches!(next(talk, agent), Next::Approval(..)),
            _ => false,
        }
    }

    /// The entry of a decision on a tool call, asked under `visit`.
    pub(super) fn decided_of_a_tool(
        &self,
        visit: &Visit,
        approved: bool,
        by: String,
        note: Option<String>,
    ) -> Option<Event> {
        let open = self.frames.values().filter_map(|frame| frame.open());
        let (open, attempt) = open.into_iter().find_map(|open| match &open.work {
            Work::Calling { attempt, talk, .. }
                if approval_of_turn(&open.visit, talk.len(), self.reopened) == *visit && self.waits_for_leave(open) =>
            {
                Some((open, *attempt))
            }
            _ => None,
        })?;
        let turn = if approved {
            Turn::ToolAllowed { by, note }
        } else {
            let why = note.map(|note| format!(": {note}")).unwrap_or_default();
            Turn::refusal("approval.denied", format!("`{by}` did not allow this call{why}"))
        };
        Some(Event::StepTurn { visit: open.visit.clone(), attempt, turn: Arc::new(turn), signal: None })
    }

    /// The tasks of agents that this run waits for no more, with the visits that did, since the last time this was asked.
    pub fn take_abandoned_tasks(&mut self) -> Vec<(Visit, RemoteTask)> {
        std::mem::take(&mut self.abandoned_tasks)
    }

    /// Nobody waits for the task of this visit any more, if it has one.
    pub(super) fn let_go_of_task(&mut self, visit: &Visit) {
        if let Some(Open { work: Work::Calling { talk, .. }, .. }) = self.open_visit(visit)
            && let Some(task) = task(talk)
        {
            let left = (visit.clone(), task.clone());
            self.abandoned_tasks.push(left);
        }
    }

    /// A tool call that somebody allowed in another run is not allowed in this one.
    pub(super) fn take_leave_back(&mut self) {
        for_each_frame(&mut self.frames, &mut |_, frame| {
            if let Some(Open { work: Work::Calling { talk, .. }, .. }) = frame.kept_mut() {
                talk.pop_if(|turn| matches!(**turn, Turn::ToolAllowed { .. }));
            }
        });
    }

    /// Tasks that were given up are begun anew, and those of another run are not ours: the agent is told again.
    pub(super) fn forget_remote_tasks(&mut self) {
        for_each_frame(&mut self.frames, &mut |_, frame| {
            if let Some(Open { work: Work::Calling { talk, dropped, .. }, .. }) = frame.kept_mut()
                && task(talk).is_some()
            {
                *dropped += talk.len() as u32;
                talk.clear();
            }
        });
    }
}
