//! A run that ended badly goes on from the step that failed.

use armilla_testkit::agent::{Answer, ScriptedAgent};
use serde_json::{Value, json};

use crate::harness::{Client, TestServer, agent_step, with};

fn messages(agent: &ScriptedAgent) -> Vec<String> {
    agent.calls().iter().map(|call| call.message().to_owned()).collect()
}

fn id(run: &Value) -> &str {
    run["id"].as_str().unwrap()
}

/// Retries a run that failed, and gives it as it ends.
async fn retried(client: &Client, run: &Value, body: Value) -> Value {
    assert_eq!(run["status"], "failed", "{run:#}");
    let goes_on = client.tell(id(run), "retry", body).await;
    assert_eq!((&goes_on["id"], &goes_on["error"], &goes_on["finishedAt"]), (&run["id"], &Value::Null, &Value::Null));
    client.ended(id(run)).await
}

#[tokio::test]
async fn a_run_goes_on_from_the_step_that_failed_and_calls_nothing_else_again() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers("alpha");
    agent.answers(Answer::error(400, "no"));
    let steps =
        json!([agent_step("one", "First"), agent_step("two", "After {{ one }}"), agent_step("three", "{{ two }}")]);
    let run = server.admin.run_steps(steps).await;
    agent.answers("beta");
    let ended = retried(&server.admin, &run, json!({})).await;
    assert_eq!((&ended["status"], &ended["error"]), (&json!("success"), &Value::Null), "{ended:#}");
    assert_eq!(ended["vars"], json!({ "one": "alpha", "two": "beta", "three": "ok" }));
    assert_eq!(messages(&agent), ["First", "After alpha", "After alpha", "beta"]);
    let steps = server.admin.steps(id(&run)).await;
    let statuses: Vec<_> = steps.iter().map(|step| step["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["success", "failed", "success", "success"], "what failed stays in the record");
}

#[tokio::test]
async fn a_run_that_fails_again_can_be_retried_again() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::error(400, "no"));
    agent.answers(Answer::error(400, "no"));
    let run = server.admin.run_steps(json!([agent_step("one", "First")])).await;
    let again = retried(&server.admin, &run, json!({})).await;
    let ended = retried(&server.admin, &again, json!({})).await;
    assert_eq!((&ended["status"], agent.calls().len()), (&json!("success"), 3));
}

#[tokio::test]
async fn the_items_of_a_for_each_that_had_ended_are_not_run_again() {
    let (server, agent) = TestServer::with_agent().await;
    for answer in [Answer::text("a1"), Answer::text("b1"), Answer::error(400, "no")] {
        agent.answers(answer);
    }
    let each = json!({ "type": "forEach", "id": "each", "items": "['x', 'y', 'z']", "outputVar": "all",
        "steps": [agent_step("do", "{{ item }}")] });
    let run = server.admin.run_steps(json!([each])).await;
    agent.answers("c1");
    let ended = retried(&server.admin, &run, json!({})).await;
    assert_eq!(ended["vars"]["all"], json!(["a1", "b1", "c1"]), "{ended:#}");
    assert_eq!(messages(&agent), ["x", "y", "z", "z"]);
}

#[tokio::test]
async fn the_branches_that_had_ended_are_not_run_again() {
    let (server, agent) = TestServer::with_agent().await;
    let bad = ScriptedAgent::start().await;
    server.admin.register_as("bad", &bad).await;
    bad.answers("half");
    bad.answers(Answer::error(400, "no"));
    let as_bad = |id, message| with(agent_step(id, message), json!({ "agentId": "bad" }));
    let group = json!({ "type": "parallel", "id": "group", "onFailure": "waitAll", "outputVar": "all", "steps": [
        agent_step("good", "a"), [as_bad("first", "b"), as_bad("second", "{{ first }}")],
    ] });
    let run = server.admin.run_steps(json!([group])).await;
    bad.answers("whole");
    let ended = retried(&server.admin, &run, json!({})).await;
    assert_eq!(ended["vars"]["all"], json!({ "good": "ok", "first": "whole" }), "{ended:#}");
    assert_eq!(
        (messages(&agent), messages(&bad)),
        (vec!["a".to_owned()], ["b", "half", "half"].map(str::to_owned).to_vec())
    );
}

#[tokio::test]
async fn a_loop_goes_on_in_the_pass_that_failed() {
    let (server, agent) = TestServer::with_agent().await;
    for answer in [Answer::text("p1"), Answer::text("q1"), Answer::text("p2"), Answer::error(400, "no")] {
        agent.answers(answer);
    }
    let again = json!({ "type": "loop", "id": "again", "until": "iteration == 3", "maxIterations": 5, "outputVar": "passes",
        "steps": [agent_step("p", "p{{ iteration }}"), agent_step("q", "q{{ iteration }}")] });
    let run = server.admin.run_steps(json!([again])).await;
    let ended = retried(&server.admin, &run, json!({})).await;
    assert_eq!((&ended["status"], &ended["vars"]["passes"]), (&json!("success"), &json!(3)), "{ended:#}");
    assert_eq!(messages(&agent), ["p1", "q1", "p2", "q2", "q2", "p3", "q3"]);
}

#[tokio::test]
async fn the_run_that_a_run_waited_for_goes_on_with_it() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers("alpha");
    agent.answers(Answer::error(400, "no"));
    let child = json!({ "steps": [agent_step("one", "First"), agent_step("two", "After {{ one }}")], "output": { "two": "two" } });
    let child = server.admin.create(child).await;
    let steps = json!([{ "type": "workflow", "id": "child", "workflowId": child, "outputVar": "child" }]);
    let run = server.admin.run_steps(steps).await;
    assert_eq!(run["error"]["code"], "workflow.failed");
    let before = server.admin.children(id(&run)).await;
    agent.answers("beta");
    let ended = retried(&server.admin, &run, json!({})).await;
    assert_eq!(ended["vars"]["child"], json!({ "two": "beta" }), "{ended:#}");
    assert_eq!(messages(&agent), ["First", "After alpha", "After alpha"]);
    let after = server.admin.children(id(&run)).await;
    assert_eq!((before.len(), after.len(), &before[0]["id"]), (1, 1, &after[0]["id"]), "it is the same run");
    assert_eq!(after[0]["status"], "success");
}

#[tokio::test]
async fn a_run_whose_parent_has_ended_is_not_retried_alone() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::error(400, "no"));
    let child = server.admin.create(json!({ "steps": [agent_step("one", "First")] })).await;
    let run = server.admin.run_steps(json!([{ "type": "workflow", "id": "child", "workflowId": child }])).await;
    let child = server.admin.children(id(&run)).await.remove(0);
    let problem = server.admin.post(&format!("/runs/{}/retry", id(&child)), &json!({})).await;
    let problem = problem.problem(409, "run.does_not_apply");
    assert!(problem["detail"].as_str().unwrap().contains(id(&run)), "{problem:#}");
}

#[tokio::test]
async fn a_run_goes_over_to_the_newest_definition() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers("alpha");
    agent.answers(Answer::error(400, "no"));
    let definition = |second: &str| json!({ "steps": [agent_step("one", "First"), agent_step("two", second)] });
    let workflow = server.admin.create(definition("Wrong: {{ one }}")).await;
    let run = server.admin.run(&workflow, json!({})).await;
    let path = format!("/workflows/{workflow}");
    server.admin.put(&path, &json!({ "definition": definition("Right: {{ one }}") })).await.expect(200);
    let ended = retried(&server.admin, &run, json!({ "version": "newest" })).await;
    assert_eq!((&ended["status"], &ended["workflowVersion"]), (&json!("success"), &json!(2)), "{ended:#}");
    assert_eq!(messages(&agent), ["First", "Wrong: alpha", "Right: alpha"]);
}

#[tokio::test]
async fn a_run_stays_on_its_definition_where_nobody_says_otherwise() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::error(400, "no"));
    let workflow = server.admin.create(json!({ "steps": [agent_step("one", "Old")] })).await;
    let run = server.admin.run(&workflow, json!({})).await;
    let definition = json!({ "steps": [agent_step("one", "New")] });
    server.admin.put(&format!("/workflows/{workflow}"), &json!({ "definition": definition })).await.expect(200);
    let ended = retried(&server.admin, &run, json!({})).await;
    assert_eq!((&ended["workflowVersion"], messages(&agent)), (&json!(1), ["Old", "Old"].map(str::to_owned).to_vec()));
}

#[tokio::test]
async fn a_version_that_is_not_there_or_has_no_such_step_is_refused_and_the_run_stays_as_it_is() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::error(400, "no"));
    let workflow = server.admin.create(json!({ "steps": [agent_step("one", "First")] })).await;
    let run = server.admin.run(&workflow, json!({})).await;
    let definition = json!({ "steps": [agent_step("other", "First")] });
    server.admin.put(&format!("/workflows/{workflow}"), &json!({ "definition": definition })).await.expect(200);
    let path = format!("/runs/{}/retry", id(&run));
    server.admin.post(&path, &json!({ "version": 9 })).await.problem(404, "workflow.version_not_found");
    let refused = server.admin.post(&path, &json!({ "version": 2 })).await.problem(409, "run.does_not_apply");
    assert!(refused["detail"].as_str().unwrap().contains("`one`"), "{refused:#}");
    for wrong in [json!({ "version": "latest" }), json!({ "version": 1.5 }), json!({ "vars": [] })] {
        server.admin.post(&path, &wrong).await.problem(422, "body.invalid");
    }
    assert_eq!(server.admin.get(&format!("/runs/{}", id(&run))).await.expect(200)["run"]["status"], "failed");
    assert_eq!(agent.calls().len(), 1);
}

#[tokio::test]
async fn variables_are_changed_before_a_run_goes_on() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers("harsh");
    agent.answers(Answer::error(400, "no"));
    let run = server.admin.run_steps(json!([agent_step("tone", "Tone?"), agent_step("two", "Be {{ tone }}")])).await;
    let ended = retried(&server.admin, &run, json!({ "vars": { "tone": "calm" } })).await;
    assert_eq!(ended["vars"], json!({ "tone": "calm", "two": "ok" }), "{ended:#}");
    assert_eq!(agent.calls()[2].message(), "Be calm");
}

#[tokio::test]
async fn what_is_no_variable_is_refused_all_faults_at_once() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::error(400, "no"));
    let run = server.admin.run_steps(json!([agent_step("one", "First")])).await;
    let vars = json!({ "vars": { "input": {}, "no/name": 1, "fine": 2 } });
    let problem = server.admin.post(&format!("/runs/{}/retry", id(&run)), &vars).await.problem(422, "body.invalid");
    let pointers: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|fault| &fault["pointer"]).collect();
    assert_eq!(pointers, ["/vars/input", "/vars/no~1name"]);
}

#[tokio::test]
async fn a_run_that_goes_on_is_not_retried() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::never());
    let run = server.admin.start_steps(json!([agent_step("one", "First")])).await;
    agent.called(1).await;
    let problem = server.admin.post(&format!("/runs/{run}/retry"), &json!({})).await;
    assert_eq!(problem.problem(409, "run.does_not_apply")["runStatus"], "running");
}

#[tokio::test]
async fn runs_that_were_cancelled_or_took_too_long_go_on_where_they_were() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers("alpha");
    agent.answers(Answer::never());
    let steps = json!([agent_step("one", "First"), agent_step("two", "After {{ one }}")]);
    let run = server.admin.start_steps(steps.clone()).await;
    agent.called(2).await;
    server.admin.tell(&run, "cancel", json!({})).await;
    agent.answers("beta");
    server.admin.tell(&run, "retry", json!({})).await;
    assert_eq!(server.admin.ended(&run).await["vars"], json!({ "one": "alpha", "two": "beta" }));

    agent.answers("gamma");
    agent.answers(Answer::never());
    let workflow = server.admin.create(json!({ "timeout": "300ms", "steps": steps })).await;
    let late = server.admin.run(&workflow, json!({})).await;
    assert_eq!(late["status"], "timedOut", "{late:#}");
    agent.answers("delta");
    server.admin.tell(id(&late), "retry", json!({})).await;
    assert_eq!(server.admin.ended(id(&late)).await["vars"], json!({ "one": "gamma", "two": "delta" }));
    let messages = messages(&agent);
    assert_eq!(messages.iter().filter(|message| *message == "First").count(), 2, "{messages:?}");
}

#[tokio::test]
async fn a_run_that_was_cancelled_with_those_that_it_waited_for_goes_on_with_them() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers("alpha");
    agent.answers(Answer::never());
    let child = json!({ "steps": [agent_step("one", "First"), agent_step("two", "After {{ one }}")], "output": { "two": "two" } });
    let child = server.admin.create(child).await;
    let steps = json!([{ "type": "workflow", "id": "child", "workflowId": child, "outputVar": "child" }]);
    let run = server.admin.start_steps(steps).await;
    agent.called(2).await;
    server.admin.tell(&run, "cancel", json!({})).await;
    agent.answers("beta");
    server.admin.tell(&run, "retry", json!({})).await;
    let ended = server.admin.ended(&run).await;
    assert_eq!(ended["vars"]["child"], json!({ "two": "beta" }), "{ended:#}");
    assert_eq!(messages(&agent), ["First", "After alpha", "After alpha"]);
}
