//! Is the process there, and can it work.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::problem::{Code, Problem};
use crate::state::{ApiState, Check};

/// Probes give up after a few seconds; a check that takes longer is a failed one.
pub(crate) const READINESS_DURATION_MAX: Duration = Duration::from_secs(3);

/// That the process answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// That the server can work.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ready {
    /// Always `ready`.
    #[schema(example = "ready")]
    status: &'static str,
    /// Everything that was looked at.
    checks: Vec<Check>,
}

/// Tell that the process is alive
#[utoipa::path(get, path = "/healthz", operation_id = "getHealth", tag = "operations",
    responses((status = 200, description = "The process answers.", body = Health)))]
pub(crate) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Tell whether the server can work
///
/// Looks at everything it needs. Where something is not there, the problem's member `checks` tells what.
#[utoipa::path(get, path = "/readyz", operation_id = "getReadiness", tag = "operations", responses(
    (status = 200, description = "Everything the server needs is there.", body = Ready),
    (status = 503, description = "Something is not; `checks` tells what.", body = crate::problem::ProblemBody,
        content_type = "application/problem+json"),
))]
pub(crate) async fn readyz(State(state): State<ApiState>) -> Result<Json<Ready>, Problem> {
    let checks = tokio::time::timeout(READINESS_DURATION_MAX, (state.readiness)()).await.unwrap_or_else(|_| {
        let detail = format!("It took more than {} seconds to look.", READINESS_DURATION_MAX.as_secs());
        vec![Check { name: "readiness".to_owned(), ok: false, detail: Some(detail) }]
    });
    let missing: Vec<_> = checks.iter().filter(|check| !check.ok).map(|check| check.name.as_str()).collect();
    if missing.is_empty() {
        return Ok(Json(Ready { status: "ready", checks }));
    }
    Err(Problem::new(Code::ServerNotReady, format!("Not there yet, or not any more: {}.", missing.join(", ")))
        .with("checks", json!(checks))
        .retry_after(Duration::from_secs(1)))
}
