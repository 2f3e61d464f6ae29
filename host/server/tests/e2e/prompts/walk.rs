//! The commands of docs/prompts.md, one after the other, as somebody would type them.

use std::collections::HashMap;

use armilla_testkit::agent::ScriptedAgent;
use reqwest::Method;
use serde_json::{Value, json};

use super::send;
use crate::harness::{Client, TestServer, root};

/// One `curl` of the documentation.
struct Command {
    /// The variable that the shell keeps the id of the answer in.
    keeps: Option<String>,
    method: Method,
    path: String,
    body: Option<String>,
}

/// Every `curl` in the documentation's shell blocks.
fn commands(document: &str) -> Vec<Command> {
    let blocks = document.split("```sh\n").skip(1).map(|rest| rest.split("\n```").next().unwrap());
    blocks.flat_map(|block| block.split("curl -s ").skip(1).zip(block.split("curl -s "))).map(command).collect()
}

fn command((text, before): (&str, &str)) -> Command {
    let keeps = before.rsplit('\n').next().unwrap().strip_suffix("=$(").map(str::to_owned);
    let (method, rest) = match text.strip_prefix("-X ") {
        Some(rest) => rest.split_once(' ').map(|(method, rest)| (method.parse().unwrap(), rest)).unwrap(),
        None => (if text.contains(" -d '") { Method::POST } else { Method::GET }, text),
    };
    let path = rest.split_whitespace().next().unwrap().strip_prefix("$API").unwrap().to_owned();
    let body = rest.split_once(" -d '").map(|(_, body)| body.split('\'').next().unwrap().to_owned());
    Command { keeps, method, path, body }
}

#[tokio::test]
async fn every_command_of_the_documentation_works_as_it_stands() {
    let (server, agent) = tokio::join!(TestServer::start(), ScriptedAgent::start());
    let document = std::fs::read_to_string(root().join("docs/prompts.md")).unwrap();
    let commands = commands(&document);
    assert!(commands.len() >= 20, "{} commands", commands.len());
    let mut kept: HashMap<String, String> = HashMap::new();
    let mut answers = Vec::new();
    for Command { keeps, method, path, body } in commands {
        let path = kept.iter().fold(path, |path, (name, id)| path.replace(&format!("${name}"), id));
        // The example agents are not here; the one that is says what it was told.
        let body = body.map(|body| body.replace("http://127.0.0.1:3210/research", &agent.endpoint()));
        let answer = match &body {
            Some(body) => send(&server.admin, method.clone(), &path, body).await,
            None => server.admin.send(server.admin.request(method.clone(), &path)).await,
        };
        if let Some(name) = keeps {
            let id = ["promptTemplate", "workflow", "run"].iter().find_map(|thing| answer.body[thing]["id"].as_str());
            let id = id.unwrap_or_else(|| panic!("{method} {path}: {:#}", answer.body));
            kept.insert(name, id.to_owned());
        }
        answers.push((format!("{method} {path}"), answer.status, answer.body));
    }
    let statuses: Vec<u16> = answers.iter().map(|(_, status, _)| *status).collect();
    let refused: Vec<_> = answers.iter().filter(|(_, status, _)| *status >= 400).collect();
    assert_eq!(refused.len(), 1, "only the one that shows faults: {refused:#?}");
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 6, "{statuses:?}");

    let find = |what: &str| &answers.iter().find(|(asked, ..)| asked.contains(what)).unwrap().2;
    assert_eq!(find("/render")["rendered"], "Write for sailors. Be brief.");
    assert_eq!(find("prompt-versions/1/diff/2")["diff"]["variables"], json!({ "added": [], "removed": [] }));
    assert_eq!(find("/steps")["steps"][0]["prompt"]["version"], 3);
    assert_eq!(find("/metrics")["metrics"]["calls"], 1);
    assert_eq!(agent.calls()[0].system_prompt(), "You research tides.");
    shown_faults_are_the_real_ones(&document, &refused[0].2);
    what_the_second_version_says(&server.admin, &agent).await;
}

/// The faults that the documentation prints.
fn shown_faults_are_the_real_ones(document: &str, problem: &Value) {
    for fault in problem["errors"].as_array().unwrap() {
        assert!(document.contains(&fault.to_string()), "{fault}");
    }
}

/// The template of version 2, which the walk goes past.
async fn what_the_second_version_says(client: &Client, agent: &ScriptedAgent) {
    client.post("/agents/desk-agent/prompt-versions/2/restore", &json!({})).await.expect(201);
    let step = json!({ "type": "agent", "id": "ask", "agentId": "desk-agent", "message": "Hi" });
    let workflow = client.create(json!({ "steps": [step] })).await;
    client.run(&workflow, json!({ "topic": "tides" })).await;
    let told = agent.calls().last().unwrap().system_prompt().to_owned();
    assert_eq!(told, "You research tides. Write for sailors, and stay brief.");
}
