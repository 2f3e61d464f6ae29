//! How the plugin describes itself. The tests change these bytes in the built component, so that one build is many plugins.

use std::hint::black_box;

/// What the tests look for in the component.
pub const GUISE_PREFIX: &str = "armilla-hostile-guise:";
/// In bytes: a guise's name, filled up with dots.
pub const GUISE_BYTES: usize = 16;

static GUISE: [u8; 38] = *b"armilla-hostile-guise:plain...........";

/// The guise's name.
#[cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "asked by the component alone"))]
pub(crate) fn guise() -> &'static str {
    // The compiler must not know what it says.
    let bytes: &'static [u8; 38] = black_box(&GUISE);
    let name = std::str::from_utf8(&bytes[GUISE_PREFIX.len()..]).unwrap_or_default();
    name.trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guise_as_built_is_plain() {
        assert_eq!(guise(), "plain");
        assert_eq!(GUISE.len(), GUISE_PREFIX.len() + GUISE_BYTES);
    }
}
