//! Who is calling: JWT bearer tokens, signed with HS256 by one of two configured secrets.
//!
//! The algorithm is configuration. A token's own `alg` is only ever compared with it, never followed.

mod caller;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use armilla_domain::id::WorkspaceId;
use chrono::{DateTime, Utc};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

pub(crate) use self::caller::{Admin, Member, authenticate};
pub use self::caller::{Caller, Role};

/// RFC 7518 section 3.2: a key for HS256 has at least as many bits as its hash.
pub const SECRET_BYTES_MIN: usize = 32;

/// A token of ours has a few hundred bytes; what is longer is not decoded at all.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// A subject ends up in log lines and in rows.
pub const SUBJECT_CHARS_MAX: usize = 200;

/// Clocks differ by seconds; who needs more has a clock to mend.
pub const LEEWAY_MAX: Duration = Duration::from_secs(300);

const ALGORITHM: Algorithm = Algorithm::HS256;

/// A signing secret. It never shows itself.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// A secret of at least [`SECRET_BYTES_MIN`] bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, AuthConfigError> {
        let bytes = bytes.into();
        if bytes.len() < SECRET_BYTES_MIN {
            return Err(AuthConfigError::SecretTooShort { bytes: bytes.len() });
        }
        Ok(Self(bytes))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// What tokens are judged by.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// Signs new tokens, and accepts them.
    pub current_secret: Secret,
    /// Still accepts what it signed, while a change of secrets is under way.
    pub previous_secret: Option<Secret>,
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must be or contain.
    pub audience: String,
    /// How far a token's clock may be off, at most [`LEEWAY_MAX`].
    pub leeway: Duration,
}

/// Why a configuration is refused at start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthConfigError {
    /// Too little to be a secret.
    #[error("a signing secret needs at least {SECRET_BYTES_MIN} bytes, this one has {bytes}")]
    SecretTooShort {
        /// How many it has.
        bytes: usize,
    },
    /// An empty name would accept tokens of anybody who leaves the claim empty.
    #[error("the tokens' {0} must not be empty")]
    Empty(&'static str),
    /// More than a clock can be off.
    #[error("the leeway for the tokens' times is at most {} seconds", LEEWAY_MAX.as_secs())]
    LeewayTooLong,
}

/// Why a request is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There is no token.
    #[error("Send a token: `Authorization: Bearer <JWT>`.")]
    Missing,
    /// There is one that cannot be read.
    #[error("The bearer token cannot be read: {0}.")]
    Malformed(String),
    /// Its header names another algorithm than the configured one, or none.
    #[error("The bearer token must be signed by HS256.")]
    WrongAlgorithm,
    /// No configured secret signed it.
    #[error("The bearer token's signature is not one of this server's.")]
    BadSignature,
    /// `exp` has passed.
    #[error("The bearer token has expired.")]
    Expired,
    /// `nbf` has not come yet.
    #[error("The bearer token is not valid yet.")]
    NotYetValid,
    /// `iss` is another, or absent.
    #[error("The bearer token's issuer is not the one that this server trusts.")]
    WrongIssuer,
    /// `aud` does not name this server, or is absent.
    #[error("The bearer token is not meant for this server.")]
    WrongAudience,
    /// The caller is known and may not do this.
    #[error("This needs the role `{needed}`; the token's role is `{actual}`.")]
    Role {
        /// The least role that may.
        needed: Role,
        /// The caller's.
        actual: Role,
    },
    /// `X-Workspace-Id` names a workspace that is not the token's.
    #[error("There is no such workspace for this caller.")]
    OtherWorkspace,
}

/// What a token of ours says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// Whom the token speaks for.
    pub sub: String,
    /// What they may do.
    pub role: Role,
    /// The workspace they do it in; the default one where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ws: Option<WorkspaceId>,
    /// When it was made, in seconds since 1970.
    pub iat: i64,
    /// From when on it is valid, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// Until when it is valid, in seconds since 1970.
    pub exp: i64,
    /// Who made it.
    pub iss: String,
    /// Whom it is meant for.
    pub aud: String,
}

/// A token could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("the token could not be signed")]
pub struct MintError(#[from] jsonwebtoken::errors::Error);

/// Signs a token that says `claims`.
pub fn mint(secret: &Secret, claims: &Claims) -> Result<String, MintError> {
    Ok(jsonwebtoken::encode(&Header::new(ALGORITHM), claims, &EncodingKey::from_secret(&secret.0))?)
}

/// What a token from anywhere says, as far as we ask. RFC 7519: times may have fractions, `aud` may be several.
#[derive(Deserialize)]
struct Presented {
    sub: String,
    role: Role,
    ws: Option<WorkspaceId>,
    exp: f64,
    nbf: Option<f64>,
    iss: Option<String>,
    aud: Option<Audience>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn names(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Several(several) => several.iter().any(|one| one == audience),
        }
    }
}

/// Judges tokens.
#[derive(Debug)]
pub struct Authenticator {
    // The current one first: most tokens are its.
    keys: Vec<DecodingKey>,
    issuer: String,
    audience: String,
    leeway_seconds: f64,
}

impl Authenticator {
    /// An authenticator for `config`, or why the configuration cannot be meant so.
    pub fn new(config: &AuthConfig) -> Result<Self, AuthConfigError> {
        if config.issuer.is_empty() {
            return Err(AuthConfigError::Empty("issuer"));
        }
        if config.audience.is_empty() {
            return Err(AuthConfigError::Empty("audience"));
        }
        if config.leeway > LEEWAY_MAX {
            return Err(AuthConfigError::LeewayTooLong);
        }
        let secrets = std::iter::once(&config.current_secret).chain(&config.previous_secret);
        Ok(Self {
            keys: secrets.map(|secret| DecodingKey::from_secret(&secret.0)).collect(),
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            leeway_seconds: config.leeway.as_secs_f64(),
        })
    }

    /// Whom `token` speaks for at the instant `now`. The signature is judged before anything that the token says.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Caller, AuthError> {
        let claims = self.signed_claims(token)?;
        if claims.iss.as_deref() != Some(&self.issuer) {
            return Err(AuthError::WrongIssuer);
        }
        if !claims.aud.is_some_and(|aud| aud.names(&self.audience)) {
            return Err(AuthError::WrongAudience);
        }
        #[expect(clippy::cast_precision_loss, reason = "a double counts the milliseconds of 285,000 years exactly")]
        let now_seconds = now.timestamp_millis() as f64 / 1000.0;
        if claims.exp + self.leeway_seconds <= now_seconds {
            return Err(AuthError::Expired);
        }
        if claims.nbf.is_some_and(|nbf| nbf - self.leeway_seconds > now_seconds) {
            return Err(AuthError::NotYetValid);
        }
        if claims.sub.is_empty() || claims.sub.chars().count() > SUBJECT_CHARS_MAX || claims.sub.contains('\0') {
            return Err(AuthError::Malformed(format!("`sub` must have 1 to {SUBJECT_CHARS_MAX} characters")));
        }
        Ok(Caller { subject: claims.sub, role: claims.role, workspace: claims.ws.unwrap_or(WorkspaceId::DEFAULT) })
    }

    fn signed_claims(&self, token: &str) -> Result<Presented, AuthError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(AuthError::Malformed(format!("it has more than {TOKEN_BYTES_MAX} bytes")));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|error| match error.kind() {
            // A header that is JSON and does not fit names an algorithm that nobody here knows, such as `none`, or none.
            ErrorKind::Json(json) if json.is_data() => AuthError::WrongAlgorithm,
            _ => AuthError::Malformed("it is not three parts of base64url with a JSON header".to_owned()),
        })?;
        if header.alg != ALGORITHM {
            return Err(AuthError::WrongAlgorithm);
        }
        // RFC 7515 section 4.1.11: what must be understood and is not makes the token invalid.
        if header.crit.is_some() {
            return Err(AuthError::Malformed(
                "its header has a `crit` that this server does not understand".to_owned(),
            ));
        }

        let mut validation = Validation::new(ALGORITHM);
        // The library would judge times by the system's clock, and takes an absent claim for a good one: we judge them.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        for key in &self.keys {
            match jsonwebtoken::decode::<Presented>(token, key, &validation) {
                Ok(decoded) => return Ok(decoded.claims),
                Err(error) => match error.kind() {
                    ErrorKind::InvalidSignature => {}
                    ErrorKind::InvalidAlgorithm => return Err(AuthError::WrongAlgorithm),
                    // Reached only behind a good signature, so the claims are those of a trusted issuer.
                    ErrorKind::Json(json) => {
                        return Err(AuthError::Malformed(format!("its claims do not fit: {json}")));
                    }
                    _ => return Err(AuthError::Malformed("it is not a JWT".to_owned())),
                },
            }
        }
        Err(AuthError::BadSignature)
    }
}
