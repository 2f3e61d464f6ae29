//! Endpoints of agents that fail too often, as far as this host has seen.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use armilla_domain::breaker::Breaker;
use armilla_domain::call::{CallError, ErrorClass};
use armilla_domain::id::WorkspaceId;
use lru::LruCache;

/// How long an endpoint is left alone that failed too often.
pub const ENDPOINT_OPEN_FOR: Duration = Duration::from_secs(60);

/// The breakers of all endpoints.
pub(crate) struct Circuits(Mutex<LruCache<(WorkspaceId, String), Arc<Breaker>>>);

/// Endpoints whose failures are remembered.
const ENDPOINTS_KEPT_MAX: usize = 4_096;

impl Default for Circuits {
    fn default() -> Self {
        let most = NonZeroUsize::new(ENDPOINTS_KEPT_MAX).unwrap_or(NonZeroUsize::MIN);
        Self(Mutex::new(LruCache::new(most)))
    }
}

impl Circuits {
    pub(super) fn of(&self, workspace: WorkspaceId, endpoint: &str) -> Arc<Breaker> {
        let mut circuits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let breaker =
            circuits.get_or_insert((workspace, endpoint.to_owned()), || Arc::new(Breaker::new(ENDPOINT_OPEN_FOR)));
        Arc::clone(breaker)
    }
}

/// Whether an endpoint is to blame: it was not there, took too long, or failed.
pub(super) fn speaks_against_the_endpoint(error: &CallError) -> bool {
    matches!(error.class, ErrorClass::Unavailable | ErrorClass::Timeout | ErrorClass::Server)
}

pub(super) fn left_alone(agent: &str, left: Duration) -> CallError {
    let seconds = left.as_secs_f64().ceil();
    let message = format!(
        "agent `{agent}`: its endpoint failed too often and is left alone; the next call goes out in {seconds} s"
    );
    let mut error = CallError::new(ErrorClass::Unavailable, "agent.circuit_open", message);
    error.retry_after = Some(left);
    error
}
