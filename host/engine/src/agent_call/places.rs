//! Places among an agent's calls, where their number or their pace is bounded, on all hosts together.

use std::sync::Arc;
use std::time::Duration;

use armilla_domain::agent::AgentConfig;
use armilla_domain::call::{CallError, ErrorClass};
use armilla_domain::id::WorkspaceId;
use armilla_store::{Admitted, AgentPlace};
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

use super::of_store;
use crate::executor::Work;
use crate::host::Host;

/// How long a place is believed taken beyond the time that its call may last.
const PLACE_MARGIN: Duration = Duration::from_secs(10);
/// The first wait for a place; it doubles up to [`PLACE_WAIT_MAX`], and is spread by chance.
const PLACE_WAIT: Duration = Duration::from_millis(50);
const PLACE_WAIT_MAX: Duration = Duration::from_secs(1);

/// A place among an agent's calls, where their number is bounded. It is given back when it is dropped.
pub(super) struct Place {
    host: Arc<Host>,
    workspace: WorkspaceId,
    agent: String,
    call: Uuid,
}

impl Place {
    /// Waits for a place, and for the pace, until the attempt must be over.
    pub(super) async fn take(
        host: &Arc<Host>,
        work: &Work,
        config: &AgentConfig,
        until: Instant,
    ) -> Result<Option<Self>, CallError> {
        let (most, pace) = (config.limits.max_concurrency, config.limits.pace());
        if most.is_none() && pace.is_none() {
            return Ok(None);
        }
        let call = host.next_id();
        let believed_for = work.context.timeout + PLACE_MARGIN;
        let asked = AgentPlace { call, host: host.id(), believed_for };
        let mut wait = PLACE_WAIT;
        loop {
            let admitted = host.store.take_agent_place(work.workspace, &config.id, asked, most, pace).await;
            let left = match admitted.map_err(|error| of_store(&error))? {
                Admitted::Now => {
                    let (host, agent) = (Arc::clone(host), config.id.clone());
                    return Ok(Some(Self { host, workspace: work.workspace, agent, call }));
                }
                Admitted::After(left) => left,
            };
            let spread = wait.mul_f64(0.5 + host.chance.fraction());
            let pause = left.max(spread);
            if Instant::now() + pause >= until {
                return Err(busy(&config.id, left.max(wait)));
            }
            tokio::time::sleep(pause).await;
            wait = (wait * 2).min(PLACE_WAIT_MAX);
        }
    }
}

fn busy(agent: &str, left: Duration) -> CallError {
    let message = format!("agent `{agent}`: its `limits` let no further call begin in the time of this attempt");
    let mut error = CallError::new(ErrorClass::RateLimited, "agent.busy", message);
    error.retry_after = Some(left);
    error
}

impl Drop for Place {
    fn drop(&mut self) {
        let (host, workspace, call) = (Arc::clone(&self.host), self.workspace, self.call);
        let agent = std::mem::take(&mut self.agent);
        tokio::spawn(async move {
            // Where this fails, the place is free when its time is up.
            if let Err(error) = host.store.give_agent_place_back(workspace, &agent, call).await {
                warn!("A place among the calls of `{agent}` could not be given back: {error}");
            }
        });
    }
}
