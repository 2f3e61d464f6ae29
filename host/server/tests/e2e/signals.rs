//! Events that runs wait for.

use serde_json::{Value, json};
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::harness::{TestServer, agent_step, until, with};

fn wait_for(id: &str, event: &str) -> Value {
    json!({ "type": "wait", "id": id, "event": event, "outputVar": id })
}

#[tokio::test]
async fn a_run_goes_on_with_what_the_event_brings() {
    let server = TestServer::start().await;
    let run = server.admin.start_steps(json!([wait_for("paid", "payment.settled")])).await;
    server.admin.comes_to(&run, "waiting").await;
    server.admin.signal(&run, "payment.settled", json!({ "amount": 12, "text": "\u{0}" })).await;
    let ended = server.admin.ended(&run).await;
    assert_eq!((&ended["status"], &ended["vars"]["paid"]["amount"]), (&json!("success"), &json!(12)), "{ended:#}");
    assert_eq!(ended["vars"]["paid"]["text"], "\u{0}");
}

#[tokio::test]
async fn an_event_that_comes_before_its_wait_is_kept() {
    let (server, agent) = TestServer::with_agent().await;
    let gate = armilla_testkit::agent::Gate::closed();
    agent.answers(armilla_testkit::agent::Answer::text("done").behind(&gate));
    let run = server.admin.start_steps(json!([agent_step("ask", "Hi"), wait_for("go", "go")])).await;
    agent.called(1).await;
    server.admin.signal(&run, "go", json!("early")).await;
    gate.open();
    assert_eq!(server.admin.ended(&run).await["vars"], json!({ "ask": "done", "go": "early" }));
}

#[tokio::test]
async fn each_wait_takes_an_event_of_its_own_in_the_order_in_which_they_came() {
    let server = TestServer::start().await;
    let run = server.admin.start_steps(json!([wait_for("first", "go"), wait_for("second", "go")])).await;
    server.admin.signal(&run, "go", json!(1)).await;
    until("the second wait", || async { (server.admin.steps(&run).await.len() == 2).then_some(()) }).await;
    assert_eq!(server.admin.get(&format!("/runs/{run}")).await.expect(200)["run"]["vars"], json!({ "first": 1 }));
    server.admin.signal(&run, "go", json!(2)).await;
    assert_eq!(server.admin.ended(&run).await["vars"], json!({ "first": 1, "second": 2 }));
}

#[tokio::test]
async fn only_an_event_that_matches_is_taken() {
    let server = TestServer::start().await;
    let wait = with(wait_for("paid", "paid"), json!({ "match": "event.amount > 10" }));
    let run = server.admin.start_steps(json!([wait])).await;
    for too_little in [json!({ "amount": 1 }), json!({}), Value::Null, json!("text")] {
        server.admin.signal(&run, "paid", too_little).await;
    }
    server.admin.signal(&run, "other", json!({ "amount": 100 })).await;
    server.admin.signal(&run, "paid", json!({ "amount": 11 })).await;
    let ended = server.admin.ended(&run).await;
    assert_eq!((&ended["status"], &ended["vars"]["paid"]), (&json!("success"), &json!({ "amount": 11 })), "{ended:#}");
}

#[tokio::test]
async fn an_event_without_a_body_brings_null() {
    let server = TestServer::start().await;
    let run = server.admin.start_steps(json!([wait_for("go", "go")])).await;
    let request = server.admin.request(reqwest::Method::POST, &format!("/runs/{run}/signals/go"));
    server.admin.send(request).await.expect(202);
    let ended = server.admin.ended(&run).await;
    assert_eq!((&ended["status"], &ended["vars"]["go"]), (&json!("success"), &Value::Null));
}

#[tokio::test]
async fn a_name_that_is_none_and_a_run_that_has_ended_are_refused() {
    let server = TestServer::start().await;
    let run = server.admin.start_steps(json!([wait_for("go", "go")])).await;
    for wrong in ["two%20words", "a%2Fb", "caf%C3%A9", &"x".repeat(129)] {
        server.admin.post(&format!("/runs/{run}/signals/{wrong}"), &json!({})).await.problem(400, "path.invalid");
    }
    let path = format!("/runs/{run}/signals/go");
    server.admin.post(&path, &json!({ "data": 1 })).await.problem(422, "body.invalid");
    server.admin.signal(&run, "go", json!(1)).await;
    server.admin.ended(&run).await;
    server.admin.post(&path, &json!({})).await.problem(409, "run.does_not_apply");
}

#[tokio::test]
async fn a_wait_for_an_event_that_does_not_come_is_over_in_time() {
    let server = TestServer::start().await;
    let wait = with(wait_for("go", "go"), json!({ "timeout": "100ms" }));
    let run = server.admin.run_steps(json!([wait])).await;
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!("wait.timeout")), "{run:#}");
}

#[tokio::test]
async fn an_event_wakes_a_run_that_another_host_began() {
    let database = armilla_testkit::db::TestDatabase::create().await;
    let one = TestServer::on(&database, 1).await;
    let run = one.admin.start_steps(json!([wait_for("go", "go")])).await;
    one.admin.comes_to(&run, "waiting").await;
    one.engine.stop().await;
    let other = TestServer::on(&database, 2).await;
    other.admin.signal(&run, "go", json!("there")).await;
    assert_eq!(other.admin.ended(&run).await["vars"]["go"], "there");
}

#[tokio::test]
async fn what_was_told_to_runs_that_are_over_keeps_nobody_from_hearing() {
    let database = armilla_testkit::db::TestDatabase::create().await;
    let server = TestServer::on(&database, 1).await;
    let run = server.admin.start_steps(json!([wait_for("go", "go")])).await;
    server.admin.comes_to(&run, "waiting").await;
    let mut connection = PgConnection::connect_with(&database.connect_options()).await.unwrap();
    // More of them than one look for messages goes through.
    let letters = "insert into run_inbox (run_id, body) select gen_random_uuid(), '{}' from generate_series(1, 3000)";
    sqlx::query(letters).execute(&mut connection).await.unwrap();
    server.admin.signal(&run, "go", json!("heard")).await;
    assert_eq!(server.admin.ended(&run).await["vars"]["go"], "heard");
}
