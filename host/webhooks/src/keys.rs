//! Keys of webhooks: made, sealed, opened and changed.

use armilla_domain::fault::Fault;
use armilla_domain::id::{WebhookId, WorkspaceId};
use armilla_domain::webhook::{BadKey, SECRET_BYTES_DEFAULT, SignatureScheme, SigningKey};
use armilla_store::{NewWebhookKey, RotatedKey, StoreError, WebhookKeyRow};
use tracing::{info, warn};
use uuid::Uuid;

use crate::{Inner, WebhookError, WebhookWithSecret, Webhooks};

/// Hours for which the key before signs too where nobody says: a day to change a receiver.
pub const OVERLAP_HOURS_DEFAULT: u32 = 24;
/// The most hours: a month of changing receivers.
pub const OVERLAP_HOURS_MAX: u32 = 30 * 24;

/// Another key for a webhook.
#[derive(Default, Clone)]
pub struct RotateSecret {
    /// The secret; made by chance where absent.
    pub secret: Option<String>,
    /// How it signs; as the one before where absent.
    pub scheme: Option<SignatureScheme>,
    /// For how many hours the one before signs too: none to [`OVERLAP_HOURS_MAX`], [`OVERLAP_HOURS_DEFAULT`] where absent.
    pub overlap_hours: Option<u32>,
}

/// A key, sealed.
pub(crate) struct SealedKey {
    pub(crate) id: Uuid,
    scheme: SignatureScheme,
    sealed: Vec<u8>,
    public: Option<String>,
    /// What is shown once.
    pub(crate) secret: String,
}

impl SealedKey {
    pub(crate) fn as_new(&self) -> NewWebhookKey<'_> {
        NewWebhookKey {
            id: self.id,
            scheme: self.scheme.as_str(),
            sealed: &self.sealed,
            public: self.public.as_deref(),
        }
    }
}

impl Webhooks {
    /// Gives a webhook another key. The one before signs too for a while, so that receivers need not change in that instant.
    ///
    /// # Errors
    /// [`WebhookError::Invalid`], [`WebhookError::Unknown`], [`WebhookError::TooManyKeys`], or where the database is away.
    pub async fn rotate_secret(
        &self,
        workspace: WorkspaceId,
        id: WebhookId,
        rotate: RotateSecret,
        by: &str,
    ) -> Result<WebhookWithSecret, WebhookError> {
        let present = self.webhook(workspace, id).await?;
        let scheme = rotate.scheme.or(present.keys.first().map(|key| key.scheme)).unwrap_or_default();
        let mut faults = Vec::new();
        let key = self.inner.new_key(workspace, id, scheme, rotate.secret.as_deref(), &mut faults)?;
        let overlap = rotate.overlap_hours.unwrap_or(OVERLAP_HOURS_DEFAULT);
        if overlap > OVERLAP_HOURS_MAX {
            let detail = format!("the key before signs for at most {OVERLAP_HOURS_MAX} hours more");
            faults.push(Fault::new("/overlapHours", "webhook.overlap", detail));
        }
        let Some(key) = key.filter(|_| faults.is_empty()) else { return Err(WebhookError::Invalid(faults)) };
        let rotated = self.inner.store.rotate_webhook_key(workspace, id, &key.as_new(), overlap as i32).await?;
        match rotated {
            RotatedKey::Done => {}
            RotatedKey::Unknown => return Err(WebhookError::Unknown(id)),
            RotatedKey::TooMany => return Err(WebhookError::TooManyKeys),
        }
        info!(webhook.id = %id, workspace.id = %workspace, by, "Webhook `{id}` has another key");
        Ok(WebhookWithSecret { view: self.webhook(workspace, id).await?, secret: key.secret })
    }
}

impl Inner {
    /// A key of this secret, or of chance, sealed; nothing, and a fault more, where the secret is none.
    pub(crate) fn new_key(
        &self,
        workspace: WorkspaceId,
        webhook: WebhookId,
        scheme: SignatureScheme,
        secret: Option<&str>,
        faults: &mut Vec<Fault>,
    ) -> Result<Option<SealedKey>, WebhookError> {
        let key = match secret {
            None => {
                let mut bytes = [0; SECRET_BYTES_DEFAULT];
                for part in bytes.chunks_mut(10) {
                    part.copy_from_slice(&self.chance.bytes()[..part.len()]);
                }
                SigningKey::from_chance(scheme, &bytes)
            }
            Some(text) => match SigningKey::parse(scheme, text) {
                Ok(key) => key,
                Err(why) => {
                    faults.push(bad_secret(why));
                    return Ok(None);
                }
            },
        };
        let id = self.next_id();
        let secret = key.secret_text();
        let sealed = self.sealing.seal(workspace, &sealed_as(webhook, id), &secret, self.chance.nonce());
        let sealed = sealed.ok_or_else(|| StoreError::Corrupt("a key could not be sealed".to_owned()))?;
        Ok(Some(SealedKey { id, scheme, sealed, public: key.public_text(), secret }))
    }

    /// Keys that can be used, in their order.
    pub(crate) fn open_keys(&self, workspace: WorkspaceId, rows: &[WebhookKeyRow]) -> Vec<SigningKey> {
        let keys = rows.iter().filter_map(|row| {
            let secret = self.sealing.open(workspace, &sealed_as(row.webhook, row.id), &row.sealed);
            let key = secret.and_then(|secret| SigningKey::parse(SignatureScheme::parse(&row.scheme)?, &secret).ok());
            if key.is_none() {
                warn!(webhook.id = %row.webhook, "A key of the webhook `{}` cannot be opened by this host", row.webhook);
            }
            key
        });
        keys.collect()
    }
}

/// What is told of a secret that is none; nothing of the secret.
pub(crate) fn bad_secret(why: BadKey) -> Fault {
    Fault::new("/secret", "webhook.secret", why.to_string())
}

/// The name that a key is sealed under, so that it opens as nobody else's.
fn sealed_as(webhook: WebhookId, key: Uuid) -> String {
    format!("webhook:{webhook}:{key}")
}
