//! Versions of agents' prompts: what is sent and answered.

use armilla_domain::agent::{ModelSettings, SYSTEM_PROMPT_CHARS_MAX};
use armilla_domain::prompt::diff::{LineChange, PromptDiff, SettingChange};
use armilla_domain::prompt::{LABEL_CHARS_MAX, MESSAGE_CHARS_MAX};
use armilla_engine::{NewPromptVersion, PromptVersionView};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::PromptMetricsBody;
use crate::agents::ModelSchema;
use crate::wire::{Text, Timestamp};

/// A version to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreatePromptVersion {
    /// The template of the system prompt: it sees the variables of the run, and may include prompt templates.
    #[schema(value_type = String, min_length = 1, max_length = 100_000, example = "You research {{ topic }}.")]
    pub system_prompt: Text<1, { SYSTEM_PROMPT_CHARS_MAX }>,
    /// A label to put on it.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, example = "production")]
    pub label: Option<Text<1, { LABEL_CHARS_MAX }>>,
    /// Settings of the model that come before the agent's own while this version is in effect.
    #[schema(value_type = Option<ModelSchema>)]
    pub model: Option<Value>,
    /// What its author says of it.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 1_000)]
    pub message: Option<Text<1, { MESSAGE_CHARS_MAX }>>,
}

impl From<CreatePromptVersion> for NewPromptVersion {
    fn from(body: CreatePromptVersion) -> Self {
        Self {
            system_prompt: body.system_prompt.into_inner(),
            model: body.model,
            label: body.label.map(Text::into_inner),
            message: body.message.map(Text::into_inner),
        }
    }
}

/// A version of an agent's prompt. It never changes; labels move.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PromptVersion)]
pub struct PromptVersionBody {
    /// The agent's id.
    pub agent_id: String,
    /// Its number, from 1.
    #[schema(minimum = 1)]
    pub version: i32,
    /// The template of the system prompt.
    pub system_prompt: String,
    /// Settings of the model that come before the agent's own; empty without any.
    #[schema(value_type = ModelSchema)]
    pub model: ModelSettings,
    /// SHA-256, in hexadecimal: of the text, or, where it comes with settings, of the text, a zero byte and the settings as JSON.
    pub hash: String,
    /// Who made it: the `sub` of the token; null where that was not recorded yet.
    #[schema(required = true)]
    pub author: Option<String>,
    /// What its author said of it; null without a word.
    #[schema(required = true)]
    pub message: Option<String>,
    /// The label that it was made with, wherever that is now; null without one.
    #[schema(required = true)]
    pub label: Option<String>,
    /// The labels that are on it now, by name.
    pub labels: Vec<String>,
    /// The earlier version that was restored by it; null otherwise.
    #[schema(required = true)]
    pub restored_from: Option<i32>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl From<PromptVersionView> for PromptVersionBody {
    fn from(view: PromptVersionView) -> Self {
        Self {
            agent_id: view.agent,
            version: view.version,
            system_prompt: view.system_prompt,
            model: view.model,
            hash: view.hash,
            author: view.author,
            message: view.message,
            label: view.label,
            labels: view.labels,
            restored_from: view.restored_from,
            created_at: view.created_at.into(),
        }
    }
}

/// One version of an agent's prompt.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromptVersionResponse {
    /// The version.
    pub prompt_version: PromptVersionBody,
}

/// A page of versions, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromptVersionsResponse {
    /// The versions.
    pub prompt_versions: Vec<PromptVersionBody>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// What was done with a version.
#[derive(Debug, Serialize, ToSchema)]
pub struct PromptMetricsResponse {
    /// Under overrides or not.
    pub metrics: PromptMetricsBody,
}

/// Whether a line is new or gone.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LineOp {
    /// It is new.
    Add,
    /// It is gone.
    Remove,
}

/// A line that is new or gone.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PromptLineChange)]
pub struct LineBody {
    /// Which of the two.
    pub op: LineOp,
    /// Its number, from 1, in the text that it stands in.
    #[schema(minimum = 1)]
    pub line: usize,
    /// It, without its end.
    pub text: String,
}

impl From<LineChange> for LineBody {
    fn from(LineChange { added, line, text }: LineChange) -> Self {
        Self { op: if added { LineOp::Add } else { LineOp::Remove }, line, text }
    }
}

/// Variables that only one of two texts reads.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PromptVariablesChange)]
pub struct VariablesBody {
    /// Those that only the new one reads.
    pub added: Vec<String>,
    /// Those that only the old one reads.
    pub removed: Vec<String>,
}

/// A setting that differs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PromptSettingChange)]
pub struct SettingBody {
    /// Its name.
    #[schema(example = "temperature")]
    pub name: String,
    /// What it was; null where it was not set.
    #[schema(required = true)]
    pub from: Option<Value>,
    /// What it is; null where it is not set.
    #[schema(required = true)]
    pub to: Option<Value>,
}

impl From<SettingChange> for SettingBody {
    fn from(SettingChange { name, from, to }: SettingChange) -> Self {
        Self { name, from, to }
    }
}

/// What changed from one version to another.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PromptDiff)]
pub struct PromptDiffBody {
    /// The version that is compared.
    #[schema(minimum = 1)]
    pub from: i32,
    /// The version that it is compared with.
    #[schema(minimum = 1)]
    pub to: i32,
    /// Lines that are new or gone, from top to bottom.
    pub lines: Vec<LineBody>,
    /// Variables that are read by one of them only; what is included does not count.
    pub variables: VariablesBody,
    /// Settings of the model that differ.
    pub settings: Vec<SettingBody>,
}

impl PromptDiffBody {
    /// What changed from one version to another.
    pub(super) fn new(from: i32, to: i32, diff: PromptDiff) -> Self {
        Self {
            from,
            to,
            lines: diff.lines.into_iter().map(LineBody::from).collect(),
            variables: VariablesBody { added: diff.variables_added, removed: diff.variables_removed },
            settings: diff.settings.into_iter().map(SettingBody::from).collect(),
        }
    }
}

/// What changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct PromptDiffResponse {
    /// It.
    pub diff: PromptDiffBody,
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_bounds_that_are_documented_are_the_ones_that_hold() {
        let schema = json!(CreatePromptVersion::schema());
        assert_eq!(schema["properties"]["systemPrompt"]["maxLength"], json!(SYSTEM_PROMPT_CHARS_MAX));
        assert_eq!(schema["properties"]["label"]["maxLength"], json!(LABEL_CHARS_MAX));
        assert_eq!(schema["properties"]["message"]["maxLength"], json!(MESSAGE_CHARS_MAX));
        assert_eq!(schema["required"], json!(["systemPrompt"]));
    }
}
