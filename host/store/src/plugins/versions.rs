//! Versions of plugins: added, made active, taken away.

use armilla_domain::id::WorkspaceId;

use crate::events::{EventColumns, NewEvent};
use crate::{Store, StoreError};

/// A version to be.
#[derive(Debug)]
pub struct NewPluginVersion<'a> {
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// The plugin.
    pub name: &'a str,
    /// SHA-256 of the component, which is kept already.
    pub digest: &'a str,
    /// How long it is.
    pub bytes: i64,
    /// JSON: what it says of itself.
    pub description: &'a str,
    /// Where it came from.
    pub source: &'a str,
    /// The trusted key that signed it.
    pub signed_by: Option<&'a str>,
    /// Who brought it.
    pub by: &'a str,
    /// Whether it becomes the active one. The first one does in any case.
    pub activate: bool,
}

/// A version that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddedVersion {
    /// From 1.
    pub version: i32,
    /// Whether it is active.
    pub active: bool,
    /// Whether it was there before: the same component makes no second version.
    pub existed: bool,
}

impl Store {
    /// Adds a version of a plugin, which comes into being with its first, unless a version of the same component is there.
    /// `events` are told only where it is new, the second of two only where it became active.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn add_plugin_version(
        &self,
        new: &NewPluginVersion<'_>,
        events: &[NewEvent; 2],
    ) -> Result<AddedVersion, StoreError> {
        if let Some(existing) = self.plugin_version_of(new.workspace, new.name, new.digest).await? {
            return Ok(existing);
        }
        let EventColumns { id, kind, data, .. } = EventColumns::of(events);
        let added = sqlx::query!(
            r#"with workspace as (insert into workspaces (id) values ($1) on conflict do nothing),
            plugin as (
                insert into plugins (workspace_id, name, active_version, last_version) values ($1, $2, 1, 1)
                on conflict (workspace_id, name) do update set last_version = plugins.last_version + 1, updated_at = now(),
                    active_version = case when $9 or plugins.active_version is null then plugins.last_version + 1
                        else plugins.active_version end
                returning last_version as version, active_version = last_version as active
            ), version as (
                insert into plugin_versions
                    (workspace_id, name, version, digest, bytes, description, source, signed_by, created_by)
                select $1, $2, plugin.version, $3, $4, $5, $6, $7, $8 from plugin
            ), activation as (
                insert into plugin_activations (workspace_id, name, version, by)
                select $1, $2, plugin.version, $8 from plugin where plugin.active
            ), changed as (
                update plugin_changes set revision = revision + 1
            ), told as (
                insert into events (id, workspace_id, type, data)
                select e.id, $1, e.type, jsonb_set(e.data::jsonb, '{version}', to_jsonb(plugin.version))::text
                from plugin, unnest($10::uuid[], $11::text[], $12::text[]) with ordinality as e(id, type, data, n)
                where e.n = 1 or plugin.active
            )
            select version as "version!", active as "active!" from plugin"#,
            new.workspace.uuid(),
            new.name,
            new.digest,
            new.bytes,
            new.description,
            new.source,
            new.signed_by,
            new.by,
            new.activate,
            &id,
            &kind as &[&str],
            &data as &[&str],
        )
        .fetch_one(&self.pool)
        .await;
        match added {
            Ok(row) => Ok(AddedVersion { version: row.version, active: row.active, existed: false }),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                // Somebody was quicker with the same component.
                let existing = self.plugin_version_of(new.workspace, new.name, new.digest).await?;
                existing.ok_or_else(|| StoreError::Failed(sqlx::Error::Database(error)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Notes whose signature a version carries that was there before.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn note_plugin_signature(
        &self,
        workspace: WorkspaceId,
        name: &str,
        digest: &str,
        key: &str,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "with noted as (
                update plugin_versions set signed_by = $4
                where workspace_id = $1 and name = $2 and digest = $3 and signed_by is distinct from $4
                returning version
            )
            update plugin_changes set revision = revision + 1 where exists (select 1 from noted)",
            workspace.uuid(),
            name,
            digest,
            key,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn plugin_version_of(
        &self,
        workspace: WorkspaceId,
        name: &str,
        digest: &str,
    ) -> Result<Option<AddedVersion>, StoreError> {
        let row = sqlx::query!(
            r#"select v.version, coalesce(v.version = p.active_version, false) as "active!"
            from plugin_versions v join plugins p using (workspace_id, name)
            where v.workspace_id = $1 and v.name = $2 and v.digest = $3"#,
            workspace.uuid(),
            name,
            digest,
        );
        let row = row.fetch_optional(&self.pool).await?;
        Ok(row.map(|row| AddedVersion { version: row.version, active: row.active, existed: true }))
    }

    /// Makes a version the active one. With `move_runs`, runs that are on another version go on with it. Says whether there is
    /// such a version.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn activate_plugin(
        &self,
        workspace: WorkspaceId,
        name: &str,
        version: i32,
        move_runs: bool,
        by: &str,
        events: &[NewEvent],
    ) -> Result<bool, StoreError> {
        let EventColumns { id, kind, data, .. } = EventColumns::of(events);
        let moved = sqlx::query_scalar!(
            r#"with moved as (
                update plugins p set active_version = $3, updated_at = now()
                where p.workspace_id = $1 and p.name = $2 and exists (
                    select 1 from plugin_versions v
                    where v.workspace_id = $1 and v.name = $2 and v.version = $3)
                returning p.name
            ), replaced as (
                update plugin_versions v
                set replaced_by = case when v.version = $3 then null when $4 then $3 else v.replaced_by end
                from moved where v.workspace_id = $1 and v.name = $2
            ), activation as (
                insert into plugin_activations (workspace_id, name, version, by) select $1, $2, $3, $5 from moved
            ), changed as (
                update plugin_changes set revision = revision + 1 where exists (select 1 from moved)
            ), told as (
                insert into events (id, workspace_id, type, data)
                select e.id, $1, e.type, e.data from moved, unnest($6::uuid[], $7::text[], $8::text[]) as e(id, type, data)
            )
            select count(*) as "moved!" from moved"#,
            workspace.uuid(),
            name,
            version,
            move_runs,
            by,
            &id,
            &kind as &[&str],
            &data as &[&str],
        );
        Ok(moved.fetch_one(&self.pool).await? == 1)
    }

    /// The version that was active before the present one and is still there.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn previous_plugin_version(&self, workspace: WorkspaceId, name: &str) -> Result<Option<i32>, StoreError> {
        let version = sqlx::query_scalar!(
            "select a.version from plugin_activations a
            join plugin_versions v using (workspace_id, name, version)
            join plugins p using (workspace_id, name)
            where a.workspace_id = $1 and a.name = $2 and a.version is distinct from p.active_version
            order by a.id desc limit 1",
            workspace.uuid(),
            name,
        );
        Ok(version.fetch_optional(&self.pool).await?)
    }

    /// Lets a plugin be called, or not at all. Says whether there is one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn set_plugin_enabled(
        &self,
        workspace: WorkspaceId,
        name: &str,
        enabled: bool,
        events: &[NewEvent],
    ) -> Result<bool, StoreError> {
        let EventColumns { id, kind, data, .. } = EventColumns::of(events);
        let set = sqlx::query_scalar!(
            r#"with set_ as (
                update plugins set enabled = $3, updated_at = now() where workspace_id = $1 and name = $2 returning name
            ), changed as (
                update plugin_changes set revision = revision + 1 where exists (select 1 from set_)
            ), told as (
                insert into events (id, workspace_id, type, data)
                select e.id, $1, e.type, e.data from set_, unnest($4::uuid[], $5::text[], $6::text[]) as e(id, type, data)
            )
            select count(*) as "set!" from set_"#,
            workspace.uuid(),
            name,
            enabled,
            &id,
            &kind as &[&str],
            &data as &[&str],
        );
        Ok(set.fetch_one(&self.pool).await? == 1)
    }

    /// Deletes a version that is not active. Says whether there was one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delete_plugin_version(
        &self,
        workspace: WorkspaceId,
        name: &str,
        version: i32,
    ) -> Result<bool, StoreError> {
        let deleted = sqlx::query_scalar!(
            r#"with gone as (
                delete from plugin_versions v using plugins p
                where v.workspace_id = $1 and v.name = $2 and v.version = $3
                    and p.workspace_id = v.workspace_id and p.name = v.name and p.active_version is distinct from v.version
                returning v.version
            ), changed as (
                update plugin_changes set revision = revision + 1 where exists (select 1 from gone)
            )
            select count(*) as "gone!" from gone"#,
            workspace.uuid(),
            name,
            version,
        );
        Ok(deleted.fetch_one(&self.pool).await? == 1)
    }

    /// Deletes a plugin with all its versions. Says whether there was one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delete_plugin(
        &self,
        workspace: WorkspaceId,
        name: &str,
        events: &[NewEvent],
    ) -> Result<bool, StoreError> {
        let EventColumns { id, kind, data, .. } = EventColumns::of(events);
        let deleted = sqlx::query_scalar!(
            r#"with gone as (
                delete from plugins where workspace_id = $1 and name = $2 returning name
            ), changed as (
                update plugin_changes set revision = revision + 1 where exists (select 1 from gone)
            ), told as (
                insert into events (id, workspace_id, type, data)
                select e.id, $1, e.type, e.data from gone, unnest($3::uuid[], $4::text[], $5::text[]) as e(id, type, data)
            )
            select count(*) as "gone!" from gone"#,
            workspace.uuid(),
            name,
            &id,
            &kind as &[&str],
            &data as &[&str],
        );
        Ok(deleted.fetch_one(&self.pool).await? == 1)
    }
}
