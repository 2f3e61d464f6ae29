//! Labels: names of versions that move, and that an agent may go by.

use armilla_api::auth::Role;
use armilla_domain::id::WorkspaceId;
use serde_json::{Value, json};

use super::{asking, faults, make, step, told};
use crate::harness::with;

const LABELS: &str = "/agents/scripted/prompt-labels";

#[tokio::test]
async fn a_label_moves_and_its_moves_are_kept() {
    let (server, _agent, _) = asking("One.").await;
    make(&server.admin, "Two.").await;
    let path = format!("{LABELS}/production");
    let put = async |body: Value| server.admin.put(&path, &body).await.expect(200)["promptLabel"].take();
    let first = put(json!({ "version": 1 })).await;
    assert_eq!(
        first,
        json!({ "label": "production", "version": 1, "movedBy": "ada", "message": null, "movedAt": first["movedAt"] })
    );
    put(json!({ "version": 1, "message": "it is there" })).await;
    let second = put(json!({ "version": 2, "message": "better" })).await;
    assert_eq!((&second["version"], &second["message"]), (&json!(2), &json!("better")));
    server.admin.put(&format!("{LABELS}/beta"), &json!({ "version": 2 })).await.expect(200);

    let list = server.admin.get(LABELS).await.expect(200);
    let names: Vec<_> = list["promptLabels"].as_array().unwrap().iter().map(|one| one["label"].clone()).collect();
    assert_eq!(names, [json!("beta"), json!("production")]);
    assert_eq!(server.admin.get(&format!("{LABELS}?limit=1")).await.expect(200)["nextCursor"], "beta");
    let version = server.admin.get("/agents/scripted/prompt-versions/2").await.expect(200);
    assert_eq!(version["promptVersion"]["labels"], json!(["beta", "production"]));

    server.admin.delete(&path).await.expect(204);
    server.admin.delete(&path).await.problem(404, "prompt.label_not_found");
    let history = server.admin.get(&format!("{path}/history")).await.expect(200);
    let moves: Vec<_> = history["moves"].as_array().unwrap().iter().map(|one| (&one["from"], &one["to"])).collect();
    let (one, two, none) = (json!(1), json!(2), Value::Null);
    assert_eq!(moves, [(&two, &none), (&one, &two), (&none, &one)], "what moved nothing is no move");
    assert_eq!(history["moves"][1]["message"], "better");
    let page = server.admin.get(&format!("{path}/history?limit=1")).await.expect(200);
    let cursor = page["nextCursor"].as_str().unwrap();
    let rest = server.admin.get(&format!("{path}/history?cursor={cursor}")).await.expect(200);
    assert_eq!(rest["moves"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_agent_goes_by_its_label_and_not_by_the_newest_version() {
    let (server, agent, workflow) = asking("One.").await;
    server.admin.put(&format!("{LABELS}/production"), &json!({ "version": 1 })).await.expect(200);
    let read = server.admin.get("/agents/scripted").await.expect(200)["agent"].take();
    let labelled = with(read, json!({ "promptLabel": "production" }));
    let put = server.admin.put("/agents/scripted", &labelled).await.expect(200)["agent"].take();
    assert_eq!(put["promptLabel"], "production");
    make(&server.admin, "Two.").await;
    let first = step(&server.admin, &workflow).await;
    assert_eq!((told(&agent).as_str(), &first["prompt"]["version"]), ("One.", &json!(1)));
    assert_eq!(first["prompt"]["label"], "production");

    server.admin.put(&format!("{LABELS}/production"), &json!({ "version": 2 })).await.expect(200);
    assert_eq!(step(&server.admin, &workflow).await["prompt"]["version"], 2);
    assert_eq!(told(&agent), "Two.");

    // Nothing stands in for a label that is gone.
    server.admin.delete(&format!("{LABELS}/production")).await.expect(204);
    let run = server.admin.run(&workflow, json!({})).await;
    assert_eq!((&run["error"]["code"], agent.calls().len()), (&json!("agent.prompt_label_missing"), 2), "{run:#}");
    assert!(run["error"]["message"].as_str().unwrap().contains("`production`"), "{run:#}");
}

#[tokio::test]
async fn what_cannot_be_labelled_is_refused() {
    let (server, _agent, _) = asking("One.").await;
    let put = async |label: &str, version: i32| {
        server.admin.put(&format!("{LABELS}/{label}"), &json!({ "version": version })).await
    };
    assert_eq!(faults(&put("a", 2).await.problem(422, "prompt.invalid")), [("/version", "prompt.unknown_version")]);
    for label in ["a%2Fb", "%00", "%20a", &"x".repeat(65)] {
        assert_eq!(faults(&put(label, 1).await.problem(422, "prompt.invalid")), [("", "prompt.label")], "{label}");
        server.admin.delete(&format!("{LABELS}/{label}")).await.problem(404, "prompt.label_not_found");
        server.admin.get(&format!("{LABELS}/{label}/history")).await.problem(404, "prompt.label_not_found");
    }
    put("v2%20concise", 1).await.expect(200);
    server.admin.get(&format!("{LABELS}/never/history")).await.problem(404, "prompt.label_not_found");
    server.admin.put("/agents/nobody/prompt-labels/a", &json!({ "version": 1 })).await.problem(404, "agent.not_found");
}

#[tokio::test]
async fn viewers_read_labels_admins_move_them_and_another_workspace_finds_nothing() {
    let (server, _agent, _) = asking("One.").await;
    let path = format!("{LABELS}/a");
    server.admin.put(&path, &json!({ "version": 1 })).await.expect(200);
    let (viewer, member) = (server.client(Role::Viewer), server.client(Role::Member));
    viewer.get(LABELS).await.expect(200);
    viewer.get(&format!("{path}/history")).await.expect(200);
    member.put(&path, &json!({ "version": 1 })).await.problem(403, "auth.role");
    member.delete(&path).await.problem(403, "auth.role");
    let stranger = server.admin_of(WorkspaceId::from_parts(1, [1; 10]));
    stranger.get(LABELS).await.problem(404, "agent.not_found");
    stranger.get(&format!("{path}/history")).await.problem(404, "agent.not_found");
    stranger.put(&path, &json!({ "version": 1 })).await.problem(404, "agent.not_found");
    stranger.delete(&path).await.problem(404, "agent.not_found");
}
