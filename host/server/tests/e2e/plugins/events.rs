//! What happens to plugins is told as events.

use armilla_domain::id::WorkspaceId;
use serde_json::{Value, json};

use super::{bare, push, shipped, variant};

#[tokio::test]
async fn loading_activating_granting_switching_and_deleting_are_told_in_order() {
    let server = bare().await;
    push(&server.admin, shipped("kv")).await.expect(201);
    push(&server.admin, variant(&shipped("kv"), 2)).await.expect(201);
    server.admin.post("/plugins/kv/versions/2/activate", &json!({})).await.expect(200);
    server.admin.put("/plugins/kv/grants", &json!({ "kv": ["notes"] })).await.expect(200);
    server.admin.post("/plugins/kv/disable", &json!({})).await.expect(200);
    server.admin.delete("/plugins/kv").await.status.eq(&204).then_some(()).unwrap();
    let events = server.admin.get("/events").await.expect(200);
    let mut told: Vec<(&str, &Value)> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| (event["type"].as_str().unwrap(), &event["data"]))
        .collect();
    told.reverse();
    let kinds: Vec<&str> = told.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(
        kinds,
        [
            "plugin.loaded",
            "plugin.activated",
            "plugin.loaded",
            "plugin.activated",
            "plugin.granted",
            "plugin.disabled",
            "plugin.deleted",
        ]
    );
    assert_eq!((&told[3].1["version"], &told[3].1["from"], &told[3].1["by"]), (&json!(2), &json!(1), &json!("ada")));
    assert_eq!(told[2].1["version"], 2);

    let page = server.admin.get("/events?limit=3&type=plugin.loaded").await.expect(200);
    assert_eq!(page["events"].as_array().unwrap().len(), 2);
    let page = server.admin.get("/events?limit=4").await.expect(200);
    let next = page["nextCursor"].as_str().unwrap();
    let rest = server.admin.get(&format!("/events?limit=4&cursor={next}")).await.expect(200);
    assert_eq!(rest["events"].as_array().unwrap().len(), 3);
    server.admin.get("/events?cursor=evt_x").await.problem(400, "query.invalid");

    let other = server.admin_of(WorkspaceId::from_parts(1, [1; 10]));
    assert_eq!(other.get("/events").await.expect(200)["events"], json!([]), "another workspace's events are not there");
}
