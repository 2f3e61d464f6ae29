//! Keys and signatures of Standard Webhooks 1.0.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer, Verifier};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// Bytes of a shared secret: what Standard Webhooks says.
pub const SECRET_BYTES_MIN: usize = 24;
/// The most bytes of one.
pub const SECRET_BYTES_MAX: usize = 64;
/// Bytes of one that was not given: as many as the digest has.
pub const SECRET_BYTES_DEFAULT: usize = 32;

const SHARED_PREFIX: &str = "whsec_";
const PRIVATE_PREFIX: &str = "whsk_";
const PUBLIC_PREFIX: &str = "whpk_";

/// How deliveries are signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignatureScheme {
    /// HMAC-SHA256 with a shared secret.
    #[default]
    V1,
    /// Ed25519: whoever verifies has no secret.
    V1a,
}

impl SignatureScheme {
    /// What its signatures begin with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1a => "v1a",
        }
    }

    /// The scheme of a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::V1, Self::V1a].into_iter().find(|scheme| scheme.as_str() == word)
    }
}

/// A text that is no key of its scheme. It is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Of a shared secret.
    #[error("a secret is `whsec_` and base64 of {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes")]
    Shared,
    /// Of a private key.
    #[error("a private key is `whsk_` and base64 of 32 bytes, or of these and the public key's")]
    Private,
}

/// What deliveries are signed with. It is never printed.
#[derive(Clone)]
pub struct SigningKey(Kind);

#[derive(Clone)]
enum Kind {
    Shared(Vec<u8>),
    // Large beside a shared secret.
    Private(Box<ed25519_dalek::SigningKey>),
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

impl SigningKey {
    /// The key of a text, whose prefix may be absent.
    ///
    /// # Errors
    /// Where it is none of the scheme.
    pub fn parse(scheme: SignatureScheme, text: &str) -> Result<Self, BadKey> {
        match scheme {
            SignatureScheme::V1 => {
                let bytes = STANDARD.decode(text.strip_prefix(SHARED_PREFIX).unwrap_or(text));
                let bytes = bytes.ok().filter(|bytes| (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&bytes.len()));
                Ok(Self(Kind::Shared(bytes.ok_or(BadKey::Shared)?)))
            }
            SignatureScheme::V1a => {
                let bytes = STANDARD.decode(text.strip_prefix(PRIVATE_PREFIX).unwrap_or(text));
                let bytes = bytes.map_err(|_| BadKey::Private)?;
                let (seed, public) = bytes.split_first_chunk::<32>().ok_or(BadKey::Private)?;
                let key = ed25519_dalek::SigningKey::from_bytes(seed);
                if !public.is_empty() && public != key.verifying_key().as_bytes() {
                    return Err(BadKey::Private);
                }
                Ok(Self(Kind::Private(Box::new(key))))
            }
        }
    }

    /// The key of this chance.
    pub fn from_chance(scheme: SignatureScheme, chance: &[u8; SECRET_BYTES_DEFAULT]) -> Self {
        Self(match scheme {
            SignatureScheme::V1 => Kind::Shared(chance.to_vec()),
            SignatureScheme::V1a => Kind::Private(Box::new(ed25519_dalek::SigningKey::from_bytes(chance))),
        })
    }

    /// Its scheme.
    pub fn scheme(&self) -> SignatureScheme {
        match self.0 {
            Kind::Shared(_) => SignatureScheme::V1,
            Kind::Private(_) => SignatureScheme::V1a,
        }
    }

    /// The secret, as it is shown once and sealed.
    pub fn secret_text(&self) -> String {
        match &self.0 {
            Kind::Shared(bytes) => format!("{SHARED_PREFIX}{}", STANDARD.encode(bytes)),
            Kind::Private(key) => format!("{PRIVATE_PREFIX}{}", STANDARD.encode(key.to_keypair_bytes())),
        }
    }

    /// What its signatures are verified with, where that is no secret.
    pub fn public_text(&self) -> Option<String> {
        match &self.0 {
            Kind::Shared(_) => None,
            Kind::Private(key) => Some(format!("{PUBLIC_PREFIX}{}", STANDARD.encode(key.verifying_key().as_bytes()))),
        }
    }

    /// The signature of a message: scheme, comma, base64. `timestamp` is in seconds since 1970.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let signature = match &self.0 {
            Kind::Shared(key) => STANDARD.encode(mac(key, id, timestamp, body).finalize().into_bytes()),
            Kind::Private(key) => STANDARD.encode(key.sign(&signed(id, timestamp, body)).to_bytes()),
        };
        format!("{},{signature}", self.scheme().as_str())
    }

    /// Whether one of the signatures of a `webhook-signature` header is this key's of the message.
    pub fn verifies(&self, header: &str, id: &str, timestamp: i64, body: &[u8]) -> bool {
        let ours = header
            .split(' ')
            .filter_map(|one| one.split_once(','))
            .filter(|(scheme, _)| *scheme == self.scheme().as_str());
        ours.filter_map(|(_, text)| STANDARD.decode(text).ok()).any(|signature| match &self.0 {
            Kind::Shared(key) => mac(key, id, timestamp, body).verify_slice(&signature).is_ok(),
            Kind::Private(key) => ed25519_dalek::Signature::from_slice(&signature)
                .is_ok_and(|signature| key.verifying_key().verify(&signed(id, timestamp, body), &signature).is_ok()),
        })
    }
}

fn mac(key: &[u8], id: &str, timestamp: i64, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    mac
}

fn signed(id: &str, timestamp: i64, body: &[u8]) -> Vec<u8> {
    [format!("{id}.{timestamp}.").as_bytes(), body].concat()
}
