//! What every handler may reach.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use armilla_engine::{Chance, Clock, Engine};
use armilla_webhooks::Webhooks;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Authenticator;

/// What the handlers work with; cloned for each request.
#[derive(Clone)]
pub struct ApiState {
    /// Carries out what is asked for.
    pub engine: Engine,
    /// Carries out what is asked for of webhooks.
    pub webhooks: Webhooks,
    /// Judges tokens.
    pub authenticator: Arc<Authenticator>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes request ids.
    pub chance: Arc<dyn Chance>,
    /// Looks after what the server needs.
    pub readiness: Readiness,
}

/// Looks at everything the server needs to do its work, now.
pub type Readiness = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Vec<Check>> + Send>> + Send + Sync>;

/// Whether one thing that the server needs is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Check {
    /// What was looked at.
    #[schema(example = "database")]
    pub name: String,
    /// Whether it can be used.
    pub ok: bool,
    /// What is wrong with it, for people; never internal text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub detail: Option<String>,
}
