//! Testing workflows.

use axum::Json;
use axum::extract::State;

use super::{TestResponse, TestWorkflow};
use crate::auth::Member;
use crate::problem::{Code, Problem};
use crate::request::{OptionalJsonBody, PathText};
use crate::state::ApiState;

/// Test a workflow
///
/// Runs it in memory: nothing is written, nobody outside is called, and waits take no time. Mocks answer its steps; tools that
/// can touch nothing, and evaluators, run for real where they have none; approvals are given. A call that would leave the process
/// and has no mock stays open, what does not depend on it goes on, and the answer tells what is missing.
#[utoipa::path(post, path = "/workflows/{id}/test", operation_id = "testWorkflow", tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id.", example = "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    request_body(content = Option<TestWorkflow>, example = json!({
        "input": { "topic": "Tides" },
        "mocks": {
            "research": { "output": "Tides come twice a day." },
            "review": { "sequence": [
                { "error": { "code": "agent.unavailable", "message": "nobody answered", "class": "unavailable" } },
                { "output": { "approved": true } },
            ] },
        },
    })),
    responses((status = 200, description = "What the test came to: `status` tells how.", body = TestResponse)))]
pub(crate) async fn test_workflow(
    State(state): State<ApiState>,
    Member(caller): Member,
    path: PathText,
    OptionalJsonBody(body): OptionalJsonBody<TestWorkflow>,
) -> Result<Json<TestResponse>, Problem> {
    let command = body.unwrap_or_default().into_command(path.id(Code::WorkflowNotFound)?);
    let simulated = state.engine.test_workflow(caller.workspace, command).await;
    let simulated = simulated.map_err(|error| Problem::in_document(error, Code::TestInvalid, ""))?;
    Ok(Json(TestResponse { test: simulated.into() }))
}
