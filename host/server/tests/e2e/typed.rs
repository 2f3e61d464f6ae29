//! Commands of the documentation, typed into a shell.

use std::process::Stdio;

use tokio::process::Command;

use crate::harness::{TestServer, root};

/// A part of a document: from its heading to the next one of the same level; all of it where no heading is named.
pub(crate) fn part_of(document: &str, heading: Option<&str>) -> String {
    let text = std::fs::read_to_string(root().join(document)).unwrap();
    match heading {
        None => text,
        Some(heading) => {
            let rest = text.split_once(&format!("\n## {heading}\n")).map(|(_, rest)| rest);
            rest.unwrap_or_else(|| panic!("no `{heading}` in {document}")).split("\n## ").next().unwrap().to_owned()
        }
    }
}

/// Types the commands of a part of a document into one shell, as they stand there, and gives what they print. `localhost:3000` is the server,
/// and `armilla token` gives a token for it. `None` where this machine has no shell or no curl, which is said.
pub(crate) async fn typed(server: &TestServer, part: &str) -> Option<String> {
    let there = |program: &str| {
        std::process::Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok()
    };
    if !there("bash") || !there("curl") {
        eprintln!("skipped: the commands of the documentation want bash and curl");
        return None;
    }
    let address = server.admin.url.trim_start_matches("http://");
    let blocks: Vec<&str> = part.split("```sh\n").skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect();
    assert!(!blocks.is_empty());
    let script = blocks.join("\n").replace("localhost:3000", address);
    // An answer that is a problem ends it, whatever comes after.
    let prelude = "set -eu\narmilla() { echo \"$TOKEN\"; }\ncurl() { command curl --fail-with-body \"$@\"; echo; }\n";
    let output = Command::new("bash")
        .arg("-c")
        .arg(format!("{prelude}{script}"))
        .env("TOKEN", server.admin.token.as_deref().unwrap())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let (printed, complaints) =
        (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success(), "{printed}\n{complaints}\n{script}");
    Some(printed)
}

#[tokio::test]
async fn the_walk_through_events_goes_as_it_is_written() {
    let server = TestServer::start().await;
    let Some(printed) = typed(&server, &part_of("docs/events.md", None)).await else { return };
    assert!(printed.contains(r#""type":"run.started""#), "{printed}");
    let (_, stream) = printed.split_once("event: run.succeeded\n").unwrap_or_else(|| panic!("{printed}"));
    assert!(stream.contains(r#""output":{"said":"hello"}"#), "{printed}");
}

#[tokio::test]
async fn the_walk_through_triggers_by_events_goes_as_it_is_written() {
    let server = TestServer::start().await;
    let Some(printed) = typed(&server, &part_of("docs/triggers.md", Some("Events"))).await else { return };
    assert!(printed.contains(": the tide was out\"}"), "{printed}");
    assert!(printed.contains(r#""eventType":"run.failed","outcome":"started""#), "{printed}");
}
