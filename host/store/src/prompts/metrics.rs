//! What was done with prompts, counted on each host and added up here.

use armilla_domain::id::WorkspaceId;
use uuid::Uuid;

use crate::{Store, StoreError};

/// Stands for the version of a text that is of none.
pub const NO_VERSION: i32 = 0;

/// What a host counted of one prompt since it last told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptCount {
    /// Whose.
    pub workspace: WorkspaceId,
    /// Of which agent.
    pub agent: String,
    /// The version, or [`NO_VERSION`].
    pub version: i32,
    /// The override, or the nil id.
    pub override_id: Uuid,
    /// What was counted.
    pub counted: PromptMetricsRow,
}

/// What was done with a prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PromptMetricsRow {
    /// Calls that were made.
    pub calls: i64,
    /// Those that failed.
    pub failures: i64,
    /// Tokens that the model read, where the agent said.
    pub input_tokens: i64,
    /// Tokens that the model wrote, where the agent said.
    pub output_tokens: i64,
    /// Milliseconds of all calls together.
    pub duration_ms: i64,
}

impl Store {
    /// Adds up what a host counted. What is of an agent that is gone is dropped. Two hosts that tell of the same prompts must do so in
    /// one order: `counts` is sorted.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn add_prompt_counts(&self, counts: &[PromptCount]) -> Result<(), StoreError> {
        let column =
            |read: fn(&PromptMetricsRow) -> i64| counts.iter().map(|one| read(&one.counted)).collect::<Vec<_>>();
        sqlx::query!(
            "insert into prompt_metrics as m (workspace_id, agent_id, version, override_id, calls, failures, input_tokens,
                output_tokens, duration_ms)
            select c.workspace_id, c.agent_id, c.version, c.override_id, c.calls, c.failures, c.input_tokens, c.output_tokens,
                c.duration_ms
            from unnest($1::uuid[], $2::text[], $3::int[], $4::uuid[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
                $9::bigint[]) c(workspace_id, agent_id, version, override_id, calls, failures, input_tokens, output_tokens,
                duration_ms)
            join agents a on a.workspace_id = c.workspace_id and a.id = c.agent_id
            order by c.workspace_id, c.agent_id, c.version, c.override_id
            on conflict (workspace_id, agent_id, version, override_id) do update set
                calls = m.calls + excluded.calls, failures = m.failures + excluded.failures,
                input_tokens = m.input_tokens + excluded.input_tokens,
                output_tokens = m.output_tokens + excluded.output_tokens,
                duration_ms = m.duration_ms + excluded.duration_ms",
            &counts.iter().map(|one| one.workspace.uuid()).collect::<Vec<_>>(),
            &counts.iter().map(|one| one.agent.clone()).collect::<Vec<_>>(),
            &counts.iter().map(|one| one.version).collect::<Vec<_>>(),
            &counts.iter().map(|one| one.override_id).collect::<Vec<_>>(),
            &column(|counted| counted.calls),
            &column(|counted| counted.failures),
            &column(|counted| counted.input_tokens),
            &column(|counted| counted.output_tokens),
            &column(|counted| counted.duration_ms),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Adds up how often templates were rendered, by workspace and name.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn add_template_uses(&self, uses: &[(WorkspaceId, String, i64)]) -> Result<(), StoreError> {
        sqlx::query!(
            "with used as (
                select t.id, u.uses from unnest($1::uuid[], $2::text[], $3::bigint[]) u(workspace_id, name, uses)
                join prompt_templates t on t.workspace_id = u.workspace_id and t.name = u.name
                order by t.id for no key update of t
            )
            update prompt_templates t set usage_count = t.usage_count + used.uses from used where t.id = used.id",
            &uses.iter().map(|(workspace, ..)| workspace.uuid()).collect::<Vec<_>>(),
            &uses.iter().map(|(_, name, _)| name.clone()).collect::<Vec<_>>(),
            &uses.iter().map(|(.., uses)| *uses).collect::<Vec<_>>(),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// What was done with a version of an agent's prompt, under overrides or not.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn prompt_metrics(
        &self,
        workspace: WorkspaceId,
        agent: &str,
        version: i32,
    ) -> Result<PromptMetricsRow, StoreError> {
        let row = sqlx::query_as!(
            PromptMetricsRow,
            r#"select coalesce(sum(calls), 0)::bigint as "calls!", coalesce(sum(failures), 0)::bigint as "failures!",
                coalesce(sum(input_tokens), 0)::bigint as "input_tokens!",
                coalesce(sum(output_tokens), 0)::bigint as "output_tokens!",
                coalesce(sum(duration_ms), 0)::bigint as "duration_ms!"
            from prompt_metrics where workspace_id = $1 and agent_id = $2 and version = $3"#,
            workspace.uuid(),
            agent,
            version,
        );
        Ok(row.fetch_one(&self.pool).await?)
    }
}
