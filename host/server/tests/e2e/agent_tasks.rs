//! Agents that make a task of a message, by an SDK that nobody here wrote: the task is found again by its id, and a question waits for its
//! answer.

use armilla_testkit::db::TestDatabase;
use armilla_testkit::peer::{Peer, PeerKit};
use serde_json::{Value, json};

use crate::harness::{Client, ServerProcess, TestServer, agent_step, root, until, with};

/// A peer that speaks this version by this binding; none where it cannot be had.
async fn peer(version: &str, binding: &str) -> Option<Peer> {
    let kit = PeerKit::named(&format!("a2a-{version}")).await?;
    let mut command = kit.python(&root().join("host/agents/tests/peers/a2a_agent.py"));
    command.args([version, binding]);
    Some(Peer::start(command).await)
}

async fn register(client: &Client, peer: &Peer) {
    let config = json!({ "id": "scripted", "protocol": "a2a", "endpoint": peer.url });
    client.post("/agents", &config).await.expect(201);
}

fn turns_of(step: &Value) -> Vec<&str> {
    step["turns"].as_array().unwrap().iter().map(|turn| turn["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_host_that_is_killed_while_a_task_works_finds_it_again_by_its_id() {
    let Some(peer) = peer("1.0", "jsonrpc").await else { return };
    let database = TestDatabase::create().await;
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path(), Some(&database.url())).await;
    let client = server.client("admin").await;
    register(&client, &peer).await;
    let run = client.start_steps(json!([agent_step("ask", "work on it")])).await;
    let task = until("the task is recorded", || async {
        let steps = client.steps(&run).await;
        let turn = steps.first().and_then(|step| step["turns"].get(0)).cloned();
        turn.filter(|turn| turn["type"] == "taskBegun").map(|turn| turn["task"]["id"].clone())
    })
    .await;
    server.kill().await;

    let server = ServerProcess::start(folder.path(), Some(&database.url())).await;
    let client = server.client("admin").await;
    let other = client.start_steps(json!([agent_step("ask", "end it")])).await;
    assert_eq!(client.ended(&other).await["status"], "success");
    let ended = client.ended(&run).await;
    let report = json!(["A long report", { "pages": 12 }]);
    assert_eq!((&ended["status"], &ended["vars"]["ask"]), (&json!("success"), &report), "{ended:#}\n{}", server.log());
    let steps = client.steps(&run).await;
    // One task, and no second one: the message was not sent again.
    assert_eq!((steps.len(), turns_of(&steps[0])), (1, vec!["taskBegun"]), "{steps:#?}");
    assert_eq!(steps[0]["turns"][0]["task"]["id"], task);
}

#[tokio::test]
async fn a_question_waits_for_a_signal_of_the_step_s_name_through_a_restart() {
    for (version, binding) in [("1.0", "rest"), ("0.3", "jsonrpc")] {
        let Some(peer) = peer(version, binding).await else { return };
        let database = TestDatabase::create().await;
        let first = TestServer::on(&database, 1).await;
        register(&first.admin, &peer).await;
        let run = first.admin.start_steps(json!([agent_step("book", "ask me")])).await;
        first.admin.comes_to(&run, "waiting").await;
        let steps = first.admin.steps(&run).await;
        assert_eq!((&steps[0]["status"], turns_of(&steps[0]).last()), (&json!("waiting"), Some(&"inputRequired")));
        assert_eq!(steps[0]["turns"].as_array().unwrap().last().unwrap()["question"], "Where to?");
        first.engine.stop().await;

        let second = TestServer::on(&database, 2).await;
        second.admin.signal(&run, "book", json!("Rome")).await;
        let ended = second.admin.ended(&run).await;
        assert_eq!(ended["vars"]["book"], "A ticket to Rome", "{version} {binding}: {ended:#}");
    }
}

#[tokio::test]
async fn a_task_that_fails_is_begun_anew_and_one_that_is_refused_is_not() {
    let Some(peer) = peer("1.0", "jsonrpc").await else { return };
    let server = TestServer::start().await;
    register(&server.admin, &peer).await;
    let quick = json!({ "retry": { "maxAttempts": 2, "initialDelay": "5ms" } });
    let run = server.admin.run_steps(json!([with(agent_step("ask", "break"), quick.clone())])).await;
    assert_eq!((&run["error"]["code"], &run["error"]["attempts"]), (&json!("agent.task_failed"), &json!(2)), "{run:#}");
    let run = server.admin.run_steps(json!([with(agent_step("ask", "refuse"), quick)])).await;
    assert_eq!(
        (&run["error"]["code"], &run["error"]["attempts"]),
        (&json!("agent.task_rejected"), &json!(1)),
        "{run:#}"
    );
}

#[tokio::test]
async fn a_task_whose_run_is_cancelled_is_cancelled_too() {
    let Some(peer) = peer("1.0", "jsonrpc").await else { return };
    let server = TestServer::start().await;
    register(&server.admin, &peer).await;
    let run = server.admin.start_steps(json!([agent_step("ask", "work on it")])).await;
    let task = until("the task is recorded", || async {
        let steps = server.admin.steps(&run).await;
        let turn = steps.first().and_then(|step| step["turns"].get(0)).cloned();
        turn.and_then(|turn| turn["task"]["id"].as_str().map(str::to_owned))
    })
    .await;
    server.admin.post(&format!("/runs/{run}/cancel"), &json!({})).await;
    assert_eq!(server.admin.ended(&run).await["status"], "cancelled");
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": { "id": task } });
    let client = reqwest::Client::new();
    until("the agent has given the task up", || async {
        let request = client.post(format!("{}/a2a", peer.url)).header("a2a-version", "1.0").json(&body);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        (answer["result"]["status"]["state"] == "TASK_STATE_CANCELED").then_some(())
    })
    .await;
}
