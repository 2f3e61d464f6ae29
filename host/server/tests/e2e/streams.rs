//! A run is followed as it goes on.

use armilla_testkit::agent::{Answer, Gate, ScriptedAgent};
use armilla_testkit::db::TestDatabase;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;

use crate::harness::{ServerProcess, Stream, StreamEvent, TestServer, agent_step};

fn kinds(events: &[StreamEvent]) -> Vec<&str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}

const TWO_STEPS: [&str; 7] =
    ["run.started", "step.started", "step.succeeded", "step.started", "step.succeeded", "run.succeeded", "end"];

#[tokio::test]
async fn a_run_is_followed_from_its_beginning_to_its_end() {
    let (server, agent) = TestServer::with_agent().await;
    let gate = Gate::closed();
    agent.answers("alpha");
    agent.answers(Answer::text("beta").behind(&gate));
    let run = server.admin.start_steps(json!([agent_step("one", "First"), agent_step("two", "Second")])).await;
    agent.called(2).await;
    let mut stream = Stream::open(&server.admin, &run, None).await;
    let mut events = Vec::new();
    for _ in 0..4 {
        events.push(stream.next().await.unwrap());
    }
    assert_eq!(kinds(&events), TWO_STEPS[..4], "what is past comes first");
    gate.open();
    events.extend(stream.rest().await);
    assert_eq!(kinds(&events), TWO_STEPS);
    let numbers: Vec<_> = events.iter().map(StreamEvent::number).collect();
    assert_eq!(numbers, [Some(1), Some(2), Some(3), Some(4), Some(5), Some(6), None]);
    let succeeded = &events[4].data;
    assert_eq!((&succeeded["number"], &succeeded["kind"]), (&json!(5), &json!("step.succeeded")));
    assert_eq!(
        (&succeeded["stepId"], &succeeded["visit"], &succeeded["scope"]),
        (&json!("two"), &json!(1), &json!(""))
    );
    assert_eq!((&succeeded["output"], succeeded["at"].is_string()), (&json!("beta"), true));
    assert_eq!(events[6].data, json!({ "status": "success" }));
}

#[tokio::test]
async fn a_stream_goes_on_after_the_entry_that_was_seen_last() {
    let (server, _agent) = TestServer::with_agent().await;
    let run = server.admin.run_steps(json!([agent_step("one", "First"), agent_step("two", "Second")])).await;
    let run = run["id"].as_str().unwrap();
    let rest = Stream::open(&server.admin, run, Some(4)).await.rest().await;
    assert_eq!(kinds(&rest), TWO_STEPS[4..]);
    assert_eq!(kinds(&Stream::open(&server.admin, run, Some(6)).await.rest().await), ["end"]);
    let after = server.admin.request(Method::GET, &format!("/runs/{run}/events?after=5")).send().await.unwrap();
    assert!(after.text().await.unwrap().starts_with("id: 6\nevent: run.succeeded\ndata: {"));
    for (path, header) in [("?after=-1", None), ("?after=x", None), ("", Some("x")), ("?after=1", Some("-1"))] {
        let mut request = server.admin.request(Method::GET, &format!("/runs/{run}/events{path}"));
        if let Some(header) = header {
            request = request.header("last-event-id", header);
        }
        let code = if header.is_some() { "header.invalid" } else { "query.invalid" };
        server.admin.send(request).await.problem(400, code);
    }
    server.admin.get("/runs/nothing/events").await.problem(404, "run.not_found");
}

#[tokio::test]
async fn a_run_is_followed_at_a_host_that_does_not_drive_it() {
    let (database, agent) = tokio::join!(TestDatabase::create(), ScriptedAgent::start());
    let (one, two) = (TestServer::on(&database, 1).await, TestServer::on(&database, 2).await);
    one.admin.register(&agent).await;
    let gate = Gate::closed();
    agent.answers(Answer::text("alpha").behind(&gate));
    let run = one.admin.start_steps(json!([agent_step("one", "First"), agent_step("two", "Second")])).await;
    let mut stream = Stream::open(&two.admin, &run, None).await;
    assert_eq!(stream.headers()["cache-control"], "no-cache");
    assert_eq!(stream.next().await.unwrap().kind, "run.started");
    gate.open();
    assert_eq!(kinds(&stream.rest().await), TWO_STEPS[1..]);
}

#[tokio::test]
async fn a_stream_shows_what_a_run_is_told_and_goes_on_after_its_retry() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::never());
    let run = server.admin.start_steps(json!([agent_step("one", "First")])).await;
    agent.called(1).await;
    server.admin.signal(&run, "go", json!(1)).await;
    server.admin.tell(&run, "pause", json!({ "reason": "why" })).await;
    server.admin.tell(&run, "cancel", json!({})).await;
    let events = Stream::open(&server.admin, &run, None).await.rest().await;
    let expected = ["run.started", "step.started", "signal.received", "run.paused", "run.cancelled", "end"];
    assert_eq!(kinds(&events), expected);
    assert_eq!((&events[2].data["number"], &events[2].data["signal"]), (&json!(3), &json!(1)));
    assert_eq!((&events[3].data["by"], &events[3].data["reason"]), (&json!("ada"), &json!("why")));
    server.admin.tell(&run, "retry", json!({})).await;
    let more = Stream::open(&server.admin, &run, events[4].number()).await.rest().await;
    assert_eq!(more[0].kind, "run.retried");
    assert_eq!(kinds(&more[more.len() - 2..]), ["run.succeeded", "end"]);
}

#[tokio::test]
async fn a_host_that_stops_ends_its_streams_at_once() {
    let server = TestServer::start().await;
    let run = server.admin.start_steps(json!([{ "type": "wait", "id": "nap", "duration": "1d" }])).await;
    let mut stream = Stream::open(&server.admin, &run, None).await;
    assert_eq!(stream.next().await.unwrap().kind, "run.started");
    server.engine.stop().await;
    assert!(!kinds(&stream.rest().await).contains(&"end"), "the run goes on elsewhere");
}

#[tokio::test]
async fn a_server_that_is_asked_to_stop_does_not_wait_for_those_who_look_on() {
    let database = TestDatabase::create().await;
    let folder = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start(folder.path(), Some(&database.url())).await;
    let client = server.client("admin").await;
    let run = client.start_steps(json!([{ "type": "wait", "id": "nap", "duration": "1d" }])).await;
    let mut stream = Stream::open(&client, &run, None).await;
    assert_eq!(stream.next().await.unwrap().kind, "run.started");
    server.signal(Signal::TERM);
    assert!(!kinds(&stream.rest().await).contains(&"end"), "the run goes on later");
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.log());
}
