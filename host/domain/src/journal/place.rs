//! Where in a run something happened.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One execution of a step.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Visit {
    /// Where: the nested list it runs in.
    pub scope: ScopePath,
    /// The step's id.
    pub step: String,
    /// Which execution of that step in this run, from 1.
    pub number: u32,
}

/// Which running list a visit belongs to: empty for the main line, else one `step:visit:slot` for each level. The slot is
/// a branch's place in its parallel step, an item's in its forEach step, the number of a loop's pass, `then` and `else` of a
/// condition, or a case's place in its switch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScopePath(String);

impl ScopePath {
    /// The scope inside `visit`, at `slot`.
    pub fn inside(visit: &Visit, slot: impl fmt::Display) -> Self {
        let Visit { scope, step, number } = visit;
        let separator = if scope.0.is_empty() { "" } else { "/" };
        Self(format!("{}{separator}{step}:{number}:{slot}", scope.0))
    }

    /// What the scopes inside `visit`, at any depth, begin with.
    pub fn prefix_inside(visit: &Visit) -> String {
        Self::inside(visit, "").0
    }

    /// The last level's slot; none for the main line.
    pub fn slot(&self) -> Option<&str> {
        self.0.rsplit_once(':').map(|(_, slot)| slot)
    }

    /// A scope as the store keeps it.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// A scope as the store keeps it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ScopePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Default for Visit {
    /// Stands for a visit that is still to be read from its columns.
    fn default() -> Self {
        Self { scope: ScopePath::default(), step: String::new(), number: 0 }
    }
}
