//! The pieces without an engine: the floor's statements behind an HTTP server on loopback, with the same calls of the same components and agent
//! between them. What a run costs whoever puts these together; there are no definitions, templates, leases, retries, events or log lines in it.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use armilla_domain::call::CallContext;
use armilla_domain::id::{RunId, WorkflowId, WorkspaceId};
use armilla_domain::plugin::Grant;
use armilla_sandbox::{Access, MemoryServices, Plugin, Sandbox};
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::post;
use chrono::DateTime;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::floor::Floor;
use crate::server::plugins;
use crate::{STEPS, What};

/// Serves them for as long as the process lives.
#[derive(Clone)]
pub(crate) struct Pieces {
    client: reqwest::Client,
    url: String,
}

struct Shared {
    floor: Floor,
    sandbox: Sandbox,
    components: HashMap<&'static str, Arc<Plugin>>,
    access: Access,
    client: reqwest::Client,
    agent: String,
}

impl Pieces {
    pub(crate) async fn serve(floor: Floor, sandbox: Sandbox, agent: String) -> Self {
        let mut components = HashMap::new();
        for name in ["text", "time"] {
            let bytes: Arc<[u8]> = fs::read(plugins().join(format!("{name}.wasm"))).unwrap().into();
            components.insert(name, sandbox.inspect(bytes).await.unwrap());
        }
        let access = Access {
            workspace: WorkspaceId::DEFAULT,
            grant: Arc::new(Grant::check(&json!({ "clock": true })).unwrap()),
            services: Arc::new(MemoryServices::default()),
        };
        let client = reqwest::Client::new();
        let shared = Shared { floor, sandbox, components, access, client: client.clone(), agent };
        let router = Router::new().route("/{what}/{workflow}", post(run)).with_state(Arc::new(shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { client, url }
    }

    /// One run, as one request.
    pub(crate) fn run(&self, what: What, workflow: WorkflowId) -> impl Future<Output = ()> + Send + use<> {
        let url = format!("{}/{}/{workflow}", self.url, what.name());
        let request = self.client.post(url).json(&json!({ "input": { "topic": "the armillary sphere" } }));
        async {
            let answer = request.send().await.unwrap();
            assert!(answer.status().is_success());
            let _: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        }
    }
}

async fn run(
    State(shared): State<Arc<Shared>>,
    Path((what, workflow)): Path<(String, WorkflowId)>,
    body: axum::Json<Value>,
) -> axum::Json<Value> {
    let what = What::ALL.into_iter().find(|known| known.name() == what).unwrap();
    let mut kept = shared.floor.begin(workflow).await;
    let mut last = body["input"]["topic"].clone();
    for step in 1..=STEPS {
        last = shared.call(what, &last).await;
        if what.each_is_durable() && step < STEPS {
            kept = shared.floor.step(kept).await;
        }
    }
    if what.each_is_durable() {
        kept = shared.floor.step(kept).await;
    }
    shared.floor.end(kept).await;
    axum::Json(json!({ "output": last }))
}

impl Shared {
    async fn call(&self, what: What, last: &Value) -> Value {
        match what {
            What::Agents => {
                let message = json!({ "role": "user", "content": format!("Go on from: {last}") });
                let body = json!({ "model": "instant", "messages": [message] });
                let answer =
                    self.client.post(format!("{}/chat/completions", self.agent)).json(&body).send().await.unwrap();
                let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
                answer["choices"][0]["message"]["content"].clone()
            }
            What::Granted => {
                let time = last["rfc3339"].as_str().unwrap_or("2030-01-31T08:00:00Z");
                self.tool("time", "time.add", json!({ "time": time, "duration": "1 day" })).await
            }
            What::Pure => {
                let text = last["slug"].as_str().or(last.as_str()).unwrap();
                self.tool("text", "text.slugify", json!({ "text": format!("{text} once more") })).await
            }
        }
    }

    async fn tool(&self, component: &str, tool: &str, params: Value) -> Value {
        let context = CallContext {
            run_id: RunId::from_parts(1_700_000_000_000, [7; 10]),
            run_started_at: DateTime::UNIX_EPOCH,
            step_id: "step".to_owned(),
            visit: 1,
            attempt: 1,
            turn: 0,
            timeout: Duration::from_secs(30),
            traceparent: None,
        };
        let called = self.sandbox.call_tool(&self.components[component], tool, &params, &context, &self.access).await;
        called.result.unwrap().value
    }
}
