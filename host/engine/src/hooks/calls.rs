//! Calls of inbound hooks: found, believed, told apart, and made runs of.

use std::collections::BTreeMap;
use std::time::Duration;

use armilla_domain::hook::{Call, Hook, Refusal, Verdict, Verified};
use armilla_domain::id::{InboundHookId, RunId, WorkspaceId};
use armilla_store::NewHookCall;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tracing::warn;

use super::{HookError, TOKEN_BYTES, TOKEN_PREFIX, hash_of, hook_of};
use crate::{CommandError, Engine, RunView, StartRun, StartedRun};

/// The hook that a token names.
#[derive(Debug, Clone)]
pub struct FoundHook {
    /// Its id.
    pub id: InboundHookId,
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// What it was configured to be.
    pub hook: Hook,
}

/// What became of a call.
#[derive(Debug)]
pub enum HookCallOutcome {
    /// Nothing: the hook's `when` does not hold.
    Ignored,
    /// Nothing but to give this back.
    Challenged(String),
    /// There is a run of it.
    Run {
        /// As it stands.
        run: Box<RunView>,
        /// Whether an earlier call started it.
        is_repeat: bool,
    },
}

/// What is kept of a call.
#[derive(Debug, Clone, Copy)]
pub struct HookCallRecord<'a> {
    /// What became of it: `started`, `repeated`, `ignored` or `refused`.
    pub outcome: &'a str,
    /// Why it was refused.
    pub code: Option<&'a str>,
    /// The run that it started, or that an earlier one had.
    pub run: Option<RunId>,
    /// The HTTP status of the answer.
    pub status: u16,
}

impl Engine {
    /// The hook that a token names, if it may be called now. It is looked up by the token's hash, so that the time tells nothing of
    /// how much of it was guessed.
    ///
    /// # Errors
    /// [`HookError::Unknown`], [`HookError::Crowded`], or where the database is away.
    pub async fn hook_of_token(&self, token: &str) -> Result<FoundHook, CommandError> {
        if token.len() != TOKEN_BYTES || !token.starts_with(TOKEN_PREFIX) {
            return Err(HookError::Unknown.into());
        }
        let row = self.host.store.hook_of_token(&hash_of(token)).await?.ok_or(HookError::Unknown)?;
        let id = InboundHookId::from_uuid(row.id);
        let admitted = self.host.hook_rates.admit(id, Instant::now());
        admitted.map_err(|retry_after| HookError::Crowded { retry_after })?;
        Ok(FoundHook { id, workspace: WorkspaceId::from_uuid(row.workspace_id), hook: hook_of(&row)? })
    }

    /// Whether a call with these headers (names in small letters) and this body comes from whoever has the hook's secret.
    ///
    /// # Errors
    /// [`HookError::Refused`], [`HookError::NoSecret`], or where the database is away.
    pub async fn verify_hook_call(
        &self,
        found: &FoundHook,
        headers: &BTreeMap<String, String>,
        body: &[u8],
    ) -> Result<Verified, CommandError> {
        let Some(verify) = &found.hook.verify else { return Ok(Verified { signature: None }) };
        let sealed = self.host.store.sealed_secret(found.workspace, &verify.secret).await?;
        let secret = sealed.and_then(|sealed| self.host.sealing.open(found.workspace, &verify.secret, &sealed));
        let verified = match secret {
            Some(secret) => verify.verify(&secret, headers, body, self.host.clock.now().timestamp()),
            None => Err(Refusal::UnusableSecret),
        };
        verified.map_err(|refusal| match refusal {
            Refusal::UnusableSecret => {
                warn!(hook.id = %found.id, secret.name = verify.secret, "The secret of the hook `{}` is not there, or none of its scheme", found.id);
                HookError::NoSecret.into()
            }
            refusal => HookError::Refused(refusal).into(),
        })
    }

    /// Starts a run of a call that was believed, unless one of the same call was started within a day, and gives it as soon as it has
    /// ended, or as it stands after `bound`.
    ///
    /// # Errors
    /// [`HookError::Expression`], [`HookError::Replayed`], and as [`Engine::start_run`].
    pub async fn take_hook_call(
        &self,
        found: &FoundHook,
        verified: Verified,
        call: Call,
        traceparent: Option<String>,
        bound: Duration,
    ) -> Result<HookCallOutcome, CommandError> {
        let verdict = found.hook.judge(&self.host.templates, call).map_err(HookError::Expression)?;
        let (input, key) = match verdict {
            Verdict::Start { input, key } => (input, key),
            Verdict::Ignored => return Ok(HookCallOutcome::Ignored),
            Verdict::Challenged(challenge) => return Ok(HookCallOutcome::Challenged(challenge)),
        };
        let told_apart = match (&key, &verified.signature) {
            (Some(key), _) => Some(format!("key {}", hexadecimal(&Sha256::digest(key)))),
            (None, Some(signature)) => Some(format!("signature {}", hexadecimal(signature))),
            (None, None) => None,
        };
        if let (Some(signature), Some(told_apart)) = (&verified.signature, &told_apart) {
            let first = self.host.store.remember_hook_signature(found.id, signature, told_apart).await?;
            // The delivery's id is not always signed: with another one, a call that was overheard would be a new one.
            if first.ok_or(HookError::Unknown)? != *told_apart {
                return Err(HookError::Replayed.into());
            }
        }
        let command = StartRun {
            workflow: found.hook.workflow_id,
            version: None,
            input,
            traceparent,
            // With blanks, which no caller's own key has.
            idempotency_key: told_apart.map(|told_apart| format!("hook {} {told_apart}", found.id)),
        };
        // The key alone says what is the same: a sender may write another time into each try.
        let asked = json!(["hook", found.id]);
        let StartedRun { run, is_repeat } = self.start_asked(found.workspace, command, asked, bound).await?;
        if is_repeat && key.is_none() {
            return Err(HookError::Replayed.into());
        }
        Ok(HookCallOutcome::Run { run: Box::new(run), is_repeat })
    }

    /// Keeps what became of a call, for whoever looks after the hook. Where that cannot be kept, the call is answered all the same.
    pub async fn keep_hook_call(&self, hook: InboundHookId, record: HookCallRecord<'_>) {
        let HookCallRecord { outcome, code, run, status } = record;
        if let Err(error) = self.host.store.keep_hook_call(NewHookCall { hook, outcome, code, run, status }).await {
            warn!(hook.id = %hook, "A call of the hook `{hook}` could not be written down: {error}");
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
