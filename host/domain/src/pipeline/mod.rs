//! Pipelines: agents in a row, each told what the one before it answered. A chat is the shortest of them.
//!
//! Nothing runs them but the engine that runs workflows: [`Pipeline::definition`] is the linear workflow that one is. What callers
//! write stands in the run's input and is named by expressions, so that no word of theirs is ever read as a template.

mod progress;
mod template;

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use serde_json::{Map, Value, json};

pub use progress::{StageRecord, StageStatus, stages_of};
pub use template::{
    Example, PIPELINE_TEMPLATES_MAX, PipelineTemplate, TEMPLATE_VARIABLE_CHARS_MAX, TEMPLATE_VARIABLES_MAX, Variable,
};

use crate::agent::{AGENT_ID_CHARS_MAX, is_kebab_case};
use crate::fault::{FAULTS_MAX, Fault, pointer};

/// Characters, not bytes, of what a pipeline works on, and of a chat's message: the limit that the API documents.
pub const PIPELINE_INPUT_CHARS_MAX: usize = 100_000;
/// Stages of one pipeline: the limit that the API documents.
pub const PIPELINE_STAGES_MAX: usize = 20;
/// Characters of what one stage adds to its agent's system prompt: as many as a system prompt of its own may have.
pub const STAGE_SUFFIX_CHARS_MAX: usize = crate::agent::SYSTEM_PROMPT_CHARS_MAX;
/// Characters of a workflow's name; the rest of a long pipeline's agents does not stand in it.
const NAME_CHARS_MAX: usize = 200;

/// Agents in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    /// What it is run as.
    pub origin: Origin,
    /// What the first agent is told.
    pub input: String,
    /// The agents, in the order in which they are asked.
    pub stages: Vec<Stage>,
}

/// Where a workflow comes from that nobody wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A pipeline.
    Pipeline,
    /// A message to one agent.
    Chat,
}

/// One agent of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Which agent.
    pub agent_id: String,
    /// What is added to its system prompt, to the letter; nothing where absent or empty.
    pub system_prompt_suffix: Option<String>,
}

impl Origin {
    /// What the store calls it, and what the codes of its faults begin with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pipeline => "pipeline",
            Self::Chat => "chat",
        }
    }

    /// What a caller calls the text that the first agent is told.
    const fn input_field(self) -> &'static str {
        match self {
            Self::Pipeline => "input",
            Self::Chat => "message",
        }
    }

    /// Where a caller writes the stage at `index`: a JSON pointer.
    fn stage_place(self, index: usize) -> String {
        match self {
            Self::Pipeline => format!("/stages/{index}"),
            Self::Chat => String::new(),
        }
    }

    fn step_id(self, index: usize) -> String {
        match self {
            Self::Pipeline => format!("stage-{}", index + 1),
            Self::Chat => "chat".to_owned(),
        }
    }

    fn variable(self, index: usize) -> String {
        match self {
            Self::Pipeline => format!("stage_{}", index + 1),
            Self::Chat => "answer".to_owned(),
        }
    }
}

impl Stage {
    fn suffix(&self) -> Option<&str> {
        self.system_prompt_suffix.as_deref().filter(|suffix| !suffix.is_empty())
    }

    /// The agent, where its id can be one's.
    fn possible_agent(&self) -> Option<&str> {
        Some(self.agent_id.as_str()).filter(|id| id.chars().count() <= AGENT_ID_CHARS_MAX && is_kebab_case(id))
    }
}

impl Pipeline {
    /// The agents that it names, each once, without what cannot be an agent's id.
    pub fn agents(&self) -> Vec<String> {
        let named: HashSet<&str> =
            self.stages.iter().take(PIPELINE_STAGES_MAX).filter_map(Stage::possible_agent).collect();
        named.into_iter().map(str::to_owned).collect()
    }

    /// Everything that is wrong with it, where only the agents in `known` are there: pointers into what its caller wrote, and at
    /// most [`FAULTS_MAX`] of them.
    pub fn faults(&self, known: &HashSet<String>) -> Vec<Fault> {
        let mut faults = self.input_fault();
        let mut fault = |place: String, what: &str, detail: String| {
            faults.push(Fault::new(place, format!("{}.{what}", self.origin.as_str()), detail));
        };
        match self.stages.len() {
            0 => fault("/stages".to_owned(), "no_stages", "a pipeline has at least one stage".to_owned()),
            1..=PIPELINE_STAGES_MAX => {}
            many => {
                let detail = format!("a pipeline has at most {PIPELINE_STAGES_MAX} stages, and this one {many}");
                fault("/stages".to_owned(), "too_many_stages", detail);
            }
        }
        for (index, stage) in self.stages.iter().take(PIPELINE_STAGES_MAX).enumerate() {
            let place = self.origin.stage_place(index);
            let is_known = stage.possible_agent().is_some_and(|id| known.contains(id));
            if stage.agent_id.is_empty() {
                fault(pointer(&place, "agentId"), "agent_empty", "`agentId` is empty".to_owned());
            } else if !is_known {
                // What somebody sent is not sent back at any length.
                let shown: String = stage.agent_id.chars().take(AGENT_ID_CHARS_MAX).collect();
                fault(pointer(&place, "agentId"), "unknown_agent", format!("there is no agent `{shown}`"));
            }
            let suffix_chars = stage.suffix().unwrap_or_default().chars().count();
            if suffix_chars > STAGE_SUFFIX_CHARS_MAX {
                let detail = format!(
                    "`systemPromptSuffix` has at most {STAGE_SUFFIX_CHARS_MAX} characters, and this one {suffix_chars}"
                );
                fault(pointer(&place, "systemPromptSuffix"), "suffix_too_long", detail);
            }
        }
        faults.truncate(FAULTS_MAX);
        faults
    }

    fn input_fault(&self) -> Vec<Fault> {
        let (origin, field) = (self.origin.as_str(), self.origin.input_field());
        let fault = |what: &str, detail: String| {
            vec![Fault::new(format!("/{field}"), format!("{origin}.{field}_{what}"), detail)]
        };
        match self.input.chars().count() {
            0 => fault("empty", format!("`{field}` is empty")),
            chars if chars > PIPELINE_INPUT_CHARS_MAX => fault(
                "too_long",
                format!("`{field}` has at most {PIPELINE_INPUT_CHARS_MAX} characters, and this one {chars}"),
            ),
            _ => Vec::new(),
        }
    }

    /// The workflow that it is: made of its agents and of which of them have a suffix, and of nothing else that a caller wrote.
    pub fn definition(&self) -> Value {
        let mut steps = Vec::new();
        for (index, stage) in self.stages.iter().enumerate() {
            let message = match index {
                0 => "{{ input.message }}".to_owned(),
                _ => format!("{{{{ {} }}}}", self.origin.variable(index - 1)),
            };
            let mut step = json!({
                "type": "agent",
                "id": self.origin.step_id(index),
                "agentId": stage.agent_id,
                "message": message,
                "outputVar": self.origin.variable(index),
            });
            if stage.suffix().is_some() {
                step["systemPromptSuffix"] = json!(format!("{{{{ input.systemPromptSuffixes[{index}] }}}}"));
            }
            steps.push(step);
        }
        let last = self.origin.variable(self.stages.len().saturating_sub(1));
        json!({ "inputSchema": self.input_schema(), "steps": steps, "output": { "output": last } })
    }

    /// For those who start the workflow by its id.
    fn input_schema(&self) -> Value {
        let mut properties = Map::new();
        let mut required = vec!["message"];
        properties.insert("message".to_owned(), json!({ "type": "string", "maxLength": PIPELINE_INPUT_CHARS_MAX }));
        if self.has_suffixes() {
            let stages = self.stages.len();
            let item = json!({ "type": ["string", "null"], "maxLength": STAGE_SUFFIX_CHARS_MAX });
            let suffixes = json!({ "type": "array", "minItems": stages, "maxItems": stages, "items": item });
            properties.insert("systemPromptSuffixes".to_owned(), suffixes);
            required.push("systemPromptSuffixes");
        }
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
    }

    /// What a run of [`Self::definition`] is given: everything that its caller wrote.
    pub fn run_input(&self) -> Value {
        let mut input = json!({ "message": self.input });
        if self.has_suffixes() {
            input["systemPromptSuffixes"] = self.stages.iter().map(Stage::suffix).collect();
        }
        input
    }

    /// What people read where its runs are listed by workflow.
    pub fn name(&self) -> String {
        let agents: Vec<&str> = self.stages.iter().map(|stage| stage.agent_id.as_str()).collect();
        let kind = match self.origin {
            Origin::Pipeline => "Pipeline",
            Origin::Chat => "Chat",
        };
        let name = format!("{kind}: {}", agents.join(" → "));
        match name.char_indices().nth(NAME_CHARS_MAX) {
            None => name,
            Some(_) => name.chars().take(NAME_CHARS_MAX - 1).chain(['…']).collect(),
        }
    }

    fn has_suffixes(&self) -> bool {
        self.stages.iter().any(|stage| stage.suffix().is_some())
    }
}
