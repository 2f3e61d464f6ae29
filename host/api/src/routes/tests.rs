mod access;
mod bodies;
mod contract;
mod operations;

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use armilla_agents::Agents;
use armilla_egress::{Egress, EgressPolicy};
use armilla_engine::{Chance, Clock, Engine, Parts, PipelineTemplates, PluginPolicy, SealingKey};
use armilla_sandbox::{Sandbox, SandboxConfig};
use armilla_store::{PgConnectOptions, Store};
use armilla_webhooks::Webhooks;
use axum::Json;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::ServiceExt;
use utoipa::ToSchema;
use uuid::Uuid;

use super::*;
use crate::auth::{AuthConfig, Authenticator, Caller, Claims, Role, Secret, mint};
use crate::page::PageQuery;
use crate::request::{JsonBody, OptionalJsonBody, Query, RequestId, TraceParent};
use crate::state::Check;
use crate::wire::Text;

struct Still;

impl Clock for Still {
    fn now(&self) -> DateTime<Utc> {
        "2026-01-31T09:30:00Z".parse().unwrap()
    }
}

#[derive(Default)]
struct Counting(AtomicU8);

impl Chance for Counting {
    fn bytes(&self) -> [u8; 10] {
        [self.0.fetch_add(1, Ordering::Relaxed); 10]
    }
}

fn secret() -> Secret {
    Secret::new(&b"the current secret has 32 bytes!"[..]).unwrap()
}

// One for all tests: it starts threads.
static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(SandboxConfig::default()).unwrap());

/// A database that is not there: nobody listens on a socket in a folder that does not exist.
fn store() -> Store {
    Store::new(PgConnectOptions::new().socket("/nonexistent"))
}

fn engine() -> Engine {
    Engine::new(Parts {
        store: store(),
        agents: Agents::new(Egress::new(EgressPolicy::default()).unwrap()),
        sandbox: SANDBOX.clone(),
        policy: PluginPolicy::default(),
        sealing: SealingKey::new([7; 32]),
        limits: armilla_engine::RunLimits::default(),
        pipeline_templates: PipelineTemplates::built_in(),
        clock: Arc::new(Still),
        chance: Arc::new(Counting::default()),
        host_id: Uuid::nil(),
    })
}

fn webhooks() -> Webhooks {
    Webhooks::new(armilla_webhooks::Parts {
        store: store(),
        egress: Egress::new(EgressPolicy::default()).unwrap(),
        sealing: SealingKey::new([7; 32]),
        clock: Arc::new(Still),
        chance: Arc::new(Counting::default()),
        host_id: Uuid::nil(),
        tools: None,
    })
}

fn state_with(checks: Vec<Check>) -> ApiState {
    let config = AuthConfig {
        current_secret: secret(),
        previous_secret: None,
        issuer: "armilla".into(),
        audience: "armilla".into(),
        leeway: Duration::ZERO,
    };
    ApiState {
        engine: engine(),
        webhooks: webhooks(),
        authenticator: Arc::new(Authenticator::new(&config).unwrap()),
        clock: Arc::new(Still),
        chance: Arc::new(Counting::default()),
        readiness: Arc::new(move || {
            let checks = checks.clone();
            Box::pin(async { checks })
        }),
    }
}

fn state() -> ApiState {
    state_with(vec![Check { name: "database".into(), ok: true, detail: None }])
}

fn bearer(role: Role) -> String {
    let now = Still.now().timestamp();
    let (iss, aud) = ("armilla".to_owned(), "armilla".to_owned());
    let claims = Claims { sub: "ada".into(), role, ws: None, iat: now, nbf: None, exp: now + 60, iss, aud };
    format!("Bearer {}", mint(&secret(), &claims).unwrap())
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Probe {
    #[schema(value_type = String, min_length = 1, max_length = 5)]
    name: Text<1, 5>,
    count: u32,
    #[serde(default)]
    deep: Value,
}

/// Routes that do what handlers do, behind the layers that every route has.
fn probes() -> Router {
    let public = Router::new()
        .route(
            "/body",
            post(async |JsonBody(probe): JsonBody<Probe>| Json(json!([&*probe.name, probe.count, probe.deep]))),
        )
        .route("/optional", post(async |OptionalJsonBody(probe): OptionalJsonBody<Probe>| Json(json!(probe.is_some()))))
        .route("/list", get(async |Query(q): Query<PageQuery>| q.page::<u32>(50).map(|page| Json(json!(page.limit)))))
        .route("/panic", get(async || -> Json<Value> { panic!("the secret recipe") }))
        .route("/internal", get(async || Problem::internal(&std::io::Error::other("the secret recipe"))))
        .route("/unavailable", get(async || Problem::unavailable(Duration::from_millis(1500))))
        .route("/orphan", get(async |_: Caller| ()))
        .route("/hanging", get(std::future::pending::<()>))
        .route(
            "/names",
            get(async |Extension(id): Extension<RequestId>, trace: Option<Extension<TraceParent>>| {
                Json(json!([id.as_str(), trace.map(|trace| trace.as_str().to_owned())]))
            }),
        );
    let protected = Router::new()
        .route("/caller", get(async |caller: Caller| Json(json!([caller.subject, caller.workspace]))))
        .route(
            "/admin",
            post(async |caller: Caller| caller.require(Role::Admin).map_err(Problem::from).map(|()| Json(json!(true)))),
        );
    serve(public, protected, state())
}

async fn send(router: Router, request: Request<Body>) -> Response {
    router.oneshot(request).await.unwrap()
}

async fn json_of(response: Response) -> Value {
    serde_json::from_slice(&to_bytes(response.into_body(), usize::MAX).await.unwrap()).unwrap()
}

/// The problem of a response, after looking whether it is one in every respect.
async fn problem_of(response: Response) -> Value {
    let status = response.status();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    let request_id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let problem = json_of(response).await;
    assert_eq!(problem["status"], status.as_u16());
    assert_eq!(problem["requestId"], request_id);
    assert_eq!(problem["type"], format!("/problems/{}", problem["code"].as_str().unwrap()));
    assert!(!problem["title"].as_str().unwrap().is_empty() && !problem["detail"].as_str().unwrap().is_empty());
    problem
}

fn request(method: &str, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(path)
}

async fn get_(path: &str) -> Response {
    send(probes(), request("GET", path).body(Body::empty()).unwrap()).await
}

async fn post_json(path: &str, body: impl Into<Body>) -> Response {
    let request = request("POST", path).header("content-type", "application/json").body(body.into()).unwrap();
    send(probes(), request).await
}

async fn code_of(response: Response) -> String {
    problem_of(response).await["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_path_that_is_nothing_and_a_method_that_is_not_known_are_problems() {
    let response = get_("/nothing").await;
    assert_eq!((response.status(), code_of(response).await), (StatusCode::NOT_FOUND, "route.not_found".into()));
    for path in ["/body", "/caller"] {
        let response = send(probes(), request("DELETE", path).body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert!(!response.headers()[header::ALLOW].is_empty());
        assert_eq!(code_of(response).await, "route.method_not_allowed");
    }
}

#[tokio::test]
async fn a_request_keeps_its_id_where_it_has_a_harmless_one() {
    let with = async |id: &str| {
        let request = request("GET", "/names").header("x-request-id", id).body(Body::empty()).unwrap();
        let response = send(probes(), request).await;
        let answered = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(json_of(response).await[0], answered);
        answered
    };
    assert_eq!(with("4bf92f35-77b3/1:a_b.c+=").await, "4bf92f35-77b3/1:a_b.c+=");
    for bad in ["", "two words", "a\"b", "<b>", &"x".repeat(129)] {
        let made = with(bad).await;
        assert!(made.starts_with("req_") && made.len() == 36, "{bad}: {made}");
    }
    assert_eq!(with(&"x".repeat(128)).await.len(), 128);
}

#[tokio::test]
async fn a_traceparent_reaches_the_handler_where_it_is_well_formed() {
    let with = async |value: &str| {
        let request = request("GET", "/names").header("traceparent", value).body(Body::empty()).unwrap();
        json_of(send(probes(), request).await).await[1].clone()
    };
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_eq!(with(good).await, good);
    assert_eq!(with("00-zzz").await, Value::Null);
}

#[tokio::test]
async fn a_query_that_cannot_be_used_is_a_problem() {
    assert_eq!(json_of(get_("/list?limit=7&unknown=1").await).await, 7);
    for query in ["limit=x", "limit=0", "limit=51", "limit=-1", "cursor=abc"] {
        assert_eq!(code_of(get_(&format!("/list?{query}")).await).await, "query.invalid", "{query}");
    }
}

#[tokio::test]
async fn internal_text_never_reaches_a_caller() {
    for path in ["/panic", "/internal", "/orphan"] {
        let problem = problem_of(get_(path).await).await;
        assert_eq!((&problem["status"], &problem["code"]), (&json!(500), &json!("server.internal")));
        assert!(!problem.to_string().contains("recipe"), "{problem}");
    }
}

#[tokio::test]
async fn an_overload_says_when_to_come_back() {
    let response = get_("/unavailable").await;
    assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    assert_eq!(code_of(response).await, "server.unavailable");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_is_ended() {
    assert_eq!(code_of(get_("/hanging").await).await, "server.timeout");
}

#[tokio::test]
async fn health_is_the_process_and_readiness_is_what_it_needs() {
    let ask = async |state: ApiState, path: &str| {
        send(router(state), request("GET", path).body(Body::empty()).unwrap()).await
    };
    assert_eq!(json_of(ask(state(), "/healthz").await).await, json!({ "status": "ok" }));
    let ready = json!({ "status": "ready", "checks": [{ "name": "database", "ok": true }] });
    assert_eq!(json_of(ask(state(), "/readyz").await).await, ready);

    let gone = || Check { name: "database".into(), ok: false, detail: Some("It does not answer.".into()) };
    let response = ask(state_with(vec![gone()]), "/readyz").await;
    assert_eq!(
        (response.status(), &response.headers()[header::RETRY_AFTER]),
        (StatusCode::SERVICE_UNAVAILABLE, &"1".parse().unwrap())
    );
    let problem = problem_of(response).await;
    assert_eq!(problem["code"], "server.not_ready");
    assert_eq!(problem["checks"], json!([gone()]));
    assert_eq!(ask(state_with(vec![gone()]), "/healthz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_type_of_a_problem_leads_to_its_meaning() {
    let router = router(state());
    for code in Code::ALL {
        let path = format!("/problems/{}", code.as_str());
        let kind = json_of(send(router.clone(), request("GET", &path).body(Body::empty()).unwrap()).await).await;
        assert_eq!(kind, json!({ "code": code, "title": code.title(), "status": code.status().as_u16() }));
    }
    let unknown = send(router.clone(), request("GET", "/problems/x").body(Body::empty()).unwrap()).await;
    assert_eq!(code_of(unknown).await, "problem.not_found");
}
