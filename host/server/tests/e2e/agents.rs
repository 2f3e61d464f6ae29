//! Registering, changing and removing agents.

use armilla_domain::id::WorkspaceId;
use armilla_testkit::agent::{Answer, ScriptedAgent};
use serde_json::{Value, json};

use crate::harness::{TestServer, agent_step};

#[tokio::test]
async fn an_agent_is_made_read_changed_and_removed() {
    let server = TestServer::start().await;
    let config = json!({
        "id": "writer-agent", "displayName": "Writer", "protocol": "openai", "endpoint": "http://127.0.0.1:1/v1",
        "model": { "modelId": "small" }, "systemPromptTemplate": "You write.", "limits": { "timeout": "30s" },
    });
    let answer = server.admin.post("/agents", &config).await;
    assert_eq!(answer.header("location"), "/agents/writer-agent");
    let made = answer.expect(201)["agent"].take();
    for (field, value) in config.as_object().unwrap() {
        assert_eq!(&made[field], value);
    }
    assert_eq!(made["version"], 1);
    assert_eq!(server.admin.get("/agents/writer-agent").await.expect(200)["agent"], made);

    let other = json!({ "protocol": "http", "endpoint": "http://127.0.0.1:2" });
    for version in [2, 3] {
        let changed = server.admin.put("/agents/writer-agent", &other).await.expect(200)["agent"].take();
        assert_eq!((&changed["version"], &changed["protocol"]), (&json!(version), &json!("http")));
        assert!(changed.get("model").is_none(), "a configuration is replaced whole: {changed:#}");
        assert_eq!(changed["createdAt"], made["createdAt"]);
    }
    server.admin.delete("/agents/writer-agent").await.expect(204);
    server.admin.get("/agents/writer-agent").await.problem(404, "agent.not_found");
    server.admin.put("/agents/writer-agent", &other).await.problem(404, "agent.not_found");
}

#[tokio::test]
async fn an_id_that_is_taken_is_a_conflict_and_nothing_changes() {
    let (server, agent) = TestServer::with_agent().await;
    let config = json!({ "id": "scripted", "protocol": "http", "endpoint": "http://127.0.0.1:1" });
    server.admin.post("/agents", &config).await.problem(409, "agent.exists");
    let kept = server.admin.get("/agents/scripted").await.expect(200);
    assert_eq!((&kept["agent"]["endpoint"], &kept["agent"]["version"]), (&json!(agent.endpoint()), &json!(1)));
}

#[tokio::test]
async fn every_fault_of_a_configuration_comes_at_once() {
    let server = TestServer::start().await;
    let config =
        json!({ "id": "Not Kebab", "protocol": "telepathy", "endpoint": "ftp://x", "model": { "temperature": 9 } });
    let problem = server.admin.post("/agents", &config).await.problem(422, "agent.invalid");
    let mut pointers: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/endpoint", "/id", "/model/temperature", "/protocol"]);
    server
        .admin
        .put("/agents/a", &json!({ "id": "b", "protocol": "http", "endpoint": "http://h" }))
        .await
        .problem(422, "agent.invalid");
}

#[tokio::test]
async fn a_changed_agent_is_called_from_the_next_call_on_and_the_step_says_which_version_answered() {
    let (server, first) = TestServer::with_agent().await;
    let second = ScriptedAgent::start().await;
    let workflow = server.admin.create(json!({ "steps": [agent_step("ask", "Hi")] })).await;
    let before = server.admin.run(&workflow, json!({})).await;
    let config = json!({ "protocol": "openai", "endpoint": second.endpoint() });
    server.admin.put("/agents/scripted", &config).await.expect(200);
    let after = server.admin.run(&workflow, json!({})).await;
    assert_eq!((first.calls().len(), second.calls().len()), (1, 1));
    let mut answerers = Vec::new();
    for run in [before, after] {
        answerers.push(server.admin.steps(run["id"].as_str().unwrap()).await[0]["answerer"].take());
    }
    assert_eq!((&answerers[0]["version"], &answerers[1]["version"]), (&json!("1"), &json!("2")));
    assert_ne!(answerers[0]["digest"], answerers[1]["digest"]);
}

#[tokio::test]
async fn an_agent_in_a_network_that_is_not_let_through_is_not_called() {
    let server = TestServer::start().await;
    let config = json!({ "id": "scripted", "protocol": "http", "endpoint": "http://10.1.2.3/" });
    server.admin.post("/agents", &config).await.expect(201);
    let run = server.admin.run_steps(json!([agent_step("ask", "Hi")])).await;
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!("agent.address_refused")), "{run:#}");
    assert_eq!(run["error"]["attempts"], 1);
}

#[tokio::test]
async fn an_agent_s_secret_is_read_at_each_call_and_shown_nowhere() {
    let (server, agent) = tokio::join!(TestServer::start(), ScriptedAgent::start());
    let config = json!({ "id": "scripted", "protocol": "openai", "endpoint": agent.endpoint(), "auth": { "secret": "models.key" } });
    let made = server.admin.post("/agents", &config).await.expect(201);
    assert_eq!(made["agent"]["auth"], json!({ "secret": "models.key" }));
    let workflow = server.admin.create(json!({ "steps": [agent_step("ask", "Hi")] })).await;

    let without = server.admin.run(&workflow, json!({})).await;
    assert_eq!(without["error"]["code"], "agent.secret_missing", "{without:#}");
    assert!(agent.calls().is_empty());

    for value in ["first-value-of-it", "second-value-of-it"] {
        server.admin.put("/secrets/models.key", &json!({ "value": value })).await.expect(200);
        // One that repeats what it was sent.
        agent.answers(Answer::text(format!("You said Bearer {value}.")));
        let run = server.admin.run(&workflow, json!({})).await;
        assert_eq!(agent.calls().last().unwrap().header("authorization"), format!("Bearer {value}"));
        assert_eq!(run["vars"]["ask"], "You said Bearer [secret].", "{run:#}");
        let steps = server.admin.get(&format!("/runs/{}/steps", run["id"].as_str().unwrap())).await.expect(200);
        assert!(!steps.to_string().contains(value), "{steps:#}");
    }

    // The same name in another workspace is another secret.
    let other = server.admin_of(WorkspaceId::from_parts(1, [1; 10]));
    other.post("/agents", &config).await.expect(201);
    let run = other.run_steps(json!([agent_step("ask", "Hi")])).await;
    assert_eq!(run["error"]["code"], "agent.secret_missing", "{run:#}");
}

#[tokio::test]
async fn an_agent_that_speaks_a2a_is_found_by_its_card_and_its_task_becomes_the_output() {
    let server = TestServer::start().await;
    let agent = ScriptedAgent::start().await;
    let config = json!({ "id": "scripted", "protocol": "a2a", "endpoint": agent.endpoint() });
    let with_model =
        json!({ "id": "scripted", "protocol": "a2a", "endpoint": agent.endpoint(), "model": { "modelId": "m" } });
    let problem = server.admin.post("/agents", &with_model).await.problem(422, "agent.invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/model");
    server.admin.post("/agents", &config).await.expect(201);

    let json_of = |value: Value| Answer::raw(200, "application/json", value.to_string());
    let interface = json!({ "url": agent.endpoint(), "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0" });
    agent.answers(json_of(json!({ "supportedInterfaces": [interface] })));
    agent.answers(json_of(json!({ "task": { "id": "t-1", "status": { "state": "TASK_STATE_WORKING" } } })));
    let artifact = json!({ "artifactId": "a", "parts": [{ "data": { "price": 12.0 } }] });
    let ended = json!({ "id": "t-1", "status": { "state": "TASK_STATE_COMPLETED" }, "artifacts": [artifact] });
    agent.answers(json_of(ended));
    let run = server.admin.run_steps(json!([agent_step("ask", "To Rome")])).await;
    assert_eq!((&run["status"], &run["vars"]["ask"]), (&json!("success"), &json!({ "price": 12 })), "{run:#}");
    let paths: Vec<String> = agent.calls().into_iter().map(|call| call.path).collect();
    assert_eq!(paths, ["/v1/.well-known/agent-card.json", "/v1/message:send", "/v1/tasks/t-1?historyLength=0"]);
}
