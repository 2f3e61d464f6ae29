//! Prompts as code, from outside: templates, versions, labels, overrides, and what steps say of them.

mod labels;
mod overrides;
mod recorded;
mod templates;
mod versions;
mod walk;

use armilla_testkit::agent::ScriptedAgent;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Client, TestServer, agent_step};

/// A server, an agent that it knows as `scripted` with this prompt, and a workflow that asks it once.
async fn asking(system_prompt: &str) -> (TestServer, ScriptedAgent, String) {
    let (server, agent) = tokio::join!(TestServer::start(), ScriptedAgent::start());
    let config = json!({
        "id": "scripted", "protocol": "openai", "endpoint": agent.endpoint(), "model": { "modelId": "small" },
        "systemPromptTemplate": system_prompt,
    });
    server.admin.post("/agents", &config).await.expect(201);
    let workflow = server.admin.create(json!({ "steps": [agent_step("ask", "Hi")] })).await;
    (server, agent, workflow)
}

/// Makes a version of the prompt of `scripted`, which must be new, and gives it.
async fn make(client: &Client, system_prompt: &str) -> Value {
    let body = json!({ "systemPrompt": system_prompt });
    client.post("/agents/scripted/prompt-versions", &body).await.expect(201)["promptVersion"].take()
}

/// Makes a template and gives its id.
async fn template(client: &Client, name: &str, text: &str, variables: Value) -> String {
    let body = json!({ "name": name, "template": text, "variables": variables });
    let made = client.post("/prompt-templates", &body).await.expect(201);
    made["promptTemplate"]["id"].as_str().unwrap().to_owned()
}

/// Runs a workflow and gives its only step.
async fn step(client: &Client, workflow: &str) -> Value {
    let run = client.run(workflow, json!({ "topic": "tides" })).await;
    client.steps(run["id"].as_str().unwrap()).await.remove(0)
}

/// What the agent was told last.
fn told(agent: &ScriptedAgent) -> String {
    agent.calls().last().unwrap().system_prompt().to_owned()
}

/// Sends exactly these bytes.
async fn send(client: &Client, method: Method, path: &str, body: &str) -> Answer {
    let request = client.request(method, path).header("content-type", "application/json").body(body.to_owned());
    client.send(request).await
}

/// Pointers and codes of a problem's faults.
fn faults(problem: &Value) -> Vec<(&str, &str)> {
    let faults = problem["errors"].as_array().unwrap().iter();
    faults.map(|fault| (fault["pointer"].as_str().unwrap(), fault["code"].as_str().unwrap())).collect()
}
