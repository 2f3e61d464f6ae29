//! The journal is the truth: what is shown of a run is what it holds.

use armilla_domain::id::RunId;
use armilla_domain::run::history;
use armilla_testkit::agent::{Answer, Gate};
use serde_json::{Value, json};

use crate::harness::{TestServer, agent_step, tool_step, until, with};

async fn kinds(server: &TestServer, run: &Value) -> Vec<&'static str> {
    let id: RunId = run["id"].as_str().unwrap().parse().unwrap();
    server.engine.store().journal(id).await.unwrap().iter().map(|entry| entry.event.kind()).collect()
}

#[tokio::test]
async fn the_steps_that_are_shown_are_the_journal_s() {
    let (server, agent) = TestServer::with_agent_and_plugins().await;
    agent.answers(Answer::error(503, "overloaded"));
    let ask = with(agent_step("ask", "Hi"), json!({ "retry": { "initialDelay": "5ms" } }));
    let slug = tool_step("slug", "text.slugify", json!({ "text": "{{ask}}" }));
    let check =
        json!({ "type": "condition", "id": "check", "expr": "slug.slug == 'ok'", "then": "done", "else": "not" });
    let steps = json!([ask, slug, check, agent_step("done", "Yes"), agent_step("not", "No")]);
    let run = server.admin.run_steps(steps).await;
    assert_eq!(run["status"], "success", "{run:#}");

    let expected = [
        "run.started",
        "step.started",
        "step.attempt_failed",
        "step.succeeded",
        "step.started",
        "step.succeeded",
        "step.succeeded",
        "step.started",
        "step.succeeded",
        "run.succeeded",
    ];
    assert_eq!(kinds(&server, &run).await, expected);

    let id: RunId = run["id"].as_str().unwrap().parse().unwrap();
    let records = history(&server.engine.store().journal(id).await.unwrap());
    let shown = server.admin.steps(run["id"].as_str().unwrap()).await;
    assert_eq!(records.len(), shown.len());
    for (record, shown) in records.iter().zip(&shown) {
        assert_eq!(shown["stepId"], record.visit.step);
        assert_eq!((&shown["visit"], &shown["attempt"]), (&json!(record.visit.number), &json!(record.attempt)));
        assert_eq!((&shown["input"], &shown["output"]), (&*record.input, &*record.output));
        assert_eq!((&shown["status"], &shown["durationMs"]), (&json!(record.status), &json!(record.duration_ms)));
    }
    let usage = &shown[1]["usage"];
    assert_eq!(usage, &json!({ "inputTokens": 7, "outputTokens": 5, "costUsd": null }), "as the agent counts them");
}

#[tokio::test]
async fn a_run_that_touches_nothing_leaves_its_journal_too() {
    let server = TestServer::with_plugins().await;
    let slug = tool_step("slug", "text.slugify", json!({ "text": "Pure" }));
    let check = json!({ "type": "condition", "id": "check", "expr": "slug.slug == 'pure'", "then": [
        tool_step("more", "jq", json!({ "filter": "1 + 1" })),
    ] });
    let run = server.admin.run_steps(json!([slug, check])).await;
    assert_eq!(run["status"], "success", "{run:#}");
    let expected = [
        "run.started",
        "step.started",
        "step.succeeded",
        "step.succeeded",
        "step.started",
        "step.succeeded",
        "run.succeeded",
    ];
    assert_eq!(kinds(&server, &run).await, expected);
    assert_eq!(server.admin.steps(run["id"].as_str().unwrap()).await.len(), 3);
}

#[tokio::test]
async fn a_run_that_decides_its_end_at_once_is_recorded_as_any_other() {
    let server = TestServer::with_plugins().await;
    let check = json!({ "type": "condition", "id": "check", "expr": "1 < 2", "then": [
        { "type": "condition", "id": "inner", "expr": "false", "then": [tool_step("never", "jq", json!({ "filter": "." }))] },
    ], "outputVar": "checked" });
    let workflow = server.admin.create(json!({ "steps": [check], "output": { "answer": "checked and 'yes'" } })).await;
    let run = server.admin.run(&workflow, json!({})).await;
    assert_eq!((&run["status"], &run["vars"]), (&json!("success"), &json!({ "checked": true })), "{run:#}");
    assert_eq!(kinds(&server, &run).await, ["run.started", "step.succeeded", "step.succeeded", "run.succeeded"]);
    let read = server.admin.get(&format!("/runs/{}", run["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(read["run"], run, "read later, it is what its caller was answered");
}

#[tokio::test]
async fn what_was_decided_shows_before_the_run_ends() {
    let (server, agent) = TestServer::with_agent_and_plugins().await;
    let gate = Gate::closed();
    agent.answers(Answer::text("late").behind(&gate));
    let slug = tool_step("slug", "text.slugify", json!({ "text": "Soon" }));
    let workflow = server.admin.create(json!({ "steps": [slug, agent_step("ask", "Hi")] })).await;
    let run = server.admin.start(&workflow, json!({})).await;
    agent.called(1).await;
    let read = server.admin.get(&format!("/runs/{run}")).await.expect(200);
    assert_eq!(read["run"]["vars"], json!({ "slug": { "slug": "soon" } }), "durable before the agent was called");
    gate.open();
    assert_eq!(server.admin.ended(&run).await["status"], "success");
}

#[tokio::test]
async fn long_answers_are_kept_and_given_back_whole() {
    let (server, agent) = TestServer::with_agent().await;
    let long = "Zeile für Zeile \u{1f30a}\n".repeat(20_000);
    agent.answers(long.as_str());
    let run = server.admin.run_steps(json!([agent_step("ask", "Hi")])).await;
    assert_eq!(run["vars"]["ask"], long);
    let read = server.admin.get(&format!("/runs/{}", run["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(read["run"], run);
    assert_eq!(server.admin.steps(run["id"].as_str().unwrap()).await[0]["output"], long);
}

#[tokio::test]
async fn text_that_a_database_column_cannot_hold_survives() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::json(&json!({ "odd": "a\u{0}b", "z": 1, "a": 2 })));
    let run = server.admin.run_steps(json!([agent_step("ask", "Hi"), agent_step("then", "{{ ask.odd }}")])).await;
    assert_eq!(run["status"], "success", "{run:#}");
    let read = server.admin.get(&format!("/runs/{}", run["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(read["run"]["vars"]["ask"]["odd"], "a\u{0}b");
    assert_eq!(agent.calls()[1].message(), "a\u{0}b");
}

#[tokio::test]
async fn a_run_that_another_host_drives_is_shown_and_waited_for_here() {
    let database = armilla_testkit::db::TestDatabase::create().await;
    let (one, other) = (TestServer::on(&database, 1).await, TestServer::on(&database, 2).await);
    let agent = armilla_testkit::agent::ScriptedAgent::start().await;
    one.admin.register(&agent).await;
    let gate = Gate::closed();
    agent.answers(Answer::text("late").behind(&gate));
    let workflow = one.admin.create(json!({ "steps": [agent_step("ask", "Hi")] })).await;
    let run = one.admin.start(&workflow, json!({})).await;
    agent.called(1).await;
    assert_eq!(other.admin.get(&format!("/runs/{run}")).await.expect(200)["run"]["status"], "running");
    gate.open();
    let ended = until("its end", || async {
        let run = other.admin.get(&format!("/runs/{run}")).await.expect(200)["run"].take();
        (run["status"] == "success").then_some(run)
    })
    .await;
    assert_eq!(ended["vars"]["ask"], "late");
    assert_eq!(agent.calls().len(), 1, "the other host left it alone");
}
