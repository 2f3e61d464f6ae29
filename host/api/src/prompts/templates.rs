//! Prompt templates: what is sent and answered. What a template may say is `domain::prompt`'s to judge.

use armilla_domain::agent::SYSTEM_PROMPT_CHARS_MAX;
use armilla_domain::id::PromptTemplateId;
use armilla_domain::prompt::{CATEGORY_CHARS_MAX, TEMPLATE_NAME_CHARS_MAX, Variable};
use armilla_engine::{NewPromptTemplate, PromptTemplateView, RenderedPrompt, RevisePromptTemplate as Revision};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use crate::wire::{Text, Timestamp, present};

/// Which templates are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CategoryQuery {
    /// Only those of this category.
    #[param(required = false)]
    pub category: Option<String>,
}

/// A template to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreatePromptTemplate {
    /// What others include it by: unique in the workspace, without `@`, quotes and backslashes.
    #[schema(value_type = String, min_length = 1, max_length = 100, example = "code-review")]
    pub name: Text<1, { TEMPLATE_NAME_CHARS_MAX }>,
    /// For people, and to filter by.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100, example = "engineering")]
    pub category: Option<Text<1, { CATEGORY_CHARS_MAX }>>,
    /// The text: Jinja, with `{% include "name" %}` and `{% include "name@3" %}` of other templates.
    #[schema(value_type = String, min_length = 1, max_length = 100_000, example = "Review this {{ language }} code.")]
    pub template: Text<1, { SYSTEM_PROMPT_CHARS_MAX }>,
    /// The variables that it reads: an array of names or of objects `{name, type?, required?, default?, description?}`, or an object
    /// by name. Types are `string` (the default), `number`, `integer`, `boolean`, `array` and `object`. Where absent, what it reads
    /// are texts that must be given.
    #[schema(example = json!(["language"]))]
    pub variables: Option<Value>,
}

impl From<CreatePromptTemplate> for NewPromptTemplate {
    fn from(body: CreatePromptTemplate) -> Self {
        Self {
            name: body.name.into_inner(),
            category: body.category.map(Text::into_inner),
            template: body.template.into_inner(),
            variables: body.variables,
        }
    }
}

/// A change of a template. What is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RevisePromptTemplate {
    /// Its name, which does not change: others include it by that.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 100)]
    pub name: Option<Text<1, { TEMPLATE_NAME_CHARS_MAX }>>,
    /// For people, and to filter by; null takes it away.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, required = false, min_length = 1, max_length = 100)]
    pub category: Option<Option<Text<1, { CATEGORY_CHARS_MAX }>>>,
    /// The text. One that differs makes the next version.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 100_000)]
    pub template: Option<Text<1, { SYSTEM_PROMPT_CHARS_MAX }>>,
    /// The variables that it reads, as at its creation.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Value, required = false)]
    pub variables: Option<Value>,
    // What was read may be sent back with its changes.
    /// As it was read; ignored.
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    pub id: IgnoredAny,
    /// As it was read; ignored.
    #[serde(default)]
    #[schema(value_type = i32, required = false)]
    pub version: IgnoredAny,
    /// As they were read; ignored.
    #[serde(default)]
    #[schema(value_type = Vec<String>, required = false)]
    pub includes: IgnoredAny,
    /// As it was read; ignored.
    #[serde(default)]
    #[schema(value_type = u64, required = false)]
    pub usage_count: IgnoredAny,
    /// As it was read; ignored.
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    pub created_by: IgnoredAny,
    /// As it was read; ignored.
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    pub created_at: IgnoredAny,
    /// As it was read; ignored.
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    pub updated_at: IgnoredAny,
}

impl From<RevisePromptTemplate> for Revision {
    fn from(body: RevisePromptTemplate) -> Self {
        Self {
            name: body.name.map(Text::into_inner),
            category: body.category.map(|category| category.map(Text::into_inner)),
            template: body.template.map(Text::into_inner),
            variables: body.variables,
        }
    }
}

/// A version of a prompt template.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PromptTemplate)]
pub struct PromptTemplateBody {
    /// The template's id.
    #[schema(value_type = String, example = "pt_0196f0c45e7a7c3f8d1b2a3c4d5e6f70")]
    pub id: PromptTemplateId,
    /// What others include it by.
    pub name: String,
    /// For people; null without one.
    #[schema(required = true)]
    pub category: Option<String>,
    /// Which version this is, from 1.
    #[schema(minimum = 1)]
    pub version: i32,
    /// The text.
    pub template: String,
    /// The variables that it declares.
    #[schema(value_type = Vec<VariableSchema>)]
    pub variables: Vec<Variable>,
    /// What it includes itself, as it is written: `name` or `name@version`.
    pub includes: Vec<String>,
    /// How often the template was rendered, by itself and inside of others. Counted within about a second.
    pub usage_count: u64,
    /// Who made the version: the `sub` of the token.
    pub created_by: String,
    /// When the template was made.
    pub created_at: Timestamp,
    /// When the version was made, or the template last changed where this is the newest one.
    pub updated_at: Timestamp,
}

impl From<PromptTemplateView> for PromptTemplateBody {
    fn from(view: PromptTemplateView) -> Self {
        Self {
            id: view.id,
            name: view.name,
            category: view.category,
            version: view.version,
            template: view.template,
            variables: view.variables,
            includes: view.includes,
            usage_count: view.usage_count,
            created_by: view.created_by,
            created_at: view.created_at.into(),
            updated_at: view.updated_at.into(),
        }
    }
}

/// One prompt template.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromptTemplateResponse {
    /// The template.
    pub prompt_template: PromptTemplateBody,
}

/// A page of prompt templates, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromptTemplatesResponse {
    /// The templates.
    pub prompt_templates: Vec<PromptTemplateBody>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// A page of versions of a prompt template, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromptTemplateVersionsResponse {
    /// The versions.
    pub versions: Vec<PromptTemplateBody>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// Values for a template.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RenderPromptTemplate {
    /// The values by name: every variable that must be given, and none that is not declared.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub variables: Map<String, Value>,
}

/// A template with values in it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RenderedPromptResponse {
    /// The text.
    pub rendered: String,
    /// The template's id.
    #[schema(value_type = String)]
    pub template_id: PromptTemplateId,
    /// The version that was rendered.
    #[schema(minimum = 1)]
    pub version: i32,
    /// What it included, at any depth, each as `name@version`.
    pub includes: Vec<String>,
}

impl From<RenderedPrompt> for RenderedPromptResponse {
    fn from(RenderedPrompt { text, id, version, includes }: RenderedPrompt) -> Self {
        Self { rendered: text, template_id: id, version, includes }
    }
}

// The domain knows nothing of OpenAPI, so the schema of its type stands here. A test compares.

/// A variable that a template declares.
#[derive(ToSchema)]
#[schema(as = PromptVariable, rename_all = "camelCase")]
#[expect(dead_code, reason = "a schema, never a value")]
pub struct VariableSchema {
    /// What the template calls it.
    name: String,
    /// What it is.
    #[schema(rename = "type")]
    kind: VariableTypeSchema,
    /// Whether it must be given. What need not be, and is not, is its default, or null without one.
    required: bool,
    /// What it is where it is not given.
    #[schema(nullable = false)]
    default: Option<Value>,
    /// For people.
    #[schema(nullable = false, max_length = 1_000)]
    description: Option<String>,
}

/// What a variable is.
#[derive(ToSchema)]
#[schema(as = PromptVariableType, rename_all = "lowercase")]
#[expect(dead_code, reason = "a schema, never a value")]
enum VariableTypeSchema {
    String,
    Number,
    Integer,
    Boolean,
    Array,
    Object,
}

#[cfg(test)]
mod tests {
    use armilla_domain::prompt::VariableType;
    use serde_json::json;
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn a_variable_is_documented_as_the_domain_writes_it() {
        let mut referenced = Vec::new();
        VariableSchema::schemas(&mut referenced);
        let referenced: Map<String, Value> = referenced.into_iter().map(|(name, part)| (name, json!(part))).collect();
        let mut schema = json!(VariableSchema::schema());
        schema["additionalProperties"] = json!(false);
        schema["components"] = json!({ "schemas": referenced });
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let text = Variable::required_text("a");
        let full = Variable {
            kind: VariableType::Array,
            required: false,
            default: Some(json!([1])),
            description: Some("d".into()),
            ..text.clone()
        };
        for variable in [text, full] {
            let faults: Vec<_> = validator.iter_errors(&json!(variable)).map(|fault| fault.to_string()).collect();
            assert!(faults.is_empty(), "{faults:?}");
        }
    }

    #[test]
    fn the_bounds_that_are_documented_are_the_ones_that_hold() {
        let schema = json!(CreatePromptTemplate::schema());
        assert_eq!(schema["properties"]["name"]["maxLength"], json!(TEMPLATE_NAME_CHARS_MAX));
        assert_eq!(schema["properties"]["category"]["maxLength"], json!(CATEGORY_CHARS_MAX));
        assert_eq!(schema["properties"]["template"]["maxLength"], json!(SYSTEM_PROMPT_CHARS_MAX));
        assert_eq!(schema["required"], json!(["name", "template"]));
        assert_eq!(json!(RevisePromptTemplate::schema()).get("required"), None);
    }
}
