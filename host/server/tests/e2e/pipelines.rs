//! Agents in a row: a run of a workflow that nobody wrote.

use armilla_api::auth::Role;
use armilla_domain::id::WorkspaceId;
use armilla_testkit::agent::{Answer, Gate, ScriptedAgent};
use armilla_testkit::db::TestDatabase;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer as Response, Client, ServerProcess, TestServer, register_example_agents};

/// To the letter.
const DOCUMENTED: &str = r#"{ "input": "tidal power", "stages": [
  { "agentId": "research-agent" },
  { "agentId": "writer-agent", "systemPromptSuffix": "Write for engineers." }
] }"#;

fn messages(agent: &ScriptedAgent) -> Vec<String> {
    agent.calls().iter().map(|call| call.message().to_owned()).collect()
}

fn stages(agents: &[&str]) -> Value {
    agents.iter().map(|agent| json!({ "agentId": agent })).collect()
}

async fn run(client: &Client, input: &str, stages: Value) -> Value {
    client.post("/pipelines/run", &json!({ "input": input, "stages": stages })).await.expect(200)["run"].take()
}

fn codes(problem: &Value) -> Vec<(&str, &str)> {
    let errors = problem["errors"].as_array().unwrap().iter();
    errors.map(|error| (error["pointer"].as_str().unwrap(), error["code"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn the_documented_pipeline_runs_exactly_as_it_stands() {
    let server = TestServer::start().await;
    register_example_agents(&server.admin).await;
    let request = server.client(Role::Member).request(Method::POST, "/pipelines/run");
    let request = request.header("content-type", "application/json").body(DOCUMENTED);
    let run = server.admin.send(request).await.expect(200)["run"].take();
    assert_eq!((&run["status"], &run["error"]), (&json!("success"), &Value::Null));
    assert!(run["output"].as_str().unwrap().starts_with("# Tidal power\n"), "{run:#}");
    let agents: Vec<_> = run["stages"].as_array().unwrap().iter().map(|stage| &stage["agentId"]).collect();
    assert_eq!(agents, ["research-agent", "writer-agent"]);
    assert!(run["stages"][0]["output"].as_str().unwrap().starts_with("Notes on tidal power."));
    assert_eq!(run["stages"][1]["output"], run["output"]);
    for stage in run["stages"].as_array().unwrap() {
        assert!(stage["durationMs"].is_u64() && stage["usage"]["inputTokens"].is_u64(), "{stage}");
        assert_eq!((&stage["status"], &stage["attempts"]), (&json!("success"), &json!(1)));
    }
    let tokens = |at: usize| run["stages"][at]["usage"]["outputTokens"].as_u64().unwrap();
    assert_eq!(run["usage"]["outputTokens"], tokens(0) + tokens(1));
}

#[tokio::test]
async fn each_stage_is_told_what_the_one_before_it_answered_and_has_a_suffix_of_its_own() {
    let (server, agent) = TestServer::with_agent().await;
    let config = json!({ "id": "critic", "protocol": "openai", "endpoint": agent.endpoint(),
        "systemPromptTemplate": "You judge." });
    server.admin.post("/agents", &config).await.expect(201);
    agent.answers("notes");
    agent.answers(Answer::text("```json\n{ \"approved\": true, \"score\": 1.50 }\n```"));
    agent.answers("published");
    let stages = json!([
        { "agentId": "scripted", "systemPromptSuffix": "One." },
        { "agentId": "critic", "systemPromptSuffix": "Two." },
        { "agentId": "scripted" },
    ]);
    let run = run(&server.admin, "tides", stages).await;
    assert_eq!(messages(&agent), ["tides", "notes", r#"{"approved":true,"score":1.5}"#]);
    let prompts: Vec<_> = agent.calls().iter().map(|call| call.system_prompt().to_owned()).collect();
    assert_eq!(prompts, ["One.", "You judge.\n\nTwo.", ""]);
    assert_eq!(run["stages"][1]["output"], json!({ "approved": true, "score": 1.5 }), "JSON becomes a value");
    assert_eq!(run["output"], "published");
    let read = server.admin.get(&format!("/runs/{}", run["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(read["run"]["output"], json!({ "output": "published" }));
    assert_eq!(read["run"]["workflowId"], run["workflowId"]);
}

#[tokio::test]
async fn an_input_a_suffix_and_an_answer_are_data_whatever_they_look_like() {
    let (server, agent) = TestServer::with_agent().await;
    let code = "{{ input }} {% for x in y %} {# no #} \\u0041 \u{0} \"'\n  {{ run.id }}\n";
    agent.answers(code);
    let stages = json!([{ "agentId": "scripted", "systemPromptSuffix": code }, { "agentId": "scripted" }]);
    let run = run(&server.admin, code, stages).await;
    assert_eq!(run["status"], "success", "{run:#}");
    assert_eq!(messages(&agent), [code, code]);
    assert_eq!(agent.calls()[0].system_prompt(), code);
}

#[tokio::test]
async fn bounds_count_characters_and_each_is_refused_with_a_code_of_its_own_before_anything_runs() {
    let (server, agent) = TestServer::with_agent().await;
    let most = "😀".repeat(100_000);
    assert_eq!(run(&server.admin, &most, stages(&["scripted"])).await["status"], "success");
    assert_eq!(agent.calls()[0].message(), most);
    let twenty = run(&server.admin, "x", stages(&["scripted"; 20])).await;
    assert_eq!((&twenty["status"], twenty["stages"].as_array().unwrap().len()), (&json!("success"), 20));
    let calls = agent.calls().len();

    let refused = async |input: String, stages: Value| {
        let body = json!({ "input": input, "stages": stages });
        server.admin.post("/pipelines/run", &body).await.problem(422, "pipeline.invalid")
    };
    let more = refused("😀".repeat(100_001), stages(&["scripted"])).await;
    assert_eq!(codes(&more), [("/input", "pipeline.input_too_long")]);
    assert!(more["detail"].as_str().unwrap().contains("100001"), "{more:#}");
    let more = refused("x".to_owned(), stages(&["scripted"; 21])).await;
    assert_eq!(codes(&more), [("/stages", "pipeline.too_many_stages")]);
    assert_eq!(codes(&refused("x".to_owned(), json!([])).await), [("/stages", "pipeline.no_stages")]);
    let several = refused(String::new(), stages(&["scripted", "", "nobody", "No\0Id"])).await;
    assert_eq!(
        codes(&several),
        [
            ("/input", "pipeline.input_empty"),
            ("/stages/1/agentId", "pipeline.agent_empty"),
            ("/stages/2/agentId", "pipeline.unknown_agent"),
            ("/stages/3/agentId", "pipeline.unknown_agent"),
        ]
    );
    assert!(several["errors"][2]["detail"].as_str().unwrap().contains("`nobody`"), "{several:#}");
    let misspelt = json!({ "input": "x", "stages": [{ "agentid": "scripted" }] });
    server.admin.post("/pipelines/run", &misspelt).await.problem(422, "body.invalid");
    server.admin.post("/pipelines/run", &json!({ "input": "x" })).await.problem(422, "body.invalid");
    assert_eq!(agent.calls().len(), calls, "nothing ran");
}

#[tokio::test]
async fn a_failed_stage_is_named_and_a_retry_goes_on_from_it() {
    let (server, agent) = TestServer::with_agent().await;
    server.admin.register_as("second", &agent).await;
    agent.answers("notes");
    agent.answers(Answer::error(422, "not like this"));
    let failed = run(&server.admin, "tides", stages(&["scripted", "second", "scripted"])).await;
    assert_eq!((&failed["status"], &failed["output"]), (&json!("failed"), &Value::Null), "{failed:#}");
    let error = &failed["error"];
    assert_eq!(
        (&error["stage"], &error["agentId"], &error["code"]),
        (&json!(1), &json!("second"), &json!("agent.refused"))
    );
    let statuses: Vec<_> = failed["stages"].as_array().unwrap().iter().map(|stage| &stage["status"]).collect();
    assert_eq!(statuses, ["success", "failed", "pending"]);

    let id = failed["id"].as_str().unwrap();
    server.admin.tell(id, "retry", json!({})).await;
    let ended = server.admin.ended(id).await;
    assert_eq!((&ended["status"], &ended["output"]), (&json!("success"), &json!({ "output": "ok" })));
    assert_eq!(messages(&agent), ["tides", "notes", "notes", "ok"], "the first stage was not asked again");
}

#[tokio::test]
async fn a_pipeline_depends_on_no_connection_and_can_be_followed_and_cancelled() {
    let (server, agent) = TestServer::with_agent().await;
    let gate = Gate::closed();
    agent.answers(Answer::text("late").behind(&gate));
    let body = json!({ "input": "x", "stages": stages(&["scripted", "scripted"]) });
    let request = server.admin.request(Method::POST, "/pipelines/run").header("prefer", "respond-async").json(&body);
    let answer = server.admin.send(request).await;
    let location = answer.header("location").to_owned();
    let started = answer.expect(202)["run"].take();
    let id = started["id"].as_str().unwrap();
    assert_eq!((location, &started["output"]), (format!("/runs/{id}"), &Value::Null));
    assert_eq!(started["stages"][1]["status"], "pending");
    gate.open();
    assert_eq!(server.admin.ended(id).await["status"], "success");
    let kinds: Vec<_> = server.admin.steps(id).await.iter().map(|step| step["stepId"].clone()).collect();
    assert_eq!(kinds, ["stage-1", "stage-2"]);

    agent.answers(Answer::never());
    let waits = server.admin.post("/pipelines/run?wait=20ms", &body).await.expect(202)["run"].take();
    let cancelled = server.admin.tell(waits["id"].as_str().unwrap(), "cancel", json!({})).await;
    assert_eq!(cancelled["status"], "cancelled");
    server.admin.post("/pipelines/run?wait=soon", &body).await.problem(400, "query.invalid");
}

#[tokio::test]
async fn a_repeated_request_starts_nothing_and_a_key_is_used_for_no_other() {
    let (server, agent) = TestServer::with_agent().await;
    let send = async |path: &str, body: Value| -> Response {
        let request = server.admin.request(Method::POST, path).header("idempotency-key", "k").json(&body);
        server.admin.send(request).await
    };
    let body = json!({ "input": "x", "stages": [{ "agentId": "scripted", "systemPromptSuffix": "s" }] });
    let first = send("/pipelines/run", body.clone()).await;
    assert_eq!(first.header("idempotency-replayed"), "");
    let second = send("/pipelines/run", body).await;
    assert_eq!(second.header("idempotency-replayed"), "true");
    assert_eq!(first.expect(200)["run"]["id"], second.expect(200)["run"]["id"]);
    let other = json!({ "input": "x", "stages": [{ "agentId": "scripted", "systemPromptSuffix": "t" }] });
    send("/pipelines/run", other).await.problem(422, "idempotency.key_reused");
    let chat = json!({ "agentId": "scripted", "message": "x" });
    send("/agent/chat", chat).await.problem(422, "idempotency.key_reused");
    assert_eq!(agent.calls().len(), 1);
}

#[tokio::test]
async fn the_same_shape_of_pipeline_is_one_workflow_that_is_in_no_list_and_nobodys_to_change() {
    let (server, _agent) = TestServer::with_agent().await;
    let own = server
        .admin
        .create(json!({ "steps": [{ "type": "agent", "id": "a", "agentId": "scripted", "message": "m" }] }))
        .await;
    let one = run(&server.admin, "x", stages(&["scripted", "scripted"])).await;
    let again = run(&server.admin, "something else", stages(&["scripted", "scripted"])).await;
    let other = run(&server.admin, "x", stages(&["scripted"])).await;
    assert_eq!(one["workflowId"], again["workflowId"]);
    assert_ne!(one["workflowId"], other["workflowId"]);
    let listed = server.admin.get("/workflows").await.expect(200)["workflows"].take();
    let ids: Vec<_> =
        listed.as_array().unwrap().iter().map(|workflow| (&workflow["id"], &workflow["origin"])).collect();
    assert_eq!(ids, [(&json!(own), &Value::Null)]);

    let path = format!("/workflows/{}", one["workflowId"].as_str().unwrap());
    let workflow = server.admin.get(&path).await.expect(200)["workflow"].take();
    assert_eq!((&workflow["origin"], &workflow["warnings"]), (&json!("pipeline"), &json!([])));
    assert_eq!(workflow["name"], "Pipeline: scripted → scripted");
    let runs = server.admin.get(&format!("{path}/runs")).await.expect(200);
    assert_eq!(runs["runs"].as_array().unwrap().len(), 2);
    server.admin.delete(&path).await.problem(409, "workflow.ad_hoc");
    server.admin.put(&path, &json!({ "name": "Mine" })).await.problem(409, "workflow.ad_hoc");
    let restore = server.admin.post(&format!("{path}/versions/1/restore"), &json!({})).await;
    restore.problem(409, "workflow.ad_hoc");
    let wrong = server.admin.post(&format!("{path}/run"), &json!({ "input": { "message": 7 } })).await;
    wrong.problem(422, "run.invalid_input");
}

#[tokio::test]
async fn the_agents_and_runs_of_another_workspace_are_not_there_and_a_viewer_runs_nothing() {
    let (server, agent) = TestServer::with_agent().await;
    let body = json!({ "input": "x", "stages": stages(&["scripted"]) });
    let stranger = server.admin_of(WorkspaceId::from_parts(1, [1; 10]));
    let refused = stranger.post("/pipelines/run", &body).await.problem(422, "pipeline.invalid");
    assert_eq!(codes(&refused), [("/stages/0/agentId", "pipeline.unknown_agent")]);
    server.client(Role::Viewer).post("/pipelines/run", &body).await.problem(403, "auth.role");
    assert_eq!(agent.calls().len(), 0);

    stranger.register(&agent).await;
    let theirs = run(&stranger, "x", stages(&["scripted"])).await;
    let ours = server.client(Role::Member).post("/pipelines/run", &body).await.expect(200)["run"].take();
    assert_ne!(ours["workflowId"], theirs["workflowId"]);
    let path = format!("/runs/{}", theirs["id"].as_str().unwrap());
    server.admin.get(&path).await.problem(404, "run.not_found");
    let path = format!("/workflows/{}", theirs["workflowId"].as_str().unwrap());
    server.admin.get(&path).await.problem(404, "workflow.not_found");
    server.admin.delete(&path).await.problem(404, "workflow.not_found");
}

#[tokio::test]
async fn a_pipeline_goes_on_after_its_host_was_killed_and_no_finished_stage_is_asked_again() {
    let (database, agent) = tokio::join!(TestDatabase::create(), ScriptedAgent::start());
    let folder = tempfile::tempdir().unwrap();
    agent.answers("alpha");
    agent.answers(Answer::never());
    agent.answers("beta");
    let server = ServerProcess::start(folder.path(), Some(&database.url())).await;
    let client = server.client("admin").await;
    client.register(&agent).await;
    let stages = json!([{ "agentId": "scripted" }, { "agentId": "scripted", "systemPromptSuffix": "{{ s }}" }, { "agentId": "scripted" }]);
    let body = json!({ "input": "start", "stages": stages });
    let started = client.post("/pipelines/run?wait=0", &body).await.expect(202)["run"].take();
    agent.called(2).await;
    server.kill().await;

    let server = ServerProcess::start(folder.path(), Some(&database.url())).await;
    let client = server.client("admin").await;
    let ended = client.ended(started["id"].as_str().unwrap()).await;
    assert_eq!((&ended["status"], &ended["output"]), (&json!("success"), &json!({ "output": "ok" })), "{ended:#}");
    assert_eq!(messages(&agent), ["start", "alpha", "alpha", "beta"]);
    assert_eq!(agent.calls()[2].system_prompt(), "{{ s }}");
}
