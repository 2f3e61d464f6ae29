//! What the operations answer before, and without, a database. `server` tests them with one.

use std::collections::HashSet;

use axum::Router;
use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::{bearer, code_of, json_of, problem_of, request, send, state};
use crate::auth::Role;
use crate::routes::router;

const WORKFLOW: &str = "/workflows/wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70";
const TEMPLATE: &str = "/prompt-templates/pt_0196f0c45e7a7c3f8d1b2a3c4d5e6f70";
const WEBHOOK: &str = "/webhooks/wh_0196f0c45e7a7c3f8d1b2a3c4d5e6f70";
const DELIVERY: &str = "/webhooks/deliveries/dlv_0196f0c45e7a7c3f8d1b2a3c4d5e6f70";
const RUN: &str = "/runs/run_0196f0c45e7a7c3f8d1b2a3c4d5e6f70";

async fn ask(role: Role, method: &str, path: &str, body: Option<Value>) -> Response {
    ask_of(router(state()), role, method, path, body).await
}

async fn ask_of(router: Router, role: Role, method: &str, path: &str, body: Option<Value>) -> Response {
    let request = request(method, path).header("authorization", bearer(role));
    let request = match body {
        Some(body) => request.header("content-type", "application/json").body(Body::from(body.to_string())),
        None => request.body(Body::empty()),
    };
    send(router, request.unwrap()).await
}

/// One request for every operation that needs the database; it would succeed with one.
fn operations() -> Vec<(Role, &'static str, String, Option<Value>)> {
    let definition = json!({ "steps": [{ "type": "agent", "id": "a", "agentId": "writer", "message": "Hello" }] });
    let agent = json!({ "id": "writer", "protocol": "http", "endpoint": "http://localhost/" });
    let webhook = json!({ "url": "https://example.com/in", "events": ["*"] });
    // A day before the clock of these tests.
    let since = json!({ "since": "2026-01-30T00:00:00Z" });
    vec![
        (Role::Member, "POST", "/workflows".into(), Some(json!({ "name": "n", "definition": definition }))),
        (Role::Viewer, "GET", "/workflows".into(), None),
        (Role::Viewer, "GET", WORKFLOW.into(), None),
        (Role::Member, "DELETE", WORKFLOW.into(), None),
        (Role::Member, "POST", format!("{WORKFLOW}/run"), Some(json!({ "input": {} }))),
        (Role::Member, "POST", format!("{WORKFLOW}/run?wait=0"), None),
        (Role::Member, "POST", format!("{WORKFLOW}/test"), Some(json!({ "mocks": {} }))),
        (Role::Member, "POST", format!("{WORKFLOW}/test"), None),
        (Role::Viewer, "GET", format!("{WORKFLOW}/runs"), None),
        (Role::Viewer, "GET", RUN.into(), None),
        (Role::Viewer, "GET", format!("{RUN}/steps"), None),
        (Role::Admin, "POST", "/agents".into(), Some(agent.clone())),
        (Role::Viewer, "GET", "/agents".into(), None),
        (Role::Viewer, "GET", "/agents/writer".into(), None),
        (Role::Admin, "PUT", "/agents/writer".into(), Some(agent)),
        (Role::Admin, "DELETE", "/agents/writer".into(), None),
        (
            Role::Admin,
            "POST",
            "/prompt-templates".into(),
            Some(json!({ "name": "n", "template": "{% include \"t\" %}" })),
        ),
        (Role::Viewer, "GET", "/prompt-templates?category=c".into(), None),
        (Role::Viewer, "GET", TEMPLATE.into(), None),
        (Role::Admin, "PUT", TEMPLATE.into(), Some(json!({ "template": "t" }))),
        (Role::Admin, "DELETE", TEMPLATE.into(), None),
        (Role::Viewer, "GET", format!("{TEMPLATE}/versions"), None),
        (Role::Member, "POST", format!("{TEMPLATE}/render"), Some(json!({ "variables": {} }))),
        (Role::Viewer, "GET", "/agents/writer/prompt-versions".into(), None),
        (Role::Admin, "POST", "/agents/writer/prompt-versions".into(), Some(json!({ "systemPrompt": "p" }))),
        (Role::Viewer, "GET", "/agents/writer/prompt-versions/1".into(), None),
        (Role::Admin, "POST", "/agents/writer/prompt-versions/1/restore".into(), None),
        (Role::Viewer, "GET", "/agents/writer/prompt-versions/1/diff/2".into(), None),
        (Role::Viewer, "GET", "/agents/writer/prompt-versions/1/metrics".into(), None),
        (Role::Viewer, "GET", "/agents/writer/prompt-labels".into(), None),
        (Role::Admin, "POST", "/webhooks".into(), Some(webhook.clone())),
        (Role::Viewer, "GET", "/webhooks".into(), None),
        (Role::Viewer, "GET", WEBHOOK.into(), None),
        (Role::Admin, "PUT", WEBHOOK.into(), Some(webhook)),
        (Role::Admin, "DELETE", WEBHOOK.into(), None),
        (Role::Admin, "POST", format!("{WEBHOOK}/rotate-secret"), None),
        (Role::Admin, "POST", format!("{WEBHOOK}/enable"), None),
        (Role::Admin, "POST", format!("{WEBHOOK}/disable"), None),
        (Role::Admin, "POST", format!("{WEBHOOK}/test"), None),
        (Role::Viewer, "GET", format!("{WEBHOOK}/deliveries"), None),
        (Role::Admin, "POST", format!("{WEBHOOK}/recover"), Some(since.clone())),
        (Role::Admin, "POST", format!("{WEBHOOK}/replay"), Some(since)),
        (Role::Admin, "POST", "/webhooks/test-mode/enable".into(), None),
        (Role::Admin, "POST", "/webhooks/test-mode/disable".into(), None),
        (Role::Viewer, "GET", "/webhooks/test-mode/log".into(), None),
        (Role::Viewer, "GET", "/webhooks/deliveries?status=failed".into(), None),
        (Role::Admin, "GET", DELIVERY.into(), None),
        (Role::Admin, "POST", format!("{DELIVERY}/resend"), None),
        (Role::Admin, "PUT", "/agents/writer/prompt-labels/production".into(), Some(json!({ "version": 1 }))),
        (Role::Admin, "DELETE", "/agents/writer/prompt-labels/production".into(), None),
        (Role::Viewer, "GET", "/agents/writer/prompt-labels/production/history".into(), None),
        (Role::Viewer, "GET", "/agents/writer/prompt-override".into(), None),
        (Role::Admin, "PUT", "/agents/writer/prompt-override".into(), Some(json!({ "systemPrompt": "p" }))),
        (Role::Admin, "DELETE", "/agents/writer/prompt-override".into(), None),
        (Role::Viewer, "GET", "/agents/writer/prompt-overrides".into(), None),
    ]
}

#[tokio::test]
async fn a_database_that_is_away_makes_every_operation_unavailable_for_a_second() {
    let router = router(state());
    for (role, method, path, body) in operations() {
        let response = ask_of(router.clone(), role, method, &path, body).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{method} {path}");
        assert_eq!(response.headers()[header::RETRY_AFTER], "1", "{method} {path}");
        assert_eq!(code_of(response).await, "store.unavailable", "{method} {path}");
    }
}

#[tokio::test]
async fn a_lesser_role_is_refused_whatever_the_body() {
    let router = router(state());
    for (needed, method, path, body) in operations() {
        for role in Role::ALL.into_iter().filter(|role| *role < needed) {
            let body = body.as_ref().map(|_| json!("nonsense"));
            let response = ask_of(router.clone(), role, method, &path, body).await;
            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{role}: {method} {path}");
            assert_eq!(code_of(response).await, "auth.role");
        }
    }
}

#[tokio::test]
async fn a_text_that_cannot_be_an_id_names_nothing() {
    for (method, path, code) in [
        ("GET", "/workflows/x", "workflow.not_found"),
        ("DELETE", "/workflows/x", "workflow.not_found"),
        ("POST", "/workflows/run_0196f0c45e7a7c3f8d1b2a3c4d5e6f70/run", "workflow.not_found"),
        ("GET", "/workflows/x/runs", "workflow.not_found"),
        ("GET", "/runs/x", "run.not_found"),
        ("GET", "/runs/wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70/steps", "run.not_found"),
        ("GET", "/tools/x", "tool.not_found"),
        ("GET", "/webhooks/x", "webhook.not_found"),
        ("GET", "/webhooks/test-mode", "webhook.not_found"),
        ("POST", "/webhooks/test-mode/test", "webhook.not_found"),
        ("GET", "/webhooks/deliveries/deliveries", "delivery.not_found"),
        ("POST", "/webhooks/deliveries/wh_0196f0c45e7a7c3f8d1b2a3c4d5e6f70/resend", "delivery.not_found"),
    ] {
        let response = ask(Role::Owner, method, path, None).await;
        assert_eq!((response.status(), code_of(response).await), (StatusCode::NOT_FOUND, code.into()), "{path}");
    }
    let response = ask(Role::Viewer, "GET", "/agents/a%00b", None).await;
    assert_eq!((response.status(), code_of(response).await), (StatusCode::BAD_REQUEST, "path.invalid".into()));
}

fn pointers(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().unwrap().iter().map(|fault| fault["pointer"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn every_fault_of_a_definition_is_placed_in_the_body() {
    let steps = json!([{ "type": "agent", "id": "a" }, { "type": "nonsense", "id": "b" }]);
    let body = json!({ "name": "n", "definition": { "steps": steps } });
    let response = ask(Role::Member, "POST", "/workflows", Some(body)).await;
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let problem = problem_of(response).await;
    assert_eq!(problem["code"], "workflow.invalid");
    let pointers = pointers(&problem);
    for step in ["/definition/steps/0", "/definition/steps/1"] {
        assert!(pointers.iter().any(|pointer| pointer.starts_with(step)), "{problem}");
    }
    assert!(pointers.iter().all(|pointer| pointer.starts_with("/definition")), "{problem}");

    let nothing = ask(Role::Member, "POST", "/workflows", Some(json!({ "name": "n", "definition": 7 }))).await;
    assert_eq!(self::pointers(&problem_of(nothing).await), ["/definition"]);
}

#[tokio::test]
async fn every_fault_of_an_agent_is_placed_in_the_body() {
    let response = ask(Role::Admin, "POST", "/agents", Some(json!({ "id": "No", "protocol": "x" }))).await;
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let problem = problem_of(response).await;
    assert_eq!(problem["code"], "agent.invalid");
    let pointers = pointers(&problem);
    assert!(["/id", "/protocol", "/endpoint"].iter().all(|place| pointers.contains(place)), "{problem}");

    let other = json!({ "id": "other", "protocol": "http", "endpoint": "http://localhost/" });
    let problem = problem_of(ask(Role::Admin, "PUT", "/agents/writer", Some(other)).await).await;
    assert_eq!(self::pointers(&problem), ["/id"]);
}

#[tokio::test]
async fn every_fault_of_a_webhook_is_told_at_once_whether_of_its_shape_or_of_its_meaning() {
    let body = json!({
        "url": "http://10.0.0.1:22", "events": ["run.exploded"], "secret": "whsec_hunter2", "concurrency": "many",
        "rate": { "count": 0, "per": "second" }, "colour": "red",
    });
    let response = ask(Role::Admin, "POST", "/webhooks", Some(body)).await;
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let problem = problem_of(response).await;
    assert_eq!(problem["code"], "webhook.invalid");
    let found: HashSet<_> =
        problem["errors"].as_array().unwrap().iter().map(|one| (one["pointer"].clone(), one["code"].clone())).collect();
    let expected = [
        ("/concurrency", "body.type"),
        ("/rate/count", "body.minimum"),
        ("/colour", "body.additional_properties"),
        ("/secret", "webhook.secret"),
        ("/url", "webhook.refused_address"),
        ("/events/0", "webhook.unknown_event"),
    ];
    assert_eq!(found, expected.map(|(pointer, code)| (json!(pointer), json!(code))).into(), "{problem:#}");
    assert!(!problem.to_string().contains("hunter2"), "{problem}");

    let problem = problem_of(ask(Role::Admin, "POST", "/webhooks", Some(json!({ "colour": "red" }))).await).await;
    assert_eq!(pointers(&problem), ["/colour", "/url", "/events"]);
    let problem = problem_of(ask(Role::Admin, "POST", "/webhooks", Some(json!({}))).await).await;
    assert_eq!((&problem["code"], pointers(&problem)), (&json!("webhook.invalid"), vec!["/url", "/events"]));
    let problem = problem_of(ask(Role::Admin, "POST", "/webhooks", Some(json!([]))).await).await;
    assert_eq!((&problem["code"], pointers(&problem)), (&json!("body.invalid"), vec![""]));
}

#[tokio::test]
async fn a_webhook_is_not_given_another_key_in_passing() {
    let body = json!({ "url": "ftp://example.com", "events": ["*"], "secret": "x", "scheme": "v1a" });
    let problem = problem_of(ask(Role::Admin, "PUT", WEBHOOK, Some(body)).await).await;
    assert_eq!(pointers(&problem), ["/secret", "/scheme", "/url"]);
}

#[tokio::test]
async fn a_run_s_input_that_is_no_object_and_a_wait_that_is_no_duration_are_refused() {
    let run = format!("{WORKFLOW}/run");
    let problem = problem_of(ask(Role::Member, "POST", &run, Some(json!({ "input": [] }))).await).await;
    assert_eq!((&problem["status"], pointers(&problem)), (&json!(422), vec!["/input"]));
    let response = ask(Role::Member, "POST", &format!("{run}?wait=soon"), None).await;
    assert_eq!(code_of(response).await, "query.invalid");
}

#[tokio::test]
async fn a_host_that_is_stopping_starts_nothing_and_says_when_to_come_back() {
    let state = state();
    state.engine.stop().await;
    let request = request("POST", &format!("{WORKFLOW}/run")).header("authorization", bearer(Role::Member));
    let response = send(router(state), request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.headers()[header::RETRY_AFTER], "5");
    assert_eq!(code_of(response).await, "server.unavailable");
}

#[tokio::test]
async fn a_host_without_plugins_has_no_tools() {
    let response = ask(Role::Viewer, "GET", "/tools", None).await;
    assert_eq!(json_of(response).await, json!({ "tools": [], "nextCursor": null }));
}
