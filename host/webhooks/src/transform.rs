//! Bodies that a tool makes.

use std::sync::Arc;
use std::time::Duration;

use armilla_domain::fault::Fault;
use armilla_domain::id::WorkspaceId;
use armilla_domain::webhook::{Transform, Webhook};
use futures::future::BoxFuture;
use serde_json::Value;

use crate::Inner;

/// How long a tool may take to make a body; a claim lasts for longer than that and the exchange together.
pub const TRANSFORM_WAIT_MAX: Duration = Duration::from_secs(10);
/// Bytes of a body that a tool makes.
pub const TRANSFORMED_BYTES_MAX: usize = 1024 * 1024;
/// Characters of a tool's complaint that are kept.
const COMPLAINT_CHARS_MAX: usize = 500;

/// What a tool is asked.
#[derive(Debug, Clone)]
pub struct TransformCall {
    /// For which workspace, under its grants.
    pub workspace: WorkspaceId,
    /// The tool's name.
    pub tool: String,
    /// The plugin's, where it was said.
    pub plugin: Option<String>,
    /// The body as JSON.
    pub input: Value,
}

/// The tools of workspaces.
pub trait Tools: Send + Sync {
    /// Calls one; where it fails, why.
    fn call(&self, call: TransformCall) -> BoxFuture<'static, Result<Value, String>>;

    /// Why there is none now that `by` could mean; nothing where there is.
    fn missing(&self, workspace: WorkspaceId, by: &Transform) -> Option<String>;
}

/// What makes bodies.
pub type TransformTools = Arc<dyn Tools>;

/// What a tool has made of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Transformed {
    /// This is sent.
    Body(Vec<u8>),
    /// Nothing is sent.
    Dropped,
    /// It failed: why.
    Failed(String),
}

impl Inner {
    /// What whoever looks after a webhook should know of its tool.
    pub(crate) fn warnings(&self, workspace: WorkspaceId, webhook: &Webhook) -> Vec<Fault> {
        let missing = webhook.transform.as_ref().and_then(|by| self.tools.as_ref()?.missing(workspace, by));
        missing.map(|why| Fault::new("/transform/tool", "webhook.unknown_tool", why)).into_iter().collect()
    }

    /// What the tool of a webhook makes of a body.
    pub(crate) async fn transformed(&self, workspace: WorkspaceId, by: &Transform, body: &[u8]) -> Transformed {
        let Some(tools) = &self.tools else {
            return Transformed::Failed("this host calls no tools".to_owned());
        };
        let Ok(input) = serde_json::from_slice(body) else {
            return Transformed::Failed("the body is no JSON".to_owned());
        };
        let call = TransformCall { workspace, tool: by.tool.clone(), plugin: by.plugin.clone(), input };
        match tokio::time::timeout(TRANSFORM_WAIT_MAX, tools.call(call)).await {
            Ok(Ok(Value::Null)) => Transformed::Dropped,
            Ok(Ok(Value::Object(fields))) => match serde_json::to_vec(&fields) {
                Ok(body) if body.len() <= TRANSFORMED_BYTES_MAX => Transformed::Body(body),
                _ => Transformed::Failed(format!("the tool answered more than {TRANSFORMED_BYTES_MAX} bytes")),
            },
            Ok(Ok(_)) => Transformed::Failed("the tool answered neither an object nor null".to_owned()),
            // What Postgres takes as text has no such character.
            Ok(Err(why)) => Transformed::Failed(why.chars().filter(|c| *c != '\0').take(COMPLAINT_CHARS_MAX).collect()),
            Err(_) => Transformed::Failed(format!("the tool did not answer within {} s", TRANSFORM_WAIT_MAX.as_secs())),
        }
    }
}
