//! A server in the test's own process, put together as `armilla serve` does it.

use std::sync::Arc;

use armilla::transform::EngineTools;
use armilla_agents::Agents;
use armilla_api::auth::{Authenticator, Claims, Role, mint};
use armilla_api::{ApiState, Check};
use armilla_domain::id::WorkspaceId;
use armilla_engine::{
    Engine, Parts, PipelineTemplates, PluginPolicy, RunLimits, SealingKey, SystemChance, SystemClock,
};
use armilla_store::Store;
use armilla_testkit::agent::ScriptedAgent;
use armilla_testkit::db::TestDatabase;
use armilla_webhooks::Webhooks;
use tokio::net::TcpListener;
use uuid::Uuid;

use super::plugins::{egress, load_components, sandbox};
use super::{Client, auth_config, claims, target};

/// It ends with the test's runtime, as a host that is killed.
pub(crate) struct TestServer {
    pub(crate) engine: Engine,
    pub(crate) admin: Client,
}

impl TestServer {
    /// A server on a database of its own, without plugins.
    pub(crate) async fn start() -> Self {
        Self::on(&TestDatabase::create().await, 1).await
    }

    /// A server on a database of its own, with the shipped plugins and the hostile one.
    pub(crate) async fn with_plugins() -> Self {
        let server = Self::start().await;
        load_components(&server.engine).await;
        server
    }

    /// A server on a database of its own, and an agent that it knows as `scripted`.
    pub(crate) async fn with_agent() -> (Self, ScriptedAgent) {
        let (server, agent) = tokio::join!(Self::start(), ScriptedAgent::start());
        server.admin.register(&agent).await;
        (server, agent)
    }

    /// The same with plugins.
    pub(crate) async fn with_agent_and_plugins() -> (Self, ScriptedAgent) {
        let (server, agent) = tokio::join!(Self::with_plugins(), ScriptedAgent::start());
        server.admin.register(&agent).await;
        (server, agent)
    }

    /// One of several servers on a database; `host` tells them apart.
    pub(crate) async fn on(database: &TestDatabase, host: u128) -> Self {
        Self::bare(database, host, PluginPolicy::default()).await
    }

    /// The same, with what was decided about plugins.
    pub(crate) async fn bare(database: &TestDatabase, host: u128, policy: PluginPolicy) -> Self {
        Self::assembled(database, host, policy, RunLimits::default()).await
    }

    /// A server on a database of its own, with what was decided about runs.
    pub(crate) async fn limited(limits: RunLimits) -> Self {
        Self::assembled(&TestDatabase::create().await, 1, PluginPolicy::default(), limits).await
    }

    async fn assembled(database: &TestDatabase, host: u128, policy: PluginPolicy, limits: RunLimits) -> Self {
        let uploads = target().join("test-uploads").join(format!("{}-{host}", std::process::id()));
        let policy = PluginPolicy { uploads, ..policy };
        let store = Store::new(database.connect_options());
        let engine = Engine::new(Parts {
            store: store.clone(),
            agents: Agents::new(egress()),
            sandbox: sandbox(),
            policy,
            sealing: SealingKey::new([9; 32]),
            limits,
            pipeline_templates: PipelineTemplates::built_in(),
            clock: Arc::new(SystemClock),
            chance: Arc::new(SystemChance),
            host_id: Uuid::from_u128(host),
        });
        let webhooks = Webhooks::new(armilla_webhooks::Parts {
            store: store.clone(),
            egress: egress(),
            sealing: SealingKey::new([9; 32]),
            clock: Arc::new(SystemClock),
            chance: Arc::new(SystemChance),
            host_id: Uuid::from_u128(host),
            tools: Some(Arc::new(EngineTools(engine.clone()))),
        });
        let router = armilla_api::router(ApiState {
            engine: engine.clone(),
            webhooks: webhooks.clone(),
            authenticator: Arc::new(Authenticator::new(&auth_config()).unwrap()),
            clock: Arc::new(SystemClock),
            chance: Arc::new(SystemChance),
            readiness: Arc::new(move || {
                let store = store.clone();
                Box::pin(async move {
                    vec![Check { name: "database".to_owned(), ok: store.ping().await.is_ok(), detail: None }]
                })
            }),
        });
        engine.start().await.unwrap();
        webhooks.start().await.unwrap();
        webhooks.poke_on(engine.told());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let admin = Client::new(url, Some(token(&claims(Role::Admin))));
        Self { engine, admin }
    }

    /// Somebody of the default workspace.
    pub(crate) fn client(&self, role: Role) -> Client {
        self.admin.as_bearer(token(&claims(role)))
    }

    /// The admin of another workspace.
    pub(crate) fn admin_of(&self, workspace: WorkspaceId) -> Client {
        self.admin.as_bearer(token(&Claims { ws: Some(workspace), ..claims(Role::Admin) }))
    }
}

fn token(claims: &Claims) -> String {
    mint(&auth_config().current_secret, claims).unwrap()
}
