//! Prompt templates: made, rendered, included, changed and removed.

use armilla_api::auth::Role;
use armilla_domain::id::WorkspaceId;
use reqwest::Method;
use serde_json::{Value, json};

use super::{faults, send, template};
use crate::harness::TestServer;

/// With exactly the documented fields.
const DOCUMENTED: &str = r#"{
  "name": "code-review",
  "category": "engineering",
  "template": "Review this {{ language }} code for {{ focus }}:\n{{ code }}",
  "variables": ["language", "focus", "code"]
}"#;
const DOCUMENTED_VALUES: &str = r#"{ "variables": { "language": "Rust", "focus": "errors", "code": "fn main() {}" } }"#;

#[tokio::test]
async fn the_documented_template_is_made_and_rendered_byte_for_byte() {
    let server = TestServer::start().await;
    let answer = send(&server.admin, Method::POST, "/prompt-templates", DOCUMENTED).await;
    let location = answer.header("location").to_owned();
    let made = answer.expect(201)["promptTemplate"].take();
    let id = made["id"].as_str().unwrap();
    assert!(id.starts_with("pt_"), "{id}");
    assert_eq!(location, format!("/prompt-templates/{id}"));
    let text = |name: &str| json!({ "name": name, "type": "string", "required": true });
    let expected = json!({
        "id": id, "name": "code-review", "category": "engineering", "version": 1,
        "template": "Review this {{ language }} code for {{ focus }}:\n{{ code }}",
        "variables": [text("language"), text("focus"), text("code")], "includes": [], "usageCount": 0,
        "createdBy": "ada", "createdAt": made["createdAt"], "updatedAt": made["updatedAt"],
    });
    assert_eq!(made, expected);

    let rendered =
        send(&server.admin, Method::POST, &format!("{location}/render"), DOCUMENTED_VALUES).await.expect(200);
    let expected = json!({
        "rendered": "Review this Rust code for errors:\nfn main() {}", "templateId": id, "version": 1, "includes": [],
    });
    assert_eq!(rendered, expected);
    let read = server.admin.get(&location).await.expect(200)["promptTemplate"].take();
    assert_eq!(read["usageCount"], 1);
}

#[tokio::test]
async fn templates_are_listed_newest_first_and_by_category() {
    let server = TestServer::start().await;
    for (name, category) in [("a", "x"), ("b", "y"), ("c", "x")] {
        let body = json!({ "name": name, "category": category, "template": "t", "variables": [] });
        server.admin.post("/prompt-templates", &body).await.expect(201);
    }
    let names = async |query: &str| {
        let list = server.admin.get(&format!("/prompt-templates{query}")).await.expect(200);
        let names =
            list["promptTemplates"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned());
        (names.collect::<Vec<_>>(), list["nextCursor"].as_str().map(str::to_owned))
    };
    assert_eq!(names("").await, (vec!["c".into(), "b".into(), "a".into()], None));
    assert_eq!(names("?category=x").await.0, ["c", "a"]);
    assert!(names("?category=z").await.0.is_empty());
    let (first, cursor) = names("?category=x&limit=1").await;
    assert_eq!(first, ["c"]);
    assert_eq!(names(&format!("?category=x&limit=1&cursor={}", cursor.unwrap())).await, (vec!["a".into()], None));
    server.admin.get("/prompt-templates?limit=26").await.problem(400, "query.invalid");
    server.admin.get("/prompt-templates?category=%00").await.problem(400, "query.invalid");
}

#[tokio::test]
async fn a_missing_an_unknown_or_a_wrongly_typed_variable_is_named_and_nothing_is_rendered() {
    let server = TestServer::start().await;
    let variables = json!({
        "topic": "string", "count": { "type": "integer", "default": 3 }, "tags": { "type": "array", "required": false },
    });
    let id =
        template(&server.admin, "t", "{{ count }} on {{ topic }}{% if tags %} {{ tags }}{% endif %}", variables).await;
    let path = format!("/prompt-templates/{id}/render");
    let render = async |variables: Value| server.admin.post(&path, &json!({ "variables": variables })).await;

    assert_eq!(render(json!({ "topic": "tides" })).await.expect(200)["rendered"], "3 on tides");
    let all = json!({ "topic": "tides", "count": 1, "tags": ["a"] });
    assert_eq!(render(all).await.expect(200)["rendered"], r#"1 on tides ["a"]"#);

    let problem = render(json!({ "count": "1", "extra": 1 })).await.problem(422, "prompt_template.variables_invalid");
    assert_eq!(
        faults(&problem),
        [
            ("/variables/topic", "prompt.missing_variable"),
            ("/variables/count", "prompt.variable_type"),
            ("/variables/extra", "prompt.unknown_variable"),
        ]
    );
    for fault in problem["errors"].as_array().unwrap() {
        let name = fault["pointer"].as_str().unwrap().rsplit('/').next().unwrap();
        assert!(fault["detail"].as_str().unwrap().contains(&format!("`{name}`")), "{fault}");
    }
    let empty = server.admin.send(server.admin.request(Method::POST, &path)).await;
    assert_eq!(
        faults(&empty.problem(422, "prompt_template.variables_invalid")),
        [("/variables/topic", "prompt.missing_variable")]
    );
    let endless = template(
        &server.admin,
        "endless",
        "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
        json!([]),
    )
    .await;
    let failed = server.admin.post(&format!("/prompt-templates/{endless}/render"), &json!({})).await;
    failed.problem(422, "prompt_template.render_failed");
}

#[tokio::test]
async fn a_change_makes_the_next_version_which_only_floating_includes_follow() {
    let server = TestServer::start().await;
    let tone =
        template(&server.admin, "tone", "Be {{ manner }}.", json!([{ "name": "manner", "default": "brief" }])).await;
    let floating =
        template(&server.admin, "floating", "{% include \"tone\" %} On {{ topic }}.", json!(["topic"])).await;
    let pinned = template(&server.admin, "pinned", "{% include \"tone@1\" %} On {{ topic }}.", json!(["topic"])).await;
    let render = async |id: &str, variables: Value| {
        server
            .admin
            .post(&format!("/prompt-templates/{id}/render"), &json!({ "variables": variables }))
            .await
            .expect(200)
    };
    assert_eq!(render(&floating, json!({ "topic": "tides" })).await["rendered"], "Be brief. On tides.");

    let path = format!("/prompt-templates/{tone}");
    let mut read = server.admin.get(&path).await.expect(200)["promptTemplate"].take();
    assert_eq!(
        server.admin.put(&path, &read).await.expect(200)["promptTemplate"],
        read,
        "what was read changes nothing"
    );
    read["template"] = json!("Be {{ manner }}, please.");
    let changed = server.admin.put(&path, &read).await.expect(200)["promptTemplate"].take();
    assert_eq!((&changed["version"], &changed["usageCount"]), (&json!(2), &json!(1)));

    let one = render(&floating, json!({ "topic": "tides", "manner": "kind" })).await;
    assert_eq!((&one["rendered"], &one["includes"]), (&json!("Be kind, please. On tides."), &json!(["tone@2"])));
    let other = render(&pinned, json!({ "topic": "tides" })).await;
    assert_eq!((&other["rendered"], &other["includes"]), (&json!("Be brief. On tides."), &json!(["tone@1"])));
    assert_eq!(server.admin.get(&path).await.expect(200)["promptTemplate"]["usageCount"], 3, "as a part of others too");

    let list = server.admin.get(&format!("{path}/versions")).await.expect(200);
    let versions: Vec<_> =
        list["versions"].as_array().unwrap().iter().map(|one| (&one["version"], &one["template"])).collect();
    assert_eq!(versions, [(&json!(2), &json!("Be {{ manner }}, please.")), (&json!(1), &json!("Be {{ manner }}."))]);

    let cleared = server.admin.put(&path, &json!({ "category": "voice" })).await.expect(200)["promptTemplate"].take();
    assert_eq!((&cleared["category"], &cleared["version"]), (&json!("voice"), &json!(2)));
    let problem = server.admin.put(&path, &json!({ "name": "other" })).await.problem(422, "prompt_template.invalid");
    assert_eq!(faults(&problem), [("/name", "prompt.name")]);
}

#[tokio::test]
async fn cycles_unknown_includes_and_all_other_faults_are_refused_at_once() {
    let server = TestServer::start().await;
    let refused = async |body: Value| {
        let problem = server.admin.post("/prompt-templates", &body).await.problem(422, "prompt_template.invalid");
        faults(&problem).into_iter().map(|(place, code)| (place.to_owned(), code.to_owned())).collect::<Vec<_>>()
    };
    let fault = |place: &str, code: &str| (place.to_owned(), code.to_owned());
    let itself = json!({ "name": "a", "template": "{% include \"a\" %}" });
    assert_eq!(refused(itself).await, [fault("/template", "prompt.include_cycle")]);
    let unknown = json!({ "name": "a", "template": "{% include \"b\" %}" });
    assert_eq!(refused(unknown).await, [fault("/template", "prompt.include_unknown")]);
    let several = json!({ "name": "a@1", "template": "{{ x", "variables": ["x", "x"] });
    assert_eq!(
        refused(several).await,
        [
            fault("/name", "prompt.name"),
            fault("/variables/1", "prompt.duplicate_variable"),
            fault("/template", "prompt.template")
        ]
    );
    let undeclared = json!({ "name": "a", "template": "{{ x }} {{ y }}", "variables": ["x"] });
    assert_eq!(refused(undeclared).await, [fault("/template", "prompt.undeclared_variable")]);

    // A ring that closes by a change.
    let a = template(&server.admin, "a", "leaf", json!([])).await;
    template(&server.admin, "b", "{% include \"a\" %}", json!([])).await;
    let closing =
        server.admin.put(&format!("/prompt-templates/{a}"), &json!({ "template": "{% include \"b\" %}" })).await;
    let problem = closing.problem(422, "prompt_template.invalid");
    assert_eq!(faults(&problem), [("/template", "prompt.include_cycle")]);
    assert!(problem["errors"][0]["detail"].as_str().unwrap().contains("`a` includes `b` includes `a`"), "{problem:#}");
    let taken = json!({ "name": "a", "template": "t" });
    server.admin.post("/prompt-templates", &taken).await.problem(409, "prompt_template.exists");
}

#[tokio::test]
async fn a_template_that_others_include_stays_until_they_do_not() {
    let server = TestServer::start().await;
    let tone = template(&server.admin, "tone", "Be brief.", json!([])).await;
    let mut includers = Vec::new();
    for (name, text) in [("b", "{% include \"tone\" %}"), ("a", "{% include \"tone@1\" %}")] {
        includers.push(template(&server.admin, name, text, json!([])).await);
    }
    let path = format!("/prompt-templates/{tone}");
    let problem = server.admin.delete(&path).await.problem(409, "prompt_template.included");
    assert_eq!(problem["includedBy"], json!(["a", "b"]));
    server.admin.delete(&format!("/prompt-templates/{}", includers[0])).await.expect(204);
    server.admin.put(&format!("/prompt-templates/{}", includers[1]), &json!({ "template": "alone" })).await.expect(200);
    server.admin.delete(&path).await.expect(204);
    server.admin.get(&path).await.problem(404, "prompt_template.not_found");
    server.admin.delete(&path).await.problem(404, "prompt_template.not_found");
    server.admin.put(&path, &json!({ "template": "t" })).await.problem(404, "prompt_template.not_found");
    template(&server.admin, "tone", "Again.", json!([])).await;
}

#[tokio::test]
async fn viewers_read_members_render_admins_change_and_another_workspace_finds_nothing() {
    let server = TestServer::start().await;
    let id = template(&server.admin, "t", "text", json!([])).await;
    let path = format!("/prompt-templates/{id}");
    let (viewer, member) = (server.client(Role::Viewer), server.client(Role::Member));
    let body = json!({ "name": "u", "template": "t" });
    for client in [&viewer, &member] {
        client.get(&path).await.expect(200);
        client.get(&format!("{path}/versions")).await.expect(200);
        client.get("/prompt-templates").await.expect(200);
        client.post("/prompt-templates", &body).await.problem(403, "auth.role");
        client.put(&path, &body).await.problem(403, "auth.role");
        client.delete(&path).await.problem(403, "auth.role");
    }
    viewer.post(&format!("{path}/render"), &json!({})).await.problem(403, "auth.role");
    member.post(&format!("{path}/render"), &json!({})).await.expect(200);

    let stranger = server.admin_of(WorkspaceId::from_parts(1, [1; 10]));
    stranger.get(&path).await.problem(404, "prompt_template.not_found");
    stranger.get(&format!("{path}/versions")).await.problem(404, "prompt_template.not_found");
    stranger.put(&path, &json!({ "template": "t" })).await.problem(404, "prompt_template.not_found");
    stranger.delete(&path).await.problem(404, "prompt_template.not_found");
    stranger.post(&format!("{path}/render"), &json!({})).await.problem(404, "prompt_template.not_found");
    assert_eq!(stranger.get("/prompt-templates").await.expect(200)["promptTemplates"], json!([]));
    let foreign = json!({ "name": "mine", "template": "{% include \"t\" %}" });
    let problem = stranger.post("/prompt-templates", &foreign).await.problem(422, "prompt_template.invalid");
    assert_eq!(faults(&problem), [("/template", "prompt.include_unknown")]);
    template(&stranger, "t", "the same name", json!([])).await;
}
