//! A run survives its host, and no step that is finished is called again.

use armilla_testkit::agent::{Answer, Gate, ScriptedAgent};
use armilla_testkit::db::TestDatabase;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::{Client, ServerProcess, TestServer, agent_step, until, with};

/// Three agent steps, each told what the one before it answered.
fn three_steps() -> Value {
    json!({ "steps": [agent_step("one", "First"), agent_step("two", "After {{one}}"), agent_step("three", "After {{two}}")] })
}

async fn started(client: &Client, agent: &ScriptedAgent, definition: Value) -> String {
    client.register(agent).await;
    let workflow = client.create(definition).await;
    client.start(&workflow, json!({})).await
}

fn messages(agent: &ScriptedAgent) -> Vec<String> {
    agent.calls().iter().map(|call| call.message().to_owned()).collect()
}

#[tokio::test]
async fn a_run_goes_on_after_its_host_was_killed_and_no_finished_step_is_called_again() {
    let (database, agent) = tokio::join!(TestDatabase::create(), ScriptedAgent::start());
    let folder = tempfile::tempdir().unwrap();
    agent.answers("alpha");
    agent.answers(Answer::never());
    agent.answers("beta");
    agent.answers("gamma");
    let server = ServerProcess::start(folder.path(), Some(&database.url())).await;
    let run = started(&server.client("admin").await, &agent, three_steps()).await;
    agent.called(2).await;
    server.kill().await;

    let server = ServerProcess::start(folder.path(), Some(&database.url())).await;
    let client = server.client("admin").await;
    let ended = client.ended(&run).await;
    assert_eq!((&ended["status"], &ended["id"]), (&json!("success"), &json!(run)), "{ended:#}");
    assert_eq!(ended["vars"], json!({ "one": "alpha", "two": "beta", "three": "gamma" }));

    assert_eq!(messages(&agent), ["First", "After alpha", "After alpha", "After beta"]);
    let calls = agent.calls();
    let key = |call: usize| calls[call].header("idempotency-key").to_owned();
    assert_eq!(key(1), key(2), "the call that was cut off is recognisable as the same");
    let steps = client.steps(&run).await;
    let visits: Vec<_> = steps.iter().map(|step| (&step["stepId"], &step["visit"], &step["status"])).collect();
    let (once, well) = (json!(1), json!("success"));
    assert_eq!(visits, [(&json!("one"), &once, &well), (&json!("two"), &once, &well), (&json!("three"), &once, &well)]);
}

#[tokio::test]
async fn branches_that_had_ended_when_the_host_was_killed_are_not_run_again() {
    let (database, agent) = tokio::join!(TestDatabase::create(), ScriptedAgent::start());
    let slow = ScriptedAgent::start().await;
    let folder = tempfile::tempdir().unwrap();
    slow.answers(Answer::never());
    slow.answers("slow");
    agent.answers_otherwise("quick");
    let server = ServerProcess::start(folder.path(), Some(&database.url())).await;
    let client = server.client("admin").await;
    client.register_as("slow", &slow).await;
    let group = json!({ "type": "parallel", "id": "group", "steps": [
        agent_step("quick", "a"), with(agent_step("late", "b"), json!({ "agentId": "slow" })),
    ] });
    let run = started(&client, &agent, json!({ "steps": [group, agent_step("after", "c")] })).await;
    slow.called(1).await;
    until("the quick branch is recorded", || async {
        let steps = client.steps(&run).await;
        steps.iter().any(|step| step["stepId"] == "quick" && step["status"] == "success").then_some(())
    })
    .await;
    server.kill().await;

    let server = ServerProcess::start(folder.path(), Some(&database.url())).await;
    let ended = server.client("admin").await.ended(&run).await;
    assert_eq!(ended["status"], "success", "{ended:#}");
    assert_eq!((messages(&agent).as_slice(), slow.calls().len()), (&["a".to_owned(), "c".to_owned()][..], 2));
}

#[tokio::test]
async fn a_retry_that_was_waited_for_when_the_host_was_killed_is_still_made() {
    let (database, agent) = tokio::join!(TestDatabase::create(), ScriptedAgent::start());
    let folder = tempfile::tempdir().unwrap();
    agent.answers(Answer::error(503, "overloaded"));
    agent.answers("better");
    let server = ServerProcess::start(folder.path(), Some(&database.url())).await;
    let client = server.client("admin").await;
    let patient = json!({ "retry": { "maxAttempts": 2, "initialDelay": "700ms", "jitter": false } });
    let run = started(&client, &agent, json!({ "steps": [with(agent_step("ask", "Hi"), patient)] })).await;
    until("the failed attempt is recorded", || async {
        let steps = client.steps(&run).await;
        (steps[0]["status"] == "failed").then_some(())
    })
    .await;
    server.kill().await;

    let server = ServerProcess::start(folder.path(), Some(&database.url())).await;
    let client = server.client("admin").await;
    assert_eq!(client.ended(&run).await["vars"], json!({ "ask": "better" }));
    let calls = agent.calls();
    let attempts: Vec<_> = calls.iter().map(|call| call.header("x-armilla-attempt")).collect();
    assert_eq!(attempts, ["1", "2"], "attempts are counted across lives");
    assert_eq!(client.steps(&run).await.len(), 2);
}

#[tokio::test]
async fn a_host_that_is_asked_to_stop_lets_a_running_step_end_and_the_rest_is_resumed() {
    let (database, agent) = tokio::join!(TestDatabase::create(), ScriptedAgent::start());
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::closed();
    agent.answers(Answer::text("alpha").behind(&gate));
    let mut server = ServerProcess::start(folder.path(), Some(&database.url())).await;
    let client = server.client("admin").await;
    let run = started(&client, &agent, three_steps()).await;
    agent.called(1).await;
    server.signal(Signal::TERM);
    until("nobody is served any more", || async {
        client.try_send(client.request(Method::GET, "/healthz")).await.is_err().then_some(())
    })
    .await;
    gate.open();
    let status = server.ended().await;
    assert_eq!(status.code(), Some(0), "{}", server.log());
    assert_eq!(messages(&agent), ["First"], "nothing new was begun");
    assert!(!folder.path().join("address").exists(), "it serves nowhere any more");

    agent.answers("beta");
    agent.answers("gamma");
    let server = ServerProcess::start(folder.path(), Some(&database.url())).await;
    let ended = server.client("admin").await.ended(&run).await;
    assert_eq!(ended["vars"], json!({ "one": "alpha", "two": "beta", "three": "gamma" }), "{ended:#}");
    assert_eq!(messages(&agent), ["First", "After alpha", "After beta"], "what ended in the grace is kept");
}

#[tokio::test]
async fn whoever_waits_for_a_run_is_answered_when_the_host_stops() {
    let (database, agent) = tokio::join!(TestDatabase::create(), ScriptedAgent::start());
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::closed();
    agent.answers(Answer::text("alpha").behind(&gate));
    let mut server = ServerProcess::start(folder.path(), Some(&database.url())).await;
    let client = server.client("admin").await;
    client.register(&agent).await;
    let workflow = client.create(three_steps()).await;
    let caller = client.clone();
    let waits = tokio::spawn(async move { caller.post(&format!("/workflows/{workflow}/run"), &json!({})).await });
    agent.called(1).await;
    server.signal(Signal::TERM);
    let answer = waits.await.unwrap();
    assert!(answer.header("location").starts_with("/runs/run_"));
    assert_eq!(answer.expect(202)["run"]["status"], "running");
    gate.open();
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.log());
}

#[tokio::test]
async fn a_run_that_a_stopping_host_lets_go_is_taken_up_by_another() {
    let (database, agent) = tokio::join!(TestDatabase::create(), ScriptedAgent::start());
    let one = TestServer::on(&database, 1).await;
    let gate = Gate::closed();
    agent.answers(Answer::text("alpha").behind(&gate));
    let run = started(&one.admin, &agent, three_steps()).await;
    agent.called(1).await;
    let other = TestServer::on(&database, 2).await;
    let engine = one.engine.clone();
    let stops = tokio::spawn(async move { engine.stop().await });
    gate.open();
    stops.await.unwrap();
    let ended = other.admin.ended(&run).await;
    assert_eq!(ended["vars"], json!({ "one": "alpha", "two": "ok", "three": "ok" }), "{ended:#}");
    assert_eq!(messages(&agent), ["First", "After alpha", "After ok"]);
}

#[tokio::test]
async fn a_host_that_stops_does_not_wait_for_a_retry_that_is_far_off() {
    let (database, agent) = tokio::join!(TestDatabase::create(), ScriptedAgent::start());
    let folder = tempfile::tempdir().unwrap();
    agent.answers(Answer::error(503, "overloaded"));
    let mut server = ServerProcess::start(folder.path(), Some(&database.url())).await;
    let client = server.client("admin").await;
    let step = with(agent_step("ask", "Hi"), json!({ "retry": { "initialDelay": "10m", "maxDelay": "10m" } }));
    let run = started(&client, &agent, json!({ "steps": [step] })).await;
    client.comes_to(&run, "waiting").await;
    assert_eq!(client.steps(&run).await[0]["status"], "failed");
    server.signal(Signal::TERM);
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.log());
}

#[tokio::test]
async fn a_caller_that_never_finishes_its_request_does_not_keep_the_host_from_stopping() {
    let database = TestDatabase::create().await;
    let folder = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start(folder.path(), Some(&database.url())).await;
    let address = std::fs::read_to_string(folder.path().join("address")).unwrap();
    let mut caller = TcpStream::connect(address.trim()).await.unwrap();
    caller.write_all(b"GET /healthz HTTP/1.1\r\nhost: armilla\r\n").await.unwrap();
    // Answered after the connection above was taken.
    server.client("viewer").await.get("/workflows").await.expect(200);
    server.signal(Signal::TERM);
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.log());
}
