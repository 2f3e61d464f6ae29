//! Where control goes.

use armilla_testkit::agent::Answer;
use serde_json::{Value, json};

use crate::harness::{TestServer, agent_step, tool_step, with};

/// The visits of each step, in the order in which they began.
fn visits(steps: &[Value]) -> Vec<(&str, u64)> {
    steps.iter().map(|step| (step["stepId"].as_str().unwrap(), step["visit"].as_u64().unwrap())).collect()
}

#[tokio::test]
async fn parallel_branches_run_at_the_same_time() {
    let (server, agent) = TestServer::with_agent_and_plugins().await;
    // Each call is answered only when the three are there together.
    agent.answers_only_together(3);
    agent.answers_otherwise("here");
    let branch = |id| with(agent_step(id, "Come"), json!({ "timeout": "10s", "retry": { "maxAttempts": 1 } }));
    let steps = json!([{
        "type": "parallel", "id": "gather", "outputVar": "gathered",
        "steps": [branch("one"), [branch("two"), tool_step("count", "text.word_count", json!({ "text": "{{two}}" }))], branch("three")],
    }]);
    let run = server.admin.run_steps(steps).await;
    assert_eq!(run["status"], "success", "{run:#}");
    assert_eq!(agent.calls().len(), 3);
    assert_eq!(run["vars"]["gathered"]["one"], "here");
    assert_eq!(run["vars"]["gathered"]["two"], run["vars"]["count"], "a branch's result is that of its last step");
}

#[tokio::test]
async fn a_group_fails_fast_and_lets_go_of_the_other_branches() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::never());
    agent.answers(Answer::error(400, "no"));
    let steps =
        json!([{ "type": "parallel", "id": "group", "steps": [agent_step("slow", "a"), agent_step("bad", "b")] }]);
    let run = server.admin.run_steps(steps).await;
    assert_eq!(run["status"], "failed");
    assert_eq!(run["error"]["code"], "agent.refused");
    let steps = server.admin.steps(run["id"].as_str().unwrap()).await;
    let mut statuses: Vec<_> = steps.iter().map(|step| step["status"].as_str().unwrap()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, ["cancelled", "failed", "failed"], "the group and the branch failed, the other was let go");
}

#[tokio::test]
async fn a_loop_of_jumps_ends_when_its_condition_says_so() {
    let (server, agent) = TestServer::with_agent().await;
    for approved in [false, false, true] {
        agent.answers(Answer::json(&json!({ "approved": approved })));
    }
    let again = json!({ "type": "condition", "id": "check", "expr": "not review.approved", "then": "review" });
    let run = server.admin.run_steps(json!([agent_step("review", "Again"), again])).await;
    assert_eq!(run["status"], "success", "{run:#}");
    let steps = server.admin.steps(run["id"].as_str().unwrap()).await;
    let expected = [("review", 1), ("check", 1), ("review", 2), ("check", 2), ("review", 3), ("check", 3)];
    assert_eq!(visits(&steps), expected);
}

#[tokio::test]
async fn a_loop_of_jumps_without_end_is_stopped_by_max_steps() {
    let (server, agent) = TestServer::with_agent().await;
    let forever = json!({ "type": "condition", "id": "check", "expr": "true", "then": "again" });
    let definition = json!({ "maxSteps": 7, "steps": [agent_step("again", "Again"), forever] });
    let workflow = server.admin.create(definition).await;
    let run = server.admin.run(&workflow, json!({})).await;
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!("definition.max_steps")));
    assert_eq!(run["error"]["stepId"], "check", "the eighth execution would have been its fourth");
    assert_eq!(agent.calls().len(), 4);
    assert_eq!(server.admin.steps(run["id"].as_str().unwrap()).await.len(), 7);
}

#[tokio::test]
async fn a_step_whose_when_does_not_hold_is_skipped_and_recorded() {
    let (server, agent) = TestServer::with_agent().await;
    let workflow =
        json!({ "steps": [with(agent_step("maybe", "Hi"), json!({ "when": "wanted" })), agent_step("after", "Ho")] });
    let workflow = server.admin.create(workflow).await;
    let run = server.admin.run(&workflow, json!({ "wanted": false })).await;
    assert_eq!(run["status"], "success");
    let steps = server.admin.steps(run["id"].as_str().unwrap()).await;
    assert_eq!((&steps[0]["stepId"], &steps[0]["status"]), (&json!("maybe"), &json!("skipped")));
    assert_eq!(agent.calls().len(), 1);
}

#[tokio::test]
async fn an_error_that_is_passed_over_is_there_for_the_steps_after_it() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::error(404, "gone"));
    let lost = with(agent_step("lost", "Find it"), json!({ "onError": "continue" }));
    let told = agent_step("told", "{{ errors.lost.code }} after {{ errors.lost.attempts }}: {{ lost is none }}");
    let run = server.admin.run_steps(json!([lost, told])).await;
    assert_eq!(run["status"], "success", "{run:#}");
    assert_eq!(run["vars"]["lost"], Value::Null);
    assert_eq!(agent.calls()[1].message(), "agent.refused after 1: true");
}

#[tokio::test]
async fn an_error_leads_to_the_step_that_handles_it() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::error(400, "no"));
    let risky = with(agent_step("risky", "Try"), json!({ "onError": "handler" }));
    let passed = agent_step("passed", "Not me");
    let handler = agent_step("handler", "{{ error.stepId }} failed with {{ error.code }}");
    let run = server.admin.run_steps(json!([risky, passed, handler])).await;
    assert_eq!(run["status"], "success", "{run:#}");
    let told: Vec<_> = agent.calls().iter().map(|call| call.message().to_owned()).collect();
    assert_eq!(told, ["Try", "risky failed with agent.refused"]);
}

#[tokio::test]
async fn a_variable_that_is_not_there_fails_the_step_and_names_itself() {
    let (server, agent) = TestServer::with_agent().await;
    let run = server.admin.run_steps(json!([agent_step("a", "Say {{ nothing_sets_this }}")])).await;
    assert_eq!(run["status"], "failed");
    assert_eq!(run["error"]["stepId"], "a");
    assert!(run["error"]["message"].as_str().unwrap().contains("nothing_sets_this"), "{run:#}");
    assert_eq!(agent.calls().len(), 0);
}

#[tokio::test]
async fn a_run_that_takes_longer_than_it_may_is_timed_out() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers(Answer::never());
    let workflow = server.admin.create(json!({ "timeout": "100ms", "steps": [agent_step("slow", "Hi")] })).await;
    let run = server.admin.run(&workflow, json!({})).await;
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("timedOut"), &json!("run.timeout")), "{run:#}");
    assert_eq!(server.admin.steps(run["id"].as_str().unwrap()).await[0]["status"], "cancelled");
}

#[tokio::test]
async fn a_template_that_would_work_or_write_without_end_fails_its_step() {
    let (server, agent) = TestServer::with_agent().await;
    for endless in [
        "{{ 'x' * 1000000000 }}",
        "{% set long = 'x' * 1000 %}{% for i in range(1000) %}{{ long * 1000 }}{% endfor %}",
        "{% for i in range(10000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}",
    ] {
        let run = server.admin.run_steps(json!([agent_step("ask", endless)])).await;
        assert_eq!(
            (&run["status"], &run["error"]["code"]),
            (&json!("failed"), &json!("expr.limit")),
            "{endless}: {run:#}"
        );
    }
    assert_eq!(agent.calls().len(), 0);
}
