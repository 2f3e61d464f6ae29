//! docs/webhooks.md: its commands, one after the other, as somebody would type them, and its receivers.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use armilla_testkit::sink::Received;
use serde_json::json;

use super::{happens, sending};
use crate::harness::TestServer;
use crate::typed::{part_of, typed};

/// A walk that waits for what never comes is ended.
const WALK_MAX: Duration = Duration::from_secs(120);
const DOCUMENT: &str = "docs/webhooks.md";

fn is_there(program: &str) -> bool {
    let there = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !there {
        eprintln!("skipped: the documentation of webhooks wants {program}");
    }
    there
}

#[tokio::test]
async fn the_walk_through_webhooks_goes_as_it_is_written() {
    if !is_there("python3") {
        return;
    }
    let server = TestServer::start().await;
    // Somebody else's tests may walk at the same time.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let walk = part_of(DOCUMENT, Some("A walk")).replace("8787", &port.to_string());
    // Wherever it breaks off, its receiver ends with it.
    let walk = format!("```sh\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n```\n{walk}");
    let Some(printed) = tokio::time::timeout(WALK_MAX, typed(&server, &walk)).await.unwrap() else { return };
    for told in [
        r#""secret":"whsec_"#,
        r#"{"success":true,"delivery":{"id":"dlv_"#,
        "believed: webhook.test",
        "believed: run.succeeded",
        "'output': {'said': 'hello'}",
        r#""signatureValid":true,"answer":{"status":204"#,
        r#"{"deliveries":0,"complete":true,"dryRun":true}"#,
        r#""enabled":false"#,
    ] {
        assert!(printed.contains(told), "{told} is not in {printed}");
    }
    assert!(!printed.contains("refused: "), "{printed}");
}

/// A request that was sent, as lines for a receiver: as it came, with another body, with another secret, and too late.
async fn sent() -> Vec<(String, bool)> {
    let (server, sink, made) = sending(json!({})).await;
    happens(&server.admin, "Grüße").await;
    let came = sink.wait_for(1).await.remove(0);
    let line = |secret: &str, came: &Received| {
        let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
        let headers: serde_json::Map<_, _> =
            names.iter().map(|name| ((*name).to_owned(), json!(came.header(name)))).collect();
        json!({ "secret": secret, "headers": headers, "body": String::from_utf8_lossy(&came.body) }).to_string()
    };
    let longer = Received { body: [came.body.as_slice(), b" "].concat(), ..came.clone() };
    let mut late = came.clone();
    late.headers.insert("webhook-timestamp", "1600000000".parse().unwrap());
    let mut unsigned = came.clone();
    unsigned.headers.remove("webhook-signature");
    vec![
        (line(&made.secret, &came), true),
        (line(&made.secret, &longer), false),
        (line("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &came), false),
        (line(&made.secret, &late), false),
        (line(&made.secret, &unsigned), false),
    ]
}

/// Runs a program over the lines, and compares what it says of each.
fn judge(mut command: Command, lines: &[(String, bool)]) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let text: String = lines.iter().map(|(line, _)| format!("{line}\n")).collect();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap().to_lowercase();
    let wanted: Vec<String> = lines.iter().map(|(_, good)| good.to_string()).collect();
    assert_eq!(said.lines().collect::<Vec<_>>(), wanted);
}

/// What stands in a document between two marks, the first one included.
fn between(first: &str, last: &str) -> String {
    let text = part_of(DOCUMENT, None);
    let from = text.find(first).unwrap_or_else(|| panic!("no {first} in {DOCUMENT}"));
    text[from..].split(last).next().unwrap().to_owned()
}

#[tokio::test]
async fn the_verification_in_python_takes_what_was_sent_and_nothing_else() {
    if !is_there("python3") {
        return;
    }
    let program = between("import base64", "\n\nclass ")
        + "\nimport sys\nfor line in sys.stdin:\n    case = json.loads(line)\n    \
           print(verified(case['secret'], case['headers'], case['body'].encode()))\n";
    let mut command = Command::new("python3");
    command.arg("-c").arg(program);
    judge(command, &sent().await);
}

#[tokio::test]
async fn the_verification_in_node_takes_what_was_sent_and_nothing_else() {
    if !is_there("node") {
        return;
    }
    let program = between("const { createHmac", "```")
        + "for (const line of require('node:fs').readFileSync(0, 'utf8').trim().split('\\n')) {\n  \
           const { secret, headers, body } = JSON.parse(line);\n  \
           console.log(verified(secret, headers, Buffer.from(body)));\n}\n";
    let mut command = Command::new("node");
    command.arg("-e").arg(program);
    judge(command, &sent().await);
}
