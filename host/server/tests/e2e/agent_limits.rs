//! What keeps agents from being asked too much, and what is done where one fails: circuit breakers, limits across hosts, stand-ins, prices.

use armilla_domain::agent::TokenPrice;
use armilla_engine::RunLimits;
use armilla_testkit::agent::{Answer, Gate, ScriptedAgent};
use armilla_testkit::db::TestDatabase;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::harness::{TestServer, agent_step, until, with};

fn once(id: &str) -> Value {
    with(agent_step(id, "Hi"), json!({ "retry": { "maxAttempts": 1 } }))
}

#[tokio::test]
async fn an_endpoint_that_failed_five_times_is_left_alone_and_fails_fast() {
    let (server, agent) = TestServer::with_agent().await;
    agent.answers_otherwise(Answer::error(500, "broken"));
    for _ in 0..5 {
        let run = server.admin.run_steps(json!([once("ask")])).await;
        assert_eq!(run["error"]["code"], "agent.server_error", "{run:#}");
    }
    agent.answers_otherwise("well again");
    let run = server.admin.run_steps(json!([once("ask")])).await;
    assert_eq!(run["error"]["code"], "agent.circuit_open", "{run:#}");
    assert!(run["error"]["message"].as_str().unwrap().contains("agent.server_error"), "it says why: {run:#}");
    assert_eq!(agent.calls().len(), 5, "nothing was sent");
    // Another endpoint is not concerned, nor is one and the same for somebody else.
    let other = ScriptedAgent::start().await;
    server.admin.register_as("other", &other).await;
    let run = server.admin.run_steps(json!([with(once("ask"), json!({ "agentId": "other" }))])).await;
    assert_eq!(run["status"], "success", "{run:#}");
    let elsewhere = server.admin_of(armilla_domain::id::WorkspaceId::from_parts(1, [1; 10]));
    elsewhere.register(&agent).await;
    let run = elsewhere.run_steps(json!([once("ask")])).await;
    assert_eq!(run["status"], "success", "{run:#}");
}

#[tokio::test]
async fn refusals_and_rate_limits_do_not_speak_against_an_endpoint() {
    let (server, agent) = TestServer::with_agent().await;
    for answer in [Answer::error(422, "no"), Answer::error(429, "later")] {
        agent.answers_otherwise(answer);
        for _ in 0..6 {
            server.admin.run_steps(json!([once("ask")])).await;
        }
    }
    agent.answers_otherwise("fine");
    assert_eq!(server.admin.run_steps(json!([once("ask")])).await["status"], "success");
}

#[tokio::test]
async fn another_agent_stands_in_for_one_that_fails_and_the_step_says_who_answered() {
    let (server, agent) = TestServer::with_agent().await;
    let other = ScriptedAgent::start().await;
    server.admin.register_as("other", &other).await;
    let config = json!({ "protocol": "openai", "endpoint": agent.endpoint(), "fallbackAgentId": "other" });
    server.admin.put("/agents/scripted", &config).await.expect(200);
    agent.answers(Answer::error(503, "overloaded"));
    other.answers("from the other one");
    let run = server.admin.run_steps(json!([once("ask")])).await;
    assert_eq!(run["vars"]["ask"], "from the other one", "{run:#}");
    let steps = server.admin.steps(run["id"].as_str().unwrap()).await;
    assert_eq!((&steps[0]["answerer"]["name"], &steps[0]["attempt"]), (&json!("other"), &json!(1)));

    // A refusal would be one there as well.
    agent.answers(Answer::error(422, "not like this"));
    let run = server.admin.run_steps(json!([once("ask")])).await;
    assert_eq!((&run["error"]["code"], other.calls().len()), (&json!("agent.refused"), 1), "{run:#}");

    // Two that stand in for each other are each asked once.
    let back = json!({ "protocol": "openai", "endpoint": other.endpoint(), "fallbackAgentId": "scripted" });
    server.admin.put("/agents/other", &back).await.expect(200);
    agent.answers(Answer::error(503, "overloaded"));
    other.answers(Answer::error(500, "broken"));
    let run = server.admin.run_steps(json!([once("ask")])).await;
    assert_eq!(run["error"]["code"], "agent.server_error", "{run:#}");
    assert!(run["error"]["message"].as_str().unwrap().contains("`other`"), "{run:#}");
    let itself = json!({ "protocol": "openai", "endpoint": agent.endpoint(), "fallbackAgentId": "scripted" });
    server.admin.put("/agents/scripted", &itself).await.problem(422, "agent.invalid");
}

#[tokio::test]
async fn only_so_many_calls_of_an_agent_are_under_way_on_all_hosts_together() {
    let (database, agent) = tokio::join!(TestDatabase::create(), ScriptedAgent::start());
    let (one, two) = (TestServer::on(&database, 1).await, TestServer::on(&database, 2).await);
    let config = json!({ "id": "scripted", "protocol": "openai", "endpoint": agent.endpoint(), "limits": { "maxConcurrency": 1 } });
    one.admin.post("/agents", &config).await.expect(201);
    let gate = Gate::closed();
    agent.answers(Answer::text("first").behind(&gate));
    let first = one.admin.start_steps(json!([agent_step("ask", "Hi")])).await;
    agent.called(1).await;
    // No time for a place is no answer.
    let hasty = with(once("ask"), json!({ "timeout": "300ms" }));
    let run = two.admin.run_steps(json!([hasty])).await;
    assert_eq!(run["error"]["code"], "agent.busy", "{run:#}");
    let second = two.admin.start_steps(json!([agent_step("ask", "Hi")])).await;
    assert_eq!(agent.calls().len(), 1);
    gate.open();
    assert_eq!(one.admin.ended(&first).await["vars"]["ask"], "first");
    assert_eq!(two.admin.ended(&second).await["status"], "success");
    assert_eq!(agent.calls().len(), 2);
    until("every place is given back", || async {
        let mut connection = PgConnection::connect_with(&database.connect_options()).await.unwrap();
        let taken = sqlx::query_scalar::<_, i32>("select cardinality(calls) from agent_limits");
        (taken.fetch_one(&mut connection).await.unwrap() == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn calls_of_an_agent_follow_each_other_no_faster_than_they_may() {
    let (server, agent) = TestServer::with_agent().await;
    let config = json!({ "protocol": "openai", "endpoint": agent.endpoint(), "limits": { "requestsPerMinute": 2 } });
    server.admin.put("/agents/scripted", &config).await.expect(200);
    assert_eq!(server.admin.run_steps(json!([once("ask")])).await["status"], "success");
    let hasty = with(once("ask"), json!({ "timeout": "200ms" }));
    let run = server.admin.run_steps(json!([hasty])).await;
    assert_eq!((&run["error"]["code"], agent.calls().len()), (&json!("agent.busy"), 1), "{run:#}");
}

#[tokio::test]
async fn what_tokens_cost_is_recorded_with_the_call_and_summed_for_the_run() {
    let price = TokenPrice { input_per_million: 2.0, output_per_million: 10.0 };
    let prices = [("scripted-1".to_owned(), price)].into();
    let server = TestServer::limited(RunLimits { prices, ..RunLimits::default() }).await;
    let agent = ScriptedAgent::start().await;
    server.admin.register(&agent).await;
    let own = json!({ "id": "own", "protocol": "openai", "endpoint": agent.endpoint(),
        "price": { "inputPerMillion": 1_000_000, "outputPerMillion": 0 } });
    server.admin.post("/agents", &own).await.expect(201);
    // Each call reads 7 tokens and writes 5.
    let steps = json!([agent_step("a", "Hi"), with(agent_step("b", "Hi"), json!({ "agentId": "own" }))]);
    let run = server.admin.run_steps(steps).await;
    assert_eq!(run["usage"], json!({ "inputTokens": 14, "outputTokens": 10, "costUsd": 7.000_064 }), "{run:#}");
    let steps = server.admin.steps(run["id"].as_str().unwrap()).await;
    assert_eq!((&steps[0]["usage"]["costUsd"], &steps[1]["usage"]["costUsd"]), (&json!(0.000_064), &json!(7.0)));
    let read = server.admin.get(&format!("/runs/{}", run["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(read["run"]["usage"], run["usage"]);
    let listed = server.admin.get("/runs").await.expect(200);
    assert_eq!(listed["runs"][0]["usage"], run["usage"]);
}
