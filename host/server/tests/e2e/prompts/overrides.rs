//! Overrides: another prompt for a while, judged by the database's clock alone.

use armilla_api::auth::Role;
use armilla_domain::id::WorkspaceId;
use armilla_testkit::agent::ScriptedAgent;
use armilla_testkit::db::TestDatabase;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

use super::{asking, faults, make, step, told};
use crate::harness::{TestServer, agent_step};

const OVERRIDE: &str = "/agents/scripted/prompt-override";
const OVERRIDES: &str = "/agents/scripted/prompt-overrides";

#[tokio::test]
async fn an_override_is_told_in_the_place_of_the_prompt_and_says_how_long_it_lasts() {
    let (server, agent, workflow) = asking("One on {{ topic }}.").await;
    server.admin.get(OVERRIDE).await.problem(404, "prompt.override_not_found");
    let body = json!({ "systemPrompt": "Instead on {{ topic }}.", "reason": "an incident" });
    let set = server.admin.put(OVERRIDE, &body).await.expect(200)["promptOverride"].take();
    let metrics = json!({ "calls": 0, "failures": 0, "inputTokens": 0, "outputTokens": 0, "durationMs": 0 });
    let expected = json!({
        "id": set["id"], "agentId": "scripted", "systemPrompt": "Instead on {{ topic }}.", "version": null, "hash": set["hash"],
        "reason": "an incident", "share": null, "runs": null, "owner": "ada", "status": "active", "createdAt": set["createdAt"],
        "expiresAt": set["expiresAt"], "remainingSeconds": 3600, "endedAt": null, "endedBy": null, "metrics": metrics,
    });
    assert_eq!(set, expected);
    let used = step(&server.admin, &workflow).await["prompt"].take();
    assert_eq!(used, json!({ "hash": set["hash"], "overrideId": set["id"], "ownText": true }));
    assert_eq!(told(&agent), "Instead on tides.");
    let read = server.admin.get(OVERRIDE).await.expect(200)["promptOverride"].take();
    assert_eq!(read["metrics"]["calls"], 1);
    assert!((3_500..=3_600).contains(&read["remainingSeconds"].as_u64().unwrap()), "{read:#}");
    assert_eq!(
        server.admin.get("/agents/scripted").await.expect(200)["agent"]["systemPromptTemplate"],
        "One on {{ topic }}."
    );

    server.admin.delete(OVERRIDE).await.expect(204);
    server.admin.delete(OVERRIDE).await.problem(404, "prompt.override_not_found");
    assert_eq!(step(&server.admin, &workflow).await["prompt"]["version"], 1);
    assert_eq!(told(&agent), "One on tides.");
}

#[tokio::test]
async fn a_version_may_be_the_override_with_its_settings_before_label_and_newest() {
    let (server, agent, workflow) = asking("One.").await;
    let body = json!({ "systemPrompt": "Two.", "model": { "modelId": "large" }, "label": "production" });
    server.admin.post("/agents/scripted/prompt-versions", &body).await.expect(201);
    make(&server.admin, "Three.").await;
    let set =
        server.admin.put(OVERRIDE, &json!({ "version": 2, "ttlSeconds": 60 })).await.expect(200)["promptOverride"]
            .take();
    assert_eq!(
        (&set["version"], &set["systemPrompt"], &set["remainingSeconds"]),
        (&json!(2), &Value::Null, &json!(60))
    );
    let used = step(&server.admin, &workflow).await["prompt"].take();
    assert_eq!(used, json!({ "version": 2, "hash": set["hash"], "overrideId": set["id"] }));
    assert_eq!((told(&agent).as_str(), &agent.calls()[0].body["model"]), ("Two.", &json!("large")));
}

#[tokio::test]
async fn an_override_ends_on_time_on_every_host_with_no_timer() {
    let (database, agent) = tokio::join!(TestDatabase::create(), ScriptedAgent::start());
    let (first, second) = tokio::join!(TestServer::on(&database, 1), TestServer::on(&database, 2));
    let config = json!({
        "id": "scripted", "protocol": "openai", "endpoint": agent.endpoint(), "systemPromptTemplate": "One.",
    });
    first.admin.post("/agents", &config).await.expect(201);
    let workflow = first.admin.create(json!({ "steps": [agent_step("ask", "Hi")] })).await;
    first.admin.put(OVERRIDE, &json!({ "systemPrompt": "Instead." })).await.expect(200);
    for server in [&first, &second] {
        server.admin.run(&workflow, json!({})).await;
        assert_eq!(told(&agent), "Instead.");
    }
    // An hour passes for the database, and nothing tells the hosts.
    let mut connection = PgConnection::connect_with(&database.connect_options()).await.unwrap();
    let past = "update prompt_overrides set created_at = created_at - interval '1 hour', expires_at = expires_at - interval '1 hour'";
    sqlx::query(past).execute(&mut connection).await.unwrap();
    for server in [&first, &second] {
        server.admin.run(&workflow, json!({})).await;
        assert_eq!(told(&agent), "One.");
        server.admin.get(OVERRIDE).await.problem(404, "prompt.override_not_found");
        server.admin.delete(OVERRIDE).await.problem(404, "prompt.override_not_found");
        let ended = server.admin.get(OVERRIDES).await.expect(200)["promptOverrides"][0].take();
        assert_eq!(
            (&ended["status"], &ended["endedBy"], &ended["remainingSeconds"]),
            (&json!("expired"), &Value::Null, &json!(0))
        );
        assert_eq!(ended["endedAt"], ended["expiresAt"]);
    }
}

#[tokio::test]
async fn the_history_tells_how_and_by_whom_each_ended() {
    let (server, _agent, _) = asking("One.").await;
    for n in 1..=3 {
        server.admin.put(OVERRIDE, &json!({ "systemPrompt": format!("Instead {n}.") })).await.expect(200);
    }
    server.admin.delete(OVERRIDE).await.expect(204);
    server.admin.put(OVERRIDE, &json!({ "systemPrompt": "Instead 4." })).await.expect(200);
    let list = server.admin.get(OVERRIDES).await.expect(200)["promptOverrides"].take();
    let ends: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let text = |field: &str| one[field].as_str().unwrap_or("-").to_owned();
            (text("systemPrompt"), text("status"), text("endedBy"), one["endedAt"].is_string())
        })
        .collect();
    let expected = [
        ("4", "active", "-", false),
        ("3", "ended", "ada", true),
        ("2", "replaced", "ada", true),
        ("1", "replaced", "ada", true),
    ]
    .map(|(n, status, by, ended)| (format!("Instead {n}."), status.to_owned(), by.to_owned(), ended));
    assert_eq!(ends, expected);
    let page = server.admin.get(&format!("{OVERRIDES}?limit=3")).await.expect(200);
    let cursor = page["nextCursor"].as_str().unwrap();
    let rest = server.admin.get(&format!("{OVERRIDES}?cursor={cursor}")).await.expect(200);
    assert_eq!(rest["promptOverrides"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn overrides_that_are_set_at_the_same_time_leave_one_in_effect() {
    let (server, _agent, _) = asking("One.").await;
    let mut setting = JoinSet::new();
    for n in 0..10 {
        let client = server.admin.clone();
        let body = json!({ "systemPrompt": format!("Instead {n}.") });
        setting.spawn(async move { client.put(OVERRIDE, &body).await.expect(200) });
    }
    setting.join_all().await;
    let list = server.admin.get(OVERRIDES).await.expect(200)["promptOverrides"].take();
    let active = list.as_array().unwrap().iter().filter(|one| one["status"] == "active").count();
    assert_eq!((list.as_array().unwrap().len(), active), (10, 1));
}

#[tokio::test]
async fn a_share_of_the_runs_is_about_right_and_every_step_of_a_run_is_on_the_same_side() {
    let (server, _agent, _) = asking("One.").await;
    let steps: Vec<Value> = (0..2).map(|n| agent_step(&format!("ask{n}"), "Hi")).collect();
    let workflow = server.admin.create(json!({ "steps": steps })).await;
    server.admin.put(OVERRIDE, &json!({ "systemPrompt": "Instead.", "share": 0.5 })).await.expect(200);
    let mut running = JoinSet::new();
    for _ in 0..60 {
        let (client, workflow) = (server.admin.clone(), workflow.clone());
        running.spawn(async move {
            let run = client.run(&workflow, json!({})).await;
            let steps = client.steps(run["id"].as_str().unwrap()).await;
            let sides: Vec<bool> = steps.iter().map(|step| step["prompt"]["ownText"] == true).collect();
            assert_eq!((sides.len(), sides[0]), (2, sides[1]), "{steps:#?}");
            sides[0]
        });
    }
    let covered = running.join_all().await.into_iter().filter(|covered| *covered).count();
    // Five standard deviations of a fair coin.
    assert!((11..=49).contains(&covered), "{covered} of 60");
    for (share, all) in [(0.0, false), (1.0, true)] {
        server.admin.put(OVERRIDE, &json!({ "systemPrompt": "Instead.", "share": share })).await.expect(200);
        for _ in 0..3 {
            assert_eq!(step(&server.admin, &workflow).await["prompt"]["ownText"] == true, all);
        }
    }
}

#[tokio::test]
async fn an_override_may_be_for_runs_that_it_names() {
    let (server, agent, _) = asking("One.").await;
    let wait = json!({ "type": "wait", "id": "wait", "event": "go" });
    let workflow = server.admin.create(json!({ "steps": [wait, agent_step("ask", "Hi")] })).await;
    let (named, other) =
        (server.admin.start(&workflow, json!({})).await, server.admin.start(&workflow, json!({})).await);
    let set = server.admin.put(OVERRIDE, &json!({ "systemPrompt": "Instead.", "runs": [named] })).await.expect(200);
    assert_eq!(set["promptOverride"]["runs"], json!([named]));
    for (run, prompt) in [(named, "Instead."), (other, "One.")] {
        server.admin.signal(&run, "go", json!({})).await;
        assert_eq!(server.admin.ended(&run).await["status"], "success");
        assert_eq!(told(&agent), prompt);
    }
}

#[tokio::test]
async fn what_no_override_can_be_is_refused_whole() {
    let (server, _agent, _) = asking("One.").await;
    let refused = async |body: Value| {
        let problem = server.admin.put(OVERRIDE, &body).await.problem(422, "prompt.invalid");
        faults(&problem).into_iter().map(|(place, code)| (place.to_owned(), code.to_owned())).collect::<Vec<_>>()
    };
    let fault = |place: &str, code: &str| (place.to_owned(), code.to_owned());
    for ttl in [0, 59, 604_801] {
        assert_eq!(refused(json!({ "version": 1, "ttlSeconds": ttl })).await, [fault("/ttlSeconds", "prompt.ttl")]);
    }
    assert_eq!(refused(json!({})).await, [fault("", "prompt.override_content")]);
    assert_eq!(refused(json!({ "version": 1, "systemPrompt": "x" })).await, [fault("", "prompt.override_content")]);
    let run = "run_0196f0c45e7a7c3f8d1b2a3c4d5e6f70";
    let all = json!({ "systemPrompt": "{{ x", "ttlSeconds": 1, "share": 2, "runs": [run] });
    assert_eq!(
        refused(all).await,
        [
            fault("/ttlSeconds", "prompt.ttl"),
            fault("/share", "prompt.override_runs"),
            fault("/share", "prompt.value"),
            fault("/systemPrompt", "prompt.template"),
        ]
    );
    assert_eq!(
        refused(json!({ "version": 9, "runs": [] })).await,
        [fault("/runs", "prompt.limit"), fault("/version", "prompt.unknown_version")]
    );
    server.admin.put(OVERRIDE, &json!({ "version": 1, "runs": ["x"] })).await.problem(422, "body.invalid");
    server.admin.get(OVERRIDE).await.problem(404, "prompt.override_not_found");
}

#[tokio::test]
async fn viewers_read_overrides_admins_set_them_and_another_workspace_finds_nothing() {
    let (server, _agent, _) = asking("One.").await;
    let body = json!({ "version": 1 });
    server.admin.put(OVERRIDE, &body).await.expect(200);
    let (viewer, member) = (server.client(Role::Viewer), server.client(Role::Member));
    viewer.get(OVERRIDE).await.expect(200);
    viewer.get(OVERRIDES).await.expect(200);
    member.put(OVERRIDE, &body).await.problem(403, "auth.role");
    member.delete(OVERRIDE).await.problem(403, "auth.role");
    let stranger = server.admin_of(WorkspaceId::from_parts(1, [1; 10]));
    stranger.get(OVERRIDE).await.problem(404, "agent.not_found");
    stranger.get(OVERRIDES).await.problem(404, "agent.not_found");
    stranger.put(OVERRIDE, &body).await.problem(404, "agent.not_found");
    stranger.delete(OVERRIDE).await.problem(404, "agent.not_found");
}
