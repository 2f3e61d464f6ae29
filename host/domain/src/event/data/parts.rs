//! What events of several types have in common.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::id::{RunId, WorkflowId};
use crate::journal::Failure;

/// Bytes of an output, as JSON, that an event carries; a longer one is left out and said to be. Receivers expect some KiB, and whoever wants
/// more asks the API.
pub const EVENT_OUTPUT_BYTES_MAX: usize = 8 * 1024;

/// Bytes of a text that an event carries: what somebody reads at a glance. The rest is left out.
pub const EVENT_TEXT_BYTES_MAX: usize = 4 * 1024;

/// As much of a text as an event carries.
pub fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(EVENT_TEXT_BYTES_MAX)]
}

/// Which run an event is of.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OfRun {
    /// The run.
    #[schemars(with = "String")]
    pub run_id: RunId,
    /// Its workflow.
    #[schemars(with = "String")]
    pub workflow_id: WorkflowId,
    /// The version of the workflow that the run is on.
    pub workflow_version: i32,
}

/// Which step of a run an event is of.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OfStep<'a> {
    /// The run.
    #[serde(flatten)]
    pub run: &'a OfRun,
    /// The step's id.
    pub step_id: &'a str,
    /// The list in which the step runs; empty for the main line.
    pub scope: &'a str,
    /// Which execution of the step, from 1.
    pub visit: u32,
}

/// An output, where it is short enough.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The output; absent where there is none or it is too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Anything>")]
    pub output: Option<Box<RawValue>>,
    /// Bytes of the output as JSON, where it is too long to be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_omitted_bytes: Option<u64>,
}

impl Output {
    /// Of a value.
    pub fn of(value: &Value) -> Self {
        let text = value.to_string();
        if text.len() > EVENT_OUTPUT_BYTES_MAX {
            return Self { output: None, output_omitted_bytes: Some(text.len() as u64) };
        }
        Self { output: RawValue::from_string(text).ok(), output_omitted_bytes: None }
    }
}

/// Why something ended badly.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Error<'a> {
    /// The step where it arose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_id: Option<&'a str>,
    /// Stable and dotted.
    pub code: &'a str,
    /// For people.
    pub message: &'a str,
    /// How many attempts were made.
    pub attempts: u32,
}

impl<'a> From<&'a Failure> for Error<'a> {
    fn from(failure: &'a Failure) -> Self {
        let Failure { step_id, code, message, attempts, evidence: _ } = failure;
        Self { step_id: step_id.as_deref(), code, message: beginning(message), attempts: *attempts }
    }
}

/// Any JSON, said out loud: a schema that says nothing is not read by everybody.
pub(super) struct Anything;

impl JsonSchema for Anything {
    fn schema_name() -> Cow<'static, str> {
        "Anything".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["object", "array", "string", "number", "boolean", "null"] })
    }
}

/// Tokens of agents, as they count them.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "stands for the journal's type in schemas")]
pub(super) struct Tokens {
    /// Read by the model.
    input_tokens: u64,
    /// Written by the model.
    output_tokens: u64,
    /// What that cost, in millionths of a US dollar.
    cost_micros: Option<u64>,
}
