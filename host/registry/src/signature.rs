//! Whose plugin it is: detached Ed25519 signatures over the digest of a component.
//!
//! What is signed is the line `armilla-plugin-signature-v1` and the component's SHA-256 in lower-case hexadecimal
//! digits, so a signature means nothing outside of this place. The text forms are one line each:
//!
//! - a trusted key: `name:base64 of 32 bytes`
//! - a signature: `name:base64 of 64 bytes`, in a header or in the file `plugin.wasm.sig` beside `plugin.wasm`
//! - a secret key: `armilla-plugin-key-v1:name:base64 of 32 bytes`
//!
//! The name says which key to check with. It is part of no signature: who is trusted under it is the operator's decision.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use crate::error::list;

/// In bytes: the name of a key.
pub const KEY_NAME_BYTES_MAX: usize = 64;

const MESSAGE_HEAD: &str = "armilla-plugin-signature-v1\n";
const SECRET_KEY_HEAD: &str = "armilla-plugin-key-v1:";

/// The keys whose signatures count, by name.
#[derive(Debug, Clone, Default)]
pub struct TrustedKeys {
    keys: BTreeMap<String, VerifyingKey>,
}

/// A signature, and the name of the key that it says it is by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    key: String,
    signature: ed25519_dalek::Signature,
}

/// A key that signs. Without `Debug`, and wiped from memory when it is dropped.
pub struct SecretKey {
    name: String,
    key: SigningKey,
}

/// An entry that is no trusted key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("trusted key number {number}: {reason}")]
pub struct BadTrustedKey {
    /// Which entry, counted from 1.
    pub number: usize,
    /// What is wrong with it.
    pub reason: BadKeyText,
}

/// A text that holds no key or signature. Messages do not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKeyText {
    /// The parts are missing.
    #[error("it does not look like `{0}`")]
    Form(&'static str),
    /// The name cannot be one.
    #[error("the name of a key has 1 to 64 letters, digits, `.`, `_` and `-`")]
    Name,
    /// The part after the name is not base64 of that many bytes.
    #[error("what follows the name is not base64 of {0} bytes")]
    Base64(usize),
    /// The bytes are no key, or one that anybody can sign for.
    #[error("the bytes are not a public key that can be trusted")]
    Key,
    /// There is another key of that name.
    #[error("another key has that name, too")]
    Twice,
}

/// Why a plugin does not count as signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no signature.
    #[error("the plugin is not signed; signatures by these keys are taken: {}", list(trusted))]
    Missing {
        /// The names of the trusted keys.
        trusted: Vec<String>,
    },
    /// The signature is by a key that is not trusted here.
    #[error("the plugin is signed by the key `{key}`, which is not trusted here; trusted are: {}", list(trusted))]
    NotTrusted {
        /// The name in the signature.
        key: String,
        /// The names of the trusted keys.
        trusted: Vec<String>,
    },
    /// The key is trusted, and the signature is not one of this component by it.
    #[error("the signature by the key `{key}` does not fit this component")]
    DoesNotFit {
        /// The name in the signature.
        key: String,
    },
}

impl TrustedKeys {
    /// The keys that `entries` hold, each `name:base64`; or all that is wrong with them.
    pub fn parse(entries: &[String]) -> Result<Self, Vec<BadTrustedKey>> {
        let mut keys = BTreeMap::new();
        let mut bad = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            let added = trusted_key(entry).and_then(|(name, key)| match keys.insert(name, key) {
                Some(_) => Err(BadKeyText::Twice),
                None => Ok(()),
            });
            if let Err(reason) = added {
                bad.push(BadTrustedKey { number: at + 1, reason });
            }
        }
        if bad.is_empty() { Ok(Self { keys }) } else { Err(bad) }
    }

    /// Whether a key of this name is among them.
    pub fn contains(&self, name: &str) -> bool {
        self.keys.contains_key(name)
    }

    /// Whether no key is trusted, so that nothing verifies.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The name of the trusted key that signed the component whose SHA-256 is `digest_hex`, 64 hexadecimal digits.
    pub fn verify(&self, digest_hex: &str, signature: Option<&Signature>) -> Result<&str, SignatureError> {
        let signature = signature.ok_or_else(|| SignatureError::Missing { trusted: self.names() })?;
        let (name, key) = self
            .keys
            .get_key_value(&signature.key)
            .ok_or_else(|| SignatureError::NotTrusted { key: signature.key.clone(), trusted: self.names() })?;
        // The strict check: a signature is never two signatures, and never fits two components.
        key.verify_strict(&message(digest_hex), &signature.signature)
            .map_err(|_| SignatureError::DoesNotFit { key: name.clone() })?;
        Ok(name)
    }

    fn names(&self) -> Vec<String> {
        self.keys.keys().cloned().collect()
    }
}

impl Signature {
    /// The name of the key that the signature says it is by; nothing is checked yet.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Reads the text form; white space around it does not matter.
    pub fn parse(text: &str) -> Result<Self, BadKeyText> {
        let (key, bytes) = named_bytes::<64>(text, "name:base64 of a signature")?;
        Ok(Self { key, signature: ed25519_dalek::Signature::from_bytes(&bytes) })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.key, STANDARD.encode(self.signature.to_bytes()))
    }
}

impl FromStr for Signature {
    type Err = BadKeyText;

    fn from_str(text: &str) -> Result<Self, BadKeyText> {
        Self::parse(text)
    }
}

impl SecretKey {
    /// A new key. `chance` is 32 bytes from a source that nobody can guess.
    pub fn generate(name: &str, chance: [u8; 32]) -> Result<Self, BadKeyText> {
        if !is_name(name) {
            return Err(BadKeyText::Name);
        }
        Ok(Self { name: name.to_owned(), key: SigningKey::from_bytes(&chance) })
    }

    /// Reads the text form of a key file; white space around it does not matter.
    pub fn parse(text: &str) -> Result<Self, BadKeyText> {
        let form = "armilla-plugin-key-v1:name:base64 of a key";
        let rest = text.trim().strip_prefix(SECRET_KEY_HEAD).ok_or(BadKeyText::Form(form))?;
        let (name, bytes) = named_bytes::<32>(rest, form)?;
        Self::generate(&name, bytes)
    }

    /// The text form of a key file, which is a secret.
    pub fn to_text(&self) -> String {
        format!("{SECRET_KEY_HEAD}{}:{}", self.name, STANDARD.encode(self.key.as_bytes()))
    }

    /// The entry by which others trust this key: `name:base64`.
    pub fn trusted_entry(&self) -> String {
        format!("{}:{}", self.name, STANDARD.encode(self.key.verifying_key().as_bytes()))
    }

    /// Signs the component whose SHA-256 is `digest_hex`, 64 hexadecimal digits.
    pub fn sign(&self, digest_hex: &str) -> Signature {
        Signature { key: self.name.clone(), signature: self.key.sign(&message(digest_hex)) }
    }
}

fn message(digest_hex: &str) -> Vec<u8> {
    format!("{MESSAGE_HEAD}{}", digest_hex.to_ascii_lowercase()).into_bytes()
}

fn trusted_key(entry: &str) -> Result<(String, VerifyingKey), BadKeyText> {
    let (name, bytes) = named_bytes::<32>(entry, "name:base64 of a public key")?;
    let key = VerifyingKey::from_bytes(&bytes).map_err(|_| BadKeyText::Key)?;
    // For these, a signature can be made that fits many messages.
    if key.is_weak() { Err(BadKeyText::Key) } else { Ok((name, key)) }
}

fn named_bytes<const N: usize>(text: &str, form: &'static str) -> Result<(String, [u8; N]), BadKeyText> {
    let (name, encoded) = text.trim().split_once(':').ok_or(BadKeyText::Form(form))?;
    if !is_name(name) {
        return Err(BadKeyText::Name);
    }
    let bytes = STANDARD.decode(encoded).ok().and_then(|bytes| bytes.try_into().ok());
    Ok((name.to_owned(), bytes.ok_or(BadKeyText::Base64(N))?))
}

fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=KEY_NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of two components.
    const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const OTHER: &str = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";

    fn key(name: &str, seed: u8) -> SecretKey {
        SecretKey::generate(name, [seed; 32]).unwrap()
    }

    fn trusting(keys: &[&SecretKey]) -> TrustedKeys {
        TrustedKeys::parse(&keys.iter().map(|key| key.trusted_entry()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_signature_by_a_trusted_key_verifies_and_names_the_key() {
        let (acme, other) = (key("acme", 1), key("other-2", 2));
        let trusted = trusting(&[&acme, &other]);
        assert_eq!(trusted.verify(DIGEST, Some(&acme.sign(DIGEST))), Ok("acme"));
        assert_eq!(trusted.verify(OTHER, Some(&other.sign(OTHER))), Ok("other-2"));
        assert_eq!(trusted.verify(&DIGEST.to_uppercase(), Some(&acme.sign(DIGEST))), Ok("acme"));
    }

    #[test]
    fn an_unsigned_plugin_is_refused_with_the_keys_that_could_sign_it() {
        let trusted = trusting(&[&key("b", 1), &key("a", 2)]);
        let error = trusted.verify(DIGEST, None).unwrap_err();
        assert_eq!(error.to_string(), "the plugin is not signed; signatures by these keys are taken: `a`, `b`");
        assert!(!trusted.is_empty());
        assert!(TrustedKeys::default().verify(DIGEST, None).unwrap_err().to_string().ends_with("taken: none"));
    }

    #[test]
    fn a_signature_by_another_key_is_refused_by_name() {
        let error = trusting(&[&key("acme", 1)]).verify(DIGEST, Some(&key("mallory", 2).sign(DIGEST))).unwrap_err();
        let expected = "the plugin is signed by the key `mallory`, which is not trusted here; trusted are: `acme`";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_signature_of_another_component_or_by_a_namesake_does_not_fit() {
        let acme = key("acme", 1);
        let trusted = trusting(&[&acme]);
        let does_not_fit = Err(SignatureError::DoesNotFit { key: "acme".to_owned() });
        assert_eq!(trusted.verify(DIGEST, Some(&acme.sign(OTHER))), does_not_fit);
        assert_eq!(trusted.verify(DIGEST, Some(&key("acme", 9).sign(DIGEST))), does_not_fit);
        let mut bent = acme.sign(DIGEST).signature.to_bytes();
        bent[40] ^= 1;
        let bent = Signature { key: "acme".to_owned(), signature: ed25519_dalek::Signature::from_bytes(&bent) };
        assert_eq!(trusted.verify(DIGEST, Some(&bent)), does_not_fit);
    }

    #[test]
    fn the_signed_message_is_the_documented_one() {
        let acme = key("acme", 1);
        let message = format!("armilla-plugin-signature-v1\n{DIGEST}");
        let signature = acme.sign(DIGEST).signature;
        acme.key.verifying_key().verify_strict(message.as_bytes(), &signature).unwrap();
        assert!(acme.key.verifying_key().verify_strict(DIGEST.as_bytes(), &signature).is_err());
    }

    #[test]
    fn keys_and_signatures_survive_their_text_form() {
        let acme = key("acme", 7);
        assert!(acme.to_text().starts_with("armilla-plugin-key-v1:acme:"));
        let read = SecretKey::parse(&format!("{}\n", acme.to_text())).unwrap();
        let signature = read.sign(DIGEST);
        assert_eq!(signature, acme.sign(DIGEST));
        assert_eq!(Signature::parse(&format!(" {signature}\n")).unwrap(), signature);
        assert_eq!(signature.key(), "acme");
        assert_eq!(signature.to_string().lines().count(), 1);
    }

    #[test]
    fn texts_that_hold_no_key_or_signature_say_why_without_repeating_them() {
        let signature = |text: &str| Signature::parse(text).unwrap_err();
        assert!(matches!(signature(""), BadKeyText::Form(_)));
        assert_eq!(signature(":AAAA"), BadKeyText::Name);
        assert_eq!(signature("a b:AAAA"), BadKeyText::Name);
        assert_eq!(signature(&format!("{}:AAAA", "a".repeat(65))), BadKeyText::Name);
        assert_eq!(signature("acme:AAAA"), BadKeyText::Base64(64));
        assert_eq!(signature("acme:not base64"), BadKeyText::Base64(64));
        assert!(matches!(SecretKey::parse("acme:AAAA").err(), Some(BadKeyText::Form(_))));
        assert_eq!(SecretKey::parse("armilla-plugin-key-v1:acme:AAAA").err(), Some(BadKeyText::Base64(32)));
        assert_eq!(SecretKey::generate("", [1; 32]).err(), Some(BadKeyText::Name));
    }

    #[test]
    fn all_bad_trusted_keys_are_told_at_once_with_their_numbers() {
        let acme = key("acme", 1).trusted_entry();
        // The neutral element: everybody can sign for it.
        let mut weak = [0; 32];
        weak[0] = 1;
        let weak = format!("weak:{}", STANDARD.encode(weak));
        let entries = [acme.clone(), "nonsense".to_owned(), weak, acme, "short:AAAA".to_owned()];
        let bad = TrustedKeys::parse(&entries).unwrap_err();
        let told: Vec<_> = bad.iter().map(|bad| (bad.number, bad.reason)).collect();
        assert_eq!(
            told,
            [
                (2, BadKeyText::Form("name:base64 of a public key")),
                (3, BadKeyText::Key),
                (4, BadKeyText::Twice),
                (5, BadKeyText::Base64(32)),
            ]
        );
    }
}
