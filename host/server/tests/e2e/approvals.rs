//! Runs wait for somebody's decision.

use armilla_api::auth::Role;
use armilla_domain::id::WorkspaceId;
use armilla_engine::{Clock, SystemClock};
use armilla_testkit::agent::ScriptedAgent;
use armilla_testkit::db::TestDatabase;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::harness::{TestServer, agent_step, until, with};

fn approval(id: &str, message: &str) -> Value {
    json!({ "type": "approval", "id": id, "message": message, "outputVar": id })
}

#[tokio::test]
async fn a_question_with_a_character_that_no_column_holds_is_asked_without_it() {
    let server = TestServer::start().await;
    let workflow = server.admin.create(json!({ "steps": [approval("ok", "Publish {{ input.name }}?")] })).await;
    let run = server.admin.start(&workflow, json!({ "name": "a\u{0}b" })).await;
    let asked = server.admin.asked(&run, 1).await.remove(0);
    let path = format!("/approvals/{asked}");
    assert_eq!(server.admin.get(&path).await.expect(200)["approval"]["message"], "Publish a\u{fffd}b?");
    server.admin.post(&format!("{path}/approve"), &json!({})).await.expect(200);
    assert_eq!(server.admin.ended(&run).await["status"], "success");
}

#[tokio::test]
async fn a_run_waits_for_a_decision_and_goes_on_with_it() {
    let (server, _agent) = TestServer::with_agent().await;
    let run =
        server.admin.start_steps(json!([agent_step("draft", "Write"), approval("ok", "Publish {{ draft }}?")])).await;
    let asked = server.admin.asked(&run, 1).await.remove(0);
    server.admin.comes_to(&run, "waiting").await;
    let path = format!("/approvals/{asked}");
    let open = server.admin.get(&path).await.expect(200)["approval"].take();
    assert_eq!((&open["message"], &open["runId"], &open["stepId"]), (&json!("Publish ok?"), &json!(run), &json!("ok")));
    assert_eq!((&open["status"], &open["decidedBy"], &open["expiresAt"]), (&json!("open"), &Value::Null, &Value::Null));

    let member = server.client(Role::Member);
    let decided = member.post(&format!("{path}/approve"), &json!({ "note": "go ahead" })).await.expect(200);
    assert_eq!(
        (&decided["approval"]["status"], &decided["approval"]["decidedBy"]),
        (&json!("approved"), &json!("ada"))
    );
    let ended = server.admin.ended(&run).await;
    let ok = &ended["vars"]["ok"];
    assert_eq!(
        (&ok["approved"], &ok["by"], &ok["note"]),
        (&json!(true), &json!("ada"), &json!("go ahead")),
        "{ended:#}"
    );
    assert!(ok["at"].is_string(), "{ended:#}");
}

#[tokio::test]
async fn a_decision_is_made_once() {
    let server = TestServer::start().await;
    let run = server.admin.start_steps(json!([approval("ok", "Go?")])).await;
    let path = format!("/approvals/{}", server.admin.asked(&run, 1).await[0]);
    server.admin.post(&format!("{path}/deny"), &json!({})).await.expect(200);
    for again in ["approve", "deny"] {
        let problem = server.admin.post(&format!("{path}/{again}"), &json!({})).await.problem(409, "approval.closed");
        assert!(problem["detail"].as_str().unwrap().contains("denied"), "{problem:#}");
    }
    let ended = server.admin.ended(&run).await;
    assert_eq!((&ended["status"], &ended["vars"]["ok"]["approved"]), (&json!("success"), &json!(false)));
    assert_eq!(server.admin.get(&path).await.expect(200)["approval"]["status"], "denied");
}

#[tokio::test]
async fn of_many_who_decide_at_once_one_does() {
    let server = TestServer::start().await;
    let run = server.admin.start_steps(json!([approval("ok", "Go?")])).await;
    let path = format!("/approvals/{}", server.admin.asked(&run, 1).await[0]);
    let mut deciding = tokio::task::JoinSet::new();
    for n in 0..10 {
        let (client, path) = (server.admin.clone(), format!("{path}/{}", if n % 2 == 0 { "approve" } else { "deny" }));
        deciding.spawn(async move { client.post(&path, &json!({})).await.status });
    }
    let mut statuses = deciding.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [[200].as_slice(), &[409; 9]].concat());
    assert_eq!(server.admin.ended(&run).await["status"], "success");
}

#[tokio::test]
async fn only_its_approvers_decide_and_owners_always_may() {
    let server = TestServer::start().await;
    let steps = json!([
        with(approval("first", "By admins?"), json!({ "approvers": ["admin"] })),
        with(approval("second", "By viewers?"), json!({ "approvers": ["viewer"] })),
    ]);
    let run = server.admin.start_steps(steps).await;
    let path = format!("/approvals/{}/approve", server.admin.asked(&run, 1).await[0]);
    for role in [Role::Viewer, Role::Member] {
        let problem = server.client(role).post(&path, &json!({})).await.problem(403, "approval.role");
        assert!(problem["detail"].as_str().unwrap().contains("admin"), "{problem:#}");
    }
    server.client(Role::Owner).post(&path, &json!({})).await.expect(200);

    let path = until("the second question", || async {
        let open = server.admin.get("/approvals?status=open").await.expect(200);
        let open = &open["approvals"][0];
        (open["stepId"] == "second").then(|| format!("/approvals/{}/approve", open["id"].as_str().unwrap()))
    })
    .await;
    server.admin.post(&path, &json!({})).await.problem(403, "approval.role");
    server.client(Role::Viewer).post(&path, &json!({})).await.expect(200);
    assert_eq!(server.admin.ended(&run).await["status"], "success");
}

#[tokio::test]
async fn who_only_reads_does_not_decide_where_nobody_says_who_does() {
    let server = TestServer::start().await;
    let run = server.admin.start_steps(json!([approval("ok", "Go?")])).await;
    let path = format!("/approvals/{}/approve", server.admin.asked(&run, 1).await[0]);
    server.client(Role::Viewer).post(&path, &json!({})).await.problem(403, "approval.role");
    server.client(Role::Member).post(&path, &json!({})).await.expect(200);
}

#[tokio::test]
async fn approvals_of_another_workspace_are_not_there() {
    let server = TestServer::start().await;
    let run = server.admin.start_steps(json!([approval("ok", "Go?")])).await;
    let id = server.admin.asked(&run, 1).await.remove(0);
    let stranger = server.admin_of(WorkspaceId::from_parts(1, [1; 10]));
    stranger.get(&format!("/approvals/{id}")).await.problem(404, "approval.not_found");
    stranger.post(&format!("/approvals/{id}/approve"), &json!({})).await.problem(404, "approval.not_found");
    assert_eq!(stranger.get("/approvals").await.expect(200)["approvals"], json!([]));
    server.admin.get("/approvals/x").await.problem(404, "approval.not_found");
    assert_eq!(server.admin.asked(&run, 1).await, [id]);
}

#[tokio::test]
async fn a_note_is_a_remark_and_not_a_document() {
    let server = TestServer::start().await;
    let run = server.admin.start_steps(json!([approval("ok", "Go?")])).await;
    let path = format!("/approvals/{}/approve", server.admin.asked(&run, 1).await[0]);
    for wrong in [json!({ "note": "n".repeat(2_001) }), json!({ "note": "\u{0}" }), json!({ "reason": "x" })] {
        server.admin.post(&path, &wrong).await.problem(422, "body.invalid");
    }
    server.admin.post(&path, &json!({ "note": "ä".repeat(2_000) })).await.expect(200);
}

#[tokio::test]
async fn what_nobody_decides_in_time_is_decided_by_the_step() {
    let server = TestServer::start().await;
    for (on_timeout, approved) in [("approve", true), ("deny", false)] {
        let step = with(approval("ok", "Go?"), json!({ "timeout": "200ms", "onTimeout": on_timeout }));
        let run = server.admin.start_steps(json!([step])).await;
        let path = format!("/approvals/{}", server.admin.asked(&run, 1).await[0]);
        assert!(server.admin.get(&path).await.expect(200)["approval"]["expiresAt"].is_string());
        let ended = server.admin.ended(&run).await;
        assert_eq!((&ended["vars"]["ok"]["approved"], &ended["vars"]["ok"]["by"]), (&json!(approved), &Value::Null));
        assert_eq!(server.admin.get(&path).await.expect(200)["approval"]["status"], "expired");
        server.admin.post(&format!("{path}/approve"), &json!({})).await.problem(409, "approval.closed");
    }
    let step = with(approval("ok", "Go?"), json!({ "timeout": "200ms", "onTimeout": "fail" }));
    let run = server.admin.run_steps(json!([step])).await;
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!("approval.timeout")));
}

#[tokio::test]
async fn a_question_whose_time_is_over_is_closed_before_its_run_goes_on() {
    let server = TestServer::start().await;
    let step = with(approval("ok", "Go?"), json!({ "timeout": "200ms" }));
    let run = server.admin.start_steps(json!([step])).await;
    let path = format!("/approvals/{}", server.admin.asked(&run, 1).await[0]);
    let expires_at = server.admin.get(&path).await.expect(200)["approval"]["expiresAt"].take();
    let expires_at: DateTime<Utc> = expires_at.as_str().unwrap().parse().unwrap();
    // The run acts upon it a second later, so that a decision that was made in time arrives.
    until("its time to be over", || async { (SystemClock.now() > expires_at).then_some(()) }).await;
    let problem = server.admin.post(&format!("{path}/approve"), &json!({})).await;
    let problem = problem.problem(409, "approval.closed");
    assert!(problem["detail"].as_str().unwrap().contains("expired"), "{problem:#}");
    assert_eq!(server.admin.ended(&run).await["vars"]["ok"]["approved"], false);
}

#[tokio::test]
async fn the_question_of_a_run_that_was_cancelled_is_taken_back() {
    let server = TestServer::start().await;
    let run = server.admin.start_steps(json!([approval("ok", "Go?")])).await;
    let path = format!("/approvals/{}", server.admin.asked(&run, 1).await[0]);
    server.admin.tell(&run, "cancel", json!({})).await;
    assert_eq!(server.admin.get(&path).await.expect(200)["approval"]["status"], "withdrawn");
    server.admin.post(&format!("{path}/approve"), &json!({})).await.problem(409, "approval.closed");
    server.admin.tell(&run, "retry", json!({})).await;
    let anew = server.admin.asked(&run, 1).await.remove(0);
    assert!(!path.ends_with(&anew), "it is asked anew");
    server.admin.post(&format!("/approvals/{anew}/approve"), &json!({})).await.expect(200);
    assert_eq!(server.admin.ended(&run).await["status"], "success");
}

#[tokio::test]
async fn approvals_are_listed_newest_first_and_page_by_page() {
    let server = TestServer::start().await;
    let branches: Vec<Value> = (0..3).map(|n| approval(&format!("ok{n}"), "Go?")).collect();
    let run = server.admin.start_steps(json!([{ "type": "parallel", "id": "all", "steps": branches }])).await;
    let all = server.admin.asked(&run, 3).await;
    let first = server.admin.get("/approvals?limit=2").await.expect(200);
    let cursor = first["nextCursor"].as_str().unwrap();
    let second = server.admin.get(&format!("/approvals?limit=2&cursor={cursor}")).await.expect(200);
    assert_eq!((&second["approvals"][0]["id"], &second["nextCursor"]), (&json!(all[2]), &Value::Null));
    assert_eq!(server.admin.get("/approvals?status=denied").await.expect(200)["approvals"], json!([]));
    for wrong in ["status=maybe", "runId=x", "limit=101", "cursor=x"] {
        server.admin.get(&format!("/approvals?{wrong}")).await.problem(400, "query.invalid");
    }
}

#[tokio::test]
async fn questions_deep_inside_groups_survive_their_host_and_each_answer_resumes_only_its_own() {
    let (database, agent) = tokio::join!(TestDatabase::create(), ScriptedAgent::start());
    let one = TestServer::on(&database, 1).await;
    one.admin.register(&agent).await;
    let each = json!({ "type": "forEach", "id": "each", "items": "['x', 'y']", "maxConcurrency": 2, "outputVar": "all", "steps": [
        agent_step("before", "before {{ item }}"), approval("ok", "Go on with {{ item }}?"),
        agent_step("after", "after {{ item }}: {{ ok.note }}"),
    ] });
    let group = json!([{ "type": "parallel", "id": "group", "steps": [each, agent_step("beside", "beside")] }]);
    let run = one.admin.start_steps(group).await;
    agent.called(3).await;
    one.admin.asked(&run, 2).await;
    one.admin.comes_to(&run, "waiting").await;
    one.engine.stop().await;

    let other = TestServer::on(&database, 2).await;
    let list = other.admin.get("/approvals?status=open").await.expect(200)["approvals"].take();
    let of = |item: &str| {
        let message = format!("Go on with {item}?");
        let asked = list.as_array().unwrap().iter().find(|asked| asked["message"] == message).unwrap();
        format!("/approvals/{}/approve", asked["id"].as_str().unwrap())
    };
    other.admin.post(&of("y"), &json!({ "note": "first" })).await.expect(200);
    agent.called(4).await;
    assert_eq!(agent.calls()[3].message(), "after y: first");
    other.admin.comes_to(&run, "waiting").await;
    assert_eq!(other.admin.asked(&run, 1).await.len(), 1, "the other one is still asked");
    other.admin.post(&of("x"), &json!({ "note": "second" })).await.expect(200);
    let ended = other.admin.ended(&run).await;
    assert_eq!((&ended["status"], &ended["vars"]["all"]), (&json!("success"), &json!(["ok", "ok"])), "{ended:#}");
    let mut messages: Vec<_> = agent.calls().iter().map(|call| call.message().to_owned()).collect();
    messages.sort_unstable();
    assert_eq!(messages, ["after x: second", "after y: first", "before x", "before y", "beside"]);
}
