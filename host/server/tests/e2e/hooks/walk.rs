//! The commands of docs/triggers.md, one after the other, as somebody would type them.

use std::collections::HashMap;

use reqwest::Method;
use serde_json::Value;

use super::{hexadecimal, mac};
use crate::harness::{TestServer, root};

/// What stands in quotes behind `before`.
fn quoted<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    text.split_once(before).and_then(|(_, rest)| rest.split('\'').next())
}

/// What the shell would keep of an answer: the path of a hook that was made, else an id.
fn kept_of(answer: &Value) -> String {
    let text = answer["path"].as_str().or_else(|| answer["workflow"]["id"].as_str());
    text.unwrap_or_else(|| panic!("nothing to keep: {answer:#}")).to_owned()
}

#[tokio::test]
async fn the_walk_through_inbound_hooks_goes_as_it_is_written() {
    let server = TestServer::start().await;
    let document = std::fs::read_to_string(root().join("docs/triggers.md")).unwrap();
    let part = document.split("## Inbound hooks").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut kept: HashMap<String, String> = HashMap::new();
    let mut answers = Vec::new();
    for line in part.split("```sh\n").skip(1).flat_map(|rest| rest.split("\n```").next().unwrap().split("\n\n")) {
        let line = kept.iter().fold(line.to_owned(), |line, (name, value)| {
            line.replace(&format!("'${name}'"), value).replace(&format!("${name}"), value)
        });
        if let Some(body) = quoted(&line, "BODY='") {
            // As `openssl dgst -sha256 -hmac` prints it.
            let secret = quoted(&line, "-hmac '").unwrap();
            kept.insert("BODY".to_owned(), body.to_owned());
            kept.insert("SIGNATURE".to_owned(), hexadecimal(&mac(secret.as_bytes(), body)));
            continue;
        }
        let Some((before, command)) = line.split_once("curl -s ") else { continue };
        let body = quoted(&command.replace("\"{", "'{").replace("}\"", "}'"), " -d '").map(str::to_owned);
        let (method, command) = match command.strip_prefix("-X ") {
            Some(rest) => rest.split_once(' ').map(|(method, rest)| (method.parse().unwrap(), rest)).unwrap(),
            None => (if body.is_some() { Method::POST } else { Method::GET }, command),
        };
        let path = command.split_whitespace().next().unwrap().trim_start_matches("$API");
        // Whoever sends no token is a sender of calls.
        let client = if command.contains("$AUTH") { server.admin.clone() } else { server.admin.without_token() };
        let mut request = client.request(method.clone(), path).header("content-type", "application/json");
        for header in command.split("-H \"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            if let Some((name, value)) = header.split_once(": ") {
                request = request.header(name, value);
            }
        }
        let answer = client.send(request.body(body.unwrap_or_default())).await;
        if let Some((name, _)) = before.split_once("=$(") {
            kept.insert(name.to_owned(), kept_of(&answer.body));
        }
        answers.push((format!("{method} {path}"), answer.status, answer.body));
    }
    let statuses: Vec<u16> = answers.iter().map(|(_, status, _)| *status).collect();
    assert_eq!(statuses, [200, 201, 201, 202, 202, 401, 200], "{answers:#?}");
    assert_eq!((&answers[3].2["outcome"], &answers[4].2["outcome"]), (&"started".into(), &"repeated".into()));
    let hook = answers[6].2["inboundHooks"][0]["id"].as_str().unwrap();
    let calls = server.admin.get(&format!("/inbound-hooks/{hook}/calls")).await.expect(200);
    let outcomes: Vec<&str> =
        calls["calls"].as_array().unwrap().iter().map(|call| call["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["refused", "repeated", "started"]);
}
