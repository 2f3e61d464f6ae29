//! Runs start runs.

use armilla_testkit::agent::Answer;
use serde_json::{Value, json};

use crate::harness::{TestServer, agent_step, with};

fn child_step(id: &str, workflow: &str, input: Value) -> Value {
    json!({ "type": "workflow", "id": id, "workflowId": workflow, "input": input, "outputVar": id })
}

#[tokio::test]
async fn a_run_goes_on_with_what_the_run_that_it_started_answers() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers("done");
    let child = json!({ "steps": [agent_step("ask", "About {{ topic }}")], "output": { "said": "ask" } });
    let child = server.admin.create(child).await;
    let steps = json!([{ "type": "set", "id": "s", "vars": { "word": "'tides'" } }, child_step("child", &child, json!({ "topic": "{{ word }}" }))]);
    let run = server.admin.run_steps(steps).await;
    assert_eq!(run["vars"]["child"], json!({ "said": "done" }), "{run:#}");
    assert_eq!(agent.calls()[0].message(), "About tides");
    let started = server.admin.children(run["id"].as_str().unwrap()).await;
    assert_eq!((&started[0]["workflowId"], &started[0]["parentRunId"]), (&json!(child), &run["id"]));
    let step = server.admin.steps(run["id"].as_str().unwrap()).await.pop().unwrap();
    assert_eq!((&step["type"], &step["childRunId"]), (&json!("workflow"), &started[0]["id"]));
}

#[tokio::test]
async fn a_run_that_fails_fails_the_step_that_started_it() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::error(400, "no"));
    let child = server.admin.create(json!({ "steps": [agent_step("ask", "Hi")] })).await;
    let run = server.admin.run_steps(json!([child_step("child", &child, json!({}))])).await;
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!("workflow.failed")), "{run:#}");
    assert!(run["error"]["message"].as_str().unwrap().contains("agent.refused"), "{run:#}");
    assert_eq!(run["error"]["stepId"], "child");
}

#[tokio::test]
async fn input_that_does_not_fit_and_a_workflow_that_is_not_there_fail_the_step() {
    let (server, agent) = TestServer::with_agent().await;
    let strict =
        json!({ "inputSchema": { "type": "object", "required": ["topic"] }, "steps": [agent_step("ask", "Hi")] });
    let strict = server.admin.create(strict).await;
    let run = server.admin.run_steps(json!([child_step("child", &strict, json!({}))])).await;
    assert_eq!(run["error"]["code"], "workflow.invalid_input", "{run:#}");
    assert!(run["error"]["message"].as_str().unwrap().contains("topic"), "{run:#}");
    let absent = "wf_00000000000070008000000000000000";
    let run = server.admin.run_steps(json!([child_step("child", absent, json!({}))])).await;
    assert_eq!(run["error"]["code"], "workflow.unknown", "{run:#}");
    assert_eq!(agent.calls().len(), 0);
}

#[tokio::test]
async fn runs_that_start_themselves_end_at_a_depth() {
    let server = TestServer::start().await;
    let workflow = server.admin.create(json!({ "steps": [{ "type": "return", "id": "r" }] })).await;
    let definition = json!({ "steps": [child_step("deeper", &workflow, json!({}))] });
    server.admin.put(&format!("/workflows/{workflow}"), &json!({ "definition": definition })).await.expect(200);
    let run = server.admin.run(&workflow, json!({})).await;
    assert_eq!(run["status"], "failed");
    assert!(run["error"]["message"].as_str().unwrap().contains("workflow.too_deep"), "{run:#}");
    let runs = server.admin.get("/runs").await.expect(200)["runs"].as_array().unwrap().len();
    assert_eq!(runs as i32, armilla_engine::CHILD_DEPTH_MAX + 1);
}

#[tokio::test]
async fn a_run_stays_on_the_version_that_the_step_names_and_many_run_at_once() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers_only_together(3);
    let child =
        server.admin.create(json!({ "steps": [agent_step("ask", "Old {{ n }}")], "output": { "n": "n" } })).await;
    let definition = json!({ "steps": [agent_step("ask", "New")] });
    server.admin.put(&format!("/workflows/{child}"), &json!({ "definition": definition })).await.expect(200);
    let step = with(child_step("child", &child, json!({ "n": "{{ item }}" })), json!({ "version": 1 }));
    let each = json!([{ "type": "forEach", "id": "each", "items": "[1, 2, 3]", "maxConcurrency": 3, "outputVar": "all", "steps": [step] }]);
    let run = server.admin.run_steps(each).await;
    assert_eq!(run["vars"]["all"], json!([{ "n": 1 }, { "n": 2 }, { "n": 3 }]), "{run:#}");
    let mut messages: Vec<_> = agent.calls().iter().map(|call| call.message().to_owned()).collect();
    messages.sort_unstable();
    assert_eq!(messages, ["Old 1", "Old 2", "Old 3"]);
}
