//! The commands that the documentation prints.

use reqwest::Method;
use serde_json::Value;

use crate::harness::{TestServer, register_example_agents, root};

/// One curl command.
struct Command {
    method: Method,
    path: String,
    body: Option<String>,
}

/// The curl commands of a part of a document: what follows the server's address, and what stands between `-d '` and `'`.
fn commands(part: &str) -> Vec<Command> {
    let blocks = part.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let blocks: Vec<String> =
        blocks.map(|block| block.replace("API=localhost:3000", "").replace("localhost:3000", "$API")).collect();
    let mut commands = Vec::new();
    for block in &blocks {
        let pieces: Vec<&str> = block.split("$API").collect();
        for pair in pieces.windows(2) {
            let path = pair[1].split(|c: char| c.is_whitespace() || c == '"').next().unwrap();
            let body = pair[1].split_once("-d '").and_then(|(_, rest)| rest.split_once('\'')).map(|(body, _)| body);
            // What stands before the address, back to where the command begins.
            let options = pair[0].rsplit("curl ").next().unwrap();
            let stated = options.split_once("-X ").and_then(|(_, rest)| rest.split_whitespace().next());
            let usual = if body.is_some() { "POST" } else { "GET" };
            let method = stated.unwrap_or(usual).parse().unwrap();
            commands.push(Command { method, path: path.to_owned(), body: body.map(str::to_owned) });
        }
    }
    commands
}

/// Sends them in their order; the place of an id is taken by that of the run before.
async fn send(server: &TestServer, part: &str) -> usize {
    let commands = commands(part);
    let mut run = String::new();
    for Command { method, path, body } in &commands {
        let path = path.replace("$RUN", &run);
        let request = server.admin.request(method.clone(), &path);
        let request = match body {
            None => request,
            Some(body) => request.header("content-type", "application/json").body(body.clone()),
        };
        let answer = server.admin.send(request).await;
        assert!((200..300).contains(&answer.status), "{method} {path} {body:?}: {answer:?}");
        let id = [&answer.body["run"]["id"], &answer.body["runId"]].into_iter().find_map(Value::as_str);
        run = id.map_or(run, str::to_owned);
    }
    commands.len()
}

/// The same, to a server with the example agents.
async fn walk(part: &str) -> usize {
    let server = TestServer::start().await;
    register_example_agents(&server.admin).await;
    send(&server, part).await
}

#[tokio::test]
async fn the_walk_through_pipelines_goes_as_it_is_written() {
    let document = std::fs::read_to_string(root().join("docs/pipelines.md")).unwrap();
    assert!(walk(&document).await >= 5);
}

#[tokio::test]
async fn the_chat_of_the_documentation_goes_as_it_is_written() {
    let document = std::fs::read_to_string(root().join("docs/agents.md")).unwrap();
    let part = document.split("## Chat").nth(1).unwrap().split("\n## ").next().unwrap();
    assert!(walk(part).await >= 1);
}

#[tokio::test]
async fn the_agents_of_the_documentation_are_registered_tried_and_changed_as_it_is_written() {
    let document = std::fs::read_to_string(root().join("docs/agents.md")).unwrap();
    // Nobody is there to chat with: what the document registers is elsewhere.
    let part = document.split("## Chat").next().unwrap();
    let server = TestServer::start().await;
    assert!(send(&server, part).await >= 8);
    let agents = server.admin.get("/agents").await.expect(200);
    let ids: Vec<_> = agents["agents"].as_array().unwrap().iter().map(|agent| agent["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["editor-agent", "legacy-agent", "local-agent", "local-agent-2", "travel-agent"]);
}
