//! The commands that the documentation prints.

use reqwest::Method;
use serde_json::Value;

use crate::harness::{TestServer, register_example_agents, root};

/// Path and body of each curl command of a part of a document: what follows the server's address, and what stands between `-d '`
/// and `'`.
fn requests(part: &str) -> Vec<(String, Option<String>)> {
    let blocks = part.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let blocks: Vec<String> =
        blocks.map(|block| block.replace("API=localhost:3000", "").replace("localhost:3000", "$API")).collect();
    let commands = blocks.iter().flat_map(|block| block.split("$API").skip(1));
    commands
        .map(|command| {
            let path = command.split(|c: char| c.is_whitespace() || c == '"').next().unwrap();
            let body = command.split_once("-d '").and_then(|(_, rest)| rest.split_once('\'')).map(|(body, _)| body);
            (path.to_owned(), body.map(str::to_owned))
        })
        .collect()
}

/// Sends them in their order, to a server with the example agents; the place of an id is taken by that of the run before.
async fn walk(part: &str) -> usize {
    let server = TestServer::start().await;
    register_example_agents(&server.admin).await;
    let requests = requests(part);
    let mut run = String::new();
    for (path, body) in &requests {
        let path = path.replace("$RUN", &run);
        let request = match body {
            None => server.admin.request(Method::GET, &path),
            Some(body) => {
                let request = server.admin.request(Method::POST, &path).header("content-type", "application/json");
                request.body(body.clone())
            }
        };
        let answer = server.admin.send(request).await;
        assert!((200..300).contains(&answer.status), "{path} {body:?}: {answer:?}");
        let id = [&answer.body["run"]["id"], &answer.body["runId"]].into_iter().find_map(Value::as_str);
        run = id.map_or(run, str::to_owned);
    }
    requests.len()
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
