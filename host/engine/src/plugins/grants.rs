//! Commands on grants.

use armilla_domain::event::EventType;
use armilla_domain::event::data::PluginTold;
use armilla_domain::id::WorkspaceId;
use armilla_domain::plugin::Grant;
use armilla_store::{GrantRow, StoreError};
use serde_json::Value;
use tracing::info;

use super::GrantView;
use crate::{CommandError, Engine};

impl Engine {
    /// What a workspace granted a plugin.
    ///
    /// # Errors
    /// Where there is no such plugin.
    pub fn plugin_grant(&self, workspace: WorkspaceId, name: &str) -> Result<GrantView, CommandError> {
        let snapshot = self.host.catalog.snapshot();
        let entry = snapshot.visible(workspace, name).ok_or_else(|| CommandError::UnknownPlugin(name.to_owned()))?;
        let granted = snapshot.granted(workspace, entry.row.workspace, name);
        Ok(GrantView {
            revision: granted.map(|granted| granted.row.revision),
            grant: snapshot.grant(workspace, entry.row.workspace, name),
            by: granted.map(|granted| granted.row.by.clone()),
            at: granted.map(|granted| granted.row.at),
        })
    }

    /// Grants a plugin exactly this, from the next call on. A shared plugin is granted things by each workspace for itself.
    ///
    /// # Errors
    /// [`CommandError::Invalid`] with every fault; where there is no such plugin.
    pub async fn put_plugin_grant(
        &self,
        workspace: WorkspaceId,
        name: &str,
        grant: &Value,
        by: &str,
    ) -> Result<GrantView, CommandError> {
        let grant = Grant::check(grant).map_err(CommandError::Invalid)?;
        self.host.catalog.refresh().await?;
        let snapshot = self.host.catalog.snapshot();
        let unknown = || CommandError::UnknownPlugin(name.to_owned());
        let owner = snapshot.visible(workspace, name).ok_or_else(unknown)?.row.workspace;
        let body = serde_json::to_string(&grant).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let told = PluginTold { plugin: Some(name), grant: Some(&grant), by: Some(by), ..PluginTold::default() };
        let events = [self.host.event(EventType::PluginGranted, &told)];
        let row = self.host.store.put_grant(workspace, owner, name, &body, by, &events).await?;
        let row: GrantRow = row.ok_or_else(unknown)?;
        self.host.catalog.refresh().await?;
        info!(plugin.name = name, grant.revision = row.revision, workspace.id = %workspace, by, "The plugin `{name}` has a new grant");
        Ok(row.try_into()?)
    }

    /// Every revision of a workspace's grant of a plugin, newest first.
    ///
    /// # Errors
    /// Where there is no such plugin.
    pub async fn plugin_grant_history(
        &self,
        workspace: WorkspaceId,
        name: &str,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<GrantView>, CommandError> {
        let snapshot = self.host.catalog.snapshot();
        let entry = snapshot.visible(workspace, name).ok_or_else(|| CommandError::UnknownPlugin(name.to_owned()))?;
        let rows = self.host.store.grant_history(workspace, entry.row.workspace, name, before, limit).await?;
        Ok(rows.into_iter().map(GrantView::try_from).collect::<Result<_, _>>()?)
    }
}
