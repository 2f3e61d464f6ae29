//! Faults of a document a caller sent: all of them at once, each with its place.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How many faults one answer lists; the rest of a hopeless document teaches nothing.
pub const FAULTS_MAX: usize = 100;

/// One thing that is wrong with a document, or, as a warning, that may well be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Where: a JSON pointer (RFC 6901) into the document.
    pub pointer: String,
    /// What kind: stable, dotted, for programs.
    pub code: String,
    /// What and why, for people.
    pub detail: String,
}

impl Fault {
    /// A fault at `pointer`.
    pub fn new(pointer: impl Into<String>, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code: code.into(), detail: detail.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The whole has no name.
        if self.pointer.is_empty() { f.write_str(&self.detail) } else { write!(f, "{}: {}", self.pointer, self.detail) }
    }
}

/// The pointer of `key` inside the value at `parent`, escaped as RFC 6901 section 3 says.
pub fn pointer(parent: &str, key: impl fmt::Display) -> String {
    let key = key.to_string().replace('~', "~0").replace('/', "~1");
    format!("{parent}/{key}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_escapes_the_two_characters_that_mean_something_in_it() {
        assert_eq!(pointer("/steps/0", "a/b~c"), "/steps/0/a~1b~0c");
        assert_eq!(pointer("", 3), "/3");
    }
}
