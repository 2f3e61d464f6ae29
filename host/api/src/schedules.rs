//! Schedules: what is sent and answered. The handlers are in files of their own.

mod handlers;
mod occurrences;

use armilla_domain::id::{RunId, ScheduleId, WorkflowId};
use armilla_domain::schedule::ScheduleText;
use armilla_engine::{NewSchedule, ScheduleView};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

pub(crate) use self::handlers::*;
pub(crate) use self::occurrences::*;
use crate::wire::{Text, Timestamp};
use crate::workflows::NAME_CHARS_MAX;

/// The most that a list of schedules gives at once.
pub const SCHEDULES_PAGE_MAX: u32 = 100;
/// How many of its next instants a schedule is shown with where nobody says.
const NEXT_SHOWN: usize = 5;
/// Characters of a field that the domain reads; what is longer is nothing that it knows.
const FIELD_CHARS_MAX: usize = 200;

type Field = Text<0, FIELD_CHARS_MAX>;

/// A schedule to be made, or to stand in the place of one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct WriteSchedule {
    /// What people call it.
    #[schema(value_type = String, min_length = 1, max_length = 200, example = "Morning report")]
    name: Text<1, { NAME_CHARS_MAX }>,
    /// The workflow of which it starts runs, each on the newest version.
    #[schema(value_type = String, max_length = 200, example = "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    workflow_id: Field,
    /// When, as a cron text: minute, hour, day of month, month, day of week, or six fields with seconds first. Exactly one of `cron`,
    /// `every` and `at`.
    #[schema(value_type = Option<String>, max_length = 200, example = "30 9 * * MON-FRI")]
    cron: Option<Field>,
    /// Where the clock of `cron` hangs: an IANA name, `UTC` where absent.
    #[schema(value_type = Option<String>, max_length = 200, example = "Europe/Berlin")]
    timezone: Option<Field>,
    /// Or how often, at least `1s`, counted from now.
    #[schema(value_type = Option<String>, max_length = 200)]
    every: Option<Field>,
    /// Or once, at this instant.
    at: Option<Timestamp>,
    /// What the runs are given: an object that fits the workflow's `inputSchema`; `{}` where absent.
    #[schema(value_type = Option<Object>)]
    input: Option<Value>,
    /// What becomes of an occurrence while a run of the schedule goes on: it is skipped (`skip`), waits (`queue`), ends the others
    /// (`cancelOther`), or begins too (`allow`).
    #[schema(value_type = Option<String>, max_length = 200, default = "skip")]
    overlap: Option<Field>,
    /// How late an occurrence may be and still be made up for, after all hosts were down. A minute late is on time, whatever this says.
    #[schema(value_type = Option<String>, max_length = 200, default = "0s")]
    catch_up: Option<Field>,
    /// How long each run is put off at most, at random.
    #[schema(value_type = Option<String>, max_length = 200, default = "0s")]
    jitter: Option<Field>,
    /// Whether it rests.
    #[serde(default)]
    paused: bool,
}

impl From<WriteSchedule> for NewSchedule {
    fn from(body: WriteSchedule) -> Self {
        let timing = ScheduleText {
            cron: body.cron.map(Text::into_inner),
            timezone: body.timezone.map(Text::into_inner),
            every: body.every.map(Text::into_inner),
            at: body.at.map(|at| at.0),
            overlap: body.overlap.map(Text::into_inner),
            catch_up: body.catch_up.map(Text::into_inner),
            jitter: body.jitter.map(Text::into_inner),
        };
        Self {
            name: body.name.into_inner(),
            workflow: body.workflow_id.into_inner(),
            timing,
            input: body.input.unwrap_or_else(|| Value::Object(Map::new())),
            paused: body.paused,
        }
    }
}

/// A schedule.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Schedule)]
pub(crate) struct ScheduleBody {
    /// Its id.
    #[schema(value_type = String, example = "sch_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    id: ScheduleId,
    /// What people call it.
    name: String,
    /// The workflow of which it starts runs.
    #[schema(value_type = String, example = "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    workflow_id: WorkflowId,
    /// When, as a cron text; null where that is said otherwise.
    #[schema(required = true)]
    cron: Option<String>,
    /// Where its clock hangs; null without `cron`.
    #[schema(required = true)]
    timezone: Option<String>,
    /// Or how often; null where that is said otherwise.
    #[schema(required = true)]
    every: Option<String>,
    /// Or once; null where that is said otherwise.
    #[schema(required = true)]
    at: Option<Timestamp>,
    /// What the runs are given.
    #[schema(value_type = Object)]
    input: Value,
    /// What becomes of an occurrence while a run goes on: `skip`, `queue`, `cancelOther`, `allow`.
    #[schema(example = "skip")]
    overlap: &'static str,
    /// How late an occurrence may be and still be made up for.
    catch_up: String,
    /// How long each run is put off at most.
    jitter: String,
    /// Whether it rests.
    paused: bool,
    /// Why, where nobody paused it: its workflow is gone, or takes other input by now. Null otherwise.
    #[schema(required = true)]
    paused_reason: Option<String>,
    /// The next instant; null while it rests, and where none follows.
    #[schema(required = true)]
    next_at: Option<Timestamp>,
    /// The last instant whose run was started; null where there is none.
    #[schema(required = true)]
    last_at: Option<Timestamp>,
    /// That run.
    #[schema(required = true, value_type = Option<String>)]
    last_run_id: Option<RunId>,
    /// How many occurrences wait for their turn.
    queued: u64,
    /// Who made it: the `sub` of the token.
    created_by: String,
    /// When.
    created_at: Timestamp,
    /// When it was last changed.
    updated_at: Timestamp,
}

impl From<ScheduleView> for ScheduleBody {
    fn from(view: ScheduleView) -> Self {
        Self {
            id: view.id,
            name: view.name,
            workflow_id: view.workflow,
            cron: view.cron,
            timezone: view.timezone,
            every: view.every,
            at: view.at.map(Timestamp),
            input: view.input,
            overlap: view.overlap.as_str(),
            catch_up: view.catch_up,
            jitter: view.jitter,
            paused: view.paused,
            paused_reason: view.paused_reason,
            next_at: view.next_at.map(Timestamp),
            last_at: view.last_at.map(Timestamp),
            last_run_id: view.last_run,
            queued: view.queued,
            created_by: view.created_by,
            created_at: view.created_at.into(),
            updated_at: view.updated_at.into(),
        }
    }
}

/// One schedule.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScheduleResponse {
    /// The schedule.
    schedule: ScheduleBody,
}

impl From<ScheduleView> for ScheduleResponse {
    fn from(view: ScheduleView) -> Self {
        Self { schedule: view.into() }
    }
}

/// One schedule, and what is ahead of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScheduleAheadResponse {
    /// The schedule.
    schedule: ScheduleBody,
    /// Its next instants, as many as `next` says. None while it rests.
    next: Vec<Timestamp>,
}

/// A page of schedules, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SchedulesResponse {
    /// The schedules.
    schedules: Vec<ScheduleBody>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// How much of what is ahead is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AheadQuery {
    /// How many of the next instants: 5 where absent.
    #[param(minimum = 0, maximum = 100, required = false, value_type = usize)]
    next: Option<usize>,
}

#[cfg(test)]
mod tests {
    use armilla_domain::schedule::CRON_CHARS_MAX;
    use serde_json::json;
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_bounds_that_are_documented_are_the_ones_that_hold() {
        let schema = &json!(WriteSchedule::schema())["properties"];
        assert_eq!(schema["name"]["maxLength"], json!(NAME_CHARS_MAX));
        assert_eq!((schema["cron"]["maxLength"].clone(), CRON_CHARS_MAX), (json!(FIELD_CHARS_MAX), FIELD_CHARS_MAX));
    }
}
