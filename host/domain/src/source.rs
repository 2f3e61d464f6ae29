//! The two doors through which time and chance come in. Everything else gets them as arguments.

use chrono::{DateTime, Utc};

use crate::sealing::NONCE_BYTES;

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

    /// Bytes that were never used before: what sealing a secret takes.
    fn nonce(&self) -> [u8; NONCE_BYTES] {
        let mut nonce = [0; NONCE_BYTES];
        for part in nonce.chunks_mut(10) {
            part.copy_from_slice(&self.bytes()[..part.len()]);
        }
        nonce
    }
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
    fn every_byte_of_a_nonce_is_drawn() {
        assert_eq!(Fixed(7).nonce(), [7; NONCE_BYTES]);
    }
}
