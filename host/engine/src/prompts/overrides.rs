//! Commands on overrides: prompts that agents have for a while.

use std::time::Duration;

use armilla_domain::event::EventType;
use armilla_domain::event::data::PromptTold;
use armilla_domain::fault::Fault;
use armilla_domain::id::{PromptOverrideId, RunId, WorkspaceId};
use armilla_domain::prompt::{Coverage, OVERRIDE_RUNS_MAX, OVERRIDE_TTL_MAX, OVERRIDE_TTL_MIN};
use armilla_store::{NewEvent, NewPromptOverride as NewRow, PromptMetricsRow, PromptOverrideRow, StoreError};
use chrono::{DateTime, Utc};
use tracing::info;
use uuid::Uuid;

use super::counts::flush_now;
use super::{PromptError, PromptMetrics, content_hash, coverage_of};
use crate::host::Host;
use crate::{CommandError, Engine};

/// Overrides that one statement tells the end of.
const TOLD_AT_ONCE: u32 = 100;

/// What an agent is told under an override.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverrideContent {
    /// A text of the override's own.
    SystemPrompt(String),
    /// A version of the agent's prompt, with its settings.
    Version(i32),
}

/// An override to be.
#[derive(Debug)]
pub struct NewPromptOverride {
    /// What the agent is told: a text,
    pub system_prompt: Option<String>,
    /// or a version of its prompt. Exactly one of both.
    pub version: Option<i32>,
    /// How long, from [`OVERRIDE_TTL_MIN`] to [`OVERRIDE_TTL_MAX`].
    pub ttl: Duration,
    /// Why.
    pub reason: Option<String>,
    /// For which part of the runs, from 0 to 1,
    pub share: Option<f64>,
    /// or for which runs; at most one of both. For all without either.
    pub runs: Option<Vec<RunId>>,
}

/// An override.
#[derive(Debug, Clone)]
pub struct PromptOverrideView {
    /// Its id.
    pub id: PromptOverrideId,
    /// Whose.
    pub agent: String,
    /// What the agent is told.
    pub content: OverrideContent,
    /// SHA-256, in hexadecimal, of the text or of the version's content.
    pub hash: String,
    /// Why.
    pub reason: Option<String>,
    /// For which runs.
    pub coverage: Coverage,
    /// Who set it.
    pub owner: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it is over at the latest.
    pub expires_at: DateTime<Utc>,
    /// How many seconds it still lasts; none where it is over.
    pub remaining_seconds: u64,
    /// When it ended; absent while it is in effect.
    pub ended_at: Option<DateTime<Utc>>,
    /// Who ended it; nobody where it expired.
    pub ended_by: Option<String>,
    /// How it ended: `expired`, `ended` or `replaced`.
    pub ended_how: Option<String>,
    /// What was done under it.
    pub metrics: PromptMetrics,
}

impl Engine {
    /// Gives an agent another prompt for a while, from the next call on. It ends the override before it.
    ///
    /// # Errors
    /// [`CommandError::UnknownAgent`], or [`CommandError::Invalid`] with every fault.
    pub async fn set_prompt_override(
        &self,
        workspace: WorkspaceId,
        agent: &str,
        new: NewPromptOverride,
        by: &str,
    ) -> Result<PromptOverrideView, CommandError> {
        self.agent(workspace, agent).await?;
        let mut faults = faults_of(&new);
        let mut hash = String::new();
        if let Some(text) = &new.system_prompt {
            hash = content_hash(text, None);
            faults.extend(self.prompt_fault(workspace, text, "/systemPrompt").await?);
        }
        if let Some(version) = new.version {
            match self.host.store.prompt_version(workspace, agent, version).await? {
                Some(row) => hash = row.hash,
                None => {
                    let detail = format!("the prompt of `{agent}` has no version {version}");
                    faults.push(Fault::new("/version", "prompt.unknown_version", detail));
                }
            }
        }
        if !faults.is_empty() {
            return Err(CommandError::Invalid(faults));
        }
        let runs = new.runs.map(|runs| runs.into_iter().map(RunId::uuid).collect::<Vec<Uuid>>());
        let id = self.host.next_id();
        // That the one before it is over comes before this one's beginning.
        tell_of_ended(&self.host).await?;
        let told = PromptTold { agent_id: agent, by: Some(by), ..PromptTold::default() };
        let row = NewRow {
            id,
            workspace,
            agent,
            system_prompt: new.system_prompt.as_deref(),
            version: new.version,
            hash: &hash,
            ttl: new.ttl,
            reason: new.reason.as_deref(),
            share: new.share,
            runs: runs.as_deref(),
            by,
            replaced_event: &self.override_ended(agent, "replaced", by),
            event: &self.host.event(EventType::PromptOverrideStarted, &told),
        };
        if !self.host.store.set_prompt_override(&row).await? {
            return Err(CommandError::UnknownAgent(agent.to_owned()));
        }
        self.host.told.send_replace(());
        info!(agent.id = %agent, prompt_override.id = %id, workspace.id = %workspace, "The prompt of `{agent}` is overridden by `{id}`");
        self.prompt_override(workspace, agent).await
    }

    /// The override that is in effect.
    ///
    /// # Errors
    /// [`CommandError::UnknownAgent`], [`PromptError::NoOverride`], or where the database is away.
    pub async fn prompt_override(
        &self,
        workspace: WorkspaceId,
        agent: &str,
    ) -> Result<PromptOverrideView, CommandError> {
        flush_now(&self.host).await;
        match self.host.store.prompt_overrides(workspace, agent, true, None, 1).await?.pop() {
            Some(row) => Ok(view(agent, row)),
            None => Err(self.no_override(workspace, agent).await?),
        }
    }

    /// Ends the override that is in effect.
    ///
    /// # Errors
    /// As [`Engine::prompt_override`].
    pub async fn end_prompt_override(&self, workspace: WorkspaceId, agent: &str, by: &str) -> Result<(), CommandError> {
        let event = self.override_ended(agent, "ended", by);
        if !self.host.store.end_prompt_override(workspace, agent, by, &event).await? {
            return Err(self.no_override(workspace, agent).await?);
        }
        self.host.told.send_replace(());
        info!(agent.id = %agent, workspace.id = %workspace, "The override of the prompt of `{agent}` was ended");
        Ok(())
    }

    /// The overrides of an agent, newest first, from before `before` on.
    ///
    /// # Errors
    /// [`CommandError::UnknownAgent`], or where the database is away.
    pub async fn prompt_overrides(
        &self,
        workspace: WorkspaceId,
        agent: &str,
        before: Option<PromptOverrideId>,
        limit: u32,
    ) -> Result<Vec<PromptOverrideView>, CommandError> {
        flush_now(&self.host).await;
        let rows = self.host.store.prompt_overrides(workspace, agent, false, before, limit).await?;
        if rows.is_empty() {
            self.agent(workspace, agent).await?;
        }
        Ok(rows.into_iter().map(|row| view(agent, row)).collect())
    }

    fn override_ended(&self, agent: &str, status: &str, by: &str) -> NewEvent {
        let told = PromptTold { agent_id: agent, status: Some(status), by: Some(by), ..PromptTold::default() };
        self.host.event(EventType::PromptOverrideEnded, &told)
    }

    async fn no_override(&self, workspace: WorkspaceId, agent: &str) -> Result<CommandError, CommandError> {
        self.agent(workspace, agent).await?;
        Ok(PromptError::NoOverride(agent.to_owned()).into())
    }
}

/// Tells of overrides that time has ended.
pub(crate) async fn tell_of_ended(host: &Host) -> Result<(), StoreError> {
    while !host.stopping.is_cancelled() {
        let told = host.store.tell_of_ended_overrides(TOLD_AT_ONCE).await?;
        if told > 0 {
            host.told.send_replace(());
        }
        if told < u64::from(TOLD_AT_ONCE) {
            break;
        }
    }
    Ok(())
}

fn faults_of(new: &NewPromptOverride) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !(OVERRIDE_TTL_MIN..=OVERRIDE_TTL_MAX).contains(&new.ttl) {
        let (least, most) = (OVERRIDE_TTL_MIN.as_secs(), OVERRIDE_TTL_MAX.as_secs());
        let detail = format!("an override lasts {least} to {most} seconds");
        faults.push(Fault::new("/ttlSeconds", "prompt.ttl", detail));
    }
    if new.system_prompt.is_some() == new.version.is_some() {
        let detail = "an override has either a `systemPrompt` of its own or a `version`";
        faults.push(Fault::new("", "prompt.override_content", detail));
    }
    if new.share.is_some() && new.runs.is_some() {
        faults.push(Fault::new(
            "/share",
            "prompt.override_runs",
            "an override is for a `share` of the runs or for `runs`, not both",
        ));
    }
    if new.share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
        faults.push(Fault::new("/share", "prompt.value", "a share is a number from 0 to 1"));
    }
    if new.runs.as_ref().is_some_and(|runs| runs.is_empty() || runs.len() > OVERRIDE_RUNS_MAX) {
        let detail = format!("an override names 1 to {OVERRIDE_RUNS_MAX} runs");
        faults.push(Fault::new("/runs", "prompt.limit", detail));
    }
    faults
}

fn view(agent: &str, row: PromptOverrideRow) -> PromptOverrideView {
    let content = match (row.system_prompt, row.version) {
        (Some(text), _) => OverrideContent::SystemPrompt(text),
        (None, version) => OverrideContent::Version(version.unwrap_or_default()),
    };
    let metrics = PromptMetricsRow {
        calls: row.calls,
        failures: row.failures,
        input_tokens: row.input_tokens,
        output_tokens: row.output_tokens,
        duration_ms: row.duration_ms,
    };
    PromptOverrideView {
        id: PromptOverrideId::from_uuid(row.id),
        agent: agent.to_owned(),
        content,
        hash: row.hash,
        reason: row.reason,
        coverage: coverage_of(row.share, row.runs.as_deref()),
        owner: row.owner,
        created_at: row.created_at,
        expires_at: row.expires_at,
        remaining_seconds: row.remaining_seconds.unsigned_abs(),
        ended_at: row.ended_at,
        ended_by: row.ended_by,
        ended_how: row.ended_how,
        metrics: metrics.into(),
    }
}
