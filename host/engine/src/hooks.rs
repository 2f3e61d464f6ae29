//! Commands on inbound hooks. A token is told to whoever has it made, and never again.

mod calls;
mod error;
mod rates;

use armilla_domain::fault::Fault;
use armilla_domain::hook::{Hook, check};
use armilla_domain::id::{InboundHookId, RunId, WorkspaceId};
use armilla_store::{HookCallRow, HookRow, StoreError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use tracing::info;

pub use self::calls::{FoundHook, HookCallOutcome, HookCallRecord};
pub use self::error::HookError;
pub(crate) use self::rates::HookRates;
pub use self::rates::{HOOK_CALLS_PER_MINUTE_MAX, HOOKS_COUNTED_MAX};
use crate::{Chance, CommandError, Engine};

/// What every token begins with, so that those who search for leaked ones find it.
const TOKEN_PREFIX: &str = "hk_";
/// In bytes of chance: 240 bits, far beyond guessing.
const TOKEN_CHANCE_BYTES: usize = 30;
/// In bytes of a token: what is longer or shorter is none.
const TOKEN_BYTES: usize = TOKEN_PREFIX.len() + TOKEN_CHANCE_BYTES / 3 * 4;

/// A hook, without its token.
#[derive(Debug, Clone)]
pub struct HookView {
    /// Its id.
    pub id: InboundHookId,
    /// What it was configured to be.
    pub hook: Hook,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// A hook with a new token. Without `Debug`.
pub struct HookWithToken {
    /// The hook.
    pub view: HookView,
    /// Whoever has it may call the hook: it is in no row and in no log.
    pub token: String,
}

/// A call that was answered, without what was sent.
#[derive(Debug, Clone)]
pub struct HookCallView {
    /// Counts the calls of all hooks: what a list goes on from.
    pub id: i64,
    /// When it was answered.
    pub at: DateTime<Utc>,
    /// What became of it: `started`, `repeated`, `ignored` or `refused`.
    pub outcome: String,
    /// Why it was refused.
    pub code: Option<String>,
    /// The run that it started, or that an earlier one had.
    pub run: Option<RunId>,
    /// The HTTP status of the answer.
    pub status: i32,
}

impl Engine {
    /// Checks a hook and keeps it, with a token.
    ///
    /// # Errors
    /// [`CommandError::Invalid`] with every fault, [`HookError::TooMany`], or where the database is away.
    pub async fn create_hook(
        &self,
        workspace: WorkspaceId,
        hook: &Hook,
        by: &str,
    ) -> Result<HookWithToken, CommandError> {
        let config = self.checked_hook(workspace, hook).await?;
        let id = self.host.next_id();
        let token = new_token(&*self.host.chance);
        let row = self.host.store.create_hook(workspace, id, &config, &hash_of(&token), by).await?;
        let row = row.ok_or(HookError::TooMany)?;
        info!(hook.id = %id, workspace.id = %workspace, by, "Inbound hook `{id}` was created");
        Ok(HookWithToken { view: view(row)?, token })
    }

    /// Hooks of a workspace, newest first, from before `before` on.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn hooks(
        &self,
        workspace: WorkspaceId,
        before: Option<InboundHookId>,
        limit: u32,
    ) -> Result<Vec<HookView>, CommandError> {
        let rows = self.host.store.hooks(workspace, before, limit).await?;
        Ok(rows.into_iter().map(view).collect::<Result<_, _>>()?)
    }

    /// A hook of a workspace.
    ///
    /// # Errors
    /// [`HookError::Unknown`], or where the database is away.
    pub async fn hook(&self, workspace: WorkspaceId, id: InboundHookId) -> Result<HookView, CommandError> {
        Ok(view(self.host.store.hook(workspace, id).await?.ok_or(HookError::Unknown)?)?)
    }

    /// Makes something else of a hook, from the next call on. Its token stays.
    ///
    /// # Errors
    /// As [`Engine::create_hook`], and [`HookError::Unknown`].
    pub async fn replace_hook(
        &self,
        workspace: WorkspaceId,
        id: InboundHookId,
        hook: &Hook,
        by: &str,
    ) -> Result<HookView, CommandError> {
        self.hook(workspace, id).await?;
        let config = self.checked_hook(workspace, hook).await?;
        let row = self.host.store.replace_hook(workspace, id, &config).await?.ok_or(HookError::Unknown)?;
        info!(hook.id = %id, workspace.id = %workspace, by, "Inbound hook `{id}` was changed");
        Ok(view(row)?)
    }

    /// Gives a hook another token; the one before is good for nothing from the next call on.
    ///
    /// # Errors
    /// [`HookError::Unknown`], or where the database is away.
    pub async fn rotate_hook_token(
        &self,
        workspace: WorkspaceId,
        id: InboundHookId,
        by: &str,
    ) -> Result<HookWithToken, CommandError> {
        let token = new_token(&*self.host.chance);
        let row = self.host.store.rotate_hook_token(workspace, id, &hash_of(&token)).await?;
        let row = row.ok_or(HookError::Unknown)?;
        info!(hook.id = %id, workspace.id = %workspace, by, "Inbound hook `{id}` has another token");
        Ok(HookWithToken { view: view(row)?, token })
    }

    /// Deletes a hook. The runs that it started go on.
    ///
    /// # Errors
    /// [`HookError::Unknown`], or where the database is away.
    pub async fn delete_hook(&self, workspace: WorkspaceId, id: InboundHookId, by: &str) -> Result<(), CommandError> {
        if !self.host.store.delete_hook(workspace, id).await? {
            return Err(HookError::Unknown.into());
        }
        info!(hook.id = %id, workspace.id = %workspace, by, "Inbound hook `{id}` was deleted");
        Ok(())
    }

    /// Calls of a hook, the last first, from before `before` on.
    ///
    /// # Errors
    /// [`HookError::Unknown`], or where the database is away.
    pub async fn hook_calls(
        &self,
        workspace: WorkspaceId,
        id: InboundHookId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<HookCallView>, CommandError> {
        self.hook(workspace, id).await?;
        let rows = self.host.store.hook_calls(id, before, limit).await?;
        Ok(rows.into_iter().map(HookCallView::from).collect())
    }

    /// The hook as a column, where nothing is wrong with it.
    async fn checked_hook(&self, workspace: WorkspaceId, hook: &Hook) -> Result<String, CommandError> {
        let mut faults = check(&self.host.templates, hook);
        if self.host.store.newest_version(workspace, hook.workflow_id).await?.is_none() {
            let detail = format!("there is no workflow `{}`", hook.workflow_id);
            faults.insert(0, Fault::new("/workflowId", "hook.unknown_workflow", detail));
        }
        if !faults.is_empty() {
            return Err(CommandError::Invalid(faults));
        }
        Ok(serde_json::to_string(hook).map_err(|error| StoreError::Corrupt(error.to_string()))?)
    }
}

fn new_token(chance: &dyn Chance) -> String {
    let mut bytes = [0; TOKEN_CHANCE_BYTES];
    for part in bytes.chunks_mut(10) {
        part.copy_from_slice(&chance.bytes()[..part.len()]);
    }
    format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// What a token is found by. It needs no salt: nobody guesses what is behind it.
fn hash_of(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

fn hook_of(row: &HookRow) -> Result<Hook, StoreError> {
    let id = InboundHookId::from_uuid(row.id);
    serde_json::from_str(&row.config).map_err(|error| StoreError::Corrupt(format!("the hook `{id}`: {error}")))
}

fn view(row: HookRow) -> Result<HookView, StoreError> {
    Ok(HookView {
        id: InboundHookId::from_uuid(row.id),
        hook: hook_of(&row)?,
        created_by: row.created_by,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

impl From<HookCallRow> for HookCallView {
    fn from(row: HookCallRow) -> Self {
        let HookCallRow { id, outcome, code, run_id, status, at } = row;
        Self { id, at, outcome, code, run: run_id.map(RunId::from_uuid), status }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemChance;

    #[test]
    fn a_token_has_240_bits_stands_in_a_path_and_is_never_the_same_twice() {
        let token = new_token(&SystemChance);
        assert_eq!(token.len(), TOKEN_BYTES);
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)), "{token}");
        assert_ne!(token, new_token(&SystemChance));
        assert_ne!(hash_of(&token), hash_of(&new_token(&SystemChance)));
    }
}
