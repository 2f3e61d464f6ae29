//! Whether a call was signed by whoever has the secret. Bytes in, verdict out; every comparison takes the same time wherever they differ.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Scheme, Verification};

/// Signatures of one call that are tried: a sender has two while its secret changes.
pub const SIGNATURES_MAX: usize = 10;
/// Base64 with or without padding: senders write their secrets both ways.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a call is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no signature, or it cannot be read.
    #[error("the call carries no signature of the hook's scheme")]
    Missing,
    /// It was made with another secret, or of something else.
    #[error("the signature is not one of this call by the hook's secret")]
    Wrong,
    /// It is good, and was made too long ago, or is of the future.
    #[error("the signature's instant is too far from now")]
    Old,
    /// The secret is none that the scheme can use: the hook's fault, not the caller's.
    #[error("the hook's secret is none of its scheme")]
    UnusableSecret,
}

/// A call that is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Which signature it was: SHA-256 of its bytes, however they were written. None of a shared secret, which signs nothing.
    pub signature: Option<[u8; 32]>,
}

/// What a call claims.
struct Claim<'a> {
    /// What was signed, in the parts that stand before the body.
    before: Vec<&'a str>,
    signatures: Vec<Vec<u8>>,
    /// Seconds since 1970.
    at: Option<i64>,
}

impl Verification {
    /// Whether a call with these headers (names in small letters) and this body was signed with `secret`, near enough to `now`
    /// (seconds since 1970). How old a signature is, is told only of good ones.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn verify(
        &self,
        secret: &str,
        headers: &BTreeMap<String, String>,
        body: &[u8],
        now: i64,
    ) -> Result<Verified, Refusal> {
        let proof = headers.get(self.proof_header()).ok_or(Refusal::Missing)?;
        if self.scheme == Scheme::SharedSecret {
            // Digests, so that the lengths tell nothing either.
            let same = Sha256::digest(proof).ct_eq(&Sha256::digest(secret));
            return if bool::from(same) { Ok(Verified { signature: None }) } else { Err(Refusal::Wrong) };
        }
        let claim = self.claim(proof, headers).ok_or(Refusal::Missing)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key(secret)?).map_err(|_| Refusal::UnusableSecret)?;
        for part in &claim.before {
            mac.update(part.as_bytes());
        }
        mac.update(body);
        // All of them, so that the time tells nothing of which one it was.
        let matching = claim.signatures.iter().filter(|signature| mac.clone().verify_slice(signature).is_ok()).count();
        if matching == 0 {
            return Err(Refusal::Wrong);
        }
        let off = claim.at.map_or(0, |at| now.abs_diff(at));
        if off > u64::from(self.tolerance()) {
            return Err(Refusal::Old);
        }
        Ok(Verified { signature: Some(Sha256::digest(mac.finalize().into_bytes()).into()) })
    }

    fn key(&self, secret: &str) -> Result<Vec<u8>, Refusal> {
        if self.scheme != Scheme::StandardWebhooks {
            return Ok(secret.as_bytes().to_vec());
        }
        let text = secret.strip_prefix("whsec_").unwrap_or(secret);
        BASE64.decode(text).ok().filter(|key| !key.is_empty()).ok_or(Refusal::UnusableSecret)
    }

    /// What the headers claim; `None` where they cannot be read.
    fn claim<'a>(&self, proof: &'a str, headers: &'a BTreeMap<String, String>) -> Option<Claim<'a>> {
        let header = |name: &str| headers.get(name).map(String::as_str);
        let (before, at, signatures): (Vec<&str>, Option<i64>, Vec<Vec<u8>>) = match self.scheme {
            Scheme::StandardWebhooks => {
                let (id, timestamp) = (header("webhook-id")?, header("webhook-timestamp")?);
                let signatures = proof.split(' ').filter_map(|one| one.strip_prefix("v1,"));
                let signatures = signatures.take(SIGNATURES_MAX).filter_map(|text| BASE64.decode(text).ok()).collect();
                (vec![id, ".", timestamp, "."], Some(seconds(timestamp)?), signatures)
            }
            Scheme::GitHub => (Vec::new(), None, vec![hexadecimal(proof.strip_prefix("sha256=")?)?]),
            Scheme::Slack => {
                let timestamp = header("x-slack-request-timestamp")?;
                let signature = hexadecimal(proof.strip_prefix("v0=")?)?;
                (vec!["v0:", timestamp, ":"], Some(seconds(timestamp)?), vec![signature])
            }
            Scheme::Stripe => {
                let parts = || proof.split(',').filter_map(|part| part.trim().split_once('='));
                let timestamp = parts().find_map(|(name, value)| (name == "t").then_some(value))?;
                let signatures = parts().filter(|(name, _)| *name == "v1").take(SIGNATURES_MAX);
                let signatures = signatures.filter_map(|(_, text)| hexadecimal(text)).collect();
                (vec![timestamp, "."], Some(seconds(timestamp)?), signatures)
            }
            Scheme::SharedSecret => return None,
        };
        (!signatures.is_empty()).then_some(Claim { before, signatures, at })
    }
}

/// Seconds since 1970, in digits and nothing else.
fn seconds(text: &str) -> Option<i64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}
