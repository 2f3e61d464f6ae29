//! Telling runs what to do.

use armilla_domain::definition::check_event_name;
use armilla_domain::id::RunId;
use armilla_engine::{ForkRun as ForkCommand, RetryRun as RetryCommand};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;

use super::{BulkResponse, BulkRuns, ForkRun, RetryRun, RetryVersion, RunBody, RunResponse, SignalRun, StopRun};
use crate::auth::Member;
use crate::problem::{Code, Problem, as_sentence};
use crate::request::{JsonBody, OptionalJsonBody, PathNumbered, PathText};
use crate::state::ApiState;
use crate::wire::Text;

/// Cancel a run
///
/// It ends, with the runs that it waits for and every call under way, whose answers are not used. The answer is the run as soon
/// as it has ended, or as it stands after some seconds.
#[utoipa::path(post, path = "/runs/{id}/cancel", operation_id = "cancelRun", tag = "runs",
    params(("id" = String, Path, description = "The run's id.", example = "run_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    request_body(content = Option<StopRun>, example = json!({ "reason": "The topic is out of date." })),
    responses(
        (status = 200, description = "The run.", body = RunResponse),
        (status = 409, description = "It has ended already.", body = crate::problem::ProblemBody,
            content_type = "application/problem+json"),
    ))]
pub(crate) async fn cancel_run(
    State(state): State<ApiState>,
    Member(caller): Member,
    path: PathText,
    OptionalJsonBody(body): OptionalJsonBody<StopRun>,
) -> Result<Json<RunResponse>, Problem> {
    let (id, reason) = (path.id(Code::RunNotFound)?, body.unwrap_or_default().reason.map(Text::into_inner));
    let run = state.engine.cancel_run(caller.workspace, id, &caller.subject, reason).await?;
    Ok(Json(RunResponse { run: RunBody::from(run) }))
}

/// Pause a run
///
/// It begins nothing more until it is resumed. What is under way ends and is recorded.
#[utoipa::path(post, path = "/runs/{id}/pause", operation_id = "pauseRun", tag = "runs",
    params(("id" = String, Path, description = "The run's id.", example = "run_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    request_body(content = Option<StopRun>, example = json!({ "reason": "Until the prices are right." })),
    responses(
        (status = 200, description = "The run.", body = RunResponse),
        (status = 409, description = "It is paused or has ended already.", body = crate::problem::ProblemBody,
            content_type = "application/problem+json"),
    ))]
pub(crate) async fn pause_run(
    State(state): State<ApiState>,
    Member(caller): Member,
    path: PathText,
    OptionalJsonBody(body): OptionalJsonBody<StopRun>,
) -> Result<Json<RunResponse>, Problem> {
    let (id, reason) = (path.id(Code::RunNotFound)?, body.unwrap_or_default().reason.map(Text::into_inner));
    let run = state.engine.pause_run(caller.workspace, id, &caller.subject, reason).await?;
    Ok(Json(RunResponse { run: RunBody::from(run) }))
}

/// Resume a run
///
/// A paused run goes on where it stood.
#[utoipa::path(post, path = "/runs/{id}/resume", operation_id = "resumeRun", tag = "runs",
    params(("id" = String, Path, description = "The run's id.", example = "run_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    responses(
        (status = 200, description = "The run.", body = RunResponse),
        (status = 409, description = "It is not paused.", body = crate::problem::ProblemBody,
            content_type = "application/problem+json"),
    ))]
pub(crate) async fn resume_run(
    State(state): State<ApiState>,
    Member(caller): Member,
    path: PathText,
) -> Result<Json<RunResponse>, Problem> {
    let run = state.engine.resume_run(caller.workspace, path.id(Code::RunNotFound)?, &caller.subject).await?;
    Ok(Json(RunResponse { run: RunBody::from(run) }))
}

/// Retry a run
///
/// A run that failed, was cancelled or timed out goes on from the step that failed, with the outputs of every step that ended
/// well; the runs that it waited for go on likewise. It may go over to another version of its definition, where the step at
/// which it stands is in the same place, and variables may be changed.
#[utoipa::path(post, path = "/runs/{id}/retry", operation_id = "retryRun", tag = "runs",
    params(("id" = String, Path, description = "The run's id.", example = "run_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    request_body(content = Option<RetryRun>, example = json!({ "version": "newest", "vars": { "tone": "calm" } })),
    responses(
        (status = 200, description = "The run, which goes on.", body = RunResponse),
        (status = 409, description = "It goes on or has ended well, or cannot go on with that version.",
            body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn retry_run(
    State(state): State<ApiState>,
    Member(caller): Member,
    path: PathText,
    OptionalJsonBody(body): OptionalJsonBody<RetryRun>,
) -> Result<Json<RunResponse>, Problem> {
    let (id, RetryRun { version, vars }) = (path.id(Code::RunNotFound)?, body.unwrap_or_default());
    let command = RetryCommand { version: RetryVersion::target(version), vars, by: caller.subject };
    let run = state.engine.retry_run(caller.workspace, id, command).await;
    let run = run.map_err(|error| Problem::in_document(error, Code::BodyInvalid, "/vars"))?;
    Ok(Json(RunResponse { run: RunBody::from(run) }))
}

/// Fork a run
///
/// Makes a run that begins with what this one did before it came to a step, and goes on with that step; the run itself stays as
/// it is, whatever it does.
#[utoipa::path(post, path = "/runs/{id}/fork", operation_id = "forkRun", tag = "runs",
    params(("id" = String, Path, description = "The run's id.", example = "run_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    request_body(content = ForkRun, example = json!({ "fromStep": "draft", "vars": { "tone": "calm" } })),
    responses(
        (status = 201, description = "The new run.", body = RunResponse,
            headers(("Location" = String, description = "The new run: `/runs/{id}`."))),
        (status = 409, description = "The run never came to that step.", body = crate::problem::ProblemBody,
            content_type = "application/problem+json"),
    ))]
pub(crate) async fn fork_run(
    State(state): State<ApiState>,
    Member(caller): Member,
    path: PathText,
    JsonBody(body): JsonBody<ForkRun>,
) -> Result<impl IntoResponse, Problem> {
    let (id, ForkRun { from_step, visit, vars }) = (path.id(Code::RunNotFound)?, body);
    let run = state.engine.fork_run(caller.workspace, id, ForkCommand { from_step, visit, vars, by: caller.subject });
    let run = run.await.map_err(|error| Problem::in_document(error, Code::BodyInvalid, "/vars"))?;
    let location = format!("/runs/{}", run.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(RunResponse { run: RunBody::from(run) })))
}

/// Send a run an event
///
/// The first `wait` step of the run that waits for an event of this name, now or later, and whose `match` holds for it, takes
/// it. The answer comes when the event is kept.
#[utoipa::path(post, path = "/runs/{id}/signals/{event}", operation_id = "signalRun", tag = "runs",
    params(
        ("id" = String, Path, description = "The run's id.", example = "run_0196f0c45e7a7c3f8d1b2a3c4d5e6f70"),
        ("event" = String, Path, description = "The event's name: 1 to 128 of `A-Z a-z 0-9 . _ : -`.", example = "payment.settled"),
    ),
    request_body(content = Option<SignalRun>, example = json!({ "payload": { "amount": 12 } })),
    responses(
        (status = 202, description = "The event is kept for the run."),
        (status = 409, description = "The run has ended.", body = crate::problem::ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "Too many messages wait for the run already; `Retry-After` says when to ask again.",
            body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn signal_run(
    State(state): State<ApiState>,
    Member(caller): Member,
    path: PathNumbered,
    OptionalJsonBody(body): OptionalJsonBody<SignalRun>,
) -> Result<StatusCode, Problem> {
    let id: RunId = path.id(Code::RunNotFound)?;
    let name = path.second();
    check_event_name(name).map_err(|why| Problem::new(Code::PathInvalid, as_sentence(&why)))?;
    let payload = body.unwrap_or_default().payload;
    state.engine.signal_run(caller.workspace, id, name, payload, &caller.subject).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Do one thing to many runs
///
/// To at most 500 of them, newest first: `more` says whether there may be others, for the same command with `before` as `next` says. The
/// answer does not wait for their ends.
#[utoipa::path(post, path = "/runs/bulk", operation_id = "bulkRuns", tag = "runs",
    request_body(content = BulkRuns, example = json!({
        "action": "retry", "version": "newest",
        "filter": { "status": ["failed"], "errorCode": "agent.unavailable", "createdFrom": "2026-01-31T00:00:00Z" },
    })),
    responses((status = 200, description = "What became of it.", body = BulkResponse)))]
pub(crate) async fn bulk_runs(
    State(state): State<ApiState>,
    Member(caller): Member,
    JsonBody(body): JsonBody<BulkRuns>,
) -> Result<Json<BulkResponse>, Problem> {
    let (action, filter, before) = body.command()?;
    let outcome = state.engine.bulk(caller.workspace, action, filter, before, &caller.subject).await?;
    Ok(Json(outcome.into()))
}
