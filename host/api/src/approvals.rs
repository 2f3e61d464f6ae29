//! Approvals: what is sent and answered. The handlers are in a file of their own.

mod handlers;

use armilla_domain::id::{ApprovalId, RunId};
use armilla_engine::ApprovalView;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub(crate) use self::handlers::*;
use crate::wire::{Text, Timestamp};

/// A note is a remark, not a document.
pub const NOTE_CHARS_MAX: usize = 2_000;
/// The most that a list of approvals gives at once.
pub const APPROVALS_PAGE_MAX: u32 = 100;

/// What an approval can be.
const STATUSES: [&str; 5] = ["open", "approved", "denied", "expired", "withdrawn"];

/// Which approvals.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct ApprovalsQuery {
    /// Those of this status: `status=open` lists what waits for a decision. Of any where absent.
    #[param(required = false, value_type = String, example = "open")]
    status: Option<String>,
    /// Those that this run asks or asked for.
    #[param(required = false, value_type = String, example = "run_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    run_id: Option<RunId>,
    /// How many, at most; the most that a list gives where absent.
    #[param(minimum = 1, required = false, value_type = u32)]
    limit: Option<u32>,
    /// The `nextCursor` of the page before; the list's beginning where absent.
    #[param(required = false, value_type = String)]
    cursor: Option<String>,
}

/// What somebody says about a decision.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Decide {
    /// Why, for people; the run gets it with the decision.
    #[schema(value_type = Option<String>, max_length = 2_000)]
    pub note: Option<Text<0, { NOTE_CHARS_MAX }>>,
}

/// What an approval is doing.
#[derive(ToSchema)]
#[schema(as = ApprovalStatus, rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema, never a value")]
enum ApprovalStatusSchema {
    /// It waits for a decision.
    Open,
    /// Somebody approved it.
    Approved,
    /// Somebody denied it.
    Denied,
    /// Nobody decided in time, and the step's `onTimeout` did.
    Expired,
    /// Its run does not ask any more.
    Withdrawn,
}

/// A decision that a run waits or waited for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Approval)]
pub struct ApprovalBody {
    /// Its id.
    #[schema(value_type = String, example = "apr_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    pub id: ApprovalId,
    /// The run that asks.
    #[schema(value_type = String, example = "run_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    pub run_id: RunId,
    /// The step that asks.
    pub step_id: String,
    /// What is asked.
    pub message: String,
    /// The roles that may decide; an owner always may.
    pub approvers: Vec<String>,
    /// What it is doing.
    #[schema(value_type = ApprovalStatusSchema)]
    pub status: String,
    /// When it was asked.
    pub created_at: Timestamp,
    /// Until when it can be decided; null where for ever.
    #[schema(required = true)]
    pub expires_at: Option<Timestamp>,
    /// When it was decided; null before.
    #[schema(required = true)]
    pub decided_at: Option<Timestamp>,
    /// Who decided: the `sub` of the token; null before, and where nobody did.
    #[schema(required = true)]
    pub decided_by: Option<String>,
    /// What they said about it.
    #[schema(required = true)]
    pub note: Option<String>,
}

impl From<ApprovalView> for ApprovalBody {
    fn from(view: ApprovalView) -> Self {
        Self {
            id: view.id,
            run_id: view.run,
            step_id: view.step,
            message: view.message,
            approvers: view.approvers,
            status: view.status,
            created_at: view.created_at.into(),
            expires_at: view.expires_at.map(Timestamp),
            decided_at: view.decided_at.map(Timestamp),
            decided_by: view.decided_by,
            note: view.note,
        }
    }
}

/// One approval.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApprovalResponse {
    /// The approval.
    pub approval: ApprovalBody,
}

/// A page of approvals, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalsResponse {
    /// The approvals.
    pub approvals: Vec<ApprovalBody>,
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
    fn what_is_documented_is_what_holds() {
        assert_eq!(json!(Decide::schema())["properties"]["note"]["maxLength"], json!(NOTE_CHARS_MAX));
        let documented = json!(ApprovalStatusSchema::schema());
        for status in STATUSES {
            assert!(documented.to_string().contains(&format!("\"{status}\"")), "{status}: {documented}");
        }
    }
}
