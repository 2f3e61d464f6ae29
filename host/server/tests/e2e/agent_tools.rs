//! Tools for agents: exactly those that a step names, called in the sandbox, each once whatever happens to hosts.

use armilla_testkit::agent::{Answer, ScriptedAgent};
use armilla_testkit::db::TestDatabase;
use serde_json::{Value, json};

use crate::harness::{Client, ServerProcess, TestServer, agent_step, component, with};

/// An agent step with these tools.
fn step_with(tools: Value) -> Value {
    with(agent_step("ask", "Make a slug of Ärger & Öl"), json!({ "tools": tools }))
}

fn types_of(step: &Value) -> Vec<&str> {
    step["turns"].as_array().unwrap().iter().map(|turn| turn["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_agent_calls_the_tools_that_its_step_gives_it_and_then_answers() {
    let (server, agent) = TestServer::with_agent_and_plugins().await;
    agent.answers(Answer::asks_for(&[
        ("c1", "text_slugify", json!({ "text": "Ärger & Öl" })),
        ("c2", "text_word_count", json!({ "text": "one two" })),
    ]));
    agent.answers("It is arger-ol.");
    let run = server.admin.run_steps(json!([step_with(json!(["text.slugify", "text.word_count"]))])).await;
    assert_eq!((&run["status"], &run["vars"]["ask"]), (&json!("success"), &json!("It is arger-ol.")), "{run:#}");

    let calls = agent.calls();
    let offered = calls[0].body["tools"].as_array().unwrap();
    let names: Vec<_> = offered.iter().map(|tool| tool["function"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["text_slugify", "text_word_count"]);
    assert_eq!(offered[0]["function"]["parameters"]["type"], "object");
    assert!(offered[0]["function"]["description"].as_str().unwrap().len() > 10);
    let said = calls[1].body["messages"].as_array().unwrap();
    assert_eq!((said.len(), &said[1]["tool_calls"][0]["id"]), (4, &json!("c1")));
    assert_eq!(said[2], json!({ "role": "tool", "tool_call_id": "c1", "content": "{\"slug\":\"arger-ol\"}" }));
    assert_eq!(said[3]["tool_call_id"], "c2");

    let run_id = run["id"].as_str().unwrap();
    let keys: Vec<_> = calls.iter().map(|call| call.header("idempotency-key").to_owned()).collect();
    assert_eq!(
        keys,
        [format!("{run_id}:ask:1"), format!("{run_id}:ask:1:3")],
        "two calls are two, one repeated is one"
    );

    let steps = server.admin.steps(run_id).await;
    assert_eq!(steps.len(), 1);
    assert_eq!(types_of(&steps[0]), ["toolsAsked", "toolAnswered", "toolAnswered"]);
    let answered = &steps[0]["turns"][1];
    assert_eq!((&answered["output"], &answered["answerer"]["name"]), (&json!({ "slug": "arger-ol" }), &json!("text")));
    assert_eq!((&answered["id"], &answered["name"]), (&json!("c1"), &json!("text_slugify")));
    assert_eq!(steps[0]["usage"], json!({ "inputTokens": 17, "outputTokens": 8, "costUsd": null }), "of both calls");
    assert_eq!(run["usage"], steps[0]["usage"]);
}

#[tokio::test]
async fn a_tool_that_was_not_given_does_not_exist_for_the_agent() {
    let (server, agent) = TestServer::with_agent_and_plugins().await;
    agent.answers(Answer::asks_for(&[("c1", "text_word_count", json!({ "text": "x" })), ("c2", "rm_rf", json!({}))]));
    agent.answers("Then not.");
    let run = server.admin.run_steps(json!([step_with(json!(["text.slugify"]))])).await;
    assert_eq!(run["status"], "success", "{run:#}");
    let steps = server.admin.steps(run["id"].as_str().unwrap()).await;
    for turn in &steps[0]["turns"].as_array().unwrap()[1..] {
        assert_eq!(turn["error"]["code"], "tool.unknown", "{turn:#}");
    }
    let told = agent.calls()[1].body["messages"].to_string();
    assert!(told.contains("there is no tool `text_word_count` for you") && told.contains("rm_rf"), "{told}");
}

#[tokio::test]
async fn a_tool_that_fails_tells_the_agent_why_and_the_run_goes_on() {
    let (server, agent) = TestServer::with_agent_and_plugins().await;
    agent.answers(Answer::asks_for(&[
        ("c1", "text_slugify", json!({ "wrong": 1 })),
        ("c2", "text_slugify", json!("no")),
    ]));
    agent.answers("I give up.");
    let run = server.admin.run_steps(json!([step_with(json!(["text.slugify"]))])).await;
    assert_eq!(run["vars"]["ask"], "I give up.", "{run:#}");
    let steps = server.admin.steps(run["id"].as_str().unwrap()).await;
    assert_eq!(steps[0]["turns"][1]["error"]["code"], "tool.invalid_input", "{:#}", steps[0]);
    assert_eq!(steps[0]["turns"][2]["error"]["code"], "tool.invalid_input", "{:#}", steps[0]);
}

#[tokio::test]
async fn an_agent_that_asks_for_tools_where_it_was_given_none_fails_at_once() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers_otherwise(Answer::asks_for(&[("c", "text_slugify", json!({ "text": "x" }))]));
    let run = server.admin.run_steps(json!([agent_step("ask", "Hi")])).await;
    assert_eq!((&run["error"]["code"], agent.calls().len()), (&json!("agent.unexpected_tool_calls"), 1), "{run:#}");
}

#[tokio::test]
async fn an_agent_that_asks_for_tools_without_end_fails_its_step() {
    let (server, agent) = TestServer::with_agent_and_plugins().await;
    agent.answers_otherwise(Answer::asks_for(&[("c", "text_slugify", json!({ "text": "x" }))]));
    let step = with(step_with(json!(["text.slugify"])), json!({ "maxRounds": 2 }));
    let run = server.admin.run_steps(json!([step])).await;
    assert_eq!(run["error"]["code"], "agent.too_many_rounds", "{run:#}");
    assert_eq!(agent.calls().len(), 3);

    let many: Vec<_> = (0..40).map(|_| ("c", "text_slugify", json!({ "text": "x" }))).collect();
    agent.answers_otherwise(Answer::asks_for(&many));
    let run = server.admin.run_steps(json!([step_with(json!(["text.slugify"]))])).await;
    assert_eq!(run["error"]["code"], "agent.too_many_tool_calls", "{run:#}");
}

#[tokio::test]
async fn a_call_that_needs_leave_waits_for_it_and_a_denial_is_told_to_the_agent() {
    let (server, agent) = TestServer::with_agent_and_plugins().await;
    let tools = json!([{ "toolName": "text.slugify", "approve": true, "approvers": ["admin"] }]);
    for (word, kind) in [("approve", "output"), ("deny", "error")] {
        agent.answers(Answer::asks_for(&[("c1", "text_slugify", json!({ "text": "A B" }))]));
        agent.answers("Done.");
        let run = server.admin.start_steps(json!([step_with(tools.clone())])).await;
        let asked = server.admin.asked(&run, 1).await;
        let waiting = server.admin.comes_to(&run, "waiting").await;
        assert_eq!(waiting["status"], "waiting");
        assert_eq!(server.admin.steps(&run).await[0]["status"], "waiting");
        let approval = server.admin.get(&format!("/approvals/{}", asked[0])).await.expect(200)["approval"].take();
        let message = approval["message"].as_str().unwrap();
        assert!(message.contains("`text.slugify`") && message.contains(r#"{"text":"A B"}"#), "{message}");
        let member = server.client(armilla_api::auth::Role::Member);
        member.post(&format!("/approvals/{}/{word}", asked[0]), &json!({})).await.problem(403, "approval.role");
        server
            .admin
            .post(&format!("/approvals/{}/{word}", asked[0]), &json!({ "note": "as you wish" }))
            .await
            .expect(200);
        let ended = server.admin.ended(&run).await;
        assert_eq!(ended["vars"]["ask"], "Done.", "{ended:#}");
        let steps = server.admin.steps(&run).await;
        let last = steps[0]["turns"].as_array().unwrap().last().unwrap();
        assert!(last.get(kind).is_some(), "{last:#}");
    }
    let told = agent.calls()[3].body["messages"].to_string();
    assert!(told.contains("approval.denied") && told.contains("as you wish"), "{told}");
}

async fn grant(client: &Client, peer: &ScriptedAgent) {
    let port: u16 = peer.endpoint().split(':').nth(2).unwrap().split('/').next().unwrap().parse().unwrap();
    let way = json!({ "host": "127.0.0.1", "schemes": ["http"], "ports": [port], "methods": ["GET"] });
    client.put("/plugins/http/grants", &json!({ "http": [way] })).await.expect(200);
}

#[tokio::test]
async fn a_host_that_dies_between_two_tool_calls_leaves_neither_of_them_nor_the_model_to_be_asked_again() {
    let (database, agent) = tokio::join!(TestDatabase::create(), ScriptedAgent::start());
    let peer = ScriptedAgent::start().await;
    peer.answers_otherwise(Answer::raw(200, "application/json", r#"{"hello":"world"}"#));
    let (folder, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::copy(component("plugins", "http"), plugins.path().join("http.wasm")).unwrap();
    let (url, set) = (database.url(), [("ARMILLA_PLUGINS", plugins.path().to_str().unwrap())]);
    let server = ServerProcess::start_with(folder.path(), Some(&url), &set).await;
    let client = server.client("admin").await;
    client.register(&agent).await;
    grant(&client, &peer).await;
    let get = |path: &str| json!({ "url": format!("{}/{path}", peer.endpoint()) });
    agent.answers(Answer::asks_for(&[("c1", "http_request", get("one"))]));
    agent.answers(Answer::asks_for(&[("c2", "http_request", get("two"))]));
    agent.answers("Both said hello.");
    let tools = json!([{ "toolName": "http.request", "approve": true }]);
    let run = client.start_steps(json!([step_with(tools)])).await;
    let first = client.asked(&run, 1).await;
    client.post(&format!("/approvals/{}/approve", first[0]), &json!({})).await.expect(200);
    agent.called(2).await;
    let second = client.asked(&run, 1).await;
    assert_ne!(first, second);
    server.kill().await;

    let server = ServerProcess::start_with(folder.path(), Some(&url), &set).await;
    let client = server.client("admin").await;
    client.post(&format!("/approvals/{}/approve", second[0]), &json!({})).await.expect(200);
    let ended = client.ended(&run).await;
    assert_eq!(ended["vars"]["ask"], "Both said hello.", "{ended:#}\n{}", server.log());
    let paths: Vec<_> = peer.calls().iter().map(|call| call.path.clone()).collect();
    assert_eq!(paths, ["/v1/one", "/v1/two"]);
    assert_eq!(agent.calls().len(), 3);
    let steps = client.steps(&run).await;
    let turns = types_of(&steps[0]);
    assert_eq!(turns, ["toolsAsked", "toolAllowed", "toolAnswered", "toolsAsked", "toolAllowed", "toolAnswered"]);
}

#[tokio::test]
async fn messages_take_tools_too_and_plain_json_does_not() {
    let (server, agent) = TestServer::with_agent_and_plugins().await;
    let config = json!({ "protocol": "anthropic", "endpoint": agent.endpoint(), "model": { "modelId": "m" } });
    server.admin.put("/agents/scripted", &config).await.expect(200);
    let asks = json!({ "model": "m-1", "stop_reason": "tool_use", "usage": { "input_tokens": 1, "output_tokens": 1 }, "content": [
        { "type": "text", "text": "Let me see." }, { "type": "tool_use", "id": "t1", "name": "text_slugify", "input": { "text": "A B" } },
        { "type": "tool_use", "id": "t2", "name": "text_slugify", "input": { "text": "C" } } ] });
    let says = json!({ "model": "m-1", "content": [{ "type": "text", "text": "a-b" }] });
    agent.answers(Answer::raw(200, "application/json", asks.to_string()));
    agent.answers(Answer::raw(200, "application/json", says.to_string()));
    let step = step_with(json!(["text.slugify"]));
    let run = server.admin.run_steps(json!([step])).await;
    assert_eq!(run["vars"]["ask"], "a-b", "{run:#}");
    let calls = agent.calls();
    assert_eq!(calls[0].body["tools"][0]["input_schema"]["type"], "object");
    let said = calls[1].body["messages"].as_array().unwrap();
    assert_eq!(
        said[1]["content"][1],
        json!({ "type": "tool_use", "id": "t1", "name": "text_slugify", "input": { "text": "A B" } })
    );
    let results = said[2]["content"].as_array().unwrap();
    assert_eq!(
        (results.len(), &results[0]["content"], &results[1]["tool_use_id"]),
        (2, &json!("{\"slug\":\"a-b\"}"), &json!("t2"))
    );

    server
        .admin
        .put("/agents/scripted", &json!({ "protocol": "http", "endpoint": agent.endpoint() }))
        .await
        .expect(200);
    let run = server.admin.run_steps(json!([step_with(json!(["text.slugify"]))])).await;
    assert_eq!(run["error"]["code"], "agent.tools_unsupported", "{run:#}");
    // What is no card is not even looked at.
    server.admin.put("/agents/scripted", &json!({ "protocol": "a2a", "endpoint": agent.endpoint() })).await.expect(200);
    let run = server.admin.run_steps(json!([step_with(json!(["text.slugify"]))])).await;
    assert_eq!(run["error"]["code"], "agent.tools_unsupported", "{run:#}");
}

#[tokio::test]
async fn a_question_is_asked_anew_when_its_run_goes_on_after_it_was_cancelled() {
    let (server, agent) = TestServer::with_agent_and_plugins().await;
    agent.answers(Answer::asks_for(&[("c1", "text_slugify", json!({ "text": "A B" }))]));
    agent.answers("Done.");
    let tools = json!([{ "toolName": "text.slugify", "approve": true }]);
    let run = server.admin.start_steps(json!([step_with(tools)])).await;
    let first = server.admin.asked(&run, 1).await;
    server.admin.post(&format!("/runs/{run}/cancel"), &json!({})).await;
    server.admin.ended(&run).await;
    server.admin.post(&format!("/approvals/{}/approve", first[0]), &json!({})).await.problem(409, "approval.closed");
    server.admin.post(&format!("/runs/{run}/retry"), &json!({})).await;
    let second = server.admin.asked(&run, 1).await;
    assert_ne!(first, second);
    server.admin.post(&format!("/approvals/{}/approve", second[0]), &json!({})).await.expect(200);
    assert_eq!(server.admin.ended(&run).await["vars"]["ask"], "Done.");
    assert_eq!(agent.calls().len(), 2, "the model was not asked for its tools again");
}

#[tokio::test]
async fn a_turn_is_told_and_paid_for_once_however_often_the_step_is_tried() {
    let (server, agent) = TestServer::with_agent_and_plugins().await;
    agent.answers(Answer::asks_for(&[("c1", "text_slugify", json!({ "text": "A B" }))]));
    agent.answers(Answer::error(503, "overloaded"));
    agent.answers("Done.");
    let step = with(step_with(json!(["text.slugify"])), json!({ "retry": { "initialDelay": "5ms" } }));
    let run = server.admin.run_steps(json!([step])).await;
    assert_eq!(run["vars"]["ask"], "Done.", "{run:#}");
    let steps = server.admin.steps(run["id"].as_str().unwrap()).await;
    let turns: Vec<_> = steps.iter().map(|step| types_of(step).len()).collect();
    assert_eq!(turns, [2, 0], "{steps:#?}");
    let read: u64 = steps.iter().filter_map(|step| step["usage"]["inputTokens"].as_u64()).sum();
    assert_eq!(run["usage"]["inputTokens"], read);
}

#[tokio::test]
async fn tools_that_a_definition_cannot_give_are_refused_all_at_once() {
    let server = TestServer::with_plugins().await;
    let tools =
        json!(["text.slugify", "text_slugify", 7, { "toolName": "jq", "approve": "yes" }, { "approvers": ["boss"] }]);
    let definition = json!({ "steps": [step_with(tools)] });
    let problem = server.admin.post("/workflows", &json!({ "name": "w", "definition": definition })).await;
    let problem = problem.problem(422, "workflow.invalid");
    let mut pointers: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    let expected = ["1", "2", "3/approve", "4/approvers/0", "4/toolName"];
    assert_eq!(pointers, expected.map(|place| format!("/definition/steps/0/tools/{place}")), "{problem:#}");
    let unknown = json!({ "steps": [step_with(json!(["no.such"]))] });
    let made = server.admin.post("/workflows", &json!({ "name": "w", "definition": unknown })).await.expect(201);
    let warnings = made["workflow"]["warnings"].to_string();
    assert!(warnings.contains("/steps/0/tools/0") && warnings.contains("no.such"), "{warnings}");
}
