//! What a run tells comes in the order in which it happened.

use armilla_testkit::agent::ScriptedAgent;
use armilla_testkit::db::TestDatabase;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Schemas, approval, events, of_run, set, types, wait};
use crate::harness::{TestServer, agent_step, tool_step, until, with};

/// Types, each with the step that it is of.
fn steps(events: &[Value]) -> Vec<String> {
    let of = |event: &Value| match event["data"]["stepId"].as_str() {
        Some(step) => format!("{} {step}", event["type"].as_str().unwrap()),
        None => event["type"].as_str().unwrap().to_owned(),
    };
    events.iter().map(of).collect()
}

#[tokio::test]
async fn a_run_of_many_steps_tells_of_each_in_its_turn_and_of_none_twice() {
    let (server, _agent) = TestServer::with_agent().await;
    let mut definition = Vec::new();
    let mut expected = vec!["run.started".to_owned()];
    for n in 0..40 {
        let id = format!("s{n}");
        expected.push(format!("step.succeeded {id}"));
        if n % 4 == 0 {
            definition.push(agent_step(&id, "Hi"));
            expected.push(format!("agent.completed {id}"));
        } else {
            definition.push(set(&id));
        }
    }
    expected.push("run.succeeded".to_owned());
    let run = server.admin.run_steps(Value::Array(definition)).await;
    let told = of_run(&events(&server.admin, "").await, run["id"].as_str().unwrap());
    assert_eq!(steps(&told), expected);
    Schemas::of(&server.admin).await.check_all(&told);
}

#[tokio::test]
async fn a_question_is_told_after_what_led_to_it_and_before_the_wait_for_its_answer() {
    let server = TestServer::with_plugins().await;
    let pure = tool_step("slug", "text.slugify", json!({ "text": "A B" }));
    let run = server.admin.start_steps(json!([set("a"), pure, approval("ok"), set("b"), wait("w", "go")])).await;
    let asked = server.admin.asked(&run, 1).await.remove(0);
    server.admin.comes_to(&run, "waiting").await;
    server.admin.post(&format!("/approvals/{asked}/approve"), &json!({})).await.expect(200);
    until("it waits for a signal", || async {
        let steps = server.admin.steps(&run).await;
        steps.iter().any(|step| step["stepId"] == "w").then_some(())
    })
    .await;
    server.admin.comes_to(&run, "waiting").await;
    server.admin.signal(&run, "go", json!(1)).await;
    server.admin.ended(&run).await;
    let expected = [
        "run.started",
        "step.succeeded a",
        "step.succeeded slug",
        "tool.executed slug",
        "approval.requested ok",
        "run.waiting",
        "approval.decided ok",
        "step.succeeded ok",
        "step.succeeded b",
        "run.waiting",
        "step.succeeded w",
        "run.succeeded",
    ];
    let told = of_run(&events(&server.admin, "").await, &run);
    assert_eq!(steps(&told), expected);
}

#[tokio::test]
async fn a_run_that_is_only_looked_at_does_not_wait_anew() {
    let server = TestServer::start().await;
    let run = server.admin.start_steps(json!([with(wait("w", "go"), json!({ "match": "event == 3" }))])).await;
    server.admin.comes_to(&run, "waiting").await;
    for n in 1..=3 {
        server.admin.signal(&run, "go", json!(n)).await;
    }
    server.admin.ended(&run).await;
    let told = of_run(&events(&server.admin, "").await, &run);
    let waits = types(&told).iter().filter(|kind| **kind == "run.waiting").count();
    assert!((1..=3).contains(&waits), "{told:#?}");
    assert_eq!(types(&told).last(), Some(&"run.succeeded"));
}

#[tokio::test]
async fn many_runs_on_two_hosts_each_tell_exactly_their_own_sequence() {
    let (database, agent) = tokio::join!(TestDatabase::create(), ScriptedAgent::start());
    let (one, two) = tokio::join!(TestServer::on(&database, 1), TestServer::on(&database, 2));
    one.admin.register(&agent).await;
    let branches = json!([{ "type": "parallel", "id": "all", "steps": [set("x"), set("y")] }]);
    let definition = json!({ "steps": [set("a"), agent_step("ask", "Hi"), branches[0], with(wait("nap", "go"), json!({})), set("z")] });
    let workflow = one.admin.create(definition).await;
    let mut running = JoinSet::new();
    for n in 0..40 {
        let (starts, signals) = if n % 2 == 0 { (&one, &two) } else { (&two, &one) };
        let (starts, signals, workflow) = (starts.admin.clone(), signals.admin.clone(), workflow.clone());
        running.spawn(async move {
            let run = starts.start(&workflow, json!({})).await;
            starts.comes_to(&run, "waiting").await;
            signals.signal(&run, "go", json!(n)).await;
            starts.ended(&run).await;
            run
        });
    }
    let runs = running.join_all().await;
    let all = events(&two.admin, "").await;
    Schemas::of(&one.admin).await.check_all(&all);
    for run in &runs {
        let mut told = steps(&of_run(&all, run));
        // The branches of a group end in either order.
        told[4..6].sort_unstable();
        let expected = [
            "run.started",
            "step.succeeded a",
            "step.succeeded ask",
            "agent.completed ask",
            "step.succeeded x",
            "step.succeeded y",
            "step.succeeded all",
            "run.waiting",
            "step.succeeded nap",
            "step.succeeded z",
            "run.succeeded",
        ];
        assert_eq!(told, expected, "{run}");
    }
}
