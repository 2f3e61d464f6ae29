//! Calls of tools: for a run or for nobody, under the workspace's grant, and what is told of denials.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use armilla_domain::call::{CallContext, CallError, ErrorClass};
use armilla_domain::event::data::PluginTold;
use armilla_domain::event::{EventType, Told};
use armilla_domain::id::WorkspaceId;
use armilla_domain::plugin::{Grant, Pin};
use armilla_sandbox::{Access, Answer, Plugin};
use armilla_store::NewEvent;
use serde_json::Value;
use tracing::{info, warn};

use super::ToolView;
use super::resolve::Resolved;
use crate::host::Host;
use crate::{CommandError, Engine};

/// How long the same denial is not told as an event again: a loop of calls must not fill the database.
const DENIAL_REPEATED_AFTER: Duration = Duration::from_secs(60);
/// Denials that are remembered for that; past it none is told until some are old.
const DENIALS_REMEMBERED_MAX: usize = 10_000;
/// How long a call takes at most that belongs to no run.
const INVOKE_TIMEOUT: Duration = Duration::from_secs(120);

impl Engine {
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

    /// Why a name means no tool that a workspace can call now; nothing where it does. Of a plugin, where one is named.
    pub fn why_no_tool(&self, workspace: WorkspaceId, name: &str, plugin: Option<&str>) -> Option<String> {
        let found = self.host.catalog.snapshot().tool(workspace, &[], name, plugin, None);
        found.err().map(|error| error.message)
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
        let answer = self.call_tool(workspace, name, None, input, INVOKE_TIMEOUT).await;
        info!(tool.name = name, workspace.id = %workspace, by, ok = answer.is_ok(), "The tool `{name}` was invoked");
        Ok(answer)
    }

    /// The same for something of the workspace that calls tools by itself; of a plugin, where several have a tool of that name.
    ///
    /// # Errors
    /// How the call failed.
    pub async fn call_tool(
        &self,
        workspace: WorkspaceId,
        name: &str,
        plugin: Option<&str>,
        input: &Value,
        timeout: Duration,
    ) -> Result<Answer<Value>, CallError> {
        // It has no run; what its clock and chance come from looks like one, and is new each time.
        let context = CallContext {
            run_id: self.host.next_id(),
            run_started_at: self.host.clock.now(),
            step_id: "invoke".to_owned(),
            visit: 1,
            attempt: 1,
            timeout,
            turn: 0,
            traceparent: None,
        };
        self.host.call_tool(workspace, &[], name, plugin, None, input, &context, None).await
    }
}

impl Host {
    /// Calls a tool for a workspace, under its grant, and tells of what was denied. `of_run` says how deep the events of the run are that
    /// calls it, where one does.
    #[expect(clippy::too_many_arguments, reason = "one call's parts, as a step names them")]
    pub(crate) async fn call_tool(
        &self,
        workspace: WorkspaceId,
        pins: &[Pin],
        tool: &str,
        plugin: Option<&str>,
        version: Option<i32>,
        input: &Value,
        context: &CallContext,
        of_run: Option<i16>,
    ) -> Result<Answer<Value>, CallError> {
        let resolved = self.resolve_tool(workspace, pins, tool, plugin, version).await?;
        let component = self.component(&resolved, context.timeout).await?;
        let access = self.access(workspace, &resolved.grant);
        let called = self.sandbox.call_tool(&component, tool, input, context, &access).await;
        if !called.denied.is_empty() {
            let plugin = &component.description().name;
            let told = PluginTold {
                plugin: Some(plugin),
                digest: Some(component.digest()),
                tool: Some(tool),
                capabilities: Some(&called.denied),
                run_id: of_run.map(|_| context.run_id),
                step_id: of_run.map(|_| context.step_id.as_str()),
                ..PluginTold::default()
            };
            let told = Told::new(EventType::PluginCapabilityDenied, &told);
            let event = self.event_of(&told, of_run.unwrap_or_default());
            self.tell_of_denial(workspace, plugin, &called.denied, event);
        }
        called.result
    }

    /// Calls a tool that can touch nothing, and tells nobody what it was denied: nothing of the call stays.
    pub(crate) async fn call_pure_tool(
        &self,
        workspace: WorkspaceId,
        resolved: &Resolved,
        tool: &str,
        input: &Value,
        context: &CallContext,
    ) -> Result<Answer<Value>, CallError> {
        let component = self.component(resolved, context.timeout).await?;
        let access = self.access(workspace, &resolved.grant);
        self.sandbox.call_tool(&component, tool, input, context, &access).await.result
    }

    /// What a tool's name means.
    pub(crate) async fn resolve_tool(
        &self,
        workspace: WorkspaceId,
        pins: &[Pin],
        tool: &str,
        plugin: Option<&str>,
        version: Option<i32>,
    ) -> Result<Resolved, CallError> {
        match self.catalog.snapshot().tool(workspace, pins, tool, plugin, version) {
            Ok(resolved) => Ok(resolved),
            // Another host may know better since a moment; before a run fails for it, look.
            Err(error) => match self.catalog.refresh().await {
                Ok(true) => self.catalog.snapshot().tool(workspace, pins, tool, plugin, version),
                Ok(false) | Err(_) => Err(error),
            },
        }
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
    fn tell_of_denial(&self, workspace: WorkspaceId, plugin: &str, denied: &[String], event: NewEvent) {
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
        let store = self.store.clone();
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
