//! One thing is done to many runs.

use armilla_domain::id::WorkspaceId;
use armilla_testkit::agent::Answer;
use armilla_testkit::db::TestDatabase;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::harness::{Client, TestServer, agent_step};

const NAP: &str = "nap";

async fn naps(client: &Client, workflow: &str, runs: usize) -> Vec<String> {
    let mut started = Vec::new();
    for _ in 0..runs {
        let run = client.start(workflow, json!({})).await;
        client.comes_to(&run, "waiting").await;
        started.push(run);
    }
    started
}

async fn napping(client: &Client) -> String {
    client.create(json!({ "steps": [{ "type": "wait", "id": NAP, "duration": "30d" }] })).await
}

fn sorted(runs: &Value) -> Vec<String> {
    let mut runs: Vec<String> = runs.as_array().unwrap().iter().map(|run| run.as_str().unwrap().to_owned()).collect();
    runs.sort_unstable();
    runs
}

#[tokio::test]
async fn every_run_of_a_workflow_is_cancelled_and_no_other() {
    let server = TestServer::start().await;
    let (workflow, other) = (napping(&server.admin).await, napping(&server.admin).await);
    let mut runs = naps(&server.admin, &workflow, 3).await;
    let beside = naps(&server.admin, &other, 1).await.remove(0);
    let command = json!({ "action": "cancel", "filter": { "workflowId": workflow } });
    let outcome = server.admin.post("/runs/bulk", &command).await.expect(200);
    runs.sort_unstable();
    assert_eq!(
        (sorted(&outcome["reached"]), &outcome["refused"], &outcome["more"]),
        (runs.clone(), &json!([]), &json!(false))
    );
    for run in &runs {
        assert_eq!(server.admin.ended(run).await["status"], "cancelled");
    }
    assert_eq!(server.admin.get(&format!("/runs/{beside}")).await.expect(200)["run"]["status"], "waiting");
    let again = server.admin.post("/runs/bulk", &command).await.expect(200);
    assert_eq!(again["reached"], json!([]), "what has ended is not meant");
}

#[tokio::test]
async fn every_run_that_failed_with_a_code_is_retried() {
    let (server, agent) = TestServer::with_agent().await;
    let workflow = server.admin.create(json!({ "steps": [agent_step("ask", "Hi")] })).await;
    agent.answers(Answer::error(400, "no"));
    agent.answers(Answer::error(400, "no"));
    let mut failed = Vec::new();
    for _ in 0..2 {
        failed.push(server.admin.run(&workflow, json!({})).await["id"].as_str().unwrap().to_owned());
    }
    let other =
        server.admin.run_steps(json!([{ "type": "fail", "id": "no", "message": "m", "code": "other.code" }])).await;
    server.admin.run(&workflow, json!({})).await;
    let definition = json!({ "steps": [agent_step("ask", "Newer")] });
    server.admin.put(&format!("/workflows/{workflow}"), &json!({ "definition": definition })).await.expect(200);

    let filter = json!({ "status": ["failed"], "errorCode": "agent.refused" });
    let command = json!({ "action": "retry", "version": "newest", "filter": filter });
    let outcome = server.admin.post("/runs/bulk", &command).await.expect(200);
    failed.sort_unstable();
    assert_eq!((sorted(&outcome["reached"]), &outcome["refused"]), (failed.clone(), &json!([])));
    for run in &failed {
        let ended = server.admin.ended(run).await;
        assert_eq!((&ended["status"], &ended["workflowVersion"]), (&json!("success"), &json!(2)));
    }
    assert_eq!(agent.calls().last().unwrap().message(), "Newer");
    let other = server.admin.get(&format!("/runs/{}", other["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(other["run"]["status"], "failed");
}

#[tokio::test]
async fn those_that_cannot_be_retried_are_told_and_the_others_are() {
    let (server, agent) = TestServer::with_agent().await;
    let workflow = server.admin.create(json!({ "steps": [agent_step("old", "Hi")] })).await;
    agent.answers(Answer::error(400, "no"));
    agent.answers(Answer::error(400, "no"));
    let stuck = server.admin.run(&workflow, json!({})).await;
    let fine = server.admin.run_steps(json!([agent_step("ask", "Hi")])).await;
    let definition = json!({ "steps": [agent_step("new", "Hi")] });
    server.admin.put(&format!("/workflows/{workflow}"), &json!({ "definition": definition })).await.expect(200);
    let command = json!({ "action": "retry", "version": "newest", "all": true });
    let outcome = server.admin.post("/runs/bulk", &command).await.expect(200);
    assert_eq!(
        (&outcome["reached"], &outcome["refused"][0]["id"]),
        (&json!([fine["id"]]), &stuck["id"]),
        "{outcome:#}"
    );
    assert!(outcome["refused"][0]["detail"].as_str().unwrap().contains("`old`"), "{outcome:#}");
}

#[tokio::test]
async fn what_one_command_does_not_reach_the_next_one_does() {
    let database = TestDatabase::create().await;
    let server = TestServer::on(&database, 1).await;
    let workflow = napping(&server.admin).await;
    let oldest = naps(&server.admin, &workflow, 1).await.remove(0);
    // Newer ones, as many as one command looks at, which cannot be retried by themselves.
    let mut connection = PgConnection::connect_with(&database.connect_options()).await.unwrap();
    let crowd = "insert into runs (id, workspace_id, workflow_id, workflow_version, first_version, status, finished_at, parent_run)
        select ('ffffffff-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, workspace_id, workflow_id, 1, 1, 'failed', now(), id
        from runs, generate_series(1, 500) n";
    sqlx::query(crowd).execute(&mut connection).await.unwrap();
    let mut command = json!({ "action": "retry", "all": true });
    sqlx::query("update runs set status = 'cancelled', finished_at = now() where status = 'waiting'")
        .execute(&mut connection)
        .await
        .unwrap();
    let first = server.admin.post("/runs/bulk", &command).await.expect(200);
    assert_eq!((&first["more"], first["refused"].as_array().unwrap().len()), (&json!(true), 500), "{first:#}");
    command["before"] = first["next"].clone();
    let second = server.admin.post("/runs/bulk", &command).await.expect(200);
    assert_eq!((&second["more"], &second["next"]), (&json!(false), &json!(null)));
    assert_eq!(second["reached"], json!([oldest]), "{second:#}");
}

#[tokio::test]
async fn runs_are_paused_and_resumed_together() {
    let server = TestServer::start().await;
    let workflow = napping(&server.admin).await;
    let runs = naps(&server.admin, &workflow, 2).await;
    for (action, status) in [("pause", "paused"), ("resume", "waiting")] {
        let command = json!({ "action": action, "filter": { "workflowId": workflow } });
        let outcome = server.admin.post("/runs/bulk", &command).await.expect(200);
        assert_eq!(outcome["reached"].as_array().unwrap().len(), 2, "{outcome:#}");
        for run in &runs {
            server.admin.comes_to(run, status).await;
        }
    }
}

#[tokio::test]
async fn all_runs_are_reached_only_where_that_is_said_and_only_the_workspace_s_own() {
    let server = TestServer::start().await;
    let run = naps(&server.admin, &napping(&server.admin).await, 1).await.remove(0);
    for empty in [json!({ "action": "cancel" }), json!({ "action": "cancel", "filter": {}, "all": false })] {
        let problem = server.admin.post("/runs/bulk", &empty).await.problem(422, "body.invalid");
        assert_eq!(problem["errors"][0]["pointer"], "/filter");
    }
    let stranger = server.admin_of(WorkspaceId::from_parts(1, [1; 10]));
    let all = json!({ "action": "cancel", "all": true });
    assert_eq!(stranger.post("/runs/bulk", &all).await.expect(200)["reached"], json!([]));
    assert_eq!(server.admin.post("/runs/bulk", &all).await.expect(200)["reached"], json!([run]));
    assert_eq!(server.admin.ended(&run).await["status"], "cancelled");
}

#[tokio::test]
async fn a_command_that_is_none_is_refused_with_every_fault() {
    let server = TestServer::start().await;
    let wrong =
        json!({ "action": "delete", "filter": { "status": ["done"], "createdFrom": "yesterday", "label": "x" } });
    let problem = server.admin.post("/runs/bulk", &wrong).await.problem(422, "body.invalid");
    assert!(problem["errors"].as_array().unwrap().len() >= 3, "{problem:#}");
    let version = json!({ "action": "cancel", "version": "newest", "all": true });
    let problem = server.admin.post("/runs/bulk", &version).await.problem(422, "body.invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/version");
    let number = json!({ "action": "retry", "version": 1, "all": true });
    let problem = server.admin.post("/runs/bulk", &number).await.problem(422, "body.invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/version");
}
