//! Every type of events that can be brought about, once each, as its schema says.

use std::collections::BTreeSet;

use armilla_domain::id::WorkspaceId;
use armilla_testkit::agent::{Answer, ScriptedAgent};
use armilla_testkit::db::TestDatabase;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use super::{Schemas, approval, event_with, events, of_run, set, types, wait};
use crate::harness::{Client, TestServer, agent_step, component, tool_step, until, with};

/// Nothing makes the first one yet, and the others take deliveries that fail for long, which the tests of webhooks have.
const ELSEWHERE: [&str; 3] = ["experiment.completed", "webhook.failing", "webhook.disabled"];

/// The only event of a type that a run told.
#[track_caller]
fn one<'a>(events: &'a [Value], kind: &str) -> &'a Value {
    let found: Vec<&Value> = events.iter().filter(|event| event["type"] == kind).collect();
    assert_eq!(found.len(), 1, "{kind} in {:?}", types(events));
    &found[0]["data"]
}

async fn told_of(client: &Client, run: &str) -> Vec<Value> {
    of_run(&events(client, "").await, run)
}

#[tokio::test]
async fn every_type_of_events_is_told_once_and_fits_the_schema_that_is_served() {
    let (server, agent) = TestServer::with_agent_and_plugins().await;
    let client = &server.admin;
    let schemas = Schemas::of(client).await;
    workflows(client).await;
    runs(client).await;
    approvals(client).await;
    agents(client, &agent).await;
    tools(client, &agent).await;
    plugins(client).await;
    prompts(client).await;

    let all = events(client, "").await;
    schemas.check_all(&all);
    let told: BTreeSet<&str> = types(&all).into_iter().collect();
    let expected: BTreeSet<&str> = schemas.types().filter(|name| !ELSEWHERE.contains(name)).collect();
    assert_eq!(told, expected);

    let stranger = server.admin_of(WorkspaceId::from_parts(1, [1; 10]));
    assert_eq!(events(&stranger, "").await, [] as [Value; 0]);
    for event in &all {
        let path = format!("/events/{}", event["id"].as_str().unwrap());
        assert_eq!(client.get(&path).await.expect(200)["event"], *event);
        stranger.get(&path).await.problem(404, "event.not_found");
    }
}

async fn workflows(client: &Client) {
    let id = client.create(json!({ "steps": [set("a")] })).await;
    let path = format!("/workflows/{id}");
    client.put(&path, &json!({ "name": "Other", "definition": { "steps": [set("b")] } })).await.expect(200);
    // What changes nothing is no event.
    client.put(&path, &json!({ "name": "Other" })).await.expect(200);
    client.delete(&path).await.expect(204);
    let told: Vec<Value> =
        events(client, "").await.into_iter().filter(|event| event["data"]["workflowId"] == id).collect();
    assert_eq!(types(&told), ["workflow.created", "workflow.updated", "workflow.deleted"]);
    assert_eq!(told[0]["data"], json!({ "workflowId": id, "name": "A test's", "version": 1, "by": "ada" }));
    assert_eq!(told[1]["data"], json!({ "workflowId": id, "name": "Other", "version": 2, "by": "ada" }));
    assert_eq!((&told[2]["data"]["workflowId"], &told[2]["data"]["by"]), (&json!(id), &json!("ada")));
}

async fn runs(client: &Client) {
    let run = client.run_steps(json!([set("a")])).await;
    let id = run["id"].as_str().unwrap();
    let told = told_of(client, id).await;
    assert_eq!(types(&told), ["run.started", "step.succeeded", "run.succeeded"]);
    for event in &told {
        assert_eq!(
            (&event["data"]["workflowId"], &event["data"]["workflowVersion"]),
            (&run["workflowId"], &json!(1)),
            "{event:#}"
        );
    }
    let step = one(&told, "step.succeeded");
    assert_eq!((&step["stepId"], &step["type"], &step["visit"]), (&json!("a"), &json!("set"), &json!(1)), "{step:#}");
    let succeeded = one(&told, "run.succeeded");
    assert_eq!(succeeded["output"], run["output"], "{succeeded:#}");
    assert!(succeeded["durationMs"].is_u64(), "{succeeded:#}");

    let fails = json!({ "type": "fail", "id": "no", "message": "never" });
    let run = client.run_steps(json!([fails])).await;
    let told = told_of(client, run["id"].as_str().unwrap()).await;
    assert_eq!(types(&told).last(), Some(&"run.failed"), "{run:#}");
    assert_eq!(one(&told, "run.failed")["error"]["code"], run["error"]["code"]);
    assert_eq!(one(&told, "run.failed")["error"]["message"], run["error"]["message"]);

    let id = client.start_steps(json!([wait("nap", "go")])).await;
    client.comes_to(&id, "waiting").await;
    client.tell(&id, "cancel", json!({ "reason": "enough" })).await;
    let told = told_of(client, &id).await;
    assert_eq!(types(&told), ["run.started", "run.waiting", "run.cancelled"]);
    assert_eq!(one(&told, "run.waiting").get("until"), None);
    assert_eq!(one(&told, "run.cancelled")["error"]["code"], "run.cancelled");

    let late = json!({ "timeout": "3s", "steps": [wait("nap", "go")] });
    let id = client.start(&client.create(late).await, json!({})).await;
    client.ended(&id).await;
    let told = told_of(client, &id).await;
    assert_eq!(types(&told), ["run.started", "run.waiting", "run.timed_out"]);
    assert!(one(&told, "run.waiting")["until"].is_string());
    assert_eq!(one(&told, "run.timed_out")["error"]["code"], "run.timeout");

    let child = client.create(json!({ "steps": [set("a")] })).await;
    let run = client.run_steps(json!([{ "type": "workflow", "id": "child", "workflowId": child }])).await;
    let id = run["id"].as_str().unwrap();
    let started = event_with(client, "run.started", &format!("\"parentRunId\":\"{id}\"")).await;
    assert_eq!(started["data"]["workflowId"], child);
}

async fn approvals(client: &Client) {
    for (word, status) in [("approve", "approved"), ("deny", "denied")] {
        let run = client.start_steps(json!([approval("ok")])).await;
        let id = client.asked(&run, 1).await.remove(0);
        client.post(&format!("/approvals/{id}/{word}"), &json!({ "note": "so" })).await.expect(200);
        client.ended(&run).await;
        let told = told_of(client, &run).await;
        let asked = one(&told, "approval.requested");
        assert_eq!((&asked["approvalId"], &asked["stepId"]), (&json!(id), &json!("ok")));
        assert_eq!((&asked["message"], &asked["approvers"]), (&json!("Go?"), &json!(["admin"])));
        let decided =
            json!({ "approvalId": id, "runId": run, "stepId": "ok", "status": status, "by": "ada", "note": "so" });
        assert_eq!(*one(&told, "approval.decided"), decided);
    }
    let run = client.start_steps(json!([with(approval("ok"), json!({ "timeout": "200ms" }))])).await;
    client.ended(&run).await;
    let told = told_of(client, &run).await;
    let id = &one(&told, "approval.requested")["approvalId"];
    assert!(one(&told, "approval.requested")["expiresAt"].is_string());
    let expired = json!({ "approvalId": id, "runId": run, "stepId": "ok", "status": "expired" });
    assert_eq!(*one(&told, "approval.decided"), expired);

    let run = client.start_steps(json!([approval("ok")])).await;
    let id = client.asked(&run, 1).await.remove(0);
    client.tell(&run, "cancel", json!({})).await;
    let told = told_of(client, &run).await;
    let withdrawn = json!({ "approvalId": id, "runId": run, "stepId": "ok", "status": "withdrawn" });
    assert_eq!(*one(&told, "approval.decided"), withdrawn);
    one(&told, "run.cancelled");
}

async fn agents(client: &Client, agent: &ScriptedAgent) {
    agent.answers("alpha");
    let run = client.run_steps(json!([agent_step("ask", "Hi")])).await;
    let told = told_of(client, run["id"].as_str().unwrap()).await;
    assert_eq!(types(&told), ["run.started", "step.succeeded", "agent.completed", "run.succeeded"]);
    let completed = one(&told, "agent.completed");
    assert_eq!((&completed["agentId"], &completed["output"]), (&json!("scripted"), &json!("alpha")), "{completed:#}");
    assert_eq!(completed["usage"]["inputTokens"], 7, "{completed:#}");
    assert!(completed["durationMs"].is_u64() && completed.get("answeredBy").is_none(), "{completed:#}");

    agent.answers(Answer::text("x".repeat(9_000)));
    let run = client.run_steps(json!([agent_step("ask", "Hi")])).await;
    let told = told_of(client, run["id"].as_str().unwrap()).await;
    let completed = one(&told, "agent.completed");
    assert_eq!((&completed["outputOmittedBytes"], completed.get("output")), (&json!(9_002), None));

    agent.answers(Answer::error(400, "no"));
    let run = client.run_steps(json!([agent_step("ask", "Hi")])).await;
    let told = told_of(client, run["id"].as_str().unwrap()).await;
    assert_eq!(types(&told), ["run.started", "step.failed", "agent.failed", "run.failed"]);
    let failed = one(&told, "agent.failed");
    assert_eq!((&failed["error"]["code"], &failed["error"]["attempts"]), (&json!("agent.refused"), &json!(1)));
    assert_eq!(one(&told, "step.failed")["error"], failed["error"]);

    // Nobody was asked what could not be said.
    let run = client.run_steps(json!([agent_step("ask", "{{ nothing_sets_this }}")])).await;
    let told = told_of(client, run["id"].as_str().unwrap()).await;
    assert_eq!(types(&told), ["run.started", "step.failed", "run.failed"]);
}

async fn tools(client: &Client, agent: &ScriptedAgent) {
    let run = client.run_steps(json!([tool_step("slug", "text.slugify", json!({ "text": "A B" }))])).await;
    let told = told_of(client, run["id"].as_str().unwrap()).await;
    let executed = one(&told, "tool.executed");
    assert_eq!((&executed["tool"], &executed["plugin"]), (&json!("text.slugify"), &json!("text")), "{executed:#}");
    assert_eq!((&executed["ok"], &executed["output"]), (&json!(true), &json!({ "slug": "a-b" })), "{executed:#}");
    assert_eq!(executed["digest"].as_str().unwrap().len(), 64);

    let run = client.run_steps(json!([tool_step("slug", "text.slugify", json!({ "texts": 7 }))])).await;
    let told = told_of(client, run["id"].as_str().unwrap()).await;
    let executed = one(&told, "tool.executed");
    assert_eq!((&executed["ok"], &executed["error"]["code"]), (&json!(false), &json!("tool.invalid_input")));

    agent.answers(Answer::asks_for(&[
        ("c1", "text_slugify", json!({ "text": "C D" })),
        ("c2", "text_slugify", json!({ "wrong": 1 })),
        ("c3", "rm_rf", json!({})),
    ]));
    agent.answers("Done.");
    let step = with(agent_step("ask", "Hi"), json!({ "tools": ["text.slugify"] }));
    let run = client.run_steps(json!([step])).await;
    let told = told_of(client, run["id"].as_str().unwrap()).await;
    let executed: Vec<&Value> =
        told.iter().filter(|event| event["type"] == "tool.executed").map(|event| &event["data"]).collect();
    assert_eq!(executed.len(), 2, "what is not there was not called: {told:#?}");
    for executed in &executed {
        assert_eq!((&executed["tool"], &executed["stepId"]), (&json!("text.slugify"), &json!("ask")), "{executed:#}");
    }
    let (well, badly): (Vec<&Value>, Vec<&Value>) = executed.iter().copied().partition(|one| one["ok"] == true);
    assert_eq!((&well[0]["output"], &well[0]["plugin"]), (&json!({ "slug": "c-d" }), &json!("text")));
    assert_eq!(badly[0]["error"]["code"], "tool.invalid_input");
}

async fn plugins(client: &Client) {
    let push = |bytes: Vec<u8>| {
        let request = client.request(Method::POST, "/plugins").header("content-type", "application/wasm");
        client.send(request.body(bytes))
    };
    let bytes = std::fs::read(component("plugins", "http")).unwrap();
    push(bytes.clone()).await.expect(201);
    let other = [bytes.as_slice(), &[0, 7, 5, b'v', b'a', b'r', b'i', b'a', 2]].concat();
    push(other).await.expect(201);
    push(b"no component".to_vec()).await;
    client.post("/plugins/http/versions/2/activate", &json!({ "moveRuns": true })).await.expect(200);
    client.put("/plugins/http/grants", &json!({ "kv": ["notes"] })).await.expect(200);
    let run = client.run_steps(json!([tool_step("r", "http.request", json!({ "url": "http://127.0.0.1:1/" }))])).await;
    let denied = event_with(client, "plugin.capability_denied", run["id"].as_str().unwrap()).await;
    assert_eq!((&denied["data"]["tool"], &denied["data"]["stepId"]), (&json!("http.request"), &json!("r")));
    // A call that belongs to no run names none.
    client.post("/tools/http.request/invoke", &json!({ "input": { "url": "http://127.0.0.1:2/" } })).await;
    let denied = event_with(client, "plugin.capability_denied", "127.0.0.1:2").await;
    assert_eq!((denied["data"].get("runId"), denied["data"].get("stepId")), (None, None), "{denied:#}");
    client.post("/plugins/http/disable", &json!({})).await.expect(200);
    client.post("/plugins/http/enable", &json!({})).await.expect(200);
    client.delete("/plugins/http").await.expect(204);

    let told = events(client, "").await;
    let told: Vec<Value> = told.into_iter().filter(|event| event["data"]["plugin"] == "http").collect();
    let expected = [
        "plugin.loaded",
        "plugin.activated",
        "plugin.loaded",
        "plugin.activated",
        "plugin.granted",
        "plugin.capability_denied",
        "plugin.capability_denied",
        "plugin.disabled",
        "plugin.enabled",
        "plugin.deleted",
    ];
    assert_eq!(types(&told), expected);
    let activated = &told[3]["data"];
    assert_eq!((&activated["version"], &activated["from"]), (&json!(2), &json!(1)), "{activated:#}");
    assert_eq!((&activated["movedRuns"], &activated["by"]), (&json!(true), &json!("ada")), "{activated:#}");
    assert_eq!(told[4]["data"]["grant"]["kv"], json!(["notes"]));
    let failed = events(client, "&type=plugin.failed").await.remove(0);
    assert!(failed["data"]["detail"].is_string() && failed["data"]["source"].is_string(), "{failed:#}");
}

async fn prompts(client: &Client) {
    let body = json!({ "systemPrompt": "Say {{ x }}.", "label": "live" });
    client.post("/agents/scripted/prompt-versions", &body).await.expect(201);
    client.put("/agents/scripted/prompt-override", &json!({ "version": 1 })).await.expect(200);
    client.delete("/agents/scripted/prompt-override").await.expect(204);
}

#[tokio::test]
async fn a_workflow_that_is_changed_by_many_at_once_tells_of_each_version_once() {
    let server = TestServer::start().await;
    let id = server.admin.create(json!({ "steps": [set("a")] })).await;
    let mut changing = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (client, path) = (server.admin.clone(), format!("/workflows/{id}"));
        let body = json!({ "definition": { "steps": [set(&format!("s{n}"))] } });
        changing.spawn(async move { client.put(&path, &body).await.expect(200) });
    }
    changing.join_all().await;
    let versions: Vec<i64> = events(&server.admin, "&type=workflow.updated")
        .await
        .iter()
        .map(|event| event["data"]["version"].as_i64().unwrap())
        .collect();
    assert_eq!(versions, [2, 3, 4, 5, 6, 7, 8, 9], "in their order");
}

#[tokio::test]
async fn a_run_that_is_forked_and_one_that_is_retried_tell_what_is_new_and_nothing_again() {
    let (server, agent) = TestServer::with_agent().await;
    let client = &server.admin;
    agent.answers("alpha");
    agent.answers(Answer::error(400, "no"));
    let run = client.run_steps(json!([agent_step("one", "First"), agent_step("two", "Second")])).await;
    let id = run["id"].as_str().unwrap();
    client.tell(id, "retry", json!({})).await;
    client.ended(id).await;
    let told = told_of(client, id).await;
    let expected = [
        "run.started",
        "step.succeeded",
        "agent.completed",
        "step.failed",
        "agent.failed",
        "run.failed",
        "step.succeeded",
        "agent.completed",
        "run.succeeded",
    ];
    assert_eq!(types(&told), expected);

    let fork = client.post(&format!("/runs/{id}/fork"), &json!({ "fromStep": "two" })).await.expect(201);
    let fork = fork["run"]["id"].as_str().unwrap().to_owned();
    client.ended(&fork).await;
    let told = told_of(client, &fork).await;
    assert_eq!(types(&told), ["run.started", "step.succeeded", "agent.completed", "run.succeeded"]);
    assert_eq!(told[0]["data"]["forkedFrom"], id);
    Schemas::of(client).await.check_all(&told);
}

#[tokio::test]
async fn what_a_host_that_is_killed_leaves_is_told_once_by_the_next() {
    let (database, agent) = tokio::join!(TestDatabase::create(), ScriptedAgent::start());
    let first = TestServer::on(&database, 1).await;
    first.admin.register(&agent).await;
    agent.answers("alpha");
    agent.answers(Answer::never());
    let run = first.admin.start_steps(json!([agent_step("one", "First"), agent_step("two", "Second")])).await;
    agent.called(2).await;
    // As if its host had stood still: whoever takes it up calls again, and what was told already is not told anew.
    let freed = "update runs set lease_owner = null, due_at = now(), lease_epoch = lease_epoch + 1";
    let mut sql = PgConnection::connect_with(&database.connect_options()).await.unwrap();
    sqlx::query(freed).execute(&mut sql).await.unwrap();
    let second = TestServer::on(&database, 2).await;
    second.admin.ended(&run).await;
    let told = until("it is told", || async {
        let told = told_of(&second.admin, &run).await;
        (types(&told).last() == Some(&"run.succeeded")).then_some(told)
    })
    .await;
    let expected =
        ["run.started", "step.succeeded", "agent.completed", "step.succeeded", "agent.completed", "run.succeeded"];
    assert_eq!(types(&told), expected);
}
