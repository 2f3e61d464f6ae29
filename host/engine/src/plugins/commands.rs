//! Commands on plugins.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use armilla_domain::call::{CallContext, CallError, ErrorClass};
use armilla_domain::id::{RunId, WorkspaceId};
use armilla_domain::plugin::Grant;
use armilla_registry::signature::Signature;
use armilla_sandbox::{Access, Answer, Plugin};
use armilla_store::{GrantRow, StoreError};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tracing::{info, warn};
use uuid::Uuid;

use super::catalog::Entry;
use super::install::{Activation, Install, InstallError, Installed, Loading};
use super::resolve::Resolved;
use super::views::{EventView, GrantView, LoadView, PluginView, VersionView};
use super::{FolderFault, OciSource, SHARED, ToolView, Upload, UploadError};
use crate::host::Host;
use crate::{CommandError, Engine};

/// How long an activation waits for its component: within what a request may take.
const LOAD_MAX: Duration = Duration::from_secs(240);
/// Runs that an answer lists: enough to see what is going on.
const RUNS_LISTED_MAX: u32 = 100;
/// How long the same denial is not told as an event again: a loop of calls must not fill the database.
const DENIAL_REPEATED_AFTER: Duration = Duration::from_secs(60);
/// Denials that are remembered for that; past it none is told until some are old.
const DENIALS_REMEMBERED_MAX: usize = 10_000;
/// How long a call takes at most that belongs to no run.
const INVOKE_TIMEOUT: Duration = Duration::from_secs(120);

/// Which version shall be active.
#[derive(Debug, Clone, Copy)]
pub struct Activate {
    /// From 1.
    pub version: i32,
    /// Whether runs that are on another version go on with this one.
    pub move_runs: bool,
}

/// Why something was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// The version is the active one.
    #[error("version {0} is the active one; activate another first")]
    Active(i32),
    /// Unfinished runs are on it.
    #[error("unfinished runs are on it")]
    InUse {
        /// Those of the caller's workspace, the oldest first, up to 100.
        runs: Vec<RunId>,
        /// Whether runs of other workspaces are among them.
        elsewhere: bool,
    },
    /// It could not be done.
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl From<StoreError> for DeleteError {
    fn from(error: StoreError) -> Self {
        Self::Command(error.into())
    }
}

impl Engine {
    /// Begins to receive a component.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub async fn begin_upload(&self) -> Result<Upload, UploadError> {
        let place = Arc::clone(&self.host.uploads).try_acquire_owned().map_err(|_| UploadError::TooMany)?;
        let name = format!("upload-{}.wasm", self.host.event("", &Value::Null).id.simple());
        Upload::begin(&self.host.policy.uploads, &name, place).await
    }

    /// Makes a version of a plugin of a component that was received, and answers with its end where that comes within `bound`,
    /// else with what to ask for. It goes on either way.
    ///
    /// # Errors
    /// What is wrong with the component; where the database is away.
    pub async fn install_upload(
        &self,
        workspace: WorkspaceId,
        upload: Upload,
        signature: Option<Signature>,
        by: &str,
        activate: bool,
        bound: Duration,
    ) -> Result<Loading, InstallError> {
        let (host, by) = (Arc::clone(&self.host), by.to_owned());
        let work = async move {
            let received = upload.finish().await?;
            let activate = if activate { Activation::Now } else { Activation::Later };
            let install = Install { workspace, received, source: "upload".to_owned(), signature, by, activate };
            host.install(install).await
        };
        self.load_within(workspace, work, bound).await
    }

    /// As [`Engine::install_upload`], with a component from a registry.
    ///
    /// # Errors
    /// As [`Engine::install_upload`], and where it cannot be fetched.
    pub async fn install_from_registry(
        &self,
        workspace: WorkspaceId,
        source: OciSource,
        signature: Option<Signature>,
        by: &str,
        activate: bool,
        bound: Duration,
    ) -> Result<Loading, InstallError> {
        let (host, by) = (Arc::clone(&self.host), by.to_owned());
        let work = async move { host.pull(workspace, source, signature, by, activate).await };
        self.load_within(workspace, work, bound).await
    }

    async fn load_within(
        &self,
        workspace: WorkspaceId,
        work: impl Future<Output = Result<Installed, InstallError>> + Send + 'static,
        bound: Duration,
    ) -> Result<Loading, InstallError> {
        let mut task: JoinHandle<_> = self.host.spawn_load(work);
        if let Ok(ended) = tokio::time::timeout(bound, &mut task).await {
            return ended.unwrap_or(Err(InstallError::Panicked)).map(Loading::Ended);
        }
        // It takes longer: noted, so that any host can say how it ended.
        let id = self.host.event("", &Value::Null).id;
        self.host.store.begin_load(workspace, id).await?;
        let host = Arc::clone(&self.host);
        tokio::spawn(async move {
            let ended = task.await.unwrap_or(Err(InstallError::Panicked));
            let noted = match &ended {
                Ok(installed) => host.store.end_load(id, Some((&installed.name, installed.version)), None).await,
                Err(error) => {
                    let problem = json!({ "code": error.code(), "detail": error.told() }).to_string();
                    host.store.end_load(id, None, Some(&problem)).await
                }
            };
            if let Err(error) = noted {
                warn!("How a plugin's loading ended could not be kept: {error}");
            }
        });
        let load = self.plugin_load(workspace, id).await.map_err(|error| match error {
            CommandError::Store(error) => InstallError::Store(error),
            _ => InstallError::Panicked,
        })?;
        Ok(Loading::GoesOn(Box::new(load)))
    }

    /// How far a component is on its way in.
    ///
    /// # Errors
    /// Where there is none of this id.
    pub async fn plugin_load(&self, workspace: WorkspaceId, id: Uuid) -> Result<LoadView, CommandError> {
        let row = self.host.store.plugin_load(workspace, id).await?;
        Ok(row.ok_or(CommandError::UnknownLoad)?.into())
    }

    /// Every plugin that a workspace can call, by name.
    pub fn plugins(&self, workspace: WorkspaceId) -> Vec<PluginView> {
        let snapshot = self.host.catalog.snapshot();
        let mut plugins = BTreeMap::new();
        for owner in [SHARED, workspace] {
            for entry in snapshot.plugins.values().filter(|entry| entry.row.workspace == owner) {
                plugins.insert(entry.row.name.clone(), PluginView::new(&snapshot, workspace, entry));
            }
        }
        plugins.into_values().collect()
    }

    /// A plugin that a workspace can call.
    ///
    /// # Errors
    /// Where there is none.
    pub fn plugin(&self, workspace: WorkspaceId, name: &str) -> Result<PluginView, CommandError> {
        let snapshot = self.host.catalog.snapshot();
        let entry = snapshot.visible(workspace, name).ok_or_else(|| CommandError::UnknownPlugin(name.to_owned()))?;
        Ok(PluginView::new(&snapshot, workspace, entry))
    }

    /// The versions of a plugin, newest first.
    ///
    /// # Errors
    /// Where there is no such plugin.
    pub fn plugin_versions(&self, workspace: WorkspaceId, name: &str) -> Result<Vec<VersionView>, CommandError> {
        let snapshot = self.host.catalog.snapshot();
        let entry = snapshot.visible(workspace, name).ok_or_else(|| CommandError::UnknownPlugin(name.to_owned()))?;
        Ok(entry.versions.values().rev().map(|version| VersionView::new(entry, version)).collect())
    }

    /// A plugin that a workspace may change: its own.
    async fn own(&self, workspace: WorkspaceId, name: &str) -> Result<Arc<Entry>, CommandError> {
        // What another host did a moment ago counts.
        self.host.catalog.refresh().await?;
        let snapshot = self.host.catalog.snapshot();
        if let Some(entry) = snapshot.plugin(workspace, name) {
            return Ok(Arc::clone(entry));
        }
        Err(match snapshot.plugin(SHARED, name) {
            Some(_) => CommandError::SharedPlugin(name.to_owned()),
            None => CommandError::UnknownPlugin(name.to_owned()),
        })
    }

    /// Makes a version the active one: new runs use it, calls in flight end on theirs, and runs stay on theirs unless they are
    /// moved.
    ///
    /// # Errors
    /// Where there is no such plugin or version, or a tool's name is taken by now.
    pub async fn activate_plugin(
        &self,
        workspace: WorkspaceId,
        name: &str,
        activate: Activate,
        by: &str,
    ) -> Result<PluginView, CommandError> {
        let entry = self.own(workspace, name).await?;
        let Activate { version, move_runs } = activate;
        let unknown = || CommandError::UnknownPluginVersion { name: name.to_owned(), version };
        let target = entry.versions.get(&version).ok_or_else(unknown)?;
        let snapshot = self.host.catalog.snapshot();
        for tool in &target.description.tools {
            let other = snapshot.tools.get(&(workspace, tool.name.clone()));
            if let Some(other) = other.filter(|other| other.row.name != name) {
                let (tool, other) = (tool.name.clone(), other.row.name.clone());
                return Err(CommandError::ToolTaken { tool, other });
            }
        }
        // Loaded before it is needed, so that no call waits for it or finds that it cannot be loaded.
        let resolved = Resolved { version: Arc::clone(target), grant: Arc::default() };
        self.host.component(&resolved, LOAD_MAX).await.map_err(CommandError::Unloadable)?;
        let from = entry.row.active;
        let told = json!({
            "plugin": name, "version": version, "from": from, "digest": target.row.digest, "by": by, "movedRuns": move_runs,
        });
        let events = [self.host.event("plugin.activated", &told)];
        if !self.host.store.activate_plugin(workspace, name, version, move_runs, by, &events).await? {
            return Err(unknown());
        }
        self.host.catalog.refresh().await?;
        info!(plugin.name = name, plugin.version = version, workspace.id = %workspace, by, "Version {version} of the plugin `{name}` is active");
        self.plugin(workspace, name)
    }

    /// Makes the version active that was so before the present one.
    ///
    /// # Errors
    /// Where there is no such plugin, or nothing to go back to.
    pub async fn roll_back_plugin(
        &self,
        workspace: WorkspaceId,
        name: &str,
        move_runs: bool,
        by: &str,
    ) -> Result<PluginView, CommandError> {
        self.own(workspace, name).await?;
        let previous = self.host.store.previous_plugin_version(workspace, name).await?;
        let version = previous.ok_or_else(|| CommandError::NothingToRollBackTo(name.to_owned()))?;
        self.activate_plugin(workspace, name, Activate { version, move_runs }, by).await
    }

    /// Lets a plugin be called, or not at all, from the next call on.
    ///
    /// # Errors
    /// Where there is no such plugin.
    pub async fn set_plugin_enabled(
        &self,
        workspace: WorkspaceId,
        name: &str,
        enabled: bool,
        by: &str,
    ) -> Result<PluginView, CommandError> {
        self.own(workspace, name).await?;
        let kind = if enabled { "plugin.enabled" } else { "plugin.disabled" };
        let events = [self.host.event(kind, &json!({ "plugin": name, "by": by }))];
        if !self.host.store.set_plugin_enabled(workspace, name, enabled, &events).await? {
            return Err(CommandError::UnknownPlugin(name.to_owned()));
        }
        self.host.catalog.refresh().await?;
        info!(plugin.name = name, enabled, workspace.id = %workspace, by, "The plugin `{name}` was switched");
        self.plugin(workspace, name)
    }

    /// Deletes one version that is neither active nor in use.
    ///
    /// # Errors
    /// See [`DeleteError`].
    pub async fn delete_plugin_version(
        &self,
        workspace: WorkspaceId,
        name: &str,
        version: i32,
        by: &str,
    ) -> Result<(), DeleteError> {
        let entry = self.own(workspace, name).await?;
        let unknown = || CommandError::UnknownPluginVersion { name: name.to_owned(), version };
        let found = entry.versions.get(&version).ok_or_else(unknown)?;
        if entry.row.active == Some(version) {
            return Err(DeleteError::Active(version));
        }
        // Runs that were moved to another version, too: it is this one that knows where to.
        self.refuse_in_use(workspace, std::slice::from_ref(&found.row.digest)).await?;
        if !self.host.store.delete_plugin_version(workspace, name, version).await? {
            return Err(unknown().into());
        }
        self.host.catalog.refresh().await?;
        info!(plugin.name = name, plugin.version = version, workspace.id = %workspace, by, "Version {version} of the plugin `{name}` was deleted");
        Ok(())
    }

    /// Deletes a plugin with all its versions. What was granted to it is over.
    ///
    /// # Errors
    /// See [`DeleteError`].
    pub async fn delete_plugin(&self, workspace: WorkspaceId, name: &str, by: &str) -> Result<(), DeleteError> {
        let entry = self.own(workspace, name).await?;
        let digests: Vec<String> = entry.versions.values().map(|version| version.row.digest.clone()).collect();
        self.refuse_in_use(workspace, &digests).await?;
        let events = [self.host.event("plugin.deleted", &json!({ "plugin": name, "by": by }))];
        if !self.host.store.delete_plugin(workspace, name, &events).await? {
            return Err(CommandError::UnknownPlugin(name.to_owned()).into());
        }
        self.host.catalog.refresh().await?;
        info!(plugin.name = name, workspace.id = %workspace, by, "The plugin `{name}` was deleted");
        Ok(())
    }

    async fn refuse_in_use(&self, workspace: WorkspaceId, digests: &[String]) -> Result<(), DeleteError> {
        // Runs of other workspaces are on it too where it is shared; what they are is not told.
        let runs = self.host.store.runs_on_components(workspace, workspace == SHARED, digests, RUNS_LISTED_MAX).await?;
        if runs.is_empty() {
            return Ok(());
        }
        let elsewhere = runs.iter().any(|(_, owner)| *owner != workspace);
        let runs = runs.into_iter().filter(|(_, owner)| *owner == workspace).map(|(run, _)| run).collect();
        Err(DeleteError::InUse { runs, elsewhere })
    }

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
        let events = [self.host.event("plugin.granted", &json!({ "plugin": name, "grant": grant, "by": by }))];
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

    /// Every tool that a workspace can call, by name.
    pub fn tools(&self, workspace: WorkspaceId) -> Vec<ToolView> {
        self.host.catalog.snapshot().tools_of(workspace).into_values().collect()
    }

    /// A tool that a workspace can call.
    ///
    /// # Errors
    /// Where there is none.
    pub fn tool(&self, workspace: WorkspaceId, name: &str) -> Result<ToolView, CommandError> {
        let tool = self.host.catalog.snapshot().tool_view(workspace, name);
        tool.ok_or_else(|| CommandError::UnknownTool(name.to_owned()))
    }

    /// Calls a tool outside of any run. Nothing of it is recorded but the log's line.
    ///
    /// # Errors
    /// Where there is no such tool; else how the call failed.
    pub async fn invoke_tool(
        &self,
        workspace: WorkspaceId,
        name: &str,
        input: &Value,
        by: &str,
    ) -> Result<Result<Answer<Value>, CallError>, CommandError> {
        self.tool(workspace, name)?;
        // It has no run; what its clock and chance come from looks like one, and is new each time.
        let context = CallContext {
            run_id: RunId::from_parts(self.host.unix_millis(), self.host.chance.bytes()),
            run_started_at: self.host.clock.now(),
            step_id: "invoke".to_owned(),
            visit: 1,
            attempt: 1,
            timeout: INVOKE_TIMEOUT,
            traceparent: None,
        };
        let answer = self.host.call_tool(workspace, &[], name, None, None, input, &context).await;
        info!(tool.name = name, workspace.id = %workspace, by, ok = answer.is_ok(), "The tool `{name}` was invoked");
        Ok(answer)
    }

    /// Events of a workspace, newest first; of one type where it is named.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn events(
        &self,
        workspace: WorkspaceId,
        kind: Option<&str>,
        before: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<EventView>, CommandError> {
        let rows = self.host.store.events(workspace, kind, before, limit).await?;
        Ok(rows.into_iter().map(EventView::try_from).collect::<Result<_, _>>()?)
    }

    /// Files of the plugins folder that are not loaded, and why.
    pub fn folder_faults(&self) -> Vec<FolderFault> {
        self.host.folder_faults.all()
    }
}

impl Host {
    fn spawn_load(
        self: &Arc<Self>,
        work: impl Future<Output = Result<Installed, InstallError>> + Send + 'static,
    ) -> JoinHandle<Result<Installed, InstallError>> {
        tokio::spawn(work)
    }

    /// Calls a tool for a workspace, under its grant, and tells of what was denied.
    #[expect(clippy::too_many_arguments, reason = "one call's parts, as a step names them")]
    pub(crate) async fn call_tool(
        &self,
        workspace: WorkspaceId,
        pins: &[armilla_domain::plugin::Pin],
        tool: &str,
        plugin: Option<&str>,
        version: Option<i32>,
        input: &Value,
        context: &CallContext,
    ) -> Result<Answer<Value>, CallError> {
        let resolved = self.catalog.snapshot().tool(workspace, pins, tool, plugin, version);
        let resolved = match resolved {
            Ok(resolved) => resolved,
            // Another host may know better since a moment; before a run fails for it, look.
            Err(error) => match self.catalog.refresh().await {
                Ok(true) => self.catalog.snapshot().tool(workspace, pins, tool, plugin, version)?,
                Ok(false) | Err(_) => return Err(error),
            },
        };
        let component = self.component(&resolved, context.timeout).await?;
        let access = self.access(workspace, &resolved.grant);
        let called = self.sandbox.call_tool(&component, tool, input, context, &access).await;
        if !called.denied.is_empty() {
            let told = json!({
                "plugin": component.description().name, "digest": component.digest(), "tool": tool,
                "runId": context.run_id, "stepId": context.step_id, "capabilities": called.denied,
            });
            self.tell_of_denial(workspace, &component.description().name, &called.denied, &told);
        }
        called.result
    }

    /// A version's component, as soon as it is loaded, and where the operator still wants it.
    pub(crate) async fn component(&self, resolved: &Resolved, timeout: Duration) -> Result<Arc<Plugin>, CallError> {
        let row = &resolved.version.row;
        let trusted = row.signed_by.as_ref().is_some_and(|key| self.policy.trusted_keys.contains(key));
        if self.policy.require_signature && !trusted {
            let message = format!(
                "Version {} of the plugin `{}` carries no signature that is trusted here",
                row.version, row.name
            );
            return Err(CallError::permanent("tool.untrusted", message));
        }
        tokio::time::timeout(timeout, self.catalog.component(&resolved.version)).await.unwrap_or_else(|_| {
            let message = format!("The plugin `{}` was not loaded in time; it still is being compiled", row.name);
            Err(CallError::new(ErrorClass::Unavailable, "tool.plugin_unavailable", message))
        })
    }

    /// Writes the event down, without keeping the call waiting; the same denial again within a minute is not told again.
    fn tell_of_denial(&self, workspace: WorkspaceId, plugin: &str, denied: &[String], told: &Value) {
        let now = tokio::time::Instant::now();
        let key = (workspace, plugin.to_owned(), denied.first().cloned().unwrap_or_default());
        {
            let mut recent = self.denials.lock().unwrap_or_else(PoisonError::into_inner);
            if recent.get(&key).is_some_and(|told| now.duration_since(*told) < DENIAL_REPEATED_AFTER) {
                return;
            }
            if recent.len() >= DENIALS_REMEMBERED_MAX {
                recent.retain(|_, told| now.duration_since(*told) < DENIAL_REPEATED_AFTER);
            }
            if recent.len() >= DENIALS_REMEMBERED_MAX {
                return;
            }
            recent.insert(key, now);
        }
        let (store, event) = (self.store.clone(), self.event("plugin.capability_denied", told));
        tokio::spawn(async move {
            if let Err(error) = store.add_event(workspace, &event).await {
                warn!("The event `plugin.capability_denied` could not be kept: {error}");
            }
        });
    }

    pub(crate) fn access(&self, workspace: WorkspaceId, grant: &Arc<Grant>) -> Access {
        Access { workspace, grant: Arc::clone(grant), services: Arc::clone(&self.services) }
    }
}
