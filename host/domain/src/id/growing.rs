//! Ids in the order in which one host made them, however many of them in one millisecond: what is listed by id is listed in that order.

use std::sync::{Mutex, PoisonError};

use super::TimeOrdered;

/// Bits of a UUID of version 7 between its milliseconds and its variant: a count within the millisecond (RFC 9562, section 6.2,
/// method 1).
const COUNT_BITS: u32 = 12;

/// How far ids may be ahead of the clock, in milliseconds: one that was wrong and was set back must not leave the ids of hours to come.
const AHEAD_MAX_MS: u64 = 10_000;

/// Makes ids that only grow, as long as the clock is not set back by more than ten seconds.
#[derive(Debug, Default)]
pub struct GrowingIds {
    /// Milliseconds and count of the last one, as one number.
    last: Mutex<u64>,
}

impl GrowingIds {
    /// An id of this millisecond, or, where the clock went back or 4,096 were made in it, of the one after the last.
    pub fn next<Id: TimeOrdered>(&self, unix_millis: u64, mut chance: [u8; 10]) -> Id {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last >> COUNT_BITS > unix_millis + AHEAD_MAX_MS {
            *last = 0;
        }
        *last = (*last + 1).max(unix_millis << COUNT_BITS);
        let (millis, count) = (*last >> COUNT_BITS, *last & ((1 << COUNT_BITS) - 1));
        chance[0] = (count >> 8) as u8;
        chance[1] = count as u8;
        Id::from_parts(millis, chance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{EventId, RunId};

    #[test]
    fn ids_grow_whatever_clock_and_chance_do() {
        let ids = GrowingIds::default();
        let mut made: Vec<EventId> = (0..10_000).map(|n: u32| ids.next(1_000, [255 - (n % 256) as u8; 10])).collect();
        let between: RunId = ids.next(1_000, [0; 10]);
        made.push(ids.next(900, [0; 10]));
        assert!(made.last().unwrap().uuid() > between.uuid());
        made.push(ids.next(2_000, [0; 10]));
        assert!(made.is_sorted_by(|a, b| a < b));
        assert_eq!(made[0].uuid().get_version_num(), 7);
    }

    #[test]
    fn a_clock_that_was_set_back_is_followed() {
        let ids = GrowingIds::default();
        let ahead: RunId = ids.next(3_600_000, [0; 10]);
        let little: RunId = ids.next(3_600_000 - AHEAD_MAX_MS, [0; 10]);
        let back: RunId = ids.next(1_000, [0; 10]);
        assert!(little > ahead && back < ahead);
        assert!(back < RunId::from_parts(1_001, [0; 10]));
    }
}
