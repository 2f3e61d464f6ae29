//! Which runs an override is for.

use std::time::Duration;

use crate::id::{PromptOverrideId, RunId};

/// The shortest life of an override: below, it has ended before it was seen at work.
pub const OVERRIDE_TTL_MIN: Duration = Duration::from_secs(60);
/// How long an override lasts where nobody says.
pub const OVERRIDE_TTL_DEFAULT: Duration = Duration::from_secs(60 * 60);
/// The longest life of an override: what is good for longer is a version.
pub const OVERRIDE_TTL_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Runs that one override may name: those that somebody looks at one by one.
pub const OVERRIDE_RUNS_MAX: usize = 1_000;

/// Which runs an override is for.
#[derive(Debug, Clone, PartialEq)]
pub enum Coverage {
    /// All of them.
    All,
    /// So large a part of them, from 0 to 1.
    Share(f64),
    /// These.
    Runs(Vec<RunId>),
}

impl Coverage {
    /// Whether the override `id` is for `run`. The same answer on every host, for as long as there is either; under another
    /// override the same run may fall on the other side.
    pub fn covers(&self, id: PromptOverrideId, run: RunId) -> bool {
        match self {
            Self::All => true,
            Self::Share(share) => point_of(id, run) < *share,
            Self::Runs(runs) => runs.contains(&run),
        }
    }
}

/// Where a run stands between 0 and 1 for an override: evenly spread, since each bit of both ids moves it.
fn point_of(id: PromptOverrideId, run: RunId) -> f64 {
    // FNV-1a over both ids, and then the finaliser of MurmurHash3: neighbours in time must not be neighbours here.
    let bytes = id.uuid().into_bytes().into_iter().chain(run.uuid().into_bytes());
    let mut hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    for factor in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^= hash >> 33;
    // 53 bits: what the fraction of an f64 holds.
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(n: u16) -> RunId {
        let [high, low] = n.to_be_bytes();
        RunId::from_parts(1_700_000_000_000 + u64::from(n), [high, low, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    #[test]
    fn a_share_is_stable_for_a_run_and_about_right_for_many() {
        for (share, id) in [(0.1, 1), (0.5, 2), (0.9, 3)] {
            let id = PromptOverrideId::from_parts(1, [id; 10]);
            let coverage = Coverage::Share(share);
            let covered: Vec<bool> = (0..10_000).map(|n| coverage.covers(id, run(n))).collect();
            let part = covered.iter().filter(|covered| **covered).count() as f64 / 10_000.0;
            assert!((part - share).abs() < 0.02, "{part} of {share}");
            assert_eq!(covered, (0..10_000).map(|n| coverage.covers(id, run(n))).collect::<Vec<_>>());
        }
    }

    #[test]
    fn another_override_of_the_same_share_is_for_other_runs() {
        let under = |id: u8| {
            let id = PromptOverrideId::from_parts(1, [id; 10]);
            (0..1_000).filter(|n| Coverage::Share(0.5).covers(id, run(*n))).collect::<Vec<_>>()
        };
        let (one, other) = (under(1), under(2));
        let both = one.iter().filter(|n| other.contains(n)).count();
        assert!((150..350).contains(&both), "{both} of 1,000 in both halves");
    }

    #[test]
    fn nothing_is_for_no_run_and_all_is_for_each() {
        let id = PromptOverrideId::from_parts(1, [1; 10]);
        assert!((0..1_000).all(|n| Coverage::Share(1.0).covers(id, run(n)) && Coverage::All.covers(id, run(n))));
        assert!((0..1_000).all(|n| !Coverage::Share(0.0).covers(id, run(n))));
        let named = Coverage::Runs(vec![run(3)]);
        assert!(named.covers(id, run(3)) && !named.covers(id, run(4)));
    }
}
