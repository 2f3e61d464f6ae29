//! What runs are told while they go on, and after they ended: what is sent and answered.

use armilla_domain::fault::Fault;
use armilla_domain::id::{RunId, WorkflowId};
use armilla_domain::run::RunStatus;
use armilla_engine::{BulkAction as EngineAction, BulkOutcome, RunFilter, TargetVersion};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::RunStatusSchema;
use crate::problem::{Code, Problem};
use crate::wire::{Text, Timestamp};

/// A reason is a remark, not a document.
pub const REASON_CHARS_MAX: usize = 2_000;
/// Codes are dotted words; a filter that is longer finds nothing.
pub const ERROR_CODE_CHARS_MAX: usize = 200;

/// Why a run is cancelled or paused.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StopRun {
    /// Why, for people: it is kept in the run's journal.
    #[schema(value_type = Option<String>, max_length = 2_000)]
    pub reason: Option<Text<0, { REASON_CHARS_MAX }>>,
}

/// How a run goes on.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetryRun {
    /// With which version of its definition: a number, or `newest`. The one that it is on where absent.
    pub version: Option<RetryVersion>,
    /// Variables that are changed before it goes on.
    #[serde(default)]
    pub vars: Map<String, Value>,
}

/// A version of a run's definition.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum RetryVersion {
    /// This one.
    Number(i32),
    /// The newest.
    Newest(Newest),
}

/// The newest version, for the run and the runs that it waits for.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Newest {
    /// The newest.
    Newest,
}

impl RetryVersion {
    /// As the engine says it; the run's own version where absent.
    pub(super) fn target(version: Option<Self>) -> TargetVersion {
        match version {
            None => TargetVersion::Same,
            Some(Self::Number(number)) => TargetVersion::Number(number),
            Some(Self::Newest(Newest::Newest)) => TargetVersion::Newest,
        }
    }
}

/// A run to be made of the beginning of another one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ForkRun {
    /// The step with which it goes on; what came before it is taken over.
    #[schema(example = "draft")]
    pub from_step: String,
    /// Which visit of the step; the last one where absent.
    #[schema(minimum = 1)]
    pub visit: Option<u32>,
    /// Variables that are changed before it goes on.
    #[serde(default)]
    pub vars: Map<String, Value>,
}

/// What an event brings.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignalRun {
    /// Any JSON: the result of the `wait` step that takes the event. Null where absent.
    #[serde(default)]
    #[schema(required = false)]
    pub payload: Value,
}

/// One thing to be done to many runs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BulkRuns {
    /// What.
    pub action: BulkAction,
    /// With a `retry`: `newest` lets each go over to the newest version of its definition.
    pub version: Option<Newest>,
    /// To which runs. All that are given hold together.
    #[serde(default)]
    pub filter: BulkFilter,
    /// Says that every run of the workspace is meant, which an empty `filter` alone does not.
    #[serde(default)]
    pub all: bool,
    /// Only those that were started before this run: the `next` of the answer to the command before this one.
    #[schema(value_type = Option<String>, example = "run_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    pub before: Option<RunId>,
}

/// What may be done to many runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum BulkAction {
    /// As `POST /runs/{id}/cancel`.
    Cancel,
    /// As `POST /runs/{id}/pause`.
    Pause,
    /// As `POST /runs/{id}/resume`.
    Resume,
    /// As `POST /runs/{id}/retry`.
    Retry,
}

/// Which runs are meant.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BulkFilter {
    /// Those of this workflow.
    #[schema(value_type = Option<String>, example = "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    pub workflow_id: Option<WorkflowId>,
    /// Those of these statuses; of any to which the action applies where absent.
    #[serde(default)]
    #[schema(value_type = Vec<RunStatusSchema>, required = false)]
    pub status: Vec<RunStatus>,
    /// Those that ended with this `error.code`.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200, example = "agent.unavailable")]
    pub error_code: Option<Text<1, { ERROR_CODE_CHARS_MAX }>>,
    /// Those that were asked for at this instant or later.
    pub created_from: Option<Timestamp>,
    /// Those that were asked for before this instant.
    pub created_before: Option<Timestamp>,
}

impl BulkFilter {
    fn is_empty(&self) -> bool {
        let Self { workflow_id, status, error_code, created_from, created_before } = self;
        workflow_id.is_none()
            && status.is_empty()
            && error_code.is_none()
            && created_from.is_none()
            && created_before.is_none()
    }
}

impl BulkRuns {
    /// The command, or why it is none.
    pub(super) fn command(self) -> Result<(EngineAction, RunFilter, Option<RunId>), Problem> {
        let Self { action, version, filter, all, before } = self;
        let mut faults = Vec::new();
        if filter.is_empty() && !all {
            let detail = "an empty filter means every run of the workspace, which `\"all\": true` has to say";
            faults.push(Fault::new("/filter", "body.empty_filter", detail));
        }
        if version.is_some() && action != BulkAction::Retry {
            faults.push(Fault::new("/version", "body.version", "only a `retry` goes over to another version"));
        }
        if !faults.is_empty() {
            return Err(Problem::invalid(Code::BodyInvalid, faults));
        }
        let action = match action {
            BulkAction::Cancel => EngineAction::Cancel,
            BulkAction::Pause => EngineAction::Pause,
            BulkAction::Resume => EngineAction::Resume,
            BulkAction::Retry => EngineAction::Retry(RetryVersion::target(version.map(RetryVersion::Newest))),
        };
        let filter = RunFilter {
            workflow: filter.workflow_id,
            statuses: filter.status,
            error_code: filter.error_code.map(Text::into_inner),
            created_from: filter.created_from.map(|instant| instant.0),
            created_before: filter.created_before.map(|instant| instant.0),
            parent: None,
        };
        Ok((action, filter, before))
    }
}

/// What became of a bulk command.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BulkResponse {
    /// The runs that it reached.
    #[schema(value_type = Vec<String>)]
    pub reached: Vec<RunId>,
    /// Those to which it did not apply.
    pub refused: Vec<RefusedRun>,
    /// Whether there may be more.
    pub more: bool,
    /// Where there are more, what the same command takes as `before` to go on with them.
    #[schema(value_type = Option<String>, example = "run_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    pub next: Option<RunId>,
}

/// A run to which a bulk command did not apply.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefusedRun {
    /// The run.
    #[schema(value_type = String, example = "run_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    pub id: RunId,
    /// Why, for people.
    pub detail: String,
}

impl From<BulkOutcome> for BulkResponse {
    fn from(BulkOutcome { reached, refused, next }: BulkOutcome) -> Self {
        let refused = refused.into_iter().map(|(id, detail)| RefusedRun { id, detail }).collect();
        Self { reached, refused, more: next.is_some(), next }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_bounds_that_are_documented_are_the_ones_that_hold() {
        let reason = &json!(StopRun::schema())["properties"]["reason"];
        assert_eq!(reason["maxLength"], json!(REASON_CHARS_MAX));
        assert_eq!(json!(BulkFilter::schema())["properties"]["errorCode"]["maxLength"], json!(ERROR_CODE_CHARS_MAX));
        assert_eq!(json!(SignalRun::schema())["required"], Value::Null);
    }

    #[test]
    fn a_version_is_a_number_or_the_newest() {
        let target = |version: Value| {
            from_value::<RetryRun>(json!({ "version": version })).map(|retry| RetryVersion::target(retry.version))
        };
        assert_eq!(target(json!(3)).unwrap(), TargetVersion::Number(3));
        assert_eq!(target(json!("newest")).unwrap(), TargetVersion::Newest);
        assert_eq!(target(Value::Null).unwrap(), TargetVersion::Same);
        assert!(target(json!("3")).is_err() && target(json!(1.5)).is_err());
    }

    #[test]
    fn all_runs_are_meant_only_where_that_is_said() {
        let command = |body: Value| from_value::<BulkRuns>(body).unwrap().command().map_err(|problem| problem.code());
        assert_eq!(command(json!({ "action": "cancel" })).unwrap_err(), Code::BodyInvalid);
        assert_eq!(command(json!({ "action": "cancel", "filter": { "status": [] } })).unwrap_err(), Code::BodyInvalid);
        assert_eq!(command(json!({ "action": "cancel", "all": true })).unwrap().0, EngineAction::Cancel);
        let newest = json!({ "action": "retry", "version": "newest", "filter": { "status": ["failed"] } });
        assert_eq!(command(newest).unwrap().0, EngineAction::Retry(TargetVersion::Newest));
        let wrong = json!({ "action": "pause", "version": "newest", "all": true });
        assert_eq!(command(wrong).unwrap_err(), Code::BodyInvalid);
    }
}
