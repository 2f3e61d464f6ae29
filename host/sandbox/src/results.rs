//! Results of plugins that can touch nothing, kept by what they follow from. Only where a grant says so.

use std::sync::{Arc, Mutex, PoisonError};

use armilla_domain::id::WorkspaceId;
use lru::LruCache;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// In bytes that a result costs besides its text.
const ENTRY_COST_BYTES: usize = 200;
/// A result that takes more of the room than this would push out everything else.
const SHARE_OF_ONE: usize = 16;

/// What a result follows from: component, tool and input; and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ResultKey([u8; 32]);

impl ResultKey {
    pub(crate) fn new(workspace: WorkspaceId, digest: &str, tool: &str, input: &str) -> Self {
        // Neither a digest nor a tool's name has a zero byte in it.
        let hash = Sha256::new()
            .chain_update(workspace.uuid())
            .chain_update(digest)
            .chain_update([0])
            .chain_update(tool)
            .chain_update([0]);
        Self(hash.chain_update(input).finalize().into())
    }
}

/// The kept results, the least used first to go.
pub(crate) struct Results {
    bytes_max: usize,
    kept: Mutex<Kept>,
}

struct Kept {
    bytes: usize,
    by_key: LruCache<ResultKey, (usize, Arc<Value>)>,
}

impl Results {
    pub(crate) fn new(bytes_max: usize) -> Self {
        // Bounded by bytes. One that is bounded in entries has the room for all of them from the beginning, which is 10 MB.
        Self { bytes_max, kept: Mutex::new(Kept { bytes: 0, by_key: LruCache::unbounded() }) }
    }

    pub(crate) fn get(&self, key: &ResultKey) -> Option<Arc<Value>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.by_key.get(key).map(|(_, value)| Arc::clone(value))
    }

    /// Keeps a result whose JSON text has so many bytes.
    pub(crate) fn keep(&self, key: ResultKey, text_bytes: usize, value: &Value) {
        let cost = text_bytes + ENTRY_COST_BYTES;
        if cost > self.bytes_max / SHARE_OF_ONE {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, (old, _))) = kept.by_key.push(key, (cost, Arc::new(value.clone()))) {
            kept.bytes -= old;
        }
        kept.bytes += cost;
        while kept.bytes > self.bytes_max {
            let Some((_, (oldest, _))) = kept.by_key.pop_lru() else { break };
            kept.bytes -= oldest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn results_are_kept_within_a_bound_and_the_least_used_go_first() {
        let results = Results::new(16 * 1_200);
        let key = |n: usize| ResultKey::new(WorkspaceId::DEFAULT, "digest", "tool", &n.to_string());
        for n in 0..100 {
            results.keep(key(n), 1_000, &json!(n));
            let first = results.get(&key(0));
            assert_eq!(first, Some(Arc::new(json!(0))), "used again and again");
        }
        assert_eq!(results.get(&key(1)), None);
        assert_eq!(results.get(&key(99)), Some(Arc::new(json!(99))));
        results.keep(key(200), 2_000, &json!("too large a share"));
        assert_eq!(results.get(&key(200)), None);
    }

    #[test]
    fn component_tool_and_input_are_told_apart() {
        let key = ResultKey::new(WorkspaceId::DEFAULT, "a", "b", "c");
        for other in [("ab", "", "c"), ("a", "bc", ""), ("a", "b", "d")] {
            assert_ne!(ResultKey::new(WorkspaceId::DEFAULT, other.0, other.1, other.2), key);
        }
    }
}
