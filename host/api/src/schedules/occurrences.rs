//! Occurrences: reading them, and asking for some beyond those that the time brings about.

use armilla_domain::id::RunId;
use armilla_engine::{Backfill, OccurrenceView};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::auth::{Caller, Member};
use crate::page::PageQuery;
use crate::problem::{Code, Problem, ProblemBody};
use crate::request::{JsonBody, OptionalJsonBody, PathText, Query};
use crate::state::ApiState;
use crate::wire::Timestamp;

/// The most that a list of occurrences gives at once.
pub(crate) const OCCURRENCES_PAGE_MAX: u32 = 100;

/// An occurrence.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Occurrence)]
pub(crate) struct OccurrenceBody {
    /// Its instant.
    at: Timestamp,
    /// What brought it about: `time`, `manual`, `backfill`.
    #[schema(example = "time")]
    trigger: &'static str,
    /// What became of it: its run was `started` or is `starting`, or it is `queued`, `skipped` or `missed`.
    #[schema(example = "started")]
    outcome: &'static str,
    /// Its run; null where none was started.
    #[schema(required = true, value_type = Option<String>)]
    run_id: Option<RunId>,
    /// Why none was; null where one was.
    #[schema(required = true)]
    detail: Option<String>,
    /// How many instants were missed in a row, from this one on: 1,000 stands for as many or more. Null where it was not missed so.
    #[schema(required = true)]
    missed: Option<u32>,
    /// When that was decided.
    decided_at: Timestamp,
}

impl From<OccurrenceView> for OccurrenceBody {
    fn from(view: OccurrenceView) -> Self {
        Self {
            at: view.at.into(),
            trigger: view.trigger.as_str(),
            outcome: view.outcome.as_str(),
            run_id: view.run,
            detail: view.detail,
            missed: view.missed,
            decided_at: view.decided_at.into(),
        }
    }
}

/// One occurrence.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OccurrenceResponse {
    /// The occurrence.
    occurrence: OccurrenceBody,
}

/// A page of occurrences, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OccurrencesResponse {
    /// The occurrences.
    occurrences: Vec<OccurrenceBody>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// How the runs of a backfill are started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum BackfillOverlap {
    /// One after another.
    #[default]
    Queue,
    /// At the same time.
    Allow,
}

/// A run that is wanted now. All of it may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RunSchedule {
    /// What the run is given: an object that fits the workflow's `inputSchema`; what the schedule's runs are given where absent.
    #[schema(value_type = Option<Object>)]
    input: Option<Value>,
}

/// Which occurrences are wanted that are past.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BackfillSchedule {
    /// From this instant on.
    from: Timestamp,
    /// Before this one.
    to: Timestamp,
    /// Whether the runs are started one after another, or at the same time.
    #[serde(default)]
    overlap: BackfillOverlap,
    /// Count, and do nothing.
    #[serde(default)]
    dry_run: bool,
}

/// What a backfill is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BackfillResponse {
    /// How many instants there are.
    occurrences: u64,
    /// How many of them have a run, or wait for one, without it. The others get one.
    already: u64,
    /// Whether nothing was done.
    dry_run: bool,
}

/// List the occurrences of a schedule
///
/// Newest first, at most 100, for 30 days: what became of each instant.
#[utoipa::path(get, path = "/schedules/{id}/occurrences", operation_id = "listOccurrences", tag = "schedules",
    params(("id" = String, Path, description = "The schedule's id.", example = "sch_0196f0c45e7a7c3f8d1b2a3c4d5e6f70"), PageQuery),
    responses((status = 200, description = "A page of them.", body = OccurrencesResponse)))]
pub(crate) async fn list_occurrences(
    State(state): State<ApiState>,
    caller: Caller,
    path: PathText,
    Query(query): Query<PageQuery>,
) -> Result<Json<OccurrencesResponse>, Problem> {
    let page = query.page::<i64>(OCCURRENCES_PAGE_MAX)?;
    let before = page.after.map(instant_of).transpose()?;
    let id = path.id(Code::ScheduleNotFound)?;
    let found = state.engine.occurrences(caller.workspace, id, before, page.rows()).await?;
    let (found, next_cursor) = page.cut(found, |one| one.at.timestamp_millis());
    Ok(Json(OccurrencesResponse { occurrences: found.into_iter().map(OccurrenceBody::from).collect(), next_cursor }))
}

/// The instant that a cursor names, in milliseconds since 1970.
fn instant_of(cursor: i64) -> Result<DateTime<Utc>, Problem> {
    // Years that RFC 3339 can write; others fit no column.
    let instant = DateTime::from_timestamp_millis(cursor).filter(|instant| (0..=9999).contains(&instant.year()));
    instant.ok_or_else(|| Problem::new(Code::QueryInvalid, "`cursor` is not a `nextCursor` of this list."))
}

/// Run a schedule now
///
/// Whether it rests, and whatever else goes on. Its times stay as they are.
#[utoipa::path(post, path = "/schedules/{id}/run", operation_id = "runSchedule", tag = "schedules",
    params(("id" = String, Path, description = "The schedule's id.", example = "sch_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    request_body(content = Option<RunSchedule>, example = json!({ "input": { "topic": "tides" } })),
    responses(
        (status = 202, description = "The occurrence, with its run.", body = OccurrenceResponse),
        (status = 409, description = "Its workflow is gone, or takes other input by now.", body = ProblemBody,
            content_type = "application/problem+json"),
    ))]
pub(crate) async fn run_schedule(
    State(state): State<ApiState>,
    Member(caller): Member,
    path: PathText,
    OptionalJsonBody(body): OptionalJsonBody<RunSchedule>,
) -> Result<impl IntoResponse, Problem> {
    let input = body.unwrap_or_default().input;
    let occurrence = state.engine.run_schedule(caller.workspace, path.id(Code::ScheduleNotFound)?, input).await;
    let occurrence = occurrence.map_err(|error| Problem::in_document(error, Code::ScheduleInvalid, ""))?;
    Ok((StatusCode::ACCEPTED, Json(OccurrenceResponse { occurrence: occurrence.into() })))
}

/// Backfill a schedule
///
/// Starts runs for instants that are past, but for those that have one: at most 1,000, one after another where `overlap` does not say
/// otherwise. `dryRun` counts them.
#[utoipa::path(post, path = "/schedules/{id}/backfill", operation_id = "backfillSchedule", tag = "schedules",
    params(("id" = String, Path, description = "The schedule's id.", example = "sch_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")),
    request_body(content = BackfillSchedule, example = json!({
        "from": "2026-01-30T00:00:00Z", "to": "2026-01-31T00:00:00Z", "dryRun": true,
    })),
    responses(
        (status = 200, description = "What it is.", body = BackfillResponse),
        (status = 409, description = "Too many would wait.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn backfill_schedule(
    State(state): State<ApiState>,
    Member(caller): Member,
    path: PathText,
    JsonBody(body): JsonBody<BackfillSchedule>,
) -> Result<Json<BackfillResponse>, Problem> {
    let BackfillSchedule { from, to, overlap, dry_run } = body;
    let wanted = Backfill { from: from.0, to: to.0, at_once: overlap == BackfillOverlap::Allow, dry_run };
    let done = state.engine.backfill_schedule(caller.workspace, path.id(Code::ScheduleNotFound)?, wanted).await?;
    Ok(Json(BackfillResponse { occurrences: done.occurrences, already: done.already, dry_run }))
}
