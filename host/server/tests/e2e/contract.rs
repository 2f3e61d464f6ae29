//! The OpenAPI document and the server that serves it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::TestServer;

/// What the design fixes for existing clients, and what this version adds.
const PROMISED: [(&str, &str); 97] = [
    ("post", "/workflows"),
    ("get", "/workflows"),
    ("get", "/workflows/{id}"),
    ("delete", "/workflows/{id}"),
    ("post", "/workflows/{id}/run"),
    ("get", "/workflows/{id}/runs"),
    ("get", "/runs/{id}"),
    ("get", "/runs/{id}/steps"),
    ("get", "/runs"),
    ("get", "/runs/{id}/events"),
    ("post", "/runs/{id}/cancel"),
    ("post", "/runs/{id}/pause"),
    ("post", "/runs/{id}/resume"),
    ("post", "/runs/{id}/retry"),
    ("post", "/runs/{id}/fork"),
    ("post", "/runs/{id}/signals/{event}"),
    ("post", "/runs/bulk"),
    ("get", "/approvals"),
    ("get", "/approvals/{id}"),
    ("post", "/approvals/{id}/approve"),
    ("post", "/approvals/{id}/deny"),
    ("post", "/agents"),
    ("get", "/agents"),
    ("get", "/agents/{id}"),
    ("put", "/agents/{id}"),
    ("delete", "/agents/{id}"),
    ("get", "/agents/{id}/versions"),
    ("get", "/agents/{id}/versions/{version}"),
    ("post", "/agents/{id}/rollback/{version}"),
    ("post", "/agents/{id}/clone"),
    ("post", "/agents/{id}/test"),
    ("post", "/agent/chat"),
    ("post", "/agent/chat/stream"),
    ("post", "/pipelines/run"),
    ("get", "/pipeline-templates"),
    ("post", "/pipeline-templates/execute"),
    ("post", "/prompt-templates"),
    ("get", "/prompt-templates"),
    ("get", "/prompt-templates/{id}"),
    ("put", "/prompt-templates/{id}"),
    ("delete", "/prompt-templates/{id}"),
    ("get", "/prompt-templates/{id}/versions"),
    ("post", "/prompt-templates/{id}/render"),
    ("get", "/agents/{id}/prompt-versions"),
    ("post", "/agents/{id}/prompt-versions"),
    ("get", "/agents/{id}/prompt-versions/{version}"),
    ("post", "/agents/{id}/prompt-versions/{version}/restore"),
    ("get", "/agents/{id}/prompt-versions/{version}/diff/{other}"),
    ("get", "/agents/{id}/prompt-versions/{version}/metrics"),
    ("get", "/agents/{id}/prompt-labels"),
    ("put", "/agents/{id}/prompt-labels/{label}"),
    ("delete", "/agents/{id}/prompt-labels/{label}"),
    ("get", "/agents/{id}/prompt-labels/{label}/history"),
    ("get", "/agents/{id}/prompt-override"),
    ("put", "/agents/{id}/prompt-override"),
    ("get", "/agents/{id}/prompt-overrides"),
    ("post", "/schedules"),
    ("get", "/schedules"),
    ("get", "/schedules/{id}"),
    ("put", "/schedules/{id}"),
    ("delete", "/schedules/{id}"),
    ("post", "/schedules/{id}/pause"),
    ("post", "/schedules/{id}/resume"),
    ("post", "/schedules/{id}/run"),
    ("post", "/schedules/{id}/backfill"),
    ("get", "/schedules/{id}/occurrences"),
    ("post", "/inbound-hooks"),
    ("get", "/inbound-hooks"),
    ("get", "/inbound-hooks/{id}"),
    ("put", "/inbound-hooks/{id}"),
    ("delete", "/inbound-hooks/{id}"),
    ("post", "/inbound-hooks/{id}/rotate-token"),
    ("get", "/inbound-hooks/{id}/calls"),
    ("post", "/hooks/{token}"),
    ("post", "/webhooks"),
    ("get", "/webhooks"),
    ("get", "/webhooks/{id}"),
    ("put", "/webhooks/{id}"),
    ("delete", "/webhooks/{id}"),
    ("post", "/webhooks/{id}/test"),
    ("get", "/webhooks/{id}/deliveries"),
    ("post", "/webhooks/{id}/rotate-secret"),
    ("post", "/webhooks/{id}/enable"),
    ("post", "/webhooks/{id}/disable"),
    ("post", "/webhooks/{id}/recover"),
    ("post", "/webhooks/{id}/replay"),
    ("post", "/webhooks/test-mode/enable"),
    ("post", "/webhooks/test-mode/disable"),
    ("get", "/webhooks/test-mode/log"),
    ("get", "/webhooks/deliveries"),
    ("get", "/webhooks/deliveries/{id}"),
    ("post", "/webhooks/deliveries/{id}/resend"),
    ("get", "/tools"),
    ("get", "/tools/{name}"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/openapi.json"),
];

#[tokio::test]
async fn the_document_covers_what_is_promised_and_every_operation_of_it_is_served() {
    let server = TestServer::with_plugins().await;
    let document = server.admin.without_token().get("/openapi.json").await.expect(200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    for (method, path) in PROMISED {
        assert!(document["paths"][path][method].is_object(), "{method} {path}");
    }
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let concrete = path.replace("{id}", "x").replace("{name}", "x").replace("{code}", "x");
            // A stream that begins has no end that could be read.
            let concrete = concrete.replace("/events/stream", "/events/stream?after=x");
            let answer = server.admin.send(server.admin.request(method.clone(), &concrete)).await;
            let code = answer.body["code"].as_str().unwrap_or_default();
            assert!(!code.starts_with("route.") && answer.status != 500, "{method} {path}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn every_operation_that_needs_a_token_says_so_and_does() {
    let server = TestServer::with_plugins().await;
    let document = server.admin.get("/openapi.json").await.expect(200);
    let nobody = server.admin.without_token();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let needs_token = operation["security"].as_array().is_some_and(|schemes| !schemes.is_empty());
            let method: Method = method.to_uppercase().parse().unwrap();
            let answer = nobody.send(nobody.request(method.clone(), path)).await;
            assert_eq!(answer.status == 401, needs_token, "{method} {path}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn what_is_answered_has_exactly_the_documented_fields() {
    let server = TestServer::with_plugins().await;
    let document = server.admin.get("/openapi.json").await.expect(200);
    let definition = json!({ "steps": [{ "type": "tool", "id": "t", "toolName": "jq", "params": { "filter": "1" } }] });
    let workflow = server.admin.create(definition).await;
    let run = server.admin.run(&workflow, json!({})).await;
    let run_id = run["id"].as_str().unwrap().to_owned();
    let agent = json!({ "id": "a", "protocol": "http", "endpoint": "http://h.example.com" });
    server.admin.post("/agents", &agent).await.expect(201);

    let workflow = server.admin.get(&format!("/workflows/{workflow}")).await.expect(200)["workflow"].take();
    let summary = server.admin.get(&format!("/workflows/{}/runs", workflow["id"].as_str().unwrap())).await.expect(200)
        ["runs"][0]
        .take();
    let step = server.admin.steps(&run_id).await.remove(0);
    let tool = server.admin.get("/tools/jq").await.expect(200)["tool"].take();
    let agent = server.admin.get("/agents/a").await.expect(200)["agent"].take();
    let prompt = json!({ "systemPrompt": "p", "label": "l" });
    let version = server.admin.post("/agents/a/prompt-versions", &prompt).await.expect(201)["promptVersion"].take();
    let label = server.admin.get("/agents/a/prompt-labels").await.expect(200)["promptLabels"][0].take();
    let moved = server.admin.get("/agents/a/prompt-labels/l/history").await.expect(200)["moves"][0].take();
    let over =
        server.admin.put("/agents/a/prompt-override", &json!({ "version": 1 })).await.expect(200)["promptOverride"]
            .take();
    let diff = server.admin.get("/agents/a/prompt-versions/1/diff/1").await.expect(200)["diff"].take();
    let metrics = server.admin.get("/agents/a/prompt-versions/1/metrics").await.expect(200)["metrics"].take();
    let template = json!({ "name": "t", "template": "text" });
    let template = server.admin.post("/prompt-templates", &template).await.expect(201)["promptTemplate"].take();
    let render = format!("/prompt-templates/{}/render", template["id"].as_str().unwrap());
    let rendered = server.admin.post(&render, &json!({})).await.expect(200);
    let schedule = json!({ "name": "s", "workflowId": workflow["id"], "every": "1d" });
    let schedule = server.admin.post("/schedules", &schedule).await.expect(201)["schedule"].take();
    let occurrence = format!("/schedules/{}/run", schedule["id"].as_str().unwrap());
    let occurrence = server.admin.post(&occurrence, &json!({})).await.expect(202)["occurrence"].take();
    let asks = server.admin.start_steps(json!([{ "type": "approval", "id": "ok", "message": "Go?" }])).await;
    let approval = format!("/approvals/{}", server.admin.asked(&asks, 1).await[0]);
    let approval = server.admin.get(&approval).await.expect(200)["approval"].take();
    let hook = json!({ "name": "h", "workflowId": workflow["id"] });
    let hook = server.admin.post("/inbound-hooks", &hook).await.expect(201);
    let hook_path = hook["path"].as_str().unwrap().to_owned();
    let called = server.admin.without_token().post(&hook_path, &json!({})).await.expect(202);
    let calls = format!("/inbound-hooks/{}/calls", hook["inboundHook"]["id"].as_str().unwrap());
    let call = server.admin.get(&calls).await.expect(200)["calls"][0].take();
    // Nobody listens there: what is answered has all its fields all the same.
    let webhook =
        json!({ "url": "http://127.0.0.1:8999/", "events": ["run.failed"], "rate": { "count": 1, "per": "minute" } });
    let created = server.admin.post("/webhooks", &webhook).await.expect(201);
    let webhook_path = format!("/webhooks/{}", created["id"].as_str().unwrap());
    let webhook = server.admin.get(&webhook_path).await.expect(200)["webhook"].take();
    let tested = server.admin.post(&format!("{webhook_path}/test"), &json!({})).await.expect(200);
    let delivery = server.admin.get(&format!("{webhook_path}/deliveries")).await.expect(200)["deliveries"][0].take();
    let rotated = server.admin.post(&format!("{webhook_path}/rotate-secret"), &json!({})).await.expect(200);
    let log = server.admin.get("/webhooks/test-mode/log").await.expect(200);
    let bulk = server.admin.post("/runs/bulk", &json!({ "action": "cancel", "all": true })).await.expect(200);
    let answered = [
        ("Workflow", workflow),
        ("Run", run),
        ("RunSummary", summary),
        ("Step", step),
        ("Tool", tool),
        ("Agent", agent),
        ("Approval", approval),
        ("PromptVersion", version),
        ("PromptLabel", label),
        ("PromptLabelMove", moved),
        ("PromptOverride", over),
        ("PromptDiff", diff),
        ("PromptMetrics", metrics),
        ("PromptTemplate", template),
        ("RenderedPromptResponse", rendered),
        ("Schedule", schedule),
        ("Occurrence", occurrence),
        ("BulkResponse", bulk),
        ("InboundHook", hook["inboundHook"].clone()),
        ("InboundHookTokenResponse", hook),
        ("HookCallResponse", called),
        ("InboundHookCall", call),
        ("WebhookKey", webhook["keys"][0].clone()),
        ("Webhook", webhook),
        ("CreatedWebhook", created),
        ("WebhookSecretResponse", rotated),
        ("WebhookDelivery", delivery),
        ("WebhookAttempt", tested["delivery"]["attempts"][0].clone()),
        ("WebhookDeliveryDetail", tested["delivery"].clone()),
        ("WebhookTestResponse", tested),
        ("WebhookTestModeLogResponse", log),
    ];
    for (name, value) in answered {
        let (fields, required) = fields_of(&document, &document["components"]["schemas"][name]);
        assert!(!fields.is_empty(), "{name} is documented");
        for field in value.as_object().unwrap().keys() {
            assert!(fields.contains(field), "{name}.{field} is not documented");
        }
        for field in required {
            assert!(value.get(&field).is_some(), "{name}.{field} is missing: {value:#}");
        }
    }
}

/// The fields of an object's schema and those that are required, its parts included.
fn fields_of(document: &Value, schema: &Value) -> (Vec<String>, Vec<String>) {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/components/schemas/")) {
        return fields_of(document, &document["components"]["schemas"][name]);
    }
    let mut fields: Vec<String> =
        schema["properties"].as_object().into_iter().flat_map(|own| own.keys().cloned()).collect();
    let required = schema["required"].as_array().into_iter().flatten();
    let mut required: Vec<String> = required.map(|name| name.as_str().unwrap().to_owned()).collect();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        let (more, more_required) = fields_of(document, part);
        fields.extend(more);
        required.extend(more_required);
    }
    (fields, required)
}

#[tokio::test]
async fn the_process_is_alive_and_ready() {
    let server = TestServer::with_plugins().await;
    let nobody = server.admin.without_token();
    assert_eq!(nobody.get("/healthz").await.expect(200)["status"], "ok");
    let ready = nobody.get("/readyz").await.expect(200);
    assert_eq!((&ready["status"], &ready["checks"][0]["name"]), (&json!("ready"), &json!("database")));
}
