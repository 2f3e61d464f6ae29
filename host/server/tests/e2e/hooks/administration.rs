//! Hooks are made, read, changed and deleted by those who may.

use armilla_api::auth::Role;
use armilla_domain::id::WorkspaceId;
use armilla_store::HOOKS_PER_WORKSPACE_MAX;
use armilla_testkit::db::TestDatabase;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use super::{call, echo, make};
use crate::harness::TestServer;

#[tokio::test]
async fn a_workspace_has_so_many_hooks_and_no_more() {
    let database = TestDatabase::create().await;
    let server = TestServer::on(&database, 1).await;
    let workflow = echo(&server.admin).await;
    make(&server.admin, &workflow, json!({})).await;
    let more = "insert into inbound_hooks (id, workspace_id, config, token_hash, created_by)
        select gen_random_uuid(), workspace_id, config, sha256(n::text::bytea), created_by from inbound_hooks, generate_series(3, $1) n";
    let mut sql = PgConnection::connect_with(&database.connect_options()).await.unwrap();
    sqlx::query(more).bind(HOOKS_PER_WORKSPACE_MAX).execute(&mut sql).await.unwrap();
    let last = make(&server.admin, &workflow, json!({})).await;
    let body = json!({ "name": "one more", "workflowId": workflow });
    server.admin.post("/inbound-hooks", &body).await.problem(409, "hook.too_many");
    server.admin.delete(&format!("/inbound-hooks/{}", last.id)).await.expect(204);
    make(&server.admin, &workflow, json!({})).await;
}

#[tokio::test]
async fn a_hook_is_made_read_listed_changed_and_deleted() {
    let server = TestServer::start().await;
    let workflow = echo(&server.admin).await;
    let body = json!({
        "name": "pull requests", "workflowId": workflow, "when": "body.x", "deduplicateBy": "body.id", "respond": "result",
        "verify": { "scheme": "sharedSecret", "secret": "s", "header": "X-Token" }, "input": { "x": "body.x" },
    });
    let answer = server.admin.post("/inbound-hooks", &body).await;
    let location = answer.header("location").to_owned();
    let made = answer.expect(201);
    let token = made["token"].as_str().unwrap();
    assert!(token.starts_with("hk_") && token.len() == 43, "{token}");
    assert_eq!(made["path"], format!("/hooks/{token}"));
    let hook = &made["inboundHook"];
    let id = hook["id"].as_str().unwrap();
    assert!(id.starts_with("ih_"));
    assert_eq!(location, format!("/inbound-hooks/{id}"));
    let expected = json!({
        "id": id, "name": "pull requests", "workflowId": workflow, "when": "body.x", "deduplicateBy": "body.id",
        "verify": { "scheme": "sharedSecret", "secret": "s", "toleranceSeconds": null, "header": "x-token" },
        "input": { "x": "body.x" }, "respond": "result", "createdBy": "ada", "createdAt": hook["createdAt"],
        "updatedAt": hook["updatedAt"],
    });
    assert_eq!(*hook, expected);
    assert_eq!(server.admin.get(&location).await.expect(200), json!({ "inboundHook": expected }));

    let second = make(&server.admin, &workflow, json!({})).await;
    let ids = async |query: &str| {
        let list = server.admin.get(&format!("/inbound-hooks{query}")).await.expect(200);
        let ids: Vec<Value> = list["inboundHooks"].as_array().unwrap().iter().map(|hook| hook["id"].clone()).collect();
        (ids, list["nextCursor"].as_str().map(str::to_owned))
    };
    assert_eq!(ids("").await, (vec![json!(second.id), json!(id)], None));
    let (first, cursor) = ids("?limit=1").await;
    assert_eq!(first, [json!(second.id)]);
    assert_eq!(ids(&format!("?limit=1&cursor={}", cursor.unwrap())).await, (vec![json!(id)], None));

    let renamed = server.admin.put(&location, &json!({ "name": "m", "workflowId": workflow })).await.expect(200);
    assert_eq!(renamed["inboundHook"]["verify"]["secret"], "s", "it is not opened in passing");
    let open = json!({ "name": "n", "workflowId": workflow, "verify": null });
    let changed = server.admin.put(&location, &open).await.expect(200);
    let changed = &changed["inboundHook"];
    assert_eq!(
        (&changed["name"], &changed["verify"], &changed["respond"]),
        (&json!("n"), &Value::Null, &json!("accepted"))
    );
    let path = made["path"].as_str().unwrap();
    server.admin.without_token().post(path, &json!({})).await.expect(202);
    assert_eq!(server.admin.delete(&location).await.status, 204);
    server.admin.without_token().post(path, &json!({})).await.problem(404, "hook.not_found");
    server.admin.get(&location).await.problem(404, "hook.not_found");
    server.admin.delete(&location).await.problem(404, "hook.not_found");
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_hook_is_told_at_once_and_nothing_is_made() {
    let server = TestServer::start().await;
    let body = json!({
        "name": "n", "workflowId": "wf_0196f0c45e7a7c3f8d1b2a3c4d5e6f70", "when": "body.",
        "verify": { "scheme": "github", "secret": "a b", "toleranceSeconds": 60 }, "input": { "a": "vars.x" },
    });
    let problem = server.admin.post("/inbound-hooks", &body).await.problem(422, "hook.invalid");
    let places: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
    assert_eq!(places, ["/workflowId", "/verify/secret", "/verify/toleranceSeconds", "/when", "/input/a"]);
    let body = json!({ "name": "", "workflowId": "x", "respond": "later", "verify": { "scheme": "gitlab" } });
    let problem = server.admin.post("/inbound-hooks", &body).await.problem(422, "body.invalid");
    let places: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
    assert_eq!(places, ["/name", "/respond", "/verify", "/verify/scheme"]);
    let list = server.admin.get("/inbound-hooks").await.expect(200);
    assert_eq!(list["inboundHooks"], json!([]));
}

#[tokio::test]
async fn viewers_read_hooks_and_admins_change_them() {
    let server = TestServer::start().await;
    let workflow = echo(&server.admin).await;
    let hook = make(&server.admin, &workflow, json!({})).await;
    let path = format!("/inbound-hooks/{}", hook.id);
    let body = json!({ "name": "n", "workflowId": workflow });
    for role in [Role::Viewer, Role::Member] {
        let client = server.client(role);
        for read in ["/inbound-hooks", &path, &format!("{path}/calls")] {
            client.get(read).await.expect(200);
        }
        client.post("/inbound-hooks", &body).await.problem(403, "auth.role");
        client.put(&path, &body).await.problem(403, "auth.role");
        client.post(&format!("{path}/rotate-token"), &json!({})).await.problem(403, "auth.role");
        client.delete(&path).await.problem(403, "auth.role");
    }
    server.admin.without_token().get(&path).await.problem(401, "auth.missing");
}

#[tokio::test]
async fn another_workspace_finds_no_hook_and_makes_none_of_a_workflow_that_is_not_its_own() {
    let server = TestServer::start().await;
    let workflow = echo(&server.admin).await;
    let hook = make(&server.admin, &workflow, json!({})).await;
    let path = format!("/inbound-hooks/{}", hook.id);
    let stranger = server.admin_of(WorkspaceId::from_parts(1, [1; 10]));
    let body = json!({ "name": "n", "workflowId": workflow });
    stranger.get(&path).await.problem(404, "hook.not_found");
    stranger.get(&format!("{path}/calls")).await.problem(404, "hook.not_found");
    stranger.put(&path, &body).await.problem(404, "hook.not_found");
    stranger.delete(&path).await.problem(404, "hook.not_found");
    stranger.post(&format!("{path}/rotate-token"), &json!({})).await.problem(404, "hook.not_found");
    assert_eq!(stranger.get("/inbound-hooks").await.expect(200)["inboundHooks"], json!([]));
    let problem = stranger.post("/inbound-hooks", &body).await.problem(422, "hook.invalid");
    assert_eq!(problem["errors"][0]["code"], "hook.unknown_workflow");
    // A run of a call is its hook's workspace's, whoever calls.
    let answer = call(&server, &hook, &[], "{}").await.expect(202);
    let run = format!("/runs/{}", answer["runId"].as_str().unwrap());
    stranger.get(&run).await.problem(404, "run.not_found");
    server.admin.get(&run).await.expect(200);
}

#[tokio::test]
async fn a_rotated_token_leads_nowhere_and_the_new_one_does() {
    let server = TestServer::start().await;
    let workflow = echo(&server.admin).await;
    let hook = make(&server.admin, &workflow, json!({})).await;
    let rotate = format!("/inbound-hooks/{}/rotate-token", hook.id);
    let request = server.admin.request(Method::POST, &rotate);
    let made = server.admin.send(request).await.expect(200);
    assert_ne!(made["token"], hook.token.as_str());
    call(&server, &hook, &[], "{}").await.problem(404, "hook.not_found");
    server.admin.without_token().post(made["path"].as_str().unwrap(), &json!({})).await.expect(202);
}
