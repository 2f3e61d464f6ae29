//! Why a command on prompts was not carried out.

use armilla_domain::call::CallError;
use armilla_domain::id::PromptTemplateId;
use armilla_domain::prompt::IncludeError;
use armilla_store::{PROMPT_TEMPLATE_VERSIONS_MAX, PROMPT_VERSIONS_MAX};

/// Why a command on prompts was not carried out. What belongs to another workspace is unknown, like what never was.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// There is no such template.
    #[error("there is no prompt template `{0}`")]
    UnknownTemplate(PromptTemplateId),
    /// The name is taken.
    #[error("there is a prompt template `{0}` already")]
    TemplateExists(String),
    /// Others include the template.
    #[error("other templates include it: {}", .by.join(", "))]
    Included {
        /// Their names, or some of them.
        by: Vec<String>,
    },
    /// The template has as many versions as it may.
    #[error("the prompt template has {PROMPT_TEMPLATE_VERSIONS_MAX} versions already; a new one begins anew")]
    TooManyTemplateVersions,
    /// What the template includes is not there any more, or became too much.
    #[error("the template cannot be put together: {0}")]
    Include(IncludeError),
    /// The template could not be rendered.
    #[error("the template cannot be rendered: {}", .0.message)]
    Render(CallError),
    /// There is no such version of the agent's prompt.
    #[error("the prompt of `{agent}` has no version {version}")]
    UnknownVersion {
        /// The agent.
        agent: String,
        /// What was asked for.
        version: i32,
    },
    /// The prompt has as many versions as it may.
    #[error("the agent's prompt has {PROMPT_VERSIONS_MAX} versions already; a copy of the agent begins anew")]
    TooManyVersions,
    /// There is no such label.
    #[error("no version of the prompt of `{agent}` carries the label `{label}`")]
    UnknownLabel {
        /// The agent.
        agent: String,
        /// What was asked for.
        label: String,
    },
    /// No override is in effect.
    #[error("no override of the prompt of `{0}` is in effect")]
    NoOverride(String),
}
