//! Runs that runs start.

use std::sync::Arc;

use armilla_domain::call::{CallContext, CallError, ErrorClass};
use armilla_domain::id::{RunId, WorkflowId, WorkspaceId};
use armilla_domain::run::{Call, ChildOf};
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tracing::error;

use crate::executor::{LEFT_TO_OTHERS, STORE_UNAVAILABLE};
use crate::host::Host;
use crate::runs::{Beginner, Begun};
use crate::{CHILD_DEPTH_MAX, CommandError, StartRun};

/// What is to be started.
pub(crate) struct Child {
    pub(crate) workflow: WorkflowId,
    pub(crate) version: Option<i32>,
    pub(crate) input: Value,
}

impl Host {
    /// Starts the run of a `workflow` step, once: its id follows from the attempt, so that the same again finds it.
    pub(crate) async fn start_child(
        self: &Arc<Self>,
        workspace: WorkspaceId,
        call: &Call,
        context: &CallContext,
        depth: i32,
        event_depth: i16,
        child: Child,
    ) -> Result<RunId, CallError> {
        if depth >= CHILD_DEPTH_MAX {
            let message = format!("runs start runs at most {CHILD_DEPTH_MAX} deep");
            return Err(CallError::permanent("workflow.too_deep", message));
        }
        let id = child_id(context.run_id, context.run_started_at, call);
        let command = StartRun {
            workflow: child.workflow,
            version: child.version,
            input: child.input,
            traceparent: context.traceparent.clone(),
            idempotency_key: None,
        };
        let parent = Some(ChildOf { run: context.run_id, depth: depth + 1 });
        let beginner = Beginner { parent, idempotency: None, event_depth };
        match begin(self, workspace, id, command, beginner).await {
            Ok(Begun::Started(_) | Begun::Exists) => Ok(id),
            Ok(Begun::Repeated { .. }) => Err(CallError::permanent("internal", "a child run has no key")),
            Err(error) => Err(error_of(&error)),
        }
    }
}

/// As [`crate::runs::begin`]. Boxed, since a run's task is what it begins, and is what calls it.
fn begin<'a>(
    host: &'a Arc<Host>,
    workspace: WorkspaceId,
    id: RunId,
    command: StartRun,
    beginner: Beginner,
) -> BoxFuture<'a, Result<Begun, CommandError>> {
    Box::pin(crate::runs::begin(host, workspace, id, command, beginner))
}

/// The id of an attempt's run: the time of the parent's start, and what says which attempt it is.
pub(crate) fn child_id(parent: RunId, parent_started_at: DateTime<Utc>, call: &Call) -> RunId {
    let name = format!("{parent}/{}/{}:{}:{}", call.visit.scope, call.visit.step, call.visit.number, call.attempt);
    let digest = Sha256::digest(name.as_bytes());
    let mut chance = [0; 10];
    chance.copy_from_slice(&digest[..10]);
    RunId::from_parts(parent_started_at.timestamp_millis().unsigned_abs(), chance)
}

fn error_of(error: &CommandError) -> CallError {
    match error {
        CommandError::UnknownWorkflow(_) | CommandError::UnknownWorkflowVersion { .. } => {
            CallError::permanent("workflow.unknown", error.to_string())
        }
        CommandError::Invalid(faults) => {
            let faults: Vec<String> = faults.iter().take(3).map(ToString::to_string).collect();
            CallError::permanent("workflow.invalid_input", format!("the input does not fit: {}", faults.join("; ")))
        }
        CommandError::TooManyRuns { .. } => {
            CallError::new(ErrorClass::RateLimited, "workflow.concurrency_limit", error.to_string())
        }
        CommandError::WaitsForItself { .. } => CallError::permanent("workflow.waits_for_itself", error.to_string()),
        CommandError::Stopping => CallError::new(ErrorClass::Unavailable, LEFT_TO_OTHERS, error.to_string()),
        CommandError::Store(store) if store.is_unavailable() => {
            CallError::new(ErrorClass::Unavailable, STORE_UNAVAILABLE, "the database could not be reached")
        }
        other => {
            error!("A child run could not be started: {other}");
            CallError::permanent("internal", "the run could not be started")
        }
    }
}
