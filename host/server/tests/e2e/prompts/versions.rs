//! Versions of agents' prompts: made, restored, compared, and told to the agent.

use std::collections::HashSet;

use armilla_api::auth::Role;
use armilla_domain::id::WorkspaceId;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{asking, faults, make, send, step, template, told};
use crate::harness::agent_step;

const VERSIONS: &str = "/agents/scripted/prompt-versions";
/// With exactly the documented fields.
const DOCUMENTED: &str =
    r#"{ "systemPrompt": "You research {{ topic }}. Answer in five sentences.", "label": "production" }"#;

#[tokio::test]
async fn the_documented_version_is_made_and_restored_byte_for_byte() {
    let (server, agent, workflow) = asking("You research.").await;
    let answer = send(&server.admin, Method::POST, VERSIONS, DOCUMENTED).await;
    assert_eq!(answer.header("location"), format!("{VERSIONS}/2"));
    let made = answer.expect(201)["promptVersion"].take();
    let hash = made["hash"].as_str().unwrap();
    assert_eq!(hash.len(), 64);
    let expected = json!({
        "agentId": "scripted", "version": 2, "systemPrompt": "You research {{ topic }}. Answer in five sentences.",
        "model": {}, "hash": hash, "author": "ada", "message": null, "label": "production", "labels": ["production"],
        "restoredFrom": null, "createdAt": made["createdAt"],
    });
    assert_eq!(made, expected);
    server.admin.run(&workflow, json!({ "topic": "tides" })).await;
    assert_eq!(told(&agent), "You research tides. Answer in five sentences.");

    let restored = send(&server.admin, Method::POST, &format!("{VERSIONS}/1/restore"), "").await;
    let restored = restored.expect(201)["promptVersion"].take();
    assert_eq!((&restored["version"], &restored["restoredFrom"]), (&json!(3), &json!(1)));
    server.admin.run(&workflow, json!({})).await;
    assert_eq!(told(&agent), "You research.");

    let list = server.admin.get(VERSIONS).await.expect(200);
    let listed: Vec<_> = list["promptVersions"].as_array().unwrap().iter().map(|one| one["version"].clone()).collect();
    assert_eq!(listed, [json!(3), json!(2), json!(1)]);
    let first = server.admin.get(&format!("{VERSIONS}/1")).await.expect(200)["promptVersion"].take();
    assert_eq!((&first["hash"], &first["systemPrompt"]), (&restored["hash"], &json!("You research.")));
    assert_eq!(list["promptVersions"][1], made);
    let page = server.admin.get(&format!("{VERSIONS}?limit=2")).await.expect(200);
    assert_eq!(page["nextCursor"], "2");
}

#[tokio::test]
async fn the_same_content_makes_no_version_and_a_restored_one_does() {
    let (server, _agent, _) = asking("One.").await;
    let post = async |body: Value| server.admin.post(VERSIONS, &body).await;
    let same = post(json!({ "systemPrompt": "One.", "message": "again" })).await.expect(200)["promptVersion"].take();
    assert_eq!((&same["version"], &same["message"]), (&json!(1), &Value::Null));
    let labelled = post(json!({ "systemPrompt": "One.", "label": "stable" })).await.expect(200)["promptVersion"].take();
    assert_eq!((&labelled["version"], &labelled["labels"]), (&json!(1), &json!(["stable"])));
    let settings = post(json!({ "systemPrompt": "One.", "model": { "temperature": 0.1 } })).await.expect(201);
    assert_eq!(settings["promptVersion"]["version"], 2, "settings are content");
    assert_ne!(settings["promptVersion"]["hash"], same["hash"]);
    let again = server.admin.post(&format!("{VERSIONS}/2/restore"), &json!({})).await.expect(201);
    assert_eq!(again["promptVersion"]["version"], 3);
    assert_eq!(again["promptVersion"]["model"], json!({ "temperature": 0.1 }));
    assert_eq!(again["promptVersion"]["hash"], settings["promptVersion"]["hash"]);
}

#[tokio::test]
async fn an_agent_s_own_template_is_its_prompt_s_version_and_shows_the_newest_text() {
    let (server, agent, workflow) = asking("One.").await;
    let prompt =
        async || server.admin.get("/agents/scripted").await.expect(200)["agent"]["systemPromptTemplate"].take();
    let newest = async || server.admin.get(VERSIONS).await.expect(200)["promptVersions"][0]["version"].take();
    let first = server.admin.get(&format!("{VERSIONS}/1")).await.expect(200)["promptVersion"].take();
    assert_eq!((&first["systemPrompt"], &first["author"]), (&json!("One."), &json!("ada")));

    make(&server.admin, "Two.").await;
    assert_eq!((prompt().await, newest().await), (json!("Two."), json!(2)));
    assert_eq!(server.admin.get("/agents").await.expect(200)["agents"][0]["systemPromptTemplate"], "Two.");

    // What was read may be sent back, and makes no version.
    let read = server.admin.get("/agents/scripted").await.expect(200)["agent"].take();
    server.admin.put("/agents/scripted", &read).await.expect(200);
    assert_eq!(newest().await, 2);
    let mut changed = read.clone();
    changed["systemPromptTemplate"] = json!("Three.");
    let put = server.admin.put("/agents/scripted", &changed).await.expect(200)["agent"].take();
    assert_eq!((&put["systemPromptTemplate"], newest().await), (&json!("Three."), json!(3)));

    // A configuration that says nothing of the prompt leaves it as it is.
    changed.as_object_mut().unwrap().remove("systemPromptTemplate");
    let put = server.admin.put("/agents/scripted", &changed).await.expect(200)["agent"].take();
    assert_eq!((&put["systemPromptTemplate"], newest().await), (&json!("Three."), json!(3)));
    server.admin.run(&workflow, json!({})).await;
    assert_eq!(told(&agent), "Three.");
}

#[tokio::test]
async fn an_agent_without_a_prompt_is_told_nothing_until_it_has_a_version() {
    let (server, agent) = crate::harness::TestServer::with_agent().await;
    let workflow = server.admin.create(json!({ "steps": [agent_step("ask", "Hi")] })).await;
    assert_eq!(step(&server.admin, &workflow).await["prompt"], Value::Null);
    assert_eq!(told(&agent), "");
    assert_eq!(server.admin.get(VERSIONS).await.expect(200)["promptVersions"], json!([]));
    make(&server.admin, "You write.").await;
    assert_eq!(step(&server.admin, &workflow).await["prompt"]["version"], 1);
    assert_eq!(told(&agent), "You write.");
}

#[tokio::test]
async fn settings_of_a_version_come_before_the_agent_s_own() {
    let (server, agent, workflow) = asking("One.").await;
    let body = json!({ "systemPrompt": "One.", "model": { "modelId": "large", "temperature": 0.1 } });
    server.admin.post(VERSIONS, &body).await.expect(201);
    server.admin.run(&workflow, json!({})).await;
    let call = agent.calls().pop().unwrap();
    assert_eq!((&call.body["model"], &call.body["temperature"]), (&json!("large"), &json!(0.1)));
    server.admin.post(&format!("{VERSIONS}/1/restore"), &json!({})).await.expect(201);
    server.admin.run(&workflow, json!({})).await;
    let call = agent.calls().pop().unwrap();
    assert_eq!((&call.body["model"], call.body.get("temperature")), (&json!("small"), None));
}

#[tokio::test]
async fn every_fault_of_a_version_comes_at_once() {
    let (server, _agent, _) = asking("One.").await;
    let body = json!({ "systemPrompt": "{{ x", "model": { "temperature": 9, "top": 1 }, "label": "a/b" });
    let problem = server.admin.post(VERSIONS, &body).await.problem(422, "prompt.invalid");
    assert_eq!(
        faults(&problem),
        [
            ("/systemPrompt", "prompt.template"),
            ("/model/top", "agent.unknown_field"),
            ("/model/temperature", "agent.value"),
            ("/label", "prompt.label"),
        ]
    );
    server.admin.post(VERSIONS, &json!({ "systemPrompt": "" })).await.problem(422, "body.invalid");
    let unknown = server.admin.post(VERSIONS, &json!({ "systemPrompt": "{% include \"no\" %}" })).await;
    assert_eq!(faults(&unknown.problem(422, "prompt.invalid")), [("/systemPrompt", "prompt.include_unknown")]);
    let put = json!({ "protocol": "http", "endpoint": "http://h", "systemPromptTemplate": "{% include \"no\" %}" });
    let unknown = server.admin.put("/agents/scripted", &put).await;
    assert_eq!(faults(&unknown.problem(422, "agent.invalid")), [("/systemPromptTemplate", "prompt.include_unknown")]);
    assert_eq!(server.admin.get(VERSIONS).await.expect(200)["promptVersions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn any_two_versions_can_be_compared() {
    let (server, _agent, _) = asking("You write.\nAbout {{ topic }}.").await;
    let body = json!({ "systemPrompt": "You write.\nFor {{ reader }}.", "model": { "temperature": 0.1 } });
    server.admin.post(VERSIONS, &body).await.expect(201);
    let diff = server.admin.get(&format!("{VERSIONS}/1/diff/2")).await.expect(200);
    let expected = json!({ "diff": {
        "from": 1, "to": 2,
        "lines": [{ "op": "remove", "line": 2, "text": "About {{ topic }}." }, { "op": "add", "line": 2, "text": "For {{ reader }}." }],
        "variables": { "added": ["reader"], "removed": ["topic"] },
        "settings": [{ "name": "temperature", "from": null, "to": 0.1 }],
    } });
    assert_eq!(diff, expected);
    let same = server.admin.get(&format!("{VERSIONS}/2/diff/2")).await.expect(200);
    assert_eq!((&same["diff"]["lines"], &same["diff"]["settings"]), (&json!([]), &json!([])));
    server.admin.get(&format!("{VERSIONS}/1/diff/3")).await.problem(404, "prompt.version_not_found");
    server.admin.get(&format!("{VERSIONS}/x/diff/1")).await.problem(404, "prompt.version_not_found");
}

#[tokio::test]
async fn versions_that_are_made_at_the_same_time_all_get_numbers_of_their_own() {
    let (server, _agent, _) = asking("One.").await;
    let mut making = JoinSet::new();
    for n in 0..20 {
        let client = server.admin.clone();
        making.spawn(async move { make(&client, &format!("Prompt {n}.")).await["version"].as_i64().unwrap() });
    }
    let made: HashSet<i64> = making.join_all().await.into_iter().collect();
    assert_eq!(made, (2..=21).collect());
}

#[tokio::test]
async fn a_prompt_includes_templates_as_they_are_when_it_is_used() {
    let (server, agent, workflow) = asking("One.").await;
    let variables = json!([{ "name": "manner", "default": "brief" }, "topic"]);
    let tone = template(&server.admin, "tone", "Be {{ manner }} on {{ topic }}.", variables).await;
    make(&server.admin, "You write. {% include \"tone\" %}").await;
    assert_eq!(step(&server.admin, &workflow).await["prompt"]["includes"], json!(["tone@1"]));
    assert_eq!(told(&agent), "You write. Be brief on tides.");
    let path = format!("/prompt-templates/{tone}");
    server.admin.put(&path, &json!({ "template": "Stay {{ manner }} on {{ topic }}." })).await.expect(200);
    assert_eq!(step(&server.admin, &workflow).await["prompt"]["includes"], json!(["tone@2"]));
    assert_eq!(told(&agent), "You write. Stay brief on tides.");
    assert_eq!(server.admin.get(&path).await.expect(200)["promptTemplate"]["usageCount"], 2);

    server.admin.delete(&path).await.expect(204);
    let run = server.admin.run(&workflow, json!({ "topic": "tides" })).await;
    assert_eq!(
        (&run["status"], &run["error"]["code"]),
        (&json!("failed"), &json!("agent.prompt_include_missing")),
        "{run:#}"
    );
    assert_eq!((&run["error"]["attempts"], agent.calls().len()), (&json!(1), 2));
    let restored = server.admin.post(&format!("{VERSIONS}/2/restore"), &json!({})).await;
    assert_eq!(faults(&restored.problem(422, "prompt.invalid")), [("/systemPrompt", "prompt.include_unknown")]);
}

#[tokio::test]
async fn viewers_read_admins_change_and_another_workspace_finds_nothing() {
    let (server, _agent, _) = asking("One.").await;
    let (viewer, member) = (server.client(Role::Viewer), server.client(Role::Member));
    let body = json!({ "systemPrompt": "Two." });
    for client in [&viewer, &member] {
        client.get(VERSIONS).await.expect(200);
        client.get(&format!("{VERSIONS}/1")).await.expect(200);
        client.get(&format!("{VERSIONS}/1/diff/1")).await.expect(200);
        client.get(&format!("{VERSIONS}/1/metrics")).await.expect(200);
        client.post(VERSIONS, &body).await.problem(403, "auth.role");
        client.post(&format!("{VERSIONS}/1/restore"), &body).await.problem(403, "auth.role");
    }
    let stranger = server.admin_of(WorkspaceId::from_parts(1, [1; 10]));
    for path in ["", "/1", "/1/diff/1", "/1/metrics"] {
        stranger.get(&format!("{VERSIONS}{path}")).await.problem(404, "agent.not_found");
    }
    stranger.post(VERSIONS, &body).await.problem(404, "agent.not_found");
    stranger.post(&format!("{VERSIONS}/1/restore"), &json!({})).await.problem(404, "agent.not_found");
    server.admin.get(&format!("{VERSIONS}/2")).await.problem(404, "prompt.version_not_found");
    server.admin.post(&format!("{VERSIONS}/2/restore"), &json!({})).await.problem(404, "prompt.version_not_found");
    server.admin.get("/agents/nobody/prompt-versions").await.problem(404, "agent.not_found");
}

#[tokio::test]
async fn an_agent_that_is_removed_takes_its_prompts_along() {
    let (server, agent, _) = asking("One.").await;
    make(&server.admin, "Two.").await;
    server.admin.put("/agents/scripted/prompt-labels/a", &json!({ "version": 1 })).await.expect(200);
    server.admin.put("/agents/scripted/prompt-override", &json!({ "version": 1 })).await.expect(200);
    server.admin.delete("/agents/scripted").await.expect(204);
    server.admin.get(VERSIONS).await.problem(404, "agent.not_found");
    server.admin.register(&agent).await;
    assert_eq!(server.admin.get(VERSIONS).await.expect(200)["promptVersions"], json!([]));
    assert_eq!(server.admin.get("/agents/scripted/prompt-overrides").await.expect(200)["promptOverrides"], json!([]));
}
