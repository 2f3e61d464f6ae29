//! An agent as a call needs it: with the prompts among which the call's own is.

use armilla_domain::id::WorkspaceId;
use uuid::Uuid;

use crate::{AgentRow, Store, StoreError};

/// An agent and its prompts.
#[derive(Debug, Clone)]
pub struct AgentForCall {
    /// The agent. What its configuration says of the prompt is what it said when it was written.
    pub agent: AgentRow,
    /// The version that its label names, where the configuration has a `promptLabel`; else the newest one. Absent where there is none.
    pub prompt: Option<PromptForCall>,
    /// The override that is in effect now, by the database's clock.
    pub over: Option<OverrideForCall>,
}

/// A version.
#[derive(Debug, Clone)]
pub struct PromptForCall {
    /// Its number.
    pub version: i32,
    /// Its text.
    pub system_prompt: String,
    /// JSON: its settings of the model.
    pub model: Option<String>,
    /// Of its content.
    pub hash: String,
}

/// An override.
#[derive(Debug, Clone)]
pub struct OverrideForCall {
    /// Its id.
    pub id: Uuid,
    /// The part of the runs that it is for.
    pub share: Option<f64>,
    /// The runs that it is for.
    pub runs: Option<Vec<Uuid>>,
    /// What the agent is told: a text of the override's own has no number.
    pub version: Option<i32>,
    /// The text.
    pub system_prompt: String,
    /// JSON: settings of the model.
    pub model: Option<String>,
    /// Of the content.
    pub hash: String,
}

impl Store {
    /// An agent of a workspace for a call that is made now.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn agent_for_call(&self, workspace: WorkspaceId, id: &str) -> Result<Option<AgentForCall>, StoreError> {
        let row = sqlx::query!(
            r#"select a.id, a.version, a.config, a.created_at, a.updated_at,
                p.version as "prompt_version?", p.system_prompt as "prompt_text?", p.model as "prompt_model?",
                p.hash as "prompt_hash?",
                o.id as "override_id?", o.share as "share?", o.runs as "runs?: Vec<Uuid>", o.hash as "override_hash?",
                o.system_prompt as "override_text?",
                ov.version as "override_version?", ov.system_prompt as "override_version_text?", ov.model as "override_model?"
            from agents a
            left join lateral (
                select o.id, o.share, o.runs, o.hash, o.system_prompt, o.version from prompt_overrides o
                where o.workspace_id = a.workspace_id and o.agent_id = a.id and o.ended_at is null and o.expires_at > now()
                order by o.expires_at desc limit 1
            ) o on true
            left join prompt_versions ov
                on ov.workspace_id = a.workspace_id and ov.agent_id = a.id and ov.version = o.version
            left join lateral (
                -- Read only where it may be there: a configuration can be long.
                -- U+0000, which no text of the database holds, is not written any more; `\\u0000` is a backslash and five signs.
                select case when position('"promptLabel"' in a.config) > 0
                        and position('\u0000' in replace(a.config, '\\', '')) = 0
                    then a.config::json ->> 'promptLabel' end as label
            ) wanted on true
            left join lateral (
                select v.version, v.system_prompt, v.model, v.hash from prompt_versions v
                where v.workspace_id = a.workspace_id and v.agent_id = a.id and (wanted.label is null or v.version = (
                    select l.version from prompt_labels l
                    where l.workspace_id = a.workspace_id and l.agent_id = a.id and l.label = wanted.label
                ))
                order by v.version desc limit 1
            ) p on true
            where a.workspace_id = $1 and a.id = $2"#,
            workspace.uuid(),
            id,
        );
        let Some(row) = self.kept.fetch_optional(row).await? else { return Ok(None) };
        let prompt = match (row.prompt_version, row.prompt_text, row.prompt_hash) {
            (Some(version), Some(system_prompt), Some(hash)) => {
                Some(PromptForCall { version, system_prompt, model: row.prompt_model, hash })
            }
            _ => None,
        };
        let over = match (row.override_id, row.override_text.or(row.override_version_text), row.override_hash) {
            (Some(id), Some(system_prompt), Some(hash)) => Some(OverrideForCall {
                id,
                share: row.share,
                runs: row.runs,
                version: row.override_version,
                system_prompt,
                model: row.override_model,
                hash,
            }),
            _ => None,
        };
        let agent = AgentRow {
            id: row.id,
            version: row.version,
            config: row.config,
            newest_prompt: None,
            created_at: row.created_at,
            updated_at: row.updated_at,
        };
        Ok(Some(AgentForCall { agent, prompt, over }))
    }
}
