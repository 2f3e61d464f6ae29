//! SHA-256 as registries write it: `sha256:` and 64 lower-case hexadecimal digits.

use std::fmt;

use sha2::{Digest as _, Sha256};

const PREFIX: &str = "sha256:";

/// The digest of a manifest or layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digest {
    text: String,
}

impl Digest {
    /// Other algorithms are rare and would be a second thing to trust, so they do not parse.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix(PREFIX)?;
        let fits = hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        fits.then(|| Self { text: text.to_owned() })
    }

    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self::finish(Sha256::new_with_prefix(bytes))
    }

    /// Of what was fed to `hash` piece by piece.
    pub(crate) fn finish(hash: Sha256) -> Self {
        let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { text: format!("{PREFIX}{hex}") }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_written_as_registries_write_it() {
        let of_nothing = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").as_str(), of_nothing);
        assert_eq!(Digest::parse(of_nothing), Some(Digest::of(b"")));
    }

    #[test]
    fn other_algorithms_lengths_and_letters_do_not_parse() {
        for text in
            ["", "sha256:", "sha256:abc", &format!("sha512:{}", "a".repeat(128)), &format!("sha256:{}", "A".repeat(64))]
        {
            assert_eq!(Digest::parse(text), None, "{text}");
        }
    }
}
