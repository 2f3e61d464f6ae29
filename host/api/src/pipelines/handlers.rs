//! Running pipelines, and templates of them.

use armilla_engine::{Asking, ExecuteTemplate, RunPipeline as RunPipelineCommand, StartedPipeline};
use axum::extract::State;
use axum::response::Response;
use axum::{Extension, Json};

use super::{ExecutePipelineTemplate, PipelineRunResponse, PipelineTemplatesResponse, RunPipeline};
use crate::auth::{Caller, Member};
use crate::problem::{Code, Problem};
use crate::request::{IdempotencyKey, JsonBody, TraceParent};
use crate::runs::{Wait, WaitQuery, started};
use crate::state::ApiState;

/// Run a pipeline
///
/// Agents in a row: the first is told the input, each other one what the one before it answered; an answer that is an object or
/// an array is passed on as JSON. Nothing in `input` and the suffixes is read as a template. A pipeline is a run of a linear workflow
/// that is made of its agents, so everything that a run can do holds for it: it depends on no connection, and where it does not
/// end within the wait, the answer is 202, and `Location` says where to ask for it.
#[utoipa::path(post, path = "/pipelines/run", operation_id = "runPipeline", tag = "pipelines",
    params(
        WaitQuery,
        ("Prefer" = Option<String>, Header, description = "`respond-async` does not wait (RFC 7240)."),
        ("Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 visible ASCII characters, the caller's own; also as `X-Idempotency-Key`."),
    ),
    request_body(content = RunPipeline, example = json!({
        "input": "tidal power",
        "stages": [
            { "agentId": "research-agent" },
            { "agentId": "writer-agent", "systemPromptSuffix": "Write for engineers." },
        ],
    })),
    responses(
        (status = 200, description = "The run has ended: `status` tells how.", body = PipelineRunResponse,
            headers(("Idempotency-Replayed" = String, description = "`true` where an earlier request started the run."))),
        (status = 202, description = "The run goes on.", body = PipelineRunResponse,
            headers(
                ("Location" = String, description = "The run: `/runs/{id}`."),
                ("Idempotency-Replayed" = String, description = "`true` where an earlier request started the run."),
            )),
    ))]
pub(crate) async fn run_pipeline(
    State(state): State<ApiState>,
    Member(caller): Member,
    Wait(bound): Wait,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    traceparent: Option<Extension<TraceParent>>,
    JsonBody(RunPipeline { input, stages }): JsonBody<RunPipeline>,
) -> Result<Response, Problem> {
    let command = RunPipelineCommand { input, stages: stages.into_iter().map(Into::into).collect() };
    let traceparent = traceparent.map(|traceparent| traceparent.as_str().to_owned());
    let asking = Asking { by: caller.subject, traceparent, idempotency_key, bound };
    let run = state.engine.run_pipeline(caller.workspace, command, asking).await;
    run.map(answer).map_err(|error| Problem::in_document(error, Code::PipelineInvalid, ""))
}

/// List the pipeline templates
///
/// In the order in which their file has them. `source` says where they come from, and what is wrong with the file where the last
/// edit broke it.
#[utoipa::path(get, path = "/pipeline-templates", operation_id = "listPipelineTemplates", tag = "pipelines",
    responses((status = 200, description = "All of them.", body = PipelineTemplatesResponse)))]
pub(crate) async fn list_pipeline_templates(
    State(state): State<ApiState>,
    _: Caller,
) -> Json<PipelineTemplatesResponse> {
    Json(state.engine.pipeline_templates().into())
}

/// Run a pipeline template
///
/// Its suffixes are filled in before the run starts: a variable that is missing, or that the template does not have, is refused by
/// its name. What comes after is as in `POST /pipelines/run`.
#[utoipa::path(post, path = "/pipeline-templates/execute", operation_id = "executePipelineTemplate", tag = "pipelines",
    params(
        WaitQuery,
        ("Prefer" = Option<String>, Header, description = "`respond-async` does not wait (RFC 7240)."),
        ("Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 visible ASCII characters, the caller's own; also as `X-Idempotency-Key`."),
    ),
    request_body(content = ExecutePipelineTemplate, example = json!({
        "template": "research-article", "input": "tidal power", "variables": { "audience": "engineers of other trades" },
    })),
    responses(
        (status = 200, description = "The run has ended: `status` tells how.", body = PipelineRunResponse,
            headers(("Idempotency-Replayed" = String, description = "`true` where an earlier request started the run."))),
        (status = 202, description = "The run goes on.", body = PipelineRunResponse,
            headers(
                ("Location" = String, description = "The run: `/runs/{id}`."),
                ("Idempotency-Replayed" = String, description = "`true` where an earlier request started the run."),
            )),
    ))]
pub(crate) async fn execute_pipeline_template(
    State(state): State<ApiState>,
    Member(caller): Member,
    Wait(bound): Wait,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    traceparent: Option<Extension<TraceParent>>,
    JsonBody(body): JsonBody<ExecutePipelineTemplate>,
) -> Result<Response, Problem> {
    let ExecutePipelineTemplate { template, input, variables } = body;
    let command = ExecuteTemplate { template, input, variables };
    let traceparent = traceparent.map(|traceparent| traceparent.as_str().to_owned());
    let asking = Asking { by: caller.subject, traceparent, idempotency_key, bound };
    let run = state.engine.execute_template(caller.workspace, command, asking).await;
    run.map(answer).map_err(|error| Problem::in_document(error, Code::PipelineTemplateInvalid, ""))
}

fn answer(run: StartedPipeline) -> Response {
    let (id, ended, is_repeat) = (run.run.id, run.run.status.is_final(), run.is_repeat);
    started(&PipelineRunResponse { run: run.into() }, id, ended, is_repeat)
}
