//! What agents were: their versions, the way back, and copies.

use armilla_api::auth::Role;
use armilla_domain::id::WorkspaceId;
use armilla_testkit::agent::Answer;
use serde_json::{Value, json};

use crate::harness::TestServer;

fn config(port: u16) -> Value {
    json!({ "id": "writer", "protocol": "http", "endpoint": format!("http://127.0.0.1:{port}") })
}

#[tokio::test]
async fn every_change_of_an_agent_is_a_version_that_can_be_read_and_taken_up_again() {
    let server = TestServer::start().await;
    server.admin.post("/agents", &config(1)).await.expect(201);
    server.admin.put("/agents/writer", &config(2)).await.expect(200);
    let listed = server.admin.get("/agents/writer/versions").await.expect(200);
    let versions: Vec<_> = listed["versions"].as_array().unwrap().iter().collect();
    let seen: Vec<_> = versions.iter().map(|version| (&version["version"], &version["endpoint"])).collect();
    assert_eq!(seen, [(&json!(2), &json!("http://127.0.0.1:2")), (&json!(1), &json!("http://127.0.0.1:1"))]);
    assert_eq!((&versions[0]["createdBy"], &versions[0]["restoredFrom"]), (&json!("ada"), &Value::Null));
    let page = server.admin.get("/agents/writer/versions?limit=1").await.expect(200);
    let next = page["nextCursor"].as_str().unwrap();
    let page = server.admin.get(&format!("/agents/writer/versions?limit=1&cursor={next}")).await.expect(200);
    assert_eq!((&page["versions"][0]["version"], &page["nextCursor"]), (&json!(1), &Value::Null));

    let back = server.admin.post("/agents/writer/rollback/1", &json!({})).await.expect(200);
    assert_eq!((&back["agent"]["version"], &back["agent"]["endpoint"]), (&json!(3), &json!("http://127.0.0.1:1")));
    let third = server.admin.get("/agents/writer/versions/3").await.expect(200);
    assert_eq!(third["version"]["restoredFrom"], 1);
    server.admin.get("/agents/writer/versions/4").await.problem(404, "agent.version_not_found");
    server.admin.get("/agents/writer/versions/x").await.problem(404, "agent.version_not_found");
    server.admin.post("/agents/writer/rollback/9", &json!({})).await.problem(404, "agent.version_not_found");
    server.admin.get("/agents/nobody/versions").await.problem(404, "agent.not_found");
}

#[tokio::test]
async fn a_copy_of_an_agent_has_an_id_and_versions_of_its_own() {
    let server = TestServer::start().await;
    server.admin.post("/agents", &config(1)).await.expect(201);
    let copy = server.admin.post("/agents/writer/clone", &json!({ "id": "writer-2", "displayName": "Two" })).await;
    assert_eq!(copy.header("location"), "/agents/writer-2");
    let copy = copy.expect(201)["agent"].take();
    assert_eq!(
        (&copy["endpoint"], &copy["displayName"], &copy["version"]),
        (&json!("http://127.0.0.1:1"), &json!("Two"), &json!(1))
    );
    // What a label chose is what the copy begins with: the labels themselves are the original's.
    let labelled = json!({ "protocol": "http", "endpoint": "http://127.0.0.1:1", "systemPromptTemplate": "First.", "promptLabel": "live" });
    server.admin.put("/agents/writer", &labelled).await.expect(200);
    server.admin.put("/agents/writer/prompt-labels/live", &json!({ "version": 1 })).await.expect(200);
    server.admin.post("/agents/writer/prompt-versions", &json!({ "systemPrompt": "Second." })).await.expect(201);
    let copy = server.admin.post("/agents/writer/clone", &json!({ "id": "writer-3" })).await.expect(201);
    assert_eq!((&copy["agent"]["systemPromptTemplate"], copy["agent"].get("promptLabel")), (&json!("First."), None));
    server.admin.post("/agents/writer/clone", &json!({ "id": "writer-2" })).await.problem(409, "agent.exists");
    server.admin.post("/agents/writer/clone", &json!({ "id": "No" })).await.problem(422, "agent.invalid");
    server.admin.post("/agents/nobody/clone", &json!({ "id": "x" })).await.problem(404, "agent.not_found");
}

#[tokio::test]
async fn versions_are_read_by_all_and_taken_up_by_admins_and_nobody_of_another_workspace_finds_them() {
    let server = TestServer::start().await;
    server.admin.post("/agents", &config(1)).await.expect(201);
    let (viewer, member) = (server.client(Role::Viewer), server.client(Role::Member));
    viewer.get("/agents/writer/versions").await.expect(200);
    member.post("/agents/writer/rollback/1", &json!({})).await.problem(403, "auth.role");
    member.post("/agents/writer/clone", &json!({ "id": "x" })).await.problem(403, "auth.role");
    let other = server.admin_of(WorkspaceId::from_parts(1, [1; 10]));
    other.get("/agents/writer/versions").await.problem(404, "agent.not_found");
    other.post("/agents/writer/rollback/1", &json!({})).await.problem(404, "agent.not_found");
}

#[tokio::test]
async fn the_versions_of_an_agent_that_is_made_anew_go_on_where_they_ended() {
    let server = TestServer::start().await;
    server.admin.post("/agents", &config(1)).await.expect(201);
    server.admin.delete("/agents/writer").await.expect(204);
    server.admin.get("/agents/writer/versions").await.problem(404, "agent.not_found");
    let again = server.admin.post("/agents", &config(2)).await.expect(201);
    assert_eq!(again["agent"]["version"], 2, "a journal that names version 1 means the first one");
}

#[tokio::test]
async fn an_agent_is_tried_out_and_one_that_fails_is_told_as_that() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers("At your service.");
    let member = server.client(Role::Member);
    let tried = member.post("/agents/scripted/test", &json!({ "message": "Hi" })).await.expect(200)["test"].take();
    assert_eq!(
        (&tried["ok"], &tried["output"], &tried["error"]),
        (&json!(true), &json!("At your service."), &Value::Null)
    );
    assert_eq!((&tried["answerer"]["name"], &tried["attempts"]), (&json!("scripted"), &json!(1)), "{tried:#}");
    assert_eq!(agent.calls()[0].message(), "Hi");
    agent.answers(Answer::error(401, "no such key"));
    let tried = member.post("/agents/scripted/test", &json!({})).await.expect(200)["test"].take();
    assert_eq!((&tried["ok"], &tried["error"]["code"]), (&json!(false), &json!("agent.refused")), "{tried:#}");
    assert_eq!(agent.calls()[1].message(), "Hello");
    member.post("/agents/nobody/test", &json!({})).await.problem(404, "agent.not_found");
    server.client(Role::Viewer).post("/agents/scripted/test", &json!({})).await.problem(403, "auth.role");
}
