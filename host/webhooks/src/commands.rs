//! Commands on webhooks themselves.

use armilla_domain::fault::Fault;
use armilla_domain::id::{WebhookId, WorkspaceId};
use armilla_domain::webhook::{SignatureScheme, SigningKey, Webhook, WebhookText, check};
use armilla_egress::EgressError;
use armilla_store::WebhookRow;
use tracing::info;

use crate::attempt::code_of;
use crate::keys::bad_secret;
use crate::{Inner, WebhookError, WebhookView, WebhookWithSecret, Webhooks};

/// A webhook as somebody wants it.
#[derive(Clone, Default)]
pub struct NewWebhook {
    /// Where to, which events, and how.
    pub text: WebhookText,
    /// What deliveries are signed with; made by chance where absent.
    pub secret: Option<String>,
    /// How they are signed.
    pub scheme: SignatureScheme,
    /// Whether it is not told anything yet.
    pub disabled: bool,
}

impl Webhooks {
    /// Everything that [`Webhooks::create`] would find wrong with a webhook.
    pub fn faults(&self, new: NewWebhook) -> Vec<Fault> {
        let wrong = new.secret.and_then(|secret| SigningKey::parse(new.scheme, &secret).err());
        let mut faults: Vec<Fault> = wrong.map(bad_secret).into_iter().collect();
        self.inner.checked(new.text, &mut faults);
        faults
    }

    /// Makes a webhook. It is told what happens from now on.
    ///
    /// # Errors
    /// [`WebhookError::Invalid`] with every fault; [`WebhookError::TooMany`]; or where the database is away.
    pub async fn create(
        &self,
        workspace: WorkspaceId,
        new: NewWebhook,
        by: &str,
    ) -> Result<WebhookWithSecret, WebhookError> {
        let inner = &self.inner;
        let id = inner.next_id();
        let mut faults = Vec::new();
        let key = inner.new_key(workspace, id, new.scheme, new.secret.as_deref(), &mut faults)?;
        let webhook = inner.checked(new.text, &mut faults);
        let (Some(webhook), Some(key)) = (webhook, key) else { return Err(WebhookError::Invalid(faults)) };
        let horizon = inner.store.event_horizon().await?;
        let row = armilla_store::NewWebhook { id, webhook: &webhook, enabled: !new.disabled, key: key.as_new(), by };
        if !inner.store.create_webhook(workspace, &row, horizon).await? {
            return Err(WebhookError::TooMany);
        }
        info!(webhook.id = %id, workspace.id = %workspace, by, "Webhook `{id}` was made");
        Ok(WebhookWithSecret { view: self.webhook(workspace, id).await?, secret: key.secret })
    }

    /// Puts another configuration in the place of a webhook's. Its keys stay.
    ///
    /// # Errors
    /// As [`Webhooks::create`]; [`WebhookError::Unknown`].
    pub async fn replace(
        &self,
        workspace: WorkspaceId,
        id: WebhookId,
        text: WebhookText,
        by: &str,
    ) -> Result<WebhookView, WebhookError> {
        self.row(workspace, id).await?;
        let mut faults = Vec::new();
        let Some(webhook) = self.inner.checked(text, &mut faults) else { return Err(WebhookError::Invalid(faults)) };
        if !self.inner.store.replace_webhook(workspace, id, &webhook).await? {
            return Err(WebhookError::Unknown(id));
        }
        self.inner.due.notify_one();
        info!(webhook.id = %id, workspace.id = %workspace, by, "Webhook `{id}` was changed");
        self.webhook(workspace, id).await
    }

    /// Tells a webhook events again, from now on, or no more; then what waits is given up.
    ///
    /// # Errors
    /// [`WebhookError::Unknown`], or where the database is away.
    pub async fn set_enabled(
        &self,
        workspace: WorkspaceId,
        id: WebhookId,
        enabled: bool,
        by: &str,
    ) -> Result<WebhookView, WebhookError> {
        let store = &self.inner.store;
        let known = if enabled {
            let horizon = store.event_horizon().await?;
            store.enable_webhook(workspace, id, horizon).await?
        } else {
            store.disable_webhook(workspace, id).await?
        };
        if !known {
            return Err(WebhookError::Unknown(id));
        }
        info!(webhook.id = %id, workspace.id = %workspace, by, enabled, "Webhook `{id}` was enabled or disabled");
        self.webhook(workspace, id).await
    }

    /// Deletes a webhook. What it was sent can be looked up for as long as any delivery.
    ///
    /// # Errors
    /// [`WebhookError::Unknown`], or where the database is away.
    pub async fn delete(&self, workspace: WorkspaceId, id: WebhookId, by: &str) -> Result<(), WebhookError> {
        if !self.inner.store.delete_webhook(workspace, id).await? {
            return Err(WebhookError::Unknown(id));
        }
        info!(webhook.id = %id, workspace.id = %workspace, by, "Webhook `{id}` was deleted");
        Ok(())
    }

    /// A webhook.
    ///
    /// # Errors
    /// [`WebhookError::Unknown`], or where the database is away.
    pub async fn webhook(&self, workspace: WorkspaceId, id: WebhookId) -> Result<WebhookView, WebhookError> {
        let row = self.row(workspace, id).await?;
        let warnings = self.inner.warnings(workspace, &row.webhook);
        Ok(WebhookView::of(row, self.inner.store.webhook_keys(&[id]).await?, warnings))
    }

    /// Webhooks of a workspace, newest first, from before `before` on.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn webhooks(
        &self,
        workspace: WorkspaceId,
        before: Option<WebhookId>,
        limit: u32,
    ) -> Result<Vec<WebhookView>, WebhookError> {
        let rows = self.inner.store.webhooks(workspace, before, limit).await?;
        let ids: Vec<WebhookId> = rows.iter().map(|row| row.id).collect();
        let keys = self.inner.store.webhook_keys(&ids).await?;
        let views = rows.into_iter().map(|row| {
            let keys = keys.iter().filter(|key| key.webhook == row.id).cloned().collect();
            let warnings = self.inner.warnings(workspace, &row.webhook);
            WebhookView::of(row, keys, warnings)
        });
        Ok(views.collect())
    }

    /// Whether deliveries of a workspace are made and signed, but not sent.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn test_mode(&self, workspace: WorkspaceId) -> Result<bool, WebhookError> {
        Ok(self.inner.store.webhook_test_mode(workspace).await?)
    }

    /// Begins or ends that. What was captured is not sent later, unless somebody wants it.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn set_test_mode(&self, workspace: WorkspaceId, on: bool, by: &str) -> Result<(), WebhookError> {
        self.inner.store.set_webhook_test_mode(workspace, on).await?;
        info!(workspace.id = %workspace, by, on, "The test mode of webhooks was begun or ended");
        Ok(())
    }

    pub(crate) async fn row(&self, workspace: WorkspaceId, id: WebhookId) -> Result<WebhookRow, WebhookError> {
        self.inner.store.webhook(workspace, id).await?.ok_or(WebhookError::Unknown(id))
    }
}

impl Inner {
    /// The webhook that is wanted, where nothing is wrong with it; otherwise its faults are added to those that there are.
    fn checked(&self, text: WebhookText, faults: &mut Vec<Fault>) -> Option<Webhook> {
        let refused = self.egress.check_url(&text.url).err();
        let checked = check(&self.templates, text);
        // Of what is wrong with a URL both may speak; of where it leads only the way out.
        let leads = matches!(refused, Some(EgressError::RefusedAddress { .. } | EgressError::RefusedPort { .. }));
        if let Some(why) = refused.filter(|_| leads || checked.is_ok()) {
            faults.push(Fault::new("/url", code_of(&why), why.to_string()));
        }
        match checked {
            Ok(webhook) => Some(webhook).filter(|_| faults.is_empty()),
            Err(found) => {
                faults.extend(found);
                None
            }
        }
    }
}
