//! Which runs are asked for.

use armilla_domain::id::{RunId, WorkflowId};
use armilla_domain::run::RunStatus;
use armilla_engine::RunFilter;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::page::PageQuery;
use crate::problem::{Code, Problem};
use crate::wire::Timestamp;

/// Which runs.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct RunsQuery {
    /// Those of this workflow.
    #[param(required = false, value_type = String, example = "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    workflow_id: Option<WorkflowId>,
    /// Those of these statuses, separated by commas.
    #[param(required = false, value_type = String, example = "failed,timedOut")]
    status: Option<String>,
    /// Those that ended with this `error.code`.
    #[param(required = false, value_type = String, example = "agent.unavailable")]
    error_code: Option<String>,
    /// Those that were asked for at this instant or later.
    #[param(required = false, value_type = String, format = DateTime)]
    created_from: Option<Timestamp>,
    /// Those that were asked for before this instant.
    #[param(required = false, value_type = String, format = DateTime)]
    created_before: Option<Timestamp>,
    /// Those that a `workflow` step of this run started.
    #[param(required = false, value_type = String, example = "run_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    parent_run_id: Option<RunId>,
    /// How many, at most; the most that a list gives where absent.
    #[param(minimum = 1, required = false, value_type = u32)]
    limit: Option<u32>,
    /// The `nextCursor` of the page before; the list's beginning where absent.
    #[param(required = false, value_type = String)]
    cursor: Option<String>,
}

impl RunsQuery {
    /// Which runs, and which page of them.
    pub(super) fn parts(self) -> Result<(RunFilter, PageQuery), Problem> {
        if self.error_code.as_ref().is_some_and(|code| code.contains('\0')) {
            return Err(Problem::new(Code::QueryInvalid, "`errorCode` has the character U+0000."));
        }
        let filter = RunFilter {
            workflow: self.workflow_id,
            statuses: self.status.as_deref().map(statuses).transpose()?.unwrap_or_default(),
            error_code: self.error_code,
            created_from: self.created_from.map(|instant| instant.0),
            created_before: self.created_before.map(|instant| instant.0),
            parent: self.parent_run_id,
        };
        Ok((filter, PageQuery { limit: self.limit, cursor: self.cursor }))
    }
}

fn statuses(text: &str) -> Result<Vec<RunStatus>, Problem> {
    let statuses = text.split(',').map(|word| RunStatus::from_word(word.trim()));
    statuses.collect::<Option<_>>().ok_or_else(|| {
        let known: Vec<&str> = RunStatus::ALL.iter().map(|status| status.as_str()).collect();
        Problem::new(Code::QueryInvalid, format!("`status` must be of {}, separated by commas.", known.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_separated_by_commas_and_all_known() {
        assert_eq!(statuses("failed, timedOut").unwrap(), [RunStatus::Failed, RunStatus::TimedOut]);
        for wrong in ["", "failed,", "ended", "Failed"] {
            assert_eq!(statuses(wrong).unwrap_err().code(), Code::QueryInvalid, "{wrong}");
        }
    }
}
