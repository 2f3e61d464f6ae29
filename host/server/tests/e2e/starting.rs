//! Runs are started once, however often that is asked for, and on the version that is named.

use armilla_domain::id::WorkspaceId;
use armilla_testkit::agent::{Answer, Gate, ScriptedAgent};
use armilla_testkit::db::TestDatabase;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer as Response, Client, TestServer, agent_step};

async fn start(client: &Client, workflow: &str, key: &str, body: &Value) -> Response {
    let request = client.request(Method::POST, &format!("/workflows/{workflow}/run")).json(body);
    client.send(request.header("idempotency-key", key)).await
}

#[tokio::test]
async fn twenty_requests_with_one_key_on_two_hosts_start_one_run() {
    let (database, agent) = tokio::join!(TestDatabase::create(), ScriptedAgent::start());
    let (one, two) = (TestServer::on(&database, 1).await, TestServer::on(&database, 2).await);
    one.admin.register(&agent).await;
    let workflow = one.admin.create(json!({ "steps": [agent_step("ask", "Hi")] })).await;
    let mut requests = tokio::task::JoinSet::new();
    for n in 0..20 {
        let (client, workflow) = (if n % 2 == 0 { &one.admin } else { &two.admin }.clone(), workflow.clone());
        requests.spawn(async move { start(&client, &workflow, "order-7", &json!({ "input": { "n": 1 } })).await });
    }
    let answers = requests.join_all().await;
    let first = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_empty()).count();
    assert_eq!(first, 1, "one of them started it");
    let id = answers[0].body["run"]["id"].clone();
    for answer in answers {
        let run = answer.expect(200)["run"].take();
        assert_eq!((&run["id"], &run["status"], &run["vars"]["ask"]), (&id, &json!("success"), &json!("ok")));
    }
    assert_eq!(agent.calls().len(), 1);
    let list = one.admin.get(&format!("/workflows/{workflow}/runs")).await.expect(200);
    assert_eq!(list["runs"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_repeated_request_is_answered_with_the_run_as_it_stands_by_then() {
    let (server, agent) = TestServer::with_agent().await;
    let gate = Gate::closed();
    agent.answers(Answer::text("late").behind(&gate));
    let workflow = server.admin.create(json!({ "steps": [agent_step("ask", "Hi")] })).await;
    let path = format!("/workflows/{workflow}/run?wait=0");
    let started =
        async || server.admin.send(server.admin.request(Method::POST, &path).header("x-idempotency-key", "k")).await;
    let first = started().await;
    assert_eq!(first.header("idempotency-replayed"), "");
    let (location, id) = (first.header("location").to_owned(), first.expect(202)["run"]["id"].take());
    let second = started().await;
    assert_eq!((second.header("idempotency-replayed"), second.header("location")), ("true", location.as_str()));
    assert_eq!(second.expect(202)["run"]["id"], id);
    gate.open();
    server.admin.ended(id.as_str().unwrap()).await;
    let third = started().await;
    assert_eq!(third.header("idempotency-replayed"), "true");
    let third = third.expect(200)["run"].take();
    assert_eq!((&third["id"], &third["vars"]["ask"]), (&id, &json!("late")));
    assert_eq!(agent.calls().len(), 1);
}

#[tokio::test]
async fn a_key_is_not_used_for_another_request() {
    let (server, agent) = TestServer::with_agent().await;
    let definition = json!({ "steps": [agent_step("ask", "Hi")] });
    let (workflow, other) =
        (server.admin.create(definition.clone()).await, server.admin.create(definition.clone()).await);
    let input = json!({ "input": { "n": 1 } });
    start(&server.admin, &workflow, "k", &input).await.expect(200);
    for different in [json!({ "input": { "n": 2 } }), json!({ "input": { "n": 1 }, "version": 1 }), json!({})] {
        start(&server.admin, &workflow, "k", &different).await.problem(422, "idempotency.key_reused");
    }
    start(&server.admin, &other, "k", &input).await.problem(422, "idempotency.key_reused");
    assert_eq!(agent.calls().len(), 1);

    let stranger = server.admin_of(WorkspaceId::from_parts(1, [1; 10]));
    stranger.register(&agent).await;
    let theirs = stranger.create(definition).await;
    let answer = start(&stranger, &theirs, "k", &input).await;
    assert_eq!(answer.header("idempotency-replayed"), "", "keys are the workspace's own");
    answer.expect(200);
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_and_a_request_that_started_nothing_uses_up_none() {
    let (server, agent) = TestServer::with_agent().await;
    let definition =
        json!({ "inputSchema": { "type": "object", "required": ["n"] }, "steps": [agent_step("ask", "Hi")] });
    let workflow = server.admin.create(definition).await;
    let input = json!({ "input": { "n": 1 } });
    for wrong in ["", "two words", &"k".repeat(256)] {
        start(&server.admin, &workflow, wrong, &input).await.problem(400, "header.invalid");
    }
    start(&server.admin, &workflow, "k", &json!({})).await.problem(422, "run.invalid_input");
    let answer = start(&server.admin, &workflow, "k", &input).await;
    assert_eq!((answer.status, answer.header("idempotency-replayed")), (200, ""));
    assert_eq!(agent.calls().len(), 1);
}

#[tokio::test]
async fn a_run_is_started_on_the_version_that_is_named() {
    let (server, agent) = TestServer::with_agent().await;
    let workflow = server.admin.create(json!({ "steps": [agent_step("ask", "Old")] })).await;
    let definition = json!({ "steps": [agent_step("ask", "New")] });
    server.admin.put(&format!("/workflows/{workflow}"), &json!({ "definition": definition })).await.expect(200);
    let path = format!("/workflows/{workflow}/run");
    for (body, version, message) in [(json!({ "version": 1 }), 1, "Old"), (json!({}), 2, "New")] {
        let run = server.admin.post(&path, &body).await.expect(200)["run"].take();
        assert_eq!((&run["workflowVersion"], &run["status"]), (&json!(version), &json!("success")));
        assert_eq!(agent.calls().last().unwrap().message(), message);
    }
    for absent in [0, 3, -1] {
        server.admin.post(&path, &json!({ "version": absent })).await.problem(404, "workflow.version_not_found");
    }
    server.admin.post(&path, &json!({ "version": "newest" })).await.problem(422, "body.invalid");
}
