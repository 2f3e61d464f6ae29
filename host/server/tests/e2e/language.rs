//! Steps that decide, repeat, set and end.

use armilla_testkit::agent::Answer;
use serde_json::{Value, json};

use crate::harness::{TestServer, agent_step, with};

fn set(id: &str, vars: Value) -> Value {
    json!({ "type": "set", "id": id, "vars": vars })
}

#[tokio::test]
async fn a_switch_takes_the_first_case_that_holds_or_its_default() {
    let server = TestServer::start().await;
    let steps = json!([{ "type": "switch", "id": "size", "outputVar": "case",
        "cases": [
            { "when": "n > 100", "then": [set("large", json!({ "size": "'large'" }))] },
            { "when": "n > 10", "then": [set("medium", json!({ "size": "'medium'" }))] },
        ],
        "default": [set("small", json!({ "size": "'small'" }))],
    }]);
    let workflow = server.admin.create(json!({ "steps": steps })).await;
    for (n, size, case) in [(1000, "large", json!(0)), (50, "medium", json!(1)), (1, "small", Value::Null)] {
        let run = server.admin.run(&workflow, json!({ "n": n })).await;
        assert_eq!((&run["vars"]["size"], &run["vars"]["case"]), (&json!(size), &case), "{run:#}");
    }
}

#[tokio::test]
async fn variables_are_set_from_expressions_templates_and_values() {
    let server = TestServer::start().await;
    let vars =
        json!({ "sum": "n + 1", "text": "n is {{ n }}", "typed": "{{ n }}", "list": ["{{ n }}", 2], "flag": true });
    let workflow = server.admin.create(json!({ "steps": [set("s", vars)] })).await;
    let run = server.admin.run(&workflow, json!({ "n": 4 })).await;
    assert_eq!(run["vars"], json!({ "sum": 5, "text": "n is 4", "typed": 4, "list": [4, 2], "flag": true }), "{run:#}");
}

#[tokio::test]
async fn a_run_ends_where_it_returns_or_fails() {
    let (server, agent) = TestServer::with_agent().await;
    let steps = json!([
        { "type": "return", "id": "early", "when": "done", "output": { "answer": "n * 2" } },
        { "type": "fail", "id": "no", "message": "{{ n }} is not done", "code": "order.incomplete" },
        agent_step("never", "Hi"),
    ]);
    let body = json!({ "name": "A test's", "definition": { "steps": steps } });
    // The step that nothing leads to is a fault.
    server.admin.post("/workflows", &body).await.problem(422, "workflow.invalid");
    let workflow = server.admin.create(json!({ "steps": steps.as_array().unwrap()[..2] })).await;
    let run = server.admin.run(&workflow, json!({ "n": 3, "done": true })).await;
    assert_eq!((&run["status"], &run["output"]), (&json!("success"), &json!({ "answer": 6 })), "{run:#}");
    let run = server.admin.run(&workflow, json!({ "n": 3, "done": false })).await;
    let expected = json!({ "stepId": "no", "code": "order.incomplete", "message": "3 is not done", "attempts": 0 });
    assert_eq!((&run["status"], &run["error"]), (&json!("failed"), &expected));
    assert_eq!(agent.calls().len(), 0);
}

#[tokio::test]
async fn a_for_each_keeps_the_order_of_its_items_however_they_end() {
    let (server, agent) = TestServer::with_agent().await;
    // All of them are under way at the same time.
    agent.answers_only_together(4);
    let ask = with(agent_step("ask", "{{ index }}: {{ fruit }}"), json!({ "agentId": "scripted" }));
    let each = json!([{ "type": "forEach", "id": "each", "items": "fruits", "as": "fruit", "maxConcurrency": 4,
        "outputVar": "all", "steps": [ask, set("s", json!({ "said": "fruit ~ index" }))] }]);
    let workflow = server.admin.create(json!({ "steps": each })).await;
    let run = server.admin.run(&workflow, json!({ "fruits": ["a", "b", "c", "d"] })).await;
    assert_eq!(
        run["vars"]["all"],
        json!([{ "said": "a0" }, { "said": "b1" }, { "said": "c2" }, { "said": "d3" }]),
        "{run:#}"
    );
    assert_eq!(server.admin.run(&workflow, json!({ "fruits": [] })).await["vars"]["all"], json!([]));
    let wrong = server.admin.run(&workflow, json!({ "fruits": "a" })).await;
    assert_eq!((&wrong["status"], &wrong["error"]["stepId"]), (&json!("failed"), &json!("each")));
}

#[tokio::test]
async fn a_loop_ends_by_its_test_or_at_its_bound() {
    let (server, agent) = TestServer::with_agent().await;
    for good in [false, false, true] {
        agent.answers(Answer::json(&json!({ "good": good })));
    }
    let improve = |bound: i32| {
        json!([{ "type": "loop", "id": "improve", "until": "ask.good", "maxIterations": bound, "outputVar": "passes",
            "steps": [agent_step("ask", "Pass {{ iteration }}")] }])
    };
    let run = server.admin.run_steps(improve(5)).await;
    assert_eq!((&run["vars"]["passes"], agent.calls()[2].message()), (&json!(3), "Pass 3"), "{run:#}");
    agent.answers_otherwise(Answer::json(&json!({ "good": false })));
    let run = server.admin.run_steps(improve(2)).await;
    assert_eq!((&run["status"], &run["vars"]["passes"]), (&json!("success"), &json!(2)), "{run:#}");
    let never = json!([{ "type": "loop", "id": "l", "while": "false", "maxIterations": 2, "outputVar": "passes", "steps": [set("s", json!({ "x": 1 }))] }]);
    assert_eq!(server.admin.run_steps(never).await["vars"]["passes"], 0);
}
