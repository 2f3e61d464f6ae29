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

/// What is known of one endpoint.
pub(crate) struct Circuit {
    pub(super) breaker: Breaker,
    /// The code of its last failure, for those who are refused because of it.
    last: Mutex<Option<String>>,
}

impl Default for Circuit {
    fn default() -> Self {
        Self { breaker: Breaker::forgiving(ENDPOINT_OPEN_FOR), last: Mutex::default() }
    }
}

impl Circuit {
    /// Remembers how a call failed.
    pub(super) fn note(&self, error: &CallError) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.code.clone().into_owned());
    }

    /// The error of a call that is not made.
    pub(super) fn left_alone(&self, agent: &str, left: Duration) -> CallError {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let last = last.map(|code| format!(" ({code}, the last time)")).unwrap_or_default();
        let seconds = left.as_secs_f64().ceil();
        let message = format!(
            "agent `{agent}`: its endpoint failed too often{last} and is left alone; the next call goes out in {seconds} s"
        );
        let mut error = CallError::new(ErrorClass::Unavailable, "agent.circuit_open", message);
        error.retry_after = Some(left);
        error
    }
}

/// The breakers of all endpoints.
pub(crate) struct Circuits(Mutex<LruCache<(WorkspaceId, String), Arc<Circuit>>>);

/// Endpoints whose failures are remembered.
const ENDPOINTS_KEPT_MAX: usize = 4_096;

impl Default for Circuits {
    fn default() -> Self {
        let most = NonZeroUsize::new(ENDPOINTS_KEPT_MAX).unwrap_or(NonZeroUsize::MIN);
        Self(Mutex::new(LruCache::new(most)))
    }
}

impl Circuits {
    pub(super) fn of(&self, workspace: WorkspaceId, endpoint: &str) -> Arc<Circuit> {
        let mut circuits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let breaker = circuits.get_or_insert((workspace, endpoint.to_owned()), || Arc::new(Circuit::default()));
        Arc::clone(breaker)
    }
}

/// Whether an endpoint is to blame: it was not there, took too long, or failed.
///
/// One that had less than its time, since the call waited for its turn first, is not to blame for being late.
pub(super) fn speaks_against_the_endpoint(error: &CallError, had_its_time: bool) -> bool {
    match error.class {
        ErrorClass::Unavailable | ErrorClass::Server => true,
        ErrorClass::Timeout => had_its_time,
        ErrorClass::RateLimited | ErrorClass::Tool | ErrorClass::Permanent => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn an_endpoint_that_failed_is_asked_again_after_a_minute_and_serves_all_when_it_is_well() {
        let (circuits, workspace, start) = (Circuits::default(), WorkspaceId::from_parts(1, [1; 10]), Instant::now());
        let circuit = circuits.of(workspace, "http://a/v1");
        let breaker = &circuit.breaker;
        let opened: Vec<bool> = (0..5).map(|_| breaker.admit(start).unwrap().settle(start, true)).collect();
        assert_eq!(opened, [false, false, false, false, true]);
        let again = circuits.of(workspace, "http://a/v1");
        let again = &again.breaker;
        assert_eq!(again.admit(start).unwrap_err(), ENDPOINT_OPEN_FOR);
        assert!(circuits.of(workspace, "http://b/v1").breaker.admit(start).is_ok());
        let later = start + ENDPOINT_OPEN_FOR;
        again.admit(later).unwrap().settle(later, false);
        assert!(again.admit(later).is_ok() && again.admit(later).is_ok(), "one that went well closes it");
    }

    #[test]
    fn only_what_an_endpoint_did_speaks_against_it() {
        let error = |class| CallError::new(class, "agent.x", "x");
        for class in [ErrorClass::Unavailable, ErrorClass::Timeout, ErrorClass::Server] {
            assert!(speaks_against_the_endpoint(&error(class), true));
        }
        for class in [ErrorClass::RateLimited, ErrorClass::Permanent, ErrorClass::Tool] {
            assert!(!speaks_against_the_endpoint(&error(class), true));
        }
        assert!(!speaks_against_the_endpoint(&error(ErrorClass::Timeout), false));
    }
}
