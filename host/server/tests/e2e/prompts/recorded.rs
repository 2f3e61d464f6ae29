//! What is recorded of prompts: in the steps of runs, and added up over all hosts.

use armilla_testkit::agent::{Answer, ScriptedAgent};
use armilla_testkit::db::TestDatabase;
use serde_json::{Value, json};

use super::{asking, make, step};
use crate::harness::{TestServer, agent_step, until, with};

const VERSIONS: &str = "/agents/scripted/prompt-versions";

#[tokio::test]
async fn every_step_names_the_version_and_its_hash() {
    let (server, _agent, workflow) = asking("One.").await;
    let first = step(&server.admin, &workflow).await["prompt"].take();
    let made = make(&server.admin, "Two.").await;
    let second = step(&server.admin, &workflow).await["prompt"].take();
    assert_eq!(second, json!({ "version": 2, "hash": made["hash"] }));
    assert_eq!(first["version"], 1);
    assert_ne!(first["hash"], second["hash"]);
}

#[tokio::test]
async fn a_failed_attempt_names_its_prompt_too() {
    let (server, agent, _) = asking("One.").await;
    let twice = json!({ "retry": { "maxAttempts": 2, "initialDelay": "5ms" } });
    agent.answers_otherwise(Answer::error(503, "overloaded"));
    let run = server.admin.run_steps(json!([with(agent_step("ask", "Hi"), twice)])).await;
    assert_eq!(run["status"], "failed");
    let steps = server.admin.steps(run["id"].as_str().unwrap()).await;
    let versions: Vec<_> = steps.iter().map(|step| (&step["status"], &step["prompt"]["version"])).collect();
    assert_eq!(versions, [(&json!("failed"), &json!(1)); 2]);
    assert_eq!(run["error"].get("prompt"), None, "an error says what went wrong, and a step what it was told");
}

#[tokio::test]
async fn calls_failures_tokens_and_time_are_counted_by_version() {
    let (server, agent, _) = asking("One.").await;
    let once = json!({ "retry": { "maxAttempts": 2, "initialDelay": "5ms" } });
    let workflow = server.admin.create(json!({ "steps": [with(agent_step("ask", "Hi"), once)] })).await;
    agent.answers(Answer::error(503, "overloaded"));
    server.admin.run(&workflow, json!({})).await;
    make(&server.admin, "Two.").await;
    server.admin.run(&workflow, json!({})).await;
    let metrics = async |version: i32| {
        server.admin.get(&format!("{VERSIONS}/{version}/metrics")).await.expect(200)["metrics"].take()
    };
    let counted = |metrics: &Value| {
        ["calls", "failures", "inputTokens", "outputTokens"].map(|field| metrics[field].as_u64().unwrap())
    };
    assert_eq!(counted(&metrics(1).await), [2, 1, 7, 5]);
    assert_eq!(counted(&metrics(2).await), [1, 0, 7, 5]);
    assert!(metrics(1).await["durationMs"].is_u64());
    server.admin.get(&format!("{VERSIONS}/3/metrics")).await.problem(404, "prompt.version_not_found");
}

#[tokio::test]
async fn what_hosts_counted_is_added_up_and_survives_a_stop() {
    let (database, agent) = tokio::join!(TestDatabase::create(), ScriptedAgent::start());
    let (first, second) = tokio::join!(TestServer::on(&database, 1), TestServer::on(&database, 2));
    let config = json!({
        "id": "scripted", "protocol": "openai", "endpoint": agent.endpoint(), "systemPromptTemplate": "One.",
    });
    first.admin.post("/agents", &config).await.expect(201);
    let workflow = first.admin.create(json!({ "steps": [agent_step("ask", "Hi")] })).await;
    for server in [&first, &first, &second] {
        server.admin.run(&workflow, json!({})).await;
    }
    first.engine.stop().await;
    until("the counts of both hosts", || async {
        let metrics = second.admin.get(&format!("{VERSIONS}/1/metrics")).await.expect(200);
        (metrics["metrics"]["calls"] == 3).then_some(())
    })
    .await;
}
