//! Commands on prompt templates.

use armilla_domain::fault::Fault;
use armilla_domain::id::{PromptTemplateId, WorkspaceId};
use armilla_domain::prompt::{
    CheckedTemplate, Variable, check_template, expand, name_fault, references, values, variables_of,
};
use armilla_store::{
    NewPromptTemplate as NewRow, PromptTemplateChange, PromptTemplateRow, RevisedPromptTemplate, StoreError,
};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use tracing::info;

use super::PromptError;
use super::counts::flush_now;
use crate::{CommandError, Engine};

/// Names that an answer lists of the templates that include one.
const INCLUDERS_TOLD: u32 = 10;

/// A template to be.
#[derive(Debug)]
pub struct NewPromptTemplate {
    /// What others include it by.
    pub name: String,
    /// For people.
    pub category: Option<String>,
    /// The text.
    pub template: String,
    /// What it declares, to be checked; what it reads where absent.
    pub variables: Option<Value>,
}

/// A change of a template. What is not there stays as it is.
#[derive(Debug, Default)]
pub struct RevisePromptTemplate {
    /// Its name, as it is: others include it by that.
    pub name: Option<String>,
    /// For people; the inner `None` takes it away.
    pub category: Option<Option<String>>,
    /// The text.
    pub template: Option<String>,
    /// What it declares, to be checked.
    pub variables: Option<Value>,
}

/// A version of a template.
#[derive(Debug, Clone)]
pub struct PromptTemplateView {
    /// The template's id.
    pub id: PromptTemplateId,
    /// What others include it by.
    pub name: String,
    /// For people.
    pub category: Option<String>,
    /// Which version, from 1.
    pub version: i32,
    /// The text.
    pub template: String,
    /// What it declares.
    pub variables: Vec<Variable>,
    /// What it includes itself, as it is written: `name` or `name@version`.
    pub includes: Vec<String>,
    /// How often the template was rendered, by itself and inside of others.
    pub usage_count: u64,
    /// Who made the version.
    pub created_by: String,
    /// When the template was made.
    pub created_at: DateTime<Utc>,
    /// When the version was made, or the template last changed where this is the newest one.
    pub updated_at: DateTime<Utc>,
}

/// A template with values in it.
#[derive(Debug, Clone)]
pub struct RenderedPrompt {
    /// The text.
    pub text: String,
    /// The template's id.
    pub id: PromptTemplateId,
    /// The version that was rendered.
    pub version: i32,
    /// What it included, at any depth, each as `name@version`.
    pub includes: Vec<String>,
}

impl Engine {
    /// Checks a template and keeps it as version 1.
    ///
    /// # Errors
    /// [`CommandError::Invalid`] with every fault, [`PromptError::TemplateExists`] where the name is taken.
    pub async fn create_prompt_template(
        &self,
        workspace: WorkspaceId,
        new: NewPromptTemplate,
        by: &str,
    ) -> Result<PromptTemplateView, CommandError> {
        let NewPromptTemplate { name, category, template, variables } = new;
        let checked = self.check_prompt_template(workspace, &name, &template, variables.as_ref()).await?;
        let id = self.host.next_id();
        let content = Content::of(&checked)?;
        let row = NewRow {
            id,
            workspace,
            name: &name,
            category: category.as_deref(),
            content: content.change(&template, by),
        };
        if !self.host.store.create_prompt_template(row).await? {
            return Err(PromptError::TemplateExists(name).into());
        }
        info!(prompt_template.id = %id, workspace.id = %workspace, "Prompt template `{id}` was created");
        self.prompt_template(workspace, id).await
    }

    /// Changes a template. Another text, or other variables, make its next version.
    ///
    /// # Errors
    /// As [`Engine::create_prompt_template`], and [`PromptError::UnknownTemplate`], [`PromptError::TooManyTemplateVersions`].
    pub async fn revise_prompt_template(
        &self,
        workspace: WorkspaceId,
        id: PromptTemplateId,
        change: RevisePromptTemplate,
        by: &str,
    ) -> Result<PromptTemplateView, CommandError> {
        let old = self.prompt_template(workspace, id).await?;
        if change.name.is_some_and(|name| name != old.name) {
            let detail = format!("the template is called `{}`, and others may include it by that", old.name);
            return Err(CommandError::Invalid(vec![Fault::new("/name", "prompt.name", detail)]));
        }
        let template = change.template.unwrap_or(old.template);
        let variables = match change.variables {
            Some(variables) => variables,
            None => serde_json::to_value(&old.variables).map_err(corrupt)?,
        };
        let checked = self.check_prompt_template(workspace, &old.name, &template, Some(&variables)).await?;
        let content = Content::of(&checked)?;
        let category = change.category.as_ref().map(Option::as_deref);
        let revised = self.host.store.revise_prompt_template(workspace, id, category, content.change(&template, by));
        match revised.await?.ok_or(PromptError::UnknownTemplate(id))? {
            RevisedPromptTemplate::TooMany => Err(PromptError::TooManyTemplateVersions.into()),
            RevisedPromptTemplate::Done(version) => {
                info!(prompt_template.id = %id, version, workspace.id = %workspace, "Prompt template `{id}` was changed");
                self.prompt_template(workspace, id).await
            }
        }
    }

    /// A template at its newest version.
    ///
    /// # Errors
    /// [`PromptError::UnknownTemplate`], or where the database is away.
    pub async fn prompt_template(
        &self,
        workspace: WorkspaceId,
        id: PromptTemplateId,
    ) -> Result<PromptTemplateView, CommandError> {
        // A caller who has just rendered it sees that.
        flush_now(&self.host).await;
        let row = self.host.store.prompt_template(workspace, id).await?.ok_or(PromptError::UnknownTemplate(id))?;
        Ok(view(row)?)
    }

    /// Templates at their newest versions, newest first, from before `before` on; of one category where it is named.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn prompt_templates(
        &self,
        workspace: WorkspaceId,
        category: Option<&str>,
        before: Option<PromptTemplateId>,
        limit: u32,
    ) -> Result<Vec<PromptTemplateView>, CommandError> {
        let rows = self.host.store.prompt_templates(workspace, category, before, limit).await?;
        Ok(rows.into_iter().map(view).collect::<Result<_, _>>()?)
    }

    /// Versions of a template, newest first, from before `before` on.
    ///
    /// # Errors
    /// As [`Engine::prompt_template`].
    pub async fn prompt_template_versions(
        &self,
        workspace: WorkspaceId,
        id: PromptTemplateId,
        before: Option<i32>,
        limit: u32,
    ) -> Result<Vec<PromptTemplateView>, CommandError> {
        let rows = self.host.store.prompt_template_versions(workspace, id, before, limit).await?;
        if rows.is_empty() {
            self.prompt_template(workspace, id).await?;
        }
        Ok(rows.into_iter().map(view).collect::<Result<_, _>>()?)
    }

    /// Deletes a template that no other one includes. An agent whose prompt includes it fails at its next call.
    ///
    /// # Errors
    /// [`PromptError::UnknownTemplate`], [`PromptError::Included`], or where the database is away.
    pub async fn delete_prompt_template(
        &self,
        workspace: WorkspaceId,
        id: PromptTemplateId,
    ) -> Result<(), CommandError> {
        let template = self.prompt_template(workspace, id).await?;
        let by = self.host.store.templates_that_include(workspace, &template.name, INCLUDERS_TOLD).await?;
        if !by.is_empty() {
            return Err(PromptError::Included { by }.into());
        }
        if !self.host.store.delete_prompt_template(workspace, id).await? {
            return Err(PromptError::UnknownTemplate(id).into());
        }
        info!(prompt_template.id = %id, workspace.id = %workspace, "Prompt template `{id}` was deleted");
        Ok(())
    }

    /// Puts values into a template's newest version and what that includes.
    ///
    /// # Errors
    /// [`CommandError::Invalid`] with every variable that is missing, unknown or of another type, placed under `/variables`;
    /// [`PromptError::UnknownTemplate`], [`PromptError::Include`], [`PromptError::Render`].
    pub async fn render_prompt_template(
        &self,
        workspace: WorkspaceId,
        id: PromptTemplateId,
        given: &Map<String, Value>,
    ) -> Result<RenderedPrompt, CommandError> {
        let row = self.host.store.prompt_template(workspace, id).await?.ok_or(PromptError::UnknownTemplate(id))?;
        let own = view(row)?;
        let library = self.host.prompt_library(workspace, &own.template).await?;
        let expanded = expand(&own.template, Some(&own.name), &library).map_err(PromptError::Include)?;
        let declared = variables_of(&own.variables, &expanded.parts);
        let scope = values(&declared, given, "/variables").map_err(CommandError::Invalid)?;
        let text = self.host.templates.render(&expanded.source, &scope).map_err(PromptError::Render)?;
        let names = expanded.parts.iter().map(|part| part.name.as_str());
        self.host.prompt_counts.note_uses(workspace, names.chain([own.name.as_str()]));
        let includes = expanded.parts.iter().map(|part| format!("{}@{}", part.name, part.version)).collect();
        Ok(RenderedPrompt { text, id, version: own.version, includes })
    }

    async fn check_prompt_template(
        &self,
        workspace: WorkspaceId,
        name: &str,
        template: &str,
        variables: Option<&Value>,
    ) -> Result<CheckedTemplate, CommandError> {
        let library = self.host.prompt_library(workspace, template).await?;
        let checked = check_template(&self.host.templates, name, template, variables, &library);
        match name_fault(name) {
            None => checked.map_err(CommandError::Invalid),
            Some(why) => {
                let mut faults = vec![Fault::new("/name", "prompt.name", why)];
                faults.extend(checked.err().unwrap_or_default());
                Err(CommandError::Invalid(faults))
            }
        }
    }
}

/// A checked template as columns.
struct Content {
    variables: String,
    included: Vec<String>,
    pinned: Vec<String>,
}

impl Content {
    fn of(checked: &CheckedTemplate) -> Result<Self, StoreError> {
        let mut included: Vec<String> = checked.includes.iter().map(|reference| reference.name.clone()).collect();
        included.dedup();
        let pinned = checked.includes.iter().filter(|reference| reference.version.is_some());
        Ok(Self {
            variables: serde_json::to_string(&checked.variables).map_err(corrupt)?,
            included,
            pinned: pinned.map(ToString::to_string).collect(),
        })
    }

    fn change<'a>(&'a self, template: &'a str, by: &'a str) -> PromptTemplateChange<'a> {
        let Self { variables, included, pinned } = self;
        PromptTemplateChange { template, variables, included, pinned, by }
    }
}

fn corrupt(error: serde_json::Error) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

fn view(row: PromptTemplateRow) -> Result<PromptTemplateView, StoreError> {
    let variables = serde_json::from_str(&row.variables)
        .map_err(|error| StoreError::Corrupt(format!("the prompt template `{}`: {error}", row.name)))?;
    Ok(PromptTemplateView {
        id: PromptTemplateId::from_uuid(row.id),
        includes: references(&row.template).unwrap_or_default().iter().map(ToString::to_string).collect(),
        name: row.name,
        category: row.category,
        version: row.version,
        template: row.template,
        variables,
        usage_count: row.usage_count.unsigned_abs(),
        created_by: row.created_by,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}
