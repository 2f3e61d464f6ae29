//! Overrides: prompts that agents have for a while. Whether one is over is judged by the database's clock in the statement that asks.

use std::time::Duration;

use armilla_domain::id::{PromptOverrideId, WorkspaceId};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::lock_prompts;
use crate::{Store, StoreError};

/// An override to be.
#[derive(Debug)]
pub struct NewPromptOverride<'a> {
    /// Its id.
    pub id: PromptOverrideId,
    /// Whose.
    pub workspace: WorkspaceId,
    /// Of which agent.
    pub agent: &'a str,
    /// A text of its own.
    pub system_prompt: Option<&'a str>,
    /// Or a version.
    pub version: Option<i32>,
    /// SHA-256, in hexadecimal, of the text or of the version's content.
    pub hash: &'a str,
    /// How long it lasts, in whole seconds.
    pub ttl: Duration,
    /// Why.
    pub reason: Option<&'a str>,
    /// The part of the runs that it is for.
    pub share: Option<f64>,
    /// The runs that it is for.
    pub runs: Option<&'a [Uuid]>,
    /// Who sets it.
    pub by: &'a str,
}

/// An override.
#[derive(Debug, Clone)]
pub struct PromptOverrideRow {
    /// Its id.
    pub id: Uuid,
    /// A text of its own.
    pub system_prompt: Option<String>,
    /// Or a version.
    pub version: Option<i32>,
    /// SHA-256, in hexadecimal, of the text or of the version's content.
    pub hash: String,
    /// Why.
    pub reason: Option<String>,
    /// The part of the runs that it is for.
    pub share: Option<f64>,
    /// The runs that it is for.
    pub runs: Option<Vec<Uuid>>,
    /// Who set it.
    pub owner: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it is over at the latest.
    pub expires_at: DateTime<Utc>,
    /// When it ended; absent while it is in effect.
    pub ended_at: Option<DateTime<Utc>>,
    /// Who ended it; nobody where it expired.
    pub ended_by: Option<String>,
    /// How it ended: `expired`, `ended` or `replaced`.
    pub ended_how: Option<String>,
    /// Whole seconds that it still lasts, rounded up; none where it is over.
    pub remaining_seconds: i64,
    /// Calls under it.
    pub calls: i64,
    /// Those that failed.
    pub failures: i64,
    /// Tokens that the model read.
    pub input_tokens: i64,
    /// Tokens that the model wrote.
    pub output_tokens: i64,
    /// Milliseconds of all calls together.
    pub duration_ms: i64,
}

impl Store {
    /// Sets an override, which ends the one before it. Says whether there is such an agent.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn set_prompt_override(&self, new: &NewPromptOverride<'_>) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        if !lock_prompts(&mut transaction, new.workspace, new.agent).await? {
            return Ok(false);
        }
        sqlx::query!(
            "update prompt_overrides set ended_at = clock_timestamp(), ended_by = $3, ended_how = 'replaced'
            where workspace_id = $1 and agent_id = $2 and ended_at is null and expires_at > clock_timestamp()",
            new.workspace.uuid(),
            new.agent,
            new.by,
        )
        .execute(&mut *transaction)
        .await?;
        sqlx::query!(
            "insert into prompt_overrides (id, workspace_id, agent_id, system_prompt, version, hash, reason, share, runs, owner,
                created_at, expires_at)
            select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, at, at + make_interval(secs => $11)
            from (select clock_timestamp() as at) now",
            new.id.uuid(),
            new.workspace.uuid(),
            new.agent,
            new.system_prompt,
            new.version,
            new.hash,
            new.reason,
            new.share,
            new.runs,
            new.by,
            new.ttl.as_secs_f64(),
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Ends the override that an agent has. Says whether it had one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn end_prompt_override(&self, workspace: WorkspaceId, agent: &str, by: &str) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "update prompt_overrides set ended_at = now(), ended_by = $3, ended_how = 'ended'
            where workspace_id = $1 and agent_id = $2 and ended_at is null and expires_at > now()",
            workspace.uuid(),
            agent,
            by,
        );
        Ok(done.execute(&self.pool).await?.rows_affected() > 0)
    }

    /// Overrides of an agent of a workspace, newest first, from before `before` on; only the one in effect where `current`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn prompt_overrides(
        &self,
        workspace: WorkspaceId,
        agent: &str,
        current: bool,
        before: Option<PromptOverrideId>,
        limit: u32,
    ) -> Result<Vec<PromptOverrideRow>, StoreError> {
        let rows = sqlx::query_as!(
            PromptOverrideRow,
            r#"select o.id, o.system_prompt, o.version, o.hash, o.reason, o.share, o.runs, o.owner, o.created_at, o.expires_at,
                coalesce(o.ended_at, case when o.expires_at <= now() then o.expires_at end) as ended_at, o.ended_by,
                coalesce(o.ended_how, case when o.expires_at <= now() then 'expired' end) as ended_how,
                case when o.ended_at is null
                    then greatest(ceil(extract(epoch from o.expires_at - now())), 0)::bigint else 0 end as "remaining_seconds!",
                m.calls as "calls!", m.failures as "failures!", m.input_tokens as "input_tokens!",
                m.output_tokens as "output_tokens!", m.duration_ms as "duration_ms!"
            from prompt_overrides o cross join lateral (
                select coalesce(sum(calls), 0)::bigint as calls, coalesce(sum(failures), 0)::bigint as failures,
                    coalesce(sum(input_tokens), 0)::bigint as input_tokens,
                    coalesce(sum(output_tokens), 0)::bigint as output_tokens,
                    coalesce(sum(duration_ms), 0)::bigint as duration_ms
                from prompt_metrics where override_id = o.id
            ) m
            where o.workspace_id = $1 and o.agent_id = $2 and ($3::uuid is null or o.id < $3)
                and (not $4 or (o.ended_at is null and o.expires_at > now()))
            order by o.id desc limit $5"#,
            workspace.uuid(),
            agent,
            before.map(PromptOverrideId::uuid),
            current,
            i64::from(limit),
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }
}
