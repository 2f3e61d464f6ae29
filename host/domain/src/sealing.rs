//! Seals secrets with a key that is not in the database: XChaCha20-Poly1305, bound to workspace and name.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{Key, KeyInit, XChaCha20Poly1305, XNonce};

use crate::id::WorkspaceId;

/// In bytes; long enough to be drawn at random (draft-irtf-cfrg-xchacha, section 3.1).
pub const NONCE_BYTES: usize = 24;
/// What a sealed value begins with: the way it was sealed.
const VERSION: u8 = 1;

/// The key that seals secrets. Hosts that share a database share it. It is never printed.
#[derive(Clone)]
pub struct SealingKey([u8; 32]);

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKey(…)")
    }
}

/// A text that is no key. It is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key of secrets is 64 hexadecimal digits")]
pub struct SealingKeyError;

impl SealingKey {
    /// A key of these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    /// Where there is anything else.
    pub fn parse(text: &str) -> Result<Self, SealingKeyError> {
        let mut key = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(SealingKeyError);
        }
        for (place, byte) in key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).map_err(|_| SealingKeyError)?;
        }
        Ok(Self(key))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(self.0))
    }

    /// A value, sealed for its workspace and name. The nonce is drawn anew each time. Never absent for a value that memory holds.
    pub fn seal(&self, workspace: WorkspaceId, name: &str, value: &str, nonce: [u8; NONCE_BYTES]) -> Option<Vec<u8>> {
        let bound = bound_to(workspace, name);
        let payload = Payload { msg: value.as_bytes(), aad: &bound };
        let text = self.cipher().encrypt(&XNonce::from(nonce), payload).ok()?;
        Some([&[VERSION], nonce.as_slice(), &text].concat())
    }

    /// The value, where this key sealed it for this workspace and name.
    pub fn open(&self, workspace: WorkspaceId, name: &str, sealed: &[u8]) -> Option<String> {
        let (version, rest) = sealed.split_first()?;
        let (nonce, text) = rest.split_at_checked(NONCE_BYTES).filter(|_| *version == VERSION)?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
        let bound = bound_to(workspace, name);
        let value = self.cipher().decrypt(&XNonce::from(nonce), Payload { msg: text, aad: &bound }).ok()?;
        String::from_utf8(value).ok()
    }
}

fn bound_to(workspace: WorkspaceId, name: &str) -> Vec<u8> {
    [workspace.uuid().as_bytes(), name.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_for_its_own_workspace_name_and_key_alone() {
        let key = SealingKey::new([7; 32]);
        let (ours, theirs) = (WorkspaceId::DEFAULT, WorkspaceId::from_parts(1, [1; 10]));
        let sealed = key.seal(ours, "api-key", "hunter2 hunter2", [1; NONCE_BYTES]).unwrap();
        assert!(!sealed.windows(7).any(|part| part == b"hunter2"));
        assert_eq!(key.open(ours, "api-key", &sealed).as_deref(), Some("hunter2 hunter2"));
        assert_eq!(key.open(theirs, "api-key", &sealed), None);
        assert_eq!(key.open(ours, "other", &sealed), None);
        assert_eq!(SealingKey::new([8; 32]).open(ours, "api-key", &sealed), None);
        let mut changed = sealed.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(key.open(ours, "api-key", &changed), None);
        assert_ne!(
            key.seal(ours, "api-key", "hunter2 hunter2", [2; NONCE_BYTES]).unwrap(),
            sealed,
            "another nonce, another text"
        );
        assert_eq!(key.open(ours, "api-key", &[]), None);
    }

    #[test]
    fn a_key_is_sixty_four_digits() {
        assert!(SealingKey::parse(&"0f".repeat(32)).is_ok());
        for bad in ["", "0f", &"0g".repeat(32), &"é".repeat(32)] {
            assert!(SealingKey::parse(bad).is_err());
        }
    }
}
