//! Making, reading, changing and deleting schedules.

use armilla_domain::id::ScheduleId;
use armilla_domain::schedule::NEXT_SHOWN_MAX;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;

use super::{
    AheadQuery, NEXT_SHOWN, SCHEDULES_PAGE_MAX, ScheduleAheadResponse, ScheduleBody, ScheduleResponse,
    SchedulesResponse, WriteSchedule,
};
use crate::auth::{Caller, Member};
use crate::page::PageQuery;
use crate::problem::{Code, Problem, ProblemBody};
use crate::request::{JsonBody, PathText, Query};
use crate::state::ApiState;

/// Create a schedule
///
/// Its first occurrence is the first instant from now on, by the database's clock. All faults come at once.
#[utoipa::path(post, path = "/schedules", operation_id = "createSchedule", tag = "schedules",
    request_body(content = WriteSchedule, example = json!({
        "name": "Morning report", "workflowId": "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70",
        "cron": "30 9 * * MON-FRI", "timezone": "Europe/Berlin", "input": { "topic": "tides" },
    })),
    responses(
        (status = 201, description = "The schedule.", body = ScheduleResponse,
            headers(("Location" = String, description = "The schedule: `/schedules/{id}`."))),
        (status = 409, description = "The workspace has as many as it may.", body = ProblemBody,
            content_type = "application/problem+json"),
    ))]
pub(crate) async fn create_schedule(
    State(state): State<ApiState>,
    Member(caller): Member,
    JsonBody(body): JsonBody<WriteSchedule>,
) -> Result<impl IntoResponse, Problem> {
    let made = state.engine.create_schedule(caller.workspace, body.into(), &caller.subject).await;
    let made = made.map_err(|error| Problem::in_document(error, Code::ScheduleInvalid, ""))?;
    let location = format!("/schedules/{}", made.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(ScheduleResponse::from(made))))
}

/// List the schedules
///
/// Newest first, at most 100.
#[utoipa::path(get, path = "/schedules", operation_id = "listSchedules", tag = "schedules", params(PageQuery),
    responses((status = 200, description = "A page of them.", body = SchedulesResponse)))]
pub(crate) async fn list_schedules(
    State(state): State<ApiState>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<SchedulesResponse>, Problem> {
    let page = query.page::<ScheduleId>(SCHEDULES_PAGE_MAX)?;
    let found = state.engine.schedules(caller.workspace, page.after, page.rows()).await?;
    let (found, next_cursor) = page.cut(found, |one| one.id);
    Ok(Json(SchedulesResponse { schedules: found.into_iter().map(ScheduleBody::from).collect(), next_cursor }))
}

/// Get a schedule
///
/// With the instants that are ahead of it, before jitter.
#[utoipa::path(get, path = "/schedules/{id}", operation_id = "getSchedule", tag = "schedules",
    params(("id" = String, Path, description = "The schedule's id.", example = "sch_0196f0c45e7a7c3f8d1b2a3c4d5e6f70"), AheadQuery),
    responses((status = 200, description = "The schedule.", body = ScheduleAheadResponse)))]
pub(crate) async fn get_schedule(
    State(state): State<ApiState>,
    caller: Caller,
    path: PathText,
    Query(query): Query<AheadQuery>,
) -> Result<Json<ScheduleAheadResponse>, Problem> {
    let count = query.next.unwrap_or(NEXT_SHOWN);
    if count > NEXT_SHOWN_MAX {
        return Err(Problem::new(Code::QueryInvalid, format!("`next` is {count}; it must be 0 to {NEXT_SHOWN_MAX}.")));
    }
    let mut found = state.engine.schedule(caller.workspace, path.id(Code::ScheduleNotFound)?, count).await?;
    let next = std::mem::take(&mut found.next).into_iter().map(Into::into).collect();
    Ok(Json(ScheduleAheadResponse { schedule: found.into(), next }))
}

/// Replace a schedule
///
/// All of it: what is absent is as if it was never said. Where its times stay as they were it goes on as it would have.
#[utoipa::path(put, path = "/schedules/{id}", operation_id = "replaceSchedule", tag = "schedules",
    params(("id" = String, Path, description = "The schedule's id.", example = "sch_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    request_body(content = WriteSchedule, example = json!({
        "name": "Hourly report", "workflowId": "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70", "every": "1h", "overlap": "queue",
    })),
    responses((status = 200, description = "The schedule.", body = ScheduleResponse)))]
pub(crate) async fn replace_schedule(
    State(state): State<ApiState>,
    Member(caller): Member,
    path: PathText,
    JsonBody(body): JsonBody<WriteSchedule>,
) -> Result<Json<ScheduleResponse>, Problem> {
    let id = path.id(Code::ScheduleNotFound)?;
    let changed = state.engine.replace_schedule(caller.workspace, id, body.into()).await;
    let changed = changed.map_err(|error| Problem::in_document(error, Code::ScheduleInvalid, ""))?;
    Ok(Json(changed.into()))
}

/// Delete a schedule
///
/// With its occurrences. Runs that it started go on and stay readable.
#[utoipa::path(delete, path = "/schedules/{id}", operation_id = "deleteSchedule", tag = "schedules",
    params(("id" = String, Path, description = "The schedule's id.", example = "sch_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    responses((status = 204, description = "It is gone.")))]
pub(crate) async fn delete_schedule(
    State(state): State<ApiState>,
    Member(caller): Member,
    path: PathText,
) -> Result<StatusCode, Problem> {
    state.engine.delete_schedule(caller.workspace, path.id(Code::ScheduleNotFound)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Pause a schedule
///
/// It starts nothing until it is resumed, and what waits goes on waiting. Instants that pass meanwhile are passed over.
#[utoipa::path(post, path = "/schedules/{id}/pause", operation_id = "pauseSchedule", tag = "schedules",
    params(("id" = String, Path, description = "The schedule's id.", example = "sch_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    responses((status = 200, description = "The schedule.", body = ScheduleResponse)))]
pub(crate) async fn pause_schedule(
    State(state): State<ApiState>,
    Member(caller): Member,
    path: PathText,
) -> Result<Json<ScheduleResponse>, Problem> {
    let paused = state.engine.pause_schedule(caller.workspace, path.id(Code::ScheduleNotFound)?).await?;
    Ok(Json(paused.into()))
}

/// Resume a schedule
///
/// With the first instant from now on.
#[utoipa::path(post, path = "/schedules/{id}/resume", operation_id = "resumeSchedule", tag = "schedules",
    params(("id" = String, Path, description = "The schedule's id.", example = "sch_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    responses((status = 200, description = "The schedule.", body = ScheduleResponse)))]
pub(crate) async fn resume_schedule(
    State(state): State<ApiState>,
    Member(caller): Member,
    path: PathText,
) -> Result<Json<ScheduleResponse>, Problem> {
    let resumed = state.engine.resume_schedule(caller.workspace, path.id(Code::ScheduleNotFound)?).await?;
    Ok(Json(resumed.into()))
}
