//! Regular expressions as the tools take them.

use regex::{Regex, RegexBuilder};

use crate::InvalidInput;

/// In bytes of compiled program: room for any pattern that a person writes, not for one that eats the instance's memory.
const PATTERN_PROGRAM_BYTES_MAX: usize = 1 << 20;

pub(crate) fn compile(pattern: &str, ignore_case: bool) -> Result<Regex, InvalidInput> {
    RegexBuilder::new(pattern)
        .case_insensitive(ignore_case)
        .size_limit(PATTERN_PROGRAM_BYTES_MAX)
        .build()
        .map_err(|error| InvalidInput(format!("the pattern is not a regular expression: {error}")))
}
