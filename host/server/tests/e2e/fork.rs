//! A run is made of the beginning of another one.

use armilla_testkit::agent::{Answer, ScriptedAgent};
use serde_json::{Value, json};

use crate::harness::{TestServer, agent_step};

fn messages(agent: &ScriptedAgent) -> Vec<String> {
    agent.calls().iter().map(|call| call.message().to_owned()).collect()
}

async fn forked(server: &TestServer, run: &Value, body: Value) -> Value {
    let path = format!("/runs/{}/fork", run["id"].as_str().unwrap());
    let answer = server.admin.post(&path, &body).await;
    let location = answer.header("location").to_owned();
    let made = answer.expect(201)["run"].take();
    assert_eq!(location, format!("/runs/{}", made["id"].as_str().unwrap()));
    assert_eq!(made["forkedFrom"], run["id"]);
    assert_ne!(made["id"], run["id"]);
    server.admin.ended(made["id"].as_str().unwrap()).await
}

#[tokio::test]
async fn a_fork_takes_over_what_came_before_its_step_and_the_run_stays_as_it_is() {
    let (server, agent) = TestServer::with_agent().await;
    for answer in ["alpha", "beta", "gamma"] {
        agent.answers(answer);
    }
    let steps =
        json!([agent_step("one", "First"), agent_step("two", "After {{ one }}"), agent_step("three", "{{ two }}")]);
    let run = server.admin.run_steps(steps).await;
    agent.answers("other");
    let fork = forked(&server, &run, json!({ "fromStep": "two", "vars": { "one": "changed" } })).await;
    assert_eq!(fork["vars"], json!({ "one": "changed", "two": "other", "three": "ok" }), "{fork:#}");
    assert_eq!(messages(&agent), ["First", "After alpha", "beta", "After changed", "other"]);
    let path = format!("/runs/{}", run["id"].as_str().unwrap());
    assert_eq!(server.admin.get(&path).await.expect(200)["run"], run);
    assert_eq!(server.admin.steps(fork["id"].as_str().unwrap()).await.len(), 3);
}

#[tokio::test]
async fn a_fork_begins_with_the_visit_that_is_named() {
    let (server, agent) = TestServer::with_agent().await;
    for approved in [false, false, true] {
        agent.answers(Answer::json(&json!({ "approved": approved })));
    }
    let again = json!({ "type": "condition", "id": "check", "expr": "not review.approved", "then": "review" });
    let run = server.admin.run_steps(json!([agent_step("review", "Again"), again])).await;
    agent.answers(Answer::json(&json!({ "approved": true })));
    let fork = forked(&server, &run, json!({ "fromStep": "review", "visit": 2 })).await;
    assert_eq!(fork["status"], "success", "{fork:#}");
    assert_eq!(agent.calls().len(), 4, "its first visit was taken over, its second approves");
}

#[tokio::test]
async fn a_fork_begins_inside_a_group() {
    let (server, agent) = TestServer::with_agent().await;
    for answer in ["a", "b", "c"] {
        agent.answers(answer);
    }
    let each = json!({ "type": "forEach", "id": "each", "items": "[1, 2, 3]", "outputVar": "all",
        "steps": [agent_step("do", "{{ item }}")] });
    let run = server.admin.run_steps(json!([each])).await;
    let fork = forked(&server, &run, json!({ "fromStep": "do", "visit": 2 })).await;
    assert_eq!(fork["vars"]["all"], json!(["a", "ok", "ok"]), "{fork:#}");
    assert_eq!(messages(&agent), ["1", "2", "3", "2", "3"]);
}

#[tokio::test]
async fn a_run_that_goes_on_is_forked_and_goes_on() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers("alpha");
    let steps =
        json!([agent_step("one", "First"), { "type": "approval", "id": "ok", "message": "Go on?", "outputVar": "ok" }]);
    let run = server.admin.start_steps(steps).await;
    server.admin.asked(&run, 1).await;
    let path = format!("/runs/{run}/fork");
    let fork = server.admin.post(&path, &json!({ "fromStep": "ok" })).await.expect(201)["run"]["id"].take();
    let fork = fork.as_str().unwrap();
    let asked = server.admin.asked(fork, 1).await;
    server.admin.post(&format!("/approvals/{}/approve", asked[0]), &json!({})).await.expect(200);
    assert_eq!(server.admin.ended(fork).await["vars"]["ok"]["approved"], true);
    assert_eq!(server.admin.asked(&run, 1).await.len(), 1, "the other one is still asked");
    assert_eq!(agent.calls().len(), 1);
}

#[tokio::test]
async fn a_run_is_not_forked_from_where_it_never_was() {
    let (server, _agent) = TestServer::with_agent().await;
    let run = server.admin.run_steps(json!([agent_step("one", "First")])).await;
    let path = format!("/runs/{}/fork", run["id"].as_str().unwrap());
    server.admin.post(&path, &json!({ "fromStep": "nowhere" })).await.problem(409, "run.step_not_visited");
    server.admin.post(&path, &json!({ "fromStep": "one", "visit": 2 })).await.problem(409, "run.step_not_visited");
    server.admin.post(&path, &json!({})).await.problem(422, "body.invalid");
    server.admin.post(&path, &json!({ "fromStep": "one", "visit": 0 })).await.problem(409, "run.step_not_visited");
    let faulty = server.admin.post(&path, &json!({ "fromStep": "one", "vars": { "run": 1 } })).await;
    assert_eq!(faulty.problem(422, "body.invalid")["errors"][0]["pointer"], "/vars/run");
}
