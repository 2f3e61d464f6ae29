//! Versions of workflows: what is sent and answered.

use armilla_domain::definition::diff::{Change, Diff, Op};
use armilla_domain::id::WorkflowId;
use armilla_engine::{ReviseWorkflow as Revision, WorkflowVersionSummaryView, WorkflowVersionView};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{DESCRIPTION_CHARS_MAX, NAME_CHARS_MAX};
use crate::wire::{FaultBody, Text, Timestamp, present};

/// The most that a list of versions gives at once.
pub const VERSIONS_PAGE_MAX: u32 = 100;

/// A change of a workflow. What is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReviseWorkflow {
    /// What people call it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 200, example = "Content pipeline")]
    pub name: Option<Text<1, { NAME_CHARS_MAX }>>,
    /// What it is for; null takes it away.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, required = false, max_length = 4_000)]
    pub description: Option<Option<Text<0, { DESCRIPTION_CHARS_MAX }>>>,
    /// What it does from now on: the workflow language. One that differs from the newest version's makes the next version.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Object, required = false)]
    pub definition: Option<Value>,
    /// The version that was edited, where the change must not be made if another one is the newest by now.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = i32, required = false, minimum = 1)]
    pub version: Option<i32>,
    // What was read may be sent back with its changes.
    /// As it was read; ignored.
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    pub id: IgnoredAny,
    /// As it was read; ignored.
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    pub created_at: IgnoredAny,
    /// As it was read; ignored.
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    pub updated_at: IgnoredAny,
    /// As it was read; ignored.
    #[serde(default)]
    #[schema(value_type = Option<String>, required = false)]
    pub origin: IgnoredAny,
    /// As they were read; ignored.
    #[serde(default)]
    #[schema(value_type = Vec<FaultBody>, required = false)]
    pub warnings: IgnoredAny,
}

impl ReviseWorkflow {
    /// The change, made from the version `edited` where that matters.
    pub(super) fn into_revision(self, edited: Option<i32>) -> Revision {
        Revision {
            name: self.name.map(Text::into_inner),
            description: self.description.map(|description| description.map(Text::into_inner)),
            definition: self.definition,
            edited,
        }
    }
}

/// A definition to be checked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ValidateWorkflow {
    /// What a workflow would do: the workflow language.
    #[schema(value_type = Object)]
    pub definition: Value,
}

/// A definition has no faults.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValidWorkflowResponse {
    /// True: faults are answered as a problem.
    pub valid: bool,
    /// What its author should look at, as a workflow of it would have them.
    pub warnings: Vec<FaultBody>,
}

/// One version of a workflow. It never changes.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WorkflowVersion)]
pub struct WorkflowVersionBody {
    /// The workflow it is a version of.
    #[schema(value_type = String, example = "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    pub workflow_id: WorkflowId,
    /// Its number, from 1.
    #[schema(minimum = 1)]
    pub version: i32,
    /// What it does, as it was sent.
    #[schema(value_type = Object)]
    pub definition: Value,
    /// What its author should have looked at when it was made.
    pub warnings: Vec<FaultBody>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it: the `sub` of the token; null where that was not recorded yet.
    #[schema(required = true)]
    pub created_by: Option<String>,
    /// The earlier version that was restored by it; null otherwise.
    #[schema(required = true)]
    pub restored_from: Option<i32>,
}

impl From<WorkflowVersionView> for WorkflowVersionBody {
    fn from(view: WorkflowVersionView) -> Self {
        Self {
            workflow_id: view.workflow,
            version: view.version,
            definition: view.definition,
            warnings: view.warnings.into_iter().map(FaultBody::from).collect(),
            created_at: view.created_at.into(),
            created_by: view.created_by,
            restored_from: view.restored_from,
        }
    }
}

/// One version of a workflow, without its definition.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WorkflowVersionSummary)]
pub struct WorkflowVersionSummaryBody {
    /// Its number, from 1.
    #[schema(minimum = 1)]
    pub version: i32,
    /// How many warnings it has.
    #[schema(minimum = 0)]
    pub warning_count: i32,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it: the `sub` of the token; null where that was not recorded yet.
    #[schema(required = true)]
    pub created_by: Option<String>,
    /// The earlier version that was restored by it; null otherwise.
    #[schema(required = true)]
    pub restored_from: Option<i32>,
}

impl From<WorkflowVersionSummaryView> for WorkflowVersionSummaryBody {
    fn from(view: WorkflowVersionSummaryView) -> Self {
        Self {
            version: view.version,
            warning_count: view.warnings,
            created_at: view.created_at.into(),
            created_by: view.created_by,
            restored_from: view.restored_from,
        }
    }
}

/// One version of a workflow.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkflowVersionResponse {
    /// The version.
    pub version: WorkflowVersionBody,
}

/// A page of versions, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowVersionsResponse {
    /// The versions.
    pub versions: Vec<WorkflowVersionSummaryBody>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// What kind of change it is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChangeOp {
    /// It is new.
    Add,
    /// It is gone.
    Remove,
    /// It has another value.
    Replace,
    /// The same step stands elsewhere; what changed inside it follows.
    Move,
}

/// One change between two definitions.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WorkflowChange)]
pub struct ChangeBody {
    /// What kind of change it is.
    pub op: ChangeOp,
    /// Where: a JSON pointer (RFC 6901) into the new definition, or into the old one for `remove`.
    #[schema(example = "/steps/2/message")]
    pub pointer: String,
    /// Where it stood in the old definition; absent where that is the same place.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "/steps/1/message")]
    pub from_pointer: Option<String>,
    /// The id of the step that it is, or of the innermost one that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "draft")]
    pub step: Option<String>,
    /// What was there, for `remove` and `replace`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// What is there, for `add` and `replace`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

impl From<Change> for ChangeBody {
    fn from(Change { op, pointer, from_pointer, step, from, to }: Change) -> Self {
        let op = match op {
            Op::Add => ChangeOp::Add,
            Op::Remove => ChangeOp::Remove,
            Op::Replace => ChangeOp::Replace,
            Op::Move => ChangeOp::Move,
        };
        Self { op, pointer, from_pointer, step, from, to }
    }
}

/// What changed between the definitions of two versions.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WorkflowDiff)]
pub struct DiffBody {
    /// The version that is compared.
    #[schema(minimum = 1)]
    pub from: i32,
    /// The version that it is compared with.
    #[schema(minimum = 1)]
    pub to: i32,
    /// What changed, in the order of the new definition: at most 1,000 changes, and 4 MiB of values.
    #[schema(max_items = 1_000)]
    pub changes: Vec<ChangeBody>,
    /// Whether there are more changes than these.
    pub truncated: bool,
}

impl DiffBody {
    /// What changed from one version to another.
    pub(super) fn new(from: i32, to: i32, Diff { changes, truncated }: Diff) -> Self {
        Self { from, to, changes: changes.into_iter().map(ChangeBody::from).collect(), truncated }
    }
}

/// What changed between two versions.
#[derive(Debug, Serialize, ToSchema)]
pub struct DiffResponse {
    /// What changed.
    pub diff: DiffBody,
}

#[cfg(test)]
mod tests {
    use armilla_domain::definition::diff::{CHANGES_BYTES_MAX, CHANGES_MAX};
    use serde_json::json;
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_bounds_that_are_documented_are_the_ones_that_hold() {
        let schema = json!(ReviseWorkflow::schema());
        assert_eq!(schema["properties"]["name"]["maxLength"], json!(NAME_CHARS_MAX));
        assert_eq!(schema["properties"]["description"]["maxLength"], json!(DESCRIPTION_CHARS_MAX));
        assert_eq!(schema.get("required"), None);
        assert_eq!(schema["additionalProperties"], json!(false));
        let changes = &json!(DiffBody::schema())["properties"]["changes"];
        assert_eq!((&changes["maxItems"], CHANGES_BYTES_MAX), (&json!(CHANGES_MAX), 4 * 1024 * 1024));
    }

    #[test]
    fn null_takes_a_description_away_and_is_no_name() {
        let read = |body: Value| serde_json::from_value::<ReviseWorkflow>(body).map(|body| body.into_revision(None));
        assert_eq!(read(json!({})).unwrap().description, None);
        assert_eq!(read(json!({ "description": null })).unwrap().description, Some(None));
        assert_eq!(read(json!({ "definition": null })).unwrap().definition, Some(Value::Null));
        assert!(read(json!({ "name": null })).is_err() && read(json!({ "version": null })).is_err());
    }
}
