//! Workflows: what is sent and answered. The handlers are in a file of their own.

mod handlers;
mod test_handler;
mod testing;
mod version_handlers;
mod versions;

use armilla_domain::id::WorkflowId;
use armilla_engine::{NewWorkflow, WorkflowView};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub(crate) use self::handlers::*;
pub(crate) use self::test_handler::*;
pub use self::testing::*;
pub(crate) use self::version_handlers::*;
pub use self::versions::*;
use crate::wire::{FaultBody, Text, Timestamp};

/// A name fits on a line.
pub const NAME_CHARS_MAX: usize = 200;
/// A description is a paragraph, not a document.
pub const DESCRIPTION_CHARS_MAX: usize = 4_000;
/// The most that a list of workflows gives at once: the API's documented limit.
pub const WORKFLOWS_PAGE_MAX: u32 = 100;

/// A workflow to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateWorkflow {
    /// What people call it.
    #[schema(value_type = String, min_length = 1, max_length = 200, example = "Content pipeline")]
    pub name: Text<1, { NAME_CHARS_MAX }>,
    /// What it is for.
    #[schema(value_type = Option<String>, max_length = 4_000)]
    pub description: Option<Text<0, { DESCRIPTION_CHARS_MAX }>>,
    /// What it does: the workflow language.
    #[schema(value_type = Object)]
    pub definition: Value,
}

/// A workflow.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Workflow)]
pub struct WorkflowBody {
    /// Its id.
    #[schema(value_type = String, example = "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    pub id: WorkflowId,
    /// What people call it.
    pub name: String,
    /// What it is for.
    #[schema(required = true)]
    pub description: Option<String>,
    /// What it does, as it was sent.
    #[schema(value_type = Object)]
    pub definition: Value,
    /// Which version of the definition this is, from 1.
    #[schema(minimum = 1)]
    pub version: i32,
    /// When the workflow was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// What it was made of, where nobody made it: a request to run a `pipeline`, or to `chat`. Such a workflow is in no list, and
    /// cannot be changed or deleted. Null otherwise.
    #[schema(required = true)]
    pub origin: Option<String>,
    /// What its author should look at: names that are unknown so far, variables that nothing seems to set.
    pub warnings: Vec<FaultBody>,
}

impl From<CreateWorkflow> for NewWorkflow {
    fn from(CreateWorkflow { name, description, definition }: CreateWorkflow) -> Self {
        Self { name: name.into_inner(), description: description.map(Text::into_inner), definition }
    }
}

impl From<WorkflowView> for WorkflowBody {
    fn from(view: WorkflowView) -> Self {
        Self {
            id: view.id,
            name: view.name,
            description: view.description,
            definition: view.definition,
            version: view.version,
            created_at: view.created_at.into(),
            updated_at: view.updated_at.into(),
            origin: view.origin,
            warnings: view.warnings.into_iter().map(FaultBody::from).collect(),
        }
    }
}

/// One workflow.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkflowResponse {
    /// The workflow.
    pub workflow: WorkflowBody,
}

/// A page of workflows, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowsResponse {
    /// The workflows.
    pub workflows: Vec<WorkflowBody>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_bounds_that_are_documented_are_the_ones_that_hold() {
        let schema = json!(CreateWorkflow::schema());
        assert_eq!(schema["properties"]["name"]["maxLength"], json!(NAME_CHARS_MAX));
        assert_eq!(schema["properties"]["description"]["maxLength"], json!(DESCRIPTION_CHARS_MAX));
        assert_eq!(schema["required"], json!(["name", "definition"]));
        assert_eq!(schema["additionalProperties"], json!(false));
        assert!(serde_json::from_value::<CreateWorkflow>(json!({ "name": "", "definition": {} })).is_err());
        assert!(serde_json::from_value::<CreateWorkflow>(json!({ "name": "a", "definition": {} })).is_ok());
    }
}
