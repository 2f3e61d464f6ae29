//! Prompt templates, versions of agents' prompts, their labels, overrides and metrics.

mod calls;
mod labels;
mod metrics;
mod overrides;
mod templates;
mod versions;

pub use calls::{AgentForCall, OverrideForCall, PromptForCall};
pub use labels::{LabelMove, MovedLabel, PromptLabelRow, PromptMoveRow};
pub use metrics::{NO_VERSION, PromptCount, PromptMetricsRow};
pub use overrides::{NewPromptOverride, PromptOverrideRow};
pub use templates::{
    NewPromptTemplate, PROMPT_TEMPLATE_VERSIONS_MAX, PromptTemplateChange, PromptTemplateRow, RevisedPromptTemplate,
    TemplatePartRow,
};
pub(crate) use versions::keep_prompt_of_config;
pub use versions::{ConfigPrompt, MadePromptVersion, NewPromptVersion, PROMPT_VERSIONS_MAX, PromptVersionRow};

use armilla_domain::id::WorkspaceId;
use sqlx::PgConnection;

use crate::StoreError;
use crate::events::in_turn;

/// Locks the prompts of an agent until the end of the transaction, so that of changes at the same time each sees what the one before
/// it left. Says whether there is such an agent.
pub(crate) async fn lock_prompts(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    agent: &str,
) -> Result<bool, StoreError> {
    in_turn(&mut *connection, &format!("{workspace} {agent}")).await?;
    let found = sqlx::query_scalar!(
        "select id from agents where workspace_id = $1 and id = $2 for no key update",
        workspace.uuid(),
        agent,
    );
    Ok(found.fetch_optional(connection).await?.is_some())
}
