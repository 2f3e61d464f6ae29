//! The two doors through which time and chance come in. Everything else gets them as arguments.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};

/// Tells the time. It has two implementations: the system's, and one that a test moves.
pub trait Clock: Send + Sync {
    /// The present instant, in whole milliseconds.
    fn now(&self) -> DateTime<Utc>;
}

/// Gives random bits.
pub trait Chance: Send + Sync {
    /// Ten random bytes: what an id takes.
    fn bytes(&self) -> [u8; 10];

    /// A number in `0.0..1.0`.
    fn fraction(&self) -> f64 {
        let bytes = self.bytes();
        let bits = u64::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], 0]);
        // 53 bits: what the fraction of an f64 holds.
        (bits >> 3) as f64 / (1_u64 << 53) as f64
    }
}

/// The clock of the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(3)
    }
}

/// The chance of the system: cryptographically strong, seeded by the kernel.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemChance;

impl Chance for SystemChance {
    #[expect(clippy::disallowed_methods, reason = "the one place that draws")]
    fn bytes(&self) -> [u8; 10] {
        rand::random()
    }
}

/// How long from `now` until `then`; nothing where that is past.
pub(crate) fn until(now: DateTime<Utc>, then: DateTime<Utc>) -> Duration {
    (then - now).to_std().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u8);

    impl Chance for Fixed {
        fn bytes(&self) -> [u8; 10] {
            [self.0; 10]
        }
    }

    #[test]
    fn a_fraction_is_at_least_nothing_and_less_than_one() {
        assert_eq!(Fixed(0).fraction(), 0.0);
        assert!((0.99..1.0).contains(&Fixed(255).fraction()));
    }

    #[test]
    fn the_clock_tells_whole_milliseconds() {
        assert_eq!(SystemClock.now().timestamp_subsec_nanos() % 1_000_000, 0);
    }
}
