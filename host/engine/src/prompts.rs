//! Prompts: which one a call is made with, and the commands on templates, versions, labels and overrides.

mod counts;
mod error;
mod labels;
mod library;
mod overrides;
mod templates;
mod versions;

use std::borrow::Cow;

use armilla_domain::agent::{AgentConfig, ModelSettings};
use armilla_domain::call::{CallError, PromptUse};
use armilla_domain::id::{PromptOverrideId, RunId, WorkspaceId};
use armilla_domain::prompt::{Coverage, IncludeError, defaults_in, expand, variables_of};
use armilla_domain::template::Scope;
use armilla_store::{AgentForCall, OverrideForCall};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use self::counts::PromptMetrics;
pub(crate) use self::counts::{PromptCounts, flush_forever};
pub use self::error::PromptError;
pub use self::labels::{PromptLabelView, PromptMoveView};
pub(crate) use self::overrides::tell_of_ended as tell_of_ended_overrides;
pub use self::overrides::{NewPromptOverride, OverrideContent, PromptOverrideView};
pub use self::templates::{NewPromptTemplate, PromptTemplateView, RenderedPrompt, RevisePromptTemplate};
pub use self::versions::{MadePromptVersion, NewPromptVersion, PromptVersionView};
use crate::agent_call::of_store;
use crate::host::Host;

/// The prompt of one call.
#[derive(Debug, Default)]
pub(crate) struct Prompt {
    /// The text with the run's variables in it; none where the agent is told nothing.
    pub(crate) text: Option<String>,
    /// Settings that come before the agent's own.
    pub(crate) model: ModelSettings,
    /// What is recorded of it.
    pub(crate) used: Option<Box<PromptUse>>,
}

/// The prompt of a call of an agent for a run: an override that is for this run, else the version of the agent's label, else the newest
/// one. What it includes is looked up now.
///
/// # Errors
/// `agent.prompt_label_missing`, `agent.prompt_include_missing`, `agent.prompt_include_limit`, and those of templates.
pub(crate) async fn for_call(
    host: &Host,
    workspace: WorkspaceId,
    agent: &AgentForCall,
    config: &AgentConfig,
    run: RunId,
    scope: &Scope,
) -> Result<Prompt, CallError> {
    let Some(Chosen { text, model, mut used }) = choose(agent, config, run)? else { return Ok(Prompt::default()) };
    let model = match model.map(serde_json::from_str).transpose() {
        Ok(model) => model.unwrap_or_default(),
        Err(_) => {
            let message = format!("the prompt of `{}` has settings of another program", agent.agent.id);
            return Err(CallError::permanent("agent.bad_config", message));
        }
    };
    let library = host.prompt_library(workspace, text).await.map_err(|error| of_store(&error))?;
    let expanded = expand(text, None, &library).map_err(|error| of_include(&agent.agent.id, &error))?;
    let scope = match expanded.parts.as_slice() {
        [] => Cow::Borrowed(scope),
        parts => Cow::Owned(defaults_in(scope.clone(), &variables_of(&[], parts))),
    };
    let rendered = host.templates.render(&expanded.source, &scope)?;
    used.includes = expanded.parts.iter().map(|part| format!("{}@{}", part.name, part.version)).collect();
    host.prompt_counts.note_uses(workspace, expanded.parts.iter().map(|part| part.name.as_str()));
    Ok(Prompt { text: Some(rendered), model, used: Some(Box::new(used)) })
}

/// A prompt before anything is put into it.
struct Chosen<'a> {
    text: &'a str,
    model: Option<&'a str>,
    used: PromptUse,
}

fn choose<'a>(agent: &'a AgentForCall, config: &'a AgentConfig, run: RunId) -> Result<Option<Chosen<'a>>, CallError> {
    if let Some(over) =
        agent.over.as_ref().filter(|over| coverage_of(over.share, over.runs.as_deref()).covers(id_of(over), run))
    {
        let used = PromptUse {
            version: over.version,
            hash: over.hash.clone(),
            override_id: Some(id_of(over)),
            own_text: over.version.is_none(),
            ..PromptUse::default()
        };
        return Ok(Some(Chosen { text: &over.system_prompt, model: over.model.as_deref(), used }));
    }
    if let Some(prompt) = &agent.prompt {
        let used = PromptUse {
            version: Some(prompt.version),
            hash: prompt.hash.clone(),
            label: config.prompt_label.clone(),
            ..PromptUse::default()
        };
        return Ok(Some(Chosen { text: &prompt.system_prompt, model: prompt.model.as_deref(), used }));
    }
    if let Some(label) = &config.prompt_label {
        let message = format!("no version of the prompt of `{}` carries the label `{label}`", agent.agent.id);
        return Err(CallError::permanent("agent.prompt_label_missing", message));
    }
    // Written by a host that kept no versions yet, while others are brought up to date.
    Ok(config.system_prompt_template.as_deref().map(|text| Chosen {
        text,
        model: None,
        used: PromptUse { hash: content_hash(text, None), ..PromptUse::default() },
    }))
}

fn id_of(over: &OverrideForCall) -> PromptOverrideId {
    PromptOverrideId::from_uuid(over.id)
}

fn coverage_of(share: Option<f64>, runs: Option<&[Uuid]>) -> Coverage {
    match (share, runs) {
        (_, Some(runs)) => Coverage::Runs(runs.iter().copied().map(RunId::from_uuid).collect()),
        (Some(share), None) => Coverage::Share(share),
        (None, None) => Coverage::All,
    }
}

/// SHA-256, in hexadecimal, of a text; of the text, a zero byte and the settings where it comes with some.
fn content_hash(text: &str, model: Option<&str>) -> String {
    let mut hash = Sha256::new();
    hash.update(text);
    if let Some(model) = model {
        hash.update([0]);
        hash.update(model);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn of_include(agent: &str, error: &IncludeError) -> CallError {
    let code = match error {
        IncludeError::Unknown(_) => "agent.prompt_include_missing",
        IncludeError::Malformed(_) | IncludeError::Cycle(_) | IncludeError::Limit(_) => "agent.prompt_include_limit",
    };
    CallError::permanent(code, format!("the prompt of `{agent}` cannot be put together: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_that_of_the_text_unless_there_are_settings() {
        let text = content_hash("You write.", None);
        assert_eq!(text, "89e143fcc5d32bd287cbc03f3688b10c5e1a3011858832f2075a306ecad18d26", "as `sha256sum` says");
        assert_ne!(text, content_hash("You write.", Some("{}")));
        assert_ne!(content_hash("a", Some("b")), content_hash("ab", None));
    }
}
