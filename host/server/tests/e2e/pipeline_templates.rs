//! Pipelines with blanks in them: the shipped ones, and those of an operator's file.

use armilla_api::auth::Role;
use armilla_testkit::agent::ScriptedAgent;
use armilla_testkit::db::TestDatabase;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Client, ServerProcess, TestServer, register_example_agents, until};

/// To the letter.
const DOCUMENTED: &str = r#"{ "template": "research-article", "input": "tidal power", "variables": { "audience": "engineers of other trades" } }"#;

const FILE: &str = "templates:
  - name: brief
    description: One agent.
    variables:
      tone: { description: How it sounds. }
      words: { default: 200 }
    stages:
      - agentId: scripted
        systemPromptSuffix: Be {{ tone }}, in {{ words }} words.
      - agentId: scripted
";

async fn execute(client: &Client, body: &Value) -> Value {
    client.post("/pipeline-templates/execute", body).await.expect(200)["run"].take()
}

fn codes(problem: &Value) -> Vec<(&str, &str)> {
    let errors = problem["errors"].as_array().unwrap().iter();
    errors.map(|error| (error["pointer"].as_str().unwrap(), error["code"].as_str().unwrap())).collect()
}

/// Waits until the server has read what its file says now.
async fn source_where(client: &Client, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    until(what, || async {
        let list = client.get("/pipeline-templates").await.expect(200);
        holds(&list).then_some(list)
    })
    .await
}

#[tokio::test]
async fn all_five_shipped_templates_run_with_their_own_examples_against_the_example_agents() {
    let server = TestServer::start().await;
    register_example_agents(&server.admin).await;
    let list = server.client(Role::Viewer).get("/pipeline-templates").await.expect(200);
    let source = json!({ "kind": "builtIn", "file": null, "readAt": null, "fault": null });
    assert_eq!((&list["source"], &list["nextCursor"]), (&source, &Value::Null));
    let templates = list["templates"].as_array().unwrap();
    assert_eq!(templates.len(), 5);
    for template in templates {
        let example = &template["example"];
        let body =
            json!({ "template": template["name"], "input": example["input"], "variables": example["variables"] });
        let run = execute(&server.client(Role::Member), &body).await;
        assert_eq!(run["status"], "success", "{run:#}");
        assert!(run["output"].as_str().is_some_and(|output| output.len() > 20), "{run:#}");
        assert_eq!(run["stages"].as_array().unwrap().len(), template["stages"].as_array().unwrap().len());
    }
}

#[tokio::test]
async fn the_shipped_templates_give_what_they_promise() {
    let server = TestServer::start().await;
    register_example_agents(&server.admin).await;
    let output = async |name: &str, input: &str, variables: Value| {
        let body = json!({ "template": name, "input": input, "variables": variables });
        execute(&server.admin, &body).await["output"].as_str().unwrap().to_owned()
    };
    let article = output("research-article", "tidal power: an overview", json!({})).await;
    assert!(article.starts_with("# Tidal power: an overview\n"), "{article}");
    let reviewed = output("reviewed-article", "unverified claims about tides", json!({})).await;
    assert!(reviewed.starts_with("# Claims about tides\n") && reviewed.contains("second version"), "{reviewed}");
    let summary = output("executive-summary", "tidal power", json!({})).await;
    assert!(summary.starts_with("Tidal power in short:\n- "), "{summary}");
    let product = json!({ "product": "the exporter" });
    let receipt = output("publish-announcement", "# Faster exports\n\nThey take half as long.", product).await;
    assert!(receipt.starts_with("Published as \"Faster exports in short"), "{receipt}");
}

#[tokio::test]
async fn the_documented_execution_runs_exactly_as_it_stands() {
    let (server, agent) = TestServer::with_agent().await;
    for id in ["research-agent", "writer-agent"] {
        server.admin.register_as(id, &agent).await;
    }
    let request = server.admin.request(Method::POST, "/pipeline-templates/execute");
    let request = request.header("content-type", "application/json").body(DOCUMENTED);
    assert_eq!(server.admin.send(request).await.expect(200)["run"]["status"], "success");
    let prompt = agent.calls()[1].system_prompt().to_owned();
    assert!(prompt.starts_with("Write for engineers of other trades, in at most 600 words."), "{prompt}");
}

#[tokio::test]
async fn what_does_not_fit_a_template_is_refused_by_name_before_anything_runs() {
    let (server, agent) = TestServer::with_agent().await;
    let refused = async |body: Value| {
        let answer = server.admin.post("/pipeline-templates/execute", &body).await;
        answer.problem(422, "pipeline_template.invalid")
    };
    let body = json!({ "template": "edit-text", "input": "x", "variables": { "stile": "calm", "keep": null } });
    let problem = refused(body).await;
    assert_eq!(
        codes(&problem),
        [
            ("/variables/stile", "pipeline_template.unknown_variable"),
            ("/variables/keep", "pipeline_template.variable_value"),
            ("/variables/style", "pipeline_template.missing_variable"),
        ]
    );
    assert!(problem["errors"][2]["detail"].as_str().unwrap().contains("`style`"), "{problem:#}");
    let problem = refused(json!({ "template": "nonesuch", "input": "x" })).await;
    assert_eq!(codes(&problem), [("/template", "pipeline_template.unknown")]);
    let problem = refused(json!({ "template": "research-article", "input": "" })).await;
    assert_eq!(
        codes(&problem),
        [
            ("/input", "pipeline.input_empty"),
            ("/template", "pipeline.unknown_agent"),
            ("/template", "pipeline.unknown_agent"),
        ]
    );
    assert!(problem["errors"][1]["detail"].as_str().unwrap().contains("stage 1 of `research-article`"), "{problem:#}");
    let body = json!({ "template": "research-article", "input": "x" });
    server.client(Role::Viewer).post("/pipeline-templates/execute", &body).await.problem(403, "auth.role");
    server.admin.without_token().get("/pipeline-templates").await.problem(401, "auth.missing");
    assert_eq!(agent.calls().len(), 0);
}

#[tokio::test]
async fn a_broken_edit_keeps_the_last_good_templates_in_force_and_is_shown_until_it_is_mended() {
    let (database, agent) = tokio::join!(TestDatabase::create(), ScriptedAgent::start());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("our-templates.yml");
    std::fs::write(&file, FILE).unwrap();
    let set = [("ARMILLA_PIPELINE_TEMPLATES", file.to_str().unwrap())];
    let server = ServerProcess::start_with(folder.path(), Some(&database.url()), &set).await;
    let client = server.client("admin").await;
    client.register(&agent).await;
    let list = client.get("/pipeline-templates").await.expect(200);
    assert_eq!(
        (&list["templates"][0]["name"], &list["source"]["file"]),
        (&json!("brief"), &json!("our-templates.yml"))
    );
    let variables = json!({ "tone": { "description": "How it sounds.", "default": null, "required": true },
        "words": { "description": null, "default": 200, "required": false } });
    assert_eq!(list["templates"][0]["variables"], variables);
    let body = json!({ "template": "brief", "input": "x", "variables": { "tone": "{{ calm }}" } });
    let key = |client: &Client| {
        client.request(Method::POST, "/pipeline-templates/execute").header("idempotency-key", "k").json(&body)
    };
    let first = client.send(key(&client)).await.expect(200)["run"].take();
    assert_eq!(agent.calls()[0].system_prompt(), "Be {{ calm }}, in 200 words.", "a value is data");

    std::fs::write(&file, FILE.replace("{{ words }}", "{{ wrods }}")).unwrap();
    let list = source_where(&client, "the fault", |list| !list["source"]["fault"].is_null()).await;
    let error = &list["source"]["fault"]["errors"][0];
    assert_eq!((&error["line"], &error["code"]), (&json!(9), &json!("pipeline_template.undeclared_variable")));
    assert!(list["source"]["fault"]["detail"].as_str().unwrap().contains("`wrods`"), "{list:#}");
    assert_eq!(list["templates"][0]["name"], "brief");
    assert_eq!(execute(&client, &body).await["status"], "success");
    let ready = client.get("/readyz").await.expect(200);
    let check = ready["checks"].as_array().unwrap().iter().find(|check| check["name"] == "pipeline templates");
    let detail = check.and_then(|check| check["detail"].as_str()).unwrap();
    assert!(detail.contains("line 9"), "{ready:#}");
    assert!(server.log().contains("wrods"), "{}", server.log());

    std::fs::write(&file, FILE.replace("default: 200", "default: 9")).unwrap();
    let mended = |list: &Value| list["templates"][0]["variables"]["words"]["default"] == 9;
    let list = source_where(&client, "the mended file", mended).await;
    assert_eq!(list["source"]["fault"], Value::Null);
    execute(&client, &body).await;
    assert_eq!(agent.calls()[4].system_prompt(), "Be {{ calm }}, in 9 words.");
    let repeated = client.send(key(&client)).await;
    assert_eq!(repeated.header("idempotency-replayed"), "true", "the request is the same, whatever the template");
    assert_eq!(repeated.expect(200)["run"]["id"], first["id"]);
}

#[tokio::test]
async fn a_server_with_a_broken_file_says_every_fault_with_its_line_and_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("our-templates.yml");
    std::fs::write(&file, FILE.replace("{{ words }}", "{{ wrods }}").replace("name: brief", "name: Brief")).unwrap();
    let set = [("ARMILLA_PIPELINE_TEMPLATES", file.to_str().unwrap())];
    let ended = ServerProcess::try_start_with(folder.path(), Some("postgres://nobody@127.0.0.1:1/x"), &set).await;
    assert_eq!(ended.err().and_then(|status| status.code()), Some(1));
    let log = std::fs::read_to_string(folder.path().join("serve.log")).unwrap();
    assert!(log.contains("line 2: /templates/0/name") && log.contains("line 9: ") && log.contains("`wrods`"), "{log}");
}
