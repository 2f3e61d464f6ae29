//! Values that an operator set for this plugin.

use crate::{Denial, host};

/// The value of `key`. A key that the operator did not set is a denial: `config::get(key).ok()` makes it optional.
pub fn get(key: &str) -> Result<String, Denial> {
    host::config(key)
}
