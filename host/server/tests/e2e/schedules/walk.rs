//! The commands of the documentation, one after the other, as somebody would type them.

use reqwest::Method;

use crate::harness::{TestServer, root};

#[tokio::test]
async fn the_walk_through_schedules_goes_as_it_is_written() {
    let server = TestServer::start().await;
    let document = std::fs::read_to_string(root().join("docs/triggers.md")).unwrap();
    let part = document.split("## Schedules").nth(1).unwrap().split("\n## ").next().unwrap();
    let (mut workflow, mut schedule, mut count) = (String::new(), String::new(), 0);
    for block in part.split("```sh\n").skip(1).map(|rest| rest.split("\n```").next().unwrap()) {
        for command in block.split("curl -s ").skip(1) {
            let (method, rest) = match command.strip_prefix("-X ").and_then(|rest| rest.split_once(' ')) {
                Some((method, rest)) => (method.parse().unwrap(), rest),
                None => (if command.contains(" -d '") { Method::POST } else { Method::GET }, command),
            };
            let path =
                rest.trim_start_matches('"').split([' ', '\n', '"']).next().unwrap().strip_prefix("$API").unwrap();
            let fill = |text: &str| text.replace("$WORKFLOW", &workflow).replace("$SCHEDULE", &schedule);
            let request = server.admin.request(method.clone(), &fill(path));
            // Where an id stands in a body, the shell's quotes end and begin again around it.
            let rest = rest.replace("'\"$WORKFLOW\"'", "$WORKFLOW");
            let body = rest.split_once(" -d '").and_then(|(_, rest)| rest.split_once('\'')).map(|(body, _)| body);
            let request = match &body {
                Some(body) => request.header("content-type", "application/json").body(fill(body)),
                None => request,
            };
            let answer = server.admin.send(request).await;
            assert!((200..300).contains(&answer.status), "{method} {path} {body:?}: {:#}", answer.body);
            let id = |thing: &str| answer.body[thing]["id"].as_str().map(str::to_owned);
            (workflow, schedule) = (id("workflow").unwrap_or(workflow), id("schedule").unwrap_or(schedule));
            count += 1;
        }
    }
    assert!(count >= 8, "{count} commands");
}
