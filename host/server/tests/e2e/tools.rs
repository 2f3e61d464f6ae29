//! Tools and evaluators: components in the sandbox, as steps of a run.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{TestServer, component, register_example_agents, root, tool_step};

#[tokio::test]
async fn the_shipped_content_desk_runs_agents_tools_and_a_condition_of_a_plugin() {
    let server = TestServer::with_plugins().await;
    register_example_agents(&server.admin).await;
    let shipped = std::fs::read_to_string(root().join("examples/workflows/content-desk.json")).unwrap();
    let shipped: Value = serde_json::from_str(&shipped).unwrap();
    let workflow = server.admin.create(shipped["definition"].clone()).await;
    let run = server.admin.run(&workflow, json!({ "topic": "Tidal Power: the 2nd try" })).await;

    assert_eq!(run["status"], "success", "{run:#}");
    let output = run["output"].as_object().unwrap();
    assert_eq!(output.keys().collect::<Vec<_>>(), ["slug", "verdict", "article"]);
    assert_eq!(output["slug"], "tidal-power-the-2nd-try");
    assert_eq!(output["verdict"], json!({ "approved": true, "score": 0.92, "remarks": 2 }));
    assert_eq!(output["article"], run["vars"]["draft"]);
    assert!(run["vars"]["receipt"].as_str().unwrap().starts_with("Published as"));

    let steps = server.admin.steps(run["id"].as_str().unwrap()).await;
    let check = steps.iter().find(|step| step["stepId"] == "check").unwrap();
    assert_eq!((&check["output"], &check["answerer"]["name"]), (&json!(true), &json!("cel")));
    let draft = steps.iter().find(|step| step["stepId"] == "draft").unwrap();
    assert_eq!(draft["scope"], "prepare:1:0");
}

#[tokio::test]
async fn a_condition_of_a_plugin_leads_the_other_way_too() {
    let server = TestServer::with_plugins().await;
    register_example_agents(&server.admin).await;
    let shipped = std::fs::read_to_string(root().join("examples/workflows/content-desk.json")).unwrap();
    let shipped: Value = serde_json::from_str(&shipped).unwrap();
    let workflow = server.admin.create(shipped["definition"].clone()).await;
    let run = server.admin.run(&workflow, json!({ "topic": "unverified claims" })).await;
    assert_eq!((&run["status"], &run["vars"].get("receipt")), (&json!("success"), &None), "{run:#}");
    assert_eq!(run["output"]["verdict"]["approved"], false);
    assert!(run["output"]["article"].as_str().unwrap().contains("second version"));
}

#[tokio::test]
async fn a_step_records_the_digest_of_the_component_that_answered() {
    let server = TestServer::with_plugins().await;
    let run = server.admin.run_steps(json!([tool_step("slug", "text.slugify", json!({ "text": "Ärger & Öl" }))])).await;
    assert_eq!(run["vars"]["slug"], json!({ "slug": "arger-ol" }), "{run:#}");
    let steps = server.admin.steps(run["id"].as_str().unwrap()).await;
    let digest = Sha256::digest(std::fs::read(component("plugins", "text")).unwrap());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let answerer = &steps[0]["answerer"];
    assert_eq!(
        (&answerer["kind"], &answerer["name"], &answerer["digest"]),
        (&json!("plugin"), &json!("text"), &json!(digest))
    );
    let tool = server.admin.get("/tools/text.slugify").await.expect(200);
    assert_eq!(tool["tool"]["plugin"], json!({ "name": "text", "version": answerer["version"], "digest": digest }));
    assert_eq!(tool["tool"]["pure"], true);
}

#[tokio::test]
async fn a_template_that_is_one_expression_gives_a_tool_the_value_and_not_its_text() {
    let server = TestServer::with_plugins().await;
    let params = json!({ "filter": "[.[] * $by]", "input": "{{ numbers }}", "args": { "by": "{{ factor }}" } });
    let workflow = server.admin.create(json!({ "steps": [tool_step("scaled", "jq", params)] })).await;
    let run = server.admin.run(&workflow, json!({ "numbers": [1, 2, 3], "factor": 10 })).await;
    assert_eq!(run["vars"]["scaled"]["first"], json!([10, 20, 30]), "{run:#}");
}

#[tokio::test]
async fn the_tools_of_all_plugins_are_listed_with_their_schemas() {
    let server = TestServer::with_plugins().await;
    let list = server.admin.get("/tools").await.expect(200);
    let names: Vec<_> = list["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert!(names.is_sorted(), "{names:?}");
    for name in ["jq", "text.extract", "text.plain", "text.replace", "text.slugify", "text.split", "text.word_count"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    assert!(list["tools"].as_array().unwrap().iter().all(|tool| tool["inputSchema"]["type"] == "object"));
    server.admin.get("/tools/nonesuch").await.problem(404, "tool.not_found");
}

#[tokio::test]
async fn parameters_that_do_not_fit_the_tools_schema_fail_the_step_at_once() {
    let server = TestServer::with_plugins().await;
    let run = server.admin.run_steps(json!([tool_step("slug", "text.slugify", json!({ "texts": 7 }))])).await;
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!("tool.invalid_input")), "{run:#}");
    assert_eq!(run["error"]["attempts"], 1);
}

#[tokio::test]
async fn a_tool_that_nobody_brings_is_warned_of_and_fails_the_run_that_comes_to_it() {
    let server = TestServer::with_plugins().await;
    let definition = json!({ "steps": [tool_step("t", "nonesuch", json!({}))] });
    let made = server.admin.post("/workflows", &json!({ "name": "n", "definition": definition })).await.expect(201);
    assert_eq!(made["workflow"]["warnings"][0]["pointer"], "/steps/0/toolName");
    let run = server.admin.run(made["workflow"]["id"].as_str().unwrap(), json!({})).await;
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!("tool.unknown")), "{run:#}");
}

#[tokio::test]
async fn an_expression_that_its_evaluator_cannot_read_is_a_fault_of_the_definition() {
    let server = TestServer::with_plugins().await;
    let definition = json!({ "steps": [
        { "type": "condition", "id": "check", "evaluator": "cel", "expr": "a >", "then": [tool_step("t", "jq", json!({ "filter": "." }))] },
    ] });
    let answer = server.admin.post("/workflows", &json!({ "name": "n", "definition": definition })).await;
    let problem = answer.problem(422, "workflow.invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/definition/steps/0/expr");
    assert_eq!(problem["errors"][0]["code"], "definition.expression");
}

#[tokio::test]
async fn a_condition_that_its_evaluator_cannot_judge_fails_with_the_reason() {
    let server = TestServer::with_plugins().await;
    for (expr, code) in [("missing.field", "expr.failed"), ("1 + 1", "expr.type")] {
        let inner = json!([tool_step("t", "jq", json!({ "filter": "." }))]);
        let check = json!({ "type": "condition", "id": "check", "evaluator": "cel", "expr": expr, "then": inner });
        let run = server.admin.run_steps(json!([check])).await;
        assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!(code)), "{run:#}");
    }
}
