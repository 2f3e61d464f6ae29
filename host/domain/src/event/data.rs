//! What events tell: one type for each, whose JSON Schema is served. Fields are only ever added.

mod parts;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use self::parts::{Anything, Tokens};
pub use self::parts::{EVENT_OUTPUT_BYTES_MAX, EVENT_TEXT_BYTES_MAX, Error, OfRun, OfStep, Output, beginning};
use crate::id::{ApprovalId, PromptOverrideId, RunId, WebhookId, WorkflowId};
use crate::journal::Usage;
use crate::plugin::Grant;

/// An object with any fields.
type Object = BTreeMap<String, Anything>;

/// `run.started`
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunStarted<'a> {
    /// The run.
    #[serde(flatten)]
    pub run: &'a OfRun,
    /// The run that waits for this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub parent_run_id: Option<RunId>,
    /// The run that this one takes up from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub forked_from: Option<RunId>,
}

/// `run.waiting`
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunWaiting<'a> {
    /// The run.
    #[serde(flatten)]
    pub run: &'a OfRun,
    /// When it goes on of itself; absent where only a message wakes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
}

/// `run.succeeded`
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunSucceeded<'a> {
    /// The run.
    #[serde(flatten)]
    pub run: &'a OfRun,
    /// What it answers.
    #[serde(flatten)]
    pub output: Output,
    /// Tokens of its agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Tokens>")]
    pub usage: Option<Usage>,
    /// Milliseconds since its beginning.
    pub duration_ms: u64,
}

/// `run.failed`, `run.cancelled` and `run.timed_out`
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunEndedBadly<'a> {
    /// The run.
    #[serde(flatten)]
    pub run: &'a OfRun,
    /// Why.
    pub error: Error<'a>,
    /// Milliseconds since its beginning.
    pub duration_ms: u64,
}

/// `step.succeeded` and `step.failed`
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepEnded<'a> {
    /// The step.
    #[serde(flatten)]
    pub step: OfStep<'a>,
    /// What kind of step, as the definition's `type` says it.
    pub r#type: &'a str,
    /// The attempt that did it, from 1; 0 where nothing was called.
    pub attempt: u32,
    /// Wall-clock milliseconds of that attempt; absent where nothing was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Why, where it ended badly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Error<'a>>,
}

/// `agent.completed` and `agent.failed`
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentEnded<'a> {
    /// The step that asked it.
    #[serde(flatten)]
    pub step: OfStep<'a>,
    /// The agent that the step names.
    pub agent_id: &'a str,
    /// The one that stood in for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<&'a str>,
    /// What it answered.
    #[serde(flatten)]
    pub output: Output,
    /// Tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Tokens>")]
    pub usage: Option<Usage>,
    /// The version of its prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_version: Option<i32>,
    /// Wall-clock milliseconds of the last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Why, where it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Error<'a>>,
}

/// `tool.executed`
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolExecuted<'a> {
    /// The step that called it, or whose agent did.
    #[serde(flatten)]
    pub step: OfStep<'a>,
    /// The tool.
    pub tool: &'a str,
    /// The plugin that brings it, where the call went well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<&'a str>,
    /// SHA-256 of the plugin's component, where the call went well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<&'a str>,
    /// Whether it went well.
    pub ok: bool,
    /// What it gave.
    #[serde(flatten)]
    pub output: Output,
    /// Wall-clock milliseconds of the last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Why, where it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Error<'a>>,
}

/// `approval.requested`
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalRequested<'a> {
    /// The approval.
    #[schemars(with = "String")]
    pub approval_id: ApprovalId,
    /// The step that asks.
    #[serde(flatten)]
    pub step: OfStep<'a>,
    /// What is asked.
    pub message: &'a str,
    /// The roles that may decide.
    pub approvers: &'a [String],
    /// Until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

/// `approval.decided`
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalDecided<'a> {
    /// The approval.
    #[schemars(with = "String")]
    pub approval_id: ApprovalId,
    /// The run that asked.
    #[schemars(with = "String")]
    pub run_id: RunId,
    /// The step that asked.
    pub step_id: &'a str,
    /// `approved`, `denied`, `expired` or `withdrawn`.
    pub status: &'a str,
    /// Who decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<&'a str>,
    /// What they said about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'a str>,
}

/// `workflow.created`, `workflow.updated` and `workflow.deleted`
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowChanged<'a> {
    /// The workflow.
    #[schemars(with = "String")]
    pub workflow_id: WorkflowId,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// Its newest version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i32>,
    /// Who did it.
    pub by: &'a str,
}

/// The events about plugins; which fields there are depends on what happened.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PluginTold<'a> {
    /// The plugin's name; absent where the component has told none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<&'a str>,
    /// The version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i32>,
    /// The version that was active before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<i32>,
    /// Whether runs that were on other versions go on with this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_runs: Option<bool>,
    /// SHA-256 of the component.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<&'a str>,
    /// Where it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<&'a str>,
    /// Who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<&'a str>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'a str>,
    /// What it may touch from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Object>")]
    pub grant: Option<&'a Grant>,
    /// What it wanted and was not granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<&'a [String]>,
    /// The tool that was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<&'a str>,
    /// The run that called it; absent where somebody called it outside of any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub run_id: Option<RunId>,
    /// The step that called it, or whose agent did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_id: Option<&'a str>,
}

/// The events about prompts; which fields there are depends on what happened.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromptTold<'a> {
    /// The agent.
    pub agent_id: &'a str,
    /// The version that is new, or that the label names now, or that the override puts in place; absent where the label is gone, and where
    /// the override has a text of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i32>,
    /// SHA-256, in hexadecimal, of what the version or the override says, as the API shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<&'a str>,
    /// The label; of a new version, the one that it was made with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<&'a str>,
    /// The version that the label named before; absent where there was no such label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_version: Option<i32>,
    /// The earlier version whose content the new one has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<i32>,
    /// What is said of the version, or of the label's move.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'a str>,
    /// The override.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub override_id: Option<PromptOverrideId>,
    /// When the override is over at the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// Why there is the override.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// How the override ended: `expired`, `ended` or `replaced`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'a str>,
    /// Who did it; absent where time did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<&'a str>,
}

/// `webhook.failing` and `webhook.disabled`
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookTold<'a> {
    /// The webhook.
    #[schemars(with = "String")]
    pub webhook_id: WebhookId,
    /// Its host; the rest of its address may hold a secret.
    pub host: &'a str,
    /// Since when every delivery failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<DateTime<Utc>>,
    /// Why.
    pub reason: &'a str,
}

/// `experiment.completed`
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExperimentCompleted<'a> {
    /// The experiment.
    pub experiment_id: &'a str,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_is_told_up_to_its_bound() {
        assert_eq!(beginning("short"), "short");
        let long = "\u{1f30a}".repeat(EVENT_TEXT_BYTES_MAX);
        assert_eq!(beginning(&long).len(), EVENT_TEXT_BYTES_MAX);
        assert_eq!(beginning(&format!("x{long}")).len(), EVENT_TEXT_BYTES_MAX - 3);
    }

    #[test]
    fn an_output_is_told_up_to_its_bound_and_its_length_beyond_it() {
        let fits = json!("x".repeat(EVENT_OUTPUT_BYTES_MAX - 2));
        let output = serde_json::to_value(Output::of(&fits)).unwrap();
        assert_eq!(output, json!({ "output": fits }));
        let long = json!("x".repeat(EVENT_OUTPUT_BYTES_MAX - 1));
        let output = serde_json::to_value(Output::of(&long)).unwrap();
        assert_eq!(output, json!({ "outputOmittedBytes": EVENT_OUTPUT_BYTES_MAX + 1 }));
        let schema = schemars::schema_for!(Output).to_value();
        for output in [output, json!({}), json!({ "output": null }), json!({ "output": [1] })] {
            assert!(jsonschema::is_valid(&schema, &output), "{output}: {schema}");
        }
    }
}
