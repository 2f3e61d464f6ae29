//! Pipelines and templates of them: what is sent and answered.

mod handlers;
mod templates;

use std::sync::Arc;

use armilla_domain::id::{RunId, WorkflowId};
use armilla_domain::journal::Failure;
use armilla_domain::pipeline::{Stage, StageRecord, StageStatus};
use armilla_domain::run::RunStatus;
use armilla_engine::StartedPipeline;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

pub(crate) use self::handlers::*;
pub use self::templates::*;
use crate::runs::{RunStatusSchema, UsageBody, UsageSchema};
use crate::wire::Timestamp;

/// A pipeline to be run. Its bounds are judged together with the agents, so that each has a code of its own.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunPipeline {
    /// What the first agent is told, to the letter: at most 100,000 characters, however many bytes each has.
    #[schema(min_length = 1, max_length = 100_000, example = "tidal power")]
    pub input: String,
    /// The agents, in the order in which they are asked.
    #[schema(min_items = 1, max_items = 20)]
    pub stages: Vec<PipelineStage>,
}

/// One agent of a pipeline.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PipelineStage {
    /// Which agent.
    #[schema(min_length = 1, max_length = 64, example = "research-agent")]
    pub agent_id: String,
    /// What is added to its system prompt, to the letter.
    #[schema(max_length = 100_000)]
    pub system_prompt_suffix: Option<String>,
}

/// A pipeline template to be run.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExecutePipelineTemplate {
    /// Its name.
    #[schema(min_length = 1, max_length = 64, example = "research-article")]
    pub template: String,
    /// What the first agent is told, to the letter: at most 100,000 characters, however many bytes each has.
    #[schema(min_length = 1, max_length = 100_000, example = "tidal power")]
    pub input: String,
    /// Values of the template's variables: texts, numbers, true or false.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub variables: Map<String, Value>,
}

/// A run of a pipeline.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PipelineRun)]
pub struct PipelineRunBody {
    /// Its id, which every operation on runs takes.
    #[schema(value_type = String, example = "run_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    pub id: RunId,
    /// The linear workflow that it is a run of.
    #[schema(value_type = String, example = "wf_0196f0c45e7a8c3f8d1b2a3c4d5e6f70")]
    pub workflow_id: WorkflowId,
    /// What it is doing, or how it ended.
    #[schema(value_type = RunStatusSchema)]
    pub status: RunStatus,
    /// What the last agent answered: text, or the object or array that its text is. Null before the end.
    #[schema(value_type = Value)]
    pub output: Arc<Value>,
    /// Every stage, in order.
    pub stages: Vec<StageBody>,
    /// Why it failed; null unless it did.
    #[schema(required = true)]
    pub error: Option<PipelineFailureBody>,
    /// Tokens of all stages; null where no agent said.
    #[schema(required = true, value_type = Option<UsageSchema>)]
    pub usage: Option<UsageBody>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it ended; null before.
    #[schema(required = true)]
    pub finished_at: Option<Timestamp>,
}

/// How one stage of a pipeline's run stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PipelineRunStage)]
pub struct StageBody {
    /// Which agent.
    pub agent_id: String,
    /// The step of the run that it is.
    #[schema(example = "stage-1")]
    pub step_id: String,
    /// How it stands.
    #[schema(value_type = StageStatusSchema)]
    pub status: StageStatus,
    /// What the agent answered; null before.
    #[schema(value_type = Value)]
    pub output: Arc<Value>,
    /// How long the calls of the agent took together, in milliseconds, without the waits between them; null before the first ended.
    #[schema(required = true)]
    pub duration_ms: Option<u64>,
    /// How many times the agent was asked, with the time that is to come where it will be asked again.
    pub attempts: u32,
    /// Tokens; null where the agent did not say.
    #[schema(required = true, value_type = Option<UsageSchema>)]
    pub usage: Option<UsageBody>,
}

/// What stopped a pipeline.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PipelineFailure)]
pub struct PipelineFailureBody {
    /// The failed stage's place in `stages`, from 0; null where the run itself failed.
    #[schema(required = true, minimum = 0)]
    pub stage: Option<usize>,
    /// The failed stage's agent; null where the run itself failed.
    #[schema(required = true)]
    pub agent_id: Option<String>,
    /// Stable and dotted, for programs.
    #[schema(example = "agent.unavailable")]
    pub code: String,
    /// For people.
    pub message: String,
    /// How many attempts were made.
    pub attempts: u32,
}

/// A run of a pipeline.
#[derive(Debug, Serialize, ToSchema)]
pub struct PipelineRunResponse {
    /// The run.
    pub run: PipelineRunBody,
}

impl From<PipelineStage> for Stage {
    fn from(PipelineStage { agent_id, system_prompt_suffix }: PipelineStage) -> Self {
        Self { agent_id, system_prompt_suffix }
    }
}

impl From<StartedPipeline> for PipelineRunBody {
    fn from(StartedPipeline { run, stages, .. }: StartedPipeline) -> Self {
        let output = stages.last().filter(|_| run.status == RunStatus::Success).map(|last| Arc::clone(&last.output));
        Self {
            id: run.id,
            workflow_id: run.workflow,
            status: run.status,
            output: output.unwrap_or_default(),
            error: run.error.map(|failure| PipelineFailureBody::new(failure, &stages)),
            usage: StageRecord::usage_of(&stages).map(Into::into),
            stages: stages.into_iter().map(StageBody::from).collect(),
            created_at: run.created_at.into(),
            finished_at: run.finished_at.map(Timestamp),
        }
    }
}

impl PipelineFailureBody {
    fn new(failure: Failure, stages: &[StageRecord]) -> Self {
        let stage = stages.iter().position(|stage| Some(&stage.step_id) == failure.step_id.as_ref());
        Self {
            stage,
            agent_id: stage.map(|stage| stages[stage].agent_id.clone()),
            code: failure.code,
            message: failure.message,
            attempts: failure.attempts,
        }
    }
}

impl From<StageRecord> for StageBody {
    fn from(stage: StageRecord) -> Self {
        Self {
            agent_id: stage.agent_id,
            step_id: stage.step_id,
            status: stage.status,
            output: stage.output,
            duration_ms: stage.duration_ms,
            attempts: stage.attempts,
            usage: stage.usage.map(Into::into),
        }
    }
}

// The domain knows nothing of OpenAPI, so its types that are sent as they are have their schemas here. A test compares.

/// How a stage stands: `pending` until its turn comes.
#[derive(ToSchema)]
#[schema(as = StageStatus, rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema, never a value")]
enum StageStatusSchema {
    Pending,
    Running,
    Success,
    Failed,
    Cancelled,
}

#[cfg(test)]
mod tests {
    use armilla_domain::pipeline::{PIPELINE_INPUT_CHARS_MAX, PIPELINE_STAGES_MAX, STAGE_SUFFIX_CHARS_MAX};
    use serde_json::json;
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_bounds_that_are_documented_are_the_ones_that_hold() {
        for schema in [json!(RunPipeline::schema()), json!(ExecutePipelineTemplate::schema())] {
            assert_eq!(schema["properties"]["input"]["maxLength"], json!(PIPELINE_INPUT_CHARS_MAX));
        }
        assert_eq!(json!(RunPipeline::schema())["properties"]["stages"]["maxItems"], json!(PIPELINE_STAGES_MAX));
        let stage = json!(PipelineStage::schema());
        assert_eq!(stage["properties"]["systemPromptSuffix"]["maxLength"], json!(STAGE_SUFFIX_CHARS_MAX));
        assert_eq!(stage["required"], json!(["agentId"]));
    }

    #[test]
    fn every_status_of_a_stage_is_documented_as_it_is_sent() {
        use StageStatus::{Cancelled, Failed, Pending, Running, Success};
        let sent = json!([Pending, Running, Success, Failed, Cancelled]);
        assert_eq!(json!(StageStatusSchema::schema())["enum"], sent);
    }
}
