//! Starting runs, and reading them.

use armilla_domain::id::{RunId, WorkflowId};
use armilla_engine::{StartRun as StartRunCommand, StartedRun};
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::Value;

use super::query::RunsQuery;
use super::wait::{Wait, WaitQuery};
use super::{RUNS_PAGE_MAX, RunBody, RunResponse, RunSummaryBody, RunsResponse, StartRun, StepBody, StepsResponse};
use crate::auth::{Caller, Member};
use crate::page::PageQuery;
use crate::problem::{Code, Problem};
use crate::request::{IDEMPOTENCY_REPLAYED, IdempotencyKey, OptionalJsonBody, PathText, Query, TraceParent};
use crate::state::ApiState;

/// Run a workflow
///
/// The run depends on no connection: where it does not end within the wait, the answer is 202, and `Location` says where to
/// ask for it. Input that does not fit the workflow's `inputSchema` is refused, and nothing runs. The same request with the
/// same `Idempotency-Key` within a day starts nothing: its answer is the run of the first one, as it stands by then.
#[utoipa::path(post, path = "/workflows/{id}/run", operation_id = "startRun", tag = "workflows",
    params(
        ("id" = String, Path, description = "The workflow's id.", example = "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70"),
        WaitQuery,
        ("Prefer" = Option<String>, Header, description = "`respond-async` does not wait (RFC 7240)."),
        ("Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 visible ASCII characters, the caller's own; also as `X-Idempotency-Key`."),
    ),
    request_body(content = Option<StartRun>, example = json!({ "input": { "topic": "Tides" } })),
    responses(
        (status = 200, description = "The run has ended: `status` tells how.", body = RunResponse,
            headers(("Idempotency-Replayed" = String, description = "`true` where an earlier request started the run."))),
        (status = 202, description = "The run goes on.", body = RunResponse,
            headers(
                ("Location" = String, description = "The run: `/runs/{id}`."),
                ("Idempotency-Replayed" = String, description = "`true` where an earlier request started the run."),
            )),
        (status = 429, description = "As many runs go on as the workflow's `concurrency` allows, and it says `reject`.",
            body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn start_run(
    State(state): State<ApiState>,
    Member(caller): Member,
    path: PathText,
    Wait(bound): Wait,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    traceparent: Option<Extension<TraceParent>>,
    OptionalJsonBody(body): OptionalJsonBody<StartRun>,
) -> Result<Response, Problem> {
    let StartRun { input, version } = body.unwrap_or_default();
    let command = StartRunCommand {
        workflow: path.id(Code::WorkflowNotFound)?,
        input: Value::Object(input),
        version,
        traceparent: traceparent.map(|traceparent| traceparent.as_str().to_owned()),
        idempotency_key,
    };
    let started_run = state.engine.start_run(caller.workspace, command, bound).await;
    let started_run = started_run.map(|StartedRun { run, is_repeat }| {
        let (id, ended) = (run.id, run.status.is_final());
        started(&RunResponse { run: run.into() }, id, ended, is_repeat)
    });
    started_run.map_err(|error| Problem::in_document(error, Code::RunInvalidInput, "/input"))
}

/// What is answered to whoever starts a run: 200 where it has ended, else 202 with the place to ask.
pub(crate) fn started<T: Serialize>(answer: &T, id: RunId, ended: bool, is_repeat: bool) -> Response {
    let answer = Json(answer);
    let mut response = match ended {
        true => answer.into_response(),
        false => (StatusCode::ACCEPTED, [(LOCATION, format!("/runs/{id}"))], answer).into_response(),
    };
    if is_repeat {
        response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// List the runs of a workflow
///
/// Newest first, at most 50, without `input`, `vars` and `output`. Those of a deleted workflow stay.
#[utoipa::path(get, path = "/workflows/{id}/runs", operation_id = "listRuns", tag = "workflows",
    params(
        ("id" = String, Path, description = "The workflow's id.", example = "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70"),
        PageQuery,
    ),
    responses((status = 200, description = "A page of them.", body = RunsResponse)))]
pub(crate) async fn list_runs(
    State(state): State<ApiState>,
    caller: Caller,
    path: PathText,
    Query(query): Query<PageQuery>,
) -> Result<Json<RunsResponse>, Problem> {
    let workflow: WorkflowId = path.id(Code::WorkflowNotFound)?;
    let page = query.page::<RunId>(RUNS_PAGE_MAX)?;
    let runs = state.engine.runs_of_workflow(caller.workspace, workflow, page.after, page.rows()).await?;
    let (runs, next_cursor) = page.cut(runs, |run| run.id);
    Ok(Json(RunsResponse { runs: runs.iter().map(RunSummaryBody::from).collect(), next_cursor }))
}

/// List the runs of the workspace
///
/// Newest first, at most 50, without `input`, `vars` and `output`. Filters that are given hold together.
#[utoipa::path(get, path = "/runs", operation_id = "listAllRuns", tag = "runs", params(RunsQuery),
    responses((status = 200, description = "A page of them.", body = RunsResponse)))]
pub(crate) async fn list_all_runs(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<RunsQuery>,
) -> Result<Json<RunsResponse>, Problem> {
    let (filter, page) = query.parts()?;
    let page = page.page::<RunId>(RUNS_PAGE_MAX)?;
    let runs = state.engine.runs(caller.workspace, &filter, page.after, page.rows()).await?;
    let (runs, next_cursor) = page.cut(runs, |run| run.id);
    Ok(Json(RunsResponse { runs: runs.iter().map(RunSummaryBody::from).collect(), next_cursor }))
}

/// Get a run
///
/// As it stands now, with every variable that a step has set so far.
#[utoipa::path(get, path = "/runs/{id}", operation_id = "getRun", tag = "runs",
    params(("id" = String, Path, description = "The run's id.", example = "run_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    responses((status = 200, description = "The run.", body = RunResponse)))]
pub(crate) async fn get_run(
    State(state): State<ApiState>,
    caller: Caller,
    path: PathText,
) -> Result<Json<RunResponse>, Problem> {
    let run = state.engine.run(caller.workspace, path.id(Code::RunNotFound)?).await?;
    Ok(Json(RunResponse { run: RunBody::from(run) }))
}

/// List the steps of a run
///
/// Every attempt of every visit of a step so far, in the order in which they began, with what it was given and what it gave.
#[utoipa::path(get, path = "/runs/{id}/steps", operation_id = "listSteps", tag = "runs",
    params(("id" = String, Path, description = "The run's id.", example = "run_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    responses((status = 200, description = "All of them.", body = StepsResponse)))]
pub(crate) async fn list_steps(
    State(state): State<ApiState>,
    caller: Caller,
    path: PathText,
) -> Result<Json<StepsResponse>, Problem> {
    let steps = state.engine.run_steps(caller.workspace, path.id(Code::RunNotFound)?).await?;
    Ok(Json(StepsResponse { steps: steps.into_iter().map(StepBody::from).collect() }))
}
