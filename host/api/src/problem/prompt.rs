//! What the engine's errors on prompts are to a caller.

use armilla_engine::PromptError;

use super::command::sentence;
use super::{Code, Problem};

impl From<PromptError> for Problem {
    fn from(error: PromptError) -> Self {
        match &error {
            PromptError::UnknownTemplate(_) => Self::not_found(Code::PromptTemplateNotFound),
            PromptError::TemplateExists(_) => Self::new(Code::PromptTemplateExists, sentence(&error)),
            PromptError::Included { by } => {
                Self::new(Code::PromptTemplateIncluded, sentence(&error)).with("includedBy", serde_json::json!(by))
            }
            PromptError::TooManyTemplateVersions => Self::new(Code::PromptTemplateTooManyVersions, sentence(&error)),
            PromptError::Include(_) => Self::new(Code::PromptTemplateBroken, sentence(&error)),
            PromptError::Render(_) => Self::new(Code::PromptTemplateFailed, sentence(&error)),
            PromptError::UnknownVersion { .. } => Self::not_found(Code::PromptVersionNotFound),
            PromptError::TooManyVersions => Self::new(Code::PromptTooManyVersions, sentence(&error)),
            PromptError::UnknownLabel { .. } => Self::not_found(Code::PromptLabelNotFound),
            PromptError::NoOverride(_) => Self::not_found(Code::PromptOverrideNotFound),
        }
    }
}
