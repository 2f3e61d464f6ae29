//! Versions of workflows: changed, listed, compared and restored; which one a run is on.

use std::collections::HashSet;

use armilla_api::auth::Role;
use armilla_domain::id::WorkspaceId;
use armilla_testkit::agent::{Answer, Gate};
use armilla_testkit::db::TestDatabase;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Client, TestServer, agent_step};

/// A definition that says something to an agent.
fn saying(message: &str) -> Value {
    json!({ "steps": [agent_step("ask", message)] })
}

/// Changes a workflow's definition and gives the workflow.
async fn change(client: &Client, workflow: &str, definition: &Value) -> Value {
    let body = json!({ "definition": definition });
    client.put(&format!("/workflows/{workflow}"), &body).await.expect(200)["workflow"].take()
}

/// One version of a workflow.
async fn version(client: &Client, workflow: &str, version: i64) -> Value {
    client.get(&format!("/workflows/{workflow}/versions/{version}")).await.expect(200)["version"].take()
}

#[tokio::test]
async fn another_definition_makes_the_next_version_and_the_earlier_one_stays() {
    let server = TestServer::start().await;
    let workflow = server.admin.create(saying("Hi")).await;
    let before = server.admin.get(&format!("/workflows/{workflow}")).await.expect(200)["workflow"].take();
    let changed = change(&server.admin, &workflow, &saying("Hello")).await;
    assert_eq!((&changed["version"], &changed["definition"]), (&json!(2), &saying("Hello")));
    assert_eq!((&changed["name"], &changed["createdAt"]), (&before["name"], &before["createdAt"]));
    assert!(changed["updatedAt"].as_str() > before["updatedAt"].as_str());
    assert_eq!(server.admin.get(&format!("/workflows/{workflow}")).await.expect(200)["workflow"], changed);

    let first = version(&server.admin, &workflow, 1).await;
    let expected = json!({
        "workflowId": workflow, "version": 1, "definition": saying("Hi"), "warnings": before["warnings"],
        "createdAt": before["createdAt"], "createdBy": "ada", "restoredFrom": null,
    });
    assert_eq!(first, expected);
}

#[tokio::test]
async fn a_name_or_a_description_changes_without_a_version_and_what_is_absent_stays() {
    let server = TestServer::start().await;
    let workflow = server.admin.create(saying("Hi")).await;
    let path = format!("/workflows/{workflow}");
    let put = async |body: Value| server.admin.put(&path, &body).await.expect(200)["workflow"].take();

    let named = put(json!({ "name": "Greeting", "definition": saying("Hi") })).await;
    assert_eq!(
        (&named["version"], &named["name"], &named["description"]),
        (&json!(1), &json!("Greeting"), &Value::Null)
    );
    let described = put(json!({ "description": "Says hello." })).await;
    assert_eq!((&described["name"], &described["description"]), (&json!("Greeting"), &json!("Says hello.")));
    assert_eq!((&described["version"], &described["definition"]), (&json!(1), &saying("Hi")));
    assert!(described["updatedAt"].as_str() > named["updatedAt"].as_str());
    assert_eq!(put(json!({})).await, described);
    assert_eq!(put(json!({ "description": null })).await["description"], Value::Null);

    // What was read may be sent back with its changes.
    let mut read = server.admin.get(&path).await.expect(200)["workflow"].take();
    assert_eq!(put(read.clone()).await, read);
    read["definition"] = saying("Hello");
    assert_eq!(put(read).await["version"], 2);
}

#[tokio::test]
async fn a_definition_with_faults_makes_no_version() {
    let server = TestServer::start().await;
    let workflow = server.admin.create(saying("Hi")).await;
    let path = format!("/workflows/{workflow}");
    let body =
        json!({ "definition": { "steps": [{ "type": "teleport", "id": "a" }, { "type": "agent", "id": "a" }] } });
    let refused = server.admin.put(&path, &body).await.problem(422, "workflow.invalid");
    let created = server.admin.post("/workflows", &json!({ "name": "W", "definition": body["definition"] })).await;
    assert_eq!(refused["errors"], created.problem(422, "workflow.invalid")["errors"]);
    for body in [json!({ "name": "" }), json!({ "name": null }), json!({ "nam": "x" }), json!({ "version": "1" })] {
        server.admin.put(&path, &body).await.problem(422, "body.invalid");
    }
    server.admin.put(&path, &json!({ "definition": null })).await.problem(422, "workflow.invalid");
    assert_eq!(server.admin.get(&path).await.expect(200)["workflow"]["version"], 1);
}

#[tokio::test]
async fn a_run_stays_on_its_version_and_new_runs_use_the_newest() {
    let (server, agent) = TestServer::with_agent().await;
    let gate = Gate::closed();
    agent.answers(Answer::text("first").behind(&gate));
    let definition = json!({ "steps": [agent_step("ask", "Hi"), agent_step("then", "old {{ask}}")] });
    let workflow = server.admin.create(definition).await;
    let started = server.admin.start(&workflow, json!({})).await;
    agent.called(1).await;
    change(&server.admin, &workflow, &json!({ "steps": [agent_step("only", "new")] })).await;
    gate.open();

    let old = server.admin.ended(&started).await;
    assert_eq!((&old["workflowVersion"], &old["vars"]), (&json!(1), &json!({ "ask": "first", "then": "ok" })));
    let new = server.admin.run(&workflow, json!({})).await;
    assert_eq!((&new["workflowVersion"], &new["vars"]), (&json!(2), &json!({ "only": "ok" })));
}

#[tokio::test]
async fn a_change_of_another_version_than_the_newest_is_refused_and_told_which_is() {
    let server = TestServer::start().await;
    let workflow = server.admin.create(saying("Hi")).await;
    let path = format!("/workflows/{workflow}");
    let if_match = async |value: &str, body: &Value| {
        server.admin.send(server.admin.request(Method::PUT, &path).header("if-match", value).json(body)).await
    };
    let body = |message: &str, version: i32| json!({ "definition": saying(message), "version": version });
    assert_eq!(server.admin.put(&path, &body("two", 1)).await.expect(200)["workflow"]["version"], 2);
    assert_eq!(server.admin.put(&path, &body("late", 1)).await.problem(409, "workflow.version_conflict")["newest"], 2);
    let named = json!({ "name": "Late", "version": 1 });
    assert_eq!(server.admin.put(&path, &named).await.problem(409, "workflow.version_conflict")["newest"], 2);
    if_match("\"1\"", &json!({ "definition": saying("late") })).await.problem(409, "workflow.version_conflict");
    if_match("\"7\"", &json!({ "definition": saying("early") })).await.problem(409, "workflow.version_conflict");
    assert_eq!(if_match("\"2\"", &json!({ "definition": saying("3") })).await.expect(200)["workflow"]["version"], 3);
    assert_eq!(if_match("*", &json!({ "definition": saying("four") })).await.expect(200)["workflow"]["version"], 4);
    if_match("four", &json!({})).await.problem(400, "header.invalid");
    if_match("\"4\"", &json!({ "version": 3 })).await.problem(422, "body.invalid");
    assert_eq!(server.admin.get(&path).await.expect(200)["workflow"]["definition"], saying("four"));
}

#[tokio::test]
async fn changes_at_the_same_time_each_get_a_version_of_their_own() {
    let database = TestDatabase::create().await;
    let servers = [TestServer::on(&database, 1).await, TestServer::on(&database, 2).await];
    let workflow = servers[0].admin.create(saying("0")).await;
    let mut changing = JoinSet::new();
    for n in 1..=40 {
        let (client, workflow) = (servers[n % 2].admin.clone(), workflow.clone());
        changing.spawn(async move { change(&client, &workflow, &saying(&n.to_string())).await });
    }
    let changed = changing.join_all().await;
    let versions: HashSet<_> = changed.iter().map(|workflow| workflow["version"].as_i64().unwrap()).collect();
    assert_eq!(versions, (2..=41).collect());
    for workflow in &changed {
        let id = workflow["id"].as_str().unwrap();
        let kept = version(&servers[0].admin, id, workflow["version"].as_i64().unwrap()).await;
        assert_eq!(kept["definition"], workflow["definition"]);
    }
    let newest = servers[1].admin.get(&format!("/workflows/{workflow}")).await.expect(200)["workflow"].take();
    assert_eq!(newest["version"], 41);
    assert_eq!(newest["definition"], version(&servers[1].admin, &workflow, 41).await["definition"]);
}

#[tokio::test]
async fn of_changes_of_one_version_at_the_same_time_one_is_made_and_the_others_are_told() {
    let database = TestDatabase::create().await;
    let servers = [TestServer::on(&database, 1).await, TestServer::on(&database, 2).await];
    let workflow = servers[0].admin.create(saying("0")).await;
    let mut changing = JoinSet::new();
    for n in 1..=20 {
        let (client, path) = (servers[n % 2].admin.clone(), format!("/workflows/{workflow}"));
        let body = json!({ "definition": saying(&n.to_string()), "version": 1 });
        changing.spawn(async move { client.put(&path, &body).await });
    }
    let (made, refused): (Vec<_>, Vec<_>) =
        changing.join_all().await.into_iter().partition(|answer| answer.status == 200);
    assert_eq!(made.len(), 1);
    for answer in refused {
        assert_eq!(answer.problem(409, "workflow.version_conflict")["newest"], 2);
    }
    assert_eq!(version(&servers[0].admin, &workflow, 2).await["definition"], made[0].body["workflow"]["definition"]);
}

#[tokio::test]
async fn the_same_change_sent_many_times_at_once_makes_one_version() {
    let server = TestServer::start().await;
    let workflow = server.admin.create(saying("Hi")).await;
    let mut changing = JoinSet::new();
    for _ in 0..20 {
        let (client, workflow) = (server.admin.clone(), workflow.clone());
        changing.spawn(async move { change(&client, &workflow, &saying("Hello")).await });
    }
    for changed in changing.join_all().await {
        assert_eq!((&changed["version"], &changed["definition"]), (&json!(2), &saying("Hello")));
    }
    let list = server.admin.get(&format!("/workflows/{workflow}/versions")).await.expect(200);
    assert_eq!(list["versions"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn versions_are_listed_newest_first_page_by_page_without_their_definitions() {
    let server = TestServer::start().await;
    let workflow = server.admin.create(saying("1")).await;
    for n in 2..=5 {
        change(&server.admin, &workflow, &saying(&n.to_string())).await;
    }
    let path = format!("/workflows/{workflow}/versions");
    let mut seen = Vec::new();
    let mut cursor = String::new();
    for expected in [2, 2, 1] {
        let page = server.admin.get(&format!("{path}?limit=2{cursor}")).await.expect(200);
        let versions = page["versions"].as_array().unwrap();
        assert_eq!(versions.len(), expected);
        seen.extend(versions.iter().map(|version| version["version"].as_i64().unwrap()));
        cursor = page["nextCursor"].as_str().map(|next| format!("&cursor={next}")).unwrap_or_default();
    }
    assert_eq!((seen, cursor), (vec![5, 4, 3, 2, 1], String::new()));

    let newest = server.admin.get(&path).await.expect(200)["versions"][0].take();
    let whole = version(&server.admin, &workflow, 5).await;
    let warnings = whole["warnings"].as_array().unwrap().len();
    assert_eq!(warnings, 1, "the agent is not there yet");
    let expected = json!({
        "version": 5, "warningCount": warnings, "createdAt": whole["createdAt"], "createdBy": "ada", "restoredFrom": null,
    });
    assert_eq!(newest, expected);
    for query in ["limit=0", "limit=101", "cursor=x"] {
        server.admin.get(&format!("{path}?{query}")).await.problem(400, "query.invalid");
    }
}

#[tokio::test]
async fn a_restored_version_is_a_new_one_that_says_where_it_came_from() {
    let (server, agent) = TestServer::with_agent().await;
    let workflow = server.admin.create(saying("one")).await;
    change(&server.admin, &workflow, &saying("two")).await;
    let path = format!("/workflows/{workflow}/versions");
    let restored = server.admin.post(&format!("{path}/1/restore"), &json!({})).await.expect(200)["workflow"].take();
    assert_eq!((&restored["version"], &restored["definition"]), (&json!(3), &saying("one")));
    let kept = version(&server.admin, &workflow, 3).await;
    assert_eq!((&kept["definition"], &kept["restoredFrom"]), (&saying("one"), &json!(1)));
    let list = server.admin.get(&path).await.expect(200)["versions"].take();
    let sources: Vec<_> = list.as_array().unwrap().iter().map(|version| version["restoredFrom"].clone()).collect();
    assert_eq!(sources, [json!(1), Value::Null, Value::Null]);

    let run = server.admin.run(&workflow, json!({})).await;
    assert_eq!(run["workflowVersion"], 3);
    assert_eq!(agent.calls().len(), 1);

    // The newest one too: who asks for a version gets one.
    let again = server.admin.post(&format!("{path}/3/restore"), &Value::Null).await.expect(200);
    assert_eq!((&again["workflow"]["version"], &again["workflow"]["definition"]), (&json!(4), &saying("one")));
    let stale = server.admin.request(Method::POST, &format!("{path}/2/restore")).header("if-match", "\"3\"");
    assert_eq!(server.admin.send(stale).await.problem(409, "workflow.version_conflict")["newest"], 4);
    for absent in ["9", "0", "-1", "x", "99999999999"] {
        server
            .admin
            .post(&format!("{path}/{absent}/restore"), &json!({}))
            .await
            .problem(404, "workflow.version_not_found");
    }
}

#[tokio::test]
async fn a_restored_version_is_checked_again() {
    let (server, _agent) = TestServer::with_agent().await;
    let workflow = server.admin.create(saying("one")).await;
    assert_eq!(version(&server.admin, &workflow, 1).await["warnings"], json!([]));
    change(&server.admin, &workflow, &saying("two")).await;
    server.admin.delete("/agents/scripted").await.expect(204);
    let path = format!("/workflows/{workflow}/versions/1/restore");
    let restored = server.admin.post(&path, &json!({})).await.expect(200)["workflow"].take();
    assert_eq!(restored["warnings"][0]["code"], "definition.unknown_name");
    assert_eq!(version(&server.admin, &workflow, 3).await["warnings"], restored["warnings"]);
    assert_eq!(version(&server.admin, &workflow, 1).await["warnings"], json!([]));
}

#[tokio::test]
async fn two_versions_are_compared_step_by_step() {
    let server = TestServer::start().await;
    let (research, draft, check) = (agent_step("research", "R"), agent_step("draft", "D"), agent_step("check", "C"));
    let workflow = server.admin.create(json!({ "steps": [research, draft, check] })).await;
    let redraft = agent_step("draft", "D2");
    let next = json!({ "steps": [check, agent_step("new", "N"), research, redraft], "maxSteps": 9 });
    change(&server.admin, &workflow, &next).await;
    let path = format!("/workflows/{workflow}/versions");
    let diff = server.admin.get(&format!("{path}/1/diff/2")).await.expect(200);
    let expected = json!({ "diff": { "from": 1, "to": 2, "truncated": false, "changes": [
        { "op": "move", "pointer": "/steps/0", "fromPointer": "/steps/2", "step": "check" },
        { "op": "add", "pointer": "/steps/1", "step": "new", "to": agent_step("new", "N") },
        { "op": "replace", "pointer": "/steps/3/message", "fromPointer": "/steps/1/message", "step": "draft",
            "from": "D", "to": "D2" },
        { "op": "add", "pointer": "/maxSteps", "to": 9 },
    ] } });
    assert_eq!(diff, expected);

    let back = server.admin.get(&format!("{path}/2/diff/1")).await.expect(200)["diff"].take();
    assert_eq!((&back["from"], &back["to"], back["changes"].as_array().unwrap().len()), (&json!(2), &json!(1), 4));
    assert_eq!(server.admin.get(&format!("{path}/2/diff/2")).await.expect(200)["diff"]["changes"], json!([]));
    for absent in ["1/diff/3", "3/diff/1", "x/diff/1", "1/diff/x"] {
        server.admin.get(&format!("{path}/{absent}")).await.problem(404, "workflow.version_not_found");
    }
}

#[tokio::test]
async fn a_diff_of_too_many_changes_is_cut_and_says_so() {
    let server = TestServer::start().await;
    let numbers = |offset: usize| {
        let params = json!({ "n": (0..1_001).map(|n| n + offset).collect::<Vec<_>>() });
        json!({ "steps": [{ "type": "tool", "id": "t", "toolName": "jq", "params": params }] })
    };
    let workflow = server.admin.create(numbers(0)).await;
    change(&server.admin, &workflow, &numbers(2_000)).await;
    let diff = server.admin.get(&format!("/workflows/{workflow}/versions/1/diff/2")).await.expect(200)["diff"].take();
    assert_eq!((diff["changes"].as_array().unwrap().len(), &diff["truncated"]), (1_000, &json!(true)));
}

#[tokio::test]
async fn validation_answers_as_creation_does_and_keeps_nothing() {
    let server = TestServer::start().await;
    let valid = server.admin.post("/workflows/validate", &json!({ "definition": saying("Hi {{ nobody }}") })).await;
    let body = json!({ "name": "W", "definition": { "steps": [{ "type": "teleport", "id": "a" }], "x": 1 } });
    let refused = server.admin.post("/workflows/validate", &json!({ "definition": body["definition"] })).await;
    assert_eq!(server.admin.get("/workflows").await.expect(200)["workflows"], json!([]));

    let valid = valid.expect(200);
    let created =
        server.admin.post("/workflows", &json!({ "name": "W", "definition": saying("Hi {{ nobody }}") })).await;
    assert_eq!(valid, json!({ "valid": true, "warnings": created.expect(201)["workflow"]["warnings"] }));
    assert!(!valid["warnings"].as_array().unwrap().is_empty());
    let (refused, created) = (
        refused.problem(422, "workflow.invalid"),
        server.admin.post("/workflows", &body).await.problem(422, "workflow.invalid"),
    );
    assert_eq!(refused["errors"], created["errors"]);
    assert_eq!(refused["errors"].as_array().unwrap().len(), 2);
    server.admin.post("/workflows/validate", &json!({})).await.problem(422, "body.invalid");
}

#[tokio::test]
async fn a_viewer_reads_versions_and_a_member_makes_them() {
    let server = TestServer::start().await;
    let (viewer, member) = (server.client(Role::Viewer), server.client(Role::Member));
    let workflow = server.admin.create(saying("Hi")).await;
    let path = format!("/workflows/{workflow}");
    let body = json!({ "definition": saying("Hello") });
    viewer.put(&path, &body).await.problem(403, "auth.role");
    viewer.post(&format!("{path}/versions/1/restore"), &json!({})).await.problem(403, "auth.role");
    viewer.post("/workflows/validate", &body).await.problem(403, "auth.role");
    member.put(&path, &body).await.expect(200);
    member.post(&format!("{path}/versions/1/restore"), &json!({})).await.expect(200);
    member.post("/workflows/validate", &body).await.expect(200);
    for read in ["versions", "versions/3", "versions/1/diff/2"] {
        viewer.get(&format!("{path}/{read}")).await.expect(200);
    }
}

#[tokio::test]
async fn versions_of_another_workspace_and_of_what_was_deleted_are_not_there() {
    let server = TestServer::start().await;
    let stranger = server.admin_of(WorkspaceId::from_parts(1, [1; 10]));
    let workflow = server.admin.create(saying("Hi")).await;
    let gone = server.admin.create(saying("Hi")).await;
    change(&server.admin, &workflow, &saying("Hello")).await;
    server.admin.delete(&format!("/workflows/{gone}")).await.expect(204);
    for (client, workflow) in [(&stranger, workflow.as_str()), (&server.admin, &gone), (&server.admin, "wf_nonsense")] {
        let path = format!("/workflows/{workflow}");
        for read in ["versions", "versions/1", "versions/9", "versions/1/diff/2"] {
            client.get(&format!("{path}/{read}")).await.problem(404, "workflow.not_found");
        }
        client.put(&path, &json!({ "definition": saying("Mine") })).await.problem(404, "workflow.not_found");
        client.put(&path, &json!({ "name": "Mine", "version": 1 })).await.problem(404, "workflow.not_found");
        client.post(&format!("{path}/versions/1/restore"), &json!({})).await.problem(404, "workflow.not_found");
    }
    let kept = server.admin.get(&format!("/workflows/{workflow}")).await.expect(200)["workflow"].take();
    assert_eq!((&kept["version"], &kept["definition"]), (&json!(2), &saying("Hello")));
}
