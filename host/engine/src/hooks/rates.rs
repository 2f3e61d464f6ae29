//! How often hooks are called, as far as this host has seen.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use armilla_domain::id::InboundHookId;
use lru::LruCache;
use tokio::time::Instant;

/// Calls of one hook that one host takes in a minute, whatever becomes of them: more than senders of events make, less than what a
/// host does for all. A leaked URL must not be all that a server is busy with.
pub const HOOK_CALLS_PER_MINUTE_MAX: u32 = 600;
/// Hooks whose calls are counted on one host; of more, those that were called last.
pub const HOOKS_COUNTED_MAX: usize = 10_000;

const MINUTE: Duration = Duration::from_secs(60);

/// The calls of each hook since its minute began.
pub(crate) struct HookRates(Mutex<LruCache<InboundHookId, (Instant, u32)>>);

impl Default for HookRates {
    fn default() -> Self {
        let most = NonZeroUsize::new(HOOKS_COUNTED_MAX).unwrap_or(NonZeroUsize::MIN);
        Self(Mutex::new(LruCache::new(most)))
    }
}

impl HookRates {
    /// Counts a call; where it is one too many, says how long to wait.
    pub(super) fn admit(&self, hook: InboundHookId, now: Instant) -> Result<(), Duration> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (begun, calls) = counted.get_or_insert_mut(hook, || (now, 0));
        let gone = now.saturating_duration_since(*begun);
        if gone >= MINUTE {
            (*begun, *calls) = (now, 0);
        } else if *calls >= HOOK_CALLS_PER_MINUTE_MAX {
            return Err(MINUTE - gone);
        }
        *calls += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_has_its_calls_in_each_minute_and_takes_none_from_others() {
        let rates = HookRates::default();
        let (one, other) = (InboundHookId::from_parts(1, [1; 10]), InboundHookId::from_parts(1, [2; 10]));
        let begun = Instant::now();
        for _ in 0..HOOK_CALLS_PER_MINUTE_MAX {
            assert_eq!(rates.admit(one, begun), Ok(()));
        }
        assert_eq!(rates.admit(one, begun + Duration::from_secs(20)), Err(Duration::from_secs(40)));
        assert_eq!(rates.admit(other, begun + Duration::from_secs(20)), Ok(()));
        assert_eq!(rates.admit(one, begun + MINUTE), Ok(()));
    }
}
