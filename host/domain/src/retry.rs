//! When a failed attempt is repeated: exponential backoff with full jitter, bounded by the policy.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::call::{CallError, ErrorClass};

/// The most attempts a policy may ask for.
pub const ATTEMPTS_MAX: u32 = 100;

/// How a step is tried again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryPolicy {
    /// Tries in all, the first one counted: 1 to [`ATTEMPTS_MAX`].
    pub max_attempts: u32,
    /// The wait after the first failure.
    pub initial_delay: Duration,
    /// What each further wait is multiplied by, at least 1.
    pub multiplier: f64,
    /// No wait is longer, not even one that a `Retry-After` asks for.
    pub max_delay: Duration,
    /// Whether a wait is drawn from the upper half of its length, so that many runs do not come back at once.
    pub jitter: bool,
    /// The kinds of failure worth another try.
    pub on: Vec<ErrorClass>,
}

impl RetryPolicy {
    /// What an agent step does where nobody said otherwise.
    pub fn agent_default() -> Self {
        Self {
            max_attempts: 3,
            initial_delay: Duration::from_secs(1),
            multiplier: 2.0,
            max_delay: Duration::from_secs(60),
            jitter: true,
            on: vec![
                ErrorClass::Timeout,
                ErrorClass::Unavailable,
                ErrorClass::RateLimited,
                ErrorClass::Server,
                ErrorClass::Tool,
            ],
        }
    }

    /// What a step does that nobody declared repeatable: one attempt.
    pub fn once() -> Self {
        Self { max_attempts: 1, ..Self::agent_default() }
    }

    /// How long to wait before the attempt after `attempt` (from 1), or `None` where there is none. `chance` is in `0.0..1.0`.
    pub fn delay_after(&self, attempt: u32, error: &CallError, chance: f64) -> Option<Duration> {
        if error.class == ErrorClass::Permanent || attempt >= self.max_attempts || !self.on.contains(&error.class) {
            return None;
        }
        let grown = self.initial_delay.as_secs_f64() * self.multiplier.powi(attempt.saturating_sub(1) as i32);
        let bounded = grown.min(self.max_delay.as_secs_f64());
        let drawn = if self.jitter { bounded * (0.5 + 0.5 * chance) } else { bounded };
        let asked = error.retry_after.unwrap_or_default().min(self.max_delay);
        Some(Duration::from_secs_f64(drawn).max(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unavailable() -> CallError {
        CallError::new(ErrorClass::Unavailable, "agent.unavailable", "nobody answered")
    }

    #[test]
    fn waits_grow_by_the_multiplier_up_to_the_longest() {
        let policy = RetryPolicy { jitter: false, max_attempts: 100, ..RetryPolicy::agent_default() };
        let waits: Vec<_> =
            [1, 2, 3, 50].iter().map(|n| policy.delay_after(*n, &unavailable(), 0.0).unwrap().as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 60]);
    }

    #[test]
    fn the_last_attempt_is_the_last() {
        let policy = RetryPolicy::agent_default();
        assert!(policy.delay_after(2, &unavailable(), 0.5).is_some());
        assert_eq!(policy.delay_after(3, &unavailable(), 0.5), None);
    }

    #[test]
    fn a_permanent_failure_is_never_repeated() {
        let error = CallError::permanent("agent.refused", "no");
        assert_eq!(RetryPolicy::agent_default().delay_after(1, &error, 0.5), None);
    }

    #[test]
    fn a_retry_after_is_obeyed_up_to_the_longest_wait() {
        let policy = RetryPolicy::agent_default();
        let mut error = CallError::new(ErrorClass::RateLimited, "agent.rate_limited", "later");
        error.retry_after = Some(Duration::from_secs(7));
        assert_eq!(policy.delay_after(1, &error, 0.0), Some(Duration::from_secs(7)));
        error.retry_after = Some(Duration::from_secs(7_000));
        assert_eq!(policy.delay_after(1, &error, 0.0), Some(Duration::from_secs(60)));
    }

    #[test]
    fn jitter_draws_from_the_upper_half() {
        let policy = RetryPolicy::agent_default();
        assert_eq!(policy.delay_after(1, &unavailable(), 0.0), Some(Duration::from_millis(500)));
        assert!(policy.delay_after(1, &unavailable(), 0.999).unwrap() <= Duration::from_secs(1));
    }
}
