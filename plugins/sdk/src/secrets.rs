//! Secrets, without their values.

use crate::{Denial, host};

/// A placeholder for the secret of this name: text to be put into the URL, a header or the body of a request.
///
/// The host puts the value in its place when the request leaves for a host that the secret was granted for. The plugin never
/// sees the value, so it cannot be encoded here: base64 of a placeholder is base64 of a word.
pub fn get(name: &str) -> Result<String, Denial> {
    host::secret(name)
}
