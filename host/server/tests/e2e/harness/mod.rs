//! What the tests stand on.

mod client;
mod plugins;
mod process;
mod server;
mod stream;

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use armilla_api::auth::{AuthConfig, Claims, Role, Secret};
use armilla_engine::{Clock, SystemClock};
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub(crate) use client::{Answer, Client};
pub(crate) use plugins::{component, egress};
pub(crate) use process::{ServerProcess, armilla};
pub(crate) use server::TestServer;
pub(crate) use stream::{Stream, StreamEvent};

/// How long anything may take that a test waits for: long enough for a busy machine, short enough to be noticed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(10);

/// Asks again and again until there is an answer.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let looked = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(PATIENCE, looked).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// What the tests' own servers judge tokens by.
pub(crate) fn auth_config() -> AuthConfig {
    AuthConfig {
        current_secret: Secret::new("signs tokens of the end-to-end tests").unwrap(),
        previous_secret: Some(Secret::new("signed tokens of end-to-end tests before")).transpose().unwrap(),
        issuer: "armilla".to_owned(),
        audience: "armilla".to_owned(),
        leeway: Duration::ZERO,
    }
}

/// Claims that are good for an hour.
pub(crate) fn claims(role: Role) -> Claims {
    let now = SystemClock.now().timestamp();
    let (iss, aud) = ("armilla".to_owned(), "armilla".to_owned());
    Claims { sub: "ada".to_owned(), role, ws: None, iat: now, nbf: Some(now), exp: now + 3600, iss, aud }
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The folder that everything is built into.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A folder for a private cluster: one whose account may pass, and that a later run removes.
pub(crate) fn cluster_folder(name: &str) -> PathBuf {
    target().join("test-clusters").join(format!("{}-{name}", std::process::id()))
}

/// An agent step of the agent `scripted`, which keeps its answer under the step's own name.
pub(crate) fn agent_step(id: &str, message: &str) -> Value {
    json!({ "type": "agent", "id": id, "agentId": "scripted", "message": message, "outputVar": id })
}

/// A tool step that keeps its result under the step's own name.
pub(crate) fn tool_step(id: &str, tool: &str, params: Value) -> Value {
    json!({ "type": "tool", "id": id, "toolName": tool, "params": params, "outputVar": id })
}

/// The object with these fields in place of its own.
pub(crate) fn with(mut object: Value, fields: Value) -> Value {
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    object.as_object_mut().unwrap().extend(fields);
    object
}

/// Serves the example agents and registers them.
pub(crate) async fn register_example_agents(client: &Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    // Ends with the test's runtime.
    tokio::spawn(armilla_example_agents::serve(listener, Duration::ZERO, std::future::pending()));
    for agent in armilla_example_agents::AGENTS {
        let endpoint = format!("http://{address}{}", agent.path);
        let config = json!({ "id": agent.id, "protocol": "openai", "endpoint": endpoint });
        client.post("/agents", &config).await.expect(201);
    }
}
