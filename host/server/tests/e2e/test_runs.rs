//! Tests of workflows: in memory, by mocks.

mod bounds;
mod refusals;
mod untouched;

use serde_json::{Value, json};

use crate::harness::{Client, TestServer, agent_step, tool_step, with};

/// Tests a workflow and gives what it came to.
async fn test(client: &Client, workflow: &str, body: Value) -> Value {
    client.post(&format!("/workflows/{workflow}/test"), &body).await.expect(200)["test"].take()
}

/// Tests a definition that is not saved.
async fn test_of(server: &TestServer, steps: Value, mocks: Value) -> Value {
    let workflow = server.admin.create(json!({ "steps": [agent_step("saved", "Hi")] })).await;
    test(&server.admin, &workflow, json!({ "definition": { "steps": steps }, "mocks": mocks })).await
}

/// Step and status of every visit.
fn path(test: &Value) -> Vec<(&str, &str)> {
    let path = test["path"].as_array().unwrap().iter();
    path.map(|step| (step["stepId"].as_str().unwrap(), step["status"].as_str().unwrap())).collect()
}

fn unavailable() -> Value {
    json!({ "error": { "code": "agent.unavailable", "message": "nobody answered", "class": "unavailable" } })
}

#[tokio::test]
async fn a_saved_workflow_is_tested_with_fixed_outputs_and_tells_everything() {
    let server = TestServer::start().await;
    let steps = json!([agent_step("ask", "About {{ topic }}"), agent_step("tell", "Say {{ ask.text }}")]);
    let workflow = server.admin.create(json!({ "steps": steps, "output": { "said": "tell" } })).await;
    let mocks = json!({ "ask": { "output": { "text": "tides" } }, "tell": { "output": "done" } });
    let test = test(&server.admin, &workflow, json!({ "input": { "topic": "Tides" }, "mocks": mocks })).await;

    assert_eq!((&test["status"], &test["output"]), (&json!("success"), &json!({ "said": "done" })), "{test:#}");
    assert_eq!(test["vars"], json!({ "ask": { "text": "tides" }, "tell": "done" }));
    assert_eq!((&test["error"], &test["missing"]), (&Value::Null, &json!([])));
    assert_eq!(test["virtualDurationMs"], 0);
    let visit = json!({ "stepId": "ask", "type": "agent", "scope": "", "visit": 1, "attempts": 1, "status": "success", "mocked": true });
    assert_eq!(test["path"][0], visit);
    let journal = test["journal"].as_array().unwrap();
    let kinds: Vec<_> = journal.iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    let expected = ["run.started", "step.started", "step.succeeded", "step.started", "step.succeeded", "run.succeeded"];
    assert_eq!(kinds, expected);
    assert_eq!(
        (&journal[3]["number"], &journal[3]["stepId"], &journal[3]["visit"]),
        (&json!(4), &json!("tell"), &json!(1))
    );
    assert_eq!((&journal[3]["scope"], &journal[3]["input"]["message"]), (&json!(""), &json!("Say tides")));
    assert_eq!(test["steps"][1]["input"], json!({ "message": "Say tides" }));
    assert_eq!(test["steps"][1]["output"], "done");
}

#[tokio::test]
async fn an_older_version_is_tested_where_it_is_named() {
    let server = TestServer::start().await;
    let definition = |n| json!({ "steps": [{ "type": "set", "id": "s", "vars": { "n": n } }] });
    let workflow = server.admin.create(definition("1")).await;
    server.admin.put(&format!("/workflows/{workflow}"), &json!({ "definition": definition("2") })).await.expect(200);
    let of = async |body| test(&server.admin, &workflow, body).await["vars"]["n"].take();
    assert_eq!((of(json!({ "version": 1 })).await, of(json!({})).await), (json!(1), json!(2)));
    let path = format!("/workflows/{workflow}/test");
    server.admin.post(&path, &json!({ "version": 3 })).await.problem(404, "workflow.version_not_found");
    let nothing = server.admin.request(reqwest::Method::POST, &path);
    assert_eq!(server.admin.send(nothing).await.expect(200)["test"]["vars"]["n"], 2, "a body is not needed");
}

#[tokio::test]
async fn an_error_is_retried_at_once_and_then_leads_to_the_step_that_handles_it() {
    let server = TestServer::start().await;
    let risky = with(agent_step("risky", "Try"), json!({ "onError": "handler" }));
    let handler = agent_step("handler", "{{ error.code }}");
    let steps = json!([risky, agent_step("passed", "Not me"), handler]);
    let test = test_of(&server, steps, json!({ "risky": unavailable(), "handler": { "output": "handled" } })).await;
    assert_eq!(test["status"], "success", "{test:#}");
    assert_eq!(path(&test), [("risky", "failed"), ("handler", "success")]);
    assert_eq!(test["path"][0]["attempts"], 3);
    assert_eq!(test["steps"][3]["input"]["message"], "agent.unavailable");
    assert!(test["virtualDurationMs"].as_u64().unwrap() >= 1_500, "it would have waited twice");
}

#[tokio::test]
async fn a_sequence_answers_the_attempts_of_a_loop_one_after_the_other() {
    let server = TestServer::start().await;
    let passes = json!({ "type": "loop", "id": "work", "until": "draft.good", "maxIterations": 5, "outputVar": "passes",
        "steps": [agent_step("draft", "Pass {{ iteration }}")] });
    let sequence =
        json!({ "sequence": [unavailable(), { "output": { "good": false } }, { "output": { "good": true } }] });
    let test = test_of(&server, json!([passes]), json!({ "draft": sequence })).await;
    assert_eq!((&test["status"], &test["vars"]["passes"]), (&json!("success"), &json!(2)), "{test:#}");
    let attempts: Vec<_> = test["path"].as_array().unwrap()[1..].iter().map(|step| step["attempts"].clone()).collect();
    assert_eq!(attempts, [2, 1]);
}

#[tokio::test]
async fn every_item_of_a_for_each_is_a_visit_and_the_last_answer_repeats() {
    let server = TestServer::start().await;
    let each = json!({ "type": "forEach", "id": "each", "items": "[1, 2, 3]", "outputVar": "all",
        "steps": [agent_step("ask", "{{ item }}")] });
    let mocks = json!({ "ask": { "sequence": [{ "output": "first" }, { "output": "other" }] } });
    let test = test_of(&server, json!([each]), mocks).await;
    assert_eq!(test["vars"]["all"], json!(["first", "other", "other"]), "{test:#}");
    assert_eq!(test["path"][3]["scope"], "each:1:2");
    assert_eq!((&test["path"][3]["visit"], &test["path"][3]["mocked"]), (&json!(3), &json!(true)));
}

#[tokio::test]
async fn an_approval_is_given_or_denied_and_leads_both_ways() {
    let server = TestServer::start().await;
    let steps = json!([
        { "type": "approval", "id": "ok", "message": "Publish?", "outputVar": "ok" },
        { "type": "condition", "id": "check", "expr": "ok.approved", "then": "publish", "else": "file" },
        { "type": "set", "id": "publish", "vars": { "what": "'published'" } },
        { "type": "set", "id": "file", "vars": { "what": "'filed'" } },
    ]);
    let given = test_of(&server, steps.clone(), json!({})).await;
    assert_eq!(
        (&given["vars"]["what"], &given["vars"]["ok"]["by"]),
        (&json!("published"), &json!("test")),
        "{given:#}"
    );
    assert_eq!(given["path"][0]["mocked"], true);
    let denied = json!({ "ok": { "output": { "approved": false, "note": "not yet" } } });
    let denied = test_of(&server, steps, denied).await;
    assert_eq!((&denied["vars"]["what"], &denied["vars"]["ok"]["note"]), (&json!("filed"), &json!("not yet")));
}

#[tokio::test]
async fn waits_of_days_pass_at_once_and_events_come_from_the_test() {
    let server = TestServer::start().await;
    let steps = json!([
        { "type": "wait", "id": "days", "duration": "30d" },
        { "type": "wait", "id": "paid", "event": "paid", "match": "event.sum > 5", "outputVar": "paid" },
        { "type": "wait", "id": "sent", "event": "sent", "timeout": "7d", "onError": "continue" },
    ]);
    let workflow = server.admin.create(json!({ "steps": steps })).await;
    let events = json!([{ "name": "paid", "payload": { "sum": 1 } }, { "name": "paid", "payload": { "sum": 9 } }]);
    let began = std::time::Instant::now();
    let tested = test(&server.admin, &workflow, json!({ "events": events })).await;
    assert!(began.elapsed() < std::time::Duration::from_secs(10));
    assert_eq!((&tested["status"], &tested["vars"]["paid"]), (&json!("success"), &json!({ "sum": 9 })), "{tested:#}");
    assert_eq!(tested["virtualDurationMs"], 37 * 86_400_000_u64);
    assert_eq!(path(&tested)[2], ("sent", "failed"), "nobody sent it in time");

    let tested = test(&server.admin, &workflow, json!({})).await;
    assert_eq!((&tested["status"], &tested["missing"]), (&json!("waiting"), &json!(["paid"])));
    let mocks = json!({ "paid": { "output": { "sum": 7 } }, "sent": { "output": null } });
    let tested = test(&server.admin, &workflow, json!({ "mocks": mocks })).await;
    assert_eq!((&tested["status"], &tested["vars"]["paid"]), (&json!("success"), &json!({ "sum": 7 })));
}

#[tokio::test]
async fn a_recorded_run_answers_for_every_step_or_for_one() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers("the draft");
    agent.answers("the praise");
    let draft = agent_step("draft", "Write");
    let workflow = server.admin.create(json!({ "steps": [draft, agent_step("praise", "{{ draft }}")] })).await;
    let run = server.admin.run(&workflow, json!({})).await;

    let tested = test(&server.admin, &workflow, json!({ "recordedFrom": run["id"] })).await;
    assert_eq!((&tested["status"], &tested["vars"]), (&json!("success"), &run["vars"]), "{tested:#}");
    assert_eq!(
        tested["steps"][0]["usage"],
        json!({ "inputTokens": 7, "outputTokens": 5, "costUsd": null }),
        "as it was recorded"
    );
    let mocks = json!({ "draft": { "recorded": run["id"] }, "praise": { "output": "scorn" } });
    let tested = test(&server.admin, &workflow, json!({ "mocks": mocks })).await;
    assert_eq!(tested["vars"], json!({ "draft": "the draft", "praise": "scorn" }));

    let changed = json!({ "steps": [draft, agent_step("new", "{{ draft }}")] });
    let tested = test(&server.admin, &workflow, json!({ "recordedFrom": run["id"], "definition": changed })).await;
    assert_eq!((&tested["status"], &tested["missing"]), (&json!("unmocked"), &json!(["new"])));
    assert_eq!(agent.calls().len(), 2, "nobody was called but by the run");
}

#[tokio::test]
async fn tools_and_evaluators_that_touch_nothing_run_for_real_and_others_are_missing() {
    let (server, agent) = TestServer::with_agent_and_plugins().await;
    let child = server.admin.create(json!({ "steps": [agent_step("c", "Hi")] })).await;
    let steps = json!([
        tool_step("slug", "text.slugify", json!({ "text": "For Real" })),
        { "type": "condition", "id": "check", "evaluator": "cel", "expr": "slug.slug == 'for-real'", "then": [
            { "type": "parallel", "id": "all", "steps": [
                agent_step("ask", "Hi"),
                { "type": "workflow", "id": "child", "workflowId": child },
                tool_step("more", "jq", json!({ "filter": "1 + 1" })),
            ] },
        ] },
    ]);
    let test = test_of(&server, steps.clone(), json!({})).await;
    assert_eq!((&test["status"], &test["missing"]), (&json!("unmocked"), &json!(["ask", "child"])), "{test:#}");
    assert_eq!(test["vars"]["slug"], json!({ "slug": "for-real" }));
    let expected = [
        ("slug", "success"),
        ("check", "success"),
        ("all", "running"),
        ("ask", "running"),
        ("child", "waiting"),
        ("more", "success"),
    ];
    assert_eq!(path(&test), expected);
    assert_eq!((&test["path"][0]["mocked"], &test["steps"][0]["answerer"]["name"]), (&json!(false), &json!("text")));
    assert!(test["journal"].as_array().unwrap().len() > 5, "what happened so far is there");

    let mocks = json!({ "check": { "output": false }, "slug": { "output": { "slug": "mocked" } } });
    let test = test_of(&server, steps, mocks).await;
    assert_eq!((&test["status"], &test["vars"]["slug"]["slug"]), (&json!("success"), &json!("mocked")));
    let nobody = test_of(&server, json!([tool_step("t", "nonesuch", json!({}))]), json!({})).await;
    assert_eq!((&nobody["status"], &nobody["error"]["code"]), (&json!("failed"), &json!("tool.unknown")));
    assert_eq!(agent.calls().len(), 0);
}
