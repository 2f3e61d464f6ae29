//! Whose plugin it is: the default workspace's serve everybody, any other one's its own members.

use armilla_domain::id::WorkspaceId;
use serde_json::json;

use super::{answered_by, bare, push, shipped, variant};
use crate::harness::tool_step;

#[tokio::test]
async fn a_workspaces_own_plugin_is_not_there_for_others() {
    let server = bare().await;
    let (one, two) = (WorkspaceId::from_parts(1, [1; 10]), WorkspaceId::from_parts(1, [2; 10]));
    let (one, two) = (server.admin_of(one), server.admin_of(two));
    push(&one, shipped("text")).await.expect(201);
    for other in [&two, &server.admin] {
        other.get("/plugins/text").await.problem(404, "plugin.not_found");
        other.get("/tools/text.slugify").await.problem(404, "tool.not_found");
        other.post("/plugins/text/disable", &json!({})).await.problem(404, "plugin.not_found");
        other.put("/plugins/text/grants", &json!({})).await.problem(404, "plugin.not_found");
        other.delete("/plugins/text").await.problem(404, "plugin.not_found");
        assert_eq!(other.get("/plugins").await.expect(200)["plugins"], json!([]));
    }
    // The same component is another plugin in another workspace.
    let theirs = push(&two, variant(&shipped("text"), 2)).await.expect(201);
    let step = json!([tool_step("s", "text.slugify", json!({ "text": "A" }))]);
    let run = two.run_steps(step.clone()).await;
    assert_eq!(json!(answered_by(&two, &run, "s").await), theirs["version"]["digest"]);
    let run = one.run_steps(step).await;
    assert_ne!(json!(answered_by(&one, &run, "s").await), theirs["version"]["digest"]);
}

#[tokio::test]
async fn a_shared_plugin_is_called_by_all_and_changed_by_its_owner_alone() {
    let server = bare().await;
    push(&server.admin, shipped("text")).await.expect(201);
    let other = server.admin_of(WorkspaceId::from_parts(1, [1; 10]));
    let plugin = other.get("/plugins/text").await.expect(200);
    assert_eq!(plugin["plugin"]["shared"], true);
    let run = other.run_steps(json!([tool_step("s", "text.slugify", json!({ "text": "A" }))])).await;
    assert_eq!(run["status"], "success", "{run:#}");
    other.post("/plugins/text/disable", &json!({})).await.problem(403, "plugin.shared");
    other.post("/plugins/text/rollback", &json!({})).await.problem(403, "plugin.shared");
    other.delete("/plugins/text").await.problem(403, "plugin.shared");
    push(&other, variant(&shipped("text"), 2)).await.problem(409, "plugin.name_taken");
}

#[tokio::test]
async fn a_grant_for_a_shared_plugin_is_one_workspaces_own() {
    let server = bare().await;
    push(&server.admin, shipped("kv")).await.expect(201);
    let other = server.admin_of(WorkspaceId::from_parts(1, [1; 10]));
    other.put("/plugins/kv/grants", &json!({ "kv": ["notes"] })).await.expect(200);
    assert_eq!(server.admin.get("/plugins/kv/grants").await.expect(200)["grant"], json!({}));
    let put = json!({ "input": { "namespace": "notes", "key": "k", "value": 1 } });
    other.post("/tools/kv.put/invoke", &put).await.expect(200);
    server.admin.post("/tools/kv.put/invoke", &put).await.problem(422, "tool.call_failed");
    // And so is what is kept there.
    server.admin.put("/plugins/kv/grants", &json!({ "kv": ["notes"] })).await.expect(200);
    let keys = json!({ "input": { "namespace": "notes" } });
    let keys = server.admin.post("/tools/kv.list/invoke", &keys).await.expect(200);
    assert_eq!(keys["output"]["keys"], json!([]));
}
