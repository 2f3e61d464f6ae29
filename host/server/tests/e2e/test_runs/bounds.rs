//! How far a test goes.

use armilla_engine::{TEST_ENTRIES_MAX, TEST_EVENTS_MAX, TESTS_AT_ONCE_MAX};
use serde_json::json;

use super::{test, test_of};
use crate::harness::{TestServer, agent_step, tool_step, with};

#[tokio::test]
async fn a_workflow_without_end_is_ended_and_says_that_the_test_did_it() {
    let server = TestServer::start().await;
    let steps = json!([
        { "type": "set", "id": "s", "vars": { "x": "1" } },
        { "type": "condition", "id": "again", "expr": "true", "then": "s" },
    ]);
    let workflow = server.admin.create(json!({ "maxSteps": 100_000, "steps": steps })).await;
    let tested = test(&server.admin, &workflow, json!({})).await;
    let entries = tested["journal"].as_array().unwrap().len();
    assert_eq!((&tested["status"], &tested["error"]["code"]), (&json!("failed"), &json!("test.too_many_entries")));
    assert!((TEST_ENTRIES_MAX..TEST_ENTRIES_MAX + 100).contains(&entries), "{entries}");
}

#[tokio::test]
async fn a_journal_that_would_be_too_heavy_for_a_run_is_too_heavy_for_a_test() {
    let server = TestServer::start().await;
    let each =
        json!({ "type": "forEach", "id": "each", "items": "range(100) | list", "steps": [agent_step("ask", "Hi")] });
    let mocks = json!({ "ask": { "output": "x".repeat(900_000) } });
    let tested = test_of(&server, json!([each]), mocks).await;
    assert_eq!((&tested["status"], &tested["error"]["code"]), (&json!("failed"), &json!("run.too_large")));
}

#[tokio::test]
async fn more_tests_at_once_than_there_is_room_for_are_asked_to_come_back() {
    let server = TestServer::with_plugins().await;
    let sleepy = with(tool_step("t", "sleep", json!({})), json!({ "timeout": "2s", "retry": { "maxAttempts": 1 } }));
    let path = format!("/workflows/{}/test", server.admin.create(json!({ "steps": [sleepy] })).await);
    let mut tests = tokio::task::JoinSet::new();
    for _ in 0..=TESTS_AT_ONCE_MAX {
        let (client, path) = (server.admin.clone(), path.clone());
        tests.spawn(async move { client.post(&path, &json!({})).await });
    }
    let answers = tests.join_all().await;
    let (refused, tested): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status != 200);
    assert_eq!((refused.len(), tested.len()), (1, TESTS_AT_ONCE_MAX));
    for refused in refused {
        assert_eq!(refused.header("retry-after"), "1");
        refused.problem(503, "server.unavailable");
    }
    server.admin.post(&path, &json!({ "mocks": { "t": { "output": 1 } } })).await.expect(200);
}

#[tokio::test]
async fn events_and_recorded_runs_are_bounded() {
    let (server, _agent) = TestServer::with_agent().await;
    let steps: Vec<_> = (0..5).map(|n| agent_step(&format!("s{n}"), "Hi")).collect();
    let workflow = server.admin.create(json!({ "steps": steps })).await;
    let path = format!("/workflows/{workflow}/test");
    let events = vec![json!({ "name": "e" }); TEST_EVENTS_MAX + 1];
    let problem = server.admin.post(&path, &json!({ "events": events })).await.problem(422, "test.invalid");
    assert_eq!(problem["errors"][0]["code"], "test.too_many_events");
    let mut mocks = json!({});
    for n in 0..5 {
        let run = server.admin.run(&workflow, json!({})).await;
        mocks[format!("s{n}")] = json!({ "recorded": run["id"] });
    }
    let problem = server.admin.post(&path, &json!({ "mocks": mocks })).await.problem(422, "test.invalid");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 1, "{problem:#}");
    assert_eq!(problem["errors"][0]["code"], "mock.too_many_runs");
}
