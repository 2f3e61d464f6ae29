//! Prompts: what is sent and answered, for templates, versions, labels and overrides.

mod labels;
mod overrides;
mod template_handlers;
mod templates;
mod version_handlers;
mod versions;

use armilla_engine::PromptMetrics;
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use self::labels::*;
pub(crate) use self::overrides::*;
pub(crate) use self::template_handlers::*;
pub use self::templates::*;
pub(crate) use self::version_handlers::*;
pub use self::versions::*;

/// The most that a list of what has prompts in it gives at once: each may weigh some 100 KB.
pub const PROMPTS_PAGE_MAX: u32 = 25;
/// The most that a list of labels and their moves gives at once.
pub const LABELS_PAGE_MAX: u32 = 100;

/// What was done with a prompt. Counted on each host, and added up within about a second.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PromptMetrics)]
pub struct PromptMetricsBody {
    /// Calls of the agent that were made with it.
    pub calls: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// Tokens that the model read, where the agent said.
    pub input_tokens: u64,
    /// Tokens that the model wrote, where the agent said.
    pub output_tokens: u64,
    /// Milliseconds of all calls together.
    pub duration_ms: u64,
}

impl From<PromptMetrics> for PromptMetricsBody {
    fn from(metrics: PromptMetrics) -> Self {
        let PromptMetrics { calls, failures, input_tokens, output_tokens, duration_ms } = metrics;
        Self { calls, failures, input_tokens, output_tokens, duration_ms }
    }
}
