//! What is no plugin is refused with its own problem, and nothing of it stays.

use armilla_api::auth::Role;
use serde_json::json;

use super::{bare, push, push_active, shipped, variant};
use crate::harness::component;

#[tokio::test]
async fn each_wrong_component_has_its_own_problem_and_the_active_version_stays() {
    let server = bare().await;
    push(&server.admin, shipped("text")).await.expect(201);
    let core = wat::parse_str("(module)").unwrap();
    let empty = wat::parse_str("(component)").unwrap();
    let newer =
        wat::parse_str(r#"(component (instance $i) (export "armilla:plugin/tools@0.2.0" (instance $i)))"#).unwrap();
    let greedy = wat::parse_str(
        r#"(component
            (import "wasi:http/outgoing-handler@0.2.0" (instance))
            (instance $i) (export "armilla:plugin/tools@0.1.0" (instance $i)))"#,
    )
    .unwrap();
    let hollow =
        wat::parse_str(r#"(component (instance $i) (export "armilla:plugin/tools@0.1.0" (instance $i)))"#).unwrap();
    let text = shipped("text");
    for (bytes, code) in [
        (b"#!/bin/sh".to_vec(), "plugin.not_webassembly"),
        (Vec::new(), "plugin.not_webassembly"),
        (core, "plugin.core_module"),
        (empty, "plugin.unknown_world"),
        (newer, "plugin.other_contract"),
        (greedy, "plugin.unknown_import"),
        (hollow, "plugin.unlinkable"),
        (text[..text.len() / 2].to_vec(), "plugin.invalid_component"),
    ] {
        let problem = push_active(&server.admin, bytes).await.problem(422, code);
        assert!(
            !problem["detail"].as_str().unwrap().contains('/') || code != "plugin.invalid_component",
            "{problem:#}"
        );
    }
    let versions = server.admin.get("/plugins/text/versions").await.expect(200);
    assert_eq!(versions["versions"].as_array().unwrap().len(), 1);
    assert_eq!(server.admin.get("/plugins").await.expect(200)["plugins"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_component_of_sixty_five_megabytes_is_refused() {
    let server = bare().await;
    let mut bytes = shipped("text");
    bytes.resize(65 << 20, 0);
    push(&server.admin, bytes).await.problem(413, "plugin.too_large");
}

#[tokio::test]
async fn a_tool_name_that_another_plugin_has_is_refused() {
    let server = bare().await;
    let hostile = std::fs::read(component("test-plugins", "hostile")).unwrap();
    push(&server.admin, hostile.clone()).await.expect(201);
    // Another plugin with the same tools: its name is one letter off.
    let mut twin = hostile;
    while let Some(at) = twin.windows(7).position(|part| part == b"hostile") {
        twin[at + 6] = b'x';
    }
    let problem = push(&server.admin, twin).await.problem(409, "plugin.name_taken");
    assert!(problem["detail"].as_str().unwrap().contains("`hostile`"), "{problem:#}");
    server.admin.get("/plugins/hostilx").await.problem(404, "plugin.not_found");
}

#[tokio::test]
async fn a_body_of_another_type_is_refused_with_what_is_taken() {
    let server = bare().await;
    let request = server.admin.request(reqwest::Method::POST, "/plugins").header("content-type", "text/plain");
    server.admin.send(request.body("x")).await.problem(415, "body.unsupported_media_type");
    server.admin.post("/plugins", &json!({ "git": "https://example.com" })).await.problem(422, "body.invalid");
}

#[tokio::test]
async fn only_admins_change_plugins_and_everybody_reads_them() {
    let server = bare().await;
    push(&server.admin, shipped("text")).await.expect(201);
    let member = server.client(Role::Member);
    push(&member, variant(&shipped("text"), 2)).await.problem(403, "auth.role");
    member.put("/plugins/text/grants", &json!({})).await.problem(403, "auth.role");
    member.post("/plugins/text/disable", &json!({})).await.problem(403, "auth.role");
    member.delete("/plugins/text").await.problem(403, "auth.role");
    member.put("/secrets/key", &json!({ "value": "12345678" })).await.problem(403, "auth.role");
    member.get("/secrets").await.problem(403, "auth.role");
    let viewer = server.client(Role::Viewer);
    viewer.get("/plugins/text").await.expect(200);
    viewer.get("/plugins/text/grants").await.expect(200);
    viewer.post("/tools/text.slugify/invoke", &json!({ "input": { "text": "a" } })).await.problem(403, "auth.role");
}
