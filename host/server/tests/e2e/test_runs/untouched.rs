//! A test leaves nothing behind and reaches nobody.

use std::fs;

use armilla_domain::id::{RunId, WorkspaceId};
use armilla_engine::RunFilter;
use armilla_testkit::agent::ScriptedAgent;
use reqwest::Method;
use serde_json::json;

use super::test;
use crate::harness::{TestServer, agent_step, component, tool_step, with};

#[tokio::test]
async fn nothing_is_written_and_nobody_is_called() {
    let (server, agent) = TestServer::with_agent_and_plugins().await;
    let steps = json!([
        { "type": "set", "id": "who", "vars": { "run_id": "run.id" } },
        tool_step("slug", "text.slugify", json!({ "text": "Pure" })),
        { "type": "approval", "id": "ok", "message": "Go?" },
        with(agent_step("mocked", "Hi"), json!({ "retry": { "maxAttempts": 2 } })),
        agent_step("open", "Hi"),
    ]);
    let workflow = server.admin.create(json!({ "steps": steps, "concurrency": { "max": 1 } })).await;
    let events = server.admin.get("/events").await.expect(200);
    let mocks = json!({ "mocked": { "output": 1 } });
    let tested = test(&server.admin, &workflow, json!({ "mocks": mocks, "events": [{ "name": "e" }] })).await;
    assert_eq!((&tested["status"], &tested["missing"]), (&json!("unmocked"), &json!(["open"])), "{tested:#}");

    let run: RunId = tested["vars"]["run_id"].as_str().unwrap().parse().unwrap();
    let store = server.engine.store();
    assert!(store.journal(run).await.unwrap().is_empty());
    assert!(store.inbox(run).await.unwrap().is_empty());
    let runs = server.engine.runs(WorkspaceId::DEFAULT, &RunFilter::default(), None, 10).await.unwrap();
    assert!(runs.is_empty(), "{runs:?}");
    server.admin.get(&format!("/runs/{run}")).await.problem(404, "run.not_found");
    assert_eq!(server.admin.get("/events").await.expect(200), events);
    assert_eq!(
        server.admin.get(&format!("/workflows/{workflow}/versions")).await.expect(200)["versions"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert!(agent.calls().is_empty());
}

#[tokio::test]
async fn a_tool_that_is_granted_something_is_missing_and_one_that_is_denied_it_tells_nobody() {
    let (server, peer) = tokio::join!(TestServer::start(), ScriptedAgent::start());
    let push = server.admin.request(Method::POST, "/plugins").header("content-type", "application/wasm");
    server.admin.send(push.body(fs::read(component("plugins", "http")).unwrap())).await.expect(201);
    let request = tool_step("r", "http.request", json!({ "url": peer.endpoint() }));
    let workflow = server.admin.create(json!({ "steps": [request] })).await;
    let events = server.admin.get("/events").await.expect(200);
    let denied = test(&server.admin, &workflow, json!({})).await;
    assert_eq!(
        (&denied["status"], &denied["error"]["code"]),
        (&json!("failed"), &json!("tool.capability_denied")),
        "{denied:#}"
    );
    assert_eq!(server.admin.get("/events").await.expect(200), events);

    let way = json!({ "host": "127.0.0.1", "schemes": ["http"], "methods": ["GET"] });
    server.admin.put("/plugins/http/grants", &json!({ "http": [way] })).await.expect(200);
    let missing = test(&server.admin, &workflow, json!({})).await;
    assert_eq!((&missing["status"], &missing["missing"]), (&json!("unmocked"), &json!(["r"])), "{missing:#}");
    let mocked = test(&server.admin, &workflow, json!({ "mocks": { "r": { "output": { "status": 200 } } } })).await;
    assert_eq!((&mocked["status"], &mocked["vars"]["r"]), (&json!("success"), &json!({ "status": 200 })));
    assert!(peer.calls().is_empty());
}
