//! How far a pipeline has come, stage by stage.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::definition::{StepKind, Workflow};
use crate::journal::Usage;
use crate::run::{AttemptRecord, AttemptStatus};

/// One stage of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct StageRecord {
    /// The step of the workflow that it is.
    pub step_id: String,
    /// Which agent.
    pub agent_id: String,
    /// How it stands.
    pub status: StageStatus,
    /// What the agent answered; null before.
    pub output: Arc<Value>,
    /// How many times the agent was asked, with the time that is to come where it will be asked again.
    pub attempts: u32,
    /// How long its calls took together, in milliseconds, without the waits between them; absent before the first has ended.
    pub duration_ms: Option<u64>,
    /// Tokens of its calls that ended well, where the agent said.
    pub usage: Option<Usage>,
}

/// How a stage stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StageStatus {
    /// Its turn has not come.
    Pending,
    /// Its agent is asked, or will be again.
    Running,
    /// Ended well.
    Success,
    /// Ended badly.
    Failed,
    /// Let go with its run.
    Cancelled,
}

/// The stages of a run of a pipeline's `workflow`, in order, from the `history` of its attempts so far.
pub fn stages_of(workflow: &Workflow, history: &[AttemptRecord]) -> Vec<StageRecord> {
    let agents = workflow.steps.iter().filter_map(|step| match &step.kind {
        StepKind::Agent(agent) => Some((step.id.as_str(), agent.agent_id.as_str())),
        _ => None,
    });
    agents.map(|(step_id, agent_id)| stage_of(step_id, agent_id, history)).collect()
}

/// Tokens of several calls together; `None` where no agent said.
pub(super) fn sum(usages: impl Iterator<Item = Option<Usage>>) -> Option<Usage> {
    usages.flatten().reduce(Usage::and)
}

impl StageRecord {
    /// Tokens of all `stages`; `None` where no agent said.
    pub fn usage_of(stages: &[Self]) -> Option<Usage> {
        sum(stages.iter().map(|stage| stage.usage))
    }
}

fn stage_of(step_id: &str, agent_id: &str, history: &[AttemptRecord]) -> StageRecord {
    let attempts: Vec<&AttemptRecord> = history.iter().filter(|record| record.visit.step == step_id).collect();
    let last = attempts.last();
    StageRecord {
        step_id: step_id.to_owned(),
        agent_id: agent_id.to_owned(),
        status: last.map_or(StageStatus::Pending, |record| match record.status {
            AttemptStatus::Running | AttemptStatus::Waiting => StageStatus::Running,
            AttemptStatus::Success => StageStatus::Success,
            AttemptStatus::Failed => StageStatus::Failed,
            AttemptStatus::Skipped | AttemptStatus::Cancelled => StageStatus::Cancelled,
        }),
        output: last.map_or_else(|| Arc::new(Value::Null), |record| Arc::clone(&record.output)),
        attempts: attempts.iter().filter(|record| record.attempt > 0).count() as u32,
        duration_ms: attempts.iter().filter_map(|record| record.duration_ms).reduce(u64::saturating_add),
        usage: sum(attempts.iter().map(|record| record.measured.as_ref().and_then(|measured| measured.usage))),
    }
}
