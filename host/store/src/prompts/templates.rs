//! Prompt templates and their versions.

use armilla_domain::id::{PromptTemplateId, WorkspaceId};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{Store, StoreError};

/// Versions of one template: a change every working day for four years.
pub const PROMPT_TEMPLATE_VERSIONS_MAX: i32 = 1_000;

/// A prompt template to be.
#[derive(Debug)]
pub struct NewPromptTemplate<'a> {
    /// Its id.
    pub id: PromptTemplateId,
    /// Whose.
    pub workspace: WorkspaceId,
    /// What others include it by.
    pub name: &'a str,
    /// For people.
    pub category: Option<&'a str>,
    /// Its first version.
    pub content: PromptTemplateChange<'a>,
}

/// What a version of a template says.
#[derive(Debug, Clone, Copy)]
pub struct PromptTemplateChange<'a> {
    /// The text.
    pub template: &'a str,
    /// JSON: an array of `armilla_domain::prompt::Variable`.
    pub variables: &'a str,
    /// Names of what it includes.
    pub included: &'a [String],
    /// What it includes and stays on, as `name@version`.
    pub pinned: &'a [String],
    /// Who makes it.
    pub by: &'a str,
}

/// A version of a prompt template.
#[derive(Debug, Clone)]
pub struct PromptTemplateRow {
    /// The template's id.
    pub id: Uuid,
    /// What others include it by.
    pub name: String,
    /// For people.
    pub category: Option<String>,
    /// The version, from 1.
    pub version: i32,
    /// The text.
    pub template: String,
    /// JSON: an array of `armilla_domain::prompt::Variable`.
    pub variables: String,
    /// How often the template was rendered, by itself and inside of others.
    pub usage_count: i64,
    /// Who made the version.
    pub created_by: String,
    /// When the template was made.
    pub created_at: DateTime<Utc>,
    /// When the version was made, or the template last changed where this is the newest one.
    pub updated_at: DateTime<Utc>,
}

/// A version of a template that something includes.
#[derive(Debug, Clone)]
pub struct TemplatePartRow {
    /// The template's name.
    pub name: String,
    /// The version.
    pub version: i32,
    /// The text.
    pub template: String,
    /// JSON: an array of `armilla_domain::prompt::Variable`.
    pub variables: String,
}

/// What became of a template that was to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevisedPromptTemplate {
    /// It is so now; this is its newest version.
    Done(i32),
    /// Nothing was changed: it has [`PROMPT_TEMPLATE_VERSIONS_MAX`] versions already.
    TooMany,
}

impl Store {
    /// Keeps a template as version 1, and its workspace if that is new. Says whether the name was free.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn create_prompt_template(&self, new: NewPromptTemplate<'_>) -> Result<bool, StoreError> {
        let made = sqlx::query_scalar!(
            "with workspace as (insert into workspaces (id) values ($2) on conflict do nothing),
            made as (
                insert into prompt_templates (id, workspace_id, name, category, version) values ($1, $2, $3, $4, 1)
                on conflict (workspace_id, name) do nothing
                returning id
            )
            insert into prompt_template_versions (template_id, version, template, variables, included, pinned, created_by)
            select id, 1, $5, $6, $7, $8, $9 from made
            returning version",
            new.id.uuid(),
            new.workspace.uuid(),
            new.name,
            new.category,
            new.content.template,
            new.content.variables,
            new.content.included,
            new.content.pinned,
            new.content.by,
        );
        Ok(made.fetch_optional(&self.pool).await?.is_some())
    }

    /// Changes a template: its category where that is there, the inner `None` taking it away, and its content, which is the next
    /// version where it is another one than the newest version's. `None` where there is no such template.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn revise_prompt_template(
        &self,
        workspace: WorkspaceId,
        id: PromptTemplateId,
        category: Option<Option<&str>>,
        content: PromptTemplateChange<'_>,
    ) -> Result<Option<RevisedPromptTemplate>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let newest = sqlx::query_scalar!(
            "select version from prompt_templates where workspace_id = $1 and id = $2 for no key update",
            workspace.uuid(),
            id.uuid(),
        );
        let Some(newest) = newest.fetch_optional(&mut *transaction).await? else { return Ok(None) };
        let made = sqlx::query_scalar!(
            "insert into prompt_template_versions (template_id, version, template, variables, included, pinned, created_by)
            select $1, $2::int + 1, $3, $4, $5, $6, $7
            from prompt_template_versions where template_id = $1 and version = $2 and (template <> $3 or variables <> $4)
            returning version",
            id.uuid(),
            newest,
            content.template,
            content.variables,
            content.included,
            content.pinned,
            content.by,
        );
        let made = made.fetch_optional(&mut *transaction).await?;
        if made.is_some() && newest >= PROMPT_TEMPLATE_VERSIONS_MAX {
            transaction.rollback().await?;
            return Ok(Some(RevisedPromptTemplate::TooMany));
        }
        sqlx::query!(
            "update prompt_templates set version = $2, category = case when $3 then $4 else category end,
                updated_at = case when version <> $2 or ($3 and category is distinct from $4) then now() else updated_at end
            where id = $1",
            id.uuid(),
            made.unwrap_or(newest),
            category.is_some(),
            category.flatten(),
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Some(RevisedPromptTemplate::Done(made.unwrap_or(newest))))
    }

    /// A template of a workspace, at its newest version.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn prompt_template(
        &self,
        workspace: WorkspaceId,
        id: PromptTemplateId,
    ) -> Result<Option<PromptTemplateRow>, StoreError> {
        let row = sqlx::query_as!(
            PromptTemplateRow,
            r#"select t.id, t.name, t.category, t.version, v.template, v.variables, t.usage_count, v.created_by,
                t.created_at, t.updated_at
            from prompt_templates t join prompt_template_versions v on v.template_id = t.id and v.version = t.version
            where t.workspace_id = $1 and t.id = $2"#,
            workspace.uuid(),
            id.uuid(),
        );
        Ok(row.fetch_optional(&self.pool).await?)
    }
    /// Templates of a workspace at their newest versions, newest first, from before `before` on; of one category where it is named.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn prompt_templates(
        &self,
        workspace: WorkspaceId,
        category: Option<&str>,
        before: Option<PromptTemplateId>,
        limit: u32,
    ) -> Result<Vec<PromptTemplateRow>, StoreError> {
        let rows = sqlx::query_as!(
            PromptTemplateRow,
            "select t.id, t.name, t.category, t.version, v.template, v.variables, t.usage_count, v.created_by, t.created_at,
                t.updated_at
            from prompt_templates t join prompt_template_versions v on v.template_id = t.id and v.version = t.version
            where t.workspace_id = $1 and ($2::text is null or t.category = $2) and ($3::uuid is null or t.id < $3)
            order by t.id desc limit $4",
            workspace.uuid(),
            category,
            before.map(PromptTemplateId::uuid),
            i64::from(limit),
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// Versions of a template of a workspace, newest first, from before `before` on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn prompt_template_versions(
        &self,
        workspace: WorkspaceId,
        id: PromptTemplateId,
        before: Option<i32>,
        limit: u32,
    ) -> Result<Vec<PromptTemplateRow>, StoreError> {
        let rows = sqlx::query_as!(
            PromptTemplateRow,
            "select t.id, t.name, t.category, v.version, v.template, v.variables, t.usage_count, v.created_by, t.created_at,
                v.created_at as updated_at
            from prompt_templates t join prompt_template_versions v on v.template_id = t.id
            where t.workspace_id = $1 and t.id = $2 and ($3::int is null or v.version < $3)
            order by v.version desc limit $4",
            workspace.uuid(),
            id.uuid(),
            before,
            i64::from(limit),
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// What includes lead to: the newest versions of the templates in `names`, and of those in `pinned_names` the versions in
    /// `pinned_versions`, pair by pair. Says of each whether it is a pinned one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn template_parts(
        &self,
        workspace: WorkspaceId,
        names: &[String],
        pinned_names: &[String],
        pinned_versions: &[i32],
    ) -> Result<Vec<(TemplatePartRow, bool)>, StoreError> {
        let rows = sqlx::query!(
            r#"select t.name as "name!", v.version as "version!", v.template as "template!", v.variables as "variables!",
                false as "pinned!"
            from prompt_templates t join prompt_template_versions v on v.template_id = t.id and v.version = t.version
            where t.workspace_id = $1 and t.name = any($2)
            union all
            select t.name, v.version, v.template, v.variables, true
            from unnest($3::text[], $4::int[]) wanted(name, version)
            join prompt_templates t on t.workspace_id = $1 and t.name = wanted.name
            join prompt_template_versions v on v.template_id = t.id and v.version = wanted.version"#,
            workspace.uuid(),
            names,
            pinned_names,
            pinned_versions,
        )
        .fetch_all(&self.pool)
        .await?;
        let part = rows.into_iter().map(|row| {
            let part = TemplatePartRow {
                name: row.name,
                version: row.version,
                template: row.template,
                variables: row.variables,
            };
            (part, row.pinned)
        });
        Ok(part.collect())
    }

    /// Names of other templates, at most `limit`, that include one of a workspace: in their newest version, or in one that another
    /// template stays on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn templates_that_include(
        &self,
        workspace: WorkspaceId,
        name: &str,
        limit: u32,
    ) -> Result<Vec<String>, StoreError> {
        let names = sqlx::query_scalar!(
            "select distinct t.name from prompt_templates t join prompt_template_versions v on v.template_id = t.id
            where t.workspace_id = $1 and t.name <> $2 and $2 = any(v.included) and (
                v.version = t.version or exists (
                    select from prompt_templates o join prompt_template_versions p on p.template_id = o.id
                    where o.workspace_id = $1 and (t.name || '@' || v.version) = any(p.pinned)
                )
            )
            order by t.name limit $3",
            workspace.uuid(),
            name,
            i64::from(limit),
        );
        Ok(names.fetch_all(&self.pool).await?)
    }

    /// Deletes a template with its versions. Says whether there was one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delete_prompt_template(
        &self,
        workspace: WorkspaceId,
        id: PromptTemplateId,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "delete from prompt_templates where workspace_id = $1 and id = $2",
            workspace.uuid(),
            id.uuid(),
        );
        Ok(done.execute(&self.pool).await?.rows_affected() == 1)
    }
}
