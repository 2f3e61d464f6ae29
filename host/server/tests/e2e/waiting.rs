//! A run never depends on the connection that started it.

use armilla_testkit::agent::{Answer, Gate};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{TestServer, agent_step, until};

#[tokio::test]
async fn a_run_that_takes_longer_than_the_wait_is_answered_with_its_place_and_ends_later() {
    let (server, agent) = TestServer::with_agent().await;
    let gate = Gate::closed();
    agent.answers(Answer::text("late").behind(&gate));
    let workflow = server.admin.create(json!({ "steps": [agent_step("ask", "Hi")] })).await;
    let answer = server.admin.post(&format!("/workflows/{workflow}/run?wait=50ms"), &json!({})).await;
    let location = answer.header("location").to_owned();
    let started = answer.expect(202);
    let id = started["run"]["id"].as_str().unwrap();
    assert_eq!(location, format!("/runs/{id}"));
    assert_eq!((&started["run"]["status"], &started["run"]["finishedAt"]), (&json!("running"), &Value::Null));

    agent.called(1).await;
    let running = server.admin.get(&location).await.expect(200);
    assert_eq!((&running["run"]["status"], &running["run"]["vars"]), (&json!("running"), &json!({})));
    assert_eq!(server.admin.steps(id).await[0]["status"], "running");
    gate.open();
    let ended = server.admin.ended(id).await;
    assert_eq!((&ended["status"], &ended["vars"]["ask"]), (&json!("success"), &json!("late")));
}

#[tokio::test]
async fn a_caller_that_prefers_an_answer_at_once_gets_one() {
    let (server, agent) = TestServer::with_agent().await;
    let gate = Gate::closed();
    agent.answers(Answer::text("late").behind(&gate));
    let workflow = server.admin.create(json!({ "steps": [agent_step("ask", "Hi")] })).await;
    let request = server.admin.request(Method::POST, &format!("/workflows/{workflow}/run"));
    let answer = server.admin.send(request.header("prefer", "respond-async")).await;
    let location = answer.header("location").to_owned();
    let started = answer.expect(202);
    assert!(location.starts_with("/runs/run_"), "{location}");
    gate.open();
    assert_eq!(server.admin.ended(started["run"]["id"].as_str().unwrap()).await["status"], "success");
}

#[tokio::test]
async fn a_run_goes_on_when_its_caller_hangs_up() {
    let (server, agent) = TestServer::with_agent().await;
    let gate = Gate::closed();
    agent.answers(Answer::text("late").behind(&gate));
    let workflow = server.admin.create(json!({ "steps": [agent_step("ask", "Hi"), agent_step("then", "Ho")] })).await;
    let (client, path) = (server.admin.clone(), format!("/workflows/{workflow}/run"));
    let caller = tokio::spawn(async move { client.post(&path, &json!({})).await });
    agent.called(1).await;
    caller.abort();
    gate.open();
    let path = format!("/workflows/{workflow}/runs");
    let run = until("the run's end", || async {
        let mut list = server.admin.get(&path).await.expect(200);
        let run = list["runs"][0].take();
        (run["status"] != "running").then_some(run)
    })
    .await;
    assert_eq!(run["status"], "success");
    assert_eq!(agent.calls().len(), 2);
}

#[tokio::test]
async fn many_runs_at_once_each_get_their_own_answer() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers_only_together(8);
    let workflow = server
        .admin
        .create(json!({ "steps": [
        agent_step("ask", "Hi {{ n }}"),
    ], "output": { "n": "n" } }))
        .await;
    let mut runs = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (client, workflow) = (server.admin.clone(), workflow.clone());
        runs.spawn(async move { (n, client.run(&workflow, json!({ "n": n })).await) });
    }
    for (n, run) in runs.join_all().await {
        assert_eq!((&run["status"], &run["output"]), (&json!("success"), &json!({ "n": n })), "{run:#}");
    }
}

#[tokio::test]
async fn a_wait_that_is_none_is_refused_before_anything_runs() {
    let (server, agent) = TestServer::with_agent().await;
    let workflow = server.admin.create(json!({ "steps": [agent_step("ask", "Hi")] })).await;
    for wrong in ["soon", "301", "-1"] {
        let answer = server.admin.post(&format!("/workflows/{workflow}/run?wait={wrong}"), &json!({})).await;
        answer.problem(400, "query.invalid");
    }
    let list = server.admin.get(&format!("/workflows/{workflow}/runs")).await.expect(200);
    assert_eq!((&list["runs"], agent.calls().len()), (&json!([]), 0));
}
