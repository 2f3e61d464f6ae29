//! Overrides: prompts that agents have for a while. Whether one is over is judged by the database's clock in the statement that asks.

use std::time::Duration;

use armilla_domain::event::EventType;
use armilla_domain::id::{PromptOverrideId, WorkspaceId};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::lock_prompts;
use crate::{NewEvent, Store, StoreError};

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
    /// What is told where it ends another one; what there is to say of that one is added.
    pub replaced_event: &'a NewEvent,
    /// What is told of it; when it is over is added.
    pub event: &'a NewEvent,
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
            "with ended as (
                update prompt_overrides o
                set ended_at = clock_timestamp(), ended_by = $3, ended_how = 'replaced', end_told = true
                where workspace_id = $1 and agent_id = $2 and ended_at is null and expires_at > clock_timestamp() and not end_told
                returning override_told(o) as told
            )
            insert into events (id, workspace_id, type, data) select $4, $1, $5, (told || $6::text::jsonb)::text from ended",
            new.workspace.uuid(),
            new.agent,
            new.by,
            new.replaced_event.id.uuid(),
            new.replaced_event.kind.as_str(),
            new.replaced_event.data,
        )
        .execute(&mut *transaction)
        .await?;
        sqlx::query!(
            "with made as (
                insert into prompt_overrides as o (id, workspace_id, agent_id, system_prompt, version, hash, reason, share, runs,
                    owner, created_at, expires_at)
                select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, at, at + make_interval(secs => $11)
                from (select clock_timestamp() as at) now
                returning override_told(o) as told
            )
            insert into events (id, workspace_id, type, data) select $12, $2, $13, (told || $14::text::jsonb)::text from made",
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
            new.event.id.uuid(),
            new.event.kind.as_str(),
            new.event.data,
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Ends the override that an agent has, and tells of it; what there is to say of it is added. Says whether it had one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn end_prompt_override(
        &self,
        workspace: WorkspaceId,
        agent: &str,
        by: &str,
        event: &NewEvent,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        if !lock_prompts(&mut transaction, workspace, agent).await? {
            return Ok(false);
        }
        // Whoever waited for the row asks again whether it was told meanwhile that its time is over.
        let done = sqlx::query!(
            "with ended as (
                update prompt_overrides o set ended_at = clock_timestamp(), ended_by = $3, ended_how = 'ended', end_told = true
                where workspace_id = $1 and agent_id = $2 and ended_at is null and expires_at > clock_timestamp() and not end_told
                returning override_told(o) as told
            )
            insert into events (id, workspace_id, type, data) select $4, $1, $5, (told || $6::text::jsonb)::text from ended",
            workspace.uuid(),
            agent,
            by,
            event.id.uuid(),
            event.kind.as_str(),
            event.data,
        );
        let done = done.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Tells of overrides that are over and of which nobody has told that yet, mostly since time ended them; up to `limit`. Says of how many.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn tell_of_ended_overrides(&self, limit: u32) -> Result<u64, StoreError> {
        let told = sqlx::query!(
            "with over as (
                select id from prompt_overrides where not end_told and coalesce(ended_at, expires_at) <= now()
                order by coalesce(ended_at, expires_at) limit $1 for update skip locked
            ), ended as (
                update prompt_overrides o set end_told = true from over where o.id = over.id
                returning o.workspace_id, override_told(o) || jsonb_strip_nulls(jsonb_build_object(
                    'status', coalesce(o.ended_how, 'expired'), 'by', o.ended_by)) as told
            )
            insert into events (id, workspace_id, type, data) select new_event_id(), workspace_id, $2, told::text from ended",
            i64::from(limit),
            EventType::PromptOverrideEnded.as_str(),
        );
        Ok(told.execute(&self.pool).await?.rows_affected())
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
