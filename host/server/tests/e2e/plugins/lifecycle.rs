//! Versions: immutable, one of them active, and runs that stay on theirs.

use armilla_testkit::agent::{Answer, Gate, ScriptedAgent};
use armilla_testkit::db::TestDatabase;
use serde_json::{Value, json};

use super::{answered_by, bare, push, push_active, push_with, shipped, variant};
use crate::harness::{Client, TestServer, agent_step, tool_step, until};

fn slug() -> Value {
    tool_step("slug", "text.slugify", json!({ "text": "Crème brûlée" }))
}

fn digest(answer: &Value) -> String {
    answer["version"]["digest"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_component_becomes_a_plugin_whose_tools_can_be_called_at_once() {
    let server = bare().await;
    let answer = push(&server.admin, shipped("text")).await;
    assert_eq!(answer.header("location"), "/plugins/text");
    let answer = answer.expect(201);
    let version = &answer["version"];
    assert_eq!((&version["version"], &version["active"]), (&json!(1), &json!(true)), "{answer:#}");
    assert_eq!(version["bytes"], json!(shipped("text").len()));
    assert_eq!(version["digest"].as_str().unwrap().len(), 64);
    assert_eq!(version["needs"]["httpHosts"], json!([]));
    let tool = version["tools"].as_array().unwrap().iter().find(|tool| tool["name"] == "text.slugify").unwrap();
    assert_eq!(tool["inputSchema"]["type"], "object");
    assert_eq!(answer["plugin"]["grant"], json!({}));
    let run = server.admin.run_steps(json!([slug()])).await;
    assert_eq!(run["vars"]["slug"]["slug"], "creme-brulee", "{run:#}");
}

#[tokio::test]
async fn the_same_component_again_makes_no_second_version() {
    let server = bare().await;
    push(&server.admin, shipped("text")).await.expect(201);
    let again = push(&server.admin, shipped("text")).await.expect(200);
    assert_eq!((&again["version"]["version"], &again["plugin"]["newestVersion"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn a_new_version_waits_until_it_is_activated_and_a_rollback_is_one_call() {
    let server = bare().await;
    let first = digest(&push(&server.admin, shipped("text")).await.expect(201));
    let second = push(&server.admin, variant(&shipped("text"), 2)).await.expect(201);
    assert_eq!((&second["version"]["version"], &second["version"]["active"]), (&json!(2), &json!(false)));
    let second = digest(&second);
    let now = async || answered_by(&server.admin, &server.admin.run_steps(json!([slug()])).await, "slug").await;
    assert_eq!(now().await, first);

    let none = json!({});
    let active = server.admin.post("/plugins/text/versions/2/activate", &none).await.expect(200);
    assert_eq!(active["plugin"]["active"]["version"], 2);
    assert_eq!(now().await, second);
    let back = server.admin.post("/plugins/text/rollback", &none).await.expect(200);
    assert_eq!(back["plugin"]["active"]["version"], 1);
    assert_eq!(now().await, first);

    server.admin.post("/plugins/text/versions/9/activate", &none).await.problem(404, "plugin.version_not_found");
    server.admin.post("/plugins/text/versions/x/activate", &none).await.problem(404, "plugin.version_not_found");
    server.admin.post("/plugins/nonesuch/rollback", &none).await.problem(404, "plugin.not_found");
}

#[tokio::test]
async fn a_component_that_is_there_already_is_activated_where_its_sender_says_so() {
    let server = bare().await;
    push(&server.admin, shipped("text")).await.expect(201);
    push(&server.admin, variant(&shipped("text"), 2)).await.expect(201);
    let again = push_active(&server.admin, variant(&shipped("text"), 2)).await.expect(200);
    assert_eq!((&again["version"]["active"], &again["plugin"]["active"]["version"]), (&json!(true), &json!(2)));
}

#[tokio::test]
async fn there_is_nothing_to_roll_back_to_where_nothing_was_active_before() {
    let server = bare().await;
    push(&server.admin, shipped("text")).await.expect(201);
    let answer = server.admin.post("/plugins/text/rollback", &json!({})).await;
    answer.problem(409, "plugin.nothing_to_roll_back_to");
}

/// A run that waits for its agent before it calls the tool.
async fn held(client: &Client, agent: &ScriptedAgent) -> (String, Gate) {
    client.register(agent).await;
    let gate = Gate::closed();
    agent.answers(Answer::text("ok").behind(&gate));
    let workflow = client.create(json!({ "steps": [agent_step("first", "hello"), slug()] })).await;
    let run = client.start(&workflow, json!({})).await;
    agent.called(1).await;
    (run, gate)
}

#[tokio::test]
async fn a_run_stays_on_the_version_it_started_with() {
    let (server, agent) = tokio::join!(bare(), ScriptedAgent::start());
    let first = digest(&push(&server.admin, shipped("text")).await.expect(201));
    let (run, gate) = held(&server.admin, &agent).await;
    push_active(&server.admin, variant(&shipped("text"), 2)).await.expect(201);
    gate.open();
    let run = server.admin.ended(&run).await;
    assert_eq!(run["status"], "success", "{run:#}");
    assert_eq!(answered_by(&server.admin, &run, "slug").await, first);
}

#[tokio::test]
async fn a_run_goes_on_with_the_new_version_where_the_operator_says_so() {
    let (server, agent) = tokio::join!(bare(), ScriptedAgent::start());
    push(&server.admin, shipped("text")).await.expect(201);
    let second = digest(&push(&server.admin, variant(&shipped("text"), 2)).await.expect(201));
    let (run, gate) = held(&server.admin, &agent).await;
    server.admin.post("/plugins/text/versions/2/activate", &json!({ "moveRuns": true })).await.expect(200);
    gate.open();
    let run = server.admin.ended(&run).await;
    assert_eq!(answered_by(&server.admin, &run, "slug").await, second);
}

#[tokio::test]
async fn a_version_in_use_by_an_unfinished_run_is_not_deleted() {
    let (server, agent) = tokio::join!(bare(), ScriptedAgent::start());
    push(&server.admin, shipped("text")).await.expect(201);
    let (run, gate) = held(&server.admin, &agent).await;
    push_active(&server.admin, variant(&shipped("text"), 2)).await.expect(201);
    for path in ["/plugins/text/versions/1", "/plugins/text"] {
        let problem = server.admin.delete(path).await.problem(409, "plugin.in_use");
        assert_eq!(problem["runs"], json!([run]), "{problem:#}");
    }
    server.admin.delete("/plugins/text/versions/2").await.problem(409, "plugin.version_active");
    gate.open();
    server.admin.ended(&run).await;
    assert_eq!(server.admin.delete("/plugins/text/versions/1").await.status, 204);
    server.admin.delete("/plugins/text/versions/1").await.problem(404, "plugin.version_not_found");
    assert_eq!(server.admin.delete("/plugins/text").await.status, 204);
    server.admin.get("/plugins/text").await.problem(404, "plugin.not_found");
    server.admin.get("/tools/text.slugify").await.problem(404, "tool.not_found");
}

#[tokio::test]
async fn a_version_that_runs_were_moved_from_stays_as_long_as_they_go_on() {
    let (server, agent) = tokio::join!(bare(), ScriptedAgent::start());
    push(&server.admin, shipped("text")).await.expect(201);
    push(&server.admin, variant(&shipped("text"), 2)).await.expect(201);
    let (run, gate) = held(&server.admin, &agent).await;
    server.admin.post("/plugins/text/versions/2/activate", &json!({ "moveRuns": true })).await.expect(200);
    server.admin.delete("/plugins/text/versions/1").await.problem(409, "plugin.in_use");
    gate.open();
    assert_eq!(server.admin.ended(&run).await["status"], "success");
    assert_eq!(server.admin.delete("/plugins/text/versions/1").await.status, 204);
}

#[tokio::test]
async fn a_step_may_name_the_version_it_calls() {
    let server = bare().await;
    let first = digest(&push(&server.admin, shipped("text")).await.expect(201));
    push_active(&server.admin, variant(&shipped("text"), 2)).await.expect(201);
    let mut step = slug();
    step["plugin"] = json!("text");
    step["version"] = json!(1);
    let run = server.admin.run_steps(json!([step.clone()])).await;
    assert_eq!(answered_by(&server.admin, &run, "slug").await, first);
    step["version"] = json!(7);
    let run = server.admin.run_steps(json!([step])).await;
    assert_eq!(run["error"]["code"], "tool.version_gone", "{run:#}");
}

#[tokio::test]
async fn a_plugin_that_is_disabled_is_called_by_nobody_until_it_is_enabled() {
    let server = bare().await;
    push(&server.admin, shipped("text")).await.expect(201);
    let workflow = server.admin.create(json!({ "steps": [slug()] })).await;
    let off = server.admin.post("/plugins/text/disable", &json!({})).await.expect(200);
    assert_eq!(off["plugin"]["enabled"], false);
    let run = server.admin.run(&workflow, json!({})).await;
    assert_eq!(run["error"]["code"], "tool.disabled", "{run:#}");
    server.admin.get("/tools/text.slugify").await.problem(404, "tool.not_found");
    server.admin.post("/plugins/text/enable", &json!({})).await.expect(200);
    assert_eq!(server.admin.run(&workflow, json!({})).await["status"], "success");
}

#[tokio::test]
async fn every_host_on_the_database_sees_a_change_within_a_second() {
    let database = TestDatabase::create().await;
    let (one, other) = tokio::join!(
        TestServer::bare(&database, 1, Default::default()),
        TestServer::bare(&database, 2, Default::default())
    );
    push(&one.admin, shipped("text")).await.expect(201);
    let began = std::time::Instant::now();
    until("the other host has the tool", || async {
        (other.admin.get("/tools/text.slugify").await.status == 200).then_some(())
    })
    .await;
    // Half a second between looks; the rest is for a busy machine.
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    let run = other.admin.run_steps(json!([slug()])).await;
    assert_eq!(run["status"], "success", "{run:#}");
}

#[tokio::test]
async fn loading_that_takes_longer_than_the_wait_is_followed_by_its_id() {
    let server = bare().await;
    let answer = push_with(&server.admin, shipped("text"), "?wait=0").await;
    let path = answer.header("location").to_owned();
    let load = answer.expect(202)["load"].take();
    assert_eq!(format!("/plugin-loads/{}", load["id"].as_str().unwrap()), path);
    let ended = until("the component is loaded", || async {
        let load = server.admin.get(&path).await.expect(200)["load"].take();
        (load["status"] != "loading").then_some(load)
    })
    .await;
    assert_eq!((&ended["status"], &ended["plugin"], &ended["version"]), (&json!("loaded"), &json!("text"), &json!(1)));
    let answer = push_with(&server.admin, b"\0asm\x0d\0\x01\0 and nothing that follows".to_vec(), "?wait=0").await;
    let path = answer.header("location").to_owned();
    let failed = until("the component is refused", || async {
        let load = server.admin.get(&path).await.expect(200)["load"].take();
        (load["status"] != "loading").then_some(load)
    })
    .await;
    assert_eq!((&failed["status"], &failed["problem"]["code"]), (&json!("failed"), &json!("plugin.invalid_component")));
    server.admin.get("/plugin-loads/pld_00000000000000000000000000000000").await.problem(404, "plugin.load_not_found");
}

#[tokio::test]
async fn calls_go_on_without_a_fault_while_versions_are_swapped() {
    let server = bare().await;
    push(&server.admin, shipped("text")).await.expect(201);
    let workflow = server.admin.create(json!({ "steps": [slug()] })).await;
    let calling = tokio::spawn({
        let (client, workflow) = (server.admin.clone(), workflow.clone());
        async move {
            for _ in 0..40 {
                let run = client.run(&workflow, json!({})).await;
                assert_eq!(run["status"], "success", "{run:#}");
            }
        }
    });
    for mark in 2..6 {
        push_active(&server.admin, variant(&shipped("text"), mark)).await.expect(201);
    }
    calling.await.unwrap();
}

#[tokio::test]
async fn a_tool_can_be_tried_without_a_run() {
    let server = bare().await;
    push(&server.admin, shipped("text")).await.expect(201);
    let answer =
        server.admin.post("/tools/text.slugify/invoke", &json!({ "input": { "text": "A b" } })).await.expect(200);
    assert_eq!((&answer["output"]["slug"], &answer["plugin"]["name"]), (&json!("a-b"), &json!("text")));
    let answer = server.admin.post("/tools/text.slugify/invoke", &json!({ "input": {} })).await;
    assert_eq!(answer.problem(422, "tool.call_failed")["tool"]["code"], "tool.invalid_input");
    server.admin.post("/tools/nonesuch/invoke", &json!({})).await.problem(404, "tool.not_found");
}
