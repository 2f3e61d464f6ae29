//! What was done with inbound hooks: their last calls, and the signatures that were accepted.

use armilla_domain::id::{InboundHookId, RunId};
use chrono::{DateTime, Utc};

use crate::retention::IDEMPOTENCY_HOURS;
use crate::{Store, StoreError};

/// Calls of one hook that are kept, the last ones: enough to see why a sender complains.
pub const HOOK_CALLS_KEPT: i64 = 100;

/// A call that was answered.
#[derive(Debug, Clone, Copy)]
pub struct NewHookCall<'a> {
    /// Of which hook.
    pub hook: InboundHookId,
    /// What became of it, in a word.
    pub outcome: &'a str,
    /// Why it was refused.
    pub code: Option<&'a str>,
    /// The run that it started, or that an earlier one had.
    pub run: Option<RunId>,
    /// The HTTP status of the answer.
    pub status: u16,
}

/// A call that was answered.
#[derive(Debug, Clone)]
pub struct HookCallRow {
    /// Counts the calls of all hooks.
    pub id: i64,
    /// What became of it, in a word.
    pub outcome: String,
    /// Why it was refused.
    pub code: Option<String>,
    /// The run that it started, or that an earlier one had.
    pub run_id: Option<uuid::Uuid>,
    /// The HTTP status of the answer.
    pub status: i32,
    /// When.
    pub at: DateTime<Utc>,
}

impl Store {
    /// Keeps a call, and forgets those before the last [`HOOK_CALLS_KEPT`]. A hook that is not there any more has none.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn keep_hook_call(&self, call: NewHookCall<'_>) -> Result<(), StoreError> {
        // What the statement adds it does not see, so one less than all of them stays. Several hosts may forget the same ones:
        // each passes over those that another one has begun with.
        sqlx::query!(
            "with forgotten as (
                delete from inbound_hook_calls where id in (
                    select id from inbound_hook_calls
                    where hook_id = $1 and id <= (
                        select id from inbound_hook_calls where hook_id = $1 order by id desc offset $6::bigint - 1 limit 1
                    )
                    for update skip locked
                )
            )
            insert into inbound_hook_calls (hook_id, outcome, code, run_id, status)
            select id, $2, $3, $4, $5 from inbound_hooks where id = $1",
            call.hook.uuid(),
            call.outcome,
            call.code,
            call.run.map(RunId::uuid),
            i32::from(call.status),
            HOOK_CALLS_KEPT,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Calls of a hook, the last first, from before `before` on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn hook_calls(
        &self,
        hook: InboundHookId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<HookCallRow>, StoreError> {
        let rows = sqlx::query_as!(
            HookCallRow,
            "select id, outcome, code, run_id, status, at from inbound_hook_calls
            where hook_id = $1 and ($2::bigint is null or id < $2) order by id desc limit $3",
            hook.uuid(),
            before,
            i64::from(limit),
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// Remembers that a signature came with a call of this key, and gives the key that it came with first. `None` where there is no
    /// such hook any more.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn remember_hook_signature(
        &self,
        hook: InboundHookId,
        signature: &[u8; 32],
        key: &str,
    ) -> Result<Option<String>, StoreError> {
        let first = sqlx::query_scalar!(
            "insert into inbound_hook_signatures as known (hook_id, signature, key)
            select id, $2, $3 from inbound_hooks where id = $1
            on conflict (hook_id, signature) do update set
                key = case when known.created_at < now() - make_interval(hours => $4) then excluded.key else known.key end,
                created_at = case when known.created_at < now() - make_interval(hours => $4) then now() else known.created_at end
            returning key",
            hook.uuid(),
            signature.as_slice(),
            key,
            IDEMPOTENCY_HOURS,
        );
        Ok(first.fetch_optional(&self.pool).await?)
    }

    /// Forgets signatures that came longer ago than [`IDEMPOTENCY_HOURS`]: for as long as runs are found by their keys.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn forget_hook_signatures(&self) -> Result<u64, StoreError> {
        let done = sqlx::query!(
            "delete from inbound_hook_signatures where created_at < now() - make_interval(hours => $1)",
            IDEMPOTENCY_HOURS
        );
        Ok(done.execute(&self.pool).await?.rows_affected())
    }
}
