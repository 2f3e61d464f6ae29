//! Pipeline templates as they are shown.

use armilla_domain::pipeline::{Example, PipelineTemplate, Variable};
use armilla_engine::{FileFault, TemplatesView};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::PipelineStage;
use crate::wire::Timestamp;

/// Every pipeline template, in the order written. A file has few enough of them for one answer.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineTemplatesResponse {
    /// The templates.
    pub templates: Vec<PipelineTemplateBody>,
    /// Where they come from.
    pub source: TemplatesSourceBody,
    /// Always null: the list is whole.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// A pipeline with blanks in it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PipelineTemplate)]
pub struct PipelineTemplateBody {
    /// What `POST /pipeline-templates/execute` calls it.
    #[schema(example = "research-article")]
    pub name: String,
    /// What it is good for.
    pub description: String,
    /// The agents, in the order in which they are asked; their suffixes are templates over the variables.
    pub stages: Vec<PipelineStage>,
    /// The blanks, by name.
    #[serde(serialize_with = "as_object")]
    #[schema(value_type = BTreeMap<String, TemplateVariableBody>)]
    pub variables: Vec<(String, TemplateVariableBody)>,
    /// What to try it with; null where its author says nothing.
    #[schema(required = true)]
    pub example: Option<TemplateExampleBody>,
}

/// A blank.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PipelineTemplateVariable)]
pub struct TemplateVariableBody {
    /// What it is for; null where its author says nothing.
    #[schema(required = true)]
    pub description: Option<String>,
    /// What it is where nobody says; null where it has no default. One without a default that is not required is empty text.
    pub default: Value,
    /// Whether somebody must say.
    pub required: bool,
}

/// What to try a template with.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PipelineTemplateExample)]
pub struct TemplateExampleBody {
    /// What the pipeline works on.
    pub input: String,
    /// Values of variables.
    #[schema(value_type = Object)]
    pub variables: Map<String, Value>,
}

/// Where the templates come from.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PipelineTemplatesSource)]
pub struct TemplatesSourceBody {
    /// `builtIn`, or a `file` of the operator's.
    pub kind: &'static str,
    /// The file's name, without its folder; null where there is none.
    #[schema(required = true, example = "pipeline-templates.yml")]
    pub file: Option<String>,
    /// When the file was read that they are from; null where there is none.
    #[schema(required = true)]
    pub read_at: Option<Timestamp>,
    /// What is wrong with the file as it is now: the templates are then the last good ones. Null where nothing is.
    #[schema(required = true)]
    pub fault: Option<TemplatesFaultBody>,
}

/// What is wrong with the file of templates.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PipelineTemplatesFault)]
pub struct TemplatesFaultBody {
    /// All of it in one text, for people.
    pub detail: String,
    /// Each fault by itself, up to 100.
    pub errors: Vec<FileFaultBody>,
}

/// One thing that is wrong with a file.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = FileFault)]
pub struct FileFaultBody {
    /// On which line, from 1; null where none can be told.
    #[schema(required = true, minimum = 1)]
    pub line: Option<u64>,
    /// What kind: stable, dotted, for programs.
    #[schema(example = "pipeline_template.undeclared_variable")]
    pub code: String,
    /// What and why, for people.
    pub detail: String,
}

impl From<TemplatesView> for PipelineTemplatesResponse {
    fn from(view: TemplatesView) -> Self {
        Self {
            templates: view.templates.iter().cloned().map(PipelineTemplateBody::from).collect(),
            source: TemplatesSourceBody {
                kind: if view.file.is_some() { "file" } else { "builtIn" },
                read_at: view.read_at.map(Timestamp),
                fault: (!view.faults.is_empty()).then(|| TemplatesFaultBody::from(&*view.faults)),
                file: view.file,
            },
            next_cursor: None,
        }
    }
}

impl From<&[FileFault]> for TemplatesFaultBody {
    fn from(faults: &[FileFault]) -> Self {
        let detail: Vec<_> = faults.iter().map(ToString::to_string).collect();
        let errors =
            faults.iter().cloned().map(|FileFault { line, code, detail }| FileFaultBody { line, code, detail });
        Self { detail: detail.join("; "), errors: errors.collect() }
    }
}

impl From<PipelineTemplate> for PipelineTemplateBody {
    fn from(template: PipelineTemplate) -> Self {
        let stages = template
            .stages
            .into_iter()
            .map(|stage| PipelineStage { agent_id: stage.agent_id, system_prompt_suffix: stage.system_prompt_suffix });
        let variables = template.variables.into_iter().map(|Variable { name, description, default, required }| {
            (name, TemplateVariableBody { description, default: default.unwrap_or_default(), required })
        });
        Self {
            name: template.name,
            description: template.description,
            stages: stages.collect(),
            variables: variables.collect(),
            example: template.example.map(|Example { input, variables }| TemplateExampleBody { input, variables }),
        }
    }
}

/// In the order written.
fn as_object<S: Serializer>(fields: &[(String, TemplateVariableBody)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(fields.iter().map(|(name, field)| (name, field)))
}
