//! Making and deleting workflows.

use armilla_testkit::agent::{Answer, Gate};
use serde_json::{Value, json};

use crate::harness::{TestServer, agent_step};

#[tokio::test]
async fn a_workflow_that_is_made_has_a_place_and_is_read_there() {
    let server = TestServer::start().await;
    let body = json!({ "name": "Größe \u{1f30a}", "definition": { "steps": [agent_step("ask", "Hi")] } });
    let answer = server.admin.post("/workflows", &body).await;
    let place = answer.header("location").to_owned();
    let made = answer.expect(201)["workflow"].take();
    assert_eq!(place, format!("/workflows/{}", made["id"].as_str().unwrap()));
    assert_eq!((&made["name"], &made["description"]), (&body["name"], &Value::Null));
    assert_eq!(made["createdAt"], made["updatedAt"]);
    assert!(made["createdAt"].as_str().unwrap().ends_with('Z'));
    assert_eq!(server.admin.get(&place).await.expect(200)["workflow"], made);
}

#[tokio::test]
async fn the_runs_of_a_deleted_workflow_stay_readable() {
    let (server, _agent) = TestServer::with_agent().await;
    let workflow = server.admin.create(json!({ "steps": [agent_step("ask", "Hi")] })).await;
    let run = server.admin.run(&workflow, json!({})).await;
    let path = format!("/workflows/{workflow}");
    server.admin.delete(&path).await.expect(204);
    server.admin.get(&path).await.problem(404, "workflow.not_found");
    server.admin.delete(&path).await.problem(404, "workflow.not_found");
    server.admin.post(&format!("{path}/run"), &json!({})).await.problem(404, "workflow.not_found");
    assert_eq!(server.admin.get("/workflows").await.expect(200)["workflows"], json!([]));

    let id = run["id"].as_str().unwrap();
    assert_eq!(server.admin.get(&format!("/runs/{id}")).await.expect(200)["run"], run);
    assert_eq!(server.admin.steps(id).await.len(), 1);
    assert_eq!(server.admin.get(&format!("{path}/runs")).await.expect(200)["runs"][0]["id"], run["id"]);
}

#[tokio::test]
async fn a_run_goes_on_when_its_workflow_is_deleted() {
    let (server, agent) = TestServer::with_agent().await;
    let gate = Gate::closed();
    agent.answers(Answer::text("late").behind(&gate));
    let workflow =
        server.admin.create(json!({ "steps": [agent_step("ask", "Hi"), agent_step("then", "{{ask}}")] })).await;
    let run = server.admin.start(&workflow, json!({})).await;
    agent.called(1).await;
    server.admin.delete(&format!("/workflows/{workflow}")).await.expect(204);
    gate.open();
    assert_eq!(server.admin.ended(&run).await["vars"], json!({ "ask": "late", "then": "ok" }));
}

#[tokio::test]
async fn the_output_picks_what_a_run_answers_and_keeps_its_order() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::json(&json!({ "items": [3, 1, 2] })));
    let output = json!({ "z": "ask.items | sort", "a": "input.n + 1", "m": "run.id" });
    let workflow = server.admin.create(json!({ "steps": [agent_step("ask", "Hi")], "output": output })).await;
    let run = server.admin.run(&workflow, json!({ "n": 41 })).await;
    let expected = json!({ "z": [1, 2, 3], "a": 42, "m": run["id"] });
    assert_eq!(run["output"].to_string(), expected.to_string());
}
